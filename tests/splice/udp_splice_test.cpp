// UDP flows through the relay, over real sockets in two namespaces; time is the test's.
#include "dataplane/splice/udp_splice.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/resource.h>

#include "tests/splice/splice_lab.hpp"

namespace pasta::splice {
namespace {

struct Case {
    Place target;
    wire::IpAddress loopback;
};

void PrintTo(const Case& c, std::ostream* out) {
    *out << (c.loopback.is_v4() ? "IPv4" : "IPv6") << " to "
         << (c.target == Place::netns ? "namespace" : "host");
}

class UdpSpliceTest : public ::testing::TestWithParam<Case> {
  protected:
    UdpSpliceTest() : before_(open_descriptors()) { make(UdpSplice::max_flows); }
    ~UdpSpliceTest() override {
        close_all();
        EXPECT_EQ(open_descriptors(), before_);
    }

    void make(size_t flow_limit) {
        close_all();
        lab_ = std::make_unique<Lab>(flow_limit);
        server_ = bound(GetParam().target);
        front_ = bound(client_place());
        client_ = bound(client_place());
        EXPECT_TRUE(host::set_up_udp_listener(front_.get()));
        listener_ = {front_.get(), Lab::port, GetParam().target, front_.local().port,
                     server_.local().port};
    }
    void close_all() {
        server_ = Sock();
        front_ = Sock();
        client_ = Sock();
        lab_.reset();
    }
    Place client_place() const {
        return GetParam().target == Place::netns ? Place::host : Place::netns;
    }
    Sock bound(Place place) {
        Sock made = lab_->socket(place, SOCK_DGRAM, {GetParam().loopback, 0});
        host::set_option(made.get(), SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20);
        host::set_option(made.get(), SOL_SOCKET, SO_SNDBUFFORCE, 16 << 20);
        return made;
    }
    core::Counters& counters() { return lab_->counters; }

    static void send(const Sock& from, const Endpoint& to, const Bytes& datagram) {
        const SocketAddress address(to.address, to.port);
        EXPECT_EQ(
            sendto(from.get(), datagram.data(), datagram.size(), 0, address.get(), address.size()),
            static_cast<ssize_t>(datagram.size()))
            << std::strerror(errno);
    }
    /// Runs the relay, listener included, until `at` has a datagram, and returns it with its
    /// sender.
    std::pair<Bytes, Endpoint> receive(const Sock& at) {
        Bytes datagram(65536);
        SocketAddress from;
        ssize_t n = -1;
        lab_->until([&] {
            relay();
            socklen_t size = SocketAddress::capacity();
            n = recvfrom(at.get(), datagram.data(), datagram.size(), MSG_DONTWAIT, from.out(),
                         &size);
            return n >= 0;
        });
        datagram.resize(n < 0 ? 0 : static_cast<size_t>(n));
        return {datagram, n < 0 ? Endpoint{} : Endpoint{*from.ip(), from.port()}};
    }
    void relay() {
        while (lab_->receive(listener_)) {
        }
        lab_->turn();
    }
    /// A question and its answer.
    void exchange(const Sock& client) {
        send(client, front_.local(), {1});
        const Endpoint seen = receive(server_).second;
        send(server_, seen, {2});
        EXPECT_EQ(receive(client).first, Bytes{2});
    }

    size_t before_;
    std::unique_ptr<Lab> lab_;
    Sock server_, front_, client_;
    UdpListener listener_;
};

INSTANTIATE_TEST_SUITE_P(Loopbacks, UdpSpliceTest,
                         ::testing::Values(Case{Place::netns, loopback4},
                                           Case{Place::netns, loopback6},
                                           Case{Place::host, loopback4},
                                           Case{Place::host, loopback6}));

TEST_P(UdpSpliceTest, EverySizeArrivesBothWays) {
    for (const size_t size : {0, 1, 2, 100, 1472, 1500, 4096, 9000, 65000, 65506, 65507}) {
        const Bytes question = pattern(size, 1), answer = pattern(size, 2);
        send(client_, front_.local(), question);
        const auto [got, from] = receive(server_);
        EXPECT_TRUE(got == question) << size;
        EXPECT_EQ(from, client_.local()) << "the exact source";
        send(server_, from, answer);
        const auto [back, sender] = receive(client_);
        EXPECT_TRUE(back == answer) << size;
        EXPECT_EQ(sender, front_.local());
    }
    EXPECT_EQ(lab_->udp().flows(), 1U);
    EXPECT_EQ(counters().splice_udp_to_target.value(), 11U);
    EXPECT_EQ(counters().splice_udp_to_client.value(), 11U);
}

TEST_P(UdpSpliceTest, BatchesKeepBoundariesAndOrder) {
    // Runs of equal sizes, which travel as one message, and others between them.
    const std::vector<size_t> sizes{100, 100, 100, 50, 50, 0, 0, 1400, 1400, 1, 1400, 30000, 30000};
    std::vector<Bytes> datagrams;
    for (uint32_t i = 0; i < 130; ++i)
        datagrams.push_back(pattern(sizes[i % sizes.size()], i));
    for (const Bytes& datagram : datagrams)
        send(client_, front_.local(), datagram);
    Endpoint seen;
    for (size_t i = 0; i < datagrams.size(); ++i) {
        const auto [got, from] = receive(server_);
        ASSERT_TRUE(got == datagrams[i]) << i;
        seen = from;
    }
    for (const Bytes& datagram : datagrams)
        send(server_, seen, datagram);
    for (size_t i = 0; i < datagrams.size(); ++i)
        ASSERT_TRUE(receive(client_).first == datagrams[i]) << i;
    EXPECT_EQ(counters().splice_udp_dropped.value(), 0U);
}

TEST_P(UdpSpliceTest, SegmentedBurstsPass) {
    const Bytes bytes = pattern(1000 * 40 + 17, 3);
    host::set_option(client_.get(), IPPROTO_UDP, UDP_SEGMENT, 1000);
    send(client_, front_.local(), bytes);
    Bytes all;
    for (int i = 0; i < 41; ++i) {
        const Bytes got = receive(server_).first;
        EXPECT_EQ(got.size(), i < 40 ? 1000U : 17U);
        all.insert(all.end(), got.begin(), got.end());
    }
    EXPECT_TRUE(all == bytes);
    EXPECT_EQ(counters().splice_udp_to_target.value(), 41U);
}

TEST_P(UdpSpliceTest, ClientsHaveFlowsOfTheirOwn) {
    const Sock other = bound(client_place());
    send(client_, front_.local(), {1});
    send(other, front_.local(), {2});
    send(client_, front_.local(), {3});
    const auto first = receive(server_), second = receive(server_), third = receive(server_);
    EXPECT_EQ(first, std::pair(Bytes{1}, client_.local()));
    EXPECT_EQ(second, std::pair(Bytes{2}, other.local()));
    EXPECT_EQ(third, std::pair(Bytes{3}, client_.local()));
    send(server_, other.local(), {4});
    EXPECT_EQ(receive(other).first, Bytes{4});
    EXPECT_EQ(lab_->udp().flows(), 2U);
}

TEST_P(UdpSpliceTest, RefusalIsReported) {
    int error = 0;
    core::FlowId refused;
    lab_->udp().set_error_sink([&](const UdpFlow& flow, int e) {
        error = e;
        refused = flow.id;
        EXPECT_EQ(flow.client, client_.local());
    });
    server_ = Sock();
    send(client_, front_.local(), {1});
    lab_->until([&] { return relay(), error != 0; });
    EXPECT_EQ(error, ECONNREFUSED);
    EXPECT_TRUE(refused);
    EXPECT_EQ(counters().splice_udp_refused.value(), 1U);
    // The flow goes on when somebody listens after all.
    server_ =
        lab_->socket(GetParam().target, SOCK_DGRAM, {GetParam().loopback, listener_.target_port});
    exchange(client_);
}

TEST_P(UdpSpliceTest, LoneQuestionTimesOutSooner) {
    send(client_, front_.local(), {1});
    receive(server_);
    EXPECT_EQ(lab_->udp().next_deadline(), lab_->now + UdpSplice::one_shot_timeout);
    lab_->now += UdpSplice::one_shot_timeout - 1;
    lab_->turn();
    EXPECT_EQ(lab_->udp().flows(), 1U);
    lab_->now += 1;
    lab_->turn();
    EXPECT_EQ(lab_->udp().flows(), 0U);
    EXPECT_EQ(lab_->udp().next_deadline(), core::never);
}

TEST_P(UdpSpliceTest, ConversationTimesOutLater) {
    exchange(client_);
    EXPECT_EQ(lab_->udp().next_deadline(), lab_->now + UdpSplice::one_shot_timeout);
    exchange(client_);
    EXPECT_EQ(lab_->udp().next_deadline(), lab_->now + UdpSplice::stream_timeout);
    lab_->now += UdpSplice::stream_timeout - 1;
    lab_->turn();
    EXPECT_EQ(lab_->udp().flows(), 1U);
    lab_->now += 1;
    lab_->turn();
    EXPECT_EQ(lab_->udp().flows(), 0U);
}

TEST_P(UdpSpliceTest, OldestQuestionMakesRoomAndConversationsStay) {
    make(2);
    exchange(client_);
    exchange(client_);
    const Sock second = bound(client_place()), third = bound(client_place());
    for (const Sock* client : {&second, &third}) {
        send(*client, front_.local(), {9});
        EXPECT_EQ(receive(server_).second, client->local());
    }
    EXPECT_EQ(lab_->udp().flows(), 2U);
    send(server_, client_.local(), {5});
    EXPECT_EQ(receive(client_).first, Bytes{5});
    EXPECT_EQ(counters().splice_udp_flows.value(), 3U);
}

TEST_P(UdpSpliceTest, NoRoomAmongConversationsDrops) {
    make(1);
    exchange(client_);
    exchange(client_);
    send(bound(client_place()), front_.local(), {1});
    lab_->until([&] { return relay(), counters().splice_udp_dropped.value() == 1; });
    EXPECT_EQ(counters().splice_exhausted.value(), 1U);
    exchange(client_);
}

TEST_P(UdpSpliceTest, NoDescriptorsLeftDropsTheNewOnly) {
    exchange(client_);
    const Sock other = bound(client_place());
    send(other, front_.local(), {1});
    rlimit old{};
    getrlimit(RLIMIT_NOFILE, &old);
    const rlimit none{0, old.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    relay();
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    EXPECT_EQ(counters().splice_exhausted.value(), 1U);
    EXPECT_EQ(counters().splice_udp_dropped.value(), 1U);
    exchange(client_);
    exchange(other);
}

TEST_P(UdpSpliceTest, ClosedPortOrListenerEndsFlows) {
    exchange(client_);
    lab_->udp().close_port(Lab::port + 1);
    lab_->udp().close_listener(-1);
    EXPECT_EQ(lab_->udp().flows(), 1U);
    lab_->udp().close_port(Lab::port);
    EXPECT_EQ(lab_->udp().flows(), 0U);
    exchange(client_);
    lab_->udp().close_listener(front_.get());
    EXPECT_EQ(lab_->udp().flows(), 0U);
    lab_->sockets().detach(Lab::port);
}

TEST_P(UdpSpliceTest, StrangersAreDropped) {
    UdpBurst burst;
    burst.source = {wire::IpAddress::v4(198, 51, 100, 1), 1000};
    burst.local = loopback4;
    lab_->udp().on_datagrams(listener_, {&burst, 1}, lab_->now);
    EXPECT_EQ(lab_->udp().flows(), 0U);
    EXPECT_EQ(counters().splice_udp_dropped.value(), 1U);
}

TEST(UdpSpliceAddresses, DualStackListenerAnswersFromTheAddressUsed) {
    Lab lab;
    const auto nine = wire::IpAddress::v4(127, 0, 0, 9);
    const Sock front = lab.socket(Place::host, SOCK_DGRAM, {wire::IpAddress{}, 0});
    ASSERT_TRUE(host::set_up_udp_listener(front.get()));
    const Sock server = lab.socket(Place::netns, SOCK_DGRAM, {nine, 0});
    const Sock client = lab.socket(Place::host, SOCK_DGRAM, {loopback4, 0});
    const Endpoint used{nine, front.local().port};
    const UdpListener listener{front.get(), Lab::port, Place::netns, used.port,
                               server.local().port};
    const SocketAddress to(used.address, used.port);
    ASSERT_EQ(sendto(client.get(), "?", 1, 0, to.get(), to.size()), 1);
    SocketAddress from;
    socklen_t size = SocketAddress::capacity();
    char byte = 0;
    ASSERT_TRUE(lab.until([&] {
        lab.receive(listener);
        return recvfrom(server.get(), &byte, 1, 0, from.out(), &size) == 1;
    }));
    EXPECT_EQ((Endpoint{*from.ip(), from.port()}), client.local());
    ASSERT_EQ(sendto(server.get(), "!", 1, 0, from.get(), from.size()), 1);
    ASSERT_TRUE(lab.until([&] {
        size = SocketAddress::capacity();
        return recvfrom(client.get(), &byte, 1, 0, from.out(), &size) == 1;
    }));
    EXPECT_EQ((Endpoint{*from.ip(), from.port()}), used);
}

TEST(UdpBatch, SmallMtuSplitsWhatCannotBeSegmented) {
    Lab lab;
    const Sock receiver = lab.socket(Place::host, SOCK_DGRAM, {loopback4, 0});
    const Sock sender = lab.socket(Place::host, SOCK_DGRAM, {loopback4, 0});
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_mtu = 1500;
    ASSERT_EQ(ioctl(sender.get(), SIOCSIFMTU, &request), 0);
    const Bytes bytes = pattern(3 * 3000, 4);
    UdpBurst burst;
    burst.data = bytes;
    burst.segment = 3000;
    UdpWriter writer;
    const auto result = writer.send(sender.get(), {&burst, 1}, {{receiver.local(), loopback4}});
    EXPECT_EQ(result.sent, 3U);
    EXPECT_EQ(result.bytes, bytes.size());
    for (int i = 0; i < 3; ++i) {
        Bytes got(65536);
        EXPECT_EQ(recv(receiver.get(), got.data(), got.size(), MSG_DONTWAIT), 3000);
    }
}

}  // namespace
}  // namespace pasta::splice
