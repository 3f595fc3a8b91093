#include "dataplane/host/tcp_sockets.hpp"

#include <linux/tcp.h>  // tcpi_min_rtt, which netinet/tcp.h lacks
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "dataplane/core/tcp_constants.hpp"
#include "dataplane/host/socket_address.hpp"
#include "dataplane/host/socket_option.hpp"

namespace pasta::host {

using core::SocketOpKind;
using core::SocketResult;

namespace {

/// Each is an optimisation or a nicety: a kernel that refuses one still serves the flow.
void set_up(int fd) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);  // the namespace's TCP has decided when to send
    set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1);  // RFC 6093: urgent data stays in the stream
}

/// Opens a socket and starts to connect it. On failure returns -1 with errno set.
int start_connect(const core::HostTarget& target) {
    const SocketAddress remote(target.address, target.port);
    const int fd = socket(remote.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    set_up(fd);
    bool ok = true;
    if (target.source) {
        const SocketAddress local(*target.source, 0);
        ok = bind(fd, local.get(), local.size()) == 0;
    }
    if (ok && (connect(fd, remote.get(), remote.size()) == 0 || errno == EINPROGRESS)) return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/// True when the peer's FIN is all that is left to read. A short read alone does not tell: it also
/// ends before urgent data.
bool at_eof(int fd) {
    uint8_t byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/// Data of a peer nearby waits in the socket as long as this worker is the slowest on its way, and
/// the kernel lets megabytes gather there, which the processor's caches have forgotten when they
/// are read. With this much room, 16 Gbit/s still fit into the longest round trip that counts as
/// near. Peers further away keep the kernel's own choice.
void bound_receive_queue(int fd) {
    constexpr uint32_t near_us = 250;
    constexpr int room = 512 << 10;
    tcp_info info{};
    socklen_t size = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return;
    if (size < offsetof(tcp_info, tcpi_min_rtt) + sizeof info.tcpi_min_rtt) return;
    if (info.tcpi_min_rtt >= near_us) return;
    set_receive_buffer(fd, room);
}

}  // namespace

void TcpSockets::execute(const core::SocketOp& op) {
    switch (op.kind) {
        case SocketOpKind::tcp_connect:
            return connect(op.flow);
        case SocketOpKind::tcp_send:
            return send(op.flow);
        case SocketOpKind::tcp_read:
            return read(op.flow);
        case SocketOpKind::tcp_shutdown: {
            const core::TcpFlow* flow = engine_.find(op.flow);
            if (flow != nullptr && flow->socket >= 0) shutdown(flow->socket, SHUT_WR);
            return;
        }
        case SocketOpKind::tcp_close:
            close(op.socket);
            return;
        case SocketOpKind::tcp_abort:
            return close_with_reset(op.socket);
        default:
            return;
    }
}

void TcpSockets::connect(core::FlowId id) {
    const core::TcpFlow* flow = engine_.find(id);
    if (flow == nullptr) return;
    const int fd = start_connect(engine_.target(*flow));
    if (fd < 0) return engine_.on_connect_failed(id, errno);
    engine_.on_socket(id, fd);
    if (!poller_.add(fd, id)) engine_.on_connect_failed(id, ENOMEM);
}

void TcpSockets::accept(const core::FlowKey& key, int fd) {
    const core::FlowId id = engine_.accept(key, fd);
    if (!id) return close_with_reset(fd);
    set_up(fd);
    if (!poller_.add(fd, id)) engine_.on_read(id, {}, SocketResult::error, ENOMEM);
}

void TcpSockets::on_ready(core::FlowId id, const core::Readiness& ready) {
    const core::TcpFlow* flow = engine_.find(id);
    if (flow == nullptr) return;
    if (flow->state != core::TcpState::connecting) return engine_.on_ready(id, ready);
    if (ready.error) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(flow->socket, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) return engine_.on_connect_failed(id, error);
    }
    if (!ready.writable) return;
    engine_.on_connected(id);
    engine_.on_ready(id, ready);
}

void TcpSockets::send(core::FlowId id) {
    const core::TcpFlow* flow = engine_.find(id);
    if (flow == nullptr || flow->socket < 0) return;
    core::ChunkArena& arena = context_.arena();
    size_t slots = 0, bytes = 0;
    for (core::ChunkId chunk = flow->to_sock.head; chunk != core::no_chunk && slots < max_slices;
         chunk = arena.meta(chunk).next) {
        const auto part = arena.bytes(chunk);
        iov_[slots++] = {part.data(), part.size()};
        bytes += part.size();
    }
    msghdr message{};
    message.msg_iov = iov_.data();
    message.msg_iovlen = slots;
    const ssize_t n = sendmsg(flow->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
        const bool all = static_cast<size_t>(n) == bytes;
        engine_.on_sent(id, static_cast<size_t>(n),
                        all ? SocketResult::done : SocketResult::would_block);
    } else if (errno == EAGAIN || errno == EINTR) {
        engine_.on_sent(id, 0, SocketResult::would_block);
    } else {
        engine_.on_sent(id, 0, SocketResult::error, errno);
    }
}

// Takes chunks for the plan and points iov_ into them; returns how many.
size_t TcpSockets::lay_out(const core::TcpReadPlan& plan) {
    core::ChunkArena& arena = context_.arena();
    size_t slots = 0;
    uint32_t segment_left = 0;
    for (uint32_t left = plan.bytes; left > 0 && slots < max_slices; ++slots) {
        const core::ChunkId id = context_.chunks.alloc();
        if (id == core::no_chunk) break;
        const bool first = segment_left == 0;
        if (first) segment_left = plan.segment;
        const size_t offset = first ? core::header_room : core::tx_metadata_size;
        const auto length = static_cast<uint32_t>(
            std::min<size_t>({core::chunk_size - offset, segment_left, left}));
        core::ChunkMeta& meta = arena.meta(id);
        meta.offset = static_cast<uint16_t>(offset);
        meta.len = static_cast<uint16_t>(length);
        meta.flags = first ? core::chunk_starts_segment : 0;
        iov_[slots] = {arena.data(id) + offset, length};
        chunks_[slots] = id;
        segment_left -= length;
        left -= length;
    }
    return slots;
}

// The first `bytes` of the chunks laid out; the rest of them are given back.
core::Chain TcpSockets::take_read(size_t slots, size_t bytes) {
    core::ChunkArena& arena = context_.arena();
    core::Chain data;
    for (size_t i = 0; i < slots; ++i) {
        core::ChunkMeta& meta = arena.meta(chunks_[i]);
        meta.len = static_cast<uint16_t>(std::min<size_t>(meta.len, bytes));
        bytes -= meta.len;
        if (meta.len != 0)
            data.append(arena, chunks_[i]);
        else
            context_.chunks.unref(chunks_[i]);
    }
    return data;
}

void TcpSockets::read(core::FlowId id) {
    core::TcpFlow* flow = engine_.find(id);
    if (flow == nullptr || flow->socket < 0) return;
    const size_t slots = lay_out(engine_.plan_read(*flow));
    if (slots == 0) return engine_.on_read(id, {}, SocketResult::no_chunks);
    size_t room = 0;
    for (size_t i = 0; i < slots; ++i)
        room += iov_[i].iov_len;
    msghdr message{};
    message.msg_iov = iov_.data();
    message.msg_iovlen = slots;
    const ssize_t n = recvmsg(flow->socket, &message, MSG_DONTWAIT);
    const int error = errno;
    const core::Chain data = take_read(slots, n > 0 ? static_cast<size_t>(n) : 0);
    if (n > 0) {
        if (data.bytes >= core::tcp_bulk_read && !flow->receive_bounded) {
            flow->receive_bounded = true;
            bound_receive_queue(flow->socket);
        }
        SocketResult result = data.bytes == room ? SocketResult::done : SocketResult::would_block;
        if (flow->sock_fin && at_eof(flow->socket)) result = SocketResult::eof;
        engine_.on_read(id, data, result);
    } else if (n == 0) {
        engine_.on_read(id, {}, SocketResult::eof);
    } else if (error == EAGAIN || error == EINTR) {
        engine_.on_read(id, {}, SocketResult::would_block);
    } else {
        engine_.on_read(id, {}, SocketResult::error, error);
    }
}

}  // namespace pasta::host
