#include "control/port_setup.hpp"

#include <algorithm>
#include <ctime>

namespace pasta::control {

namespace {

using wire::IpAddress;

/// Seconds from the Unix epoch to that of DUID-LLT (RFC 8415, 11.2).
constexpr time_t duid_epoch = 946684800;

bool has_family(const std::vector<core::Prefix>& prefixes, bool v4) {
    return std::any_of(prefixes.begin(), prefixes.end(),
                       [v4](const core::Prefix& p) { return p.address.is_v4() == v4; });
}

std::optional<IpAddress> first_of_family(const std::vector<IpAddress>& addresses, bool v4) {
    const auto found = std::find_if(addresses.begin(), addresses.end(),
                                    [v4](const IpAddress& a) { return a.is_v4() == v4; });
    if (found == addresses.end()) return std::nullopt;
    return *found;
}

std::optional<core::Prefix> first_prefix(const std::vector<core::Prefix>& prefixes, bool v4) {
    for (const core::Prefix& prefix : prefixes)
        if (prefix.address.is_v4() == v4 && !prefix.address.is_link_local()) return prefix;
    for (const core::Prefix& prefix : prefixes)  // local mode has a link-local IPv4 address
        if (prefix.address.is_v4() == v4 && v4) return prefix;
    return std::nullopt;
}

const std::optional<TemplateFamily>& family(const HostView& host, bool v4) {
    return v4 ? host.interface.ipv4 : host.interface.ipv6;
}

std::optional<IpAddress> gateway(const NamespaceConfig& config, const HostView& host, bool v4) {
    const auto& configured = v4 ? config.gateway.v4 : config.gateway.v6;
    if (configured) return configured;
    return family(host, v4) ? family(host, v4)->gateway : std::nullopt;
}

/// The server that forwarded DNS queries go to: of the forwarder's family if there is one.
std::optional<IpAddress> dns_host(const NamespaceConfig& config, const HostView& host, bool v4) {
    const auto& configured = v4 ? config.dns_host.v4 : config.dns_host.v6;
    if (configured) return configured;
    const auto same = first_of_family(host.resolver.servers, v4);
    return same ? same : first_of_family(host.resolver.servers, !v4);
}

/// Name servers to announce. One on the host's loopback is out of reach under its own address: the
/// forwarder, or the address mapped to the loopback, stands for it.
std::vector<IpAddress> announced_dns(const NamespaceConfig& config, const HostView& host,
                                     const core::PortConfig& port) {
    if (config.dns) return *config.dns;
    std::vector<IpAddress> servers;
    const auto add = [&](const IpAddress& server) {
        if (std::find(servers.begin(), servers.end(), server) == servers.end())
            servers.push_back(server);
    };
    if (port.dns_forward4) add(*port.dns_forward4);
    if (port.dns_forward6) add(*port.dns_forward6);
    for (const IpAddress& server : host.resolver.servers) {
        if (!server.is_loopback())
            add(server);
        else if (const auto& mapped = server.is_v4() ? port.host_loopback4 : port.host_loopback6)
            add(*mapped);
    }
    return servers;
}

void set_mappings(core::PortConfig& port, const NamespaceConfig& config, const HostView& host) {
    const AddressPair loopback = config.map_host_loopback.value_or(
        AddressPair{gateway(config, host, true), gateway(config, host, false)});
    port.host_loopback4 = loopback.v4;
    port.host_loopback6 = loopback.v6;
    port.guest_map4 = config.map_guest_addr.v4;
    port.guest_map6 = config.map_guest_addr.v6;
    if (port.address4) port.guest_map_target4 = port.address4->address;
    if (port.address6) port.guest_map_target6 = port.address6->address;
    port.outbound4 = config.outbound.v4;
    port.outbound6 = config.outbound.v6;
    port.dns_forward4 = config.dns_forward.v4;
    port.dns_forward6 = config.dns_forward.v6;
    port.dns_host4 = dns_host(config, host, true);
    port.dns_host6 = dns_host(config, host, false);
}

}  // namespace

std::vector<core::Prefix> interface_addresses(const NamespaceConfig& config, const HostView& host) {
    std::vector<core::Prefix> all = config.addresses;
    for (const bool v4 : {true, false}) {
        if (!(v4 ? config.ipv4 : config.ipv6) || has_family(config.addresses, v4)) continue;
        if (!family(host, v4)) continue;
        const auto& copied = family(host, v4)->addresses;
        all.insert(all.end(), copied.begin(), copied.end());
    }
    return all;
}

std::vector<Route> interface_routes(const NamespaceConfig& config, const HostView& host) {
    std::vector<Route> all;
    for (const bool v4 : {true, false}) {
        if (!(v4 ? config.ipv4 : config.ipv6)) continue;
        if (const auto& configured = v4 ? config.gateway.v4 : config.gateway.v6) {
            all.push_back(default_route(*configured));
        } else if (family(host, v4)) {
            const auto& copied = family(host, v4)->routes;
            all.insert(all.end(), copied.begin(), copied.end());
        }
    }
    return all;
}

core::PortConfig port_config(const NamespaceConfig& config, const HostView& host) {
    core::PortConfig port;
    port.name = config.name;
    port.mtu = config.mtu;
    const std::vector<core::Prefix> addresses = interface_addresses(config, host);
    port.address4 = first_prefix(addresses, true);
    port.address6 = first_prefix(addresses, false);
    port.ipv4 = config.ipv4 && port.address4.has_value();
    port.ipv6 = config.ipv6 && port.address6.has_value();
    port.tcp = config.tcp;
    port.udp = config.udp;
    port.icmp = config.icmp;
    port.gateway4 = gateway(config, host, true);
    // Advertised routers have link-local addresses: the real one's if it has, as on the host.
    const auto gateway6 = gateway(config, host, false);
    if (gateway6 && gateway6->is_link_local()) port.our_link_local = *gateway6;
    port.dhcp = config.dhcp;
    port.dhcpv6 = config.dhcpv6;
    port.ndp = config.ndp;
    port.router_advertisements = config.ra;
    set_mappings(port, config, host);
    port.dns = announced_dns(config, host, port);
    port.search = config.search.value_or(host.resolver.search);
    port.hostname = config.hostname;
    port.fqdn = config.fqdn;
    port.duid_time = static_cast<uint32_t>(time(nullptr) - duid_epoch);
    return port;
}

}  // namespace pasta::control
