// Contents of the streams of a simulation: a function of seed and position, so that nothing has to
// be stored to know what should arrive.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace pasta::sim {

class Pattern {
  public:
    explicit Pattern(uint32_t seed) : start_(seed % period) {}

    static constexpr size_t max_piece = 65536;

    /// `n` <= max_piece bytes from `offset` on.
    std::span<const uint8_t> at(uint64_t offset, size_t n) const {
        return std::span{table()}.subspan((start_ + offset) % period, n);
    }
    bool matches(uint64_t offset, std::span<const uint8_t> bytes) const {
        for (size_t done = 0; done < bytes.size();) {
            const size_t n = std::min(bytes.size() - done, max_piece);
            if (!std::ranges::equal(bytes.subspan(done, n), at(offset + done, n))) return false;
            done += n;
        }
        return true;
    }

  private:
    /// A prime, so that a shift by whole segments, chunks or windows shows.
    static constexpr size_t period = 65521;

    static const std::vector<uint8_t>& table() {
        static const std::vector<uint8_t> bytes = [] {
            std::vector<uint8_t> t(period + max_piece);
            std::mt19937 engine(1);
            for (size_t i = 0; i < t.size(); ++i)
                t[i] = i < period ? static_cast<uint8_t>(engine()) : t[i - period];
            return t;
        }();
        return bytes;
    }

    uint64_t start_;
};

}  // namespace pasta::sim
