// One TCP connection: our end of it towards the namespace, and the host socket it is mirrored on.
//
// The namespace talks to us as if we were its peer; the peer talks to the host's kernel. Each side
// is acknowledged by itself, so each byte is owned by somebody at any time:
//
//   namespace -> host   received in order: appended to `to_sock` and acknowledged; taken off when
//                       the socket accepts it. The window we advertise is the room that is left,
//                       and its right edge never moves back, so nothing inside it is dropped for
//                       want of a place. Behind a gap: kept in `out_of_order`.
//   host -> namespace   read from the socket into chunks only when it may be sent at once; kept in
//                       `to_tap` until acknowledged, so retransmission needs no system call.
//
// States are those of RFC 9293, 3.3.2 for our end towards the namespace. What may happen in which:
//
//   state         data from tap  data to tap  host socket             left by
//   connecting    no             no           connect(2) under way    its result, RST
//   syn_sent      no             no           accepted, not read      SYN,ACK, RST, timeout
//   syn_received  no             no           connected, not read     ACK of our SYN, RST, timeout
//   established   yes            yes          read and written        FIN either way, RST
//   fin_wait_1    yes            rtx only     written, at EOF         ACK of our FIN, FIN
//   fin_wait_2    yes            no           written, at EOF         FIN
//   close_wait    no             yes          read; shut for writing  EOF of the socket
//   closing       no             rtx only     closed when drained     ACK of our FIN
//   last_ack      no             rtx only     closed when drained     ACK of our FIN
//   time_wait     no             no           closed                  time
//
// A connection that the namespace opens begins in connecting, one that it gets from a client of
// the host in syn_sent.
//
// Between the FIN of the namespace and shutdown(2) of the socket `to_sock` drains first.
#pragma once

#include <cstdint>

#include "dataplane/core/chunk.hpp"
#include "dataplane/core/flow.hpp"
#include "dataplane/core/socket_op.hpp"
#include "dataplane/core/time.hpp"
#include "dataplane/core/timer_wheel.hpp"

namespace pasta::core {

enum class TcpState : uint8_t {
    connecting,
    syn_sent,
    syn_received,
    established,
    fin_wait_1,
    fin_wait_2,
    close_wait,
    closing,
    last_ack,
    time_wait,
};

/// ChunkMeta::flags of chunks in `to_tap` and in data that the host side read: the first chunk of
/// a segment, whose payload has header_room before it.
inline constexpr uint8_t chunk_starts_segment = 1;

struct TcpFlow {
    FlowId id;
    FlowKey key;
    TcpState state = TcpState::connecting;
    wire::MacAddress guest_mac;
    SocketHandle socket = -1;

    // From the namespace. Sequence numbers as on the wire.
    uint32_t rcv_nxt = 0;
    uint32_t rcv_edge = 0;  ///< right edge of the window last advertised; in syn_sent its size
    uint32_t last_ack = 0;  ///< last acknowledgement sent
    uint32_t fin_seq = 0;   ///< valid if fin_seen
    Chain to_sock;          ///< in order, not taken by the socket yet
    Chain out_of_order;     ///< beyond rcv_nxt; ChunkMeta::seq is the first byte's number

    // Towards the namespace.
    uint32_t iss = 0;
    uint32_t snd_una = 0;
    uint32_t snd_nxt = 0;
    uint32_t snd_wnd = 0;               ///< bytes, scaled
    uint32_t snd_wl1 = 0, snd_wl2 = 0;  ///< segment of the last window update (RFC 9293, 3.3.1)
    uint32_t max_snd_wnd = 0;
    uint32_t cwnd = 0;        ///< in flight at most, bytes; lowered by losses
    uint32_t recover = 0;     ///< recovery ends when this is acknowledged (RFC 6582)
    Chain to_tap;             ///< sent, not acknowledged
    uint32_t mss_to_tap = 0;  ///< payload bytes per segment
    uint8_t snd_scale = 0;    ///< shift of the windows we receive
    uint8_t rcv_scale = 0;    ///< shift of the windows we send
    uint8_t duplicate_acks = 0;
    uint8_t retries = 0;  ///< retransmissions or probes since the last progress

    // What is going on. Bits that no state tells.
    bool peer_scales : 1 = false;      ///< the namespace offered window scaling
    bool writable : 1 = false;         ///< the socket took everything at the last attempt
    bool readable : 1 = false;         ///< the socket may have data or EOF
    bool send_queued : 1 = false;      ///< a tcp_send is in SocketOps
    bool read_queued : 1 = false;      ///< a tcp_read is in SocketOps
    bool ack_queued : 1 = false;       ///< listed for flush_acks()
    bool fin_seen : 1 = false;         ///< the namespace's FIN is at fin_seq, maybe behind a gap
    bool fin_from_tap : 1 = false;     ///< the namespace's FIN was received in order
    bool sock_shut : 1 = false;        ///< shutdown(SHUT_WR) asked for
    bool sock_hangup : 1 = false;      ///< the peer's EOF (or an error) waits behind unread data
    bool sock_fin : 1 = false;         ///< of these, the peer's FIN and no error so far
    bool sock_eof : 1 = false;         ///< the peer's EOF was read
    bool fin_to_tap : 1 = false;       ///< our FIN was sent
    bool receive_bounded : 1 = false;  ///< the host side's: the socket's queue was looked at
    bool recovering : 1 = false;       ///< between a loss and `recover`
    bool rtt_timing : 1 = false;       ///< rtt_seq is being timed (Karn: never a retransmission)

    // Times. Deadlines; `never` when off.
    Time rto_deadline = never;  ///< retransmission, window probe, or end of time_wait
    Time keepalive_deadline = never;
    Time ack_deadline = never;    ///< of an acknowledgement that waits for company
    Time retry_deadline = never;  ///< reading again after chunks ran out
    TimerHandle timer;
    Time rto = 0;
    Time srtt = 0, rttvar = 0;
    Time rtt_start = 0;
    uint32_t rtt_seq = 0;
    uint8_t keepalives = 0;  ///< unanswered
    Time last_challenge = 0;

    uint32_t share_mark = 0;  ///< LinkShare's
    uint32_t read_hint = 0;   ///< bytes to make room for at the next read

    bool handshake() const { return state <= TcpState::syn_received; }
    uint32_t in_flight() const { return snd_nxt - snd_una; }
    /// Our FIN was sent and acknowledged.
    bool fin_acked() const { return fin_to_tap && snd_una == snd_nxt; }
    /// Both FINs were sent and acknowledged: the namespace may have forgotten the connection, while
    /// the socket still takes what is held.
    bool tap_closed() const { return fin_from_tap && fin_acked(); }
};

}  // namespace pasta::core
