#include "control/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/value_syntax.hpp"

namespace pasta::control {

namespace {

template <typename... Cases>
struct Overloaded : Cases... {
    using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

/// The last part of a path, with what a name may not have replaced.
std::string name_from_path(const std::string& path) {
    const size_t end = path.find_last_not_of('/');
    const size_t slash = path.find_last_of('/', end);
    std::string name = path.substr(slash + 1, end - slash);
    name.resize(std::min<size_t>(name.size(), 63));
    for (char& c : name)
        if (!name_syntax.read({&c, 1})) c = '_';
    return name.empty() ? "namespace" : name;
}

/// A setting with addresses, and what it holds.
struct AddressSetting {
    std::string_view key;
    AddressPair addresses;
};

std::optional<Contradiction> find_disabled_family(const NamespaceConfig& ns) {
    const auto check = [&](std::string_view key,
                           const wire::IpAddress& address) -> std::optional<Contradiction> {
        if (address.is_v4() ? ns.ipv4 : ns.ipv6) return std::nullopt;
        return Contradiction{key, fmt::format("{} is of a disabled family ({} is enabled)",
                                              to_text(address), ns.ipv4 ? "IPv4" : "IPv6")};
    };
    for (const core::Prefix& prefix : ns.addresses)
        if (auto found = check("addresses", prefix.address)) return found;
    const AddressSetting settings[] = {
        {"gateway", ns.gateway},
        {"outbound", ns.outbound},
        {"map_host_loopback", ns.map_host_loopback.value_or(AddressPair{})},
        {"map_guest_addr", ns.map_guest_addr},
        {"dns_forward", ns.dns_forward},
    };
    for (const auto& [key, addresses] : settings)
        for (const auto& address : {addresses.v4, addresses.v6})
            if (address)
                if (auto found = check(key, *address)) return found;
    return std::nullopt;
}

}  // namespace

ConfigError::ConfigError(std::string message) : std::runtime_error(one_line(std::move(message))) {}

std::string default_name(const Target& target) {
    return std::visit(
        Overloaded{
            [](const NetnsPath& netns) { return name_from_path(netns.path); },
            [](const NetnsPid& process) { return fmt::format("pid-{}", process.pid); },
            [](const NetnsCommand& command) { return name_from_path(command.argv.front()); },
        },
        target);
}

std::optional<Contradiction> complete(NamespaceConfig& ns) {
    if (ns.name.empty()) ns.name = default_name(ns.target);
    if (ns.configure == Configure::netlink) ns.ra = false;
    drop_none(ns.forward);

    if (!ns.ipv4 && !ns.ipv6)
        return Contradiction{"disable", "ipv4 and ipv6 are both disabled (at most one of them)"};
    if (auto found = find_disabled_family(ns)) return found;
    if ((ns.dns_host.v4 && !ns.dns_forward.v4) || (ns.dns_host.v6 && !ns.dns_forward.v6))
        return Contradiction{"dns_host",
                             "no dns_forward of that family (both or only dns_forward)"};
    return std::nullopt;
}

}  // namespace pasta::control
