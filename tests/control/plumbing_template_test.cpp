// What is read from a host with known links, addresses and routes. Needs root.
#include <gmock/gmock.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "control/ip_text.hpp"
#include "control/template_interface.hpp"

namespace pasta::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

core::Prefix prefix(const std::string& text) {
    return parse_prefix(text).value();
}
wire::IpAddress address(const std::string& text) {
    return parse_address(text).value();
}

struct TemplateTest : ::testing::Test {
    TemplateTest() {
        run_in_netns(host_netns, [] {
            EXPECT_TRUE(write_sysctl("net/ipv6/conf/all/disable_ipv6", "0"));
            EXPECT_TRUE(write_sysctl("net/ipv6/conf/default/disable_ipv6", "0"));
            EXPECT_TRUE(write_sysctl("net/ipv6/conf/default/accept_dad", "0"));
        });
    }
    /// An uplink with the addresses; its index.
    int uplink(const std::string& name, const std::vector<std::string>& addresses) {
        host.create_veth({.name = name, .peer_name = name, .mac = {}, .peer_mac = {}}, world);
        const int index = host.find_link(name)->index;
        host.set_up(index, true);
        Netlink(world).set_up(Netlink(world).find_link(name)->index, true);
        for (const std::string& text : addresses)
            host.add_address(index, prefix(text));
        return index;
    }
    void add_default(int link, const std::string& gateway, uint32_t metric) {
        Route route = default_route(address(gateway));
        route.next_hops[0].link = link;
        route.metric = metric;
        host.add_route(route);
    }

    Netns host_netns = Netns::create_private();
    Netns world = Netns::create_private();
    Netlink host{host_netns};
};

TEST_F(TemplateTest, InterfaceOfTheDefaultRouteIsCopied) {
    uplink("p-other", {"203.0.113.7/24"});
    const int up = uplink("p-up", {"198.51.100.7/24", "198.51.100.8/24", "2001:db8::7/64"});
    host.set_mtu(up, 1400);
    add_default(up, "198.51.100.1", 100);
    add_default(up, "2001:db8::1", 1024);
    const TemplateInterface found = read_template(host, std::nullopt);
    EXPECT_EQ(found.name, "p-up");
    EXPECT_FALSE(found.local_mode);
    ASSERT_TRUE(found.ipv4 && found.ipv6);
    EXPECT_EQ(found.ipv4->link.mtu, 1400U);
    EXPECT_THAT(found.ipv4->addresses,
                ElementsAre(prefix("198.51.100.7/24"), prefix("198.51.100.8/24")));
    EXPECT_EQ(found.ipv4->gateway, address("198.51.100.1"));
    EXPECT_THAT(found.ipv6->addresses, ElementsAre(prefix("2001:db8::7/64")));
    EXPECT_EQ(found.ipv6->gateway, address("2001:db8::1"));
    EXPECT_THAT(found.warnings, IsEmpty());
    for (const auto* family : {&*found.ipv4, &*found.ipv6}) {
        EXPECT_EQ(family->routes.size(), 2U);  // the prefix and the default
        for (const Route& route : family->routes) {
            EXPECT_FALSE(route.destination.address.is_link_local());
            for (const NextHop& hop : route.next_hops)
                EXPECT_EQ(hop.link, 0);
        }
    }
}

TEST_F(TemplateTest, MultipathDefaultIsCutDownToTheHeaviestHop) {
    const int light = uplink("p-light", {"203.0.113.7/24"});
    const int heavy = uplink("p-heavy", {"198.51.100.7/24"});
    Route both = default_route(address("203.0.113.1"));
    both.next_hops = {{.link = light, .gateway = address("203.0.113.1"), .weight = 0},
                      {.link = heavy, .gateway = address("198.51.100.1"), .weight = 9}};
    host.add_route(both);
    const TemplateInterface found = read_template(host, std::nullopt);
    EXPECT_EQ(found.name, "p-heavy");
    ASSERT_TRUE(found.ipv4);
    EXPECT_EQ(found.ipv4->gateway, address("198.51.100.1"));
    for (const Route& route : found.ipv4->routes)
        EXPECT_EQ(route.next_hops.size(), 1U);
}

TEST_F(TemplateTest, FirstInterfaceWithARouteServesWhenThereIsNoDefault) {
    uplink("p-up", {"198.51.100.7/24"});
    const TemplateInterface found = read_template(host, std::nullopt);
    EXPECT_EQ(found.name, "p-up");
    ASSERT_TRUE(found.ipv4);
    EXPECT_EQ(found.ipv4->gateway, std::nullopt);
    EXPECT_FALSE(found.ipv6);
}

TEST_F(TemplateTest, SeveralDefaultRoutesAreAWarning) {
    const int first = uplink("p-first", {"198.51.100.7/24"});
    const int second = uplink("p-second", {"203.0.113.7/24"});
    add_default(second, "203.0.113.1", 20);
    add_default(first, "198.51.100.1", 10);
    const TemplateInterface found = read_template(host, std::nullopt);
    EXPECT_EQ(found.name, "p-first");
    EXPECT_THAT(found.warnings, ElementsAre(HasSubstr("IPv4")));
}

TEST_F(TemplateTest, WantedInterfaceIsTakenAndMustExist) {
    const int up = uplink("p-up", {"198.51.100.7/24"});
    uplink("p-wanted", {"203.0.113.7/24"});
    add_default(up, "198.51.100.1", 0);
    const TemplateInterface found = read_template(host, "p-wanted");
    EXPECT_EQ(found.name, "p-wanted");
    ASSERT_TRUE(found.ipv4);
    EXPECT_THAT(found.ipv4->addresses, ElementsAre(prefix("203.0.113.7/24")));
    EXPECT_THROW(read_template(host, "p-missing"), std::runtime_error);
}

TEST_F(TemplateTest, HostWithoutNetworkGivesLocalMode) {
    const TemplateInterface found = read_template(host, std::nullopt);
    EXPECT_TRUE(found.local_mode);
    EXPECT_EQ(found.name, "tap0");
    ASSERT_TRUE(found.ipv4);
    EXPECT_THAT(found.ipv4->addresses, ElementsAre(prefix("169.254.2.1/16")));
    EXPECT_EQ(found.ipv4->gateway, address("169.254.2.2"));
    EXPECT_FALSE(found.ipv6);
}

TEST(ResolverConfig, LastSearchLineCountsAndBadLinesAreLeftOut) {
    const ResolverConfig config = parse_resolver_config(
        "# comment\n"
        "domain old.example\n"
        "nameserver 192.0.2.53\n"
        "nameserver fe80::1%eth0\n"
        "nameserver not-an-address\n"
        "nameserver\n"
        "options ndots:2\n"
        "search corp.example. lab.example\n");
    EXPECT_THAT(config.servers, ElementsAre(address("192.0.2.53"), address("fe80::1")));
    EXPECT_THAT(config.search, ElementsAre("corp.example", "lab.example"));
}

TEST(ResolverConfig, MissingFileGivesNothing) {
    const ResolverConfig config = read_resolver_config("/p-no-such-file");
    EXPECT_THAT(config.servers, IsEmpty());
    EXPECT_THAT(config.search, IsEmpty());
}

}  // namespace
}  // namespace pasta::control
