// Links into namespaces and their configuration, with the real kernel. Needs root.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <fstream>

#include "control/ip_text.hpp"
#include "control/link.hpp"

namespace pasta::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int patience_ms = 10000;

core::Prefix prefix(const std::string& text) {
    return parse_prefix(text).value();
}
wire::IpAddress address(const std::string& text) {
    return parse_address(text).value();
}

/// A namespace like a container's: with IPv6.
Netns make_target() {
    Netns netns = Netns::create_private();
    run_in_netns(netns, [] {
        EXPECT_TRUE(write_sysctl("net/ipv6/conf/all/disable_ipv6", "0"));
        EXPECT_TRUE(write_sysctl("net/ipv6/conf/default/disable_ipv6", "0"));
    });
    return netns;
}

VethLinkOptions options(const std::string& name = "p-link") {
    return {.name = name, .peer_name = "eth0", .queues = 1, .mac = {}, .peer_mac = {}};
}

struct LinkTest : ::testing::Test {
    Netns private_netns = Netns::create_private();
    Netns target = make_target();
    Netlink ours{private_netns};
    Netlink theirs{target};
};

TEST_F(LinkTest, BothEndsHaveTheMtuAndOursHasTheProgramInNativeMode) {
    VethLinkOptions wanted = options();
    wanted.queues = 2;
    wanted.mac = wire::MacAddress{{0x9a, 0x55, 0x9a, 0x55, 0x9a, 0x55}};
    wanted.peer_mac = wire::MacAddress{{2, 0, 0, 0, 0, 7}};
    const VethLink link(private_netns, target, wanted);
    const LinkInfo our_end = ours.find_link("p-link").value();
    const LinkInfo peer = theirs.find_link("eth0").value();
    EXPECT_EQ(our_end.index, link.index());
    EXPECT_EQ(our_end.mtu, 65520U);
    EXPECT_EQ(peer.mtu, 65520U);
    EXPECT_EQ(our_end.mac, *wanted.mac);
    EXPECT_EQ(link.mac(), *wanted.mac);
    EXPECT_EQ(peer.mac, *wanted.peer_mac);
    EXPECT_EQ(link.peer_mac(), *wanted.peer_mac);
    EXPECT_TRUE(our_end.up);
    EXPECT_FALSE(peer.up);
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    EXPECT_EQ(run_in_netns(private_netns, [&] { return bpf_xdp_query(link.index(), 0, &query); }),
              0);
    EXPECT_EQ(query.attach_mode, XDP_ATTACHED_DRV);
    EXPECT_NE(query.prog_id, 0U);
}

TEST_F(LinkTest, NothingIsLeftWhenTheLinkEnds) {
    { const VethLink link(private_netns, target, options()); }
    EXPECT_EQ(ours.links().size(), 1U);
    EXPECT_EQ(theirs.links().size(), 1U);
}

TEST_F(LinkTest, NameInUseInTheTargetIsAnErrorAndLeavesNothing) {
    const VethLink first(private_netns, target, options("p-first"));
    try {
        const VethLink second(private_netns, target, options("p-second"));
        FAIL();
    } catch (const NetlinkError& error) {
        EXPECT_TRUE(error.exists());
        EXPECT_THAT(error.what(), HasSubstr("eth0"));
    }
    EXPECT_EQ(ours.links().size(), 2U);
}

TEST_F(LinkTest, MtuThatTheKernelRefusesIsAnErrorAndLeavesNothing) {
    VethLinkOptions wanted = options();
    wanted.mtu = 70000;
    EXPECT_THROW(VethLink(private_netns, target, wanted), NetlinkError);
    EXPECT_EQ(ours.links().size(), 1U);
    EXPECT_EQ(theirs.links().size(), 1U);
}

TEST_F(LinkTest, EndOfTheTargetRemovesTheLinkAndIsNoticed) {
    LinkMonitor monitor(private_netns);
    auto doomed = std::make_unique<Netns>(make_target());
    const VethLink link(private_netns, *doomed, options());
    bool overrun = false;
    EXPECT_THAT(monitor.removed(overrun), IsEmpty());
    doomed.reset();
    std::vector<int> removed;
    while (removed.empty()) {
        pollfd waiting{monitor.fd(), POLLIN, 0};
        ASSERT_EQ(poll(&waiting, 1, patience_ms), 1);
        removed = monitor.removed(overrun);
    }
    EXPECT_THAT(removed, ElementsAre(link.index()));
    EXPECT_EQ(ours.find_link(link.index()), std::nullopt);
}

TEST_F(LinkTest, AddressesAndRoutesCanBeUsedAtOnce) {
    const VethLink link(private_netns, target, options());
    InterfaceConfig config{.name = "eth0",
                           .addresses = {prefix("198.51.100.7/24"), prefix("2001:db8:1::7/64")},
                           .routes = {}};
    // In the wrong order: the default route's gateway is reached by the host route after it.
    Route by_gateway = default_route(address("203.0.113.1"));
    by_gateway.next_hops[0].onlink = false;
    Route host_route{
        .destination = prefix("203.0.113.1/32"), .scope = RT_SCOPE_LINK, .next_hops = {}};
    host_route.next_hops.push_back({});
    config.routes = {by_gateway, host_route, default_route(address("fe80::1"))};
    EXPECT_THAT(configure_interface(target, config), IsEmpty());

    EXPECT_TRUE(theirs.find_link("lo")->up);
    EXPECT_TRUE(theirs.find_link("eth0")->running);
    const int index = theirs.find_link("eth0")->index;
    std::vector<core::Prefix> v4, v6;
    for (const AddressInfo& a : theirs.addresses(AF_INET))
        if (a.link == index) v4.push_back(a.prefix);
    for (const AddressInfo& a : theirs.addresses(AF_INET6))
        if (a.link == index && a.scope == RT_SCOPE_UNIVERSE) v6.push_back(a.prefix);
    EXPECT_THAT(v4, ElementsAre(config.addresses[0]));
    EXPECT_THAT(v6, ElementsAre(config.addresses[1]));
    const auto gateway_of_default = [&](int family) -> std::optional<wire::IpAddress> {
        for (const Route& route : theirs.routes(family))
            if (route.destination.length == 0) return route.next_hops.at(0).gateway;
        return std::nullopt;
    };
    EXPECT_EQ(gateway_of_default(AF_INET), address("203.0.113.1"));
    EXPECT_EQ(gateway_of_default(AF_INET6), address("fe80::1"));
    // No address is tentative: flags 0x40 in the fifth column.
    run_in_netns(target, [] {
        std::ifstream file("/proc/thread-self/net/if_inet6");
        std::string field, name;
        unsigned flags = 0;
        int lines = 0;
        while (file >> field >> field >> field >> field >> std::hex >> flags >> name) {
            EXPECT_EQ(flags & 0x40, 0U) << name;
            ++lines;
        }
        EXPECT_EQ(lines, 3);  // lo, link-local, ours
    });
}

TEST_F(LinkTest, RefusedItemsAreWarningsAndTheRestIsDone) {
    const VethLink link(private_netns, target, options());
    InterfaceConfig config{.name = "eth0", .addresses = {prefix("198.51.100.7/24")}, .routes = {}};
    Route impossible = default_route(address("203.0.113.1"));
    impossible.next_hops[0].onlink = false;
    config.addresses.push_back(prefix("198.51.100.7/24"));  // twice: fine
    config.routes = {impossible, default_route(address("198.51.100.1"))};
    config.routes[1].metric = 5;
    const std::vector<std::string> warnings = configure_interface(target, config);
    ASSERT_EQ(warnings.size(), 1U);
    EXPECT_THAT(warnings[0], HasSubstr("0.0.0.0/0"));
    const std::vector<Route> routes = theirs.routes(AF_INET);
    EXPECT_EQ(std::ranges::count(routes, 0, [](const Route& r) { return r.destination.length; }),
              1);
}

TEST_F(LinkTest, InterfaceLeftDownHasOnlyLoopbackRaised) {
    const VethLink link(private_netns, target, options());
    EXPECT_THAT(
        configure_interface(target, {.name = "eth0", .addresses = {}, .routes = {}, .up = false}),
        IsEmpty());
    EXPECT_FALSE(theirs.find_link("eth0")->up);
    EXPECT_TRUE(theirs.find_link("lo")->up);
    EXPECT_THROW(configure_interface(target, {.name = "eth9", .addresses = {}, .routes = {}}),
                 std::runtime_error);
}

}  // namespace
}  // namespace pasta::control
