// What a shard counts. One list; each counter has one writer (the shard) and any readers.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace pasta::core {

// name, meaning. Frames are counted once each: forwarded into a flow, answered, or dropped with
// the reason.
#define PASTA_COUNTERS(X)                                                                  \
    X(frames_from_tap, "frames received from namespaces")                                  \
    X(frames_handed_over, "frames passed to the shard that owns their flow")               \
    X(frames_answered, "ARP, NDP and DHCP frames answered")                                \
    X(drop_truncated, "frames shorter than their headers need")                            \
    X(drop_bad_length, "frames whose length fields contradict each other")                 \
    X(drop_bad_checksum, "frames with a wrong IP, ICMPv6 or NDP checksum")                 \
    X(drop_bad_header, "frames with an invalid header field")                              \
    X(drop_extension_headers, "IPv6 extension-header chains too long or not understood")   \
    X(drop_fragment, "IP fragments that were invalid, duplicates or without room")         \
    X(drop_ethertype, "frames of other ethertypes")                                        \
    X(drop_protocol, "packets of other IP protocols")                                      \
    X(drop_address, "packets from or to addresses that cannot be served")                  \
    X(drop_ignored, "multicast, and ARP, NDP, DHCP or ICMP messages that need no answer")  \
    X(drop_disabled, "packets of protocols switched off by the configuration")             \
    X(drop_no_port, "frames of namespaces that are gone")                                  \
    X(drop_no_owner, "frames of new flows while shards changed their secret")              \
    X(drop_mailbox_full, "frames that could not be handed over")                           \
    X(drop_tx_full, "control frames for which the transmit queue had no room")             \
    X(drop_no_chunk, "frames that could not be made because no chunk was free")            \
    X(drop_flow_limit, "new flows refused because the flow table was full")                \
    X(fragments_kept, "IP fragments from namespaces kept for reassembly")                  \
    X(packets_reassembled, "packets from namespaces put together from fragments")          \
    X(reassembly_failed, "fragmented packets given up: late, overlapping or without room") \
    X(inbound_unanswerable, "clients whose address the namespace could not answer")        \
    X(inbound_handed_over, "clients passed to the shard that owns their flow")             \
    X(inbound_collision, "clients refused: another flow has their address and port")       \
    X(tcp_opened, "TCP connections established")                                           \
    X(tcp_accepted, "connections of clients begun with namespaces")                        \
    X(tcp_refused, "connections of clients that the namespace refused")                    \
    X(tcp_closed, "TCP connections ended in order")                                        \
    X(tcp_reset_from_tap, "TCP connections reset by the namespace")                        \
    X(tcp_reset_to_tap, "TCP connections reset towards the namespace")                     \
    X(tcp_connect_failed, "connections that the host could not make")                      \
    X(tcp_timed_out, "TCP connections given up after retransmissions or keepalives")       \
    X(tcp_no_flow, "segments without a connection, answered with RST")                     \
    X(tcp_retransmits, "segments retransmitted to namespaces")                             \
    X(tcp_fast_retransmits, "losses found by duplicate ACKs")                              \
    X(tcp_timeouts, "losses found by the retransmission timer")                            \
    X(tcp_zero_window_probes, "probes of a closed window")                                 \
    X(tcp_challenge_acks, "challenge ACKs sent (RFC 5961)")                                \
    X(tcp_out_of_order, "segments kept until a gap before them closes")                    \
    X(tcp_outside_window, "segments outside the window")                                   \
    X(tcp_bytes_to_sock, "payload bytes from namespaces to host sockets")                  \
    X(tcp_bytes_to_tap, "payload bytes from host sockets to namespaces")                   \
    X(tcp_send_blocked, "times that a host socket took less than was held for it")         \
    X(udp_flows, "UDP flows created")                                                      \
    X(udp_to_sock, "datagrams from namespaces to host sockets")                            \
    X(udp_to_tap, "datagrams from host sockets to namespaces")                             \
    X(udp_send_failed, "datagrams that the host did not take")                             \
    X(ip_fragmented, "packets to namespaces cut because the link's MTU is smaller")        \
    X(echo_flows, "ICMP echo flows created")                                               \
    X(echo_to_sock, "echo requests from namespaces")                                       \
    X(echo_to_tap, "echo replies to namespaces")                                           \
    X(icmp_errors_to_tap, "ICMP errors passed to namespaces")                              \
    X(icmp_errors_to_clients, "ICMP errors passed to clients of listeners")                \
    X(icmp_errors_unsent, "ICMP errors to clients left out: too many, or refused")         \
    X(listener_pauses, "times that a listener was left alone for want of descriptors")     \
    X(socket_exhausted, "host sockets that could not be opened (descriptors or memory)")   \
    X(splice_tcp_opened, "TCP connections made between loopbacks")                         \
    X(splice_tcp_closed, "TCP connections between loopbacks ended in order")               \
    X(splice_tcp_reset, "TCP connections between loopbacks reset by an end or by its end") \
    X(splice_tcp_failed, "TCP connections between loopbacks that the target refused")      \
    X(splice_udp_flows, "UDP flows between loopbacks created")                             \
    X(splice_udp_to_target, "datagrams of loopback clients passed on")                     \
    X(splice_udp_to_client, "datagrams passed back to loopback clients")                   \
    X(splice_udp_refused, "errors that loopback targets of datagrams answered with")       \
    X(splice_udp_dropped, "datagrams between loopbacks that no socket took")               \
    X(splice_bytes_to_namespace, "payload bytes from the host's to namespaces' loopback")  \
    X(splice_bytes_to_host, "payload bytes from namespaces' to the host's loopback")       \
    X(splice_exhausted, "spliced flows refused or ended for want of descriptors or memory")

/// A counter that only its shard adds to; readers on other threads may lag behind.
class Counter {
  public:
    void operator++() { add(1); }
    void add(uint64_t n) {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    uint64_t value() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<uint64_t> value_{0};
};

struct alignas(64) Counters {
#define PASTA_COUNTER_FIELD(name, meaning) Counter name;
    PASTA_COUNTERS(PASTA_COUNTER_FIELD)
#undef PASTA_COUNTER_FIELD

    /// Calls f(name, meaning, value) for each counter, in the order of the list.
    template <typename F>
    void for_each(F&& f) const {
#define PASTA_COUNTER_VISIT(name, meaning) \
    f(std::string_view{#name}, std::string_view{meaning}, name.value());
        PASTA_COUNTERS(PASTA_COUNTER_VISIT)
#undef PASTA_COUNTER_VISIT
    }
};

}  // namespace pasta::core
