#include "dataplane/host/listeners.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "dataplane/core/chain.hpp"
#include "dataplane/host/socket_address.hpp"
#include "dataplane/host/socket_option.hpp"
#include "dataplane/wire/ip_protocol.hpp"

namespace pasta::host {

namespace {

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

/// The datagram in chunks, the first with header_room before it; empty when they ran out.
core::Chain datagram_chain(core::ChunkCache& chunks, wire::Bytes datagram) {
    core::Chain payload;
    const core::ChunkId first = chunks.alloc();
    if (first == core::no_chunk) return payload;
    const size_t head = std::min(datagram.size(), core::chunk_size - core::header_room);
    core::ChunkMeta& meta = chunks.arena().meta(first);
    meta.offset = core::header_room;
    meta.len = static_cast<uint16_t>(head);
    std::memcpy(chunks.arena().data(first) + core::header_room, datagram.data(), head);
    payload.append(chunks.arena(), first);
    if (head == datagram.size()) return payload;
    core::Chain rest = core::copy_in(chunks, datagram.subspan(head));
    if (rest.empty()) chunks.unref(payload);
    payload.append(chunks.arena(), rest);
    return payload;
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
    if (!set_up_udp_listener(fd)) return false;
    // Only now, so that a port that somebody else has was an error of bind(2).
    return set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
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
    const bool tcp = listener.config.protocol == wire::protocol_tcp;
    // To find a queue empty costs a system call for each client where they come one by one, and
    // what is left in it is reported again.
    const int most = tcp ? listener.clients : batch;
    for (int i = 0; i < most; ++i) {
        if (tcp ? accept(listener, arrivals) : receive(listener, arrivals)) continue;
        listener.clients = std::max(i, 1);
        listener.enough = 0;
        if (errno == EAGAIN) return;
        ++counters_.listener_pauses;
        return pause(listener, now);
    }
    if (++listener.enough < 8) return;
    listener.clients = std::min(2 * listener.clients, batch);
    listener.enough = 0;
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

/// As accept(), a batch at once.
bool Listeners::receive(const Listener& listener, std::vector<Arrival>& arrivals) {
    const UdpReader::Batch taken = reader_.read(listener.fd);
    const auto local = [&](const UdpBurst& burst) {
        return listener.config.side == ListenSide::ns ||
               (burst.source.address.is_loopback() && burst.local.is_loopback());
    };
    for (auto rest = taken.bursts; !rest.empty();) {
        const bool spliced = local(rest.front());
        const auto end = std::find_if(rest.begin(), rest.end(),
                                      [&](const UdpBurst& b) { return local(b) != spliced; });
        const auto run = rest.first(static_cast<size_t>(end - rest.begin()));
        rest = rest.subspan(run.size());
        if (spliced) {
            sink_(listener.config, listener.fd, listener.bound.port, run);
            continue;
        }
        for (const UdpBurst& burst : run)
            arrive(listener, burst, arrivals);
    }
    if (taken.drained) errno = EAGAIN;
    return !taken.drained;
}

/// Each datagram of the burst into chunks of its own.
void Listeners::arrive(const Listener& listener, const UdpBurst& burst,
                       std::vector<Arrival>& arrivals) {
    if (!burst.local.is_unicast()) {  // broadcast and groups have no flow to answer from
        counters_.drop_ignored.add(burst.count());
        return;
    }
    for (size_t i = 0; i < burst.count(); ++i) {
        const core::Chain payload = datagram_chain(chunks_, burst.datagram(i));
        if (payload.empty()) {
            ++counters_.drop_no_chunk;
            continue;
        }
        Arrival& arrival = arrivals.emplace_back();
        arrival.listener = listener.config;
        arrival.client = {burst.source.address, burst.source.port, std::nullopt, burst.scope};
        arrival.local = {burst.local, listener.bound.port};
        arrival.payload = payload;
        arrival.options = burst.options;
    }
}

}  // namespace pasta::host
