// What a namespace forwards: `forward` in the config file, -t, -u, -T and -U on the command line.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/port_spec.hpp"

namespace pasta::control {

/// One entry of a list.
struct ForwardRule {
    PortSpec spec;
    std::string origin;  ///< for messages: FILE:LINE: KEY, or the option with its value

    /// The same rule may have moved to another line.
    bool operator==(const ForwardRule& other) const { return spec == other.spec; }
};
using ForwardRules = std::vector<ForwardRule>;

/// The four lists; an empty one = none. A rule that is `auto` or `all` is alone in its list.
struct ForwardConfig {
    ForwardRules tcp, udp;                  ///< listens on the host, leads to the namespace
    ForwardRules tcp_to_host, udp_to_host;  ///< the other way round

    bool operator==(const ForwardConfig&) const = default;
};

/// One of the four, for those who treat them alike.
struct ForwardList {
    const char* key;           ///< in the config file
    const char* options;       ///< on the command line
    std::string_view summary;  ///< for --help
    ForwardRules ForwardConfig::*rules;
    ListenSide side;
    uint8_t protocol;  ///< IPPROTO_TCP or IPPROTO_UDP

    /// The long one of `options`.
    std::string_view option() const {
        const std::string_view both = options;
        return both.substr(both.find("--"));
    }
};
inline constexpr ForwardList forward_lists[] = {
    {"tcp", "-t,--tcp-ports", "TCP ports of the host forwarded to the namespace",
     &ForwardConfig::tcp, ListenSide::host, IPPROTO_TCP},
    {"udp", "-u,--udp-ports", "UDP ports of the host forwarded to the namespace",
     &ForwardConfig::udp, ListenSide::host, IPPROTO_UDP},
    {"tcp_to_host", "-T,--tcp-ns", "TCP ports of the namespace forwarded to the host",
     &ForwardConfig::tcp_to_host, ListenSide::ns, IPPROTO_TCP},
    {"udp_to_host", "-U,--udp-ns", "UDP ports of the namespace forwarded to the host",
     &ForwardConfig::udp_to_host, ListenSide::ns, IPPROTO_UDP},
};

/// Appends a rule. Throws ValueError (control/value_syntax.hpp) when one of the two wants the list
/// for itself (none, auto, all).
void add_rule(ForwardRules& rules, ForwardRule rule);

/// Takes the rules that say `none` out: they were there to be alone.
void drop_none(ForwardConfig& forward);

/// Gives `auto` to each list that has no rule yet and whose protocol is on: the command line's
/// default.
void add_automatic(ForwardConfig& forward, bool tcp, bool udp);

}  // namespace pasta::control
