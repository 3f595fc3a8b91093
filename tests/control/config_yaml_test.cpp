// What config files and to_yaml() mean when nothing is wrong.
#include <gtest/gtest.h>

#include <filesystem>

#include "control/config.hpp"

namespace pasta::control {
namespace {

using wire::IpAddress;
using wire::MacAddress;

Config parse(const std::string& yaml) {
    return parse_config(yaml, "test.yaml");
}

/// The only namespace of a file, with `lines` among its keys.
NamespaceConfig parse_ns(const std::string& lines) {
    return parse("namespaces:\n  - netns: job\n    " + lines + "\n").namespaces.at(0);
}

IpAddress address(const char* text) {
    return parse_address(text).value();
}

TEST(ConfigYaml, EverythingHasADefault) {
    const Config config = parse("namespaces: [{netns: job}]");
    NamespaceConfig ns;
    ns.name = "job";
    ns.target = NetnsPath{"/run/netns/job"};
    ns.ra = false;
    Config expected;
    expected.namespaces = {ns};
    EXPECT_EQ(config, expected);

    EXPECT_EQ(config.dataplane.workers, Workers{AutoWorkers{}});
    EXPECT_EQ(config.dataplane.polling, Polling::adaptive);
    EXPECT_EQ(config.dataplane.umem_mib, 64u);
    EXPECT_EQ(config.dataplane.hash_rekey, std::chrono::hours{1});
    EXPECT_EQ(config.namespaces[0].mtu, 65520u);
    EXPECT_EQ(config.namespaces[0].configure, Configure::netlink);
}

TEST(ConfigYaml, NoNamespacesIsAConfiguration) {
    EXPECT_EQ(parse("namespaces: []"), Config{});
}

TEST(ConfigYaml, Dataplane) {
    const auto dataplane = [](const std::string& line) {
        return parse("dataplane: {" + line + "}\nnamespaces: []").dataplane;
    };
    EXPECT_EQ(dataplane("workers: 4").workers, Workers{WorkerCount{4}});
    EXPECT_EQ(dataplane("workers: [2, 3]").workers, (Workers{WorkerCpus{{2, 3}}}));
    EXPECT_EQ(dataplane("workers: [2]").workers, Workers{WorkerCpus{{2}}});
    EXPECT_EQ(dataplane("polling: busy").polling, Polling::busy);
    EXPECT_EQ(dataplane("polling: interrupt").polling, Polling::interrupt);
    EXPECT_EQ(dataplane("umem_mib: 512").umem_mib, 512u);
    EXPECT_EQ(dataplane("hash_rekey: 0").hash_rekey.count(), 0);
    EXPECT_EQ(dataplane("hash_rekey: 30m").hash_rekey.count(), 1800);
    EXPECT_EQ(dataplane("hash_rekey: 10s").hash_rekey.count(), 10);
}

TEST(ConfigYaml, Targets) {
    const auto target = [](const std::string& line) {
        return parse("namespaces: [{" + line + "}]").namespaces.at(0).target;
    };
    EXPECT_EQ(target("netns: job-1"), Target{NetnsPath{"/run/netns/job-1"}});
    EXPECT_EQ(target("netns: /proc/7/ns/net"), Target{NetnsPath{"/proc/7/ns/net"}});
    EXPECT_EQ(target("netns: 7"), Target{NetnsPath{"/run/netns/7"}});
    EXPECT_EQ(target("pid: 4711"), Target{NetnsPid{4711}});
    EXPECT_EQ(target("command: [bash, -l, '']"), (Target{NetnsCommand{{"bash", "-l", ""}}}));
}

TEST(ConfigYaml, NameComesFromTheTarget) {
    EXPECT_EQ(default_name(NetnsPath{"/run/netns/job-1"}), "job-1");
    EXPECT_EQ(default_name(NetnsPath{"/run/netns/job 1/"}), "job_1");
    EXPECT_EQ(default_name(NetnsPath{"/"}), "namespace");
    EXPECT_EQ(default_name(NetnsPath{"/x/" + std::string(100, 'a')}), std::string(63, 'a'));
    EXPECT_EQ(default_name(NetnsPid{4711}), "pid-4711");
    EXPECT_EQ(default_name(NetnsCommand{{"/usr/bin/env", "ls"}}), "env");
}

TEST(ConfigYaml, Link) {
    EXPECT_EQ(parse_ns("interface: eth0").interface, "eth0");
    EXPECT_EQ(parse_ns("interface: auto").interface, std::nullopt);
    EXPECT_EQ(parse_ns("mtu: 1500").mtu, 1500u);
    EXPECT_EQ(parse_ns("mtu: 68").mtu, 68u);
    EXPECT_EQ(parse_ns("queues: all").queues, Queues::all);
    EXPECT_EQ(parse_ns("mac: 02:00:00:00:00:01").mac, (MacAddress{{2, 0, 0, 0, 0, 1}}));
    EXPECT_EQ(parse_ns("ns_mac: 02:00:00:00:00:01").ns_mac, (MacAddress{{2, 0, 0, 0, 0, 1}}));
}

TEST(ConfigYaml, RouterAdvertisementsAreOffWhereNetlinkConfigures) {
    EXPECT_FALSE(parse_ns("configure: netlink").ra);
    EXPECT_TRUE(parse_ns("configure: dhcp").ra);
    EXPECT_TRUE(parse_ns("configure: none").ra);
}

TEST(ConfigYaml, AddressesAreOneOrAList) {
    const core::Prefix v4{IpAddress::v4(198, 51, 100, 1), 24};
    const core::Prefix v6{address("2001:db8:1::1"), 64};
    EXPECT_EQ(parse_ns("addresses: 198.51.100.1/24").addresses, std::vector{v4});
    EXPECT_EQ(parse_ns("addresses: [198.51.100.1/24, \"2001:db8:1::1/64\"]").addresses,
              (std::vector{v4, v6}));
    EXPECT_TRUE(parse_ns("addresses: auto").addresses.empty());
}

TEST(ConfigYaml, OneAddressForEachFamily) {
    const AddressPair both{address("198.51.100.254"), address("fe80::1")};
    EXPECT_EQ(parse_ns("gateway: [fe80::1, 198.51.100.254]").gateway, both);
    EXPECT_EQ(parse_ns("outbound: 198.51.100.254").outbound, (AddressPair{both.v4, {}}));
    EXPECT_EQ(parse_ns("map_guest_addr: fe80::1").map_guest_addr, (AddressPair{{}, both.v6}));
    EXPECT_TRUE(parse_ns("gateway: auto").gateway.empty());
}

TEST(ConfigYaml, HostLoopbackIsAtTheGatewayUnlessSaidOtherwise) {
    EXPECT_EQ(parse_ns("map_host_loopback: gateway").map_host_loopback, std::nullopt);
    EXPECT_EQ(parse_ns("map_host_loopback: none").map_host_loopback, AddressPair{});
    EXPECT_EQ(parse_ns("map_host_loopback: 198.51.100.9").map_host_loopback,
              (AddressPair{address("198.51.100.9"), {}}));
}

TEST(ConfigYaml, NameServers) {
    const NamespaceConfig ns = parse_ns(
        "dns_forward: 169.254.1.1\n    dns_host: 127.0.0.53\n    dns: [198.51.100.53, "
        "2001:db8::53]\n    search: [example.net., lab_1.example]");
    EXPECT_EQ(ns.dns_forward.v4, address("169.254.1.1"));
    EXPECT_EQ(ns.dns_host.v4, address("127.0.0.53"));
    EXPECT_EQ(ns.dns, (std::vector{address("198.51.100.53"), address("2001:db8::53")}));
    EXPECT_EQ(ns.search, (std::vector<std::string>{"example.net", "lab_1.example"}));
    EXPECT_EQ(parse_ns("dns: none").dns, std::vector<IpAddress>{});
    EXPECT_EQ(parse_ns("dns: auto").dns, std::nullopt);
    EXPECT_EQ(parse_ns("search: none").search, std::vector<std::string>{});
}

TEST(ConfigYaml, SwitchesTurnOff) {
    const NamespaceConfig ns = parse_ns("disable: [ipv6, tcp, udp, icmp, dhcp, dhcpv6, ndp]");
    EXPECT_TRUE(ns.ipv4);
    EXPECT_FALSE(ns.ipv6 || ns.tcp || ns.udp || ns.icmp || ns.dhcp || ns.dhcpv6 || ns.ndp);
}

TEST(ConfigYaml, KeysToComeMayBeOff) {
    EXPECT_EQ(parse("control: {socket: none, metrics: none}\n"
                    "namespaces: [{netns: job, pcap: none}]"),
              parse("namespaces: [{netns: job}]"));
}

TEST(ConfigYaml, Forward) {
    const ForwardConfig forward =
        parse_ns(
            "forward:\n      tcp: ['8080:80', 127.0.0.1:2222:22]\n      udp: [none]\n"
            "      tcp_to_host: [3128]\n      udp_to_host: [auto]")
            .forward;
    ASSERT_EQ(forward.tcp.size(), 2u);
    EXPECT_EQ(forward.tcp[0].spec, parse_port_spec("8080:80", ListenSide::host));
    EXPECT_EQ(forward.tcp[1].spec, parse_port_spec("127.0.0.1/2222:22", ListenSide::host));
    EXPECT_EQ(forward.tcp[1].origin, "test.yaml:4: namespaces[0].forward.tcp[1]");
    EXPECT_TRUE(forward.udp.empty());
    EXPECT_EQ(forward.tcp_to_host.at(0).spec, parse_port_spec("3128", ListenSide::ns));
    EXPECT_EQ(forward.udp_to_host.at(0).spec, parse_port_spec("auto", ListenSide::ns));
    EXPECT_EQ(parse_ns("forward: {tcp: [], udp: []}").forward, ForwardConfig{});
}

/// A namespace in which nothing is as it is by default.
NamespaceConfig unusual_namespace() {
    NamespaceConfig ns;
    ns.name = "null";
    ns.target = NetnsCommand{{"sh", "-c", "echo 'a: b' # \"c\"\n\texit", "", "~", "null", "[x", "7",
                              "- ", "ünï", "*a", "&b", "!c", "%d", "@e", "`f"}};
    ns.interface = "eth0";
    ns.mtu = 1400;
    ns.configure = Configure::dhcp;
    ns.queues = Queues::all;
    ns.addresses = {{address("198.51.100.1"), 24}, {address("::2"), 64}};
    ns.gateway = {address("198.51.100.254"), address("fe80::1")};
    ns.outbound = {{}, address("2001:db8::9")};
    ns.mac = {{2, 0, 0, 0, 0, 1}};
    ns.ns_mac = MacAddress{{2, 0, 0, 0, 0, 2}};
    ns.map_host_loopback = AddressPair{address("198.51.100.9"), {}};
    ns.map_guest_addr = {address("169.254.1.2"), {}};
    ns.dns_forward = {address("169.254.1.1"), address("fd00::53")};
    ns.dns_host = {address("127.0.0.53"), address("::1")};
    ns.dns = {address("198.51.100.53")};
    ns.search = {"example.net", "true"};
    ns.hostname = "box";
    ns.fqdn = "box.example.net";
    for (const char* spec : {"8080:80", "[::1]%lo/22,100-200:300-400,~150,~160-170", "%lo/~80"})
        ns.forward.tcp.push_back({parse_port_spec(spec, ListenSide::host), ""});
    ns.forward.udp = {{parse_port_spec("127.0.0.1/auto", ListenSide::host), ""}};
    ns.forward.tcp_to_host = {{parse_port_spec("all", ListenSide::ns), ""}};
    ns.icmp = ns.dhcp = ns.dhcpv6 = ns.ndp = ns.ra = false;
    return ns;
}

TEST(ConfigYaml, WhatIsWrittenReadsTheSame) {
    Config config;
    config.namespaces = {unusual_namespace()};
    NamespaceConfig plain;
    plain.name = "plain";
    plain.target = NetnsPid{7};
    plain.configure = Configure::none;
    plain.ipv6 = false;
    plain.map_host_loopback = AddressPair{};
    plain.dns.emplace();
    plain.search.emplace();
    config.namespaces.push_back(plain);
    config.host.interface = "uplink";
    config.dataplane = {WorkerCpus{{2, 3}}, Polling::interrupt, 128, std::chrono::seconds{90}};
    EXPECT_EQ(parse(to_yaml(config)), config) << to_yaml(config);
}

TEST(ConfigYaml, DefaultsAreWrittenAndReadTheSame) {
    for (const char* yaml : {"namespaces: []", "namespaces: [{netns: job}, {pid: 4711}]",
                             "dataplane: {workers: 3, hash_rekey: 0}\nnamespaces: []",
                             "dataplane: {workers: [1], hash_rekey: 7m}\nnamespaces: []"}) {
        const Config config = parse(yaml);
        EXPECT_EQ(parse(to_yaml(config)), config) << to_yaml(config);
    }
}

TEST(ConfigYaml, ExamplesAreValid) {
    const auto directory = std::filesystem::path{__FILE__}.parent_path() / "../../configs";
    size_t examples = 0;
    for (const auto& entry : std::filesystem::directory_iterator{directory}) {
        if (entry.path().extension() != ".yaml") continue;
        const Config config = load_config(entry.path().string());
        EXPECT_EQ(parse(to_yaml(config)), config) << entry.path();
        ++examples;
    }
    EXPECT_GE(examples, 3u);
}

}  // namespace
}  // namespace pasta::control
