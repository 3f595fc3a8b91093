#include "dataplane/splice/udp_splice.hpp"

#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>

#include "dataplane/splice/socket_open.hpp"

namespace pasta::splice {

namespace {

/// Both directions of an attachment may see the same addresses and ports, each on its own loopback.
core::FlowKey key_of(const UdpListener& listener, const UdpBurst& burst) {
    return {.guest = burst.source.address,
            .peer = burst.local,
            .guest_port = burst.source.port,
            .peer_port = listener.local_port,
            .port = listener.port,
            .protocol = static_cast<uint16_t>(IPPROTO_UDP |
                                              static_cast<unsigned>(listener.target_place) << 8)};
}

size_t datagrams_in(std::span<const UdpBurst> bursts) {
    size_t count = 0;
    for (const UdpBurst& burst : bursts)
        count += burst.count();
    return count;
}

}  // namespace

void ActivityList::append(UdpFlow& flow) {
    flow.older = newest_;
    flow.newer = nullptr;
    (newest_ != nullptr ? newest_->newer : oldest_) = &flow;
    newest_ = &flow;
}

void ActivityList::remove(UdpFlow& flow) {
    (flow.older != nullptr ? flow.older->newer : oldest_) = flow.newer;
    (flow.newer != nullptr ? flow.newer->older : newest_) = flow.older;
}

UdpSplice::UdpSplice(host::SocketPoller& poller, core::Counters& counters,
                     NamespaceSockets& sockets, const core::SipKey& table_secret, size_t flow_limit)
    : poller_(poller),
      counters_(counters),
      sockets_(sockets),
      flows_(core::FlowKind::splice_udp, flow_limit),
      table_(table_secret) {}

UdpSplice::~UdpSplice() {
    flows_.for_each([this](UdpFlow& flow) { close(flow); });
}

void UdpSplice::on_datagrams(const UdpListener& listener, std::span<const UdpBurst> bursts,
                             core::Time now) {
    while (!bursts.empty()) {
        const UdpBurst& first = bursts.front();
        const auto end = std::find_if(bursts.begin(), bursts.end(), [&](const UdpBurst& burst) {
            return burst.source != first.source || burst.local != first.local;
        });
        const auto same = bursts.first(static_cast<size_t>(end - bursts.begin()));
        bursts = bursts.subspan(same.size());
        if (UdpFlow* flow = find_or_create(listener, first, now))
            pass_on(*flow, same, now);
        else
            counters_.splice_udp_dropped.add(datagrams_in(same));
    }
}

UdpFlow* UdpSplice::find_or_create(const UdpListener& listener, const UdpBurst& first,
                                   core::Time now) {
    if (!first.source.address.is_loopback() || !first.local.is_loopback()) return nullptr;
    const core::FlowKey key = key_of(listener, first);
    if (const core::FlowId id = table_.find(key)) return flows_.find(id);
    return create(key, listener, now);
}

UdpFlow* UdpSplice::create(const core::FlowKey& key, const UdpListener& listener, core::Time now) {
    UdpFlow* flow = flows_.create();
    if (flow == nullptr && one_shots_.oldest() != nullptr) {
        close(*one_shots_.oldest());
        flow = flows_.create();
    }
    if (flow == nullptr) {
        ++counters_.splice_exhausted;
        return nullptr;
    }
    flow->client = {key.guest, key.guest_port};
    const Destination to{key.port, listener.target_place, {key.peer, listener.target_port}};
    const int fd = open_udp(sockets_, to, flow->client);
    if (fd < 0 || !poller_.add(fd, flow->id)) {
        if (fd >= 0) ::close(fd);
        if (fd >= 0 || core::is_exhaustion(-fd)) ++counters_.splice_exhausted;
        flows_.destroy(*flow);
        return nullptr;
    }
    flow->key = key;
    flow->listener = listener;
    flow->local = key.peer;
    flow->fd = fd;
    flow->last_activity = now;
    table_.insert(key, flow->id);
    one_shots_.append(*flow);
    ++counters_.splice_udp_flows;
    return flow;
}

void UdpSplice::pass_on(UdpFlow& flow, std::span<const UdpBurst> bursts, core::Time now) {
    const UdpWriter::Result result = writer_.send(flow.fd, bursts);
    counters_.splice_udp_to_target.add(result.sent);
    counters_.splice_udp_dropped.add(result.dropped);
    count_bytes(flow, true, result.bytes);
    flow.sent_more |= flow.sent || datagrams_in(bursts) > 1;
    flow.sent = true;
    touch(flow, now);
    if (result.error != 0) report(flow, result.error);
}

void UdpSplice::pass_back(UdpFlow& flow, core::Time now) {
    const UdpReader::Batch batch = reader_.read(flow.fd);
    if (!batch.drained && !flow.queued) {
        flow.queued = true;
        run_queue_.push_back(flow.id);
    }
    if (batch.error != 0) report(flow, batch.error);
    // Before the socket was connected, others may have sent to its port.
    const Endpoint target{flow.local, flow.listener.target_port};
    auto bursts = batch.bursts;
    while (!bursts.empty() && bursts.front().source != target)
        bursts = bursts.subspan(1);
    if (bursts.empty()) return;
    const auto result = writer_.send(flow.listener.fd, bursts, {{flow.client, flow.local}});
    counters_.splice_udp_to_client.add(result.sent);
    counters_.splice_udp_dropped.add(result.dropped);
    count_bytes(flow, false, result.bytes);
    flow.received_more |= flow.received || datagrams_in(bursts) > 1;
    flow.received = true;
    touch(flow, now);
}

void UdpSplice::on_ready(core::FlowId id, const core::Readiness& ready, core::Time now) {
    UdpFlow* flow = flows_.find(id);
    if (flow != nullptr && (ready.readable || ready.error)) pass_back(*flow, now);
}

void UdpSplice::run(core::Time now) {
    running_.swap(run_queue_);
    for (const core::FlowId id : running_) {
        UdpFlow* flow = flows_.find(id);
        if (flow == nullptr) continue;
        flow->queued = false;
        pass_back(*flow, now);
    }
    running_.clear();
    expire(one_shots_, one_shot_timeout, now);
    expire(streams_, stream_timeout, now);
}

core::Time UdpSplice::next_deadline() const {
    core::Time first = core::never;
    if (one_shots_.oldest() != nullptr)
        first = one_shots_.oldest()->last_activity + one_shot_timeout;
    if (streams_.oldest() != nullptr)
        first = std::min(first, streams_.oldest()->last_activity + stream_timeout);
    return first;
}

void UdpSplice::expire(ActivityList& list, core::Time timeout, core::Time now) {
    while (list.oldest() != nullptr && list.oldest()->last_activity + timeout <= now)
        close(*list.oldest());
}

void UdpSplice::close_port(core::PortId port) {
    flows_.for_each([&](UdpFlow& flow) {
        if (flow.key.port == port) close(flow);
    });
}

void UdpSplice::close_listener(int fd) {
    flows_.for_each([&](UdpFlow& flow) {
        if (flow.listener.fd == fd) close(flow);
    });
}

void UdpSplice::touch(UdpFlow& flow, core::Time now) {
    list_of(flow).remove(flow);
    flow.stream = flow.received && (flow.sent_more || flow.received_more);
    flow.last_activity = now;
    list_of(flow).append(flow);
}

void UdpSplice::report(const UdpFlow& flow, int error) {
    ++counters_.splice_udp_refused;
    if (error_sink_) error_sink_(flow, error);
}

void UdpSplice::count_bytes(const UdpFlow& flow, bool to_target, size_t bytes) {
    const bool into_netns = (flow.listener.target_place == Place::netns) == to_target;
    (into_netns ? counters_.splice_bytes_to_namespace : counters_.splice_bytes_to_host).add(bytes);
}

void UdpSplice::close(UdpFlow& flow) {
    ::close(flow.fd);
    list_of(flow).remove(flow);
    table_.erase(flow.key);
    flows_.destroy(flow);
}

}  // namespace pasta::splice
