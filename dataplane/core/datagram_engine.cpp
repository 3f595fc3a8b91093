#include "dataplane/core/datagram_engine.hpp"

#include <array>
#include <cerrno>

#include "dataplane/core/icmp_error.hpp"
#include "dataplane/core/reassembly.hpp"

namespace pasta::core {
namespace {

/// Memory that the waiting datagrams of one flow may hold.
constexpr uint32_t max_queued_bytes = 1u << 20;
/// Datagrams and chunks that one read may take, so that a busy flow leaves time for others.
constexpr size_t max_read_datagrams = 32, max_read_chunks = 64;
/// How long after a read that found no room the next one comes.
constexpr Time read_retry_delay = millisecond;
/// A one-shot flow may make room for another one when it was idle for so long.
constexpr Time evictable_after = second;

/// Whether an error tells about the fate of a packet (unlike redirects).
bool is_forwardable(const DatagramError& error) {
    if (error.is_v6) return error.type >= 1 && error.type <= wire::icmpv6::parameter_problem;
    return error.type == wire::icmpv4::destination_unreachable ||
           error.type == wire::icmpv4::time_exceeded ||
           error.type == wire::icmpv4::parameter_problem;
}

/// The first datagram of a queue without the others, not owned.
Chain first_datagram(ChunkArena& arena, const DatagramQueue& queue) {
    Chain first;
    for (ChunkId id = queue.front(); id != no_chunk; id = arena.meta(id).next) {
        if (first.empty()) first.head = id;
        first.tail = id;
        ++first.count;
        first.bytes += arena.meta(id).len;
        if (arena.meta(id).flags == end_of_datagram) break;
    }
    return first;
}

DatagramOptions options_of(const Packet& packet, ChunkArena& arena) {
    DatagramOptions options{packet.ip.hop_limit, packet.ip.traffic_class, true};
    if (is_reassembled(arena, packet.frame)) {
        options.dont_fragment = false;
    } else if (packet.ip.dst.is_v4()) {
        constexpr size_t flags_offset = 6;
        constexpr uint8_t dont_fragment = 0x40;
        options.dont_fragment = (packet.from_ip(arena)[flags_offset] & dont_fragment) != 0;
    }
    return options;
}

/// Leaves the `length` bytes after the first `headers` ones; at least one chunk stays.
Chain cut(ChunkCache& chunks, Chain frame, uint32_t headers, uint32_t length) {
    if (length == 0) {
        truncate(chunks, frame, 1);
        chunks.arena().meta(frame.head).len = 0;
        frame.bytes = 0;
        return frame;
    }
    trim_front(chunks, frame, headers);
    truncate(chunks, frame, length);
    return frame;
}

}  // namespace

void DatagramEngine::enqueue(Packet& packet, const FlowKey& key, uint32_t headers,
                             uint32_t length) {
    DatagramFlow* flow = slab_.find(context_.table.find(key));
    if (flow == nullptr)
        flow = create(key, host_target(packet.port.config, key.peer, key.peer_port));
    if (flow == nullptr) return context_.chunks.unref(packet.frame);
    const DatagramOptions options = options_of(packet, context_.arena());
    Chain datagram = cut(context_.chunks, packet.frame, headers, length);
    const uint32_t memory = std::min(max_queued_bytes, context_.limits.hold_bytes);
    if ((flow->to_sock.chunks() + datagram.count) * chunk_size > memory) {
        ++context_.counters.udp_send_failed;
        context_.chunks.unref(datagram);
        return;
    }
    flow->guest_mac = packet.src_mac;
    flow->sent_more = flow->sent;
    flow->sent = true;
    touch(*flow);
    flow->to_sock.push(context_.arena(), datagram, options);
    queue_send(*flow);
}

DatagramFlow* DatagramEngine::begin_inbound(const FlowKey& key, const HostTarget& client,
                                            const Endpoint& local) {
    const Port* port = context_.port(key.port);
    if (port == nullptr) return nullptr;
    DatagramFlow* flow = slab_.find(context_.table.find(key));
    if (flow != nullptr && flow->local == local && flow->target == client) return flow;
    if (flow != nullptr) close(*flow);
    flow = create(key, client);
    if (flow == nullptr) return nullptr;
    flow->local = local;
    flow->guest_mac = port->guest_mac;
    return flow;
}

DatagramFlow* DatagramEngine::create(const FlowKey& key, const HostTarget& target) {
    DatagramFlow* flow = slab_.create();
    if (flow == nullptr && evict_idle()) flow = slab_.create();
    if (flow == nullptr) {
        ++context_.counters.drop_flow_limit;
        return nullptr;
    }
    flow->key = key;
    flow->target = target;
    flow->identification = static_cast<uint32_t>(hash(context_.secrets.isn, key));
    flow->idle_check = context_.now + traits_.one_shot_timeout;
    context_.table.insert(key, flow->id);
    context_.timers.arm(flow->id, flow->idle_check);
    context_.ops.push({flow->id, traits_.open});
    ++(context_.counters.*traits_.flows);
    return flow;
}

void DatagramEngine::close(DatagramFlow& flow) {
    if (flow.socket >= 0) context_.ops.push({flow.id, SocketOpKind::datagram_close, flow.socket});
    unlink(flow);
    flow.to_sock.clear(context_.chunks);
    context_.chunks.unref(flow.rejection);
    context_.table.erase(flow.key);
    slab_.destroy(flow);
}

bool DatagramEngine::evict_idle() {
    if (oldest_ == nullptr || context_.now - oldest_->last_activity < evictable_after) return false;
    close(*oldest_);
    return true;
}

/// Notes activity; one-shot flows are kept in its order.
void DatagramEngine::touch(DatagramFlow& flow) {
    flow.last_activity = context_.now;
    unlink(flow);
    if (flow.is_stream()) return;
    flow.older = newest_;
    (newest_ != nullptr ? newest_->newer : oldest_) = &flow;
    newest_ = &flow;
}

void DatagramEngine::unlink(DatagramFlow& flow) {
    if (flow.older == nullptr && oldest_ != &flow) return;
    (flow.older != nullptr ? flow.older->newer : oldest_) = flow.newer;
    (flow.newer != nullptr ? flow.newer->older : newest_) = flow.older;
    flow.older = flow.newer = nullptr;
}

void DatagramEngine::queue_send(DatagramFlow& flow) {
    if (flow.socket < 0 || flow.send_blocked || flow.send_queued || flow.to_sock.empty()) return;
    flow.send_queued = true;
    context_.ops.push({flow.id, traits_.send, flow.socket});
}

void DatagramEngine::queue_read(DatagramFlow& flow) {
    if (flow.socket < 0 || flow.read_queued) return;
    flow.read_queued = true;
    context_.ops.push({flow.id, traits_.read, flow.socket});
}

void DatagramEngine::retry_read_later(DatagramFlow& flow) {
    if (flow.read_retry) return;
    flow.read_retry = true;
    context_.timers.arm(flow.id, context_.now + read_retry_delay);
}

void DatagramEngine::on_ready(FlowId id, const Readiness& ready) {
    DatagramFlow* flow = slab_.find(id);
    if (flow == nullptr) return;
    if (ready.error) flow->error_pending = true;
    if (ready.readable || ready.error) queue_read(*flow);
    if (!ready.writable) return;
    flow->send_blocked = false;
    queue_send(*flow);
}

void DatagramEngine::on_deadline(FlowId id) {
    DatagramFlow* flow = slab_.find(id);
    if (flow == nullptr) return;
    if (flow->read_retry) {
        flow->read_retry = false;
        queue_read(*flow);
    }
    if (context_.now < flow->idle_check) return;
    const Time timeout = flow->is_stream() ? traits_.stream_timeout : traits_.one_shot_timeout;
    if (context_.now - flow->last_activity >= timeout) {
        close(*flow);
        return;
    }
    flow->idle_check = flow->last_activity + timeout;
    context_.timers.arm(flow->id, flow->idle_check);
}

void DatagramEngine::close_port(PortId port) {
    slab_.for_each([&](DatagramFlow& flow) {
        if (flow.key.port == port) close(flow);
    });
}

void DatagramEngine::on_opened(FlowId id, SocketHandle socket) {
    DatagramFlow* flow = slab_.find(id);
    assert(flow != nullptr && flow->socket < 0);
    flow->socket = socket;
    queue_send(*flow);
}

void DatagramEngine::on_open_failed(FlowId id, int error) {
    DatagramFlow* flow = slab_.find(id);
    if (flow == nullptr) return;
    if (is_exhaustion(error))
        ++context_.counters.socket_exhausted;
    else
        report_first(*flow, error, 0);
    context_.counters.udp_send_failed.add(flow->to_sock.datagrams());
    close(*flow);
}

DatagramFlow* DatagramEngine::start_send(FlowId id) {
    DatagramFlow* flow = slab_.find(id);
    if (flow != nullptr) flow->send_queued = false;
    return flow;
}

DatagramFlow* DatagramEngine::start_read(FlowId id) {
    DatagramFlow* flow = slab_.find(id);
    if (flow != nullptr) flow->read_queued = false;
    return flow;
}

void DatagramEngine::on_sent(DatagramFlow& flow, size_t datagrams) {
    (context_.counters.*traits_.to_sock).add(datagrams);
    for (; datagrams > 0; --datagrams)
        flow.to_sock.pop(context_.chunks);
}

void DatagramEngine::on_send_failed(DatagramFlow& flow, int error, uint32_t mtu) {
    ++context_.counters.udp_send_failed;
    report_first(flow, error, mtu);
    flow.to_sock.pop(context_.chunks);
}

void DatagramEngine::on_send_done(DatagramFlow& flow, bool blocked) {
    flow.send_blocked = blocked;
    queue_send(flow);
}

ReadPlan DatagramEngine::plan_read(DatagramFlow& flow) {
    const Port& port = port_of(flow);
    // Any datagram may turn out to be the largest there is, in one frame or in fragments.
    const size_t fragments = 65535 / port.config.mtu + 1;
    const size_t slices_each = max_tx_slices + (fragments > 1 ? 2 * fragments : 0);
    ReadPlan plan;
    plan.chunks_each = flow.read_chunks;
    plan.datagrams = std::min(
        {max_read_datagrams, max_read_chunks / plan.chunks_each, port.tx.room() / slices_each});
    if (plan.datagrams == 0) retry_read_later(flow);
    return plan;
}

void DatagramEngine::on_datagram(DatagramFlow& flow, Chain payload,
                                 const ReceivedOptions& options) {
    if (!deliver(flow, payload, options)) return;
    flow.received_more = flow.received_more || flow.received;
    flow.received = true;
    touch(flow);
}

void DatagramEngine::on_read_done(DatagramFlow& flow, ReadEnd end, size_t chunks_each) {
    if (chunks_each > 0)
        flow.read_chunks = static_cast<uint8_t>(std::min(chunks_each, max_tx_slices - size_t{1}));
    if (end == ReadEnd::more) queue_read(flow);
    if (end == ReadEnd::starved) {
        ++context_.counters.drop_no_chunk;
        retry_read_later(flow);
    }
}

void DatagramEngine::on_error(DatagramFlow& flow, const DatagramError& error) {
    if (error.is_v6 != flow.key.peer.is_v6() || !is_forwardable(error)) return;
    // The pointer of an ICMPv4 parameter problem is the first of the four bytes.
    const bool pointer = !error.is_v6 && error.type == wire::icmpv4::parameter_problem;
    const wire::IcmpError header{error.type, error.code, 0,
                                 pointer ? error.info << 24 : error.info};
    std::optional<wire::IpAddress> offender = error.offender;
    if (offender == flow.target.address) offender = flow.key.peer;
    report(flow, header, offender, error.original, static_cast<uint32_t>(error.original.size()));
}

void DatagramEngine::report_first(DatagramFlow& flow, int error, uint32_t mtu) {
    auto icmp = icmp_for_errno(error, flow.key.peer.is_v4());
    if (!icmp || flow.to_sock.empty()) return;
    icmp->info = mtu;
    const Chain first = first_datagram(context_.arena(), flow.to_sock);
    std::array<uint8_t, max_quote> bytes;
    const size_t n = copy_out(context_.arena(), first,
                              std::span{bytes}.first(std::min<size_t>(first.bytes, max_quote)));
    report(flow, *icmp, std::nullopt, std::span{bytes}.first(n), first.bytes);
}

void DatagramEngine::report(DatagramFlow& flow, const wire::IcmpError& error,
                            const std::optional<wire::IpAddress>& offender, wire::Bytes original,
                            uint32_t original_length) {
    std::array<uint8_t, max_quote> upper;
    const size_t n = quote(flow, original, original_length, upper);
    IcmpErrorMessage message;
    message.error = error;
    message.offender = offender;
    message.guest = flow.key.guest;
    message.peer = flow.key.peer;
    message.protocol = static_cast<uint8_t>(flow.key.protocol);
    if (flow.options) message.options = *flow.options;
    message.upper_length = traits_.header_size + original_length;
    message.upper = wire::Bytes{upper}.first(n);
    send_icmp_error(context_, port_of(flow), flow.guest_mac, message);
}

Envelope DatagramEngine::envelope(const DatagramFlow& flow, const ReceivedOptions& options) const {
    Envelope e;
    e.src_mac = context_.port(flow.key.port)->config.our_mac;
    e.dst_mac = flow.guest_mac;
    e.src = flow.key.peer;
    e.dst = flow.key.guest;
    e.protocol = static_cast<uint8_t>(flow.key.protocol);
    e.hop_limit = options.hop_limit;
    e.traffic_class = options.traffic_class;
    return e;
}

}  // namespace pasta::core
