// UDP flows between the host's loopback and a namespace's.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "dataplane/core/counters.hpp"
#include "dataplane/core/flow_table.hpp"
#include "dataplane/core/slab.hpp"
#include "dataplane/core/socket_op.hpp"
#include "dataplane/core/time.hpp"
#include "dataplane/host/socket_poller.hpp"
#include "dataplane/host/udp_batch.hpp"
#include "dataplane/splice/namespace_sockets.hpp"

namespace pasta::splice {

using host::UdpBurst;
using host::UdpReader;
using host::UdpWriter;

/// A bound UDP socket that loopback clients send to, set up by set_up_udp_listener(). Its owner
/// reads it, and calls close_listener() before it closes it. Ports in host byte order.
struct UdpListener {
    int fd = -1;
    core::PortId port = 0;
    Place target_place = Place::netns;
    uint16_t local_port = 0;
    uint16_t target_port = 0;
};

/// A client's datagrams to one address of a listener, and the answers. The socket of the flow is
/// connected to the target; answers leave by the listener's.
struct UdpFlow {
    core::FlowId id;
    core::FlowKey key;
    UdpListener listener;
    Endpoint client;
    wire::IpAddress local;  ///< where the client sends to, and the target's address
    int fd = -1;
    bool queued = false;  ///< in the run queue
    bool sent = false, sent_more = false, received = false, received_more = false;
    bool stream = false;  ///< a conversation: answered, and more than one datagram on a side
    core::Time last_activity = 0;
    UdpFlow *older = nullptr, *newer = nullptr;  ///< among those with the same timeout
};

/// Flows by their last activity, which is the order in which they time out.
class ActivityList {
  public:
    UdpFlow* oldest() const { return oldest_; }
    void append(UdpFlow& flow);
    void remove(UdpFlow& flow);

  private:
    UdpFlow *oldest_ = nullptr, *newest_ = nullptr;
};

/// Passes datagrams on in the batches that they come in. What a socket does not take is dropped, as
/// UDP may; nothing is kept.
class UdpSplice {
  public:
    static constexpr size_t max_flows = 16384;
    static constexpr core::Time one_shot_timeout = 30 * core::second;
    static constexpr core::Time stream_timeout = 120 * core::second;

    /// Told of an error that the target's side reported: `error` is an errno value, such as
    /// ECONNREFUSED when nobody listens. The client should get an ICMP error.
    using ErrorSink = std::function<void(const UdpFlow& flow, int error)>;

    /// `table_secret` keys the hash of the flow table.
    UdpSplice(host::SocketPoller& poller, core::Counters& counters, NamespaceSockets& sockets,
              const core::SipKey& table_secret, size_t flow_limit = max_flows);
    ~UdpSplice();
    UdpSplice(const UdpSplice&) = delete;
    UdpSplice& operator=(const UdpSplice&) = delete;

    void set_error_sink(ErrorSink sink) { error_sink_ = std::move(sink); }

    /// Passes on what clients on loopback sent to the listener; what came from elsewhere is
    /// dropped. The target has the address that the client used, 127.0.0.0/8 or ::1.
    void on_datagrams(const UdpListener& listener, std::span<const UdpBurst> bursts,
                      core::Time now);

    /// `id` is of the kind splice_udp.
    void on_ready(core::FlowId id, const core::Readiness& ready, core::Time now);
    /// A further turn for flows that had more to do than one, and the end of those that timed out.
    void run(core::Time now);
    core::Time next_deadline() const;
    bool pending() const { return !run_queue_.empty(); }
    /// Ends the flows of an attachment, or of a listener.
    void close_port(core::PortId port);
    void close_listener(int fd);
    size_t flows() const { return flows_.size(); }

  private:
    UdpFlow* find_or_create(const UdpListener& listener, const UdpBurst& first, core::Time now);
    UdpFlow* create(const core::FlowKey& key, const UdpListener& listener, core::Time now);
    void pass_on(UdpFlow& flow, std::span<const UdpBurst> bursts, core::Time now);
    void pass_back(UdpFlow& flow, core::Time now);
    void touch(UdpFlow& flow, core::Time now);
    void report(const UdpFlow& flow, int error);
    void count_bytes(const UdpFlow& flow, bool to_target, size_t bytes);
    void expire(ActivityList& list, core::Time timeout, core::Time now);
    void close(UdpFlow& flow);
    ActivityList& list_of(const UdpFlow& flow) { return flow.stream ? streams_ : one_shots_; }

    host::SocketPoller& poller_;
    core::Counters& counters_;
    NamespaceSockets& sockets_;
    core::Slab<UdpFlow> flows_;
    core::FlowTable table_;
    ActivityList one_shots_, streams_;
    UdpReader reader_;
    UdpWriter writer_;
    ErrorSink error_sink_;
    std::vector<core::FlowId> run_queue_, running_;
};

}  // namespace pasta::splice
