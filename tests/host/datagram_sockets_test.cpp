// UDP and echo flows over real sockets, in a network namespace of the test's own. Needs
// CAP_SYS_ADMIN and CAP_NET_ADMIN, as the whole program does.
#include "dataplane/host/datagram_sockets.hpp"

#include <gmock/gmock.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <fstream>
#include <memory>

#include "dataplane/core/icmp_error.hpp"
#include "dataplane/host/socket_address.hpp"
#include "dataplane/host/socket_option.hpp"
#include "tests/host/own_netns.hpp"
#include "tests/support/core_fixture.hpp"
#include "tests/support/guest_packets.hpp"

namespace pasta::host {
namespace {

using test::pattern;
using ::testing::ElementsAreArray;

const auto loopback4 = wire::IpAddress::v4(127, 0, 0, 1);
constexpr wire::IpAddress loopback6{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
constexpr wire::IpAddress router6{{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

void write_sysctl(const char* path, const char* value) {
    std::ofstream file(path);
    file << value << std::flush;
    ASSERT_TRUE(file) << path;
}

void set_loopback_mtu(int mtu) {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_mtu = mtu;
    ASSERT_EQ(ioctl(fd, SIOCSIFMTU, &request), 0);
    close(fd);
}

/// A peer on the host's loopback.
class Peer {
  public:
    explicit Peer(const wire::IpAddress& address, uint16_t port = 0) {
        fd_ = ::socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const SocketAddress local(address, port);
        EXPECT_EQ(bind(fd_, local.get(), local.size()), 0) << std::strerror(errno);
        const timeval patience{5, 0};
        setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        set_option(fd_, SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20);
        set_option(fd_, IPPROTO_IP, IP_RECVTTL, 1);
        set_option(fd_, IPPROTO_IP, IP_RECVTOS, 1);
    }
    ~Peer() { close(fd_); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    uint16_t port() const {
        SocketAddress local;
        socklen_t length = SocketAddress::capacity();
        getsockname(fd_, local.out(), &length);
        return local.port();
    }
    /// The next datagram; remembers its sender, TTL and TOS.
    std::vector<uint8_t> receive() {
        std::vector<uint8_t> data(65536);
        alignas(cmsghdr) std::array<uint8_t, 128> control{};
        iovec iov{data.data(), data.size()};
        msghdr header{};
        header.msg_iov = &iov, header.msg_iovlen = 1;
        header.msg_control = control.data(), header.msg_controllen = control.size();
        header.msg_name = sender_.out(), header.msg_namelen = SocketAddress::capacity();
        const ssize_t n = recvmsg(fd_, &header, 0);
        EXPECT_GE(n, 0) << std::strerror(errno);
        for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
            if (c->cmsg_type == IP_TTL) ttl = *CMSG_DATA(c);
            if (c->cmsg_type == IP_TOS) tos = *CMSG_DATA(c);
        }
        data.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
        return data;
    }
    void reply(wire::Bytes data) {
        EXPECT_EQ(sendto(fd_, data.data(), data.size(), 0, sender_.get(), sender_.size()),
                  static_cast<ssize_t>(data.size()));
    }
    uint16_t sender_port() const { return sender_.port(); }
    void set_tos(int value) { set_option(fd_, IPPROTO_IP, IP_TOS, value); }

    int ttl = 0, tos = 0;

  private:
    int fd_;
    SocketAddress sender_;
};

class DatagramSocketsTest : public test::CoreFixture {
  protected:
    static void SetUpTestSuite() { test::enter_own_netns(); }
    void SetUp() override { allow_ping_sockets(false); }
    void TearDown() override {
        udp.close_port(0);
        echo.close_port(0);
        execute_ops();
        CoreFixture::TearDown();
    }

    static void allow_ping_sockets(bool allow) {
        write_sysctl("/proc/sys/net/ipv4/ping_group_range", allow ? "0 2147483647" : "1 0");
    }
    void inject_udp(const std::vector<uint8_t>& frame) {
        core::Packet p = packet(frame);
        udp.on_packet(p);
    }
    void inject_echo(const std::vector<uint8_t>& frame) {
        core::Packet p = packet(frame);
        echo.on_packet(p);
    }
    void execute_ops() {
        while (!context.ops.empty())
            sockets.execute(context.ops.pop());
    }
    /// One turn of a shard's loop.
    void turn(core::Time timeout) {
        execute_ops();
        for (const auto& event : poller.wait(timeout)) {
            if (event.flow.kind() == core::FlowKind::udp)
                udp.on_ready(event.flow, event.ready);
            else
                echo.on_ready(event.flow, event.ready);
        }
        execute_ops();
    }
    /// Turns until a frame for the namespace is there; fails the test after five seconds.
    std::optional<test::SentFrame> next_frame() {
        for (int i = 0; i < 50 && port()->tx.empty(); ++i)
            turn(100 * core::millisecond);
        auto frame = sent();
        EXPECT_TRUE(frame) << "no frame for the namespace";
        return frame;
    }
    void check_echo(const test::GuestPackets& guest, uint16_t id, size_t size) {
        inject_echo(guest.echo(id, 3, pattern(size)));
        const auto frame = next_frame();
        ASSERT_TRUE(frame);
        EXPECT_EQ(frame->ip.src, guest.dst);
        EXPECT_TRUE(frame->upper_checksum_ok());
        const auto reply = wire::IcmpEcho::parse(frame->upper());
        EXPECT_EQ(reply->type, guest.reply_type());
        EXPECT_EQ(reply->id, id);
        EXPECT_EQ(reply->sequence, 3);
        EXPECT_THAT(frame->upper().subspan(8), ElementsAreArray(pattern(size)));
    }

    test::GuestPackets v4{.src = guest4, .dst = gateway4};
    test::GuestPackets v6{.src = guest6, .dst = router6};
    core::UdpEngine udp{context, 256};
    core::EchoEngine echo{context, 256};
    SocketPoller poller;
    std::vector<Arrival> arrivals;
    DatagramSockets sockets{poller, context, udp, echo, arrivals};
};

TEST_F(DatagramSocketsTest, udp_round_trip_of_every_size) {
    for (const test::GuestPackets& guest : {v4, v6}) {
        Peer peer(guest.dst.is_v4() ? loopback4 : loopback6);
        for (const size_t size : {0, 1, 3968, 3969, 20000, 65000, 65000, 10}) {
            inject_udp(guest.udp(4000, peer.port(), pattern(size)));
            execute_ops();
            EXPECT_THAT(peer.receive(), ElementsAreArray(pattern(size)));
            EXPECT_EQ(peer.sender_port(), 4000) << "the source port is kept";
            peer.reply(pattern(size));
            const auto frame = next_frame();
            ASSERT_TRUE(frame);
            EXPECT_EQ(frame->ip.src, guest.dst);
            EXPECT_TRUE(frame->upper_checksum_ok());
            EXPECT_THAT(frame->upper().subspan(8), ElementsAreArray(pattern(size)));
        }
    }
    EXPECT_EQ(udp.flows(), 2u);
}

TEST_F(DatagramSocketsTest, ttl_and_tos_follow_each_datagram_and_each_reply) {
    Peer peer(loopback4);
    for (const int ttl : {1, 1, 64, 7}) {
        v4.hop_limit = static_cast<uint8_t>(ttl);
        v4.traffic_class = static_cast<uint8_t>(ttl * 4 + 2);
        inject_udp(v4.udp(4000, peer.port(), pattern(4)));
    }
    execute_ops();
    for (const int ttl : {1, 1, 64, 7}) {
        peer.receive();
        EXPECT_EQ(peer.ttl, ttl);
        EXPECT_EQ(peer.tos, static_cast<uint8_t>(ttl * 4 + 2));
    }
    peer.set_tos(0x2e << 2);
    peer.reply(pattern(4));
    EXPECT_EQ(next_frame()->ip.traffic_class, 0x2e << 2);
}

TEST_F(DatagramSocketsTest, bursts_arrive_whole_and_in_order) {
    Peer peer(loopback4);
    // Runs of equal sizes with shorter ends, empty ones and growing ones between them.
    std::vector<size_t> sizes;
    for (size_t i = 0; i < 200; ++i)
        sizes.push_back(i % 50 == 49 ? 0 : i % 10 == 9 ? 7 : i < 100 ? 100 : 1200);
    for (const size_t size : sizes)
        inject_udp(v4.udp(4000, peer.port(), pattern(size)));
    execute_ops();
    for (const size_t size : sizes)
        EXPECT_THAT(peer.receive(), ElementsAreArray(pattern(size)));
    EXPECT_EQ(context.counters.udp_to_sock.value(), sizes.size());
    for (const size_t size : sizes)
        peer.reply(pattern(size));
    for (const size_t size : sizes)
        EXPECT_THAT(next_frame()->upper().subspan(8), ElementsAreArray(pattern(size)));
    EXPECT_EQ(context.counters.udp_to_tap.value(), sizes.size());
}

TEST_F(DatagramSocketsTest, taken_source_port_is_replaced) {
    Peer holder(wire::IpAddress::v4(0, 0, 0, 0), 4000);
    Peer peer(loopback4);
    inject_udp(v4.udp(4000, peer.port(), pattern(4)));
    execute_ops();
    EXPECT_THAT(peer.receive(), ElementsAreArray(pattern(4)));
    EXPECT_NE(peer.sender_port(), 4000);
    peer.reply(pattern(5));
    const auto frame = next_frame();
    EXPECT_EQ(wire::UdpHeader::parse(frame->upper(), 13)->dst_port, 4000);
}

TEST_F(DatagramSocketsTest, refused_port_is_an_icmp_error_and_never_ourselves) {
    for (const test::GuestPackets& guest : {v4, v6}) {
        inject_udp(guest.udp(4000, 4000, pattern(12)));
        const auto frame = next_frame();
        ASSERT_TRUE(frame);
        EXPECT_TRUE(frame->upper_checksum_ok());
        EXPECT_EQ(frame->ip.src, guest.dst);
        const bool is_v4 = guest.dst.is_v4();
        const auto error = wire::IcmpError::parse(frame->upper());
        EXPECT_EQ(error->type, is_v4 ? wire::icmpv4::destination_unreachable
                                     : wire::icmpv6::destination_unreachable);
        EXPECT_EQ(error->code,
                  is_v4 ? wire::icmpv4::port_unreachable : wire::icmpv6::port_unreachable);
        const wire::Bytes inner = frame->upper().subspan(8 + (is_v4 ? 20 : 40));
        EXPECT_EQ(wire::UdpHeader::parse(inner, inner.size())->src_port, 4000);
        EXPECT_THAT(inner.subspan(8), ElementsAreArray(pattern(12)));
    }
}

TEST_F(DatagramSocketsTest, flow_outlives_an_error) {
    uint16_t port_number = 0;
    {
        Peer gone(loopback4);
        port_number = gone.port();
    }
    inject_udp(v4.udp(4000, port_number, pattern(4)));
    ASSERT_TRUE(next_frame());
    Peer peer(loopback4, port_number);
    inject_udp(v4.udp(4000, port_number, pattern(5)));
    execute_ops();
    EXPECT_THAT(peer.receive(), ElementsAreArray(pattern(5)));
    EXPECT_EQ(udp.flows(), 1u);
}

TEST_F(DatagramSocketsTest, unreachable_network_is_an_icmp_error) {
    v4.dst = peer4;
    v6.dst = peer6;
    inject_udp(v4.udp(4000, 53, pattern(4)));
    EXPECT_EQ(wire::IcmpError::parse(next_frame()->upper())->code, wire::icmpv4::net_unreachable);
    inject_udp(v6.udp(4000, 53, pattern(4)));
    EXPECT_EQ(wire::IcmpError::parse(next_frame()->upper())->code, wire::icmpv6::no_route);
    inject_echo(v4.echo(9, 1, pattern(4)));
    EXPECT_EQ(wire::IcmpError::parse(next_frame()->upper())->code, wire::icmpv4::net_unreachable);
    EXPECT_EQ(udp.flows() + echo.flows(), 0u);
}

TEST_F(DatagramSocketsTest, larger_than_the_hosts_link_is_fragmented_by_the_host) {
    set_loopback_mtu(1500);
    for (const test::GuestPackets& guest : {v4, v6}) {
        Peer peer(guest.dst.is_v4() ? loopback4 : loopback6);
        for (const size_t size : {100, 4000, 1400, 60000}) {
            inject_udp(guest.udp(4000, peer.port(), pattern(size)));
            execute_ops();
            EXPECT_THAT(peer.receive(), ElementsAreArray(pattern(size)));
        }
    }
    EXPECT_FALSE(sent());
    set_loopback_mtu(65536);
}

TEST_F(DatagramSocketsTest, path_that_shrinks_is_told_with_its_mtu_unless_df_is_clear) {
    Peer peer(loopback4);
    inject_udp(v4.udp(4000, peer.port(), {}));
    execute_ops();
    peer.receive();
    set_loopback_mtu(1500);
    inject_udp(v4.udp(4000, peer.port(), pattern(4000)));
    const auto frame = next_frame();
    const auto error = wire::IcmpError::parse(frame->upper());
    EXPECT_EQ(error->code, wire::icmpv4::fragmentation_needed);
    EXPECT_EQ(error->info, 1500u);
    const auto inner = wire::Ipv4Header::parse(frame->upper().subspan(8), 4028);
    ASSERT_TRUE(inner);
    EXPECT_EQ(inner->total_length, 4028);
    EXPECT_TRUE(inner->dont_fragment);
    v4.dont_fragment = false;
    inject_udp(v4.udp(4000, peer.port(), pattern(4000)));
    execute_ops();
    EXPECT_THAT(peer.receive(), ElementsAreArray(pattern(4000)));
    set_loopback_mtu(65536);
}

TEST_F(DatagramSocketsTest, no_descriptor_left_is_counted) {
    inject_udp(v4.udp(4000, 53, pattern(4)));
    execute_ops();
    rlimit old{};
    getrlimit(RLIMIT_NOFILE, &old);
    const rlimit none{3, old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    inject_udp(v4.udp(4001, 53, pattern(4)));
    execute_ops();
    setrlimit(RLIMIT_NOFILE, &old);
    EXPECT_EQ(context.counters.socket_exhausted.value(), 1u);
    EXPECT_EQ(udp.flows(), 1u) << "the one that was there before";
}

TEST_F(DatagramSocketsTest, shortage_of_chunks_leaves_datagrams_in_the_socket) {
    Peer peer(loopback4);
    inject_udp(v4.udp(4000, peer.port(), {}));
    execute_ops();
    peer.receive();
    core::Chain all;
    for (core::ChunkId id = cache.alloc(); id != core::no_chunk; id = cache.alloc())
        all.append(arena, id);
    peer.reply(pattern(9));
    for (int i = 0; i < 50 && context.counters.drop_no_chunk.value() == 0; ++i)
        turn(100 * core::millisecond);
    EXPECT_TRUE(port()->tx.empty());
    cache.unref(all);
    for (const core::FlowId id : advance_to(2 * core::millisecond))
        udp.on_deadline(id);
    EXPECT_THAT(next_frame()->upper().subspan(8), ElementsAreArray(pattern(9)));
}

TEST_F(DatagramSocketsTest, echo_by_ping_sockets) {
    allow_ping_sockets(true);
    for (const size_t size : {0, 56, 20000}) {
        check_echo(v4, 100, size);
        check_echo(v6, 100, size);
    }
    EXPECT_FALSE(echo.find(context.table.find({guest4, gateway4, 100, 0, 0, 1}))->raw);
    // Taken identifiers: another guest with the same one.
    v4.src = wire::IpAddress::v4(198, 51, 100, 77);
    check_echo(v4, 100, 8);
}

TEST_F(DatagramSocketsTest, echo_by_raw_sockets_where_ping_sockets_are_not_allowed) {
    for (const size_t size : {0, 56, 20000}) {
        check_echo(v4, 100, size);
        check_echo(v6, 100, size);
    }
    EXPECT_TRUE(echo.find(context.table.find({guest4, gateway4, 100, 0, 0, 1}))->raw);
    v4.src = wire::IpAddress::v4(198, 51, 100, 77);
    check_echo(v4, 100, 8);
    turn(0);
    EXPECT_TRUE(port()->tx.empty()) << "the other flow must not see this one's reply";
}

}  // namespace
}  // namespace pasta::host
