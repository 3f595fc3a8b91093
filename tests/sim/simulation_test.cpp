// The core against its environment: a guest's TCP, a faulty link, host sockets. A failure prints
// the seed; PASTA_SIM_SEED=n runs only that one.

#include "tests/sim/simulation.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <random>

namespace pasta::sim {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t fixed_seeds = 30;  // so slow that all would take minutes
#else
constexpr uint64_t fixed_seeds = 200;
#endif

/// The fixed seeds and one that is new each time; or the one that the environment names.
std::vector<uint64_t> seeds() {
    if (const char* one = std::getenv("PASTA_SIM_SEED")) return {std::strtoull(one, nullptr, 0)};
    std::vector<uint64_t> all;
    for (uint64_t seed = 1; seed <= fixed_seeds; ++seed)
        all.push_back(seed);
    all.push_back(std::random_device{}());
    std::cout << "random seed: " << all.back() << "\n";
    return all;
}

class SimulationTest : public ::testing::TestWithParam<uint16_t> {
  protected:
    static void run_seeds(Scenario scenario) {
        uint64_t tcp = 0, inbound = 0, bytes = 0, retransmits = 0, handed_over = 0, replies = 0;
        const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
        for (const uint64_t seed : seeds()) {
            Simulation simulation(seed, GetParam(), scenario);
            ASSERT_EQ(simulation.run(), "")
                << "seed " << seed << " with " << GetParam() << " shard(s), virtual time "
                << simulation.summary().duration / core::millisecond
                << " ms; again with PASTA_SIM_SEED=" << seed
                << " and --gtest_filter=" << test->test_suite_name() << "." << test->name();
            const Simulation::Summary& s = simulation.summary();
            tcp += s.tcp;
            inbound += s.inbound;
            bytes += s.bytes_up + s.bytes_down;
            retransmits += s.retransmits;
            handed_over += s.handed_over;
            replies += s.replies;
        }
        std::cout << tcp << " connections, " << inbound << " clients, " << (bytes >> 20) << " MiB, "
                  << retransmits << " retransmissions, " << replies << " replies, " << handed_over
                  << " hand-overs\n";
    }
};

TEST_P(SimulationTest, EveryByteArrivesAndNothingIsLeftBehind) {
    run_seeds(Scenario::mixed);
}

TEST_P(SimulationTest, SlowReadersDelayNobodyElse) {
    run_seeds(Scenario::slow_readers);
}

INSTANTIATE_TEST_SUITE_P(Shards, SimulationTest, ::testing::Values(1, 2),
                         [](const auto& shards) { return std::to_string(shards.param); });

}  // namespace
}  // namespace pasta::sim
