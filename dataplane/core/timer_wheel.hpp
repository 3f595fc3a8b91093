// Deadlines of flows, as data.
#pragma once

#include <array>
#include <vector>

#include "dataplane/core/flow.hpp"
#include "dataplane/core/time.hpp"

namespace pasta::core {

/// A hierarchical wheel of one-millisecond ticks. There is no cancelling: an entry fires once, and
/// its flow, if it still lives, looks at its own deadlines and arms again if it has to. So a flow
/// whose deadline only moves later (a retransmission timer restarted by each ACK) costs nothing.
class TimerWheel {
  public:
    explicit TimerWheel(Time now = 0) : tick_(now / resolution) {}

    /// Fires `id` at the first advance() whose `now` is at least `at`, rounded up to the tick.
    void arm(FlowId id, Time at);
    /// Moves all that is due to the end of `due`. Walks each tick since the last call.
    void advance(Time now, std::vector<FlowId>& due);
    /// A time not later than the first entry's, or `never`: how long a poll may sleep.
    Time next_deadline() const;

    static constexpr Time resolution = millisecond;

  private:
    static constexpr unsigned level_bits = 8, levels = 4, slots = 1u << level_bits;
    struct Entry {
        FlowId id;
        uint64_t tick;
    };

    void place(const Entry& entry);
    void cascade(unsigned level);

    uint64_t tick_;  ///< the last tick that was fired
    size_t size_ = 0;
    std::array<std::array<std::vector<Entry>, slots>, levels> wheel_;
};

/// A flow's share in the wheel: remembers what is armed there, so that a flow has few entries.
class TimerHandle {
  public:
    /// Makes sure that the wheel fires not later than `at`.
    void arm(TimerWheel& wheel, FlowId id, Time at) {
        if (at >= armed_) return;
        displaced_ = armed_;
        armed_ = at;
        wheel.arm(id, at);
    }
    /// To be called when the wheel fired: false for an entry that another one had displaced, true
    /// when the flow shall look at its deadlines and arm() the next.
    bool fired(Time now) {
        if (now < armed_) return false;
        armed_ = displaced_ <= now ? never : displaced_;
        displaced_ = never;
        return true;
    }

  private:
    Time armed_ = never;
    Time displaced_ = never;  ///< a later entry that is still in the wheel
};

}  // namespace pasta::core
