// Fixed-address records that are named by index and generation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/core/flow.hpp"

namespace pasta::core {

/// Records of one kind of flow, up to a limit. Memory is added in blocks when needed and kept, so
/// an idle shard is small and a busy one does not allocate. The record freed last is used first.
template <typename T>
class Slab {
  public:
    Slab(FlowKind kind, size_t limit) : kind_(kind), limit_(limit) {}

    size_t size() const { return size_; }

    /// A fresh, value-initialised record, or nullptr at the limit.
    T* create() {
        if (free_.empty() && !grow()) return nullptr;
        const uint32_t index = free_.back();
        free_.pop_back();
        ++size_;
        Cell& cell = at(index);
        cell.live = true;
        cell.value = T{};
        cell.value.id = FlowId{kind_, index, cell.generation};
        return &cell.value;
    }
    /// The record if it still lives, else nullptr.
    T* find(FlowId id) {
        if (id.index >= blocks_.size() * block_size) return nullptr;
        Cell& cell = at(id.index);
        return cell.live && cell.value.id == id ? &cell.value : nullptr;
    }
    void destroy(T& value) {
        Cell& cell = at(value.id.index);
        cell.live = false;
        ++cell.generation;
        --size_;
        free_.push_back(value.id.index);
    }
    /// Calls f(T&) for every live record; f may destroy the one it is given.
    template <typename F>
    void for_each(F&& f) {
        for (auto& block : blocks_)
            for (size_t i = 0; i < block_size; ++i)
                if (block[i].live) f(block[i].value);
    }

  private:
    static constexpr size_t block_size = 256;
    struct Cell {
        T value;
        uint32_t generation = 0;
        bool live = false;
    };

    Cell& at(uint32_t index) { return blocks_[index / block_size][index % block_size]; }
    bool grow() {
        const size_t first = blocks_.size() * block_size;
        if (first >= limit_) return false;
        blocks_.push_back(std::make_unique<Cell[]>(block_size));
        for (size_t i = std::min(block_size, limit_ - first); i-- > 0;)
            free_.push_back(static_cast<uint32_t>(first + i));
        return true;
    }

    FlowKind kind_;
    size_t limit_;
    size_t size_ = 0;
    std::vector<std::unique_ptr<Cell[]>> blocks_;
    std::vector<uint32_t> free_;
};

}  // namespace pasta::core
