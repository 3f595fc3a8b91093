// The effective configuration: what a config file and the command line for one namespace both
// produce. Every field has its default here; what only the running system can answer stays "unset"
// and is resolved by the daemon. The keys are those of configs/example.yaml.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "control/forward_config.hpp"
#include "control/ip_text.hpp"
#include "dataplane/core/port_config.hpp"
#include "dataplane/wire/address.hpp"

namespace pasta::control {

/// A configuration that cannot be used. what() is one complete line, made for the user: where
/// (FILE:LINE: KEY, or the option), what is wrong, and in brackets what is allowed.
class ConfigError : public std::runtime_error {
  public:
    /// Control characters that came with the user's text are replaced, so that it is one line.
    explicit ConfigError(std::string message);
};

/// One worker per usable CPU but one, at least one.
struct AutoWorkers {
    bool operator==(const AutoWorkers&) const = default;
};
/// So many workers; which CPUs they are pinned to is left to the daemon.
struct WorkerCount {
    unsigned count = 1;
    bool operator==(const WorkerCount&) const = default;
};
/// One worker pinned to each of these CPUs (kernel numbering, no CPU twice, not empty).
struct WorkerCpus {
    std::vector<unsigned> cpus;
    bool operator==(const WorkerCpus&) const = default;
};
using Workers = std::variant<AutoWorkers, WorkerCount, WorkerCpus>;

/// What a worker does when there is no work: spin, spin for a while and then sleep, or sleep.
enum class Polling { busy, adaptive, interrupt };

struct DataplaneConfig {
    Workers workers = AutoWorkers{};
    Polling polling = Polling::adaptive;
    unsigned umem_mib = 64;                 ///< frame memory of the process, MiB
    std::chrono::seconds hash_rekey{3600};  ///< period of the flow-hash key; 0 = never

    bool operator==(const DataplaneConfig&) const = default;
};

struct HostConfig {
    /// Template for addresses, routes and DNS; unset = interface of the default route.
    std::optional<std::string> interface;

    bool operator==(const HostConfig&) const = default;
};

/// A network namespace bound to a file, for example /run/netns/NAME.
struct NetnsPath {
    std::string path;
    bool operator==(const NetnsPath&) const = default;
};
/// The network namespace of a running process.
struct NetnsPid {
    pid_t pid = 0;
    bool operator==(const NetnsPid&) const = default;
};
/// A new namespace, with this command (not empty) run in it once it is connected.
struct NetnsCommand {
    std::vector<std::string> argv;
    bool operator==(const NetnsCommand&) const = default;
};
using Target = std::variant<NetnsPath, NetnsPid, NetnsCommand>;

/// How the interface in the namespace gets addresses and routes: from us by netlink, by a DHCP or
/// SLAAC client in the namespace that asks our servers, or by somebody else.
enum class Configure { netlink, dhcp, none };

/// Queues of the namespace's interface: one, or one per worker.
enum class Queues { one, all };

/// At most one address for each family.
struct AddressPair {
    std::optional<wire::IpAddress> v4, v6;

    bool empty() const { return !v4 && !v6; }
    bool operator==(const AddressPair&) const = default;
};

struct NamespaceConfig {
    std::string name;  ///< unique; default: from the target, see default_name()
    Target target;

    std::optional<std::string> interface;  ///< name in the namespace; unset = the template's
    uint32_t mtu = 65520;                  ///< bytes of an IP packet
    Configure configure = Configure::netlink;
    Queues queues = Queues::one;

    /// Unset (empty) = copied from the template.
    std::vector<core::Prefix> addresses;
    /// Unset = the template's default gateway of that family.
    AddressPair gateway;
    /// Source address of host sockets; unset = the kernel's choice.
    AddressPair outbound;
    /// Our address on the link.
    wire::MacAddress mac{{0x9a, 0x55, 0x9a, 0x55, 0x9a, 0x55}};
    /// Of the interface in the namespace; unset = the kernel's choice.
    std::optional<wire::MacAddress> ns_mac;

    /// Flows to these addresses reach 127.0.0.1 and ::1 of the host; unset = the gateway's
    /// addresses, an empty pair = none.
    std::optional<AddressPair> map_host_loopback;
    /// Flows to these addresses reach the host at the address that the namespace has as its own;
    /// empty = none.
    AddressPair map_guest_addr;

    /// Flows to port 53 and 853 of these addresses reach dns_host; empty = none.
    AddressPair dns_forward;
    /// Unset = the first name server of that family in the host's resolv.conf.
    AddressPair dns_host;
    /// Name servers to announce; unset = the host's, empty = none.
    std::optional<std::vector<wire::IpAddress>> dns;
    /// Domains to search, without a final dot; unset = the host's, empty = none.
    std::optional<std::vector<std::string>> search;
    std::string hostname;  ///< to announce; empty = none
    std::string fqdn;      ///< to announce; empty = none

    ForwardConfig forward;

    // Off by the key `disable`, or by --no-dhcp and so on.
    bool ipv4 = true, ipv6 = true;
    bool tcp = true, udp = true, icmp = true;
    bool dhcp = true, dhcpv6 = true, ndp = true;
    bool ra = true;  ///< router advertisements; always off with Configure::netlink

    bool operator==(const NamespaceConfig&) const = default;
};

struct Config {
    DataplaneConfig dataplane;
    HostConfig host;
    std::vector<NamespaceConfig> namespaces;  ///< with distinct names; may be empty

    bool operator==(const Config&) const = default;
};

/// Reads and checks a YAML file. Throws ConfigError.
Config load_config(const std::string& path);

/// The same from text; `file` stands in messages. Throws ConfigError.
Config parse_config(const std::string& text, const std::string& file);

/// The whole configuration as YAML, every key written out. parse_config() gives the same Config.
std::string to_yaml(const Config& config);

/// The name of a namespace that was given none: the last part of the path, "pid-N", or the name of
/// the command.
std::string default_name(const Target& target);

/// Two settings that contradict each other.
struct Contradiction {
    std::string_view key;  ///< of the config file, inside namespaces[i]
    std::string text;      ///< what is wrong (what is allowed)
};

/// Fills in what follows from other settings (the name; no router advertisements with
/// Configure::netlink) and looks for settings that contradict each other; the first one, if any.
std::optional<Contradiction> complete(NamespaceConfig& ns);

}  // namespace pasta::control
