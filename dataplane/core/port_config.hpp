// What the dataplane knows about one attached namespace. Made by control, then constant.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/wire/address.hpp"
#include "dataplane/wire/ipv6.hpp"

namespace pasta::core {

using PortId = uint16_t;

/// An address with the length of its prefix in bits (of its own family: 0..32 or 0..128).
struct Prefix {
    wire::IpAddress address;
    uint8_t length = 0;
};

/// One attachment: a veth (or tap) into one namespace.
struct PortConfig {
    PortId id = 0;
    std::string name;  ///< for messages only

    wire::MacAddress our_mac;    ///< what the namespace sees as its gateway and every neighbour
    wire::MacAddress guest_mac;  ///< of the interface in the namespace; relearned from frames
    uint32_t mtu = 65520;        ///< of the link: bytes of an IP packet

    /// Workers that serve the port: `workers` of them from `first_worker` on, modulo all. One
    /// queue each, in that order.
    uint16_t first_worker = 0;
    uint16_t workers = 1;

    bool ipv4 = true;
    bool ipv6 = true;
    bool tcp = true;
    bool udp = true;
    bool icmp = true;
    std::optional<Prefix> address4;  ///< the namespace's own, as offered by DHCP
    std::optional<wire::IpAddress> gateway4;
    std::optional<Prefix> address6;  ///< global
    /// The router's link-local address: source of advertisements.
    wire::IpAddress our_link_local{{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

    bool dhcp = true;
    bool dhcpv6 = true;
    bool ndp = true;
    bool router_advertisements = true;
    std::vector<wire::IpAddress> dns;  ///< both families; told by DHCP, DHCPv6, RDNSS
    std::vector<std::string> search;   ///< domain names without a final dot
    std::string hostname;              ///< DHCP option 12; empty = not sent
    std::string fqdn;                  ///< DHCP option 81, DHCPv6 option 39; empty = not sent
    uint32_t duid_time = 0;            ///< seconds since 2000-01-01 UTC, for the server's DUID-LLT

    /// Flows from the namespace to these addresses reach 127.0.0.1 or ::1 of the host.
    std::optional<wire::IpAddress> host_loopback4, host_loopback6;
    /// Flows from the namespace to guest_map reach guest_map_target: the host's address that the
    /// namespace has as its own and so cannot address.
    std::optional<wire::IpAddress> guest_map4, guest_map_target4;
    std::optional<wire::IpAddress> guest_map6, guest_map_target6;
    /// Source of host sockets, where the target is not loopback.
    std::optional<wire::IpAddress> outbound4, outbound6;
    /// Port 53 and 853 of dns_forward reach dns_host; one pair for each family.
    std::optional<wire::IpAddress> dns_forward4, dns_host4;
    std::optional<wire::IpAddress> dns_forward6, dns_host6;

    /// False as well on a link that is too small for IPv6 (RFC 8200, 5).
    bool serves_ipv6() const { return ipv6 && mtu >= wire::ipv6_min_mtu; }
};

}  // namespace pasta::core
