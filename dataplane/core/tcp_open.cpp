// TCP: how connections with the namespace begin and end.

#include "dataplane/core/frame_builder.hpp"
#include "dataplane/core/icmp_error.hpp"
#include "dataplane/core/tcp_constants.hpp"
#include "dataplane/core/tcp_engine.hpp"

namespace pasta::core {

using wire::TcpHeader;

namespace {

/// RFC 6528: a clock of 4 microseconds and a keyed hash of the connection.
uint32_t initial_sequence(const SipKey& secret, const FlowKey& key, Time now) {
    return static_cast<uint32_t>(now / (4 * microsecond) + hash(secret, key));
}

}  // namespace

TcpEngine::TcpEngine(Context& context, size_t max_flows)
    : context_(context), flows_(FlowKind::tcp, max_flows) {}

TcpEngine::~TcpEngine() {
    flows_.for_each([this](TcpFlow& flow) { destroy(flow); });
}

void TcpEngine::on_packet(Packet& packet) {
    const auto header = TcpHeader::parse(
        packet.upper.first(std::min<size_t>(packet.upper.size(), packet.ip.payload_length)));
    if (!header) {
        ++context_.counters.drop_bad_length;
        return context_.chunks.unref(packet.frame);
    }
    if (!servable(packet.ip.src, packet.ip.dst) || header->src_port == 0 || header->dst_port == 0 ||
        packet.link_multicast) {
        ++context_.counters.drop_address;
        return context_.chunks.unref(packet.frame);
    }
    const FlowKey key{packet.ip.src,    packet.ip.dst,         header->src_port,
                      header->dst_port, packet.port.config.id, wire::protocol_tcp};
    TcpFlow* flow = flows_.find(context_.table.find(key));
    if (flow == nullptr) {
        on_unmatched(packet, *header);
    } else {
        flow->guest_mac = packet.src_mac;
        flow->keepalive_deadline =
            context_.now +
            (flow->state == TcpState::fin_wait_2 ? tcp_keepalive_half_closed : tcp_keepalive_idle);
        flow->keepalives = 0;
        switch (flow->state) {
            case TcpState::connecting:
                on_segment_connecting(*flow, packet, *header);
                break;
            case TcpState::syn_sent:
                on_segment_syn_sent(*flow, packet, *header);
                break;
            case TcpState::syn_received:
                on_segment_syn_received(*flow, packet, *header);
                break;
            default:
                on_segment(*flow, packet, *header);
        }
    }
    context_.chunks.unref(packet.frame);
}

// A segment without a connection (RFC 9293, 3.10.7.1 and 3.10.7.2).
void TcpEngine::on_unmatched(Packet& packet, const TcpHeader& header) {
    if (header.has(wire::tcp_rst)) return;
    if (header.has(wire::tcp_syn) && !header.has(wire::tcp_ack)) {
        if (!header.has(wire::tcp_fin)) open(packet, header);
        return;
    }
    ++context_.counters.tcp_no_flow;
    send_reset_for(packet, header);
}

void TcpEngine::open(Packet& packet, const TcpHeader& header) {
    const FlowKey key{packet.ip.src,   packet.ip.dst,         header.src_port,
                      header.dst_port, packet.port.config.id, wire::protocol_tcp};
    TcpFlow* flow = create(key, packet.src_mac);
    if (flow == nullptr) return;
    learn_from_syn(*flow, header);
    flow->rcv_edge = flow->rcv_nxt;
    context_.ops.push({flow->id, SocketOpKind::tcp_connect});
}

// A flow without what the namespace's SYN tells; nullptr when there are too many.
TcpFlow* TcpEngine::create(const FlowKey& key, const wire::MacAddress& guest_mac) {
    TcpFlow* flow = flows_.create();
    if (flow == nullptr) {
        ++context_.counters.drop_flow_limit;
        return nullptr;
    }
    flow->key = key;
    flow->guest_mac = guest_mac;
    flow->iss = initial_sequence(context_.secrets.isn, key, context_.now);
    flow->snd_una = flow->snd_nxt = flow->iss;
    flow->cwnd = flight_limit(*flow);
    flow->rto = tcp_initial_rto;
    flow->read_hint = tcp_min_read;
    context_.table.insert(key, flow->id);
    return flow;
}

void TcpEngine::learn_from_syn(TcpFlow& flow, const TcpHeader& header) {
    flow.rcv_nxt = flow.last_ack = header.seq + 1;
    flow.peer_scales = header.window_scale.has_value();
    flow.snd_scale = header.window_scale.value_or(0);
    flow.rcv_scale = flow.peer_scales ? tcp_window_scale : 0;
    // RFC 9293, MUST-15: without the option, 536 for IPv4 and 1220 for IPv6.
    const bool v4 = flow.key.guest.is_v4();
    const uint32_t offered = header.mss.value_or(v4 ? 536 : 1220);
    const uint32_t mtu = context_.port(flow.key.port)->config.mtu;
    flow.mss_to_tap = std::min(std::max(offered, tcp_min_mss), tcp_mss_for_mtu(mtu, v4));
}

void TcpEngine::on_segment_connecting(TcpFlow& flow, Packet& packet, const TcpHeader& header) {
    if (header.has(wire::tcp_rst)) {
        // Sent by a namespace that gave up; acceptable like the reset of any SYN's sender.
        if (header.seq == flow.rcv_nxt) abort(flow);
        return;
    }
    const bool other_syn =
        header.has(wire::tcp_syn) && !header.has(wire::tcp_ack) && header.seq + 1 != flow.rcv_nxt;
    if (!other_syn) return;  // retransmitted SYN: connect(2) is still under way
    // The namespace gave up on the first connection and uses the port again.
    abort(flow);
    on_unmatched(packet, header);
}

void TcpEngine::on_socket(FlowId id, SocketHandle socket) {
    if (TcpFlow* flow = find(id)) flow->socket = socket;
}

void TcpEngine::on_connected(FlowId id) {
    TcpFlow* flow = find(id);
    if (flow == nullptr || flow->state != TcpState::connecting) return;
    flow->state = TcpState::syn_received;
    flow->writable = true;
    send_syn(*flow);
    flow->snd_nxt = flow->iss + 1;
    start_rto(*flow);
}

void TcpEngine::on_connect_failed(FlowId id, int error) {
    TcpFlow* flow = find(id);
    if (flow == nullptr || flow->state != TcpState::connecting) return;
    ++context_.counters.tcp_connect_failed;
    switch (error) {
        case ETIMEDOUT:
            break;  // as the network would: nothing
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
        case EAGAIN:
        case EADDRNOTAVAIL:
            // Ours to solve, not the namespace's to know: its next SYN tries again.
            ++context_.counters.socket_exhausted;
            break;
        default:
            // A refusal was a RST, not the ICMP error that it is for datagrams.
            if (error == ECONNREFUSED || !send_unreachable(*flow, error)) {
                ++context_.counters.tcp_reset_to_tap;
                send_control(*flow, wire::tcp_rst | wire::tcp_ack, 0);
            }
    }
    release_socket(*flow, SocketOpKind::tcp_close);
    destroy(*flow);
}

bool TcpEngine::send_unreachable(const TcpFlow& flow, int error) {
    const auto icmp = icmp_for_errno(error, flow.key.peer.is_v4());
    Port* port = context_.port(flow.key.port);
    if (!icmp || port == nullptr) return false;
    // The SYN as it came: ports and sequence number are what the namespace matches.
    std::array<uint8_t, TcpHeader::min_size> quoted{};
    TcpHeader syn;
    syn.src_port = flow.key.guest_port;
    syn.dst_port = flow.key.peer_port;
    syn.seq = flow.rcv_nxt - 1;
    syn.flags = wire::tcp_syn;
    syn.emit(quoted);
    send_icmp_error(context_, *port, flow.guest_mac,
                    {.error = *icmp,
                     .offender = std::nullopt,
                     .guest = flow.key.guest,
                     .peer = flow.key.peer,
                     .protocol = wire::protocol_tcp,
                     .upper_length = quoted.size(),
                     .upper = quoted});
    return true;
}

void TcpEngine::on_segment_syn_received(TcpFlow& flow, Packet& packet, const TcpHeader& header) {
    if (header.has(wire::tcp_rst)) {
        if (header.seq == flow.rcv_nxt) {
            ++context_.counters.tcp_reset_from_tap;
            abort(flow);
        } else if (wire::seq_in_window(header.seq, flow.rcv_nxt, flow.rcv_edge - flow.rcv_nxt)) {
            challenge(flow);
        }
        return;
    }
    if (header.has(wire::tcp_syn)) {
        if (header.seq + 1 != flow.rcv_nxt) return challenge(flow);
        if (!header.has(wire::tcp_ack) || header.ack != flow.iss + 1)
            return send_syn(flow);  // our SYN,ACK was lost
        establish(flow, header);    // both sides had sent a SYN (RFC 9293, 3.5)
        return queue_ack(flow);
    }
    if (!acceptable(flow, header, packet.ip.payload_length - header.header_length)) return;
    if (!header.has(wire::tcp_ack)) return;
    if (header.ack != flow.iss + 1) {
        send_reset_for(packet, header);
        return;
    }
    establish(flow, header);
    on_segment(flow, packet, header);
}

void TcpEngine::establish(TcpFlow& flow, const TcpHeader& header) {
    ++context_.counters.tcp_opened;
    flow.state = TcpState::established;
    flow.snd_una = header.ack;
    // Not scaled in a SYN (RFC 7323, 2.2).
    flow.snd_wnd = uint32_t{header.window} << (header.has(wire::tcp_syn) ? 0 : flow.snd_scale);
    flow.max_snd_wnd = flow.snd_wnd;
    flow.snd_wl1 = header.seq;
    flow.snd_wl2 = header.ack;
    flow.retries = 0;
    stop_rto(flow);
    arm(flow);
    want_read(flow);
}

// Ends the flow once nothing is left to do in either direction. True when it is gone.
bool TcpEngine::close_if_done(TcpFlow& flow) {
    if (!flow.fin_acked() || !flow.fin_from_tap || !flow.to_sock.empty()) return false;
    ++context_.counters.tcp_closed;
    if (flow.state != TcpState::last_ack) {
        enter_time_wait(flow);
        return false;
    }
    destroy(flow);
    return true;
}

void TcpEngine::enter_time_wait(TcpFlow& flow) {
    flow.state = TcpState::time_wait;
    release_socket(flow, SocketOpKind::tcp_close);
    flow.keepalive_deadline = never;
    flow.rto_deadline = context_.now + tcp_time_wait;
    arm(flow);
}

// The namespace reset the connection: its peer shall see a reset as well.
void TcpEngine::abort(TcpFlow& flow) {
    release_socket(flow, SocketOpKind::tcp_abort);
    destroy(flow);
}

// The host's side of the connection is broken.
void TcpEngine::reset_to_tap(TcpFlow& flow) {
    ++context_.counters.tcp_reset_to_tap;
    // To a SYN that was not answered there is nothing to acknowledge.
    const bool unanswered = flow.state == TcpState::syn_sent;
    send_control(flow, unanswered ? wire::tcp_rst : wire::tcp_rst | wire::tcp_ack, flow.snd_nxt);
    release_socket(flow, SocketOpKind::tcp_abort);
    destroy(flow);
}

void TcpEngine::release_socket(TcpFlow& flow, SocketOpKind how) {
    if (flow.socket < 0) return;
    context_.ops.push({flow.id, how, flow.socket});
    flow.socket = -1;
}

void TcpEngine::destroy(TcpFlow& flow) {
    context_.chunks.unref(flow.to_sock);
    context_.chunks.unref(flow.out_of_order);
    context_.chunks.unref(flow.to_tap);
    context_.table.erase(flow.key);
    flows_.destroy(flow);
}

void TcpEngine::close_port(PortId port) {
    flows_.for_each([&](TcpFlow& flow) {
        if (flow.key.port == port) abort(flow);
    });
}

size_t TcpEngine::chunks_held() {
    size_t sum = 0;
    flows_.for_each([&](TcpFlow& flow) {
        sum += flow.to_sock.count + flow.out_of_order.count + flow.to_tap.count;
    });
    return sum;
}

HostTarget TcpEngine::target(const TcpFlow& flow) {
    const Port* port = context_.port(flow.key.port);
    return port != nullptr ? host_target(port->config, flow.key.peer, flow.key.peer_port)
                           : HostTarget{flow.key.peer, flow.key.peer_port};
}

}  // namespace pasta::core
