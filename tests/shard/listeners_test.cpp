// Clients of listeners reach a namespace that two workers serve.

#include <fcntl.h>
#include <poll.h>

#include "dataplane/host/socket_address.hpp"
#include "dataplane/wire/udp.hpp"
#include "tests/host/own_netns.hpp"
#include "tests/shard/shard_lab.hpp"

namespace pasta::shard {
namespace {

using host::ListenerConfig;
using host::ListenSide;
using host::SocketAddress;
using test::FakeLink;
using test::FakePort;
using test::LabGuest;

constexpr uint16_t service_port = 80;

/// A socket of the host at the address that the namespace has as well, so that clients appear there
/// as the gateway; at a port of the kernel's choice. Those of loopback would be spliced.
class LocalSocket {
  public:
    explicit LocalSocket(int type) : fd_(socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        const SocketAddress any(test::lab_guest, 0);
        EXPECT_EQ(bind(fd_.get(), any.get(), any.size()), 0);
    }
    int fd() const { return fd_.get(); }
    uint16_t port() const {
        SocketAddress local;
        socklen_t size = SocketAddress::capacity();
        EXPECT_EQ(getsockname(fd_.get(), local.out(), &size), 0);
        return local.port();
    }
    /// 0, or an errno value.
    int connect_to(uint16_t port) const {
        const SocketAddress to(test::lab_guest, port);
        if (connect(fd_.get(), to.get(), to.size()) == 0) return 0;
        if (errno != EINPROGRESS) return errno;
        pollfd writable{fd_.get(), POLLOUT, 0};
        EXPECT_EQ(poll(&writable, 1, 5000), 1);
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
        return error;
    }
    io::UniqueFd release() { return std::move(fd_); }

  private:
    io::UniqueFd fd_;
};

class DataplaneListeners : public ::testing::Test, protected test::GuestPlayer {
  protected:
    static constexpr size_t chunk_count = 2048;
    static constexpr uint16_t workers = 2;

    static void SetUpTestSuite() {
        test::enter_own_netns();
        test::add_address("198.51.100.10/24");
    }
    void SetUp() override {
        DataplaneOptions options;
        options.cpus = {-1, -1};
        options.idle = IdlePolicy::sleep;
        options.secrets = {{1, 2}, {3, 4}, {5, 6}};
        dataplane = std::make_unique<Dataplane>(options, arena, chunks);
        std::vector<std::unique_ptr<io::FramePort>> queues;
        for (FakeLink& link : links)
            queues.push_back(std::make_unique<FakePort>(link));
        dataplane->attach(test::lab_config(workers), std::move(queues));
    }
    void TearDown() override {
        dataplane.reset();
        EXPECT_EQ(chunks.available(), chunk_count) << "chunks leaked, or freed twice";
    }
    void turn() override { std::this_thread::yield(); }
    uint64_t sum(core::Counter core::Counters::*counter) {
        uint64_t total = 0;
        for (uint16_t i = 0; i < workers; ++i)
            total += (dataplane->counters(i).*counter).value();
        return total;
    }
    /// Listens for the namespace's service; `port` is where.
    host::ListenerId listen(uint8_t protocol, ListenSide side = ListenSide::host) {
        const bool tcp = protocol == wire::protocol_tcp;
        LocalSocket s(tcp ? SOCK_STREAM : SOCK_DGRAM);
        if (tcp) {
            EXPECT_EQ(::listen(s.fd(), 64), 0);
        }
        port = s.port();
        return dataplane->listen(ListenerConfig{0, side, protocol, service_port}, s.release());
    }
    /// A client that talks to a guest that listens: a kilobyte each way, then both close.
    void talk() {
        const LocalSocket client(SOCK_STREAM);
        LabGuest guest({&links[0], &links[1]}, service_port, client.port());
        guest.tcp().listen();
        ASSERT_EQ(client.connect_to(port), 0);
        ASSERT_TRUE(run_until(guest, [&] { return !guest.tcp().opening(); }));
        const auto bytes = sim::Pattern(1).at(0, 1000);
        ASSERT_EQ(send(client.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL), 1000);
        guest.tcp().write(1000, monotonic_now());
        guest.tcp().close_write(monotonic_now());
        size_t received = 0;
        std::array<uint8_t, 2000> in;
        ASSERT_TRUE(run_until(guest, [&] {
            const ssize_t n = recv(client.fd(), in.data(), in.size(), 0);
            if (n > 0) received += static_cast<size_t>(n);
            return n == 0;
        }));
        EXPECT_EQ(received, 1000u);
        shutdown(client.fd(), SHUT_WR);
        ASSERT_TRUE(run_until(guest, [&] {
            guest.tcp().read(UINT64_MAX, monotonic_now());
            return guest.tcp().eof();
        }));
        EXPECT_EQ(guest.tcp().received(), 1000u);
        EXPECT_EQ(guest.tcp().complaint(), "");
    }
    /// The next datagram to the guest.
    std::optional<std::vector<uint8_t>> datagram_at_guest(wire::IpPacket& ip) {
        const core::Time limit = monotonic_now() + 30 * core::second;
        while (monotonic_now() < limit) {
            for (FakeLink& link : links) {
                for (const FakeLink::Frame& frame : link.take()) {
                    const wire::Bytes packet = wire::Bytes{frame}.subspan(14);
                    ip = *wire::parse_ip(wire::ethertype_ipv4, packet, packet.size());
                    if (ip.protocol == wire::protocol_udp)
                        return std::vector<uint8_t>(packet.begin() + ip.header_length,
                                                    packet.end());
                }
            }
            turn();
        }
        return std::nullopt;
    }

    test::ArenaMemory memory{chunk_count};
    core::ChunkArena arena{memory.bytes()};
    io::ChunkRing chunks{chunk_count};
    FakeLink links[workers];
    std::unique_ptr<Dataplane> dataplane;
    uint16_t port = 0;
};

TEST_F(DataplaneListeners, connections_reach_the_worker_that_owns_them) {
    listen(wire::protocol_tcp);
    // Whoever accepts a connection is its owner or not: all 16 by chance would be a wonder.
    for (int i = 0; i < 16; ++i)
        ASSERT_NO_FATAL_FAILURE(talk()) << i;
    EXPECT_EQ(sum(&core::Counters::tcp_accepted), 16u);
    EXPECT_EQ(sum(&core::Counters::tcp_opened), 16u);
    EXPECT_EQ(sum(&core::Counters::tcp_reset_to_tap), 0u);
    EXPECT_GT(sum(&core::Counters::inbound_handed_over), 0u);
    for (uint16_t i = 0; i < workers; ++i)
        EXPECT_GT(dataplane->counters(i).tcp_accepted.value(), 0u) << "worker " << i;
}

TEST_F(DataplaneListeners, connections_begin_under_changing_secrets) {
    listen(wire::protocol_tcp);
    for (uint64_t i = 0; i < 8; ++i) {
        dataplane->rekey({i, 9});
        ASSERT_NO_FATAL_FAILURE(talk()) << i;
    }
}

TEST_F(DataplaneListeners, datagrams_and_replies_go_through_one_flow) {
    listen(wire::protocol_udp);
    for (uint8_t i = 0; i < 16; ++i) {
        const LocalSocket client(SOCK_DGRAM);
        ASSERT_EQ(client.connect_to(port), 0);
        for (uint8_t round = 0; round < 3; ++round) {
            const std::array<uint8_t, 2> question{i, round};
            ASSERT_EQ(send(client.fd(), question.data(), question.size(), 0), 2);
            wire::IpPacket ip;
            const auto datagram = datagram_at_guest(ip);
            ASSERT_TRUE(datagram);
            EXPECT_EQ(ip.src, test::lab_gateway);
            EXPECT_EQ(ip.dst, test::lab_guest);
            EXPECT_EQ(wire::UdpHeader::parse(*datagram, 10)->src_port, client.port());
            EXPECT_EQ(wire::UdpHeader::parse(*datagram, 10)->dst_port, service_port);
            ASSERT_EQ((std::vector<uint8_t>{datagram->begin() + 8, datagram->end()}),
                      (std::vector<uint8_t>{i, round}));
            const test::GuestPackets guest{.src = test::lab_guest, .dst = test::lab_gateway};
            links[i % workers].send(guest.udp(service_port, client.port(), question));
            std::array<uint8_t, 10> reply;
            const core::Time limit = monotonic_now() + 30 * core::second;
            while (recv(client.fd(), reply.data(), reply.size(), 0) != 2)
                ASSERT_LT(monotonic_now(), limit) << "no reply to " << int{i};
        }
    }
    EXPECT_EQ(dataplane->totals().udp_flows, 16u);
    EXPECT_GT(sum(&core::Counters::inbound_handed_over), 0u);
}

TEST_F(DataplaneListeners, an_address_that_one_worker_met_is_known_to_the_other) {
    listen(wire::protocol_udp);  // the first one reads it
    const auto moved = wire::IpAddress::v4(198, 51, 100, 77);
    const test::GuestPackets guest{.src = moved, .dst = test::lab_gateway};
    links[1].send(guest.ip(99, {}));  // nothing of a flow, which its owner would see
    const core::Time limit = monotonic_now() + 10 * core::second;
    wire::IpPacket ip;
    for (uint8_t i = 0; ip.dst != moved; ++i) {
        ASSERT_LT(monotonic_now(), limit) << "clients are led to where it was before";
        const LocalSocket client(SOCK_DGRAM);
        ASSERT_EQ(client.connect_to(port), 0);
        ASSERT_EQ(send(client.fd(), &i, 1, 0), 1);
        ASSERT_TRUE(datagram_at_guest(ip));
    }
}

TEST_F(DataplaneListeners, unlisten_closes_the_port_and_leaves_connections) {
    const host::ListenerId id = listen(wire::protocol_tcp);
    const LocalSocket client(SOCK_STREAM);
    LabGuest guest({&links[0], &links[1]}, service_port, client.port());
    guest.tcp().listen();
    ASSERT_EQ(client.connect_to(port), 0);
    ASSERT_TRUE(run_until(guest, [&] { return !guest.tcp().opening(); }));
    dataplane->unlisten(id);
    EXPECT_EQ(LocalSocket(SOCK_STREAM).connect_to(port), ECONNREFUSED);
    guest.tcp().write(10, monotonic_now());
    std::array<uint8_t, 20> in;
    EXPECT_TRUE(run_until(guest, [&] { return recv(client.fd(), in.data(), in.size(), 0) == 10; }));
}

TEST_F(DataplaneListeners, detach_closes_the_listeners_of_its_port) {
    listen(wire::protocol_tcp);
    dataplane->detach(0);
    EXPECT_EQ(LocalSocket(SOCK_STREAM).connect_to(port), ECONNREFUSED);
}

TEST_F(DataplaneListeners, client_that_cannot_be_served_is_reset) {
    listen(wire::protocol_tcp, ListenSide::ns);
    const LocalSocket client(SOCK_STREAM);
    const int error = client.connect_to(port);
    ASSERT_TRUE(error == 0 || error == ECONNRESET);  // it may come as soon as that
    char byte;
    const core::Time limit = monotonic_now() + 30 * core::second;
    while (error == 0 && (recv(client.fd(), &byte, 1, 0) >= 0 || errno != ECONNRESET))
        ASSERT_LT(monotonic_now(), limit);
    EXPECT_EQ(sum(&core::Counters::inbound_unanswerable), 1u);
}

TEST_F(DataplaneListeners, stop_with_clients_under_way_returns_every_chunk) {
    listen(wire::protocol_udp);
    std::vector<std::unique_ptr<LocalSocket>> clients;
    for (int i = 0; i < 50; ++i) {
        clients.push_back(std::make_unique<LocalSocket>(SOCK_DGRAM));
        clients[i]->connect_to(port);
        send(clients[i]->fd(), "x", 1, 0);
    }
    dataplane.reset();
}

TEST_F(DataplaneListeners, socket_that_is_none_is_an_error) {
    EXPECT_THROW(dataplane->listen({0, ListenSide::host, wire::protocol_tcp, 80},
                                   io::UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC))),
                 std::system_error);
}

}  // namespace
}  // namespace pasta::shard
