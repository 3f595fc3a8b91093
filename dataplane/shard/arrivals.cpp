// Clients of listeners: from the shard that met them to the one that serves them.

#include <fcntl.h>

#include <cerrno>
#include <system_error>

#include "dataplane/core/icmp_error.hpp"
#include "dataplane/core/inbound.hpp"
#include "dataplane/host/socket_address.hpp"
#include "dataplane/shard/shard.hpp"
#include "dataplane/wire/udp.hpp"

namespace pasta::shard {

using host::Arrival;
using host::ListenSide;

// Beginning a flow may make other datagrams arrive, those of clients that came between.
size_t Shard::begin_arrivals() {
    const size_t n = arrivals_.size();
    for (size_t i = 0; i < n; ++i) {
        Arrival arrival = arrivals_[i];
        begin(arrival);
    }
    arrivals_.erase(arrivals_.begin(), arrivals_.begin() + static_cast<ptrdiff_t>(n));
    return n;
}

void Shard::begin(Arrival& arrival) {
    core::Counters& counters = engine_.context().counters;
    if (arrival.hops == 0) {
        if (splice(arrival)) return;
        if (!name_flow(arrival)) {
            ++counters.inbound_unanswerable;
            return host::turn_away(arrival, cache_);
        }
    }
    const auto owner = engine_.inbound_owner(arrival.key, arrival.hops);
    if (!owner) {
        ++counters.drop_no_owner;
        host::turn_away(arrival, cache_);
    } else if (*owner != index_) {
        hand_over(*owner, arrival);
    } else if (arrival.socket >= 0) {
        tcp_sockets_.accept(arrival.key, arrival.socket);
    } else {
        engine_.udp().on_inbound(arrival.key, arrival.client, arrival.local, arrival.payload,
                                 arrival.options);
    }
}

// As whom the namespace sees the client; false when it cannot.
bool Shard::name_flow(Arrival& arrival) {
    const core::Port* port = engine_.context().port(arrival.listener.port);
    if (port == nullptr || arrival.listener.side == ListenSide::ns) return false;
    const auto key = core::inbound_key(*port, arrival.listener.protocol, arrival.client.address,
                                       arrival.client.port, arrival.listener.target_port);
    if (!key) return false;
    arrival.key = *key;
    return true;
}

// Clients that never become frames: those of the host's loopback, and all of a namespace's own
// listeners. False when this one is not to be, or cannot be, spliced.
bool Shard::splice(Arrival& arrival) {
    if (arrival.socket < 0) return false;  // datagrams between loopbacks do not get this far
    const bool from_host = arrival.listener.side == ListenSide::host;
    if (from_host && !arrival.client.address.is_loopback()) return false;
    host::SocketAddress local;
    socklen_t size = host::SocketAddress::capacity();
    if (getsockname(arrival.socket, local.out(), &size) != 0) return false;
    const auto address = local.ip();
    if (!address || !address->is_loopback()) return false;
    splice_.tcp().start(arrival.socket, {arrival.client.address, arrival.client.port},
                        {arrival.listener.port,
                         from_host ? splice::Place::netns : splice::Place::host,
                         {*address, arrival.listener.target_port}});
    return true;
}

void Shard::splice_datagrams(const host::ListenerConfig& listener, int fd, uint16_t port,
                             std::span<const host::UdpBurst> bursts) {
    const bool from_host = listener.side == ListenSide::host;
    splice_.udp().on_datagrams(
        {fd, listener.port, from_host ? splice::Place::netns : splice::Place::host, port,
         listener.target_port},
        bursts, engine_.now());
}

// The ICMP error that a network would send to a client on a loopback.
void Shard::refuse_datagrams(const splice::UdpFlow& flow, int error) {
    core::Counters& counters = engine_.context().counters;
    const auto icmp = core::icmp_for_errno(error, flow.client.address.is_v4());
    if (!icmp || !refusals_.allow(engine_.now())) {
        ++counters.icmp_errors_unsent;
        return;
    }
    std::array<uint8_t, wire::UdpHeader::size> quoted{};
    wire::UdpHeader{flow.client.port, flow.listener.local_port, quoted.size(), 0}.emit(quoted);
    std::array<uint8_t, 128> message;
    const size_t size = core::emit_icmp_error({.error = *icmp,
                                               .offender = std::nullopt,
                                               .guest = flow.client.address,
                                               .peer = flow.local,
                                               .protocol = wire::protocol_udp,
                                               .upper_length = quoted.size(),
                                               .upper = quoted},
                                              message);
    const bool to_netns = flow.listener.target_place == splice::Place::host;
    const bool sent =
        splice_.send_icmp(flow.listener.port, to_netns ? splice::Place::netns : splice::Place::host,
                          wire::Bytes{message}.first(size), flow.local, flow.client);
    ++(sent ? counters.icmp_errors_to_clients : counters.icmp_errors_unsent);
}

void Shard::hand_over(uint16_t to, Arrival& arrival) {
    core::Counters& counters = engine_.context().counters;
    ++arrival.hops;
    if (!post_.arrivals(index_, to).push(arrival)) {
        ++counters.drop_mailbox_full;
        return host::turn_away(arrival, cache_);
    }
    ++counters.inbound_handed_over;
    post_.wakeup(to).notify();
}

void Shard::listen(host::ListenerId id, const host::ListenerConfig& config, int socket) {
    const core::Port* port = engine_.context().port(config.port);
    if (port == nullptr) return;
    // Datagrams of one client shall not meet several shards, each of which would begin a flow.
    const bool first = port->config.first_worker % post_.shards() == index_;
    if (config.protocol == wire::protocol_udp && !first) return;
    if (!listeners_.add(id, config, socket))
        throw std::system_error(errno, std::generic_category(), "cannot watch a listener");
}

void Shard::join(core::PortId id, int netns) {
    if (engine_.context().port(id) == nullptr) return;
    const int own = fcntl(netns, F_DUPFD_CLOEXEC, 0);
    if (own < 0) throw std::system_error(errno, std::generic_category(), "cannot keep a namespace");
    splice_.attach(id, own);
}

void Shard::unlisten(host::ListenerId id, int socket) {
    listeners_.remove(id);
    splice_.udp().close_listener(socket);
}

}  // namespace pasta::shard
