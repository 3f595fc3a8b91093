#include "control/forward_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <tuple>

namespace pasta::control {

namespace {

/// Ports that a rule names.
struct Claim {
    uint8_t protocol;
    size_t place;  ///< 0 = the host, else the namespace's number and one
    PortRange ports;
    std::optional<wire::IpAddress> address;
    const ForwardRule* rule;
    size_t order;  ///< in the configuration
};

void check_enabled(const NamespaceConfig& ns, const ForwardList& list, const ForwardRule& rule) {
    const bool tcp = list.protocol == IPPROTO_TCP;
    if (!(tcp ? ns.tcp : ns.udp))
        throw ConfigError(fmt::format("{}: {} is disabled", rule.origin, tcp ? "TCP" : "UDP"));
    const auto& address = rule.spec.address;
    if (address && !(address->is_v4() ? ns.ipv4 : ns.ipv6))
        throw ConfigError(fmt::format("{}: {} is of a disabled family ({} is enabled)", rule.origin,
                                      to_text(*address), ns.ipv4 ? "IPv4" : "IPv6"));
}

bool addresses_meet(const std::optional<wire::IpAddress>& a,
                    const std::optional<wire::IpAddress>& b) {
    if (!a || !b) return true;
    if (a->is_v4() != b->is_v4()) return false;
    return *a == *b || a->is_unspecified() || b->is_unspecified();
}

bool meet(const Claim& a, const Claim& b) {
    const std::string& interface = a.rule->spec.interface;
    const std::string& other = b.rule->spec.interface;
    const bool same_link = interface.empty() || other.empty() || interface == other;
    return same_link && addresses_meet(a.address, b.address);
}

[[noreturn]] void fail(const Claim& a, const Claim& b) {
    const auto& [first, second] = a.order < b.order ? std::tie(a, b) : std::tie(b, a);
    const char* protocol = a.protocol == IPPROTO_TCP ? "TCP" : "UDP";
    const uint16_t port = std::max(a.ports.first, b.ports.first);
    throw ConfigError(
        fmt::format("{}: {} port {} is taken by {} (each port once)", second.rule->origin, protocol,
                    port, first.rule == second.rule ? "the same rule" : first.rule->origin));
}

std::vector<Claim> claims_of(const std::vector<NamespaceConfig>& namespaces) {
    std::vector<Claim> claims;
    for (size_t i = 0; i < namespaces.size(); ++i)
        for (const ForwardList& list : forward_lists)
            for (const ForwardRule& rule : namespaces[i].forward.*list.rules) {
                check_enabled(namespaces[i], list, rule);
                if (rule.spec.takes_what_is_free()) continue;
                const auto address = listen_address(rule, namespaces[i].ipv4, namespaces[i].ipv6);
                const size_t place = list.side == ListenSide::host ? 0 : i + 1;
                for (const PortMapping& mapping : expand(rule.spec, {}))
                    claims.push_back(
                        {list.protocol, place, mapping.from, address, &rule, claims.size()});
            }
    return claims;
}

}  // namespace

std::optional<wire::IpAddress> listen_address(const ForwardRule& rule, bool ipv4, bool ipv6) {
    if (rule.spec.address || (ipv4 && ipv6)) return rule.spec.address;
    return ipv4 ? wire::IpAddress::v4(0) : wire::IpAddress{};
}

// A sweep over the claims by port: with those that a claim reaches into it has to get along.
void check_forwards(const std::vector<NamespaceConfig>& namespaces) {
    std::vector<Claim> claims = claims_of(namespaces);
    std::ranges::sort(claims, {}, [](const Claim& claim) {
        return std::tuple(claim.protocol, claim.place, claim.ports.first, claim.order);
    });
    std::vector<const Claim*> reaching;
    for (const Claim& claim : claims) {
        std::erase_if(reaching, [&](const Claim* other) {
            return other->protocol != claim.protocol || other->place != claim.place ||
                   other->ports.last < claim.ports.first;
        });
        for (const Claim* other : reaching)
            if (meet(*other, claim)) fail(*other, claim);
        reaching.push_back(&claim);
    }
}

}  // namespace pasta::control
