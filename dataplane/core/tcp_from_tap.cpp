// TCP: segments from the namespace in synchronised states, checked in the order of RFC 9293,
// 3.10.7.4: sequence number, RST, SYN, ACK, payload, FIN. URG is ignored: there is no way to hand
// urgent data to a host socket in place, so it is delivered in line, as RFC 6093 advises.

#include <cstring>

#include "dataplane/core/chain.hpp"
#include "dataplane/core/tcp_constants.hpp"
#include "dataplane/core/tcp_engine.hpp"

namespace pasta::core {

using namespace wire;

namespace {

/// Payload up to this size is copied behind what is already held, when it fits there, so that a
/// namespace that sends small segments cannot make us hold a chunk for each.
constexpr uint16_t coalesce_limit = 1024;
/// Duplicate ACKs that mean a loss (RFC 5681).
constexpr uint8_t duplicate_ack_threshold = 3;

bool takes_payload(const TcpFlow& flow) {
    return flow.state == TcpState::established || flow.state == TcpState::fin_wait_1 ||
           flow.state == TcpState::fin_wait_2;
}

}  // namespace

void TcpEngine::on_segment(TcpFlow& flow, Packet& packet, const TcpHeader& header) {
    const uint32_t payload_length = packet.ip.payload_length - header.header_length;
    if (flow.state == TcpState::time_wait && header.has(tcp_syn) && !header.has(tcp_ack) &&
        seq_gt(header.seq, flow.rcv_nxt)) {
        destroy(flow);  // RFC 9293, 3.10.7.4: the same ports may be used again
        return on_unmatched(packet, header);
    }
    if (!acceptable(flow, header, payload_length)) return;
    if (!process_rst_and_syn(flow, header)) return;
    if (!header.has(tcp_ack) || !process_ack(flow, header, payload_length)) return;

    if (payload_length != 0 && takes_payload(flow)) {
        truncate(context_.chunks, packet.frame, packet.upper_offset + packet.ip.payload_length);
        trim_front(context_.chunks, packet.frame,
                   uint32_t{packet.upper_offset} + header.header_length);
        process_payload(flow, header, packet.frame);
    }
    if (header.has(tcp_fin)) {
        flow.fin_seen = true;
        flow.fin_seq = header.seq + payload_length;
        if (flow.state == TcpState::time_wait) flow.rto_deadline = context_.now + tcp_time_wait;
        queue_ack(flow);
    }
    process_fin(flow);
}

// False for a segment outside the window; it is answered with an ACK that says where we are.
bool TcpEngine::acceptable(TcpFlow& flow, const TcpHeader& header, uint32_t length) {
    const uint32_t end =
        header.seq + length + (header.has(tcp_syn) ? 1 : 0) + (header.has(tcp_fin) ? 1 : 0);
    // Not beyond the right edge, and not entirely before what we acknowledged: bare ACKs at either
    // edge carry news of the namespace's state and are taken.
    if (seq_leq(header.seq, flow.rcv_edge) && seq_geq(end, flow.last_ack)) return true;
    ++context_.counters.tcp_outside_window;
    if (!header.has(tcp_rst)) queue_ack(flow);
    return false;
}

bool TcpEngine::process_rst_and_syn(TcpFlow& flow, const TcpHeader& header) {
    if (header.has(tcp_rst)) {
        // Of a connection that the namespace has finished: what it sent still has to arrive.
        if (flow.tap_closed()) return false;
        // RFC 5961, 3.2: only an exact hit resets; a near miss may be forged.
        if (header.seq == flow.rcv_nxt) {
            ++context_.counters.tcp_reset_from_tap;
            abort(flow);
        } else {
            challenge(flow);
        }
        return false;
    }
    if (header.has(tcp_syn)) {
        challenge(flow);  // RFC 5961, 4.2
        return false;
    }
    return true;
}

// False when the segment goes no further; the flow may be gone then.
bool TcpEngine::process_ack(TcpFlow& flow, const TcpHeader& header, uint32_t payload_length) {
    // RFC 5961, 5.2: an ACK of something never sent, or of something too old to be real.
    if (seq_gt(header.ack, flow.snd_nxt) ||
        seq_lt(header.ack, flow.snd_una - std::max(flow.max_snd_wnd, 65535u))) {
        challenge(flow);
        return false;
    }
    const uint32_t window = uint32_t{header.window} << flow.snd_scale;
    const bool duplicate = header.ack == flow.snd_una && payload_length == 0 &&
                           window == flow.snd_wnd && flow.in_flight() != 0 && !header.has(tcp_fin);
    update_window(flow, header);
    if (seq_gt(header.ack, flow.snd_una))
        on_new_ack(flow, header.ack);
    else if (duplicate)
        on_duplicate_ack(flow);
    if (flow.fin_acked()) {
        if (flow.state == TcpState::fin_wait_1) {
            flow.state = TcpState::fin_wait_2;
            flow.keepalive_deadline = context_.now + tcp_keepalive_half_closed;
        }
        const bool fin_first = flow.state == TcpState::last_ack || flow.state == TcpState::closing;
        if (fin_first && close_if_done(flow)) return false;
    }
    want_read(flow);
    start_persist_if_blocked(flow);
    return true;
}

void TcpEngine::on_new_ack(TcpFlow& flow, uint32_t ack) {
    ChunkArena& arena = context_.arena();
    const uint32_t acked = ack - flow.snd_una;
    while (!flow.to_tap.empty()) {
        ChunkMeta& first = arena.meta(flow.to_tap.head);
        if (seq_gt(first.seq + first.len, ack)) {
            if (seq_lt(first.seq, ack)) {
                const uint32_t done = ack - first.seq;
                trim_front(context_.chunks, flow.to_tap, done);
                first.seq = ack;
            }
            break;
        }
        context_.chunks.unref(flow.to_tap.pop(arena));
    }
    measure_rtt(flow, ack);
    flow.snd_una = ack;
    flow.retries = 0;
    flow.duplicate_acks = 0;
    flow.cwnd = std::min(flow.cwnd + acked, flight_limit(flow));
    if (flow.recovering) {
        if (seq_geq(ack, flow.recover))
            flow.recovering = false;
        else
            retransmit(flow);  // RFC 6582: a partial ACK shows the next loss
    }
    if (flow.in_flight() != 0)
        start_rto(flow);
    else
        stop_rto(flow);
}

void TcpEngine::on_duplicate_ack(TcpFlow& flow) {
    if (flow.recovering || ++flow.duplicate_acks < duplicate_ack_threshold) return;
    ++context_.counters.tcp_fast_retransmits;
    on_loss(flow);
}

void TcpEngine::update_window(TcpFlow& flow, const TcpHeader& header) {
    // RFC 9293, 3.10.7.4; but always with a new ACK: snd_wl1 may be of a segment behind a gap, and
    // those that fill the gap later have lower numbers.
    if (seq_lt(header.ack, flow.snd_una)) return;
    if (header.ack == flow.snd_una && !seq_lt(flow.snd_wl1, header.seq) &&
        !(flow.snd_wl1 == header.seq && seq_leq(flow.snd_wl2, header.ack)))
        return;
    const bool was_closed = flow.snd_wnd == 0;
    flow.snd_wnd = uint32_t{header.window} << flow.snd_scale;
    flow.max_snd_wnd = std::max(flow.max_snd_wnd, flow.snd_wnd);
    flow.snd_wl1 = header.seq;
    flow.snd_wl2 = header.ack;
    const bool sending = flow.state == TcpState::established || flow.state == TcpState::close_wait;
    if (flow.snd_wnd == 0) return;
    if (flow.in_flight() != 0) {
        if (!was_closed) return;
        flow.retries = 0;  // what was sent into the closed window has its timer again
        start_rto(flow);
    } else if (sending) {
        flow.retries = 0;
        stop_rto(flow);  // no need to probe
    }
}

// Takes what lies inside the window out of `payload`.
void TcpEngine::process_payload(TcpFlow& flow, const TcpHeader& header, Chain& payload) {
    uint32_t seq = header.seq;
    if (seq_lt(seq, flow.rcv_nxt)) {
        const uint32_t known = flow.rcv_nxt - seq;
        if (known >= payload.bytes) return queue_ack(flow);
        trim_front(context_.chunks, payload, known);
        seq = flow.rcv_nxt;
    }
    const uint32_t room = flow.rcv_edge - seq;
    if (payload.bytes > room) truncate(context_.chunks, payload, room);
    if (payload.empty()) return queue_ack(flow);
    if (seq == flow.rcv_nxt) {
        accept_payload(flow, payload);
        const bool gap = !flow.out_of_order.empty();
        drain_out_of_order(flow);
        if (gap)
            queue_ack(flow);  // RFC 5681, 4.2: at once when it fills a gap
        else
            delay_ack(flow);
        want_send(flow);
    } else {
        keep_out_of_order(flow, seq, payload);
        // At once, one for each: duplicate ACKs are what tells the namespace of the gap.
        send_control(flow, tcp_ack, flow.snd_nxt);
    }
}

void TcpEngine::accept_payload(TcpFlow& flow, Chain& payload) {
    note_activity(flow);
    flow.rcv_nxt += payload.bytes;
    hold(flow, payload);
}

void TcpEngine::hold(TcpFlow& flow, Chain& payload) {
    ChunkArena& arena = context_.arena();
    // A host that takes nothing: chunks that are mostly empty would be a multiple of the limit.
    const bool crowded = size_t{flow.to_sock.count} * chunk_size > hold_limit(flow);
    while (!payload.empty()) {
        const ChunkId id = payload.pop(arena);
        const ChunkMeta& meta = arena.meta(id);
        if (!flow.to_sock.empty() && (crowded || meta.len <= coalesce_limit)) {
            ChunkMeta& last = arena.meta(flow.to_sock.tail);
            if (size_t{last.offset} + last.len + meta.len <= chunk_size) {
                std::memcpy(arena.data(flow.to_sock.tail) + last.offset + last.len,
                            arena.data(id) + meta.offset, meta.len);
                last.len = static_cast<uint16_t>(last.len + meta.len);
                flow.to_sock.bytes += meta.len;
                context_.chunks.unref(id);
                continue;
            }
        }
        flow.to_sock.append(arena, id);
    }
}

// Inserts by sequence number; what overlaps is sorted out when the gap closes.
void TcpEngine::keep_out_of_order(TcpFlow& flow, uint32_t seq, Chain& payload) {
    ++context_.counters.tcp_out_of_order;
    ChunkArena& arena = context_.arena();
    if (flow.out_of_order.count + payload.count > hold_limit(flow) / 1024) return;
    for (ChunkId id = payload.head; id != no_chunk; id = arena.meta(id).next) {
        arena.meta(id).seq = seq;
        seq += arena.meta(id).len;
    }
    Chain& kept = flow.out_of_order;
    if (kept.empty() || seq_leq(arena.meta(kept.tail).seq, arena.meta(payload.head).seq))
        return kept.append(arena, payload);
    Chain merged;
    while (!kept.empty() || !payload.empty()) {
        const bool take_kept =
            payload.empty() ||
            (!kept.empty() && seq_leq(arena.meta(kept.head).seq, arena.meta(payload.head).seq));
        merged.append(arena, (take_kept ? kept : payload).pop(arena));
    }
    kept = merged;
}

void TcpEngine::drain_out_of_order(TcpFlow& flow) {
    ChunkArena& arena = context_.arena();
    Chain& kept = flow.out_of_order;
    while (!kept.empty() && seq_leq(arena.meta(kept.head).seq, flow.rcv_nxt)) {
        const ChunkId id = kept.pop(arena);
        Chain one;
        one.append(arena, id);
        const uint32_t known = flow.rcv_nxt - arena.meta(id).seq;
        trim_front(context_.chunks, one, known);
        accept_payload(flow, one);
    }
}

// Takes the FIN once everything before it has arrived. May destroy the flow.
void TcpEngine::process_fin(TcpFlow& flow) {
    if (!flow.fin_seen || flow.fin_from_tap || flow.fin_seq != flow.rcv_nxt) return;
    flow.fin_from_tap = true;
    ++flow.rcv_nxt;
    queue_ack(flow);
    switch (flow.state) {
        case TcpState::established:
            flow.state = TcpState::close_wait;
            break;
        case TcpState::fin_wait_1:
        case TcpState::fin_wait_2:
            flow.state = TcpState::closing;
            break;
        default:
            break;
    }
    shut_if_drained(flow);
}

void TcpEngine::want_send(TcpFlow& flow) {
    if (flow.send_queued || !flow.writable || flow.to_sock.empty()) return;
    flow.send_queued = true;
    context_.ops.push({flow.id, SocketOpKind::tcp_send});
}

void TcpEngine::on_sent(FlowId id, size_t bytes, SocketResult result, int) {
    TcpFlow* flow = find(id);
    if (flow == nullptr) return;
    flow->send_queued = false;
    if (result == SocketResult::error) return reset_to_tap(*flow);
    context_.counters.tcp_bytes_to_sock.add(bytes);
    trim_front(context_.chunks, flow->to_sock, static_cast<uint32_t>(bytes));
    if (result == SocketResult::would_block) {
        flow->writable = false;
        ++context_.counters.tcp_send_blocked;
    }
    want_send(*flow);
    if (!flow->fin_from_tap && window_update_due(*flow)) offer_window(*flow);
    shut_if_drained(*flow);
}

// Passes the namespace's FIN on when all data before it is in the host's hands. May destroy.
void TcpEngine::shut_if_drained(TcpFlow& flow) {
    if (!flow.fin_from_tap || flow.sock_shut || !flow.to_sock.empty()) return;
    flow.sock_shut = true;
    if (flow.sock_eof)
        release_socket(flow, SocketOpKind::tcp_close);
    else
        context_.ops.push({flow.id, SocketOpKind::tcp_shutdown});
    close_if_done(flow);
}

void TcpEngine::on_ready(FlowId id, const Readiness& ready) {
    TcpFlow* flow = find(id);
    if (flow == nullptr || flow->state == TcpState::connecting) return;
    // The client gave up before the namespace answered.
    if (flow->state == TcpState::syn_sent && ready.error) return reset_to_tap(*flow);
    // A RST after the FIN: no read is to come that would tell, and maybe no write.
    if (ready.error && flow->sock_eof && !flow->sock_shut) return reset_to_tap(*flow);
    if (ready.writable || ready.error) flow->writable = true;
    if (ready.hangup || ready.error) flow->sock_hangup = true;
    if (ready.hangup && !ready.error) flow->sock_fin = true;
    if (ready.readable || ready.hangup || ready.error) flow->readable = true;
    want_send(*flow);
    want_read(*flow);
    start_persist_if_blocked(*flow);
}

void TcpEngine::challenge(TcpFlow& flow) {
    if (flow.last_challenge != 0 && context_.now - flow.last_challenge < tcp_challenge_interval)
        return;
    flow.last_challenge = context_.now;
    ++context_.counters.tcp_challenge_acks;
    queue_ack(flow);
}

}  // namespace pasta::core
