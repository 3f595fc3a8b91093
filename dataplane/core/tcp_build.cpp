// TCP: headers, acknowledgements and the windows in them.

#include <array>

#include "dataplane/core/frame_builder.hpp"
#include "dataplane/core/tcp_constants.hpp"
#include "dataplane/core/tcp_engine.hpp"
#include "dataplane/wire/checksum.hpp"

namespace pasta::core {

using namespace wire;

namespace {

/// Writes Ethernet, IP and TCP headers so that they end at `end`; returns their size. The checksum
/// field gets the pseudo-header's sum, to be completed on transmit.
size_t emit_frame_headers(const Envelope& envelope, TcpHeader header, uint32_t payload_length,
                          uint8_t* end) {
    const size_t tcp_size = tcp_header_size(header);
    const size_t size = envelope_size(envelope.dst) + tcp_size;
    const auto tcp_length = static_cast<uint32_t>(tcp_size + payload_length);
    header.checksum =
        checksum_fold(pseudo_header_sum(envelope.src, envelope.dst, protocol_tcp, tcp_length));
    emit_envelope(envelope, tcp_length, {end - size, size});
    header.emit({end - tcp_size, tcp_size});
    return size;
}

/// Queues a frame without payload; false when there is no chunk or no room for it.
bool send_bare(Context& context, Port& port, const Envelope& envelope, const TcpHeader& header) {
    const ChunkId id = alloc_frame(context);
    if (id == no_chunk) return false;
    const size_t size =
        emit_frame_headers(envelope, header, 0, context.arena().data(id) + header_room);
    queue_frame(context, port, id, static_cast<uint16_t>(header_room - size),
                static_cast<uint16_t>(size), static_cast<uint16_t>(envelope_size(envelope.dst)),
                tcp_checksum_offset);
    return true;
}

}  // namespace

size_t TcpEngine::emit_headers(const TcpFlow& flow, const TcpHeader& header,
                               uint32_t payload_length, uint8_t* end) {
    const Port* port = context_.port(flow.key.port);
    const MacAddress our_mac = port != nullptr ? port->config.our_mac : MacAddress{};
    return emit_frame_headers(
        {our_mac, flow.guest_mac, flow.key.peer, flow.key.guest, protocol_tcp}, header,
        payload_length, end);
}

// The least of what memory, the link and an unscaled window allow.
uint32_t TcpEngine::hold_limit(const TcpFlow& flow) const {
    const Port* port = context_.port(flow.key.port);
    if (port == nullptr) return 0;
    return std::min({context_.limits.hold_bytes, port->share.receive(),
                     flow.peer_scales ? UINT32_MAX : 65535u});
}

uint32_t TcpEngine::flight_limit(const TcpFlow& flow) const {
    const Port* port = context_.port(flow.key.port);
    return port == nullptr ? 0 : std::min(context_.limits.in_flight_bytes, port->share.transmit());
}

void TcpEngine::note_activity(TcpFlow& flow) {
    if (Port* port = context_.port(flow.key.port)) port->share.note(flow.share_mark, context_.now);
}

// Bytes that we could still hold for the flow.
uint32_t TcpEngine::receive_room(const TcpFlow& flow) const {
    const uint32_t limit = hold_limit(flow);
    const uint32_t held = flow.to_sock.bytes;
    return limit > held ? limit - held : 0;
}

// The window's right edge moves in steps of a segment, or of half the buffer where segments are as
// large as that (receiver's silly window avoidance, RFC 9293, 3.8.6.2.2).
int32_t TcpEngine::window_step(const TcpFlow& flow) const {
    return static_cast<int32_t>(std::min(flow.mss_to_tap, hold_limit(flow) / 2));
}

// The window field for a segment sent now. The right edge never moves back (RFC 9293, SHLD-14),
// but for the rounding of a scaled window, which is up only where there is room: else a namespace
// that sends less than the unit each time would find the window open for ever. What was promised
// before is taken all the same (RFC 7323, 2.4).
uint16_t TcpEngine::advertise(TcpFlow& flow) {
    const uint32_t room = receive_room(flow);
    uint32_t edge = flow.rcv_nxt + room;
    if (seq_diff(edge, flow.rcv_edge) < window_step(flow))
        edge = seq_max(flow.rcv_edge, flow.rcv_nxt);
    const uint32_t unit = 1u << flow.rcv_scale;
    const uint32_t rounded_up = (edge - flow.rcv_nxt + unit - 1) & ~(unit - 1);
    const uint32_t window = rounded_up <= room ? rounded_up : edge - flow.rcv_nxt;
    const uint32_t field = std::min(window >> flow.rcv_scale, 65535u);
    flow.rcv_edge = seq_max(flow.rcv_edge, flow.rcv_nxt + (field << flow.rcv_scale));
    return static_cast<uint16_t>(field);
}

// After the socket took data: true when the namespace should hear of the room without being asked.
bool TcpEngine::window_update_due(const TcpFlow& flow) const {
    const uint32_t edge = flow.rcv_nxt + receive_room(flow);
    const int32_t gain = seq_diff(edge, flow.rcv_edge);
    const int32_t left = seq_diff(flow.rcv_edge, flow.rcv_nxt);
    const int32_t step = window_step(flow);
    return gain >= static_cast<int32_t>(hold_limit(flow) / 4) || (left < 2 * step && gain >= step);
}

TcpHeader TcpEngine::header_for(TcpFlow& flow, uint8_t flags, uint32_t seq) {
    TcpHeader header;
    header.src_port = flow.key.peer_port;
    header.dst_port = flow.key.guest_port;
    header.seq = seq;
    header.flags = flags;
    if (header.has(tcp_ack)) {
        header.ack = flow.rcv_nxt;
        header.window = advertise(flow);
        flow.last_ack = flow.rcv_nxt;
        flow.ack_deadline = never;
    }
    return header;
}

// A segment without payload; carries the current acknowledgement. False when there was no chunk.
bool TcpEngine::send_control(TcpFlow& flow, uint8_t flags, uint32_t seq) {
    Port* port = context_.port(flow.key.port);
    if (port == nullptr) return false;
    const Envelope envelope{port->config.our_mac, flow.guest_mac, flow.key.peer, flow.key.guest,
                            protocol_tcp};
    flow.ack_queued = false;
    return send_bare(context_, *port, envelope, header_for(flow, flags, seq));
}

// Our SYN, which acknowledges the namespace's where there was one.
void TcpEngine::send_syn(TcpFlow& flow) {
    Port* port = context_.port(flow.key.port);
    if (port == nullptr) return;
    TcpHeader header;
    header.src_port = flow.key.peer_port;
    header.dst_port = flow.key.guest_port;
    header.seq = flow.iss;
    const bool first = flow.state == TcpState::syn_sent;
    if (!first) header.ack = flow.rcv_nxt;
    header.flags = first ? tcp_syn : tcp_syn | tcp_ack;
    // Not scaled in a SYN (RFC 7323, 2.2).
    header.window = static_cast<uint16_t>(std::min(receive_room(flow), 65535u));
    flow.rcv_edge = seq_max(flow.rcv_edge, flow.rcv_nxt + header.window);
    flow.last_ack = flow.rcv_nxt;
    header.mss = static_cast<uint16_t>(tcp_mss_for_mtu(port->config.mtu, flow.key.guest.is_v4()));
    if (first || flow.peer_scales) header.window_scale = tcp_window_scale;
    const Envelope envelope{port->config.our_mac, flow.guest_mac, flow.key.peer, flow.key.guest,
                            protocol_tcp};
    send_bare(context_, *port, envelope, header);
}

// The reset that answers a segment of no connection (RFC 9293, 3.10.7.1).
void TcpEngine::send_reset_for(Packet& packet, const TcpHeader& in) {
    TcpHeader header;
    header.src_port = in.dst_port;
    header.dst_port = in.src_port;
    if (in.has(tcp_ack)) {
        header.seq = in.ack;
        header.flags = tcp_rst;
    } else {
        header.ack = in.seq + packet.ip.payload_length - in.header_length +
                     (in.has(tcp_syn) ? 1 : 0) + (in.has(tcp_fin) ? 1 : 0);
        header.flags = tcp_rst | tcp_ack;
    }
    const Envelope envelope{packet.port.config.our_mac, packet.src_mac, packet.ip.dst,
                            packet.ip.src, protocol_tcp};
    send_bare(context_, packet.port, envelope, header);
}

// Of data that came in order (RFC 5681, 4.2): soon, if there is little of it.
void TcpEngine::delay_ack(TcpFlow& flow) {
    const uint32_t limit = std::min(2 * flow.mss_to_tap, tcp_ack_delay_bytes);
    if (context_.ack_delay == 0 || flow.rcv_nxt - flow.last_ack >= limit) return queue_ack(flow);
    if (flow.ack_queued || flow.ack_deadline != never) return;
    flow.ack_deadline = context_.now + context_.ack_delay;
    arm(flow);
}

// Tells of room: at once to who may be waiting for it. A namespace that has sent little into the
// window of a SYN, which is small because it cannot be scaled, is not.
void TcpEngine::offer_window(TcpFlow& flow) {
    if (seq_diff(flow.rcv_edge, flow.rcv_nxt) >= tcp_ample_window)
        delay_ack(flow);
    else
        queue_ack(flow);
}

void TcpEngine::queue_ack(TcpFlow& flow) {
    if (flow.ack_queued) return;
    flow.ack_queued = true;
    acks_.push_back(flow.id);
}

void TcpEngine::flush_acks() {
    for (const FlowId id : acks_) {
        TcpFlow* flow = find(id);
        if (flow != nullptr && flow->ack_queued) send_control(*flow, tcp_ack, flow->snd_nxt);
    }
    acks_.clear();
}

}  // namespace pasta::core
