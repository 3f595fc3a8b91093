// IPv4 header (RFC 791; differentiated services and ECN: RFC 2474, RFC 3168).
#pragma once

#include <cstdint>

#include "dataplane/wire/address.hpp"
#include "dataplane/wire/bytes.hpp"
#include "dataplane/wire/ip_protocol.hpp"
#include "dataplane/wire/parse_result.hpp"

namespace pasta::wire {

struct Ipv4Header {
    /// Without options; emit() never writes any.
    static constexpr size_t size = 20;

    IpAddress src, dst;
    uint8_t protocol = 0;
    uint8_t ttl = 64;
    uint8_t tos = 0;  ///< DSCP in the upper six bits, ECN in the lower two
    uint16_t id = 0;
    bool dont_fragment = false;
    bool more_fragments = false;
    uint16_t fragment_offset = 0;  ///< bytes, a multiple of 8
    uint16_t total_length = 0;     ///< bytes, header included, Ethernet padding not
    uint8_t header_length = size;  ///< bytes, options included; set by parse()

    bool is_fragment() const { return more_fragments || fragment_offset != 0; }

    /// `first_bytes` begins with the header, which it must hold entirely; `available` is the
    /// number of bytes from there to the end of the frame, of which first_bytes may be only a
    /// part. Version, lengths and header checksum are verified, options skipped.
    static ParseResult<Ipv4Header> parse(Bytes first_bytes, size_t available);
    /// Writes `size` bytes, checksum included, to the front of `out`, which has room for them.
    void emit(MutableBytes out) const;
};

}  // namespace pasta::wire
