// What UDP and echo flows are made of.
#pragma once

#include <optional>

#include "dataplane/core/context.hpp"
#include "dataplane/core/datagram_queue.hpp"
#include "dataplane/core/flow.hpp"
#include "dataplane/core/socket_op.hpp"
#include "dataplane/wire/address.hpp"

namespace pasta::core {

/// A conversation of datagrams between a namespace and one peer, with a connected host socket.
///
///   state     socket  operations that may be queued
///   opening   -1      open (queued at creation, executed once)
///   open      >= 0    one send, while datagrams wait and the socket takes them; one read; one
///                     reject, while there is a rejection
///   closed    -       gone from the slab; datagram_close of the socket is queued
struct DatagramFlow {
    FlowId id;
    FlowKey key;
    HostTarget target;
    SocketHandle socket = -1;
    wire::MacAddress guest_mac;
    DatagramQueue to_sock;
    /// Of a flow that a client of the host began: where it sent its datagrams to.
    std::optional<Endpoint> local{};
    /// UDP: an ICMP error for that client, until it is sent.
    Chain rejection;

    Time last_activity = 0;
    Time idle_check = 0;  ///< when the timer that looks for idleness fires
    bool sent = false, sent_more = false, received = false, received_more = false;
    DatagramFlow *older = nullptr, *newer = nullptr;  ///< among the one-shot flows

    bool send_queued = false, read_queued = false;
    bool send_blocked = false;    ///< the socket took no more; wait until it is writable
    bool read_retry = false;      ///< a read found no room; a timer will try again
    uint8_t read_chunks = 1;      ///< chunks that each of the last datagrams read has needed
    uint32_t identification = 0;  ///< of the next packet that has to be fragmented

    // Of the host side.
    bool error_pending = false;                ///< the socket's error queue has to be read
    bool segmentation_refused = false;         ///< UDP_SEGMENT did not work here
    std::optional<DatagramOptions> options{};  ///< what the socket has been set to
    /// MTU of the path when the socket was opened. Larger packets would natively have been cut by
    /// the sender's own kernel, which does not know that MTU here; so the host cuts them.
    uint32_t open_mtu = UINT32_MAX;
    bool raw = false;      ///< echo by a raw socket, which sees others' messages
    uint16_t host_id = 0;  ///< identifier in the messages of a raw socket

    /// A conversation, not a lone question: answered, and more than one datagram on a side.
    bool is_stream() const { return sent && received && (sent_more || received_more); }
};

/// IP header fields of a datagram from the host, as far as the kernel told them.
struct ReceivedOptions {
    uint8_t hop_limit = 64;
    uint8_t traffic_class = 0;
};

/// An entry of a socket's error queue (struct sock_extended_err).
struct DatagramError {
    bool is_v6 = false;  ///< whether type and code are ICMPv6's
    uint8_t type = 0, code = 0;
    uint32_t info = 0;  ///< MTU or pointer, as a number
    std::optional<wire::IpAddress> offender;
    wire::Bytes original;  ///< from the packet in question: for UDP its payload, for echo its
                           ///< message; as much as the error quoted
};

/// How a read ended.
enum class ReadEnd : uint8_t {
    more,     ///< there may be more datagrams
    drained,  ///< there were none left
    starved,  ///< no chunk was free
};

/// How much one read may take. No datagrams: not now.
struct ReadPlan {
    size_t datagrams = 0;
    size_t chunks_each = 0;
};

}  // namespace pasta::core
