// TCP connections through the relay, over real sockets in two namespaces.
#include "dataplane/splice/tcp_splice.hpp"

#include <netinet/in.h>
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

/// A client, the relay's listening socket, and a server on the other side.
class TcpSpliceTest : public ::testing::TestWithParam<Case> {
  protected:
    TcpSpliceTest() : before_(open_descriptors()), lab_(std::make_unique<Lab>()) {
        front_ = lab_->listen(client_place(), loopback());
        back_ = lab_->listen(GetParam().target, loopback());
    }
    ~TcpSpliceTest() override {
        client_ = Sock();
        server_ = Sock();
        front_ = Sock();
        back_ = Sock();
        lab_.reset();
        EXPECT_EQ(open_descriptors(), before_);
    }

    Place client_place() const {
        return GetParam().target == Place::netns ? Place::host : Place::netns;
    }
    const wire::IpAddress& loopback() const { return GetParam().loopback; }
    core::Counters& counters() { return lab_->counters; }

    Sock connect() { return lab_->connect(client_place(), front_.local(), {loopback(), 0}); }
    /// Accepts on the relay's side.
    bool relay() { return lab_->accept(front_, GetParam().target, back_.local()); }
    Sock accept() {
        Sock server;
        lab_->until([&] {
            server = Sock(accept4(back_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            return static_cast<bool>(server);
        });
        return server;
    }
    /// client_ and server_ are the ends of a relayed connection.
    void open() {
        client_ = connect();
        ASSERT_TRUE(lab_->until([&] { return relay(); }));
        server_ = accept();
        ASSERT_TRUE(server_);
    }
    /// Sends all of `bytes` and reads them at the other end.
    void transfer(const Sock& from, const Sock& to, const Bytes& bytes) {
        Bytes got;
        size_t sent = 0;
        lab_->until([&] {
            send_some(from, bytes, sent);
            receive_some(to, got);
            return got.size() >= bytes.size();
        });
        ASSERT_TRUE(got == bytes);
    }
    Heard wait_end(const Sock& socket, Bytes& got) {
        Heard heard = Heard::open;
        lab_->until([&] { return (heard = receive_some(socket, got)) != Heard::open; });
        return heard;
    }
    /// Fills everything between `from` and a reader that does not read; returns the bytes.
    size_t fill(const Sock& from, const Bytes& bytes) {
        size_t sent = 0;
        for (int idle = 0; idle < 50; ++idle) {
            const size_t before = sent;
            send_some(from, bytes, sent);
            if (sent != before) idle = 0;
            lab_->turn();
        }
        return sent;
    }

    size_t before_;
    std::unique_ptr<Lab> lab_;
    Sock front_, back_, client_, server_;
};

INSTANTIATE_TEST_SUITE_P(Loopbacks, TcpSpliceTest,
                         ::testing::Values(Case{Place::netns, loopback4},
                                           Case{Place::netns, loopback6},
                                           Case{Place::host, loopback4},
                                           Case{Place::host, loopback6}));

TEST_P(TcpSpliceTest, BytesArriveBothWaysAtOnce) {
    open();
    const Bytes up = pattern(10 << 20, 1), down = pattern(10 << 20, 2);
    Bytes got_up, got_down;
    size_t sent_up = 0, sent_down = 0;
    ASSERT_TRUE(lab_->until([&] {
        send_some(client_, up, sent_up);
        send_some(server_, down, sent_down);
        receive_some(server_, got_up);
        receive_some(client_, got_down);
        return got_up.size() >= up.size() && got_down.size() >= down.size();
    }));
    EXPECT_TRUE(got_up == up);
    EXPECT_TRUE(got_down == down);
    const bool in = GetParam().target == Place::netns;
    EXPECT_EQ(counters().splice_bytes_to_namespace.value(), (in ? up : down).size());
    EXPECT_EQ(counters().splice_bytes_to_host.value(), (in ? down : up).size());
    lab_->settle();
    EXPECT_EQ(lab_->pipes.taken(), 0U) << "idle connections hold no pipes";
}

TEST_P(TcpSpliceTest, TargetSeesTheClientsPort) {
    open();
    EXPECT_EQ(server_.peer(), client_.local());
}

TEST_P(TcpSpliceTest, PortTakenAtTheTargetIsReplaced) {
    client_ = connect();
    const Sock other = lab_->socket(GetParam().target, SOCK_STREAM, client_.local());
    ASSERT_TRUE(lab_->until([&] { return relay(); }));
    server_ = accept();
    EXPECT_EQ(server_.peer().address, client_.local().address);
    EXPECT_NE(server_.peer().port, client_.local().port);
    transfer(client_, server_, pattern(100, 1));
}

TEST_P(TcpSpliceTest, HalfCloseByClientLeavesTheOtherDirection) {
    open();
    shutdown(client_.get(), SHUT_WR);
    Bytes got;
    EXPECT_EQ(wait_end(server_, got), Heard::end);
    transfer(server_, client_, pattern(3 << 20, 3));
    shutdown(server_.get(), SHUT_WR);
    EXPECT_EQ(wait_end(client_, got), Heard::end);
    EXPECT_TRUE(got.empty());
    EXPECT_TRUE(lab_->until([&] { return lab_->tcp().connections() == 0; }));
    EXPECT_EQ(counters().splice_tcp_closed.value(), 1U);
    EXPECT_EQ(counters().splice_tcp_reset.value(), 0U);
}

TEST_P(TcpSpliceTest, HalfCloseByServerLeavesTheOtherDirection) {
    open();
    shutdown(server_.get(), SHUT_WR);
    Bytes got;
    EXPECT_EQ(wait_end(client_, got), Heard::end);
    transfer(client_, server_, pattern(3 << 20, 4));
    shutdown(client_.get(), SHUT_WR);
    EXPECT_EQ(wait_end(server_, got), Heard::end);
    EXPECT_TRUE(lab_->until([&] { return lab_->tcp().connections() == 0; }));
    EXPECT_EQ(counters().splice_tcp_closed.value(), 1U);
}

TEST_P(TcpSpliceTest, AnswerThatEndsTheConnectionArrivesWithItsEnd) {
    open();
    shutdown(client_.get(), SHUT_WR);
    Bytes got;
    EXPECT_EQ(wait_end(server_, got), Heard::end);
    lab_->settle();
    const Bytes answer = pattern(100, 17);
    size_t at = 0;
    send_some(server_, answer, at);
    server_ = Sock();  // before anybody looks: one event tells of both
    EXPECT_EQ(wait_end(client_, got), Heard::end);
    EXPECT_TRUE(got == answer);
    EXPECT_TRUE(lab_->until([&] { return lab_->tcp().connections() == 0; }));
    EXPECT_EQ(counters().splice_tcp_reset.value(), 0U);
}

TEST_P(TcpSpliceTest, EndBehindAFullPipeIsNotEarly) {
    open();
    const Bytes bytes = pattern(64 << 20, 5);
    const size_t sent = fill(client_, bytes);
    shutdown(client_.get(), SHUT_WR);
    lab_->settle();
    ASSERT_LT(sent, bytes.size());
    Bytes got;
    EXPECT_EQ(wait_end(server_, got), Heard::end);
    EXPECT_TRUE(got == Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(sent)));
}

TEST_P(TcpSpliceTest, SlowReaderStopsTheSender) {
    open();
    const int small = 64 << 10;
    for (const int fd : {client_.get(), server_.get()}) {
        host::set_option(fd, SOL_SOCKET, SO_SNDBUF, small);
        host::set_option(fd, SOL_SOCKET, SO_RCVBUF, small);
    }
    const Bytes bytes = pattern(64 << 20, 6);
    const size_t sent = fill(client_, bytes);
    EXPECT_LT(sent, bytes.size());
    EXPECT_EQ(lab_->pipes.taken(), 1U);
    Bytes got;
    size_t at = sent;
    const Bytes part(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(sent) + (1 << 20));
    lab_->until([&] {
        send_some(client_, part, at);
        receive_some(server_, got, 50000);
        return got.size() == part.size();
    });
    EXPECT_TRUE(got == part);
}

TEST_P(TcpSpliceTest, ResetByClientReachesTheServer) {
    open();
    client_.reset();
    Bytes got;
    EXPECT_EQ(wait_end(server_, got), Heard::reset);
    EXPECT_EQ(lab_->tcp().connections(), 0U);
    EXPECT_EQ(counters().splice_tcp_reset.value(), 1U);
}

TEST_P(TcpSpliceTest, ResetByServerReachesTheClient) {
    open();
    const Bytes answer = pattern(1000, 7);
    transfer(server_, client_, answer);
    size_t sent = 0;
    send_some(server_, answer, sent);
    server_.reset();
    Bytes got;
    EXPECT_EQ(wait_end(client_, got), Heard::reset);
    EXPECT_TRUE(got == answer) << "what came before the RST";
}

TEST_P(TcpSpliceTest, ResetAmidBulkDataIsNoEnd) {
    open();
    const Bytes answer = pattern(200000, 12);
    size_t sent = 0;
    send_some(server_, answer, sent);
    server_.reset();
    lab_->turn(false);
    Bytes got;
    EXPECT_EQ(wait_end(client_, got), Heard::reset);
    EXPECT_GT(got.size(), TcpSplice::small);
    EXPECT_EQ(counters().splice_tcp_reset.value(), 1U);
}

TEST_P(TcpSpliceTest, ResetPassesBlockedData) {
    open();
    fill(client_, pattern(64 << 20, 8));
    client_.reset();
    EXPECT_TRUE(lab_->until([&] { return lab_->tcp().connections() == 0; }));
    Bytes got;
    EXPECT_EQ(wait_end(server_, got), Heard::reset);
}

TEST_P(TcpSpliceTest, ResetAfterHalfCloseIsNoticed) {
    open();
    shutdown(client_.get(), SHUT_WR);
    Bytes got;
    EXPECT_EQ(wait_end(server_, got), Heard::end);
    client_.reset();
    lab_->until([&] {
        size_t at = 0;
        send_some(server_, pattern(10, 9), at);
        return lab_->tcp().connections() == 0;
    });
    EXPECT_EQ(counters().splice_tcp_reset.value(), 1U);
}

TEST_P(TcpSpliceTest, RefusedTargetResetsTheClient) {
    client_ = connect();
    const Endpoint target = back_.local();
    back_ = Sock();
    lab_->until([&] { return lab_->accept(front_, GetParam().target, target); });
    Bytes got;
    EXPECT_EQ(wait_end(client_, got), Heard::reset);
    EXPECT_EQ(counters().splice_tcp_failed.value(), 1U);
    EXPECT_EQ(lab_->tcp().connections(), 0U);
}

TEST_P(TcpSpliceTest, ConnectionIsNotItsOwnPeer) {
    const Endpoint target = back_.local();
    back_ = Sock();
    client_ = lab_->connect(client_place(), front_.local(), target);
    lab_->until([&] { return lab_->accept(front_, GetParam().target, target); });
    Bytes got;
    EXPECT_EQ(wait_end(client_, got), Heard::reset);
    EXPECT_EQ(counters().splice_tcp_opened.value(), 0U);
}

TEST_P(TcpSpliceTest, UrgentDataStaysInTheStream) {
    open();
    const Bytes first = pattern(200000, 10), last = pattern(200000, 11);
    Bytes all = first, got;
    all.push_back('!');
    all.insert(all.end(), last.begin(), last.end());
    size_t sent = 0, sent_last = 0;
    lab_->until([&] { return send_some(client_, first, sent), sent == first.size(); });
    EXPECT_EQ(send(client_.get(), "!", 1, MSG_OOB), 1);
    lab_->until([&] {
        send_some(client_, last, sent_last);
        receive_some(server_, got);
        return got.size() == all.size();
    });
    EXPECT_TRUE(got == all);
}

TEST_P(TcpSpliceTest, NoDescriptorsLeftResetsTheNewOnly) {
    open();
    Sock unlucky = connect();
    lab_->sockets().run(lab_->now);
    lab_->sockets().run(lab_->sockets().next_deadline());  // no spare ones, either
    Bytes got;
    {
        const Sock probe(dup(front_.get()));
        rlimit old{}, tight{};
        getrlimit(RLIMIT_NOFILE, &old);
        // Room for the accepted socket, none for another.
        tight = {static_cast<rlim_t>(probe.get()) + 1, old.rlim_max};
        const int accepted_place = probe.get();
        close(accepted_place);
        ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
        EXPECT_TRUE(relay());
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
        EXPECT_EQ(dup2(front_.get(), accepted_place), accepted_place);  // for probe to close
    }
    EXPECT_EQ(wait_end(unlucky, got), Heard::reset);
    EXPECT_EQ(counters().splice_exhausted.value(), 1U);
    transfer(client_, server_, pattern(1 << 20, 12));
}

TEST_P(TcpSpliceTest, NoPipeLeftResetsOnlyWhoNeedsOne) {
    open();
    Sock bulk_client = std::move(client_), bulk_server = std::move(server_);
    open();
    std::vector<Pipe> hoard;
    while (const Pipe pipe = lab_->pipes.take())
        hoard.push_back(pipe);
    size_t sent = 0;
    const Bytes bytes = pattern(8 << 20, 13);
    lab_->until([&] {
        send_some(bulk_client, bytes, sent);
        return lab_->tcp().connections() == 1;
    });
    EXPECT_EQ(counters().splice_exhausted.value(), 1U);
    transfer(client_, server_, pattern(TcpSplice::small / 2, 14));
    for (Pipe& pipe : hoard)
        lab_->pipes.give(pipe, true);
}

TEST_P(TcpSpliceTest, ClosedPortResetsItsConnections) {
    open();
    size_t sent = 0;
    const Bytes bytes = pattern(8 << 20, 15);
    send_some(client_, bytes, sent);
    lab_->turn();
    lab_->tcp().close_port(Lab::port + 1);
    EXPECT_EQ(lab_->tcp().connections(), 1U);
    lab_->tcp().close_port(Lab::port);
    EXPECT_EQ(lab_->tcp().connections(), 0U);
    lab_->sockets().detach(Lab::port);
    Bytes got;
    EXPECT_EQ(wait_end(client_, got), Heard::reset);
    EXPECT_EQ(wait_end(server_, got), Heard::reset);
    EXPECT_EQ(lab_->pipes.taken(), 0U);
}

TEST_P(TcpSpliceTest, ManyConnectionsAtOnce) {
    constexpr size_t count = 500;
    std::vector<Sock> clients, servers(count);
    std::vector<Bytes> sent(count);
    for (size_t i = 0; i < count; ++i) {
        clients.push_back(connect());
        lab_->until([&] { return relay(); });
        sent[i] = pattern(1 + i * 97, static_cast<uint32_t>(i));
        size_t at = 0;
        lab_->until([&] { return send_some(clients[i], sent[i], at), at == sent[i].size(); });
        shutdown(clients[i].get(), SHUT_WR);
    }
    EXPECT_EQ(lab_->tcp().connections(), count);
    for (Sock& server : servers)
        server = accept();
    size_t moved = 0;  // ports that were not free on the other side, as the server's own is not
    for (const Sock& server : servers) {
        Bytes got;
        EXPECT_EQ(wait_end(server, got), Heard::end);
        // Whose it is, its size tells.
        const size_t i = (got.size() - 1) / 97;
        ASSERT_LT(i, count);
        EXPECT_TRUE(got == sent[i]) << i;
        if (clients[i].local() != server.peer()) ++moved;
    }
    EXPECT_LE(moved, 3U);
    servers.clear();
    EXPECT_TRUE(lab_->until([&] { return lab_->tcp().connections() == 0; }));
    EXPECT_EQ(counters().splice_tcp_closed.value(), count);
}

TEST_P(TcpSpliceTest, OneTurnIsBounded) {
    open();
    const auto moved = [&] {
        return counters().splice_bytes_to_namespace.value() +
               counters().splice_bytes_to_host.value();
    };
    const Bytes bytes = pattern(32 << 20, 16);
    Bytes got;
    size_t sent = 0, worst = 0;
    lab_->until([&] {
        send_some(client_, bytes, sent);
        const size_t before = moved();
        lab_->turn();
        worst = std::max(worst, moved() - before);
        while (receive_some(server_, got), got.size() < moved()) {
        }
        return got.size() == bytes.size();
    });
    EXPECT_TRUE(got == bytes);
    // An event and the run queue may give it one turn each.
    EXPECT_LE(worst, 2 * (TcpSplice::turn_bytes + PipePool::preferred_size));
}

TEST(TcpSpliceSource, AddressWithinTheLoopbackNetIsKept) {
    Lab lab;
    const auto five = wire::IpAddress::v4(127, 0, 0, 5);
    const Sock front = lab.listen(Place::host, loopback4), back = lab.listen(Place::netns, five);
    const Sock client = lab.connect(Place::host, front.local(), {five, 0});
    ASSERT_TRUE(lab.until([&] { return lab.accept(front, Place::netns, back.local()); }));
    Sock server;
    ASSERT_TRUE(lab.until([&] {
        server = Sock(accept4(back.get(), nullptr, nullptr, SOCK_CLOEXEC));
        return static_cast<bool>(server);
    }));
    EXPECT_EQ(server.peer(), client.local());
}

}  // namespace
}  // namespace pasta::splice
