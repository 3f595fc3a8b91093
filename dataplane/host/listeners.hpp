// Listening sockets as one shard serves them.
//
// A listener is in the epoll sets of all shards of its namespace, which is how a client finds a
// shard that is awake: exclusively, so that it wakes one, and level-triggered, so that what a
// bounded turn leaves behind is reported again. A listener of UDP gets the first datagrams of a
// client only, since its flow then has a socket of its own, which is bound to the same port and
// connected to the client.
#pragma once

#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "dataplane/core/chunk.hpp"
#include "dataplane/core/counters.hpp"
#include "dataplane/core/time.hpp"
#include "dataplane/host/arrival.hpp"
#include "dataplane/host/socket_poller.hpp"
#include "dataplane/host/udp_batch.hpp"

namespace pasta::host {

using core::ListenerId;

/// Sets the options that a bound socket needs to be a listener here: for UDP the address that a
/// datagram was sent to, its TTL and TOS, and that flows may be bound to the same port. False with
/// errno set when the kernel refuses.
bool prepare_listener(int fd, const ListenerConfig& config);

class Listeners {
  public:
    /// Takes datagrams between loopbacks, which have no flow with a socket of its own at the
    /// listener's side: they come by it for as long as they come. `port` is the listener's own.
    using LoopbackSink = std::function<void(const ListenerConfig&, int fd, uint16_t port,
                                            std::span<const UdpBurst>)>;

    Listeners(SocketPoller& poller, core::ChunkCache& chunks, core::Counters& counters,
              LoopbackSink sink)
        : poller_(poller), chunks_(chunks), counters_(counters), sink_(std::move(sink)) {}

    /// Serves `fd`, which is prepared, non-blocking and open until remove(). False when the kernel
    /// refuses to watch it.
    bool add(ListenerId id, const ListenerConfig& config, int fd);
    void remove(ListenerId id);

    /// Takes some of the clients that wait, and leaves the others to the next report.
    void on_ready(core::FlowId token, core::Time now, std::vector<Arrival>& arrivals);
    /// Listeners that could not be served for want of descriptors or memory are out of the epoll
    /// set, which would report them without end, until this tries again.
    void run_timers(core::Time now);
    core::Time next_deadline() const { return next_retry_; }

  private:
    struct Listener {
        ListenerConfig config;
        int fd = -1;
        core::Endpoint bound;            ///< UDP
        int clients = 1;                 ///< TCP: to be taken at a report
        int enough = 0;                  ///< reports with so many, one after the other
        core::Time retry = core::never;  ///< when it comes back into the epoll set
    };
    /// Clients of one listener in one turn.
    static constexpr int batch = 16;
    static constexpr core::Time retry_delay = 100 * core::millisecond;

    bool watch(ListenerId id, const Listener& listener);
    void pause(Listener& listener, core::Time now);
    bool accept(const Listener& listener, std::vector<Arrival>& arrivals);
    bool receive(const Listener& listener, std::vector<Arrival>& arrivals);
    void arrive(const Listener& listener, const UdpBurst& burst, std::vector<Arrival>& arrivals);

    SocketPoller& poller_;
    core::ChunkCache& chunks_;
    core::Counters& counters_;
    std::unordered_map<ListenerId, Listener> listeners_;
    core::Time next_retry_ = core::never;
    LoopbackSink sink_;
    UdpReader reader_;
};

}  // namespace pasta::host
