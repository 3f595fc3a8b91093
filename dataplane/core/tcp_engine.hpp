// TCP of one shard (RFC 9293, with RFC 5681/6582 loss recovery, RFC 5961 and RFC 6298).
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/core/context.hpp"
#include "dataplane/core/guest_error.hpp"
#include "dataplane/core/slab.hpp"
#include "dataplane/core/tcp_flow.hpp"
#include "dataplane/wire/tcp.hpp"

namespace pasta::core {

/// How much the host side should read for a flow, and how to lay it out: segments of `segment`
/// payload bytes (the last may be shorter), the first chunk of each with header_room before its
/// payload, the following ones with tx_metadata_size.
struct TcpReadPlan {
    uint32_t bytes = 0;  ///< at most; 0 = nothing now
    uint32_t segment = 0;
};

/// How a read or write on a host socket ended.
enum class SocketResult : uint8_t {
    done,         ///< all that was asked for
    would_block,  ///< less than asked for: nothing more until the socket is reported ready
    eof,          ///< reading only: the peer has sent its FIN
    no_chunks,    ///< reading only: no free chunk to read into
    error,        ///< the connection is broken; the number tells how
};

class TcpEngine {
  public:
    TcpEngine(Context& context, size_t max_flows);
    TcpEngine(const TcpEngine&) = delete;
    TcpEngine& operator=(const TcpEngine&) = delete;
    ~TcpEngine();

    // From the namespace.
    /// Takes packet.frame.
    void on_packet(Packet& packet);
    /// False when no connection is concerned.
    bool on_unreachable(const GuestError& error);

    // From the host side. Stale ids are ignored.
    /// A client's connection, accepted on the host, for the namespace's port that `key` says
    /// (see inbound_key). The flow's socket is `socket` from now on; or, when there can be no such
    /// flow (counted), the id is false and the socket stays the caller's.
    FlowId accept(const FlowKey& key, SocketHandle socket);
    /// The socket that connect(2) is under way on.
    void on_socket(FlowId id, SocketHandle socket);
    void on_connected(FlowId id);
    /// `error` is an errno: of connect(2), or EMFILE and the like of socket(2).
    void on_connect_failed(FlowId id, int error);
    /// Not for flows that are still connecting.
    void on_ready(FlowId id, const Readiness& ready);
    /// The socket took `bytes` from the front of to_sock.
    void on_sent(FlowId id, size_t bytes, SocketResult result, int error = 0);
    /// `data` as TcpReadPlan says, with chunk_starts_segment set; ownership passes. It may come
    /// with SocketResult::eof, when nothing but the FIN is behind it.
    void on_read(FlowId id, Chain data, SocketResult result, int error = 0);

    // For the host side.
    TcpFlow* find(FlowId id) { return flows_.find(id); }
    /// Where to connect to.
    HostTarget target(const TcpFlow& flow);
    TcpReadPlan plan_read(const TcpFlow& flow);

    // Time.
    void on_deadline(FlowId id);
    /// Sends the acknowledgements that no data segment carried. Once per loop, after the host side
    /// had its turn, so that they carry the window as it is then.
    void flush_acks();

    /// Resets all flows of a namespace that is going away.
    void close_port(PortId port);
    size_t flows() const { return flows_.size(); }
    /// Chunks held by flows, for the conservation check.
    size_t chunks_held();

  private:
    using Header = wire::TcpHeader;

    // tcp_open.cpp: handshake and end.
    void on_unmatched(Packet& packet, const Header& header);
    void open(Packet& packet, const Header& header);
    TcpFlow* create(const FlowKey& key, const wire::MacAddress& guest_mac);
    void learn_from_syn(TcpFlow& flow, const Header& header);
    void on_segment_connecting(TcpFlow& flow, Packet& packet, const Header& header);
    void on_segment_syn_received(TcpFlow& flow, Packet& packet, const Header& header);
    void establish(TcpFlow& flow, const Header& header);
    void enter_time_wait(TcpFlow& flow);
    bool close_if_done(TcpFlow& flow);
    bool send_unreachable(const TcpFlow& flow, int error);
    void reset_to_tap(TcpFlow& flow);
    void abort(TcpFlow& flow);
    void release_socket(TcpFlow& flow, SocketOpKind how);
    void destroy(TcpFlow& flow);

    // tcp_accept.cpp: connections into the namespace.
    void on_segment_syn_sent(TcpFlow& flow, Packet& packet, const Header& header);
    void refused(TcpFlow& flow);

    // tcp_from_tap.cpp: segments in synchronised states, in the order of RFC 9293, 3.10.7.4.
    void on_segment(TcpFlow& flow, Packet& packet, const Header& header);
    bool acceptable(TcpFlow& flow, const Header& header, uint32_t length);
    bool process_rst_and_syn(TcpFlow& flow, const Header& header);
    bool process_ack(TcpFlow& flow, const Header& header, uint32_t payload_length);
    void on_new_ack(TcpFlow& flow, uint32_t ack);
    void on_duplicate_ack(TcpFlow& flow);
    void update_window(TcpFlow& flow, const Header& header);
    void process_payload(TcpFlow& flow, const Header& header, Chain& payload);
    void accept_payload(TcpFlow& flow, Chain& payload);
    void hold(TcpFlow& flow, Chain& payload);
    void keep_out_of_order(TcpFlow& flow, uint32_t seq, Chain& payload);
    void drain_out_of_order(TcpFlow& flow);
    void process_fin(TcpFlow& flow);
    void want_send(TcpFlow& flow);
    void shut_if_drained(TcpFlow& flow);
    void challenge(TcpFlow& flow);

    // tcp_to_tap.cpp: data from the host socket.
    void want_read(TcpFlow& flow);
    uint32_t send_room(const TcpFlow& flow) const;
    void on_sock_eof(TcpFlow& flow);
    void send_segments(TcpFlow& flow, Chain& data, bool fin);
    void send_segment(TcpFlow& flow, Chain& segment, uint8_t flags);
    void transmit(TcpFlow& flow, std::span<const Slice> slices);
    void retransmit(TcpFlow& flow);
    void on_loss(TcpFlow& flow);

    // tcp_build.cpp: headers.
    Header header_for(TcpFlow& flow, uint8_t flags, uint32_t seq);
    uint16_t advertise(TcpFlow& flow);
    uint32_t hold_limit(const TcpFlow& flow) const;
    uint32_t flight_limit(const TcpFlow& flow) const;
    void note_activity(TcpFlow& flow);
    uint32_t receive_room(const TcpFlow& flow) const;
    int32_t window_step(const TcpFlow& flow) const;
    bool window_update_due(const TcpFlow& flow) const;
    bool send_control(TcpFlow& flow, uint8_t flags, uint32_t seq);
    void send_syn(TcpFlow& flow);
    void send_reset_for(Packet& packet, const Header& header);
    size_t emit_headers(const TcpFlow& flow, const Header& header, uint32_t payload_length,
                        uint8_t* end);
    void queue_ack(TcpFlow& flow);
    void delay_ack(TcpFlow& flow);
    void offer_window(TcpFlow& flow);

    // tcp_timers.cpp
    void arm(TcpFlow& flow);
    void start_rto(TcpFlow& flow);
    void stop_rto(TcpFlow& flow);
    void measure_rtt(TcpFlow& flow, uint32_t ack);
    void on_rto(TcpFlow& flow);
    void probe_window(TcpFlow& flow);
    void on_keepalive(TcpFlow& flow);
    void start_persist_if_blocked(TcpFlow& flow);

    Context& context_;
    Slab<TcpFlow> flows_;
    std::vector<FlowId> acks_;
};

}  // namespace pasta::core
