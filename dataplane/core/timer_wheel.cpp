#include "dataplane/core/timer_wheel.hpp"

#include <algorithm>

namespace pasta::core {

void TimerWheel::arm(FlowId id, Time at) {
    const uint64_t tick = (at + resolution - 1) / resolution;
    const uint64_t horizon = tick_ + (uint64_t{1} << (level_bits * levels)) - 1;
    place({id, std::clamp(tick, tick_ + 1, horizon)});
    ++size_;
}

void TimerWheel::place(const Entry& entry) {
    unsigned level = 0;
    while (level + 1 < levels && (entry.tick - tick_) >> (level_bits * (level + 1)) != 0)
        ++level;
    wheel_[level][(entry.tick >> (level_bits * level)) % slots].push_back(entry);
}

void TimerWheel::cascade(unsigned level) {
    auto& slot = wheel_[level][(tick_ >> (level_bits * level)) % slots];
    std::vector<Entry> entries;
    entries.swap(slot);
    for (const Entry& entry : entries)
        place(entry);
}

void TimerWheel::advance(Time now, std::vector<FlowId>& due) {
    const uint64_t target = now / resolution;
    if (size_ == 0) {
        tick_ = std::max(tick_, target);
        return;
    }
    while (tick_ < target) {
        ++tick_;
        for (unsigned level = levels - 1; level > 0; --level)
            if (tick_ % (uint64_t{1} << (level_bits * level)) == 0) cascade(level);
        auto& slot = wheel_[0][tick_ % slots];
        for (const Entry& entry : slot)
            due.push_back(entry.id);
        size_ -= slot.size();
        slot.clear();
    }
}

Time TimerWheel::next_deadline() const {
    if (size_ == 0) return never;
    // A slot of a higher level counts from its start, when it cascades: not later than its entries.
    uint64_t first = UINT64_MAX;
    for (unsigned level = 0; level < levels; ++level) {
        const unsigned shift = level_bits * level;
        for (uint64_t i = 1; i <= slots; ++i) {
            const uint64_t position = (tick_ >> shift) + i;
            if (wheel_[level][position % slots].empty()) continue;
            first = std::min(first, position << shift);
            break;
        }
    }
    return first * resolution;
}

}  // namespace pasta::core
