#include "dataplane/core/inbound.hpp"

namespace pasta::core {

namespace {

using Address = std::optional<wire::IpAddress>;

Address address_of(const std::optional<Prefix>& prefix) {
    return prefix ? Address{prefix->address} : std::nullopt;
}

/// The namespace's address for peers outside of its link.
Address guest_address(const Port& port, bool v4) {
    const PortConfig& c = port.config;
    if (v4) return port.seen4 ? port.seen4 : address_of(c.address4);
    return port.seen6 ? port.seen6 : address_of(c.address6);
}

bool is_guests_own(const Port& port, const wire::IpAddress& address) {
    const Address own(address);
    return own == port.seen4 || own == port.seen6 || own == port.seen_link_local ||
           own == address_of(port.config.address4) || own == address_of(port.config.address6);
}

/// The first match of the translation table for clients.
Address peer_address(const Port& port, const wire::IpAddress& client) {
    const PortConfig& c = port.config;
    const bool v4 = client.is_v4();
    const Address& loopback = v4 ? c.host_loopback4 : c.host_loopback6;
    if (client == (v4 ? loopback4 : loopback6) && loopback) return loopback;
    const Address& shadowed = v4 ? c.guest_map_target4 : c.guest_map_target6;
    const Address& map = v4 ? c.guest_map4 : c.guest_map6;
    if (map && shadowed == client) return map;
    if (client.is_unicast() && !client.is_loopback() && !is_guests_own(port, client)) return client;
    return v4 ? c.gateway4 : Address{c.our_link_local};
}

}  // namespace

std::optional<FlowKey> inbound_key(const Port& port, uint8_t protocol,
                                   const wire::IpAddress& client, uint16_t client_port,
                                   uint16_t guest_port) {
    const PortConfig& c = port.config;
    const bool enabled =
        (client.is_v4() ? c.ipv4 : c.ipv6) && (protocol == wire::protocol_tcp ? c.tcp : c.udp);
    if (!enabled || client_port == 0 || guest_port == 0) return std::nullopt;
    const Address peer = peer_address(port, client);
    if (!peer) return std::nullopt;
    Address guest = guest_address(port, client.is_v4());
    // Link-local speaks to link-local, where the namespace's is known.
    if (peer->is_v6() && peer->is_link_local() && port.seen_link_local)
        guest = port.seen_link_local;
    if (!guest || *guest == *peer || !servable(*guest, *peer)) return std::nullopt;
    return FlowKey{*guest, *peer, guest_port, client_port, c.id, protocol};
}

}  // namespace pasta::core
