#include "dataplane/core/context.hpp"

namespace pasta::core {

namespace {

constexpr wire::IpAddress loopback4 = wire::IpAddress::v4(127, 0, 0, 1);
constexpr wire::IpAddress loopback6{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

wire::IpAddress host_address(const PortConfig& c, const wire::IpAddress& peer, uint16_t port) {
    const bool dns = port == 53 || port == 853;
    if (dns && c.dns_forward4 == peer && c.dns_host4) return *c.dns_host4;
    if (dns && c.dns_forward6 == peer && c.dns_host6) return *c.dns_host6;
    if (c.host_loopback4 == peer) return loopback4;
    if (c.host_loopback6 == peer) return loopback6;
    if (c.guest_map4 == peer && c.guest_map_target4) return *c.guest_map_target4;
    if (c.guest_map6 == peer && c.guest_map_target6) return *c.guest_map_target6;
    return peer;
}

}  // namespace

HostTarget host_target(const PortConfig& config, const wire::IpAddress& peer, uint16_t port) {
    HostTarget target{host_address(config, peer, port), port};
    if (!target.address.is_loopback())
        target.source = peer.is_v4() ? config.outbound4 : config.outbound6;
    return target;
}

bool servable(const wire::IpAddress& guest, const wire::IpAddress& peer) {
    return guest.is_unicast() && peer.is_unicast() && !guest.is_loopback() && !peer.is_loopback();
}

}  // namespace pasta::core
