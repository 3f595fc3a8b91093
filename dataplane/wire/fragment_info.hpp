// What an IP fragment says about its place in the packet that it is a part of.
#pragma once

#include <cstdint>

namespace pasta::wire {

/// Of either version of IP (RFC 791; RFC 8200, 4.5). A fragment carries data: the part of the
/// packet after the IPv4 header, or after the IPv6 fragment header.
struct FragmentInfo {
    uint32_t id = 0;             ///< equal in all fragments of a packet; 16 bits in IPv4
    uint16_t offset = 0;         ///< of the data in the packet's, bytes, a multiple of 8
    bool more = false;           ///< not the last fragment
    uint16_t header_length = 0;  ///< from the start of the IP header to the data
    /// IPv6: offset, from the start of the IP header, of the byte that announces the fragment
    /// header.
    uint16_t announced_at = 0;
};

}  // namespace pasta::wire
