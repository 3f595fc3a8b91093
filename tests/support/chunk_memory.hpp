// Chunks in plain memory, for tests of the core without any kernel.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/core/chunk.hpp"

namespace pasta::test {

using ByteVector = std::vector<uint8_t>;

/// Page-aligned memory for an arena.
class ArenaMemory {
  public:
    explicit ArenaMemory(size_t chunks)
        : size_(chunks * core::chunk_size),
          memory_(static_cast<uint8_t*>(std::aligned_alloc(core::chunk_size, size_)), &std::free) {}

    std::span<uint8_t> bytes() { return {memory_.get(), size_}; }

  private:
    size_t size_;
    std::unique_ptr<uint8_t, decltype(&std::free)> memory_;
};

/// Free chunks in a vector.
class VectorChunkSource : public core::ChunkSource {
  public:
    explicit VectorChunkSource(size_t chunks) {
        for (size_t i = chunks; i-- > 0;)
            free_.push_back(static_cast<core::ChunkId>(i));
    }
    size_t take(std::span<core::ChunkId> out) override {
        size_t n = 0;
        for (; n < out.size() && !free_.empty(); ++n, free_.pop_back())
            out[n] = free_.back();
        return n;
    }
    void give(std::span<const core::ChunkId> chunks) override {
        free_.insert(free_.end(), chunks.begin(), chunks.end());
    }
    size_t size() const { return free_.size(); }

  private:
    std::vector<core::ChunkId> free_;
};

}  // namespace pasta::test
