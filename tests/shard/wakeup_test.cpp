#include "dataplane/shard/wakeup.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <thread>

#include "dataplane/shard/mailbox.hpp"

namespace pasta::shard {
namespace {

bool readable(const Wakeup& wakeup, int timeout_ms) {
    pollfd p{wakeup.fd(), POLLIN, 0};
    return poll(&p, 1, timeout_ms) == 1;
}

TEST(Wakeup, notify_of_one_that_is_awake_costs_no_system_call) {
    Wakeup wakeup;
    wakeup.notify();
    EXPECT_FALSE(readable(wakeup, 0));
}

TEST(Wakeup, notify_of_a_sleeper_makes_the_descriptor_readable_until_it_is_awake) {
    Wakeup wakeup;
    wakeup.going_to_sleep();
    EXPECT_FALSE(readable(wakeup, 0));
    wakeup.notify();
    EXPECT_TRUE(readable(wakeup, 0));
    wakeup.awake();
    EXPECT_FALSE(readable(wakeup, 0));
    wakeup.notify();
    EXPECT_FALSE(readable(wakeup, 0));
}

/// One side of the game: sleeps until there is mail, as a shard does. False when it was not woken:
/// nothing but a lost wake-up makes a sleep last so long.
bool sleep_until_mail(Mailbox<uint32_t>& box, Wakeup& wakeup, uint32_t& mail) {
    std::array<uint32_t, 1> one;
    while (box.pop(one) == 0) {
        wakeup.going_to_sleep();
        const bool woken = !box.empty() || readable(wakeup, 60000);
        wakeup.awake();
        if (!woken) return false;
    }
    mail = one[0];
    return true;
}

TEST(Wakeup, two_threads_that_wake_each_other_never_sleep_through_mail) {
    constexpr uint32_t rounds = 30000;
    Mailbox<uint32_t> there(3), back(3);
    Wakeup there_wakeup, back_wakeup;
    bool answered_all = true;
    std::thread other([&] {
        uint32_t mail = 0;
        for (uint32_t i = 0; i < rounds && answered_all; ++i) {
            answered_all = sleep_until_mail(there, there_wakeup, mail) && back.push(mail);
            back_wakeup.notify();
        }
    });
    uint32_t mail = 0, round = 0;
    for (; round < rounds; ++round) {
        ASSERT_TRUE(there.push(round));
        there_wakeup.notify();
        if (!sleep_until_mail(back, back_wakeup, mail) || mail != round) break;
    }
    other.join();
    EXPECT_EQ(round, rounds);
    EXPECT_TRUE(answered_all);
}

}  // namespace
}  // namespace pasta::shard
