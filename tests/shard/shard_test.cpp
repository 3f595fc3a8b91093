// Shards that the test turns by hand, one after the other.

#include "dataplane/shard/shard.hpp"

#include "tests/shard/shard_lab.hpp"

namespace pasta::shard {
namespace {

using test::FakeLink;
using test::FakePort;
using test::LabGuest;
using test::LoopbackServer;

class ShardTest : public ::testing::Test, protected test::GuestPlayer {
  protected:
    static constexpr size_t chunk_count = 2048;

    /// Makes `n` shards that serve the lab's namespace, one queue each.
    void start(uint16_t n) {
        post = std::make_unique<PostOffice>(n);
        for (uint16_t i = 0; i < n; ++i) {
            shards.push_back(std::make_unique<Shard>(i, arena, chunks, *post, secrets));
            links.push_back(std::make_unique<FakeLink>());
            shards.back()->attach(test::lab_config(n), std::make_unique<FakePort>(*links.back()));
        }
    }
    void TearDown() override {
        shards.clear();
        EXPECT_EQ(chunks.available(), chunk_count) << "chunks leaked, or freed twice";
    }
    void turn() override {
        for (const auto& shard : shards)
            shard->run_once(monotonic_now(), 0);
    }
    LabGuest guest(uint16_t guest_port, uint16_t peer_port) {
        std::vector<FakeLink*> all;
        for (const auto& link : links)
            all.push_back(link.get());
        return {all, guest_port, peer_port};
    }
    uint64_t sum(core::Counter core::Counters::*counter) {
        uint64_t total = 0;
        for (const auto& shard : shards)
            total += (shard->counters().*counter).value();
        return total;
    }

    const core::Secrets secrets{{1, 2}, {3, 4}, {5, 6}};
    test::ArenaMemory memory{chunk_count};
    core::ChunkArena arena{memory.bytes()};
    io::ChunkRing chunks{chunk_count};
    std::unique_ptr<PostOffice> post;
    std::vector<std::unique_ptr<FakeLink>> links;
    std::vector<std::unique_ptr<Shard>> shards;
};

// What a polling worker rests after, and what it does not rest after.
TEST_F(ShardTest, a_turn_tells_little_from_much_and_from_unfinished) {
    start(1);
    const auto after = [&](int frames) {
        for (int i = 0; i < frames; ++i)
            links[0]->send(test::arp_request());
        return shards[0]->run_once(monotonic_now(), 0);
    };
    EXPECT_EQ(after(0), Turn::idle);
    EXPECT_EQ(after(1), Turn::active);
    EXPECT_EQ(after(15), Turn::active);
    EXPECT_EQ(after(16), Turn::bulk);
    EXPECT_EQ(after(70), Turn::active) << "more than one turn takes";
    EXPECT_EQ(after(0), Turn::active) << "the rest";
    EXPECT_EQ(after(0), Turn::idle);
}

TEST_F(ShardTest, answers_arp_on_the_queue_where_the_request_came) {
    start(2);
    links[1]->send(test::arp_request());
    turn();
    EXPECT_TRUE(links[0]->take().empty());
    EXPECT_EQ(links[1]->take().size(), 1u);
    EXPECT_EQ(sum(&core::Counters::frames_answered), 1u);
}

TEST_F(ShardTest, command_runs_once_in_the_next_turn) {
    start(1);
    int runs = 0;
    Command command{[&](Shard& shard) { runs += &shard == shards[0].get(); }};
    ASSERT_TRUE(shards[0]->post(command));
    EXPECT_EQ(runs, 0);
    turn();
    turn();
    EXPECT_EQ(runs, 1);
}

TEST_F(ShardTest, too_many_commands_are_refused_not_lost) {
    start(1);
    size_t runs = 0, posted = 0;
    Command command{[&](Shard&) { ++runs; }};
    while (posted < 1000 && shards[0]->post(command))
        ++posted;
    EXPECT_LT(posted, 1000u);
    for (int i = 0; i < 100; ++i)
        turn();
    EXPECT_EQ(runs, posted);
}

TEST_F(ShardTest, command_ends_a_sleep_without_limit) {
    start(1);
    Command command{[](Shard&) {}};
    ASSERT_TRUE(shards[0]->post(command));
    shards[0]->run_once(monotonic_now(), core::never);  // returns, or the test hangs
    links[0]->send(test::arp_request());
    shards[0]->run_once(monotonic_now(), core::never);
    EXPECT_EQ(sum(&core::Counters::frames_answered), 1u);
}

TEST_F(ShardTest, tcp_from_the_namespace_reaches_a_server_and_comes_back) {
    start(1);
    LoopbackServer server;
    LabGuest guest = this->guest(40000, server.port());
    ASSERT_TRUE(connect(guest, server));
    EXPECT_TRUE(ping_pong(guest, server, 100000));
    EXPECT_EQ(guest.tcp().complaint(), "");
}

TEST_F(ShardTest, refused_connection_is_a_reset_for_the_namespace) {
    start(1);
    uint16_t free_port;
    {
        const LoopbackServer gone;
        free_port = gone.port();
    }
    LabGuest guest = this->guest(40000, free_port);
    guest.tcp().connect(monotonic_now());
    ASSERT_TRUE(run_until(guest, [&] { return guest.tcp().end() != sim::GuestTcp::End::none; }));
    EXPECT_EQ(guest.tcp().end(), sim::GuestTcp::End::refused);
}

TEST_F(ShardTest, frames_of_a_flow_reach_its_owner_from_every_queue) {
    start(2);
    // Ports enough that each shard owns some.
    for (uint16_t port = 40000; port < 40008; ++port) {
        LoopbackServer server;
        LabGuest guest = this->guest(port, server.port());
        ASSERT_TRUE(connect(guest, server));
        EXPECT_TRUE(ping_pong(guest, server, 20000));
        EXPECT_EQ(guest.tcp().complaint(), "");
    }
    EXPECT_GT(sum(&core::Counters::frames_handed_over), 0u);
    EXPECT_EQ(sum(&core::Counters::tcp_no_flow), 0u);
    EXPECT_GT(shards[0]->engine().tcp().flows(), 0u);
    EXPECT_GT(shards[1]->engine().tcp().flows(), 0u);
    EXPECT_EQ(shards[0]->engine().tcp().flows() + shards[1]->engine().tcp().flows(), 8u);
}

TEST_F(ShardTest, full_mailbox_is_a_counted_drop) {
    start(2);
    // Only shard 0 turns, so that what it hands over stays.
    for (uint16_t port = 1; port <= 4000; ++port) {
        const uint8_t payload[] = {1};
        test::GuestPackets packets;
        packets.src = test::lab_guest;
        packets.dst = wire::IpAddress::v4(203, 0, 113, 1);
        links[0]->send(packets.udp(port, 9, payload));
        if (sum(&core::Counters::drop_mailbox_full) == 0) shards[0]->run_once(monotonic_now(), 0);
        if (sum(&core::Counters::drop_mailbox_full) != 0) break;
    }
    EXPECT_GE(sum(&core::Counters::frames_handed_over), 1000u);
    EXPECT_EQ(sum(&core::Counters::drop_mailbox_full), 1u);
}

TEST_F(ShardTest, detaching_resets_the_host_connections_of_the_namespace) {
    start(1);
    LoopbackServer server;
    LabGuest guest = this->guest(40000, server.port());
    ASSERT_TRUE(connect(guest, server));
    const io::PortStatistics statistics = shards[0]->detach(0);
    turn();
    EXPECT_TRUE(server.was_reset());
    EXPECT_EQ(shards[0]->engine().tcp().flows(), 0u);
    EXPECT_GE(statistics.rx_frames, 2u);
    EXPECT_GE(statistics.tx_frames, 1u);
}

TEST_F(ShardTest, end_of_a_shard_closes_its_sockets_and_takes_its_mail) {
    start(2);
    LoopbackServer server;
    LabGuest guest = this->guest(40000, server.port());
    ASSERT_TRUE(connect(guest, server));
    const uint16_t owner = shards[0]->engine().tcp().flows() != 0 ? 0 : 1;
    const uint16_t other = 1 - owner;
    guest.tcp().write(20000, monotonic_now());
    for (int i = 0; i < 20 && post->box(other, owner).empty(); ++i) {
        guest.pump();
        shards[other]->run_once(monotonic_now(), 0);  // the owner does not take its mail
    }
    ASSERT_FALSE(post->box(other, owner).empty());
    shards.clear();
    EXPECT_TRUE(server.was_reset());
}

}  // namespace
}  // namespace pasta::shard
