#include "dataplane/host/datagram_sockets.hpp"

#include <unistd.h>

#include <cerrno>

namespace pasta::host {

using core::SocketOpKind;

namespace {

OpenedSocket open_socket(const core::DatagramFlow& flow, SocketOpKind kind) {
    if (kind == SocketOpKind::echo_open) return open_echo(flow.key.guest_port, flow.target.address);
    return flow.local ? open_inbound_udp(*flow.local, flow.target)
                      : open_udp(flow.key.guest_port, flow.target);
}

}  // namespace

void DatagramSockets::execute(const core::SocketOp& op) {
    switch (op.kind) {
        case SocketOpKind::udp_open:
            return open(udp_, op.flow, op.kind);
        case SocketOpKind::udp_send:
            return send(udp_, op.flow);
        case SocketOpKind::udp_read:
            return read(udp_, op.flow);
        case SocketOpKind::udp_reject:
            return reject(op.flow);
        case SocketOpKind::echo_open:
            return open(echo_, op.flow, op.kind);
        case SocketOpKind::echo_send:
            return send(echo_, op.flow);
        case SocketOpKind::echo_read:
            return read(echo_, op.flow);
        case SocketOpKind::datagram_close:
            close(op.socket);
            return;
        default:
            assert(false && "an operation of TCP");
    }
}

void DatagramSockets::open(core::DatagramEngine& engine, core::FlowId id, SocketOpKind kind) {
    core::DatagramFlow* flow = engine.find(id);
    if (flow == nullptr) return;
    const OpenedSocket socket = open_socket(*flow, kind);
    if (socket.fd < 0) return engine.on_open_failed(id, socket.error);
    if (!poller_.add(socket.fd, id)) {
        close(socket.fd);
        return engine.on_open_failed(id, ENOMEM);
    }
    if (socket.mtu != 0) flow->open_mtu = socket.mtu;
    flow->raw = socket.raw;
    flow->host_id = socket.host_id;
    engine.on_opened(id, socket.fd);
}

void DatagramSockets::send(core::DatagramEngine& engine, core::FlowId id) {
    if (core::DatagramFlow* flow = engine.start_send(id)) sender_.send(engine, *flow);
}

void DatagramSockets::reject(core::FlowId id) {
    core::DatagramFlow* flow = udp_.find(id);
    if (flow == nullptr) return;
    const wire::Bytes message = arena_.bytes(flow->rejection.head);
    udp_.on_rejected(*flow, icmp_.send(message, flow->local->address, flow->target));
}

void DatagramSockets::read(core::DatagramEngine& engine, core::FlowId id) {
    if (core::DatagramFlow* flow = engine.start_read(id)) receiver_.read(engine, *flow);
}

}  // namespace pasta::host
