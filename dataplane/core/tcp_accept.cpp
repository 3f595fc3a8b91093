// TCP: connections that clients of the host make with a namespace. The client is connected already
// when the namespace gets its SYN; a namespace that refuses makes the client see a reset.

#include "dataplane/core/tcp_constants.hpp"
#include "dataplane/core/tcp_engine.hpp"

namespace pasta::core {

using wire::TcpHeader;

FlowId TcpEngine::accept(const FlowKey& key, SocketHandle socket) {
    const Port* port = context_.port(key.port);
    if (port == nullptr) return {};
    // In time_wait the namespace has forgotten the old connection, and the client used its port
    // again (RFC 9293, 3.10.7.4 allows it the other way round).
    TcpFlow* old = find(context_.table.find(key));
    if (old != nullptr && old->state == TcpState::time_wait) destroy(*old);
    if (context_.table.find(key)) {
        ++context_.counters.inbound_collision;
        return {};
    }
    TcpFlow* flow = create(key, port->guest_mac);
    if (flow == nullptr) return {};
    ++context_.counters.tcp_accepted;
    flow->state = TcpState::syn_sent;
    flow->socket = socket;
    flow->writable = true;
    send_syn(*flow);
    flow->snd_nxt = flow->iss + 1;
    start_rto(*flow);
    return flow->id;
}

// RFC 9293, 3.10.7.3, in its order: ACK, RST, SYN.
void TcpEngine::on_segment_syn_sent(TcpFlow& flow, Packet& packet, const TcpHeader& header) {
    const bool acknowledged = header.has(wire::tcp_ack);
    if (acknowledged && header.ack != flow.iss + 1) {
        if (header.has(wire::tcp_rst)) return;
        send_reset_for(packet, header);
        // The namespace remembered an older connection of these ports and has just been told to
        // forget it (RFC 9293, 3.5.1): why wait a second. But once only.
        if (flow.retries != 0) return;
        flow.retries = 1;
        retransmit(flow);
        return start_rto(flow);
    }
    if (header.has(wire::tcp_rst)) {
        if (acknowledged) refused(flow);
        return;
    }
    if (!header.has(wire::tcp_syn)) return;
    const uint32_t window = flow.rcv_edge;
    learn_from_syn(flow, header);
    flow.rcv_edge = flow.rcv_nxt + window;
    if (acknowledged) {
        establish(flow, header);
        queue_ack(flow);
    } else {
        flow.state = TcpState::syn_received;
        send_syn(flow);
    }
}

bool TcpEngine::on_unreachable(const GuestError& error) {
    TcpFlow* flow = find(context_.table.find(error.key));
    if (flow == nullptr) return false;
    // Later it would be a soft error (RFC 1122, 4.2.3.9), or a forged one (RFC 5927, 5.2).
    if (flow->state == TcpState::syn_sent && wire::load_be32(&error.upper[4]) == flow->iss)
        refused(*flow);
    return true;
}

void TcpEngine::refused(TcpFlow& flow) {
    ++context_.counters.tcp_refused;
    abort(flow);
}

}  // namespace pasta::core
