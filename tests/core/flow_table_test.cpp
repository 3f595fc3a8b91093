#include "dataplane/core/flow_table.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace pasta::core {
namespace {

FlowKey key(uint32_t n) {
    return {wire::IpAddress::v4(n),
            wire::IpAddress::v4(203, 0, 113, 7),
            static_cast<uint16_t>(n),
            80,
            0,
            6};
}
FlowId id(uint32_t n) {
    return {FlowKind::tcp, n, 1};
}

TEST(FlowTable, empty_finds_nothing) {
    FlowTable table{{1, 2}};
    EXPECT_FALSE(table.find(key(1)));
    EXPECT_FALSE(table.find({}));
}

TEST(FlowTable, every_field_of_the_key_counts) {
    FlowTable table{{1, 2}};
    const FlowKey k = key(1);
    table.insert(k, id(1));
    EXPECT_EQ(table.find(k), id(1));
    FlowKey other = k;
    other.guest_port ^= 1;
    EXPECT_FALSE(table.find(other));
    other = k, other.peer_port ^= 1;
    EXPECT_FALSE(table.find(other));
    other = k, other.port ^= 1;
    EXPECT_FALSE(table.find(other));
    other = k, other.protocol ^= 1;
    EXPECT_FALSE(table.find(other));
    other = k, other.peer.octets[15] ^= 1;
    EXPECT_FALSE(table.find(other));
}

TEST(FlowTable, grows_and_keeps_all) {
    FlowTable table{{1, 2}};
    for (uint32_t n = 1; n <= 20000; ++n)
        table.insert(key(n), id(n));
    EXPECT_EQ(table.size(), 20000u);
    for (uint32_t n = 1; n <= 20000; ++n)
        ASSERT_EQ(table.find(key(n)), id(n));
    EXPECT_FALSE(table.find(key(20001)));
}

TEST(FlowTable, seeded_inserts_and_erases_agree_with_a_map) {
    for (uint32_t seed = 1; seed <= 5; ++seed) {
        std::mt19937 random(seed);
        FlowTable table{{seed, 2}};
        std::map<uint32_t, FlowId> model;
        for (int step = 0; step < 20000; ++step) {
            const uint32_t n = random() % 600;  // near the fill limit: long runs
            if (model.erase(n) != 0) {
                table.erase(key(n));
            } else {
                model[n] = id(n);
                table.insert(key(n), id(n));
            }
            ASSERT_EQ(table.size(), model.size());
            const uint32_t probe = random() % 600;
            ASSERT_EQ(bool{table.find(key(probe))}, model.contains(probe)) << "seed " << seed;
        }
        for (const auto& [n, flow] : model)
            ASSERT_EQ(table.find(key(n)), flow);
    }
}

TEST(FlowTable, new_epoch_makes_existing_flows_old_until_they_end) {
    FlowTable table{{1, 2}};
    table.insert(key(1), id(1));
    table.insert(key(2), id(2));
    EXPECT_EQ(table.old_flows(), 0u);
    table.new_epoch();
    table.insert(key(3), id(3));
    EXPECT_EQ(table.old_flows(), 2u);
    table.erase(key(3));
    EXPECT_EQ(table.old_flows(), 2u);
    table.erase(key(1));
    EXPECT_EQ(table.old_flows(), 1u);
    table.new_epoch();
    EXPECT_EQ(table.old_flows(), 1u);
    table.erase(key(2));
    EXPECT_EQ(table.old_flows(), 0u);
}

}  // namespace
}  // namespace pasta::core
