// Listeners over real sockets, in a network namespace of the test's own.
#include "dataplane/host/listeners.hpp"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <array>
#include <memory>

#include "dataplane/host/datagram_sockets.hpp"
#include "dataplane/host/socket_address.hpp"
#include "dataplane/host/socket_option.hpp"
#include "tests/host/own_netns.hpp"
#include "tests/support/core_fixture.hpp"
#include "tests/support/guest_packets.hpp"

namespace pasta::host {
namespace {

using test::pattern;
using ::testing::ElementsAreArray;

constexpr wire::IpAddress any6{};
constexpr wire::IpAddress any4 = wire::IpAddress::v4(0, 0, 0, 0);
// Of the host, and not loopback's, whose datagrams take another way.
constexpr wire::IpAddress near4 = wire::IpAddress::v4(198, 51, 100, 1);
constexpr wire::IpAddress other4 = wire::IpAddress::v4(198, 51, 100, 2);
constexpr wire::IpAddress near6{{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

/// A socket of the test's. Receives wait five seconds at most.
class TestSocket {
  public:
    TestSocket(int type, const wire::IpAddress& address, uint16_t port = 0, bool dual = false)
        : fd_(socket(address.is_v4() ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0)) {
        if (address.is_v6()) set_option(fd_, IPPROTO_IPV6, IPV6_V6ONLY, dual ? 0 : 1);
        const SocketAddress local(address, port);
        EXPECT_EQ(bind(fd_, local.get(), local.size()), 0) << std::strerror(errno);
        const timeval patience{5, 0};
        setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    }
    ~TestSocket() { close(fd_); }
    TestSocket(const TestSocket&) = delete;
    TestSocket& operator=(const TestSocket&) = delete;

    int fd() const { return fd_; }
    core::Endpoint local() const {
        SocketAddress address;
        socklen_t size = SocketAddress::capacity();
        EXPECT_EQ(getsockname(fd_, address.out(), &size), 0);
        return {*address.ip(), address.port()};
    }
    void connect_to(const core::Endpoint& to) const {
        const SocketAddress address(to.address, to.port);
        EXPECT_EQ(connect(fd_, address.get(), address.size()), 0) << std::strerror(errno);
    }
    void send(wire::Bytes data) const {
        EXPECT_EQ(::send(fd_, data.data(), data.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(data.size()));
    }
    /// The next bytes; empty with errno set when there are none.
    std::vector<uint8_t> receive() const {
        std::vector<uint8_t> data(65536);
        const ssize_t n = recv(fd_, data.data(), data.size(), 0);
        data.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
        return data;
    }

  private:
    int fd_;
};

class ListenersTest : public test::CoreFixture {
  protected:
    static void SetUpTestSuite() {
        test::enter_own_netns();
        test::add_address("198.51.100.1/24");
        test::add_address("198.51.100.2/24");
        test::add_address("2001:db8::1/64");
    }
    void TearDown() override {
        for (Arrival& arrival : arrivals)
            turn_away(arrival, cache);
        udp.close_port(0);
        execute_ops();
        CoreFixture::TearDown();
    }

    /// Serves a socket bound to the address, at a port of the kernel's choice.
    std::unique_ptr<TestSocket> listener(uint8_t protocol, const wire::IpAddress& address,
                                         bool dual = false) {
        const bool tcp = protocol == wire::protocol_tcp;
        auto s = std::make_unique<TestSocket>((tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK,
                                              address, uint16_t{0}, dual);
        if (tcp) {
            EXPECT_EQ(::listen(s->fd(), 128), 0);
        }
        const ListenerConfig config{0, ListenSide::host, protocol, 80};
        EXPECT_TRUE(prepare_listener(s->fd(), config));
        EXPECT_TRUE(listeners.add(id, config, s->fd()));
        return s;
    }
    /// One report of the listener, if there is any within `patience`. Returns the arrivals there
    /// are then.
    size_t turn(core::Time patience) {
        for (const auto& event : poller.wait(patience)) {
            if (event.flow.kind() == core::FlowKind::listener)
                listeners.on_ready(event.flow, context.now, arrivals);
            else
                udp.on_ready(event.flow, event.ready);
        }
        execute_ops();
        return arrivals.size();
    }
    void wait_for(size_t count) {
        for (int i = 0; i < 50 && arrivals.size() < count; ++i)
            turn(100 * core::millisecond);
        ASSERT_EQ(arrivals.size(), count);
    }
    void execute_ops() {
        while (!context.ops.empty())
            sockets.execute(context.ops.pop());
    }
    std::vector<uint8_t> payload(const Arrival& arrival) {
        std::vector<uint8_t> bytes(arrival.payload.bytes);
        core::copy_out(arena, arrival.payload, bytes);
        return bytes;
    }
    /// What the shard does with a datagram.
    core::FlowKey begin(Arrival& arrival) {
        const core::FlowKey key{guest4, peer4, 80, arrival.client.port, 0, wire::protocol_udp};
        udp.on_inbound(key, arrival.client, arrival.local, arrival.payload, arrival.options);
        arrival.payload = {};
        return key;
    }
    std::unique_ptr<TestSocket> client(int type, const wire::IpAddress& from,
                                       const core::Endpoint& to) {
        auto s = std::make_unique<TestSocket>(type, from);
        s->connect_to(to);
        return s;
    }
    void guest_answers(const core::FlowKey& key, wire::Bytes data) {
        const test::GuestPackets guest{.src = key.guest, .dst = key.peer};
        core::Packet p = packet(guest.udp(key.guest_port, key.peer_port, data));
        udp.on_packet(p);
        execute_ops();
    }

    static constexpr ListenerId id = 7;
    core::UdpEngine udp{context, 256};
    core::EchoEngine echo{context, 256};
    SocketPoller poller;
    std::vector<Arrival> arrivals;
    DatagramSockets sockets{poller, context, udp, echo, arrivals};
    /// Datagrams between loopbacks: their sizes.
    std::vector<size_t> between_loopbacks;
    Listeners listeners{
        poller, cache, context.counters,
        [this](const ListenerConfig&, int, uint16_t, std::span<const UdpBurst> bursts) {
            for (const UdpBurst& burst : bursts)
                for (size_t i = 0; i < burst.count(); ++i)
                    between_loopbacks.push_back(burst.datagram(i).size());
        }};
};

TEST_F(ListenersTest, tcp_client_arrives_with_its_address_and_a_socket) {
    const auto server = listener(wire::protocol_tcp, near4);
    const auto peer = client(SOCK_STREAM, other4, server->local());
    wait_for(1);
    EXPECT_EQ(arrivals[0].client, (core::HostTarget{other4, peer->local().port}));
    EXPECT_EQ(arrivals[0].listener.target_port, 80);
    peer->send(pattern(5));
    std::array<uint8_t, 10> bytes;
    while (recv(arrivals[0].socket, bytes.data(), bytes.size(), MSG_PEEK) < 0)
        ASSERT_EQ(errno, EAGAIN) << "non-blocking";
    turn_away(arrivals[0], cache);
    EXPECT_TRUE(peer->receive().empty());
    EXPECT_EQ(errno, ECONNRESET);
}

TEST_F(ListenersTest, tcp_listener_of_both_families_gives_plain_addresses) {
    const auto server = listener(wire::protocol_tcp, any6, true);
    const uint16_t port = server->local().port;
    const auto v4_client = client(SOCK_STREAM, other4, {near4, port});
    const auto client6 = client(SOCK_STREAM, near6, {near6, port});
    wait_for(2);
    EXPECT_EQ(arrivals[0].client.address, other4);
    EXPECT_TRUE(arrivals[0].client.address.is_v4());
    EXPECT_EQ(arrivals[1].client.address, near6);
}

TEST_F(ListenersTest, tcp_one_turn_takes_a_bounded_number_and_the_next_goes_on) {
    const auto server = listener(wire::protocol_tcp, near4);
    std::vector<std::unique_ptr<TestSocket>> peers;
    for (int i = 0; i < 40; ++i)
        peers.push_back(client(SOCK_STREAM, near4, server->local()));
    size_t before = 0, most = 0;
    for (int turns = 0; before < peers.size() && turns < 40; ++turns) {
        const size_t now = turn(core::second);
        most = std::max(most, now - before);
        EXPECT_LE(now - before, 16u);
        before = now;
    }
    EXPECT_EQ(before, peers.size());
    EXPECT_GT(most, 1u) << "a long queue is taken faster";
}

TEST_F(ListenersTest, without_descriptors_a_listener_is_left_alone_for_a_while) {
    const auto server = listener(wire::protocol_tcp, near4);
    const auto first = client(SOCK_STREAM, near4, server->local());
    wait_for(1);
    const auto second = client(SOCK_STREAM, near4, server->local());
    rlimit old{};
    getrlimit(RLIMIT_NOFILE, &old);
    const rlimit none{3, old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    EXPECT_EQ(turn(core::second), 1u);
    setrlimit(RLIMIT_NOFILE, &old);
    EXPECT_EQ(context.counters.listener_pauses.value(), 1u);
    EXPECT_TRUE(poller.wait(0).empty()) << "would be reported without end";
    ASSERT_NE(listeners.next_deadline(), core::never);
    listeners.run_timers(listeners.next_deadline() - 1);
    EXPECT_TRUE(poller.wait(0).empty());
    listeners.run_timers(listeners.next_deadline());
    EXPECT_EQ(listeners.next_deadline(), core::never);
    wait_for(2);
}

TEST_F(ListenersTest, removed_while_paused_or_not_says_nothing_more) {
    const auto server = listener(wire::protocol_tcp, near4);
    const auto before = client(SOCK_STREAM, near4, server->local());
    wait_for(1);  // also lets sanitizers look at vtables, for which they need descriptors
    turn_away(arrivals[0], cache);
    arrivals.clear();
    const auto first = client(SOCK_STREAM, near4, server->local());
    rlimit old{};
    getrlimit(RLIMIT_NOFILE, &old);
    const rlimit none{3, old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    EXPECT_EQ(turn(core::second), 0u);
    setrlimit(RLIMIT_NOFILE, &old);
    EXPECT_EQ(context.counters.listener_pauses.value(), 1u);
    listeners.remove(id);
    listeners.run_timers(core::second);
    EXPECT_EQ(turn(0), 0u);
    ASSERT_TRUE(listeners.add(id, {0, ListenSide::host, wire::protocol_tcp, 80}, server->fd()));
    wait_for(1);
    const auto second = client(SOCK_STREAM, near4, server->local());
    listeners.remove(id);
    EXPECT_EQ(turn(0), 1u);
}

TEST_F(ListenersTest, udp_without_chunks_is_dropped_and_counted) {
    const auto server = listener(wire::protocol_udp, near4);
    const auto peer = client(SOCK_DGRAM, near4, server->local());
    peer->send(pattern(3));
    core::Chain all;
    for (core::ChunkId chunk = cache.alloc(); chunk != core::no_chunk; chunk = cache.alloc())
        all.append(arena, chunk);
    EXPECT_EQ(turn(core::second), 0u);
    cache.unref(all);
    EXPECT_EQ(context.counters.drop_no_chunk.value(), 1u);
    peer->send(pattern(3));
    wait_for(1);
}

TEST_F(ListenersTest, udp_datagram_of_every_size_arrives_with_where_it_was_sent) {
    const auto server = listener(wire::protocol_udp, any4);
    const auto peer = client(SOCK_DGRAM, near4, {other4, server->local().port});
    for (const size_t size : {0, 1, 3968, 3969, 20000, 65000}) {
        peer->send(pattern(size));
        wait_for(1);
        EXPECT_EQ(arrivals[0].client, (core::HostTarget{near4, peer->local().port}));
        EXPECT_EQ(arrivals[0].local, (core::Endpoint{other4, server->local().port}));
        EXPECT_THAT(payload(arrivals[0]), ElementsAreArray(pattern(size)));
        EXPECT_GE(arena.meta(arrivals[0].payload.head).offset, core::header_room);
        turn_away(arrivals[0], cache);
        arrivals.clear();
    }
}

TEST_F(ListenersTest, udp_listener_of_both_families_tells_ttl_tos_and_plain_addresses) {
    const auto server = listener(wire::protocol_udp, any6, true);
    const uint16_t port = server->local().port;
    const auto v4_client = client(SOCK_DGRAM, near4, {other4, port});
    set_option(v4_client->fd(), IPPROTO_IP, IP_TTL, 33);
    set_option(v4_client->fd(), IPPROTO_IP, IP_TOS, 0x28);
    const auto client6 = client(SOCK_DGRAM, near6, {near6, port});
    set_option(client6->fd(), IPPROTO_IPV6, IPV6_UNICAST_HOPS, 44);
    set_option(client6->fd(), IPPROTO_IPV6, IPV6_TCLASS, 0x48);
    v4_client->send(pattern(1));
    client6->send(pattern(1));
    wait_for(2);
    EXPECT_EQ(arrivals[0].client.address, near4);
    EXPECT_EQ(arrivals[0].local.address, other4);
    EXPECT_EQ(arrivals[0].options.hop_limit, 33);
    EXPECT_EQ(arrivals[0].options.traffic_class, 0x28);
    EXPECT_EQ(arrivals[1].local.address, near6);
    EXPECT_EQ(arrivals[1].options.hop_limit, 44);
    EXPECT_EQ(arrivals[1].options.traffic_class, 0x48);
}

TEST_F(ListenersTest, udp_datagrams_between_loopbacks_go_another_way) {
    const auto server = listener(wire::protocol_udp, any6, true);
    const uint16_t port = server->local().port;
    const auto local =
        client(SOCK_DGRAM, core::loopback4, {wire::IpAddress::v4(127, 0, 0, 9), port});
    const auto remote = client(SOCK_DGRAM, near4, {other4, port});
    local->send(pattern(10));
    remote->send(pattern(20));
    local->send(pattern(30));
    local->send(pattern(0));
    wait_for(1);
    EXPECT_THAT(payload(arrivals[0]), ElementsAreArray(pattern(20)));
    EXPECT_EQ(between_loopbacks, (std::vector<size_t>{10, 30, 0}));
}

// Those between loopbacks have no socket of their own to come to.
TEST_F(ListenersTest, udp_burst_waits_in_the_listener_while_the_worker_is_busy) {
    const auto server = listener(wire::protocol_udp, any4);
    const auto local = client(SOCK_DGRAM, core::loopback4, {core::loopback4, server->local().port});
    for (int i = 0; i < 60; ++i)
        local->send(pattern(16000));
    for (int i = 0; i < 50 && between_loopbacks.size() < 60; ++i)
        turn(100 * core::millisecond);
    EXPECT_EQ(between_loopbacks, std::vector<size_t>(60, 16000));
}

// The listener's address: one, all of a family, all of both.
class UdpListenerAt : public ListenersTest, public ::testing::WithParamInterface<const char*> {
  protected:
    std::unique_ptr<TestSocket> listener_here() {
        if (std::string_view(GetParam()) == "one") return listener(wire::protocol_udp, other4);
        if (std::string_view(GetParam()) == "all") return listener(wire::protocol_udp, any4);
        return listener(wire::protocol_udp, any6, true);
    }
};

TEST_P(UdpListenerAt, clients_are_answered_from_where_they_sent_to_by_flows_of_their_own) {
    const auto server = listener_here();
    const core::Endpoint service{other4, server->local().port};
    std::vector<std::unique_ptr<TestSocket>> peers;
    for (size_t i = 0; i < 20; ++i) {
        peers.push_back(client(SOCK_DGRAM, near4, service));
        peers[i]->send(pattern(10 + i));
        wait_for(1);
        const core::FlowKey key = begin(arrivals[0]);
        arrivals.clear();
        execute_ops();
        guest_answers(key, pattern(100 + i));
        // From another address or port it would not be taken: the client is connected.
        EXPECT_THAT(peers[i]->receive(), ElementsAreArray(pattern(100 + i)));
    }
    EXPECT_EQ(udp.flows(), peers.size());
    all_sent();
    for (size_t i = 0; i < peers.size(); ++i) {
        peers[i]->send(pattern(30 + i));
        for (int t = 0; t < 50 && port()->tx.empty(); ++t)
            turn(100 * core::millisecond);
        const auto frame = sent();
        ASSERT_TRUE(frame);
        EXPECT_THAT(frame->upper().subspan(8), ElementsAreArray(pattern(30 + i)));
    }
    EXPECT_TRUE(arrivals.empty()) << "only first datagrams are the listener's";
}

INSTANTIATE_TEST_SUITE_P(Addresses, UdpListenerAt, ::testing::Values("one", "all", "both"));

TEST_F(ListenersTest, udp_port_of_a_listener_is_not_to_be_had) {
    const auto server = listener(wire::protocol_udp, any4);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const SocketAddress same(other4, server->local().port);
    EXPECT_EQ(bind(fd, same.get(), same.size()), -1);
    EXPECT_EQ(errno, EADDRINUSE);
    close(fd);
}

// Between bind(2) and connect(2) of a flow's socket everybody's datagrams land in it.
TEST_F(ListenersTest, udp_datagrams_of_others_in_a_flows_socket_arrive_as_at_the_listener) {
    const auto server = listener(wire::protocol_udp, any4);
    const core::Endpoint service{other4, server->local().port};
    const auto first = client(SOCK_DGRAM, near4, service);
    const auto second = client(SOCK_DGRAM, near4, service);
    first->send(pattern(10));
    wait_for(1);
    const core::FlowKey key = begin(arrivals[0]);
    arrivals.clear();
    ASSERT_EQ(take_ops().size(), 1u);  // the open, which the test does
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    const SocketAddress here(service.address, service.port);
    ASSERT_EQ(bind(fd, here.get(), here.size()), 0);
    second->send(pattern(21));
    first->send(pattern(11));
    second->send(pattern(22));
    const SocketAddress there(first->local().address, first->local().port);
    ASSERT_EQ(connect(fd, there.get(), there.size()), 0);
    const core::FlowId flow = context.table.find(key);
    ASSERT_TRUE(poller.add(fd, flow));
    udp.on_opened(flow, fd);
    all_sent();
    wait_for(2);
    for (size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(arrivals[i].client, (core::HostTarget{near4, second->local().port}));
        EXPECT_EQ(arrivals[i].local, service);
        EXPECT_EQ(arrivals[i].listener.target_port, 80);
        EXPECT_EQ(arrivals[i].listener.protocol, wire::protocol_udp);
        EXPECT_THAT(payload(arrivals[i]), ElementsAreArray(pattern(21 + i)));
    }
    EXPECT_THAT(sent()->upper().subspan(8), ElementsAreArray(pattern(11)));
}

TEST_F(ListenersTest, udp_client_hears_that_the_namespaces_port_is_closed) {
    for (const bool v4 : {true, false}) {
        const wire::IpAddress to = v4 ? other4 : near6;
        const wire::IpAddress from = v4 ? near4 : near6;
        const auto server = listener(wire::protocol_udp, to);
        const auto peer = client(SOCK_DGRAM, from, server->local());
        peer->send(pattern(10));
        wait_for(1);
        const core::FlowKey key{v4 ? guest4 : guest6, v4 ? peer4 : peer6, 80, peer->local().port, 0,
                                wire::protocol_udp};
        udp.on_inbound(key, arrivals[0].client, arrivals[0].local, arrivals[0].payload, {});
        arrivals.clear();
        execute_ops();
        const auto datagram = sent();
        const test::GuestPackets guest{.src = key.guest, .dst = key.peer};
        core::Packet p = packet(guest.unreachable(wire::Bytes{datagram->bytes}.subspan(14), true));
        const auto error = core::parse_guest_error(arena, p);
        ASSERT_TRUE(error && udp.on_unreachable(*error));
        cache.unref(p.frame);
        execute_ops();
        EXPECT_EQ(context.counters.icmp_errors_unsent.value(), 0u);
        EXPECT_TRUE(peer->receive().empty());
        EXPECT_EQ(errno, ECONNREFUSED);
        listeners.remove(id);
    }
    EXPECT_EQ(context.counters.icmp_errors_to_clients.value(), 2u);
}

}  // namespace
}  // namespace pasta::host
