// Who is let in by a gate, with real sockets in namespaces of the test. Needs root, and a kernel
// that takes bpf/gate.bpf.c.
#include "control/port_gate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstdlib>
#include <string>

#include "control/listen_socket.hpp"
#include "tests/support/fake_listeners.hpp"

namespace pasta::control {
namespace {

constexpr uint16_t host_port = 8080, guest_port = 80;
const wire::IpAddress loopback4 = wire::IpAddress::v4(127, 0, 0, 1);
const wire::IpAddress loopback6{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

struct PortGateTest : ::testing::Test {
    void SetUp() override { gate.join(0, guest); }

    static io::UniqueFd server(const Netns& netns, uint16_t port,
                               const wire::IpAddress& address = loopback4) {
        return run_in_netns(netns, [&] {
            return open_listen_socket({IPPROTO_TCP, address, "", port});
        });
    }
    /// Of both families, on the host.
    ListenerId forward(uint16_t from = host_port, uint16_t to = guest_port) {
        io::UniqueFd socket = run_in_netns(host, [&] {
            return open_listen_socket({IPPROTO_TCP, std::nullopt, "", from});
        });
        EXPECT_TRUE(socket);
        return gate.listen({0, core::ListenSide::host, IPPROTO_TCP, to}, std::move(socket));
    }
    /// What connect(2) says: 0 or an errno.
    static int connect(const Netns& netns, uint16_t port, bool v4 = true) {
        return run_in_netns(netns, [&] {
            const io::UniqueFd client(socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM, 0));
            sockaddr_in in{};
            in.sin_family = AF_INET, in.sin_port = htons(port);
            in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            sockaddr_in6 in6{};
            in6.sin6_family = AF_INET6, in6.sin6_port = htons(port);
            in6.sin6_addr = in6addr_loopback;
            const auto* address = v4 ? reinterpret_cast<const sockaddr*>(&in)
                                     : reinterpret_cast<const sockaddr*>(&in6);
            return ::connect(client.get(), address, v4 ? sizeof in : sizeof in6) == 0 ? 0 : errno;
        });
    }
    /// As the daemon does, until nothing is left to do for now.
    void look() {
        for (pollfd waiting{gate.fd(), POLLIN, 0}; poll(&waiting, 1, 200) == 1;
             waiting.fd = gate.fd())
            gate.on_ready();
    }

    Netns host = testing_netns(), guest = testing_netns();
    FakeListeners listeners;
    PortGate gate{listeners, host};
};

TEST_F(PortGateTest, WhereNobodyListensClientsAreRefused) {
    forward();
    look();
    EXPECT_EQ(connect(host, host_port), ECONNREFUSED);
    EXPECT_EQ(connect(host, host_port, false), ECONNREFUSED);
    EXPECT_EQ(gate.refused(), 2U);
}

TEST_F(PortGateTest, WhereSomebodyListensAlreadyTheyAreLetIn) {
    const io::UniqueFd there = server(guest, guest_port);
    forward();
    look();
    EXPECT_EQ(connect(host, host_port), 0);
    EXPECT_EQ(connect(host, host_port, false), 0);
    EXPECT_EQ(gate.refused(), 0U);
}

TEST_F(PortGateTest, OfOnlyOneFamilyIsEnough) {
    const io::UniqueFd there = server(guest, guest_port, loopback6);
    forward();
    look();
    EXPECT_EQ(connect(host, host_port), 0);
}

TEST_F(PortGateTest, BeforeTheFirstLookTheyAreLetIn) {
    forward();
    EXPECT_EQ(connect(host, host_port), 0);
}

TEST_F(PortGateTest, ThePortIsOpenWhenListenReturns) {
    forward();
    look();
    ASSERT_EQ(connect(host, host_port), ECONNREFUSED);
    const io::UniqueFd there = server(guest, guest_port);
    EXPECT_EQ(connect(host, host_port), 0) << "before anybody looked";
    look();
    EXPECT_EQ(connect(host, host_port), 0);
}

TEST_F(PortGateTest, ItClosesWithTheLastOneThatListens) {
    io::UniqueFd one = server(guest, guest_port), other = server(guest, guest_port, loopback6);
    forward();
    look();
    one.reset();
    look();
    EXPECT_EQ(connect(host, host_port), 0);
    other.reset();
    look();
    EXPECT_EQ(connect(host, host_port), ECONNREFUSED);
}

TEST_F(PortGateTest, ItOpensAgain) {
    forward();
    for (int i = 0; i < 3; ++i) {
        look();
        EXPECT_EQ(connect(host, host_port), ECONNREFUSED);
        const io::UniqueFd there = server(guest, guest_port);
        EXPECT_EQ(connect(host, host_port), 0);
    }
}

TEST_F(PortGateTest, ConnectionsThatComeAndGoAreNoNews) {
    const io::UniqueFd there = server(guest, guest_port);
    forward();
    look();
    for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(connect(guest, guest_port), 0);
        EXPECT_TRUE(io::UniqueFd(accept(there.get(), nullptr, nullptr)));
    }
    pollfd waiting{gate.fd(), POLLIN, 0};
    EXPECT_EQ(poll(&waiting, 1, 50), 0);
}

TEST_F(PortGateTest, SocketsOfOtherNamespacesAndPortsDoNotCount) {
    forward();
    const io::UniqueFd elsewhere = server(host, guest_port), other = server(guest, host_port);
    look();
    EXPECT_EQ(connect(host, host_port), ECONNREFUSED);
}

TEST_F(PortGateTest, ListenersToOnePortOpenAndCloseTogether) {
    const ListenerId first = forward(8080), second = forward(8081);
    look();
    EXPECT_EQ(connect(host, 8080), ECONNREFUSED);
    gate.unlisten(first);
    EXPECT_EQ(connect(host, 8081), ECONNREFUSED);
    const io::UniqueFd there = server(guest, guest_port);
    EXPECT_EQ(connect(host, 8081), 0);
    gate.unlisten(second);
    EXPECT_EQ(listeners.listeners.size(), 0U);
    EXPECT_EQ(gate.refused(), 2U) << "still known when the listeners are gone";
}

TEST_F(PortGateTest, ListenersInTheNamespaceGoByTheHostsPorts) {
    io::UniqueFd socket = server(guest, 3128);
    gate.listen({0, core::ListenSide::ns, IPPROTO_TCP, 3128}, std::move(socket));
    look();
    EXPECT_EQ(connect(guest, 3128), ECONNREFUSED);
    const io::UniqueFd there = server(host, 3128);
    EXPECT_EQ(connect(guest, 3128), 0);
}

TEST_F(PortGateTest, UdpHasNone) {
    io::UniqueFd socket = run_in_netns(host, [&] {
        return open_listen_socket({IPPROTO_UDP, std::nullopt, "", 5353});
    });
    gate.listen({0, core::ListenSide::host, IPPROTO_UDP, 53}, std::move(socket));
    EXPECT_EQ(gate.fd(), -1);
}

TEST_F(PortGateTest, ANamespaceThatLedPacketsElsewhereKeepsItsPortsOpen) {
    forward();
    look();
    ASSERT_EQ(connect(host, host_port), ECONNREFUSED);
    const auto nft = [&](const std::string& command) {
        return run_in_netns(guest, [&] { return std::system(("nft " + command).c_str()); });
    };
    ASSERT_EQ(nft("add table ip t"), 0);
    ASSERT_EQ(nft("add chain ip t firewall '{ type filter hook input priority 0; }'"), 0);
    EXPECT_EQ(connect(host, host_port), ECONNREFUSED);
    look();
    EXPECT_EQ(connect(host, host_port), ECONNREFUSED) << "a firewall leads nothing elsewhere";
    ASSERT_EQ(nft("add chain ip t nat '{ type nat hook prerouting priority -100; }'"), 0);
    EXPECT_EQ(connect(host, host_port), ECONNREFUSED) << "nobody has looked";
    look();
    EXPECT_EQ(connect(host, host_port), 0) << "the one who was refused made us look";
}

}  // namespace
}  // namespace pasta::control
