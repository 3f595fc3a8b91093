#include "dataplane/io/xsk_ring.hpp"

#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>

namespace pasta::io {

namespace {

[[noreturn]] void fail(const char* doing) {
    throw std::system_error(errno, std::generic_category(), doing);
}

}  // namespace

xdp_mmap_offsets ring_offsets(int fd) {
    xdp_mmap_offsets offsets{};
    socklen_t length = sizeof(offsets);
    if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) != 0)
        fail("cannot ask for the layout of AF_XDP rings");
    return offsets;
}

RingMapping::RingMapping(int fd, int option, uint64_t page_offset, const xdp_ring_offset& offsets,
                         uint32_t entries, size_t entry_size)
    : bytes_(offsets.desc + entries * entry_size), offsets_(offsets), entries_(entries) {
    if (setsockopt(fd, SOL_XDP, option, &entries, sizeof(entries)) != 0)
        fail("cannot create an AF_XDP ring");
    // Populated: a page fault in the data path would cost more than the pages.
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                   static_cast<off_t>(page_offset));
    if (memory_ == MAP_FAILED) fail("cannot map an AF_XDP ring");
}

RingMapping::~RingMapping() {
    munmap(memory_, bytes_);
}

uint32_t* RingMapping::word(uint64_t offset) const {
    return reinterpret_cast<uint32_t*>(static_cast<char*>(memory_) + offset);
}

xsk_ring_prod RingMapping::producer() const {
    xsk_ring_prod ring{};
    ring.mask = entries_ - 1;
    ring.size = entries_;
    ring.producer = word(offsets_.producer);
    ring.consumer = word(offsets_.consumer);
    ring.flags = word(offsets_.flags);
    ring.ring = word(offsets_.desc);
    ring.cached_cons = entries_;  // xsk_prod_nb_free() wants it ahead by the ring's size
    return ring;
}

xsk_ring_cons RingMapping::consumer() const {
    xsk_ring_cons ring{};
    ring.mask = entries_ - 1;
    ring.size = entries_;
    ring.producer = word(offsets_.producer);
    ring.consumer = word(offsets_.consumer);
    ring.flags = word(offsets_.flags);
    ring.ring = word(offsets_.desc);
    return ring;
}

}  // namespace pasta::io
