#include "dataplane/host/listeners.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "dataplane/core/chain.hpp"
#include "dataplane/host/datagram_control.hpp"
#include "dataplane/host/socket_address.hpp"
#include "dataplane/host/socket_option.hpp"
#include "dataplane/wire/ip_protocol.hpp"

namespace pasta::host {

namespace {

constexpr size_t overflow_size = 65536;

/// Errors of accept(2) that concern one client only; the next one may be fine.
bool is_clients_error(int error) {
    switch (error) {
        case ECONNABORTED:
        case EINTR:
        case EPERM:
        case EPROTO:
        case ENOPROTOOPT:
        case ENETDOWN:
        case ENETUNREACH:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ENONET:
        case EOPNOTSUPP:
            return true;
        default:
            return false;
    }
}

core::FlowId token(ListenerId id) {
    return {core::FlowKind::listener, id, 0};
}

core::HostTarget target(const SocketAddress& address) {
    return {address.ip().value_or(wire::IpAddress{}), address.port(), std::nullopt,
            address.scope()};
}

}  // namespace

void turn_away(Arrival& arrival, core::ChunkCache& chunks) {
    chunks.unref(arrival.payload);
    if (arrival.socket >= 0) close_with_reset(std::exchange(arrival.socket, -1));
}

bool prepare_listener(int fd, const ListenerConfig& config) {
    if (config.protocol != wire::protocol_udp) return true;
    SocketAddress bound;
    socklen_t size = SocketAddress::capacity();
    if (getsockname(fd, bound.out(), &size) != 0) return false;
    // A listener of both families gets IPv4's header fields by IPv4's options.
    const bool v6 = bound.family() == AF_INET6;
    const bool local = v6 ? set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                          : set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
    set_option(fd, IPPROTO_IP, IP_RECVTTL, 1);
    set_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
    if (v6) set_option(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    if (v6) set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    // Only now, so that a port that somebody else has was an error of bind(2).
    return local && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

bool Listeners::add(ListenerId id, const ListenerConfig& config, int fd) {
    Listener listener;
    listener.config = config;
    listener.fd = fd;
    SocketAddress bound;
    socklen_t size = SocketAddress::capacity();
    if (getsockname(fd, bound.out(), &size) != 0) return false;
    listener.bound = {bound.ip().value_or(wire::IpAddress{}), bound.port()};
    if (!watch(id, listener)) return false;
    listeners_.emplace(id, listener);
    return true;
}

bool Listeners::watch(ListenerId id, const Listener& listener) {
    return poller_.add_shared(listener.fd, token(id));
}

void Listeners::remove(ListenerId id) {
    const auto found = listeners_.find(id);
    if (found == listeners_.end()) return;
    if (found->second.retry == core::never) poller_.remove(found->second.fd);
    listeners_.erase(found);
}

void Listeners::on_ready(core::FlowId id, core::Time now, std::vector<Arrival>& arrivals) {
    const auto found = listeners_.find(id.index);
    if (found == listeners_.end() || found->second.retry != core::never) return;
    Listener& listener = found->second;
    for (int i = 0; i < batch; ++i) {
        const bool more = listener.config.protocol == wire::protocol_tcp
                              ? accept(listener, arrivals)
                              : receive(listener, arrivals);
        if (more) continue;
        if (errno == EAGAIN) return;
        ++counters_.listener_pauses;
        return pause(listener, now);
    }
}

void Listeners::pause(Listener& listener, core::Time now) {
    poller_.remove(listener.fd);
    listener.retry = now + retry_delay;
    next_retry_ = std::min(next_retry_, listener.retry);
}

void Listeners::run_timers(core::Time now) {
    if (now < next_retry_) return;
    next_retry_ = core::never;
    for (auto& [id, listener] : listeners_) {
        if (listener.retry <= now)
            listener.retry = watch(id, listener) ? core::never : now + retry_delay;
        next_retry_ = std::min(next_retry_, listener.retry);
    }
}

/// False with errno when there is nobody, or nobody can be served now.
bool Listeners::accept(const Listener& listener, std::vector<Arrival>& arrivals) {
    SocketAddress client;
    socklen_t size = SocketAddress::capacity();
    const int fd = accept4(listener.fd, client.out(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return is_clients_error(errno);
    Arrival& arrival = arrivals.emplace_back();
    arrival.listener = listener.config;
    arrival.client = target(client);
    arrival.socket = fd;
    return true;
}

/// As accept().
bool Listeners::receive(const Listener& listener, std::vector<Arrival>& arrivals) {
    if (!overflow_) overflow_ = std::make_unique_for_overwrite<uint8_t[]>(overflow_size);
    const core::ChunkId first = chunks_.alloc();
    if (first == core::no_chunk) return errno = ENOMEM, false;
    SocketAddress client;
    alignas(cmsghdr) std::array<uint8_t, 256> control;
    std::array<iovec, 2> iov{iovec{chunks_.arena().data(first) + core::header_room,
                                   core::chunk_size - core::header_room},
                             iovec{overflow_.get(), overflow_size}};
    msghdr message{};
    message.msg_name = client.out(), message.msg_namelen = SocketAddress::capacity();
    message.msg_iov = iov.data(), message.msg_iovlen = iov.size();
    message.msg_control = control.data(), message.msg_controllen = control.size();
    const ssize_t n = recvmsg(listener.fd, &message, MSG_DONTWAIT);
    if (n < 0) {
        const int error = errno;
        chunks_.unref(first);
        errno = error;
        return is_clients_error(error);
    }
    core::Chain payload = chain(first, static_cast<size_t>(n));
    const auto local = destination(message);
    if (payload.empty()) return true;
    if (!local || !local->is_unicast()) {  // broadcast and groups have no flow to answer from
        ++counters_.drop_ignored;
        chunks_.unref(payload);
        return true;
    }
    Arrival& arrival = arrivals.emplace_back();
    arrival.listener = listener.config;
    arrival.client = target(client);
    arrival.local = {*local, listener.bound.port};
    arrival.payload = payload;
    arrival.options = received_options(message);
    return true;
}

/// A datagram of `length` bytes that begins in `first`; empty (counted) when chunks ran out.
core::Chain Listeners::chain(core::ChunkId first, size_t length) {
    core::ChunkMeta& meta = chunks_.arena().meta(first);
    meta.offset = core::header_room;
    meta.len = static_cast<uint16_t>(std::min(length, core::chunk_size - core::header_room));
    core::Chain payload;
    payload.append(chunks_.arena(), first);
    if (length == meta.len) return payload;
    core::Chain rest = core::copy_in(chunks_, {overflow_.get(), length - meta.len});
    if (rest.empty()) {
        ++counters_.drop_no_chunk;
        chunks_.unref(payload);
    }
    payload.append(chunks_.arena(), rest);
    return payload;
}

}  // namespace pasta::host
