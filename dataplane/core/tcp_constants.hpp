// Parameters of TCP towards the namespace, with where they come from.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/core/time.hpp"

namespace pasta::core {

/// Shift of the windows we advertise: up to 8 MiB.
inline constexpr uint8_t tcp_window_scale = 7;
/// A smaller MSS offered by the namespace counts as this (Linux's TCP_MIN_MSS): each segment costs
/// us a whole chunk.
inline constexpr uint32_t tcp_min_mss = 88;

/// RFC 6298, 2.1. Its lower bound of one second is for the internet; 200 ms is Linux's, above any
/// delayed ACK.
inline constexpr Time tcp_initial_rto = 1 * second;
inline constexpr Time tcp_min_rto = 200 * millisecond;
inline constexpr Time tcp_max_rto = 120 * second;
/// Linux's tcp_synack_retries and tcp_retries2.
inline constexpr uint8_t tcp_syn_retries = 5;
inline constexpr uint8_t tcp_data_retries = 15;

/// A keepalive crosses one virtual link, so it may be far more frequent than RFC 1122's two hours,
/// which are meant for the internet. It finds namespaces that lost our RST.
inline constexpr Time tcp_keepalive_idle = 120 * second;
/// Where nothing is missing but the namespace's FIN: mostly, one that will not send it has forgotten
/// the connection, and descriptors may be scarce.
inline constexpr Time tcp_keepalive_half_closed = 15 * second;
inline constexpr Time tcp_keepalive_interval = 15 * second;
inline constexpr uint8_t tcp_keepalive_probes = 9;

/// 2 MSL for a link that holds no segment longer than milliseconds: long enough to acknowledge a
/// retransmitted FIN (the first comes after 200 ms).
inline constexpr Time tcp_time_wait = 1 * second;
/// RFC 5961, 5: challenge ACKs of one connection are at least so far apart (as Linux).
inline constexpr Time tcp_challenge_interval = 500 * millisecond;
/// When chunks ran out, a socket is read again after this time.
inline constexpr Time tcp_retry_interval = 1 * millisecond;

/// Bounds of one read from a host socket: bytes, and segments (which bounds the iovec).
inline constexpr uint32_t tcp_min_read = 3072;
inline constexpr uint32_t tcp_max_read = 256u << 10;
inline constexpr uint32_t tcp_max_read_segments = 64;

/// A read of so much shows a flow that wants throughput.
inline constexpr uint32_t tcp_bulk_read = 64u << 10;

/// How long the acknowledgement of little data waits for a segment that could carry it, which an
/// answer of the peer does; and how much may be unacknowledged meanwhile, beside two segments (RFC
/// 5681, 4.2). RFC 9293, MUST-58 allows 500 ms; Linux waits 40.
inline constexpr Time tcp_ack_delay = 1 * millisecond;
inline constexpr uint32_t tcp_ack_delay_bytes = 4096;

/// With so much of the window left, who sends little does not wait for more.
inline constexpr int32_t tcp_ample_window = 32 << 10;

/// Payload of one segment for a link's MTU; room for options is left out as RFC 6691 says.
constexpr uint32_t tcp_mss_for_mtu(uint32_t mtu, bool v4) {
    const uint32_t headers = v4 ? 40 : 60;
    return mtu > headers + tcp_min_mss ? mtu - headers : tcp_min_mss;
}

}  // namespace pasta::core
