// IPv6 header and extension headers (RFC 8200).
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/wire/address.hpp"
#include "dataplane/wire/bytes.hpp"
#include "dataplane/wire/fragment_info.hpp"
#include "dataplane/wire/ip_protocol.hpp"
#include "dataplane/wire/parse_result.hpp"

namespace pasta::wire {

/// The least that a link has to carry, bytes of a packet (RFC 8200, 5).
inline constexpr uint32_t ipv6_min_mtu = 1280;

struct Ipv6Header {
    static constexpr size_t size = 40;

    IpAddress src, dst;
    uint8_t traffic_class = 0;    ///< DSCP in the upper six bits, ECN in the lower two
    uint32_t flow_label = 0;      ///< 20 bits
    uint16_t payload_length = 0;  ///< bytes after this header, extension headers included
    uint8_t next_header = 0;
    uint8_t hop_limit = 64;

    /// `first_bytes` begins with the header, which it must hold entirely; `available` is the
    /// number of bytes from there to the end of the frame. Version and length are verified.
    static ParseResult<Ipv6Header> parse(Bytes first_bytes, size_t available);
    /// Writes `size` bytes to the front of `out`, which has room for them.
    void emit(MutableBytes out) const;
};

/// Where the chain of extension headers ends.
struct UpperLayer {
    uint8_t protocol = 0;
    uint16_t offset = 0;  ///< bytes from the start of the IPv6 header
    /// Present in a part of a packet; an atomic fragment (RFC 6946) is none.
    std::optional<FragmentInfo> fragment{};
};

/// So many extension headers are walked; longer chains are errors.
inline constexpr int max_extension_headers = 8;

/// Walks hop-by-hop options, routing, fragment and destination options headers. All of them must
/// lie within `first_bytes` (which begins with `header`) and within the payload length. Other
/// protocols, those that RFC 8200 counts as extensions but that hide the rest (ESP) included, are
/// taken as the upper layer. In a fragment other than the first the walk ends at its header. A
/// fragment cannot be cut again: a second fragment header in it is an error.
ParseResult<UpperLayer> find_upper_layer(const Ipv6Header& header, Bytes first_bytes);

}  // namespace pasta::wire
