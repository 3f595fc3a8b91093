#include "dataplane/core/guest_error.hpp"

#include "dataplane/wire/ethernet.hpp"

namespace pasta::core {

namespace {

/// What RFC 792 says is quoted at least, and what ports and sequence number need.
constexpr size_t min_upper = 8;

bool is_unreachable(const wire::IcmpError& error, bool v4) {
    if (!v4) return error.type == wire::icmpv6::destination_unreachable;
    return error.type == wire::icmpv4::destination_unreachable &&
           error.code != wire::icmpv4::fragmentation_needed;
}

}  // namespace

bool is_icmp_error(const Packet& packet) {
    if (packet.upper.empty()) return false;
    if (packet.ip.protocol == wire::protocol_icmp) return wire::is_icmpv4_error(packet.upper[0]);
    return packet.ip.protocol == wire::protocol_icmpv6 && wire::is_icmpv6_error(packet.upper[0]);
}

std::optional<GuestError> parse_guest_error(ChunkArena& arena, const Packet& packet) {
    const bool v4 = packet.ip.protocol == wire::protocol_icmp;
    const auto error = wire::IcmpError::parse(packet.upper);
    if (!error || v4 != packet.ip.dst.is_v4() || !is_unreachable(*error, v4)) return std::nullopt;
    if (!upper_checksum_ok(arena, packet, packet.ip.payload_length, !v4)) return std::nullopt;
    // The quoted packet may be cut.
    const wire::Bytes quoted = packet.upper.subspan(wire::IcmpError::size);
    const auto ip =
        wire::parse_ip(v4 ? wire::ethertype_ipv4 : wire::ethertype_ipv6, quoted, SIZE_MAX);
    if (!ip || ip->src != packet.ip.dst || (ip->fragment && ip->fragment->offset != 0) ||
        (ip->protocol != wire::protocol_tcp && ip->protocol != wire::protocol_udp) ||
        quoted.size() < ip->header_length + min_upper)
        return std::nullopt;
    const wire::Bytes upper = quoted.subspan(ip->header_length);
    return GuestError{*error,
                      {ip->dst, ip->src, wire::load_be16(&upper[2]), wire::load_be16(&upper[0]),
                       packet.port.config.id, ip->protocol},
                      upper};
}

}  // namespace pasta::core
