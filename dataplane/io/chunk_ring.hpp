// The free chunks of the process, shared by the caches of all shards.
#pragma once

#include <cstdlib>
#include <memory>

#include "dataplane/core/chunk.hpp"

struct rte_ring;

namespace pasta::io {

/// A lock-free multi-producer, multi-consumer ring of chunk ids (DPDK's rte_ring, which needs no
/// EAL when it lives in the caller's memory). Thread-safe.
class ChunkRing final : public core::ChunkSource {
  public:
    /// Holds chunks 0 to chunks - 1 at first. Throws std::bad_alloc or std::invalid_argument.
    explicit ChunkRing(size_t chunks);

    size_t take(std::span<core::ChunkId> out) override;
    void give(std::span<const core::ChunkId> chunks) override;
    /// Chunks in the ring now; a snapshot when others take and give.
    size_t available() const;

  private:
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    std::unique_ptr<rte_ring, Free> ring_;
};

}  // namespace pasta::io
