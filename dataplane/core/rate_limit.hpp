// How often something may happen.
#pragma once

#include <algorithm>

#include "dataplane/core/time.hpp"

namespace pasta::core {

/// At most `burst` at once and one each `interval` in the long run. The defaults are those of
/// Linux for ICMP errors (icmp_msgs_per_sec and icmp_msgs_burst).
class RateLimit {
  public:
    static constexpr Time interval = millisecond;
    static constexpr Time burst = 50;

    /// Whether one more may happen now.
    bool allow(Time now) {
        full_again_ = std::max(full_again_, now);
        if (full_again_ - now > (burst - 1) * interval) return false;
        full_again_ += interval;
        return true;
    }

  private:
    Time full_again_ = 0;  ///< when a whole burst is allowed again
};

}  // namespace pasta::core
