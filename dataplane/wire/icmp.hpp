// ICMP (RFC 792) and ICMPv6 (RFC 4443): echo and errors.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/wire/bytes.hpp"

namespace pasta::wire {

namespace icmpv4 {
inline constexpr uint8_t echo_reply = 0;
inline constexpr uint8_t destination_unreachable = 3;
inline constexpr uint8_t echo_request = 8;
inline constexpr uint8_t time_exceeded = 11;
inline constexpr uint8_t parameter_problem = 12;

// Codes of destination_unreachable (RFC 792, RFC 1122, RFC 1812).
inline constexpr uint8_t net_unreachable = 0;
inline constexpr uint8_t host_unreachable = 1;
inline constexpr uint8_t protocol_unreachable = 2;
inline constexpr uint8_t port_unreachable = 3;
inline constexpr uint8_t fragmentation_needed = 4;
inline constexpr uint8_t source_route_failed = 5;
inline constexpr uint8_t net_prohibited = 9;
inline constexpr uint8_t host_prohibited = 10;
inline constexpr uint8_t administratively_prohibited = 13;
// Codes of time_exceeded.
inline constexpr uint8_t ttl_exceeded = 0;
inline constexpr uint8_t reassembly_time_exceeded = 1;
}  // namespace icmpv4

namespace icmpv6 {
inline constexpr uint8_t destination_unreachable = 1;
inline constexpr uint8_t packet_too_big = 2;
inline constexpr uint8_t time_exceeded = 3;
inline constexpr uint8_t parameter_problem = 4;
inline constexpr uint8_t echo_request = 128;
inline constexpr uint8_t echo_reply = 129;
// Neighbour discovery (RFC 4861), see ndp.hpp.
inline constexpr uint8_t router_solicitation = 133;
inline constexpr uint8_t router_advertisement = 134;
inline constexpr uint8_t neighbor_solicitation = 135;
inline constexpr uint8_t neighbor_advertisement = 136;

// Codes of destination_unreachable (RFC 4443, 3.1).
inline constexpr uint8_t no_route = 0;
inline constexpr uint8_t administratively_prohibited = 1;
inline constexpr uint8_t beyond_scope = 2;
inline constexpr uint8_t address_unreachable = 3;
inline constexpr uint8_t port_unreachable = 4;
inline constexpr uint8_t policy_failed = 5;
inline constexpr uint8_t reject_route = 6;
// Codes of time_exceeded.
inline constexpr uint8_t hop_limit_exceeded = 0;
inline constexpr uint8_t reassembly_time_exceeded = 1;
}  // namespace icmpv6

/// Offset of the checksum field from the start of the header, for checksum offload.
inline constexpr uint16_t icmp_checksum_offset = 2;

/// Echo request or reply of either version. `type` and `code` tell which; parse() takes any type.
struct IcmpEcho {
    static constexpr size_t size = 8;

    uint8_t type = 0, code = 0;
    uint16_t checksum = 0;  ///< as on the wire; emit() writes it as it is, parse() verifies nothing
    uint16_t id = 0, sequence = 0;

    /// Nothing when there are fewer than `size` bytes.
    static std::optional<IcmpEcho> parse(Bytes bytes);
    /// Writes `size` bytes to the front of `out`, which has room for them.
    void emit(MutableBytes out) const;
};

/// Header of an error message of either version; the packet that caused it follows.
struct IcmpError {
    static constexpr size_t size = 8;

    uint8_t type = 0, code = 0;
    uint16_t checksum = 0;  ///< as on the wire; emit() writes it as it is, parse() verifies nothing
    /// The header's last four bytes as a number. MTU in packet_too_big (RFC 4443) and, in the
    /// lower 16 bits, in fragmentation_needed (RFC 1191); pointer in parameter_problem, for ICMPv4
    /// in the upper 8 bits; otherwise 0.
    uint32_t info = 0;

    /// Nothing when there are fewer than `size` bytes.
    static std::optional<IcmpError> parse(Bytes bytes);
    /// Writes `size` bytes to the front of `out`, which has room for them.
    void emit(MutableBytes out) const;
};

/// True for the types that carry the packet they are about. No error may be sent about them.
constexpr bool is_icmpv4_error(uint8_t type) {
    return type == icmpv4::destination_unreachable || type == 4 /* source quench */ ||
           type == 5 /* redirect */ || type == icmpv4::time_exceeded ||
           type == icmpv4::parameter_problem;
}
constexpr bool is_icmpv6_error(uint8_t type) {
    return type < 128;
}

}  // namespace pasta::wire
