// Every way in which a config file can be wrong, and the line that the user gets to read.
#include <gtest/gtest.h>

#include <string>

#include "control/config.hpp"

namespace pasta::control {
namespace {

/// `yaml` and the whole message, both without the file's name.
struct Wrong {
    std::string yaml;
    std::string message;
};

std::string message_for(const std::string& yaml) {
    try {
        parse_config(yaml, "job.yaml");
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "accepted";
}

void expect_messages(const std::vector<Wrong>& table) {
    for (const auto& [yaml, message] : table)
        EXPECT_EQ(message_for(yaml), "job.yaml:" + message) << yaml;
}

/// One namespace, with `line` as the fourth line of the file.
std::string ns(const std::string& line) {
    return "namespaces:\n  - name: job\n    netns: job\n    " + line + "\n";
}

/// A top-level map with `line` as the second line of the file.
std::string in(const std::string& map, const std::string& line) {
    return map + ":\n  " + line + "\nnamespaces: []\n";
}

TEST(ConfigErrors, Structure) {
    expect_messages({
        {"",
         "1: an empty value is not allowed (a map with keys dataplane, control, host, namespaces)"},
        {"[]", "1: a list is not allowed (a map with keys dataplane, control, host, namespaces)"},
        {"host: {}", "1: namespaces is missing (a list of namespaces)"},
        {"namespaces: job", "1: namespaces: a single value is not allowed (a list of namespaces)"},
        {"namespaces: {a: b}", "1: namespaces: a map is not allowed (a list of namespaces)"},
        {"namespaces:", "1: namespaces: an empty value is not allowed (a list of namespaces)"},
        {"namespaces: []\ndataplane: fast",
         "2: dataplane: a single value is not allowed (a map with keys workers, polling, umem_mib, "
         "hash_rekey)"},
        {"namespaces: []\nhost:",
         "2: host: an empty value is not allowed (a map with keys interface)"},
        {"namespaces: []\n---\nnamespaces: []\n",
         "2: a second document, or a bracket too many (one document)"},
        {",\n", "1: a second document, or a bracket too many (one document)"},
        {"namespaces: []\n}\n", "2: illegal flow end (YAML)"},
        {"namespaces: []\n[a]: b", "2: a key is not a word (keys are words)"},
    });
}

TEST(ConfigErrors, YamlSyntax) {
    expect_messages({
        {"namespaces: [", "1: end of sequence flow not found (YAML)"},
        {"host:\n  a: 1\n b: 2\n", "3: end of map not found (YAML)"},
        {"namespaces: *nobody", "1: the referenced anchor is not defined (YAML)"},
        {"namespaces: []\nhost: @x\n", "2: unknown token (YAML)"},
    });
}

TEST(ConfigErrors, UnknownKeys) {
    expect_messages({
        {"namespaces: []\nhots: {}", "2: hots: unknown key (did you mean host?)"},
        {"namespaces: []\nverbose: 1",
         "2: verbose: unknown key (one of dataplane, control, host, namespaces)"},
        {in("dataplane", "worker: 1"), "2: dataplane.worker: unknown key (did you mean workers?)"},
        {in("host", "dns: 1"), "2: host.dns: unknown key (one of interface)"},
        {ns("mut: 1500"), "4: namespaces[0].mut: unknown key (did you mean mtu?)"},
        {ns("adresses: []"), "4: namespaces[0].adresses: unknown key (did you mean addresses?)"},
        {ns("forward: {tpc: []}"), "4: namespaces[0].forward.tpc: unknown key (did you mean tcp?)"},
        {ns("\"a\\nb\": 1\n    mtu: 1"),
         "4: namespaces[0].a?b: unknown key (one of name, netns, pid, command, interface, mtu, "
         "configure, queues, addresses, gateway, outbound, mac, ns_mac, map_host_loopback, "
         "map_guest_addr, dns_forward, dns_host, dns, search, hostname, fqdn, disable, forward, "
         "pcap)"},
        {ns("mtu: 1500\n    mtu: 1400"), "5: namespaces[0].mtu: given twice (each key once)"},
    });
}

TEST(ConfigErrors, Dataplane) {
    const std::string workers =
        "is not allowed (auto, a number from 1 to 256, or distinct CPUs such as [2, 3])";
    expect_messages({
        {in("dataplane", "workers: 0"), "2: dataplane.workers: 0 " + workers},
        {in("dataplane", "workers: 257"), "2: dataplane.workers: 257 " + workers},
        {in("dataplane", "workers: []"), "2: dataplane.workers: an empty list " + workers},
        {in("dataplane", "workers: {}"), "2: dataplane.workers: a map " + workers},
        {in("dataplane", "workers: 2,2"), "2: dataplane.workers: 2,2 " + workers},
        {in("dataplane", "workers: [0, 1024]"),
         "2: dataplane.workers[1]: 1024 is not allowed (0 to 1023)"},
        {in("dataplane", "workers: [2, 2]"),
         "2: dataplane.workers[1]: CPU 2 is given twice (each CPU once)"},
        {in("dataplane", "polling: lazy"),
         "2: dataplane.polling: lazy is not allowed (busy, adaptive, interrupt)"},
        {in("dataplane", "umem_mib: 3"), "2: dataplane.umem_mib: 3 is not allowed (4 to 65536)"},
        {in("dataplane", "umem_mib: 64.5"),
         "2: dataplane.umem_mib: 64.5 is not allowed (4 to 65536)"},
        {in("dataplane", "umem_mib: 99999999999"),
         "2: dataplane.umem_mib: 99999999999 is not allowed (4 to 65536)"},
        {in("dataplane", "hash_rekey: 60"),
         "2: dataplane.hash_rekey: 60 is not allowed (0 for never, or a time such as 30s, 10m, "
         "1h)"},
        {in("dataplane", "hash_rekey: -1s"),
         "2: dataplane.hash_rekey: -1s is not allowed (0 for never, or a time such as 30s, 10m, "
         "1h)"},
    });
}

TEST(ConfigErrors, HostAndTargets) {
    const std::string interface =
        "is not allowed (auto, an interface name of 1 to 15 characters without spaces and / : %)";
    const std::string one_of = "(one of netns, pid, command)";
    expect_messages({
        {in("host", "interface: a/b"), "2: host.interface: a/b " + interface},
        {in("host", "interface: sixteen-letters-"),
         "2: host.interface: sixteen-letters- " + interface},
        {in("host", "interface: [eth0]"), "2: host.interface: a list " + interface},
        {"namespaces:\n  - name: job\n", "2: namespaces[0]: no target is given " + one_of},
        {ns("pid: 1"), "4: namespaces[0].pid: netns is given already " + one_of},
        {"namespaces:\n- pid: 1\n  command: [ls]\n",
         "3: namespaces[0].command: pid is given already " + one_of},
        {"namespaces:\n- pid: 0\n",
         "2: namespaces[0].pid: 0 is not allowed (a process id, 1 to 4194304)"},
        {"namespaces:\n- netns: ''\n",
         "2: namespaces[0].netns: an empty value is not allowed (a path, or a name in /run/netns)"},
        {"namespaces:\n- netns: ..\n",
         "2: namespaces[0].netns: .. is not allowed (a path, or a name in /run/netns)"},
        {"namespaces:\n- command: bash\n",
         "2: namespaces[0].command: a single value is not allowed (a list of words, such as [bash, "
         "-l])"},
        {"namespaces:\n- command: []\n",
         "2: namespaces[0].command: an empty list is not allowed (a command and its arguments)"},
        {"namespaces:\n- command: [sh, ~]\n",
         "2: namespaces[0].command[1]: an empty value is not allowed (a word)"},
        {"namespaces:\n- command: ['']\n",
         "2: namespaces[0].command: an empty command is not allowed (a command to run)"},
        {"namespaces:\n- netns: a\n- netns: b\n  name: a\n",
         "4: namespaces[1].name: the name a is given twice (distinct names)"},
        {"namespaces:\n- netns: a\n- netns: /tmp/a\n",
         "3: namespaces[1]: the name a is given twice (distinct names)"},
        {"namespaces:\n- netns: a\n  name: a b\n",
         "3: namespaces[0].name: a b is not allowed (1 to 63 letters, digits and any of . _ -)"},
    });
}

TEST(ConfigErrors, Link) {
    expect_messages({
        {ns("mtu: 70000"), "4: namespaces[0].mtu: 70000 is not allowed (68 to 65520)"},
        {ns("mtu: 67"), "4: namespaces[0].mtu: 67 is not allowed (68 to 65520)"},
        {ns("mtu: fast"), "4: namespaces[0].mtu: fast is not allowed (68 to 65520)"},
        {ns("mtu: [1500]"), "4: namespaces[0].mtu: a list is not allowed (68 to 65520)"},
        {ns("mtu:"), "4: namespaces[0].mtu: an empty value is not allowed (68 to 65520)"},
        {ns("configure: static"),
         "4: namespaces[0].configure: static is not allowed (netlink, dhcp, none)"},
        {ns("queues: 2"), "4: namespaces[0].queues: 2 is not allowed (1, all)"},
        {ns("mac: 01:00:00:00:00:01"),
         "4: namespaces[0].mac: 01:00:00:00:00:01 is not allowed (a unicast MAC address such as "
         "02:00:00:00:00:01)"},
        {ns("ns_mac: none"),
         "4: namespaces[0].ns_mac: none is not allowed (auto, a unicast MAC address such as "
         "02:00:00:00:00:01)"},
    });
}

TEST(ConfigErrors, Addresses) {
    const std::string unicast = "an IPv4 or IPv6 unicast address, not loopback)";
    const std::string prefix = "a unicast address with its prefix length, such as 198.51.100.1/24)";
    expect_messages({
        {ns("addresses: [198.51.100.1]"),
         "4: namespaces[0].addresses[0]: 198.51.100.1 is not allowed (" + prefix},
        {ns("addresses: 198.51.100.1/33"),
         "4: namespaces[0].addresses: 198.51.100.1/33 is not allowed (auto, " + prefix},
        {ns("addresses: []"),
         "4: namespaces[0].addresses: an empty list is not allowed (auto, " + prefix},
        {ns("addresses: [198.51.100.1/24, 127.0.0.1/8]"),
         "4: namespaces[0].addresses[1]: 127.0.0.1/8 is not allowed (" + prefix},
        {ns("addresses:\n    - 198.51.100.1/24\n    - 198.51.100.1/32"),
         "6: namespaces[0].addresses[1]: 198.51.100.1 is given twice (each address once)"},
        {ns("gateway: 224.0.0.1"),
         "4: namespaces[0].gateway: 224.0.0.1 is not allowed (auto, " + unicast},
        {ns("gateway: [198.51.100.1, 198.51.100.2]"),
         "4: namespaces[0].gateway[1]: 198.51.100.2 after 198.51.100.1 (one address for each "
         "family)"},
        {ns("outbound: {}"), "4: namespaces[0].outbound: a map is not allowed (auto, " + unicast},
        {ns("map_host_loopback: yes"),
         "4: namespaces[0].map_host_loopback: yes is not allowed (gateway, none, " + unicast},
        {ns("map_guest_addr: 0.0.0.0"),
         "4: namespaces[0].map_guest_addr: 0.0.0.0 is not allowed (none, " + unicast},
    });
}

TEST(ConfigErrors, Naming) {
    const std::string unicast = "an IPv4 or IPv6 unicast address, not loopback)";
    const std::string domain = "a domain name of letters, digits, - and _)";
    expect_messages({
        {ns("dns_forward: auto"),
         "4: namespaces[0].dns_forward: auto is not allowed (none, " + unicast},
        {ns("dns_host: resolver"),
         "4: namespaces[0].dns_host: resolver is not allowed (auto, an IPv4 or IPv6 unicast "
         "address)"},
        {ns("dns: [198.51.100.1, ns1]"), "4: namespaces[0].dns[1]: ns1 is not allowed (" + unicast},
        {ns("dns: ns1"), "4: namespaces[0].dns: ns1 is not allowed (auto, none, " + unicast},
        {ns("search: [a..b]"), "4: namespaces[0].search[0]: a..b is not allowed (" + domain},
        {ns("hostname: -x"), "4: namespaces[0].hostname: -x is not allowed (none, " + domain},
        {ns("fqdn: a b"), "4: namespaces[0].fqdn: a b is not allowed (none, " + domain},
    });
}

TEST(ConfigErrors, Contradictions) {
    expect_messages({
        {ns("disable: ipv4"),
         "4: namespaces[0].disable: a single value is not allowed (a list of ipv4, ipv6, tcp, udp, "
         "icmp, dhcp, dhcpv6, ndp, ra)"},
        {ns("disable: [dns]"),
         "4: namespaces[0].disable[0]: dns is not allowed (ipv4, ipv6, tcp, udp, icmp, dhcp, "
         "dhcpv6, "
         "ndp, ra)"},
        {ns("disable: [ipv4, ipv6]"),
         "4: namespaces[0].disable: ipv4 and ipv6 are both disabled (at most one of them)"},
        {ns("disable: [ipv6]\n    addresses: [198.51.100.1/24, 2001:db8::1/64]"),
         "5: namespaces[0].addresses: 2001:db8::1 is of a disabled family (IPv4 is enabled)"},
        {ns("disable: [ipv4]\n    dns_forward: 169.254.1.1"),
         "5: namespaces[0].dns_forward: 169.254.1.1 is of a disabled family (IPv6 is enabled)"},
        {ns("dns_host: 198.51.100.53"),
         "4: namespaces[0].dns_host: no dns_forward of that family (both or only dns_forward)"},
        {ns("dns_forward: 169.254.1.1\n    dns_host: 2001:db8::53"),
         "5: namespaces[0].dns_host: no dns_forward of that family (both or only dns_forward)"},
    });
}

TEST(ConfigErrors, NotImplementedYet) {
    expect_messages({
        {in("control", "socket: /run/pasta-xdp.sock"),
         "2: control.socket: not implemented yet (none)"},
        {in("control", "metrics: 127.0.0.1:9469"),
         "2: control.metrics: not implemented yet (none)"},
        {in("control", "metrics: '[::1]:9469'"), "2: control.metrics: not implemented yet (none)"},
        {ns("pcap: /tmp/job.pcap"), "4: namespaces[0].pcap: not implemented yet (none)"},
    });
}

TEST(ConfigErrors, KeysToComeAreCheckedAllTheSame) {
    expect_messages({
        {in("control", "socket: ''"),
         "2: control.socket: an empty value is not allowed (none, a path)"},
        {in("control", "metrics: 9469"),
         "2: control.metrics: 9469 is not allowed (none, ADDRESS:PORT)"},
        {in("control", "metrics: ::1:9469"),
         "2: control.metrics: ::1:9469 is not allowed (none, ADDRESS:PORT)"},
        {in("control", "metrics: 127.0.0.1:70000"),
         "2: control.metrics: 127.0.0.1:70000 is not allowed (none, ADDRESS:PORT)"},
        {ns("pcap: []"), "4: namespaces[0].pcap: a list is not allowed (none, a path)"},
    });
}

TEST(ConfigErrors, Forward) {
    expect_messages({
        {ns("forward: []"),
         "4: namespaces[0].forward: a list is not allowed (a map with keys tcp, udp, tcp_to_host, "
         "udp_to_host)"},
        {ns("forward: {tcp: 80}"),
         "4: namespaces[0].forward.tcp: a single value is not allowed (a list of port "
         "specifications)"},
        {ns("forward:\n      tcp:\n      - 80\n      - 90-80"),
         "7: namespaces[0].forward.tcp[1]: 90-80 is a reversed range (FIRST-LAST with FIRST <= "
         "LAST)"},
        {ns("forward: {udp: [[53]]}"),
         "4: namespaces[0].forward.udp[0]: a list is not allowed (a port specification such as "
         "\"8080:80\")"},
        {ns("forward: {tcp_to_host: ['127.0.0.1:80:80']}"),
         "4: namespaces[0].forward.tcp_to_host[0]: 127.0.0.1/80:80 names an address or interface "
         "to "
         "listen on (ports only, the namespace's loopback is listened on)"},
        {ns("forward:\n      tcp: [80, auto]"),
         "5: namespaces[0].forward.tcp[1]: auto stands alone (no ports beside it)"},
        {ns("forward: {udp: [none, 53]}"),
         "4: namespaces[0].forward.udp[1]: none stands alone (no ports beside it)"},
        {ns("disable: [udp]\n    forward: {tcp: [53], udp: [53]}"),
         "5: namespaces[0].forward.udp[0]: UDP is disabled"},
        {ns("disable: [ipv6]\n    forward: {tcp: ['[::1]:80:80']}"),
         "5: namespaces[0].forward.tcp[0]: ::1 is of a disabled family (IPv4 is enabled)"},
    });
}

std::string message_for_file(const std::string& path) {
    try {
        load_config(path);
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "accepted";
}

TEST(ConfigErrors, FilesThatCannotBeRead) {
    EXPECT_EQ(message_for_file("/nonexistent/x.yaml"),
              "/nonexistent/x.yaml: No such file or directory (a readable file)");
    EXPECT_EQ(message_for_file("/"), "/: Is a directory (a readable file)");
}

}  // namespace
}  // namespace pasta::control
