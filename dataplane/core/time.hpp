// Time as the engine sees it: a number handed in by the caller, never read from a clock.
#pragma once

#include <cstdint>

namespace pasta::core {

/// Nanoseconds on a monotonic clock of the caller's choice.
using Time = uint64_t;

inline constexpr Time microsecond = 1000;
inline constexpr Time millisecond = 1000 * microsecond;
inline constexpr Time second = 1000 * millisecond;
inline constexpr Time never = UINT64_MAX;

}  // namespace pasta::core
