// Listening sockets and who holds a port, with the real kernel in a namespace of the test. Needs
// root.
#include "control/listen_socket.hpp"

#include <arpa/inet.h>
#include <cap-ng.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "control/ip_text.hpp"
#include "control/listening_ports.hpp"
#include "control/sock_diag.hpp"

namespace pasta::control {
namespace {

using ::testing::ElementsAre;

ListenEndpoint endpoint(uint8_t protocol, const char* address, uint16_t port,
                        const char* interface = "") {
    const auto where = *address == '\0' ? std::nullopt : parse_address(address);
    return {protocol, where, interface, port};
}
ListenEndpoint tcp(const char* address, uint16_t port) {
    return endpoint(IPPROTO_TCP, address, port);
}
ListenEndpoint udp(const char* address, uint16_t port) {
    return endpoint(IPPROTO_UDP, address, port);
}

struct ListenSocketTest : ::testing::Test {
    ListenSocketTest() {
        run_in_netns(netns, [] {
            EXPECT_TRUE(write_sysctl("net/ipv6/conf/lo/disable_ipv6", "0"));
            EXPECT_TRUE(write_sysctl("net/ipv4/ip_local_port_range", "32768 60999"));
        });
    }
    ListenResult open(const std::vector<ListenEndpoint>& endpoints) {
        return run_in_netns(netns, [&] { return open_listen_sockets(endpoints); });
    }
    /// Why an endpoint cannot be had.
    std::string problem(const ListenEndpoint& wanted) {
        const ListenResult result = open({wanted});
        if (!result.sockets.empty()) return "open";
        const std::string holder =
            result.error == EADDRINUSE ? port_holder(netns, wanted.protocol, wanted.port) : "";
        return listen_problem(result.refused, result.error, "host", holder);
    }

    Netns netns = Netns::create_private();
};

int option(const io::UniqueFd& socket, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    EXPECT_EQ(getsockopt(socket.get(), level, name, &value, &length), 0);
    return value;
}

TEST_F(ListenSocketTest, WithoutAnAddressOneSocketServesBothFamilies) {
    const ListenResult result = open({tcp("", 80)});
    ASSERT_EQ(result.sockets.size(), 1U);
    const io::UniqueFd& socket = result.sockets[0];
    EXPECT_EQ(option(socket, SOL_SOCKET, SO_DOMAIN), AF_INET6);
    EXPECT_EQ(option(socket, IPPROTO_IPV6, IPV6_V6ONLY), 0);
    EXPECT_EQ(option(socket, SOL_SOCKET, SO_ACCEPTCONN), 1);
    EXPECT_NE(fcntl(socket.get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(fcntl(socket.get(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(problem(tcp("127.0.0.1", 80)),
              fmt::format("TCP port 80 of the host is in use by control_tests (pid {})", getpid()));
}

TEST_F(ListenSocketTest, FamiliesAndAddressesKeepApart) {
    const ListenResult first = open({tcp("0.0.0.0", 80), tcp("::", 80), tcp("127.0.0.1", 81)});
    EXPECT_EQ(first.sockets.size(), 3U);
    EXPECT_EQ(problem(tcp("127.0.0.2", 81)), "open");
    EXPECT_EQ(problem(udp("127.0.0.1", 81)), "open");
}

TEST_F(ListenSocketTest, BusyUdpPortIsAConflictAlthoughFlowsMayShareIt) {
    const ListenResult result = open({udp("", 53)});
    ASSERT_EQ(result.sockets.size(), 1U);
    EXPECT_EQ(option(result.sockets[0], SOL_SOCKET, SO_REUSEPORT), 1);
    EXPECT_EQ(problem(udp("127.0.0.1", 53)),
              fmt::format("UDP port 53 of the host is in use by control_tests (pid {})", getpid()));
}

TEST_F(ListenSocketTest, ProblemsAreNamed) {
    EXPECT_EQ(problem(tcp("203.0.113.9", 80)), "203.0.113.9 is not an address of the host");
    EXPECT_EQ(problem(endpoint(IPPROTO_UDP, "", 53, "nix0")), "the host has no interface nix0");
    EXPECT_EQ(problem(endpoint(IPPROTO_TCP, "", 53, "lo")), "open");
    EXPECT_EQ(listen_problem(tcp("", 80), EMFILE, "namespace", ""),
              "TCP port 80 of the namespace: too many open files (raise the limit, ulimit -n)");
    EXPECT_EQ(listen_problem(tcp("", 80), ENOBUFS, "host", ""),
              "TCP port 80 of the host: No buffer space available");
    EXPECT_EQ(listen_problem(tcp("", 80), EADDRINUSE, "host", ""),
              "TCP port 80 of the host is in use");
}

TEST_F(ListenSocketTest, PrivilegedPortsNeedACapability) {
    const std::string text = run_in_netns(netns, [] {
        capng_get_caps_process();
        capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, CAP_NET_BIND_SERVICE);
        EXPECT_EQ(capng_apply(CAPNG_SELECT_CAPS), 0);  // of this thread alone
        const ListenResult result = open_listen_sockets({tcp("", 80)});
        EXPECT_EQ(open_listen_sockets({tcp("", 1024)}).sockets.size(), 1U);
        return listen_problem(result.refused, result.error, "host", "");
    });
    EXPECT_EQ(text,
              "TCP port 80 of the host is a privileged one (CAP_NET_BIND_SERVICE, or "
              "net.ipv4.ip_unprivileged_port_start lowered)");
}

TEST_F(ListenSocketTest, AFamilyThatIsMissingIsPassedOver) {
    run_in_netns(netns, [] { write_sysctl("net/ipv6/conf/lo/disable_ipv6", "1"); });
    EXPECT_EQ(open({tcp("127.0.0.1", 80), tcp("::1", 80)}).sockets.size(), 1U);
    const ListenResult none = open({tcp("::1", 81)});
    EXPECT_TRUE(none.sockets.empty());
    EXPECT_EQ(none.error, EADDRNOTAVAIL);
}

TEST_F(ListenSocketTest, OneOfTwoInUseIsNone) {
    const ListenResult busy = open({tcp("::1", 80)});
    const ListenResult result = open({tcp("127.0.0.1", 80), tcp("::1", 80)});
    EXPECT_TRUE(result.sockets.empty());
    EXPECT_EQ(result.error, EADDRINUSE);
}

TEST_F(ListenSocketTest, NobodyHoldsAFreePort) {
    EXPECT_EQ(port_holder(netns, IPPROTO_TCP, 80), "");
}

/// A UDP socket of the namespace, connected to another port of it.
io::UniqueFd connected_udp(uint16_t port) {
    io::UniqueFd made(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    EXPECT_EQ(bind(made.get(), generic, sizeof address), 0);
    address.sin_port = htons(9);
    EXPECT_EQ(connect(made.get(), generic, sizeof address), 0);
    return made;
}

TEST_F(ListenSocketTest, SockDiagListsWhatListens) {
    const ListenResult sockets = open({tcp("127.0.0.1", 80), tcp("::1", 80), tcp("", 443),
                                       udp("127.0.0.1", 53), udp("::1", 5353)});
    ASSERT_EQ(sockets.sockets.size(), 5U);
    const io::UniqueFd connected = run_in_netns(netns, [] { return connected_udp(1053); });
    SockDiag diag(netns);
    EXPECT_THAT(diag.listening(IPPROTO_TCP), ElementsAre(80, 443));
    EXPECT_THAT(diag.listening(IPPROTO_UDP), ElementsAre(53, 5353));
    EXPECT_THAT(SockDiag(Netns::create_private()).listening(IPPROTO_TCP), ElementsAre());
}

TEST_F(ListenSocketTest, CountsTellOfEveryListener) {
    const auto source = make_socket_source(netns);
    EXPECT_EQ(source->counts(), (SocketCounts{0, 0}));
    const ListenResult first = open({tcp("127.0.0.1", 80), udp("127.0.0.1", 53)});
    EXPECT_EQ(source->counts(), (SocketCounts{1, 1}));
    const ListenResult second = open({tcp("::1", 80), udp("::1", 53)});
    EXPECT_EQ(source->counts(), (SocketCounts{2, 2}));
    EXPECT_EQ(source->ephemeral(), (PortRange{32768, 60999}));
}

}  // namespace
}  // namespace pasta::control
