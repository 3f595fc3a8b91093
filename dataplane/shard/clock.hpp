// The only clock of the dataplane.
#pragma once

#include <ctime>

#include "dataplane/core/time.hpp"

namespace pasta::shard {

/// CLOCK_MONOTONIC in nanoseconds.
inline core::Time monotonic_now() {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return static_cast<core::Time>(ts.tv_sec) * core::second + static_cast<core::Time>(ts.tv_nsec);
}

}  // namespace pasta::shard
