#include "tests/sim/guest_tcp.hpp"

namespace pasta::sim {

using core::millisecond;
using core::second;
using core::Time;
using namespace wire;

namespace {
constexpr Time initial_rto = second, data_rto = 250 * millisecond, max_rto = 60 * second;
constexpr Time delayed_ack = 40 * millisecond;
constexpr Time time_wait = 2 * second;
constexpr Time keepalive_idle = 30 * second, keepalive_interval = 5 * second;
constexpr unsigned keepalive_probes = 20;
constexpr unsigned syn_retries = 7, data_retries = 25;
}  // namespace

GuestTcp::GuestTcp(const GuestTcpOptions& options, Random& random)
    : options_(options), random_(random), snd_una_(options.iss), snd_nxt_(options.iss) {}

void GuestTcp::complain(const std::string& what) {
    if (complaint_.empty())
        complaint_ = "port " + std::to_string(options_.guest_port) + ": " + what;
}

void GuestTcp::finish(End end) {
    state_ = State::closed;
    end_ = end;
    rto_deadline_ = ack_deadline_ = keepalive_deadline_ = core::never;
}

// The application.

void GuestTcp::connect(Time now) {
    state_ = State::syn_sent;
    send_syn(tcp_syn, now);
}

void GuestTcp::write(uint64_t bytes, Time now) {
    written_ += bytes;
    output(now);
}

void GuestTcp::close_write(Time now) {
    fin_wanted_ = true;
    output(now);
}

uint64_t GuestTcp::read(uint64_t bytes, Time now) {
    const uint64_t n = std::min(bytes, unread());
    consumed_ += n;
    if (!synchronised()) return n;
    // A window update is due for half the buffer or two segments (RFC 9293, 3.8.6.2.2).
    const uint32_t gain = rcv_nxt_ + window() - rcv_edge_;
    if (seq_gt(rcv_nxt_ + window(), rcv_edge_) &&
        gain >= std::min(options_.receive_buffer / 2, 2 * mss_))
        send_ack();
    output(now);
    return n;
}

void GuestTcp::abort() {
    if (synchronised()) emit(tcp_rst | tcp_ack, snd_nxt_);
    finish(End::aborted);
}

// Sending.

void GuestTcp::send_syn(uint8_t flags, Time now) {
    Header syn;
    syn.src_port = options_.guest_port;
    syn.dst_port = options_.peer_port;
    syn.seq = options_.iss;
    syn.ack = rcv_nxt_;
    syn.flags = flags;
    syn.window = static_cast<uint16_t>(std::min(options_.receive_buffer, 65535u));
    syn.mss = options_.mss;
    // An answer offers what the question did (RFC 7323, 1.3).
    if (flags == tcp_syn || snd_scale_known_) syn.window_scale = options_.window_scale;
    if (flags != tcp_syn) rcv_edge_ = rcv_nxt_ + syn.window;
    out_.push_back({syn, 0, 0});
    snd_nxt_ = options_.iss + 1;
    rto_deadline_ = now + (initial_rto << retries_);
}

uint32_t GuestTcp::window() const {
    const auto held = static_cast<uint32_t>(unread());
    const uint32_t room = options_.receive_buffer > held ? options_.receive_buffer - held : 0;
    // Never less than promised before.
    const uint32_t promised = seq_gt(rcv_edge_, rcv_nxt_) ? rcv_edge_ - rcv_nxt_ : 0;
    return std::min(std::max(room, promised), uint32_t{65535} << rcv_scale_);
}

GuestTcp::Header GuestTcp::header(uint8_t flags, uint32_t seq) {
    Header h;
    h.src_port = options_.guest_port;
    h.dst_port = options_.peer_port;
    h.seq = seq;
    h.flags = flags;
    h.ack = rcv_nxt_;
    h.window = static_cast<uint16_t>(window() >> rcv_scale_);
    rcv_edge_ = seq_max(rcv_edge_, rcv_nxt_ + (uint32_t{h.window} << rcv_scale_));
    unacknowledged_ = 0;
    ack_deadline_ = core::never;
    return h;
}

void GuestTcp::emit(uint8_t flags, uint32_t seq, uint32_t length) {
    out_.push_back({header(flags, seq), offset_of(seq), length});
}

void GuestTcp::output(Time now) {
    const bool may_send = state_ == State::established || state_ == State::close_wait;
    while (may_send && output_one(now)) {
    }
    // A closed window is probed (RFC 9293, 3.8.6.1).
    const bool blocked = may_send && !fin_sent_ && offset_of(snd_nxt_) < written_;
    if (blocked && in_flight() == 0 && rto_deadline_ == core::never) start_rto(now);
}

bool GuestTcp::output_one(Time now) {
    if (fin_sent_) return false;
    const uint64_t unsent = written_ - offset_of(snd_nxt_);
    const uint32_t limit = std::min(snd_wnd_, cwnd_);
    const uint32_t room = limit > in_flight() ? limit - in_flight() : 0;
    auto length = static_cast<uint32_t>(std::min<uint64_t>({unsent, room, mss_}));
    if (length < std::min<uint64_t>(unsent, mss_) && in_flight() != 0) return false;
    if (length == 0 && (unsent != 0 || !fin_wanted_)) return false;
    if (length > 1 && random_.chance(options_.short_segments))
        length = static_cast<uint32_t>(random_.between(1, length));
    const bool last = length == unsent && fin_wanted_ && (length == 0 || !options_.fin_alone);
    emit(last ? tcp_fin | tcp_ack : tcp_ack, snd_nxt_, length);
    snd_nxt_ += length;
    if (last) {
        ++snd_nxt_;
        fin_sent_ = true;
        state_ = state_ == State::established ? State::fin_wait_1 : State::last_ack;
    }
    if (rto_deadline_ == core::never || in_flight() == length) start_rto(now);
    return !fin_sent_;
}

// The first unacknowledged bytes again, cut as chance has it, and the FIN where it belongs.
void GuestTcp::retransmit() {
    if (snd_una_ == options_.iss) return emit(tcp_ack, snd_nxt_);
    const uint32_t data = in_flight() - (fin_sent_ ? 1 : 0);
    uint32_t length = std::min(data, mss_);
    if (length > 1 && random_.chance(options_.short_segments))
        length = static_cast<uint32_t>(random_.between(1, length));
    const bool fin = fin_sent_ && length == data && (data == 0 || !options_.fin_alone);
    emit(fin ? tcp_fin | tcp_ack : tcp_ack, snd_una_, length);
}

void GuestTcp::start_rto(Time now) {
    rto_deadline_ = now + std::min(data_rto << std::min(retries_, 10u), max_rto);
}

void GuestTcp::on_rto(Time now) {
    rto_deadline_ = core::never;
    if (state_ == State::time_wait) return finish(End::in_order);
    const unsigned limit = opening() ? syn_retries : data_retries;
    if (in_flight() != 0 && retries_ >= limit) return finish(End::timed_out);
    retries_ = std::min(retries_ + 1, 40u);
    if (state_ == State::syn_sent) return connect(now);
    if (state_ == State::syn_received) return send_syn(tcp_syn | tcp_ack, now);
    start_rto(now);
    if (in_flight() != 0) {
        recovering_ = true;
        recover_ = snd_nxt_;
        cwnd_ = 2 * mss_;
        retransmit();
    } else if (snd_wnd_ != 0) {
        output(now);
    } else if (options_.data_probes) {
        emit(tcp_ack, snd_nxt_, 1);
    } else {
        emit(tcp_ack, snd_nxt_ - 1);
    }
}

void GuestTcp::on_time(Time now) {
    if (ack_deadline_ <= now) send_ack();
    if (rto_deadline_ <= now) on_rto(now);
    if (keepalive_deadline_ > now) return;
    keepalive_deadline_ = now + keepalive_interval;
    if (++keepalives_ > keepalive_probes) return finish(End::timed_out);
    emit(tcp_ack, snd_una_ - 1);
}

Time GuestTcp::next_deadline() const {
    return std::min({rto_deadline_, ack_deadline_, keepalive_deadline_});
}

// Receiving.

void GuestTcp::on_segment(const Header& h, std::span<const uint8_t> payload, Time now) {
    if (state_ == State::closed) return;
    if (state_ == State::listen) return on_listen(h, now);
    if (state_ == State::syn_sent) return on_syn_sent(h, now);
    if (state_ == State::syn_received && !on_syn_received(h, now)) return;
    keepalive_deadline_ = now + keepalive_idle;
    keepalives_ = 0;
    if (!acceptable(h, static_cast<uint32_t>(payload.size()))) {
        if (!h.has(tcp_rst)) send_ack();
        return;
    }
    if (h.has(tcp_rst)) return on_reset(h);
    if (h.has(tcp_syn)) return send_ack();
    if (!h.has(tcp_ack)) return;
    if (!process_ack(h, payload.empty() && !h.has(tcp_fin), now)) return;
    if (!payload.empty()) process_payload(h.seq, payload, now);
    if (h.has(tcp_fin) && state_ != State::closed) {
        const uint64_t at = h.seq - irs_ - 1 + payload.size();
        if (fin_offset_ && *fin_offset_ != at) complain("the FIN moved");
        fin_offset_ = at;
        send_ack();
    }
    process_fin(now);
}

void GuestTcp::on_syn_sent(const Header& h, Time now) {
    if (!h.has(tcp_ack) || h.ack != options_.iss + 1) return;
    if (h.has(tcp_rst)) return finish(End::refused);
    if (!h.has(tcp_syn)) return;
    learn_from_syn(h);
    establish(h, h.window, now);
    send_ack();
    output(now);
}

void GuestTcp::learn_from_syn(const Header& h) {
    irs_ = h.seq;
    rcv_nxt_ = rcv_edge_ = h.seq + 1;
    snd_scale_known_ = h.window_scale.has_value();
    if (options_.window_scale && h.window_scale) {
        snd_scale_ = *h.window_scale;
        rcv_scale_ = *options_.window_scale;
    }
    mss_ = std::min<uint32_t>(h.mss.value_or(536), options_.link_mss);
}

void GuestTcp::establish(const Header& h, uint32_t window, Time now) {
    snd_una_ = h.ack;
    snd_wnd_ = window;
    snd_wl1_ = h.seq;
    snd_wl2_ = h.ack;
    cwnd_ = 10 * mss_;
    retries_ = 0;
    rto_deadline_ = core::never;
    keepalive_deadline_ = now + keepalive_idle;
    state_ = State::established;
}

void GuestTcp::on_listen(const Header& h, Time now) {
    if (h.has(tcp_rst)) return;
    if (h.has(tcp_ack) || !h.has(tcp_syn)) return complain("not a SYN for a listener");
    learn_from_syn(h);
    state_ = State::syn_received;
    send_syn(tcp_syn | tcp_ack, now);
}

// True when the segment established the connection and is to be processed as any other.
bool GuestTcp::on_syn_received(const Header& h, Time now) {
    if (h.has(tcp_rst)) {
        if (h.seq == rcv_nxt_) finish(End::reset);
        return false;
    }
    if (h.has(tcp_syn)) {
        if (h.seq != irs_) complain("another SYN");
        send_syn(tcp_syn | tcp_ack, now);
        return false;
    }
    if (!h.has(tcp_ack) || h.ack != snd_nxt_) {
        complain("a wrong answer to the SYN,ACK");
        return false;
    }
    establish(h, uint32_t{h.window} << snd_scale_, now);
    return true;
}

bool GuestTcp::acceptable(const Header& h, uint32_t length) {
    const uint32_t occupied = length + (h.has(tcp_syn) ? 1 : 0) + (h.has(tcp_fin) ? 1 : 0);
    const uint32_t edge = seq_max(rcv_edge_, rcv_nxt_);
    if (length != 0 && seq_gt(h.seq + length, edge))
        complain("data beyond the window: " + std::to_string(length) + " bytes at " +
                 std::to_string(h.seq - irs_ - 1) + ", received " + std::to_string(received_) +
                 ", edge " + std::to_string(edge - irs_ - 1));
    if (h.has(tcp_ack) && seq_gt(h.ack, snd_nxt_) && !options_.data_probes)
        complain("acknowledged what was never sent");
    return seq_geq(h.seq + occupied, rcv_nxt_) && seq_leq(h.seq, edge);
}

void GuestTcp::on_reset(const Header& h) {
    if (h.seq != rcv_nxt_) return send_ack();  // RFC 5961, 3.2
    const bool done =
        state_ == State::last_ack || state_ == State::closing || state_ == State::time_wait;
    finish(done ? End::in_order : End::reset);
}

bool GuestTcp::process_ack(const Header& h, bool bare, Time now) {
    // A probe's byte that found room after all.
    if (h.ack == snd_nxt_ + 1 && options_.data_probes && offset_of(snd_nxt_) < written_) ++snd_nxt_;
    if (seq_gt(h.ack, snd_nxt_)) {
        send_ack();
        return false;
    }
    const uint32_t window = uint32_t{h.window} << snd_scale_;
    const bool duplicate = bare && h.ack == snd_una_ && window == snd_wnd_ && in_flight() != 0;
    // As Linux: news of the window come with new ACKs, or with the youngest of the same ACK.
    const bool young = seq_lt(snd_wl1_, h.seq) || (snd_wl1_ == h.seq && seq_leq(snd_wl2_, h.ack));
    if (seq_gt(h.ack, snd_una_) || (h.ack == snd_una_ && young)) {
        snd_wnd_ = window;
        snd_wl1_ = h.seq;
        snd_wl2_ = h.ack;
        if (snd_wnd_ != 0 && in_flight() == 0 && state_ != State::time_wait) {
            retries_ = 0;
            rto_deadline_ = core::never;
        }
    }
    if (seq_gt(h.ack, snd_una_)) {
        on_new_ack(h.ack, now);
    } else if (duplicate && !recovering_ && ++duplicate_acks_ == 3) {
        recovering_ = true;
        recover_ = snd_nxt_;
        cwnd_ = std::max(in_flight() / 2, 2 * mss_);
        retransmit();
        start_rto(now);
    }
    if (fin_sent_ && snd_una_ == snd_nxt_) {
        if (state_ == State::fin_wait_1) state_ = State::fin_wait_2;
        if (state_ == State::last_ack) finish(End::in_order);
        if (state_ == State::closing) {
            state_ = State::time_wait;
            rto_deadline_ = now + time_wait;
        }
    }
    output(now);
    return state_ != State::closed;
}

void GuestTcp::on_new_ack(uint32_t ack, Time now) {
    cwnd_ = std::min(cwnd_ + (ack - snd_una_), 16u << 20);
    snd_una_ = ack;
    retries_ = duplicate_acks_ = 0;
    if (recovering_) {
        if (seq_geq(ack, recover_))
            recovering_ = false;
        else
            retransmit();
    }
    if (in_flight() != 0)
        start_rto(now);
    else
        rto_deadline_ = core::never;
}

void GuestTcp::process_payload(uint32_t seq, std::span<const uint8_t> payload, Time now) {
    const int32_t relative = seq_diff(seq, irs_ + 1 + static_cast<uint32_t>(received_));
    uint64_t start = static_cast<uint64_t>(static_cast<int64_t>(received_) + relative);
    const uint64_t end = start + payload.size();
    if (!options_.expected.matches(start, payload)) complain("wrong bytes");
    if (fin_offset_ && end > *fin_offset_) complain("data after the FIN");
    if (end <= received_) return send_ack();
    const bool gap = start > received_;
    start = std::max(start, received_);
    islands_[start] = std::max(islands_[start], end);
    for (auto first = islands_.begin(); first != islands_.end() && first->first <= received_;
         first = islands_.erase(first)) {
        if (first->second <= received_) continue;
        rcv_nxt_ += static_cast<uint32_t>(first->second - received_);
        received_ = first->second;
    }
    if (gap || !islands_.empty() || ++unacknowledged_ >= 2)
        send_ack();
    else
        ack_deadline_ = std::min(ack_deadline_, now + delayed_ack);
}

void GuestTcp::process_fin(Time now) {
    if (state_ == State::closed || eof_ || fin_offset_ != received_) return;
    eof_ = true;
    ++rcv_nxt_;
    send_ack();
    if (state_ == State::established) state_ = State::close_wait;
    if (state_ == State::fin_wait_1) state_ = State::closing;
    if (state_ == State::fin_wait_2) {
        state_ = State::time_wait;
        rto_deadline_ = now + time_wait;
    }
}

void GuestTcp::on_unreachable() {
    if (state_ == State::syn_sent) finish(End::refused);
}

}  // namespace pasta::sim
