#include "dataplane/io/chunk_ring.hpp"

#include <rte_ring.h>
#include <rte_ring_elem.h>

#include <algorithm>
#include <bit>
#include <new>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace pasta::io {

namespace {

constexpr unsigned element_size = sizeof(core::ChunkId);
static_assert(element_size % 4 == 0, "rte_ring copies elements as 32-bit words");

}  // namespace

ChunkRing::ChunkRing(size_t chunks) {
    // A ring of 2^n slots holds one element less.
    const auto slots = static_cast<unsigned>(std::bit_ceil(chunks + 1));
    const ssize_t bytes = rte_ring_get_memsize_elem(element_size, slots);
    if (bytes < 0) throw std::invalid_argument("too many chunks for one ring");
    const size_t aligned = (static_cast<size_t>(bytes) + RTE_CACHE_LINE_SIZE - 1) /
                           RTE_CACHE_LINE_SIZE * RTE_CACHE_LINE_SIZE;
    ring_.reset(static_cast<rte_ring*>(std::aligned_alloc(RTE_CACHE_LINE_SIZE, aligned)));
    if (!ring_) throw std::bad_alloc();
    if (rte_ring_init(ring_.get(), "chunks", slots, 0) != 0)
        throw std::invalid_argument("rte_ring_init");
    std::vector<core::ChunkId> all(chunks);
    std::iota(all.begin(), all.end(), core::ChunkId{0});
    give(all);
}

size_t ChunkRing::take(std::span<core::ChunkId> out) {
    if (out.empty()) return 0;
    return rte_ring_mc_dequeue_burst_elem(ring_.get(), out.data(), element_size,
                                          static_cast<unsigned>(out.size()), nullptr);
}

void ChunkRing::give(std::span<const core::ChunkId> chunks) {
    if (chunks.empty()) return;
    [[maybe_unused]] const unsigned given = rte_ring_mp_enqueue_bulk_elem(
        ring_.get(), chunks.data(), element_size, static_cast<unsigned>(chunks.size()), nullptr);
    assert(given == chunks.size());  // the ring has a slot for every chunk that exists
}

size_t ChunkRing::available() const {
    // As rte_ring_count(), whose loads are not atomic. What others do in between may make the
    // difference look too large.
    const uint32_t taken = __atomic_load_n(&ring_->cons.tail, __ATOMIC_ACQUIRE);
    const uint32_t given = __atomic_load_n(&ring_->prod.tail, __ATOMIC_ACQUIRE);
    return std::min<size_t>((given - taken) & ring_->mask, ring_->capacity);
}

}  // namespace pasta::io
