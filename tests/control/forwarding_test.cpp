// Rules and the listeners that come of them, with real sockets in namespaces of the test. Needs
// root.
#include "control/forwarding.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <map>
#include <sstream>

#include "control/sock_diag.hpp"
#include "tests/support/fake_listeners.hpp"

namespace pasta::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Ports = std::vector<uint16_t>;

ForwardRules rules(ListenSide side, const std::vector<const char*>& specs) {
    ForwardRules out;
    for (const char* spec : specs)
        out.push_back({parse_port_spec(spec, side), fmt::format("rule {}", spec)});
    return out;
}
ForwardConfig tcp(const std::vector<const char*>& specs) {
    return {rules(ListenSide::host, specs), {}, {}, {}};
}
ForwardConfig all_four(const char* spec) {
    const ForwardRules host = rules(ListenSide::host, {spec}), ns = rules(ListenSide::ns, {spec});
    return {host, host, ns, ns};
}

/// One namespace and what it has to do with the host.
struct Guest {
    Guest(HostSide& host, const char* name, core::PortId port) {
        NamespaceConfig config;
        config.name = name;
        forwarding = std::make_unique<Forwarding>(host, config, port, [this] {
            return Netns::open(fmt::format("/proc/self/fd/{}", netns.fd()));
        });
    }
    void set(const ForwardConfig& forward) {
        forwarding->change(forward);
        forwarding->open();
    }

    Netns netns = testing_netns();
    std::unique_ptr<Forwarding> forwarding;
};

struct ForwardingTest : ::testing::Test {
    ForwardingTest() {
        spdlog::set_default_logger(std::make_shared<spdlog::logger>(
            "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
        spdlog::set_pattern("%v");
    }
    ~ForwardingTest() override { spdlog::set_default_logger(before); }

    /// Sockets of a program on the host or in a namespace.
    static std::vector<io::UniqueFd> program(const Netns& netns, uint8_t protocol,
                                             const Ports& ports) {
        return run_in_netns(netns, [&] {
            std::vector<io::UniqueFd> sockets;
            for (const uint16_t port : ports) {
                sockets.push_back(
                    open_listen_socket({protocol, wire::IpAddress::v4(127, 0, 0, 1), "", port}));
                EXPECT_TRUE(sockets.back()) << port;
            }
            return sockets;
        });
    }
    Ports host_ports(uint8_t protocol = IPPROTO_TCP) {
        return SockDiag(host_netns).listening(protocol);
    }
    static Ports ports_in(const Guest& guest, uint8_t protocol = IPPROTO_TCP) {
        return SockDiag(guest.netns).listening(protocol);
    }
    static std::string failure(Guest& guest, const ForwardConfig& forward) {
        try {
            guest.set(forward);
        } catch (const ForwardError& error) {
            return error.what();
        }
        return "open";
    }
    /// As the daemon's timer does it.
    void second() {
        const bool changed = host.refresh();
        for (Guest* guest : {&a, &b})
            guest->forwarding->follow(changed);
    }

    std::shared_ptr<spdlog::logger> before = spdlog::default_logger();
    std::ostringstream log;
    Netns host_netns = testing_netns();
    FakeListeners dataplane;
    HostSide host{host_netns, dataplane};
    Guest a{host, "a", 7}, b{host, "b", 8};
};

TEST_F(ForwardingTest, RulesBecomeListenersWithTheirTargets) {
    a.set({rules(ListenSide::host, {"80-82:8080-8082,~81"}),
           rules(ListenSide::host, {"127.0.0.1/53"}),
           rules(ListenSide::ns, {"3128"}),
           {}});
    EXPECT_THAT(host_ports(), ElementsAre(80, 82));
    EXPECT_THAT(host_ports(IPPROTO_UDP), ElementsAre(53));
    EXPECT_THAT(ports_in(a), ElementsAre(3128));
    std::vector<std::string> made;
    for (const auto& [id, listener] : dataplane.listeners) {
        const ListenerConfig& config = listener.first;
        made.push_back(fmt::format("{}/{}/{}/{}", config.port,
                                   config.side == ListenSide::host ? "host" : "ns", config.protocol,
                                   config.target_port));
    }
    EXPECT_THAT(made, ElementsAre("7/host/6/8080", "7/host/6/8082", "7/host/17/53", "7/ns/6/3128",
                                  "7/ns/6/3128"));
    EXPECT_EQ(*host.owner(IPPROTO_TCP, 80), "a");
    a.forwarding.reset();
    EXPECT_THAT(dataplane.listeners, IsEmpty());
    EXPECT_EQ(host.owner(IPPROTO_TCP, 80), nullptr);
}

TEST_F(ForwardingTest, ChangeTouchesOnlyWhatDiffers) {
    a.set(tcp({"80,81,82"}));
    a.set(tcp({"82", "81:8081,80"}));
    std::map<uint16_t, ListenerId> ids;
    for (const auto& [id, listener] : dataplane.listeners)
        ids[listener.first.target_port] = id;
    EXPECT_EQ(ids, (std::map<uint16_t, ListenerId>{{80, 0}, {82, 2}, {8081, 3}}));
}

TEST_F(ForwardingTest, APortMovesFromOneNamespaceToAnother) {
    a.set(tcp({"80,81"}));
    b.set(tcp({"90"}));
    a.forwarding->change(tcp({"90,81"}));
    b.forwarding->change(tcp({"80"}));
    a.forwarding->open();
    b.forwarding->open();
    EXPECT_THAT(host_ports(), ElementsAre(80, 81, 90));
    EXPECT_EQ(*host.owner(IPPROTO_TCP, 80), "b");
    EXPECT_EQ(*host.owner(IPPROTO_TCP, 90), "a");
}

TEST_F(ForwardingTest, ABusyPortIsAnErrorThatCanBeUndone) {
    const auto busy = program(host_netns, IPPROTO_TCP, {85});
    a.set(tcp({"80"}));
    EXPECT_EQ(failure(a, tcp({"80-89"})),
              fmt::format("rule 80-89: TCP port 85 of the host is in use by control_tests (pid {})",
                          getpid()));
    a.set(tcp({"80"}));
    EXPECT_THAT(host_ports(), ElementsAre(80, 85));
    const auto inside = program(b.netns, IPPROTO_UDP, {53});
    EXPECT_THAT(failure(b, {{}, {}, {}, rules(ListenSide::ns, {"53"})}),
                HasSubstr("rule 53: UDP port 53 of the namespace is in use by control_tests"));
}

TEST_F(ForwardingTest, AllTakesWhatIsLeft) {
    const auto busy = program(host_netns, IPPROTO_TCP, {1, 500, 1099});
    host.reserve({tcp({"80-89"})});
    b.set(tcp({"80-89"}));
    a.set(tcp({"all"}));
    EXPECT_EQ(host_ports().size(), 1099U);
    EXPECT_EQ(*host.owner(IPPROTO_TCP, 85), "b");
    EXPECT_EQ(*host.owner(IPPROTO_TCP, 1098), "a");
    EXPECT_EQ(host.owner(IPPROTO_TCP, 500), nullptr);
    EXPECT_EQ(host.owner(IPPROTO_TCP, 1100), nullptr);
}

TEST_F(ForwardingTest, AllOfNothingIsAnError) {
    const auto busy = program(host_netns, IPPROTO_TCP, {2});
    EXPECT_THAT(failure(a, tcp({"127.0.0.1/~1,~3-65535"})),
                HasSubstr("rule 127.0.0.1/~1,~3-65535: no port can be had: TCP port 2 of the host "
                          "is in use by control_tests"));
}

TEST_F(ForwardingTest, AutoFollowsBothSides) {
    auto inside = program(a.netns, IPPROTO_TCP, {80});
    auto outside = program(host_netns, IPPROTO_UDP, {53});
    a.set(all_four("auto"));
    EXPECT_TRUE(a.forwarding->follows());
    EXPECT_THAT(host_ports(), ElementsAre(80));
    EXPECT_THAT(ports_in(a, IPPROTO_UDP), ElementsAre(53));
    const auto more = program(a.netns, IPPROTO_TCP, {443, 5000});
    const auto client = program(a.netns, IPPROTO_UDP, {2000});  // in the range of clients
    outside.clear();
    second();
    EXPECT_THAT(host_ports(), ElementsAre(80, 443, 5000));
    EXPECT_THAT(host_ports(IPPROTO_UDP), IsEmpty());
    EXPECT_THAT(ports_in(a), ElementsAre(80, 443, 5000));
    EXPECT_THAT(ports_in(a, IPPROTO_UDP), ElementsAre(2000));
    inside.clear();
    second();
    EXPECT_THAT(host_ports(), ElementsAre(443, 5000));
}

TEST_F(ForwardingTest, AutoDoesNotFollowOurOwnListeners) {
    const auto inside = program(a.netns, IPPROTO_TCP, {80});
    const auto outside = program(host_netns, IPPROTO_TCP, {90});
    a.set(all_four("auto"));
    b.set(all_four("auto"));
    for (int i = 0; i < 3; ++i)
        second();
    EXPECT_THAT(host_ports(), ElementsAre(80, 90));
    EXPECT_THAT(ports_in(a), ElementsAre(80, 90));
    EXPECT_THAT(ports_in(b), ElementsAre(90));
}

TEST_F(ForwardingTest, AutoSaysOnceWhatItCannotHaveAndTakesItWhenItCan) {
    auto outside = program(host_netns, IPPROTO_TCP, {80});
    const auto inside = program(a.netns, IPPROTO_TCP, {80});
    a.set(tcp({"auto"}));
    for (unsigned i = 0; i < 2 * ListeningPorts::full_period; ++i)
        second();
    EXPECT_EQ(log.str(), "a: not forwarded: TCP port 80 of the host is in use\n");
    EXPECT_EQ(host.owner(IPPROTO_TCP, 80), nullptr);
    outside.clear();
    for (unsigned i = 0; i < ListeningPorts::full_period; ++i)
        second();
    EXPECT_EQ(*host.owner(IPPROTO_TCP, 80), "a");
}

TEST_F(ForwardingTest, AutoNamesTheNamespaceThatWasFaster) {
    const auto in_a = program(a.netns, IPPROTO_TCP, {80}),
               in_b = program(b.netns, IPPROTO_TCP, {80});
    a.set(tcp({"auto"}));
    b.set(tcp({"auto"}));
    EXPECT_EQ(log.str(), "b: not forwarded: TCP port 80 of the host is in use by namespace a\n");
}

TEST_F(ForwardingTest, AutoMakesWayForARule) {
    const auto inside = program(a.netns, IPPROTO_TCP, {80});
    a.set(tcp({"auto"}));
    host.reserve({tcp({"auto"}), tcp({"80"})});
    a.forwarding->change(tcp({"auto"}));
    b.forwarding->change(tcp({"80"}));
    a.forwarding->open();
    b.forwarding->open();
    EXPECT_EQ(*host.owner(IPPROTO_TCP, 80), "b");
}

TEST_F(ForwardingTest, NamespaceIsHeldOnlyWhereItIsNeeded) {
    a.set(tcp({"80"}));
    EXPECT_FALSE(a.forwarding->follows());
    const int fds = dup(0);
    close(fds);
    a.set(all_four("auto"));
    a.set(tcp({"80"}));
    const int again = dup(0);
    close(again);
    EXPECT_EQ(again, fds);  // all that was opened in between is closed
    EXPECT_FALSE(a.forwarding->follows());
}

}  // namespace
}  // namespace pasta::control
