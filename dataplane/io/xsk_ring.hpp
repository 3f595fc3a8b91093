// The four rings of an AF_XDP socket, mapped from the kernel.
#pragma once

#include <xdp/xsk.h>

#include <cstddef>
#include <cstdint>

#include "dataplane/io/xdp_uapi.hpp"

namespace pasta::io {

/// Memory of one ring, shared with the kernel; unmapped at the end.
class RingMapping {
  public:
    /// Creates the ring of `entries` descriptors (a power of two) with socket option `option` on
    /// `fd` and maps it from page offset `page_offset`. Throws std::system_error.
    RingMapping(int fd, int option, uint64_t page_offset, const xdp_ring_offset& offsets,
                uint32_t entries, size_t entry_size);
    RingMapping(const RingMapping&) = delete;
    RingMapping& operator=(const RingMapping&) = delete;
    ~RingMapping();

    /// A ring that we produce into (fill, transmit), empty.
    xsk_ring_prod producer() const;
    /// A ring that we consume from (receive, completion), empty.
    xsk_ring_cons consumer() const;

  private:
    uint32_t* word(uint64_t offset) const;

    void* memory_;
    size_t bytes_;
    xdp_ring_offset offsets_;
    uint32_t entries_;
};

/// Where the fields of each ring are (XDP_MMAP_OFFSETS). Throws std::system_error.
xdp_mmap_offsets ring_offsets(int fd);

}  // namespace pasta::io
