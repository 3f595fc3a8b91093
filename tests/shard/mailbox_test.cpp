#include "dataplane/shard/mailbox.hpp"

#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <vector>

namespace pasta::shard {
namespace {

TEST(Mailbox, holds_its_capacity_and_refuses_more_until_something_is_taken) {
    Mailbox<uint32_t> box(7);
    uint32_t pushed = 0;
    while (pushed < 100 && box.push(pushed))
        ++pushed;
    ASSERT_GE(pushed, 7u);
    ASSERT_LT(pushed, 100u);
    EXPECT_FALSE(box.push(1000));

    std::array<uint32_t, 1> one;
    ASSERT_EQ(box.pop(one), 1u);
    EXPECT_EQ(one[0], 0u);
    EXPECT_TRUE(box.push(pushed));
    EXPECT_FALSE(box.push(1000));

    std::array<uint32_t, 100> rest;
    ASSERT_EQ(box.pop(rest), pushed);
    for (uint32_t i = 0; i < pushed; ++i)
        EXPECT_EQ(rest[i], i + 1);
    EXPECT_TRUE(box.empty());
    EXPECT_EQ(box.pop(rest), 0u);
}

TEST(Mailbox, keeps_order_over_many_turns_of_the_ring) {
    Mailbox<uint64_t> box(3);
    uint64_t sent = 0, expected = 0;
    std::array<uint64_t, 2> two;
    for (int round = 0; round < 1000; ++round) {
        while (box.push(sent))
            ++sent;
        for (size_t i = 0, n = box.pop(two); i < n; ++i)
            ASSERT_EQ(two[i], expected++);
    }
    EXPECT_GT(expected, 1000u);
}

TEST(Mailbox, carries_whole_messages_of_any_size) {
    Mailbox<Handover> box(15);
    Handover in{{1, 2, 3, 4}, 5, 6};
    ASSERT_TRUE(box.push(in));
    std::array<Handover, 4> out;
    ASSERT_EQ(box.pop(out), 1u);
    EXPECT_EQ(out[0].frame.head, 1u);
    EXPECT_EQ(out[0].frame.tail, 2u);
    EXPECT_EQ(out[0].frame.count, 3u);
    EXPECT_EQ(out[0].frame.bytes, 4u);
    EXPECT_EQ(out[0].port, 5);
    EXPECT_EQ(out[0].hops, 6);
}

TEST(Mailbox, of_two_threads_loses_and_reorders_nothing_and_orders_memory) {
    constexpr uint32_t messages = 200000;
    Mailbox<uint32_t> box(63);
    std::vector<uint32_t> content(messages);  // written by the sender, not atomic
    std::thread sender([&] {
        for (uint32_t i = 0; i < messages; ++i) {
            content[i] = i * 7;
            while (!box.push(i))
                std::this_thread::yield();
        }
    });
    uint32_t expected = 0;
    bool in_order = true, seen = true;
    std::array<uint32_t, 16> batch;
    while (expected < messages) {
        const size_t n = box.pop(batch);
        for (size_t i = 0; i < n; ++i, ++expected) {
            in_order &= batch[i] == expected;
            seen &= content[batch[i]] == batch[i] * 7;
        }
        if (n == 0) std::this_thread::yield();
    }
    sender.join();
    EXPECT_TRUE(in_order);
    EXPECT_TRUE(seen);
    EXPECT_TRUE(box.empty());
}

}  // namespace
}  // namespace pasta::shard
