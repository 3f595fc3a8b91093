// A client that a listener met.
#pragma once

#include <cstdint>

#include "dataplane/core/context.hpp"
#include "dataplane/core/datagram_flow.hpp"
#include "dataplane/core/listener_config.hpp"

namespace pasta::host {

using core::ListenerConfig;
using core::ListenSide;

/// An accepted connection, or the first datagram of a client, on its way into a flow. A plain
/// value, that crosses shards: whoever holds it owns `socket` and `payload`.
struct Arrival {
    ListenerConfig listener;
    core::FlowKey key;              ///< as the namespace will see it, once that is known
    core::HostTarget client;        ///< where it really is
    core::Endpoint local;           ///< UDP: where it sent to
    int socket = -1;                ///< TCP
    core::Chain payload;            ///< UDP: laid out as for DatagramEngine::on_datagram
    core::ReceivedOptions options;  ///< UDP
    uint16_t hops = 0;              ///< shards that passed it on
};

/// Does without the client: resets its connection, drops its datagram.
void turn_away(Arrival& arrival, core::ChunkCache& chunks);

}  // namespace pasta::host
