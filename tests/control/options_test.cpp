#include "control/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace pasta::control {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

using Words = std::vector<const char*>;

Options parse(Words words) {
    words.insert(words.begin(), "pasta-xdp");
    return parse_options(static_cast<int>(words.size()), words.data());
}

/// The namespace that the options in front of a PID describe.
NamespaceConfig parse_ns(Words words) {
    words.push_back("4711");
    return parse(words).config.namespaces.at(0);
}

Target target_of(Words words) {
    return parse(std::move(words)).config.namespaces.at(0).target;
}

wire::IpAddress address(const char* text) {
    return parse_address(text).value();
}

TEST(Options, OneNamespaceIsTheSameAsInAFile) {
    EXPECT_EQ(
        parse({"-t", "none", "-u", "none", "-T", "none", "-U", "none", "--netns", "job"}).config,
        parse_config("namespaces: [{netns: job}]", "test.yaml"));
}

std::string rules_text(const ForwardRules& rules) {
    std::string text;
    for (const ForwardRule& rule : rules)
        text += to_text(rule.spec) + " from " + rule.origin + "; ";
    return text;
}

TEST(Options, PortsAreAutomaticUnlessSaidOtherwise) {
    const ForwardConfig forward =
        parse_ns({"-t", "8080:80", "--tcp-ports=127.0.0.1/22", "-u", "none", "-U", "~53"}).forward;
    EXPECT_EQ(rules_text(forward.tcp),
              "8080:80 from --tcp-ports 8080:80; 127.0.0.1/22 from --tcp-ports 127.0.0.1/22; ");
    EXPECT_EQ(rules_text(forward.udp), "");
    EXPECT_EQ(rules_text(forward.tcp_to_host), "auto from --tcp-ns auto; ");
    EXPECT_EQ(rules_text(forward.udp_to_host), "~53 from --udp-ns ~53; ");
    EXPECT_EQ(rules_text(parse_ns({"--no-tcp"}).forward.tcp), "");
    EXPECT_EQ(rules_text(parse_ns({"--no-tcp"}).forward.udp), "auto from --udp-ports auto; ");
}

TEST(Options, ThreeFormsOfTarget) {
    EXPECT_EQ(target_of({"4711"}), Target{NetnsPid{4711}});
    EXPECT_EQ(target_of({"--netns", "job"}), Target{NetnsPath{"/run/netns/job"}});
    EXPECT_EQ(target_of({"--netns=/proc/7/ns/net"}), Target{NetnsPath{"/proc/7/ns/net"}});
    EXPECT_EQ(target_of({"--", "ls", "-l"}), (Target{NetnsCommand{{"ls", "-l"}}}));
}

TEST(Options, EverythingAfterTheCommandBelongsToIt) {
    EXPECT_EQ(target_of({"-q", "ls", "-q", "--mtu"}),
              (Target{NetnsCommand{{"ls", "-q", "--mtu"}}}));
    EXPECT_EQ(target_of({"--", "4711"}), Target{NetnsCommand{{"4711"}}});
    EXPECT_EQ(target_of({"--", "sh", "--", "-c"}), (Target{NetnsCommand{{"sh", "--", "-c"}}}));
    EXPECT_EQ(target_of({"--", "--odd"}), Target{NetnsCommand{{"--odd"}}});
}

TEST(Options, LastOfARepeatedValueWins) {
    EXPECT_EQ(parse_ns({"-m", "1500", "--mtu=1400"}).mtu, 1400u);
    EXPECT_EQ(parse_ns({"-g", "198.51.100.1", "-g", "fe80::1", "-g", "198.51.100.2"}).gateway,
              (AddressPair{address("198.51.100.2"), address("fe80::1")}));
    EXPECT_EQ(parse_ns({"--config-net", "--no-config-net"}).configure, Configure::dhcp);
    EXPECT_EQ(parse_ns({"--no-config-net", "--configure", "none"}).configure, Configure::none);
    EXPECT_EQ(target_of({"--netns", "a", "--netns", "b"}), Target{NetnsPath{"/run/netns/b"}});
}

TEST(Options, AddressesTakeTheirLengthFromCidrMaskOrClass) {
    const auto addresses = parse_ns({"-a", "10.0.0.1", "-a", "172.16.0.1", "-a", "198.51.100.1",
                                     "-a", "203.0.113.1/28", "-a", "2001:db8::1"})
                               .addresses;
    const std::vector<core::Prefix> expected{{address("10.0.0.1"), 8},
                                             {address("172.16.0.1"), 16},
                                             {address("198.51.100.1"), 24},
                                             {address("203.0.113.1"), 28},
                                             {address("2001:db8::1"), 64}};
    EXPECT_EQ(addresses, expected);
    EXPECT_EQ(parse_ns({"-n", "255.255.255.240", "-a", "198.51.100.1"}).addresses.at(0).length, 28);
    EXPECT_EQ(parse_ns({"-a", "198.51.100.1", "-n", "25"}).addresses.at(0).length, 25);
}

TEST(Options, ValuesOfTheNamespace) {
    const NamespaceConfig ns = parse_ns({"-I",
                                         "eth0",
                                         "-M",
                                         "02:00:00:00:00:01",
                                         "--ns-mac-addr",
                                         "02:00:00:00:00:02",
                                         "-o",
                                         "198.51.100.7",
                                         "--map-guest-addr",
                                         "169.254.1.2",
                                         "--dns-forward",
                                         "169.254.1.1",
                                         "--dns-host",
                                         "127.0.0.53",
                                         "-D",
                                         "198.51.100.53",
                                         "-D",
                                         "2001:db8::53",
                                         "-S",
                                         "example.net",
                                         "-H",
                                         "box",
                                         "--fqdn",
                                         "box.example.net",
                                         "--queues",
                                         "all"});
    EXPECT_EQ(ns.interface, "eth0");
    EXPECT_EQ(to_text(ns.mac), "02:00:00:00:00:01");
    EXPECT_EQ(to_text(ns.ns_mac.value()), "02:00:00:00:00:02");
    EXPECT_EQ(ns.outbound.v4, address("198.51.100.7"));
    EXPECT_EQ(ns.map_guest_addr.v4, address("169.254.1.2"));
    EXPECT_EQ(ns.dns_forward.v4, address("169.254.1.1"));
    EXPECT_EQ(ns.dns_host.v4, address("127.0.0.53"));
    EXPECT_EQ(ns.dns, (std::vector{address("198.51.100.53"), address("2001:db8::53")}));
    EXPECT_EQ(ns.search, std::vector<std::string>{"example.net"});
    EXPECT_EQ(ns.hostname, "box");
    EXPECT_EQ(ns.fqdn, "box.example.net");
    EXPECT_EQ(ns.queues, Queues::all);
}

TEST(Options, NoneEmptiesWhatCameBefore) {
    EXPECT_EQ(parse_ns({"-D", "198.51.100.53", "-D", "none"}).dns, std::vector<wire::IpAddress>{});
    EXPECT_EQ(parse_ns({"-S", "a", "-S", "none", "-S", "b"}).search, std::vector<std::string>{"b"});
    EXPECT_TRUE(
        parse_ns({"--dns-forward", "169.254.1.1", "--dns-forward", "none"}).dns_forward.empty());
}

TEST(Options, HostLoopback) {
    EXPECT_EQ(parse_ns({}).map_host_loopback, std::nullopt);
    EXPECT_EQ(parse_ns({"--no-map-gw"}).map_host_loopback, AddressPair{});
    EXPECT_EQ(parse_ns({"--map-host-loopback", "none"}).map_host_loopback, AddressPair{});
    const AddressPair both{address("198.51.100.9"), address("2001:db8::9")};
    EXPECT_EQ(parse_ns({"--map-host-loopback", "198.51.100.9", "--no-map-gw", "--map-host-loopback",
                        "2001:db8::9"})
                  .map_host_loopback,
              both);
}

TEST(Options, EachSwitchTurnsOffItsProtocolAlone) {
    EXPECT_FALSE(parse_ns({"-4"}).ipv6);
    EXPECT_FALSE(parse_ns({"-6"}).ipv4);
    const std::pair<const char*, bool NamespaceConfig::*> table[] = {
        {"--no-tcp", &NamespaceConfig::tcp},       {"--no-udp", &NamespaceConfig::udp},
        {"--no-icmp", &NamespaceConfig::icmp},     {"--no-dhcp", &NamespaceConfig::dhcp},
        {"--no-dhcpv6", &NamespaceConfig::dhcpv6}, {"--no-ndp", &NamespaceConfig::ndp},
        {"--no-ra", &NamespaceConfig::ra},
    };
    const Words quiet{"-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-config-net"};
    for (const auto& [option, member] : table) {
        NamespaceConfig expected = parse_ns(quiet);
        EXPECT_TRUE(expected.*member) << option;
        expected.*member = false;
        Words words = quiet;
        words.push_back(option);
        EXPECT_EQ(parse_ns(words), expected) << option;
    }
}

TEST(Options, LogLevels) {
    EXPECT_EQ(parse({"4711"}).log_level, LogLevel::info);
    EXPECT_EQ(parse({"-q", "4711"}).log_level, LogLevel::warning);
    EXPECT_EQ(parse({"-d", "4711"}).log_level, LogLevel::debug);
    EXPECT_EQ(parse({"--", "true"}).log_level, LogLevel::warning);
    EXPECT_EQ(parse({"-d", "--", "true"}).log_level, LogLevel::debug);
}

TEST(Options, TakesWhatPodmanPasses) {
    const Options options =
        parse({"--config-net", "-t", "none", "-u", "none", "-T", "none", "-U", "none",
               "--no-map-gw", "--quiet", "--netns", "/run/netns/netns-1", "--dns-forward",
               "169.254.1.1", "--map-guest-addr", "169.254.1.2"});
    EXPECT_EQ(options.config.namespaces.at(0).name, "netns-1");
    EXPECT_EQ(options.config.namespaces.at(0).map_host_loopback, AddressPair{});
}

TEST(Options, HelpVersionAndCheckOnlyPrint) {
    EXPECT_THAT(parse({"--help"}).output.value(), HasSubstr("--map-host-loopback"));
    EXPECT_THAT(parse({"-h"}).output.value(), HasSubstr("Usage: pasta-xdp"));
    EXPECT_THAT(parse({"--version"}).output.value(), testing::MatchesRegex("pasta-xdp [0-9.]+\n"));
    const Options options = parse({"--check", "-m", "1500", "4711"});
    EXPECT_EQ(parse_config(options.output.value(), "check"), options.config);
}

/// A config file that is gone at the end of the test.
class ConfigFile {
  public:
    explicit ConfigFile(const std::string& text)
        : path_(testing::TempDir() + "c-options-" + std::to_string(getpid()) + ".yaml") {
        std::ofstream{path_} << text;
    }
    ~ConfigFile() { std::filesystem::remove(path_); }
    const char* path() const { return path_.c_str(); }

  private:
    std::string path_;
};

TEST(Options, ConfigFileBesideOptionsOfTheProcess) {
    const ConfigFile file{"namespaces: [{netns: job}]"};
    const Options options = parse({"--stats", "-q", "-c", file.path()});
    EXPECT_EQ(options.config_file, file.path());
    EXPECT_EQ(options.config.namespaces.at(0).name, "job");
    EXPECT_TRUE(options.stats);
    EXPECT_EQ(options.log_level, LogLevel::warning);
}

struct Wrong {
    Words words;
    const char* message;
};

void expect_messages(const std::vector<Wrong>& table) {
    for (const auto& [words, message] : table) {
        try {
            parse(words);
            ADD_FAILURE() << "accepted, expected: " << message;
        } catch (const ConfigError& error) {
            EXPECT_STREQ(error.what(), message);
        }
    }
}

TEST(OptionErrors, Targets) {
    expect_messages({
        {{}, "no namespace (-- COMMAND, PID, --netns PATH|NAME, or -c FILE)"},
        {{"--"}, "--: no command follows (a command and its arguments)"},
        {{"0"}, "PID: 0 is not allowed (a process id, 1 to 4194304)"},
        {{"4711", "-d"}, "'-d' after a PID (options come before it)"},
        {{"--netns", "job", "4711"},
         "several namespaces (one of -- COMMAND, PID, --netns; more with -c FILE)"},
        {{"--netns", ".", "-q"}, "--netns: . is not allowed (a path, or a name in /run/netns)"},
    });
}

TEST(OptionErrors, Unrecognized) {
    expect_messages({
        {{"--no-such", "ls"}, "unrecognized option '--no-such' (see --help)"},
        {{"--freebind"}, "unrecognized option '--freebind' (see --help)"},
        {{"-m", "1500", "--runas=0", "4711"}, "unrecognized option '--runas=0' (see --help)"},
        {{"-x", "4711"}, "unrecognized option '-x' (see --help)"},
        {{"--no-such", "-c", "/nonexistent"}, "unrecognized option '--no-such' (see --help)"},
    });
}

TEST(OptionErrors, Values) {
    expect_messages({
        {{"--mtu"}, "--mtu: 1 required BYTES missing"},
        {{"-m", "70000", "4711"}, "--mtu: 70000 is not allowed (68 to 65520)"},
        {{"--no-tcp=false", "4711"}, "no-tcp was given a disallowed flag override"},
        {{"-a", "198.51.100.1/33", "1"},
         "--address: 198.51.100.1/33 is not allowed (a unicast address with its prefix length, "
         "such "
         "as 198.51.100.1/24)"},
        {{"-a", "localhost", "1"},
         "--address: localhost is not allowed (an IPv4 or IPv6 unicast address, not loopback)"},
        {{"-a", "198.51.100.1", "-a", "198.51.100.1", "1"},
         "--address: 198.51.100.1 is given twice (each address once)"},
        {{"-n", "255.0.255.0", "1"},
         "--netmask: 255.0.255.0 is not allowed (1 to 32, or a mask such as 255.255.255.0)"},
        {{"-n", "24", "-a", "198.51.100.1/24", "1"},
         "--netmask: no address that it belongs to (an IPv4 --address without /LENGTH)"},
        {{"-D", "ns1", "1"},
         "--dns: ns1 is not allowed (none, an IPv4 or IPv6 unicast address, not loopback)"},
        {{"-H", "a\nb", "1"},
         "--hostname: a?b is not allowed (a domain name of letters, digits, - and _)"},
        {{"--configure", "static", "1"},
         "--configure: static is not allowed (netlink, dhcp, none)"},
    });
}

TEST(OptionErrors, Contradictions) {
    expect_messages({
        {{"-4", "-6", "1"}, "--ipv4-only: together with --ipv6-only (one of them)"},
        {{"-q", "-d", "1"}, "--quiet: together with --debug (one of them)"},
        {{"--trace", "1"}, "--trace: not implemented yet (--debug)"},
        {{"-4", "-a", "2001:db8::1", "1"},
         "--address: 2001:db8::1 is of a disabled family (IPv4 is enabled)"},
        {{"--dns-host", "198.51.100.53", "1"},
         "--dns-host: no dns_forward of that family (both or only dns_forward)"},
        {{"-c", "x", "-m", "1500"}, "--mtu: together with --config (set it in the file)"},
        {{"-c", "x", "--no-tcp"}, "--no-tcp: together with --config (set it in the file)"},
        {{"-c", "x", "4711"}, "a namespace together with --config (name it in the file)"},
        {{"-c", "/nonexistent"}, "/nonexistent: No such file or directory (a readable file)"},
    });
}

TEST(OptionErrors, NotImplementedYet) {
    expect_messages({
        {{"-p", "/tmp/x.pcap", "1"}, "--pcap: not implemented yet (none)"},
    });
}

TEST(OptionErrors, Ports) {
    expect_messages({
        {{"-t", "90-80", "1"},
         "--tcp-ports: 90-80 is a reversed range (FIRST-LAST with FIRST <= LAST)"},
        {{"-t", "80", "-t", "auto", "1"}, "--tcp-ports: auto stands alone (no ports beside it)"},
        {{"-u", "none", "-u", "53", "1"}, "--udp-ports: none stands alone (no ports beside it)"},
        {{"-t", "80", "--no-tcp", "1"}, "--tcp-ports 80: TCP is disabled"},
        {{"-4", "-u", "[::1]/53", "1"},
         "--udp-ports [::1]/53: ::1 is of a disabled family (IPv4 is enabled)"},
    });
}

}  // namespace
}  // namespace pasta::control
