// Workers in threads of their own.

#include "dataplane/shard/dataplane.hpp"

#include "tests/shard/shard_lab.hpp"

namespace pasta::shard {
namespace {

using test::FakeLink;
using test::FakePort;
using test::LabGuest;
using test::LoopbackServer;

class DataplaneTest : public ::testing::TestWithParam<IdlePolicy>, protected test::GuestPlayer {
  protected:
    static constexpr size_t chunk_count = 2048;
    static constexpr uint16_t workers = 2;

    void SetUp() override {
        DataplaneOptions options;
        options.cpus = {-1, -1};
        options.idle = GetParam();
        options.secrets = {{1, 2}, {3, 4}, {5, 6}};
        dataplane = std::make_unique<Dataplane>(options, arena, chunks);
    }
    void TearDown() override {
        dataplane.reset();
        EXPECT_EQ(chunks.available(), chunk_count) << "chunks leaked, or freed twice";
    }
    void attach() {
        std::vector<std::unique_ptr<io::FramePort>> queues;
        for (FakeLink& link : links)
            queues.push_back(std::make_unique<FakePort>(link));
        dataplane->attach(test::lab_config(workers), std::move(queues));
    }
    LabGuest guest(uint16_t guest_port, uint16_t peer_port) {
        return {{&links[0], &links[1]}, guest_port, peer_port};
    }
    void turn() override { std::this_thread::yield(); }
    uint64_t sum(core::Counter core::Counters::*counter) {
        uint64_t total = 0;
        for (uint16_t i = 0; i < workers; ++i)
            total += (dataplane->counters(i).*counter).value();
        return total;
    }

    test::ArenaMemory memory{chunk_count};
    core::ChunkArena arena{memory.bytes()};
    io::ChunkRing chunks{chunk_count};
    FakeLink links[workers];
    std::unique_ptr<Dataplane> dataplane;
};

TEST_P(DataplaneTest, stops_at_any_moment) {
    // A stop that comes just before the worker sleeps must not be slept through.
    for (int round = 0; round < 200; ++round) {
        dataplane.reset();
        SetUp();
    }
}

TEST_P(DataplaneTest, serves_a_connection_whose_frames_come_to_both_workers) {
    attach();
    for (uint16_t port = 40000; port < 40008; ++port) {
        LoopbackServer server;
        LabGuest guest = this->guest(port, server.port());
        ASSERT_TRUE(connect(guest, server));
        EXPECT_TRUE(ping_pong(guest, server, 50000));
        EXPECT_EQ(guest.tcp().complaint(), "");
    }
    EXPECT_EQ(dataplane->totals().tcp_flows, 8u);
    EXPECT_GT(sum(&core::Counters::frames_handed_over), 0u);
    EXPECT_EQ(sum(&core::Counters::tcp_no_flow), 0u);
}

TEST_P(DataplaneTest, connections_survive_new_secrets) {
    attach();
    std::vector<std::unique_ptr<LoopbackServer>> servers;
    std::vector<std::unique_ptr<LabGuest>> guests;
    for (uint64_t round = 0; round < 6; ++round) {
        servers.push_back(std::make_unique<LoopbackServer>());
        guests.emplace_back(
            new LabGuest(guest(static_cast<uint16_t>(40000 + round), servers.back()->port())));
        ASSERT_TRUE(connect(*guests.back(), *servers.back()));
        dataplane->rekey({round, 7});
        for (size_t i = 0; i < guests.size(); ++i)
            ASSERT_TRUE(ping_pong(*guests[i], *servers[i], 5000)) << "round " << round;
    }
    EXPECT_EQ(dataplane->totals().tcp_flows, 6u);
    EXPECT_EQ(sum(&core::Counters::tcp_no_flow), 0u);
}

TEST_P(DataplaneTest, detach_gives_the_sum_of_all_queues_and_resets_the_peers) {
    attach();
    LoopbackServer server;
    LabGuest guest = this->guest(40000, server.port());
    ASSERT_TRUE(connect(guest, server));
    links[0].send(test::arp_request());
    links[1].send(test::arp_request());
    ASSERT_TRUE(run_until(guest, [&] { return sum(&core::Counters::frames_answered) == 2; }));
    const io::PortStatistics statistics = dataplane->detach(0);
    EXPECT_EQ(statistics.rx_frames, sum(&core::Counters::frames_from_tap));
    EXPECT_TRUE(run_until(guest, [&] { return server.was_reset(); }));
    EXPECT_EQ(dataplane->totals().tcp_flows, 0u);
    EXPECT_EQ(dataplane->totals().chunks_held, 0u);
}

TEST_P(DataplaneTest, stop_in_the_middle_of_a_transfer_returns_every_chunk) {
    attach();
    LoopbackServer server;
    LabGuest guest = this->guest(40000, server.port());
    ASSERT_TRUE(connect(guest, server));
    guest.tcp().write(1000000, monotonic_now());
    ASSERT_TRUE(
        run_until(guest, [&] { return server.echo() != 0 && guest.tcp().received() > 10000; }));
    dataplane.reset();
    EXPECT_TRUE(run_until(guest, [&] { return server.was_reset(); }));
}

INSTANTIATE_TEST_SUITE_P(Idle, DataplaneTest,
                         ::testing::Values(IdlePolicy::sleep, IdlePolicy::adaptive),
                         [](const auto& policy) {
                             return policy.param == IdlePolicy::sleep ? "sleep" : "adaptive";
                         });

}  // namespace
}  // namespace pasta::shard
