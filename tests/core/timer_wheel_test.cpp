#include "dataplane/core/timer_wheel.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>

namespace pasta::core {
namespace {

FlowId id(uint32_t n) {
    return {FlowKind::tcp, n, 0};
}
/// The wheel is large: on the heap.
class TimerWheelTest : public ::testing::Test {
  protected:
    std::vector<uint32_t> advance(Time now) {
        std::vector<FlowId> due;
        wheel->advance(now, due);
        std::vector<uint32_t> fired;
        for (const FlowId& f : due)
            fired.push_back(f.index);
        return fired;
    }
    std::unique_ptr<TimerWheel> wheel = std::make_unique<TimerWheel>();
};
using Fired = std::vector<uint32_t>;

TEST_F(TimerWheelTest, empty_never_fires) {
    EXPECT_EQ(wheel->next_deadline(), never);
    EXPECT_EQ(advance(1000 * second), Fired{});
}

TEST_F(TimerWheelTest, entry_fires_once_at_its_tick_not_before) {
    wheel->arm(id(1), 5 * millisecond);
    EXPECT_EQ(advance(5 * millisecond - 1), Fired{});
    EXPECT_EQ(advance(5 * millisecond), Fired{1});
    EXPECT_EQ(advance(10 * second), Fired{});
}

TEST_F(TimerWheelTest, deadline_between_ticks_is_rounded_up) {
    wheel->arm(id(1), 5 * millisecond + 1);
    EXPECT_EQ(advance(6 * millisecond - 1), Fired{});
    EXPECT_EQ(advance(6 * millisecond), Fired{1});
}

TEST_F(TimerWheelTest, deadline_in_the_past_fires_at_the_next_tick) {
    advance(100 * millisecond);
    wheel->arm(id(1), 3 * millisecond);
    wheel->arm(id(2), 100 * millisecond);
    EXPECT_EQ(wheel->next_deadline(), 101 * millisecond);
    EXPECT_EQ(advance(101 * millisecond), (Fired{1, 2}));
}

TEST_F(TimerWheelTest, every_distance_fires_exactly_on_time) {
    for (const uint64_t start : {0ull, 1ull, 255ull, 256ull, 65535ull, 16777215ull}) {
        Time now = start * millisecond;
        wheel = std::make_unique<TimerWheel>(now);
        for (const uint64_t ticks :
             {1ull, 255ull, 256ull, 257ull, 511ull, 512ull, 65535ull, 65536ull, 65537ull}) {
            const Time at = now + ticks * millisecond;
            wheel->arm(id(1), at);
            EXPECT_LE(wheel->next_deadline(), at);
            EXPECT_EQ(advance(at - 1), Fired{}) << start << " + " << ticks;
            EXPECT_EQ(advance(at), Fired{1}) << start << " + " << ticks;
            now = at;
        }
    }
}

TEST_F(TimerWheelTest, distance_beyond_three_levels_fires_on_time) {
    constexpr Time at = 16777217 * millisecond;
    wheel->arm(id(1), at);
    EXPECT_EQ(advance(at - 1), Fired{});
    EXPECT_EQ(advance(at), Fired{1});
}

TEST_F(TimerWheelTest, seeded_entries_agree_with_a_map) {
    for (uint32_t seed = 1; seed <= 5; ++seed) {
        std::mt19937_64 random(seed);
        wheel = std::make_unique<TimerWheel>();
        std::multimap<uint64_t, uint32_t> model;  // tick -> id
        Time now = 0;
        for (uint32_t step = 0; step < 20000; ++step) {
            const Time at = now + (uint64_t{1} << random() % 40) + random() % 1000;
            wheel->arm(id(step), at);
            model.emplace(std::max((at + millisecond - 1) / millisecond, now / millisecond + 1),
                          step);
            ASSERT_LE(wheel->next_deadline(), model.begin()->first * millisecond);
            now += random() % 3 == 0 ? random() % (300 * millisecond) : 0;
            std::multiset<uint32_t> expected;
            while (!model.empty() && model.begin()->first <= now / millisecond) {
                expected.insert(model.begin()->second);
                model.erase(model.begin());
            }
            const Fired fired = advance(now);
            ASSERT_EQ(std::multiset<uint32_t>(fired.begin(), fired.end()), expected)
                << "seed " << seed << " step " << step;
        }
    }
}

// A poll that sleeps until next_deadline() each time gets there in few wake-ups.
TEST_F(TimerWheelTest, next_deadline_leads_to_the_entry_in_few_steps) {
    wheel->arm(id(1), 120 * second);
    int wakeups = 0;
    for (Fired fired; fired.empty(); ++wakeups) {
        const Time next = wheel->next_deadline();
        ASSERT_LE(next, 120 * second);
        fired = advance(next);
    }
    EXPECT_LE(wakeups, 4);
}

TEST_F(TimerWheelTest, handle_armed_earlier_displaces_and_later_costs_nothing) {
    TimerHandle handle;
    handle.arm(*wheel, id(1), 100 * millisecond);
    handle.arm(*wheel, id(1), 200 * millisecond);
    handle.arm(*wheel, id(1), 50 * millisecond);
    EXPECT_EQ(advance(50 * millisecond), Fired{1});
    EXPECT_TRUE(handle.fired(50 * millisecond));
    handle.arm(*wheel, id(1), 100 * millisecond);  // still in the wheel
    EXPECT_EQ(advance(100 * millisecond), Fired{1});
    EXPECT_TRUE(handle.fired(100 * millisecond));
    EXPECT_EQ(advance(10 * second), Fired{});
}

TEST_F(TimerWheelTest, handle_ignores_an_entry_that_was_displaced) {
    TimerHandle handle;
    handle.arm(*wheel, id(1), 100 * millisecond);
    handle.arm(*wheel, id(1), 60 * millisecond);
    handle.arm(*wheel, id(1), 50 * millisecond);  // the handle forgets the first
    EXPECT_EQ(advance(50 * millisecond).size(), 1u);
    EXPECT_TRUE(handle.fired(50 * millisecond));
    EXPECT_EQ(advance(60 * millisecond).size(), 1u);
    EXPECT_TRUE(handle.fired(60 * millisecond));
    handle.arm(*wheel, id(1), 200 * millisecond);
    EXPECT_EQ(advance(100 * millisecond).size(), 1u);
    EXPECT_FALSE(handle.fired(100 * millisecond));
    EXPECT_EQ(advance(200 * millisecond).size(), 1u);
    EXPECT_TRUE(handle.fired(200 * millisecond));
}

// Whatever is armed in whatever order: the flow is woken at or before each deadline it asks for.
TEST_F(TimerWheelTest, handle_seeded_deadlines_are_never_missed) {
    for (uint32_t seed = 1; seed <= 20; ++seed) {
        std::mt19937_64 random(seed);
        wheel = std::make_unique<TimerWheel>();
        TimerHandle handle;
        Time deadline = never;
        for (Time now = 0; now < 20 * second; now += millisecond) {
            for (size_t n = advance(now).size(); n > 0; --n) {
                if (!handle.fired(now)) continue;
                if (deadline <= now) deadline = never;
                handle.arm(*wheel, id(1), deadline);
            }
            ASSERT_GT(deadline, now) << "missed, seed " << seed;
            if (random() % 20 == 0) {
                deadline = now + 1 + random() % (500 * millisecond);
                handle.arm(*wheel, id(1), deadline);
            }
        }
    }
}

}  // namespace
}  // namespace pasta::core
