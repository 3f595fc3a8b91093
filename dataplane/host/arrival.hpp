// A client that a listener met.
#pragma once

#include <cstdint>

#include "dataplane/core/context.hpp"
#include "dataplane/core/datagram_flow.hpp"

namespace pasta::host {

/// Where a listener listens; its connections go to the other side.
enum class ListenSide : uint8_t { host, ns };

/// A listener that control has bound.
struct ListenerConfig {
    core::PortId port = 0;
    ListenSide side = ListenSide::host;
    uint8_t protocol = 0;      ///< TCP or UDP
    uint16_t target_port = 0;  ///< on the other side; host byte order
};

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
