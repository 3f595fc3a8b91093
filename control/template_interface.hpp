// What a namespace copies from the host: addresses, routes, MTU, resolver.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/namespace.hpp"
#include "control/netlink.hpp"

namespace pasta::control {

/// The template for one address family.
struct TemplateFamily {
    LinkInfo link;
    std::vector<core::Prefix> addresses;     ///< not link-local, not deprecated; first is preferred
    std::optional<wire::IpAddress> gateway;  ///< of the default route; heaviest hop of a multipath
    /// Via the template only; next hops have link 0. Copies of what the kernel makes by itself with
    /// an address or a link (link-local prefixes) are left out.
    std::vector<Route> routes;
};

/// The host as seen by namespaces. A family without a usable interface is absent.
struct TemplateInterface {
    std::string name;  ///< of the IPv4 template, else the IPv6 one, else "tap0"
    std::optional<TemplateFamily> ipv4, ipv6;
    /// Nothing to copy in either family: ipv4 is 169.254.2.1/16 with gateway 169.254.2.2, and
    /// there is no global IPv6.
    bool local_mode = false;
    std::vector<std::string> warnings;  ///< one line each
};

/// Chooses per family: `wanted` if given; else the interface of the first default route; else the
/// first with any unicast route that is not link-local. A wanted interface that does not exist
/// throws std::runtime_error; netlink failures throw NetlinkError.
TemplateInterface read_template(Netlink& host, const std::optional<std::string>& wanted);

/// Resolver settings of resolv.conf(5).
struct ResolverConfig {
    std::vector<wire::IpAddress> servers;  ///< IPv6 scope ids are dropped
    std::vector<std::string> search;       ///< without final dots
};

/// Unreadable or malformed lines are left out; a missing file gives an empty result.
ResolverConfig read_resolver_config(const std::string& path = "/etc/resolv.conf");
ResolverConfig parse_resolver_config(const std::string& text);

}  // namespace pasta::control
