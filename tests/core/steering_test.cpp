#include "dataplane/core/steering.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace pasta::core {
namespace {

FlowKey key(uint32_t n) {
    return {wire::IpAddress::v4(n), wire::IpAddress::v4(203, 0, 113, 7), 1, 80, 0, 6};
}
PortConfig config(uint16_t first, uint16_t workers) {
    PortConfig c;
    c.first_worker = first;
    c.workers = workers;
    return c;
}
/// The shards that a frame is shown to when none knows its flow, `arrival` first.
std::vector<uint16_t> path(std::vector<Steering> shards, const PortConfig& c, const FlowKey& k,
                           uint16_t arrival) {
    std::vector<uint16_t> stops{arrival};
    for (unsigned hops = 0; hops < 100; ++hops) {
        const uint16_t next = shards[stops.back()].next_stop(c, k, hops);
        if (next == stops.back()) return stops;
        stops.push_back(next);
    }
    ADD_FAILURE() << "frame goes round for ever";
    return stops;
}
std::vector<Steering> shards_of(uint16_t n, bool search = false) {
    std::vector<Steering> shards;
    for (uint16_t i = 0; i < n; ++i)
        shards.push_back({i, n, {1, 2}, search});
    return shards;
}

TEST(Steering, one_worker_owns_every_flow_of_its_port) {
    const Steering s{0, 4, {1, 2}};
    for (uint32_t n = 0; n < 100; ++n)
        EXPECT_EQ(s.owner(config(6, 1), key(n)), 2);
}

TEST(Steering, workers_of_a_port_share_its_flows_evenly_and_others_get_none) {
    const Steering s{0, 8, {1, 2}};
    std::vector<int> flows(8);
    for (uint32_t n = 0; n < 8000; ++n)
        ++flows[s.owner(config(6, 4), key(n))];
    for (const uint16_t worker : {6, 7, 0, 1})
        EXPECT_NEAR(flows[worker], 2000, 200);
    for (const uint16_t other : {2, 3, 4, 5})
        EXPECT_EQ(flows[other], 0);
}

TEST(Steering, owner_depends_on_the_secret_not_on_the_asking_shard) {
    int moved = 0;
    for (uint32_t n = 0; n < 1000; ++n) {
        const auto c = config(0, 4);
        EXPECT_EQ((Steering{0, 4, {1, 2}}.owner(c, key(n))),
                  (Steering{3, 4, {1, 2}}.owner(c, key(n))));
        moved += Steering{0, 4, {1, 2}}.owner(c, key(n)) != Steering{0, 4, {1, 3}}.owner(c, key(n));
    }
    EXPECT_NEAR(moved, 750, 75);
}

TEST(Steering, frame_goes_straight_to_the_owner) {
    for (uint32_t n = 0; n < 50; ++n) {
        const auto c = config(0, 4);
        const auto shards = shards_of(4);
        const uint16_t home = shards[0].owner(c, key(n));
        for (uint16_t arrival = 0; arrival < 4; ++arrival) {
            const auto stops = path(shards, c, key(n), arrival);
            EXPECT_EQ(stops.size(), arrival == home ? 1u : 2u);
            EXPECT_EQ(stops.back(), home);
        }
    }
}

TEST(Steering, searching_shows_the_frame_to_all_shards_and_ends_at_the_owner) {
    for (const uint16_t count : {2, 3, 5}) {
        const auto shards = shards_of(count, true);
        for (uint32_t n = 0; n < 50; ++n) {
            const auto c = config(0, count);
            for (uint16_t arrival = 0; arrival < count; ++arrival) {
                const auto stops = path(shards, c, key(n), arrival);
                EXPECT_EQ(stops.back(), shards[0].owner(c, key(n)));
                for (uint16_t s = 0; s < count; ++s)
                    EXPECT_NE(std::find(stops.begin(), stops.end(), s), stops.end())
                        << "shard " << s << " of " << count << " was not asked";
            }
        }
    }
}

TEST(Steering, shards_that_disagree_about_secret_or_search_still_end) {
    for (const uint16_t count : {2, 3, 5}) {
        auto shards = shards_of(count);
        for (uint16_t i = 0; i < count; ++i) {
            shards[i].secret.k0 = i;
            shards[i].search = i % 2 == 0;
        }
        for (uint32_t n = 0; n < 200; ++n)
            EXPECT_LE(path(shards, config(0, count), key(n), 0).size(), 2u * count + 3);
    }
}

TEST(Steering, one_shard_handles_everything_itself) {
    const auto shards = shards_of(1, true);
    EXPECT_EQ(path(shards, config(0, 1), key(1), 0).size(), 1u);
}

}  // namespace
}  // namespace pasta::core
