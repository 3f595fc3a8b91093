// A link that loses, duplicates, delays and reorders frames.
#pragma once

#include <vector>

#include "tests/sim/event_queue.hpp"
#include "tests/sim/random.hpp"

namespace pasta::sim {

struct LinkFaults {
    double loss = 0, duplication = 0, reordering = 0;
    core::Time delay = 50 * core::microsecond;       ///< of every frame
    core::Time extra_delay = 5 * core::millisecond;  ///< up to this much more when reordered
};

/// One direction.
class FaultyLink {
  public:
    using Frame = std::vector<uint8_t>;
    using Receiver = std::function<void(const Frame&)>;

    FaultyLink(EventQueue& events, Random& random, const LinkFaults& faults, Receiver receiver)
        : events_(events), random_(random), faults_(faults), receiver_(std::move(receiver)) {}

    void send(Frame frame) {
        if (random_.chance(faults_.duplication)) deliver(frame);
        if (!random_.chance(faults_.loss)) deliver(std::move(frame));
    }

  private:
    void deliver(Frame frame) {
        core::Time delay = faults_.delay;
        if (random_.chance(faults_.reordering)) delay += random_.below(faults_.extra_delay);
        events_.after(delay, [this, f = std::move(frame)] { receiver_(f); });
    }

    EventQueue& events_;
    Random& random_;
    LinkFaults faults_;
    Receiver receiver_;
};

}  // namespace pasta::sim
