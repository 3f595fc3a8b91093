// ICMP errors from a namespace about packets that it was sent.
#pragma once

#include <optional>

#include "dataplane/core/context.hpp"
#include "dataplane/wire/icmp.hpp"

namespace pasta::core {

/// "Destination unreachable", about a TCP segment or a UDP datagram.
struct GuestError {
    wire::IcmpError error;
    FlowKey key;        ///< of the flow that the packet in question belonged to
    wire::Bytes upper;  ///< what is quoted of its upper layer: at least 8 bytes
};

/// True for ICMP messages that say that something is wrong with a packet.
bool is_icmp_error(const Packet& packet);

/// Nothing when it is another error (one that the path to the peer cannot have caused, since it
/// ends here), or malformed.
std::optional<GuestError> parse_guest_error(ChunkArena& arena, const Packet& packet);

}  // namespace pasta::core
