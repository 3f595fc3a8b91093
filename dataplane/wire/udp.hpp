// UDP header (RFC 768).
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/wire/bytes.hpp"

namespace pasta::wire {

/// Offset of the checksum field from the start of the header, for checksum offload.
inline constexpr uint16_t udp_checksum_offset = 6;

struct UdpHeader {
    static constexpr size_t size = 8;

    uint16_t src_port = 0, dst_port = 0;
    uint16_t length = size;  ///< bytes, header included
    uint16_t checksum = 0;   ///< as on the wire; 0 = none, which only IPv4 allows

    /// `first_bytes` begins with the header and holds all of it; `available` is the upper-layer
    /// length that IP gives. Nothing when the length field is less than a header or more than
    /// that; bytes beyond the length field do not belong to the datagram.
    static std::optional<UdpHeader> parse(Bytes first_bytes, size_t available) {
        if (first_bytes.size() < size) return std::nullopt;
        const uint8_t* p = first_bytes.data();
        const UdpHeader header{load_be16(p), load_be16(p + 2), load_be16(p + 4),
                               load_be16(p + udp_checksum_offset)};
        if (header.length < size || header.length > available) return std::nullopt;
        return header;
    }
    /// Writes `size` bytes to the front of `out`, which has room for them.
    void emit(MutableBytes out) const {
        assert(out.size() >= size);
        store_be16(out.data(), src_port);
        store_be16(out.data() + 2, dst_port);
        store_be16(out.data() + 4, length);
        store_be16(out.data() + udp_checksum_offset, checksum);
    }
};

/// The checksum field for a finished sum: a computed 0 is sent as 0xffff, since 0 means none.
constexpr uint16_t udp_checksum_field(uint16_t checksum) {
    return checksum == 0 ? 0xffff : checksum;
}

}  // namespace pasta::wire
