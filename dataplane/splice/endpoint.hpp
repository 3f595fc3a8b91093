// The ends of spliced flows.
#pragma once

#include <cstdint>

#include "dataplane/core/port_config.hpp"
#include "dataplane/wire/address.hpp"

namespace pasta::splice {

/// Address and port (host byte order) of one end.
struct Endpoint {
    wire::IpAddress address;
    uint16_t port = 0;

    bool operator==(const Endpoint&) const = default;
};

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
