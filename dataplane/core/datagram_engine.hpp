// Flows of datagrams: what UDP and ICMP echo have in common.
#pragma once

#include "dataplane/core/datagram_flow.hpp"
#include "dataplane/core/frame_builder.hpp"
#include "dataplane/core/slab.hpp"
#include "dataplane/wire/icmp.hpp"

namespace pasta::core {

/// Constants of one protocol.
struct DatagramTraits {
    FlowKind kind;
    SocketOpKind open, send, read;
    Time one_shot_timeout, stream_timeout;
    uint32_t header_size;  ///< bytes of the upper layer before what is queued in a flow
    Counter Counters::*flows;
    Counter Counters::*to_sock;
};

/// Creates, feeds, times out and closes flows. A datagram from the namespace waits in its flow
/// until the host side sent it; datagrams and errors from the host become frames at once. Functions
/// that take a FlowId ignore one whose flow is gone.
class DatagramEngine {
  public:
    DatagramEngine(Context& context, const DatagramTraits& traits, size_t max_flows)
        : context_(context), traits_(traits), slab_(traits.kind, max_flows) {}
    virtual ~DatagramEngine() = default;
    DatagramEngine(const DatagramEngine&) = delete;
    DatagramEngine& operator=(const DatagramEngine&) = delete;

    // For the shard.
    size_t flows() const { return slab_.size(); }
    void on_ready(FlowId id, const Readiness& ready);
    void on_deadline(FlowId id);
    /// Closes the flows of a namespace.
    void close_port(PortId port);

    // For the host side. References stay valid until the flow is closed, which only on_packet,
    // on_open_failed, on_deadline and close_port do.
    DatagramFlow* find(FlowId id) { return slab_.find(id); }
    void on_opened(FlowId id, SocketHandle socket);
    /// `error` is an errno value. The flow is closed, and the namespace told if ICMP can.
    void on_open_failed(FlowId id, int error);
    /// Begins to execute a send or read operation; nullptr when the flow is gone.
    DatagramFlow* start_send(FlowId id);
    DatagramFlow* start_read(FlowId id);
    /// The socket took the first `datagrams` of flow.to_sock.
    void on_sent(DatagramFlow& flow, size_t datagrams);
    /// The host refused the first datagram, which is dropped. `mtu` is the path's, for EMSGSIZE.
    void on_send_failed(DatagramFlow& flow, int error, uint32_t mtu);
    /// Ends a send operation; `blocked`: the socket takes no more until it is writable.
    void on_send_done(DatagramFlow& flow, bool blocked);
    /// What the read operation may take; when nothing, it is over and another one will follow.
    ReadPlan plan_read(DatagramFlow& flow);
    /// A datagram from the host; takes over `payload`. Its first chunk, which exists even when the
    /// payload is empty, has header_room before its data, the others have tx_metadata_size.
    void on_datagram(DatagramFlow& flow, Chain payload, const ReceivedOptions& options);
    /// Ends a read operation. `chunks_each`: the most that one of its datagrams needed, 0 for none.
    void on_read_done(DatagramFlow& flow, ReadEnd end, size_t chunks_each);
    /// An error that the network reported about a packet of this flow.
    void on_error(DatagramFlow& flow, const DatagramError& error);

  protected:
    /// Puts a datagram, the `length` bytes of the frame after `headers` bytes, into its flow, which
    /// is created if need be; takes over packet.frame.
    void enqueue(Packet& packet, const FlowKey& key, uint32_t headers, uint32_t length);
    /// The flow of a client at `client` that sends to `local`; created if need be, in place of one
    /// whose replies would go elsewhere. nullptr (counted) when there are too many.
    DatagramFlow* begin_inbound(const FlowKey& key, const HostTarget& client,
                                const Endpoint& local);
    /// Counts and drops a packet.
    void drop(Packet& packet, Counter& reason) {
        ++reason;
        context_.chunks.unref(packet.frame);
    }
    /// Addresses of frames to the flow's namespace.
    Envelope envelope(const DatagramFlow& flow, const ReceivedOptions& options) const;
    Port& port_of(const DatagramFlow& flow) { return *context_.port(flow.key.port); }

    Context& context_;

  private:
    /// Makes a frame of a datagram; takes over `payload`. False when it does not belong here.
    virtual bool deliver(DatagramFlow& flow, Chain payload, const ReceivedOptions& options) = 0;
    /// Writes the first bytes of the upper layer, as the namespace sent it, of a packet whose queue
    /// entry (or quotation by the network) began with `original`; returns how many. `out` has room
    /// for max_quote bytes.
    virtual size_t quote(const DatagramFlow& flow, wire::Bytes original, uint32_t original_length,
                         wire::MutableBytes out) const = 0;

    DatagramFlow* create(const FlowKey& key, const HostTarget& target);
    void close(DatagramFlow& flow);
    bool evict_idle();
    void touch(DatagramFlow& flow);
    void unlink(DatagramFlow& flow);
    void queue_send(DatagramFlow& flow);
    void queue_read(DatagramFlow& flow);
    void retry_read_later(DatagramFlow& flow);
    void report_first(DatagramFlow& flow, int error, uint32_t mtu);
    void report(DatagramFlow& flow, const wire::IcmpError& error,
                const std::optional<wire::IpAddress>& offender, wire::Bytes original,
                uint32_t original_length);

    DatagramTraits traits_;
    Slab<DatagramFlow> slab_;
    DatagramFlow *oldest_ = nullptr, *newest_ = nullptr;  // one-shot flows by last activity
};

}  // namespace pasta::core
