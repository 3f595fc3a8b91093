// The ends of spliced flows.
#pragma once

#include <cstdint>

#include "dataplane/core/context.hpp"

namespace pasta::splice {

using core::Endpoint;

/// Which of the two loopbacks of an attachment.
enum class Place : uint8_t { host, netns };

/// Where the far half of a flow goes: `target` in the host's network namespace or in the one that
/// is attached as `port`.
struct Destination {
    core::PortId port = 0;
    Place place = Place::netns;
    Endpoint target;
};

}  // namespace pasta::splice
