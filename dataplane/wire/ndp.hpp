// Neighbour discovery messages as a router sees them (RFC 4861; DNS options: RFC 8106). Messages
// begin with the ICMPv6 header. Hop limit, checksum and the rules that need the IPv6 addresses are
// left to the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "dataplane/wire/address.hpp"
#include "dataplane/wire/bytes.hpp"

namespace pasta::wire {

/// A lifetime in seconds that never ends, in NDP and in DHCPv6.
inline constexpr uint32_t infinite_lifetime = 0xffffffff;

/// ff02::1, all nodes of the link.
inline constexpr IpAddress all_nodes{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

struct NeighborSolicitation {
    IpAddress target;
    std::optional<MacAddress> source_mac;

    /// Nothing for another type or code, a multicast target, or options of length zero or beyond
    /// the end (RFC 4861, 7.1.1).
    static std::optional<NeighborSolicitation> parse(Bytes message);
};

struct RouterSolicitation {
    std::optional<MacAddress> source_mac;

    /// Nothing for another type or code, or options of length zero or beyond the end (6.1.1).
    static std::optional<RouterSolicitation> parse(Bytes message);
};

struct NeighborAdvertisement {
    static constexpr size_t size = 32;

    bool router = false;
    bool solicited = false;
    bool override_cache = false;  ///< the O flag
    IpAddress target;
    MacAddress target_mac;

    /// Writes `size` bytes to the front of `out`, which has room for them. Checksum zero.
    void emit(MutableBytes out) const;
};

/// Prefix information option (RFC 4861, 4.6.2).
struct PrefixInformation {
    IpAddress prefix;  ///< bits beyond the length are zero
    uint8_t length = 64;
    bool on_link = false;
    bool autonomous = false;
    uint32_t valid_lifetime = infinite_lifetime;      ///< seconds
    uint32_t preferred_lifetime = infinite_lifetime;  ///< seconds
};

struct RouterAdvertisement {
    uint8_t hop_limit = 64;        ///< that hosts should use
    bool managed = false;          ///< addresses by DHCPv6
    bool other = false;            ///< other configuration by DHCPv6
    uint16_t router_lifetime = 0;  ///< seconds; 0 = not a default router
    MacAddress source_mac;
    std::optional<uint32_t> mtu;
    std::optional<PrefixInformation> prefix;
    std::span<const IpAddress> dns;       ///< those that are IPv6 become RDNSS
    std::span<const std::string> search;  ///< DNSSL; names that are not valid are left out

    /// Appends the message, checksum zero, to `out`. Lists are infinitely valid; entries
    /// that do not fit `out` are left out.
    void emit(Writer& out) const;
};

}  // namespace pasta::wire
