// Randomness of a simulation: everything follows from one seed.
#pragma once

#include <cstdint>
#include <random>

namespace pasta::sim {

class Random {
  public:
    explicit Random(uint64_t seed) : engine_(seed) {}

    /// 0 <= result < n; n is not 0. (The standard's distributions differ between libraries, so that
    /// a seed would not mean the same everywhere.)
    uint64_t below(uint64_t n) { return engine_() % n; }
    /// low <= result <= high.
    uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
    bool chance(double probability) {
        return static_cast<double>(engine_() >> 11) * 0x1p-53 < probability;
    }
    /// 0 to `high`, every order of magnitude about as likely as the others.
    uint64_t size_up_to(uint64_t high) {
        const uint64_t bound = uint64_t{1}
                               << below(64 - static_cast<unsigned>(__builtin_clzll(high | 1)) + 1);
        return std::min(high, below(bound));
    }
    template <typename T, size_t n>
    const T& pick(const T (&values)[n]) {
        return values[below(n)];
    }

  private:
    std::mt19937_64 engine_;
};

}  // namespace pasta::sim
