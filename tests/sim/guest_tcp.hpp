// A TCP of a namespace, for simulations: plain RFC 9293 with NewReno, written from the RFCs and
// without a line of the engine's, so that the two check each other.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/core/time.hpp"
#include "dataplane/wire/tcp.hpp"
#include "tests/sim/pattern.hpp"
#include "tests/sim/random.hpp"

namespace pasta::sim {

struct GuestTcpOptions {
    uint16_t guest_port = 0, peer_port = 0;
    uint32_t iss = 0;
    std::optional<uint16_t> mss;          ///< offered
    std::optional<uint8_t> window_scale;  ///< offered
    uint32_t link_mss = 1460;             ///< what the link can carry
    uint32_t receive_buffer = 65536;
    bool data_probes = false;   ///< probe closed windows with a byte beyond them, as BSD does
    bool fin_alone = false;     ///< never on a segment with data
    double short_segments = 0;  ///< probability of a segment that is shorter than it could be
    Pattern sent{0}, expected{0};
};

/// A segment to send; its payload is sent.at(offset, length).
struct GuestSegment {
    wire::TcpHeader header;
    uint64_t offset = 0;
    uint32_t length = 0;
};

class GuestTcp {
  public:
    enum class State : uint8_t {
        listen,
        syn_sent,
        syn_received,
        established,
        fin_wait_1,
        fin_wait_2,
        close_wait,
        closing,
        last_ack,
        time_wait,
        closed,
    };
    /// How it ended, once closed.
    enum class End : uint8_t { none, in_order, refused, reset, aborted, timed_out };

    GuestTcp(const GuestTcpOptions& options, Random& random);

    // The application.
    void connect(core::Time now);
    void listen() { state_ = State::listen; }
    void write(uint64_t bytes, core::Time now);
    void close_write(core::Time now);
    /// Takes up to `bytes` from the receive buffer; returns how many.
    uint64_t read(uint64_t bytes, core::Time now);
    void abort();
    State state() const { return state_; }
    /// Before the connection exists.
    bool opening() const { return state_ <= State::syn_received; }
    End end() const { return end_; }
    uint64_t unread() const { return received_ - consumed_; }
    /// Bytes received in order.
    uint64_t received() const { return received_; }
    /// The peer's FIN was received in order.
    bool eof() const { return eof_; }

    // The network.
    void on_segment(const wire::TcpHeader& header, std::span<const uint8_t> payload,
                    core::Time now);
    void on_unreachable();
    void on_time(core::Time now);
    core::Time next_deadline() const;
    std::vector<GuestSegment> take_segments() { return std::exchange(out_, {}); }

    /// What the peer did that TCP does not allow, or a wrong byte; empty = nothing.
    const std::string& complaint() const { return complaint_; }

  private:
    using Header = wire::TcpHeader;

    bool synchronised() const { return !opening() && state_ != State::closed; }
    uint32_t window() const;
    uint64_t offset_of(uint32_t seq) const { return seq - options_.iss - 1; }
    uint32_t in_flight() const { return snd_nxt_ - snd_una_; }
    void complain(const std::string& what);
    void finish(End end);

    // Sending.
    Header header(uint8_t flags, uint32_t seq);
    void emit(uint8_t flags, uint32_t seq, uint32_t length = 0);
    void send_syn(uint8_t flags, core::Time now);
    void send_ack() { emit(wire::tcp_ack, snd_nxt_); }
    void output(core::Time now);
    bool output_one(core::Time now);
    void retransmit();
    void start_rto(core::Time now);
    void on_rto(core::Time now);

    // Receiving.
    void learn_from_syn(const Header& header);
    void establish(const Header& header, uint32_t window, core::Time now);
    void on_syn_sent(const Header& header, core::Time now);
    void on_listen(const Header& header, core::Time now);
    bool on_syn_received(const Header& header, core::Time now);
    bool acceptable(const Header& header, uint32_t length);
    void on_reset(const Header& header);
    bool process_ack(const Header& header, bool bare, core::Time now);
    void on_new_ack(uint32_t ack, core::Time now);
    void process_payload(uint32_t seq, std::span<const uint8_t> payload, core::Time now);
    void process_fin(core::Time now);

    const GuestTcpOptions options_;
    Random& random_;
    State state_ = State::closed;
    End end_ = End::none;
    std::string complaint_;
    std::vector<GuestSegment> out_;

    // To the peer.
    uint64_t written_ = 0;  ///< by the application
    bool fin_wanted_ = false, fin_sent_ = false;
    uint32_t snd_una_, snd_nxt_;
    uint32_t snd_wnd_ = 0, snd_wl1_ = 0, snd_wl2_ = 0;
    uint8_t snd_scale_ = 0, rcv_scale_ = 0;
    bool snd_scale_known_ = false;  ///< the peer offered scaling
    uint32_t mss_ = 536;
    uint32_t cwnd_ = 0, recover_ = 0;
    bool recovering_ = false;
    unsigned duplicate_acks_ = 0, retries_ = 0;

    // From the peer.
    uint32_t irs_ = 0, rcv_nxt_ = 0, rcv_edge_ = 0;
    uint64_t received_ = 0, consumed_ = 0;
    std::map<uint64_t, uint64_t> islands_;  ///< out of order: start and end offsets
    std::optional<uint64_t> fin_offset_;
    bool eof_ = false;
    unsigned unacknowledged_ = 0;  ///< segments received since the last ACK

    core::Time rto_deadline_ = core::never;
    core::Time ack_deadline_ = core::never;
    core::Time keepalive_deadline_ = core::never;
    unsigned keepalives_ = 0;
};

}  // namespace pasta::sim
