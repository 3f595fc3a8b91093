// TCP: data from the host socket to the namespace, and its retransmission.

#include <array>

#include "dataplane/core/frame_builder.hpp"
#include "dataplane/core/tcp_constants.hpp"
#include "dataplane/core/tcp_engine.hpp"

namespace pasta::core {

using namespace wire;

namespace {

/// So often a segment may wait in the transmit queue of a port that does not drain. Each time is a
/// reference to its chunks, which have a small counter, and a namespace can ask for many.
constexpr uint8_t max_queued_copies = 16;

/// What to read at most so that no short segment ends up between full ones.
uint32_t whole_segments(uint32_t bytes, uint32_t segment) {
    return bytes > segment ? bytes - bytes % segment : bytes;
}

}  // namespace

// What may be sent now: the lesser of the window and our own budget, minus what is in flight.
uint32_t TcpEngine::send_room(const TcpFlow& flow) const {
    const uint32_t limit = std::min({flow.snd_wnd, flow.cwnd, flight_limit(flow)});
    const uint32_t in_flight = flow.in_flight();
    // A chunk may hold little payload when the MSS is small: bound the chunks as well.
    if (limit <= in_flight || flow.to_tap.count > flight_limit(flow) / 1024) return 0;
    const uint32_t room = limit - in_flight;
    // Sender's silly window avoidance (RFC 9293, 3.8.6.2.1): wait for room for a whole segment or
    // half of the largest window, unless nothing is under way that would open it.
    if (in_flight != 0 && room < flow.mss_to_tap && room < flow.max_snd_wnd / 2) return 0;
    return room;
}

void TcpEngine::want_read(TcpFlow& flow) {
    if (flow.read_queued || !flow.readable || flow.sock_eof) return;
    if (flow.state != TcpState::established && flow.state != TcpState::close_wait) return;
    if (send_room(flow) == 0) return;
    flow.read_queued = true;
    context_.ops.push({flow.id, SocketOpKind::tcp_read});
}

TcpReadPlan TcpEngine::plan_read(const TcpFlow& flow) {
    const Port* port = context_.port(flow.key.port);
    if (port == nullptr) return {};
    const auto room = static_cast<uint32_t>(port->tx.room());
    const uint32_t chunks_per_segment =
        static_cast<uint32_t>(flow.mss_to_tap / (chunk_size - header_room) + 2);
    const uint32_t segments = std::min(room / chunks_per_segment, tcp_max_read_segments);
    const uint32_t bytes =
        std::min({send_room(flow), flow.read_hint, tcp_max_read, segments * flow.mss_to_tap});
    return {whole_segments(bytes, flow.mss_to_tap), flow.mss_to_tap};
}

void TcpEngine::on_read(FlowId id, Chain data, SocketResult result, int) {
    TcpFlow* flow = find(id);
    if (flow == nullptr) return context_.chunks.unref(data);
    flow->read_queued = false;
    const uint32_t bytes = data.bytes;
    if (bytes != 0) note_activity(*flow);
    context_.counters.tcp_bytes_to_tap.add(bytes);
    send_segments(*flow, data, result == SocketResult::eof);
    // Follow the stream: make more room when all of it was used, less when little was.
    if (bytes >= whole_segments(flow->read_hint, flow->mss_to_tap))
        flow->read_hint = std::min(flow->read_hint * 4, tcp_max_read);
    else if (bytes < flow->read_hint / 4)
        flow->read_hint = std::max(flow->read_hint / 2, tcp_min_read);

    switch (result) {
        case SocketResult::done:
            want_read(*flow);
            break;
        case SocketResult::would_block:
            flow->readable = flow->sock_hangup;
            want_read(*flow);
            break;
        case SocketResult::no_chunks:
            flow->retry_deadline = context_.now + tcp_retry_interval;
            arm(*flow);
            break;
        case SocketResult::eof:
            return on_sock_eof(*flow);
        case SocketResult::error:
            return reset_to_tap(*flow);
    }
    start_persist_if_blocked(*flow);
}

// May destroy the flow.
void TcpEngine::on_sock_eof(TcpFlow& flow) {
    flow.sock_eof = true;
    flow.readable = false;
    flow.state = flow.state == TcpState::close_wait ? TcpState::last_ack : TcpState::fin_wait_1;
    if (!flow.fin_to_tap) send_control(flow, tcp_fin | tcp_ack, flow.snd_nxt);
    flow.fin_to_tap = true;
    ++flow.snd_nxt;
    start_rto(flow);
    if (flow.sock_shut) release_socket(flow, SocketOpKind::tcp_close);
}

// PSH where what was read ends, and the FIN with it if the peer's came along.
void TcpEngine::send_segments(TcpFlow& flow, Chain& data, bool fin) {
    ChunkArena& arena = context_.arena();
    while (!data.empty()) {
        Chain segment;
        do
            segment.append(arena, data.pop(arena));
        while (!data.empty() && (arena.meta(data.head).flags & chunk_starts_segment) == 0);
        const bool last = data.empty();
        if (last && fin) flow.fin_to_tap = true;
        const uint8_t ending = fin ? tcp_psh | tcp_fin : tcp_psh;
        send_segment(flow, segment, last ? tcp_ack | ending : tcp_ack);
    }
}

// Sends new data and keeps it. A frame that finds no room in the transmit queue counts as lost.
void TcpEngine::send_segment(TcpFlow& flow, Chain& segment, uint8_t flags) {
    ChunkArena& arena = context_.arena();
    const TcpHeader header = header_for(flow, flags, flow.snd_nxt);
    const ChunkMeta& first = arena.meta(segment.head);
    const size_t headers =
        emit_headers(flow, header, segment.bytes, arena.data(segment.head) + first.offset);

    std::array<Slice, max_tx_slices> slices;
    size_t n = 0;
    for (ChunkId id = segment.head; id != no_chunk; id = arena.meta(id).next) {
        arena.meta(id).seq = flow.snd_nxt;
        flow.snd_nxt += arena.meta(id).len;
        slices[n++] = arena.slice(id);
    }
    slices[0].offset = static_cast<uint16_t>(slices[0].offset - headers);
    slices[0].len = static_cast<uint16_t>(slices[0].len + headers);
    flow.ack_queued = false;
    if (!flow.rtt_timing) {
        flow.rtt_timing = true;
        flow.rtt_seq = flow.snd_nxt;
        flow.rtt_start = context_.now;
    }
    transmit(flow, {slices.data(), n});
    flow.to_tap.append(arena, segment);
    if (flow.rto_deadline == never) start_rto(flow);
}

// Queues a data frame whose chunks stay with the flow.
void TcpEngine::transmit(TcpFlow& flow, std::span<const Slice> slices) {
    Port* port = context_.port(flow.key.port);
    for (const Slice& slice : slices)
        context_.chunks.ref(slice.chunk);
    const auto csum_start = static_cast<uint16_t>(envelope_size(flow.key.guest));
    if (port != nullptr && port->tx.push(slices, csum_start, tcp_checksum_offset)) return;
    ++context_.counters.drop_tx_full;
    for (const Slice& slice : slices)
        context_.chunks.unref(slice.chunk);
}

// Sends the first unacknowledged segment again, in a frame of a new header and the kept payload.
void TcpEngine::retransmit(TcpFlow& flow) {
    ++context_.counters.tcp_retransmits;
    flow.rtt_timing = false;
    if (flow.handshake()) return send_syn(flow);
    if (flow.to_tap.empty()) {
        if (flow.fin_to_tap) send_control(flow, tcp_fin | tcp_ack, flow.snd_nxt - 1);
        return;
    }
    ChunkArena& arena = context_.arena();
    if (arena.meta(flow.to_tap.head).refs > max_queued_copies) return;
    std::array<Slice, max_tx_slices> slices;
    size_t n = 1;
    uint32_t bytes = 0;
    for (ChunkId id = flow.to_tap.head;
         id != no_chunk && n < slices.size() && bytes < flow.mss_to_tap; id = arena.meta(id).next) {
        Slice slice = arena.slice(id);
        slice.len = static_cast<uint16_t>(std::min<uint32_t>(slice.len, flow.mss_to_tap - bytes));
        bytes += slice.len;
        slices[n++] = slice;
    }
    const ChunkId head = alloc_frame(context_);
    if (head == no_chunk) return;
    const TcpHeader header = header_for(flow, tcp_ack | tcp_psh, flow.snd_una);
    const size_t headers = emit_headers(flow, header, bytes, arena.data(head) + header_room);
    slices[0] = {head, static_cast<uint16_t>(header_room - headers),
                 static_cast<uint16_t>(headers)};
    transmit(flow, {slices.data(), n});
    context_.chunks.unref(head);  // the transmit queue has its own reference
}

// Enters recovery: half the flight (RFC 5681), and the first segment again.
void TcpEngine::on_loss(TcpFlow& flow) {
    flow.recovering = true;
    flow.recover = flow.snd_nxt;
    flow.duplicate_acks = 0;
    flow.cwnd = std::max(flow.in_flight() / 2, 4 * flow.mss_to_tap);
    retransmit(flow);
    start_rto(flow);
}

}  // namespace pasta::core
