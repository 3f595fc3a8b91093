// How single values are written, in the config file and on the command line alike.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "control/config.hpp"

namespace pasta::control {

/// `message` with its control characters replaced, so that what users wrote can be quoted in one
/// line; a NUL among them would even end the what() of an exception.
std::string one_line(std::string message);

/// A value that cannot be used. what() says in one line what is wrong and in brackets what is
/// allowed, not where: that is for the reader of the file or of the command line to put in front.
class ValueError : public std::runtime_error {
  public:
    explicit ValueError(std::string message);
};

/// "TEXT is not allowed (ALLOWED)".
std::string not_allowed(std::string_view text, std::string_view allowed);

/// One kind of value: the words for what is allowed, and the reader, which gives nothing for text
/// that is not.
template <typename T>
struct ValueSyntax {
    std::string_view allowed;
    std::optional<T> (*read)(std::string_view text);

    /// The value that `text` stands for. Throws ValueError, which names `keyword`, if not empty, as
    /// one more thing that is allowed.
    T operator()(std::string_view text, std::string_view keyword = {}) const {
        if (auto value = read(text)) return *value;
        throw ValueError(not_allowed(text, words(keyword)));
    }
    /// What is allowed, with `keyword` before it if there is one.
    std::string words(std::string_view keyword = {}) const {
        if (keyword.empty()) return std::string{allowed};
        return std::string{keyword} + ", " + std::string{allowed};
    }
};

/// Nothing for the keyword that means "unset", else the value. Throws ValueError.
template <typename T>
std::optional<T> value_unless(std::string_view keyword, const ValueSyntax<T>& syntax,
                              std::string_view text) {
    if (text == keyword) return std::nullopt;
    return syntax(text, keyword);
}

// The kinds. Where a value can be left unset, the readers take a keyword besides: `auto` where the
// daemon finds the value itself, `none` where the thing is off.
extern const ValueSyntax<Workers> workers_syntax;
extern const ValueSyntax<unsigned> cpu_syntax;
extern const ValueSyntax<Polling> polling_syntax;
extern const ValueSyntax<unsigned> umem_mib_syntax;
extern const ValueSyntax<std::chrono::seconds> duration_syntax;
extern const ValueSyntax<uint32_t> mtu_syntax;
extern const ValueSyntax<Configure> configure_syntax;
extern const ValueSyntax<Queues> queues_syntax;
extern const ValueSyntax<std::string> name_syntax;
/// A name that Linux takes for a network interface, as it is (no pattern).
extern const ValueSyntax<std::string> interface_syntax;
/// A path, or the NAME of /run/netns/NAME; gives the path.
extern const ValueSyntax<std::string> netns_syntax;
extern const ValueSyntax<std::string> path_syntax;
extern const ValueSyntax<pid_t> pid_syntax;
/// ADDRESS:PORT to listen on, IPv6 in brackets; gives the text.
extern const ValueSyntax<std::string> endpoint_syntax;
/// An address that one host can be reached at, loopback excluded.
extern const ValueSyntax<wire::IpAddress> address_syntax;
/// The same with its prefix length.
extern const ValueSyntax<core::Prefix> prefix_syntax;
/// Any unicast address: a name server may well be on loopback.
extern const ValueSyntax<wire::IpAddress> server_syntax;
extern const ValueSyntax<uint8_t> netmask_syntax;
extern const ValueSyntax<wire::MacAddress> mac_syntax;
/// A host or domain name (RFC 1123, and underscores); a final dot is taken off.
extern const ValueSyntax<std::string> domain_syntax;

// The words for enumerators, as configurations write them.
std::string_view to_text(Polling polling);
std::string_view to_text(Configure configure);
std::string_view to_text(Queues queues);
/// The shortest form of whole seconds, minutes or hours: "90s", "5m", "1h"; "0" for none.
std::string to_text(std::chrono::seconds duration);

/// One of the switches that `disable` and --no-... turn off.
struct Switch {
    std::string_view name;
    std::string_view title;  ///< for --help
    bool NamespaceConfig::*on;
};
inline constexpr Switch switches[] = {
    {"ipv4", "IPv4", &NamespaceConfig::ipv4},
    {"ipv6", "IPv6", &NamespaceConfig::ipv6},
    {"tcp", "TCP", &NamespaceConfig::tcp},
    {"udp", "UDP", &NamespaceConfig::udp},
    {"icmp", "ICMP and ICMPv6 echo", &NamespaceConfig::icmp},
    {"dhcp", "DHCP server", &NamespaceConfig::dhcp},
    {"dhcpv6", "DHCPv6 server", &NamespaceConfig::dhcpv6},
    {"ndp", "neighbour discovery", &NamespaceConfig::ndp},
    {"ra", "router advertisements", &NamespaceConfig::ra},
};
extern const ValueSyntax<Switch> switch_syntax;

/// Puts an address in its family's place. Throws ValueError when that is taken.
void add_address(AddressPair& pair, const wire::IpAddress& address);
/// Appends one more. Throws ValueError when its address is there already.
void add_prefix(std::vector<core::Prefix>& prefixes, const core::Prefix& prefix);

}  // namespace pasta::control
