#include "dataplane/shard/mailbox.hpp"

#include <rte_ring.h>
#include <rte_ring_elem.h>

#include <bit>
#include <new>
#include <stdexcept>

namespace pasta::shard {

Ring::Ring(size_t element_size, size_t capacity)
    : element_size_(static_cast<unsigned>(element_size)) {
    // A ring of 2^n slots holds one element less.
    const auto slots = static_cast<unsigned>(std::bit_ceil(capacity + 1));
    const ssize_t size = rte_ring_get_memsize_elem(element_size_, slots);
    if (size < 0) throw std::invalid_argument("mailbox: element size or capacity");
    const size_t rounded = (static_cast<size_t>(size) + RTE_CACHE_LINE_SIZE - 1) /
                           RTE_CACHE_LINE_SIZE * RTE_CACHE_LINE_SIZE;
    auto* memory = static_cast<rte_ring*>(std::aligned_alloc(RTE_CACHE_LINE_SIZE, rounded));
    if (memory == nullptr) throw std::bad_alloc();
    ring_.reset(memory);
    if (rte_ring_init(memory, "mailbox", slots, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0)
        throw std::invalid_argument("mailbox: capacity");
}

bool Ring::push(const void* element) {
    return rte_ring_sp_enqueue_elem(ring_.get(), const_cast<void*>(element), element_size_) == 0;
}

size_t Ring::pop(void* elements, size_t n) {
    return rte_ring_sc_dequeue_burst_elem(ring_.get(), elements, element_size_,
                                          static_cast<unsigned>(n), nullptr);
}

bool Ring::empty() const {
    // As rte_ring_empty(), whose loads are not atomic.
    return __atomic_load_n(&ring_->prod.tail, __ATOMIC_ACQUIRE) ==
           __atomic_load_n(&ring_->cons.tail, __ATOMIC_ACQUIRE);
}

}  // namespace pasta::shard
