// TCP: retransmission (RFC 6298), window probes, keepalives.

#include "dataplane/core/tcp_constants.hpp"
#include "dataplane/core/tcp_engine.hpp"

namespace pasta::core {

using namespace wire;

// Tells the wheel if a deadline comes before what it knows; later ones are found when that fires.
void TcpEngine::arm(TcpFlow& flow) {
    flow.timer.arm(context_.timers, flow.id,
                   std::min({flow.rto_deadline, flow.keepalive_deadline, flow.retry_deadline,
                             flow.ack_deadline}));
}

void TcpEngine::start_rto(TcpFlow& flow) {
    const unsigned shift = std::min<unsigned>(flow.retries, 10);
    flow.rto_deadline = context_.now + std::min(flow.rto << shift, tcp_max_rto);
    arm(flow);
}

void TcpEngine::stop_rto(TcpFlow& flow) {
    flow.rto_deadline = never;
}

void TcpEngine::measure_rtt(TcpFlow& flow, uint32_t ack) {
    if (!flow.rtt_timing || seq_lt(ack, flow.rtt_seq)) return;
    flow.rtt_timing = false;
    const Time rtt = context_.now - flow.rtt_start;
    if (flow.srtt == 0) {
        flow.srtt = rtt;
        flow.rttvar = rtt / 2;
    } else {
        const Time delta = flow.srtt > rtt ? flow.srtt - rtt : rtt - flow.srtt;
        flow.rttvar = (3 * flow.rttvar + delta) / 4;
        flow.srtt = (7 * flow.srtt + rtt) / 8;
    }
    flow.rto = std::clamp(flow.srtt + std::max(TimerWheel::resolution, 4 * flow.rttvar),
                          tcp_min_rto, tcp_max_rto);
}

void TcpEngine::on_deadline(FlowId id) {
    TcpFlow* flow = find(id);
    if (flow == nullptr || !flow->timer.fired(context_.now)) return;
    if (flow->retry_deadline <= context_.now) {
        flow->retry_deadline = never;
        want_read(*flow);
    }
    if (flow->ack_deadline <= context_.now) queue_ack(*flow);
    if (flow->rto_deadline <= context_.now) {
        flow->rto_deadline = never;
        if (flow->state == TcpState::time_wait) return destroy(*flow);
        on_rto(*flow);
        if ((flow = find(id)) == nullptr) return;
    }
    if (flow->keepalive_deadline <= context_.now) {
        on_keepalive(*flow);
        if ((flow = find(id)) == nullptr) return;
    }
    arm(*flow);
}

// May destroy the flow.
void TcpEngine::on_rto(TcpFlow& flow) {
    if (flow.in_flight() == 0) return probe_window(flow);
    const uint8_t limit = flow.handshake() ? tcp_syn_retries : tcp_data_retries;
    // A namespace that shut its window over what is under way may leave it shut (RFC
    // 9293, 3.8.6.1); keepalives find out whether it is still there.
    const bool closed = flow.snd_wnd == 0 && !flow.handshake();
    if (flow.retries >= limit && !closed) {
        ++context_.counters.tcp_timed_out;
        return reset_to_tap(flow);
    }
    if (flow.retries < UINT8_MAX) ++flow.retries;
    ++context_.counters.tcp_timeouts;
    if (flow.handshake()) {
        retransmit(flow);
        return start_rto(flow);
    }
    on_loss(flow);
}

// Nothing is under way, so this was the timer of a closed window (RFC 9293, 3.8.6.1). The probe is
// an old sequence number without data, which the namespace must answer with its window; a
// namespace that answers may keep its window shut for ever.
void TcpEngine::probe_window(TcpFlow& flow) {
    if (flow.snd_wnd != 0) return want_read(flow);
    ++context_.counters.tcp_zero_window_probes;
    send_control(flow, tcp_ack, flow.snd_una - 1);
    if (flow.retries < UINT8_MAX) ++flow.retries;
    start_rto(flow);
}

void TcpEngine::start_persist_if_blocked(TcpFlow& flow) {
    if (flow.snd_wnd != 0 || flow.in_flight() != 0 || !flow.readable || flow.rto_deadline != never)
        return;
    if (flow.state == TcpState::established || flow.state == TcpState::close_wait) start_rto(flow);
}

// May destroy the flow.
void TcpEngine::on_keepalive(TcpFlow& flow) {
    if (flow.tap_closed()) {
        flow.keepalive_deadline = never;
        return;
    }
    if (flow.keepalives >= tcp_keepalive_probes) {
        ++context_.counters.tcp_timed_out;
        return reset_to_tap(flow);
    }
    ++flow.keepalives;
    send_control(flow, tcp_ack, flow.snd_una - 1);
    flow.keepalive_deadline = context_.now + tcp_keepalive_interval;
}

}  // namespace pasta::core
