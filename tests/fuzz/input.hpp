// A fuzzer's bytes as a stream of choices.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

namespace pasta::fuzz {

/// Reads choices from the front; zeros once the bytes are used up, so that every input ends.
class Input {
  public:
    explicit Input(std::span<const uint8_t> bytes) : bytes_(bytes) {}

    bool empty() const { return bytes_.empty(); }
    uint8_t u8() {
        if (bytes_.empty()) return 0;
        const uint8_t value = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return value;
    }
    uint16_t u16() {
        const uint8_t high = u8();
        return static_cast<uint16_t>(high << 8 | u8());
    }
    uint32_t u32() {
        const uint32_t high = u16();
        return high << 16 | u16();
    }
    /// 0 <= result < n, for 0 < n <= 256.
    size_t below(size_t n) { return u8() % n; }
    template <typename T, size_t n>
    const T& pick(const T (&values)[n]) {
        return values[below(n)];
    }
    /// Up to n bytes as they are.
    std::span<const uint8_t> bytes(size_t n) {
        const auto taken = bytes_.first(std::min(n, bytes_.size()));
        bytes_ = bytes_.subspan(taken.size());
        return taken;
    }

  private:
    std::span<const uint8_t> bytes_;
};

/// What must be true whatever the input.
inline void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "fuzz: %s\n", what);
    std::abort();
}

/// The byte that stands at a sequence number of any stream, so that a stream can be verified
/// wherever it is seen.
inline uint8_t stream_byte(uint32_t seq) {
    return static_cast<uint8_t>(seq * 0x9e3779b1U >> 24);
}

}  // namespace pasta::fuzz
