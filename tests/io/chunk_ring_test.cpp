#include "dataplane/io/chunk_ring.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <thread>
#include <vector>

namespace pasta::io {
namespace {

TEST(ChunkRing, HoldsEveryChunkOnceAtFirst) {
    for (const size_t chunks : {1, 255, 256, 1000}) {
        ChunkRing ring(chunks);
        EXPECT_EQ(ring.available(), chunks);
        std::vector<core::ChunkId> all(chunks + 10);
        all.resize(ring.take(all));
        ASSERT_EQ(all.size(), chunks);
        std::ranges::sort(all);
        for (size_t i = 0; i < chunks; ++i)
            ASSERT_EQ(all[i], i);
        EXPECT_EQ(ring.take(all), 0U);
        ring.give(all);
        EXPECT_EQ(ring.available(), chunks);
    }
}

TEST(ChunkRing, GivesWhatThereIsWhenAskedForMore) {
    ChunkRing ring(10);
    std::vector<core::ChunkId> some(8), more(8);
    EXPECT_EQ(ring.take(some), 8U);
    EXPECT_EQ(ring.take(more), 2U);
}

TEST(ChunkRing, NoChunkIsLostOrDoubledBetweenThreads) {
    constexpr size_t chunks = 4096;
    ChunkRing ring(chunks);
    std::vector<int> owner(chunks, 0);  // written only while owned: a doubled chunk is a race
    std::vector<size_t> doubled(2, 0);
    const auto work = [&](size_t thread) {
        std::vector<core::ChunkId> held(64);
        for (int round = 0; round < 20000; ++round) {
            const size_t got = ring.take(held);
            for (size_t i = 0; i < got; ++i)
                doubled[thread] += owner[held[i]]++ != 0;
            for (size_t i = 0; i < got; ++i)
                --owner[held[i]];
            ring.give(std::span{held}.first(got));
        }
    };
    std::thread other(work, 0);
    work(1);
    other.join();
    EXPECT_EQ(doubled[0] + doubled[1], 0U);
    std::vector<core::ChunkId> all(chunks);
    ASSERT_EQ(ring.take(all), chunks);
    std::ranges::sort(all);
    for (size_t i = 0; i < chunks; ++i)
        ASSERT_EQ(all[i], i);
}

}  // namespace
}  // namespace pasta::io
