#include "dataplane/splice/tcp_splice.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "dataplane/host/socket_option.hpp"
#include "dataplane/splice/socket_open.hpp"

namespace pasta::splice {

namespace {

/// A stream that moved this much in a turn is likely to move as much in the next.
constexpr size_t bulk_bytes = 4 * TcpSplice::small;

/// Of a socket that has an error: whether it had been connected before.
bool was_connected(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error == ECONNRESET || error == EPIPE;
}

}  // namespace

TcpSplice::~TcpSplice() {
    pairs_.for_each([this](TcpPair& pair) { abort(pair, counters_.splice_tcp_reset); });
}

void TcpSplice::start(int client, const Endpoint& from, const Destination& to) {
    TcpPair* pair = pairs_.create();
    const int target = pair != nullptr ? open_tcp(sockets_, to, from) : -ENOMEM;
    if (target < 0) {
        ++(core::is_exhaustion(-target) ? counters_.splice_exhausted : counters_.splice_tcp_failed);
        host::close_with_reset(client);
        if (pair != nullptr) pairs_.destroy(*pair);
        return;
    }
    pair->to = to;
    pair->client = {.fd = client, .readable = true, .writable = true};
    pair->target = {.fd = target};
    const core::FlowId id = pair->id;
    const core::FlowId target_id(core::FlowKind::splice_tcp_target, id.index, id.generation);
    // On loopback, connect(2) is over when it returns: the next events tell.
    if (!poller_.add(client, id) || !poller_.add(target, target_id))
        abort(*pair, counters_.splice_exhausted);
}

void TcpSplice::on_ready(core::FlowId id, const core::Readiness& ready) {
    TcpPair* pair = pairs_.find({core::FlowKind::splice_tcp_client, id.index, id.generation});
    if (pair == nullptr) return;
    const bool is_client = id.kind() == core::FlowKind::splice_tcp_client;
    TcpEnd& end = is_client ? pair->client : pair->target;
    end.readable |= ready.readable || ready.hangup;
    end.writable |= ready.writable;
    end.finished |= ready.hangup && !ready.failed;
    end.urgent |= ready.urgent;
    // A hang-up alone is an end: a socket that has both sent and received a FIN reports one.
    end.broken |= ready.failed;
    if (!pair->queued) advance(*pair);  // else its turn comes
}

void TcpSplice::run() {
    running_.swap(run_queue_);
    for (const core::FlowId id : running_) {
        TcpPair* pair = pairs_.find(id);
        if (pair == nullptr) continue;
        pair->queued = false;
        advance(*pair);
    }
    running_.clear();
}

void TcpSplice::close_port(core::PortId port) {
    pairs_.for_each([&](TcpPair& pair) {
        if (pair.to.port == port) abort(pair, counters_.splice_tcp_reset);
    });
}

// One turn: relays what can be, each direction up to turn_bytes, and draws the conclusions.
void TcpSplice::advance(TcpPair& pair) {
    if (pair.connecting && !finish_connect(pair)) return;
    const size_t to_target = relay(pair.to_target, pair.client, pair.target);
    const size_t to_client = relay(pair.to_client, pair.target, pair.client);
    count(pair, to_target, to_client);
    if (pair.to_target.starved || pair.to_client.starved)
        return abort(pair, counters_.splice_exhausted);
    const bool more = std::max(to_target, to_client) >= turn_bytes;
    // What one end said before its RST is passed on as far as the other takes it.
    if ((pair.client.broken || pair.target.broken) && !more)
        return abort(pair, counters_.splice_tcp_reset);
    if (pair.to_target.done() && pair.to_client.done()) return finish(pair);
    settle(pair.to_target, pair.target);
    settle(pair.to_client, pair.client);
    if (more) enqueue(pair);
}

/// False while it is under way, and when it failed, in which case the pair is gone.
bool TcpSplice::finish_connect(TcpPair& pair) {
    if (pair.client.broken) {
        abort(pair, counters_.splice_tcp_reset);
        return false;
    }
    if (pair.target.broken && !was_connected(pair.target.fd)) {
        abort(pair, counters_.splice_tcp_failed);
        return false;
    }
    if (!pair.target.writable && !pair.target.broken) return false;
    pair.connecting = false;
    ++counters_.splice_tcp_opened;
    return true;
}

/// Moves up to about turn_bytes; returns how many reached the other socket. Less than turn_bytes
/// means that one of the sockets has to become ready first.
size_t TcpSplice::relay(TcpStream& stream, TcpEnd& from, TcpEnd& to) {
    size_t moved = 0;
    bool by_pipe = stream.bulk || stream.in_pipe != 0;
    while (moved < turn_bytes && !stream.done() && !stream.starved && !to.broken) {
        if (!by_pipe) {
            const size_t copied = copy(stream, from, to);
            moved += copied;
            if (copied == 0 || stream.in_pipe != 0) break;
            by_pipe = copied == small;
            continue;
        }
        const size_t filled = fill(stream, from);
        const size_t drained = drain(stream, to);
        moved += drained;
        if (filled + drained != 0) continue;
        if (stream.in_pipe != 0) break;
        // Nothing came by splice(2), which also stops before urgent data, end or no end; recv(2)
        // knows why.
        by_pipe = false;
    }
    stream.bulk = moved >= bulk_bytes;
    return moved;
}

/// Relays a little through a buffer, and learns whether `from` is drained, at its end or broken.
size_t TcpSplice::copy(TcpStream& stream, TcpEnd& from, TcpEnd& to) {
    if (!from.readable || !to.writable) return 0;
    std::array<uint8_t, small> buffer;
    const ssize_t n = recv(from.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n <= 0) {
        from.readable = false;
        stream.ended = n == 0;
        from.broken |= n < 0 && errno != EAGAIN;
        return 0;
    }
    const auto size = static_cast<size_t>(n);
    // A buffer that was not filled has emptied the socket, but for an end or urgent data. What
    // comes later is a new event.
    if (size < buffer.size() && !from.finished && !from.urgent) from.readable = false;
    // What comes before a FIN that is here already leaves in one segment with it.
    const int more = from.finished ? MSG_MORE : 0;
    const ssize_t sent = send(to.fd, buffer.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL | more);
    to.broken |= sent < 0 && errno != EAGAIN;
    const size_t taken = sent > 0 ? static_cast<size_t>(sent) : 0;
    if (to.broken || taken == size) return taken;
    to.writable = false;
    stream.pipe = pipes_.take();
    stream.in_pipe = size - taken;
    stream.starved = !stream.pipe || write(stream.pipe.write_end, buffer.data() + taken,
                                           stream.in_pipe) != static_cast<ssize_t>(stream.in_pipe);
    return taken;
}

size_t TcpSplice::fill(TcpStream& stream, TcpEnd& from) {
    if (!from.readable) return 0;
    if (!stream.pipe) stream.pipe = pipes_.take();
    if (!stream.pipe) {
        stream.starved = true;
        return 0;
    }
    if (stream.in_pipe >= stream.pipe.capacity) return 0;
    const ssize_t n =
        ::splice(from.fd, nullptr, stream.pipe.write_end, nullptr,
                 stream.pipe.capacity - stream.in_pipe, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    // A RST is told once: recv(2) would take it for an end now.
    from.broken |= n < 0 && errno != EAGAIN;
    if (n <= 0) return 0;
    stream.in_pipe += static_cast<size_t>(n);
    return static_cast<size_t>(n);
}

size_t TcpSplice::drain(TcpStream& stream, TcpEnd& to) {
    if (stream.in_pipe == 0 || !to.writable) return 0;
    const ssize_t n = ::splice(stream.pipe.read_end, nullptr, to.fd, nullptr, stream.in_pipe,
                               SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n <= 0) {
        to.writable = false;
        to.broken |= n < 0 && errno != EAGAIN;
        return 0;
    }
    stream.in_pipe -= static_cast<size_t>(n);
    return static_cast<size_t>(n);
}

/// After a turn: an idle stream has no pipe, an ended one passes its end on.
void TcpSplice::settle(TcpStream& stream, TcpEnd& to) {
    if (stream.pipe && stream.in_pipe == 0) pipes_.give(stream.pipe, true);
    if (!stream.done() || stream.shut) return;
    stream.shut = true;
    shutdown(to.fd, SHUT_WR);
}

void TcpSplice::count(const TcpPair& pair, size_t to_target, size_t to_client) {
    const bool in_netns = pair.to.place == Place::netns;
    counters_.splice_bytes_to_namespace.add(in_netns ? to_target : to_client);
    counters_.splice_bytes_to_host.add(in_netns ? to_client : to_target);
}

void TcpSplice::enqueue(TcpPair& pair) {
    if (pair.queued) return;
    pair.queued = true;
    run_queue_.push_back(pair.id);
}

/// Both have said all that they had to say.
void TcpSplice::finish(TcpPair& pair) {
    ++counters_.splice_tcp_closed;
    close(pair.client.fd);
    close(pair.target.fd);
    destroy(pair);
}

void TcpSplice::abort(TcpPair& pair, core::Counter& reason) {
    ++reason;
    host::close_with_reset(pair.client.fd);
    host::close_with_reset(pair.target.fd);
    destroy(pair);
}

void TcpSplice::destroy(TcpPair& pair) {
    for (TcpStream* stream : {&pair.to_target, &pair.to_client})
        if (stream->pipe) pipes_.give(stream->pipe, stream->in_pipe == 0);
    pairs_.destroy(pair);
}

}  // namespace pasta::splice
