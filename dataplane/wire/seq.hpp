// TCP sequence numbers: comparison modulo 2^32 (RFC 9293, 3.4).
#pragma once

#include <cstdint>

namespace pasta::wire {

/// Bytes from b to a; negative when a is before b. Meaningful when they are less than 2^31 apart.
constexpr int32_t seq_diff(uint32_t a, uint32_t b) {
    return static_cast<int32_t>(a - b);
}
constexpr bool seq_lt(uint32_t a, uint32_t b) {
    return seq_diff(a, b) < 0;
}
constexpr bool seq_leq(uint32_t a, uint32_t b) {
    return seq_diff(a, b) <= 0;
}
constexpr bool seq_gt(uint32_t a, uint32_t b) {
    return seq_diff(a, b) > 0;
}
constexpr bool seq_geq(uint32_t a, uint32_t b) {
    return seq_diff(a, b) >= 0;
}
constexpr uint32_t seq_max(uint32_t a, uint32_t b) {
    return seq_lt(a, b) ? b : a;
}
constexpr uint32_t seq_min(uint32_t a, uint32_t b) {
    return seq_lt(a, b) ? a : b;
}
/// start <= seq < start + length; also right for windows of 2^31 and more.
constexpr bool seq_in_window(uint32_t seq, uint32_t start, uint32_t length) {
    return seq - start < length;
}

}  // namespace pasta::wire
