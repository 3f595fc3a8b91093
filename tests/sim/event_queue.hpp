// Virtual time, and what happens when.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "dataplane/core/time.hpp"

namespace pasta::sim {

class EventQueue {
  public:
    core::Time now() const { return now_; }
    core::Time next() const { return events_.empty() ? core::never : events_.front().time; }

    /// Calls `action` when `delay` has passed. Events of one time keep their order.
    void after(core::Time delay, std::function<void()> action) {
        events_.push_back({now_ + delay, order_++, std::move(action)});
        std::ranges::push_heap(events_, later);
    }
    /// Moves time on and runs what is due.
    void advance_to(core::Time time) {
        now_ = std::max(now_, time);
        while (next() <= now_) {
            std::ranges::pop_heap(events_, later);
            const std::function<void()> action = std::move(events_.back().action);
            events_.pop_back();
            action();
        }
    }

  private:
    struct Event {
        core::Time time;
        uint64_t order;
        std::function<void()> action;
    };
    static bool later(const Event& a, const Event& b) {
        return a.time != b.time ? a.time > b.time : a.order > b.order;
    }

    core::Time now_ = core::second;
    uint64_t order_ = 0;
    std::vector<Event> events_;
};

}  // namespace pasta::sim
