#include "dataplane/shard/shard.hpp"

#include <algorithm>

#include "dataplane/core/tcp_constants.hpp"
#include "dataplane/shard/clock.hpp"

namespace pasta::shard {

PostOffice::PostOffice(uint16_t shards) : old_flows_(shards) {
    for (size_t i = 0; i < size_t{shards} * shards; ++i) {
        boxes_.push_back(std::make_unique<Mailbox<Handover>>(box_capacity));
        arrivals_.push_back(std::make_unique<Mailbox<host::Arrival>>(arrivals_capacity));
        sightings_.push_back(std::make_unique<Mailbox<core::Sighting>>(sightings_capacity));
    }
    for (uint16_t i = 0; i < shards; ++i)
        wakeups_.push_back(std::make_unique<Wakeup>());
}

bool PostOffice::has_mail(uint16_t shard) {
    for (uint16_t from = 0; from < shards(); ++from)
        if (from != shard && (!box(from, shard).empty() || !arrivals(from, shard).empty() ||
                              !sightings(from, shard).empty()))
            return true;
    return false;
}

Shard::Shard(uint16_t index, core::ChunkArena& arena, io::ChunkRing& chunks, PostOffice& post,
             const core::Secrets& secrets)
    : index_(index),
      free_chunks_(chunks),
      post_(post),
      cache_(arena, chunks, std::min(max_stock, arena.size() / 8 / post.shards())),
      engine_(cache_, secrets, {index, post.shards(), secrets.flow_hash, false}),
      tcp_sockets_(poller_, engine_.context(), engine_.tcp()),
      splice_(poller_, engine_.context().counters, secrets.table),
      datagram_sockets_(poller_, engine_.context(), engine_.udp(), engine_.echo(), arrivals_),
      listeners_(poller_, cache_, engine_.context().counters,
                 [this](const host::ListenerConfig& listener, int fd, uint16_t port,
                        std::span<const host::UdpBurst> bursts) {
                     splice_datagrams(listener, fd, port, bursts);
                 }) {
    engine_.context().ack_delay = core::tcp_ack_delay;
    splice_.udp().set_error_sink(
        [this](const splice::UdpFlow& flow, int error) { refuse_datagrams(flow, error); });
    poller_.add_wakeup(post_.wakeup(index_).fd());
}

Shard::~Shard() {
    while (!ports_.empty())
        detach(ports_.back().id);
    while (!engine_.context().ops.empty())
        execute_socket_ops();
    for (uint16_t from = 0; from < post_.shards(); ++from)
        for (size_t n; (n = post_.box(from, index_).pop(mail_)) != 0;)
            for (Handover& mail : std::span{mail_}.first(n))
                cache_.unref(mail.frame);
    for (uint16_t from = 0; from < post_.shards(); ++from)
        for (size_t n; (n = post_.arrivals(from, index_).pop(arrival_mail_)) != 0;)
            arrivals_.insert(arrivals_.end(), arrival_mail_.begin(), arrival_mail_.begin() + n);
    for (host::Arrival& arrival : arrivals_)
        host::turn_away(arrival, cache_);
}

Turn Shard::run_once(core::Time now, core::Time patience) {
    engine_.set_time(now);
    update_limits();
    const uint64_t bytes_before = bytes_moved();
    const size_t frames = receive_frames();
    size_t work = frames + drain_mailboxes();
    share_sightings();
    work += run_commands();
    work += poll_sockets(work == 0 ? sleep_time(now, patience) : 0);
    work += begin_arrivals();
    splice_.run(engine_.now());
    engine_.run_timers();
    listeners_.run_timers(engine_.now());
    work += execute_socket_ops();
    engine_.flush();
    work += transmit_frames();
    publish();
    return classify(work, frames, bytes_moved() - bytes_before);
}

Turn Shard::classify(size_t work, size_t frames, uint64_t bytes) {
    if (work == 0) return Turn::idle;
    const bool more = frames >= burst || !engine_.context().ops.empty() || splice_.pending();
    return !more && (frames >= bulk_frames || bytes >= bulk_bytes) ? Turn::bulk : Turn::active;
}

uint64_t Shard::bytes_moved() {
    const core::Counters& counters = engine_.context().counters;
    return counters.tcp_bytes_to_sock.value() + counters.tcp_bytes_to_tap.value();
}

size_t Shard::receive_frames() {
    size_t total = 0;
    for (Served& served : ports_) {
        const size_t n = served.port->receive(frames_);
        for (size_t i = 0; i < n; ++i)
            handle(served.id, frames_[i], 0);
        total += n;
    }
    return total;
}

size_t Shard::drain_mailboxes() {
    size_t total = 0;
    for (uint16_t from = 0; from < post_.shards(); ++from) {
        if (from == index_) continue;
        const size_t n = post_.box(from, index_).pop(mail_);
        for (size_t i = 0; i < n; ++i)
            handle(mail_[i].port, mail_[i].frame, mail_[i].hops);
        const size_t clients = post_.arrivals(from, index_).pop(arrival_mail_);
        arrivals_.insert(arrivals_.end(), arrival_mail_.begin(), arrival_mail_.begin() + clients);
        const size_t sightings = post_.sightings(from, index_).pop(sighting_mail_);
        for (const core::Sighting& seen : std::span{sighting_mail_}.first(sightings))
            if (core::Port* port = engine_.context().port(seen.port))
                port->note_source(seen.address);
        total += n + clients + sightings;
    }
    return total;
}

// What a full mailbox does not take is told by the next packet from another address.
void Shard::share_sightings() {
    for (const core::Sighting& seen : engine_.context().sightings)
        for (uint16_t to = 0; to < post_.shards(); ++to)
            if (to != index_ && post_.sightings(index_, to).push(seen)) post_.wakeup(to).notify();
    engine_.context().sightings.clear();
}

// To the engine, or to the shard that the engine names.
void Shard::handle(core::PortId port, core::Chain frame, uint16_t hops) {
    const auto elsewhere = engine_.on_frame(port, frame, hops);
    if (!elsewhere) return;
    core::Counters& counters = engine_.context().counters;
    if (!post_.box(index_, *elsewhere).push({frame, port, static_cast<uint16_t>(hops + 1)})) {
        ++counters.drop_mailbox_full;
        cache_.unref(frame);
        return;
    }
    ++counters.frames_handed_over;
    post_.wakeup(*elsewhere).notify();
}

size_t Shard::run_commands() {
    std::array<Command*, command_burst> commands;
    const size_t n = commands_.pop(commands);
    for (size_t i = 0; i < n; ++i)
        commands[i]->run(*this);
    return n;
}

bool Shard::post(Command& command) {
    if (!commands_.push(&command)) return false;
    post_.wakeup(index_).notify();
    return true;
}

// How long poll_sockets() may sleep: not while anything waits to be done without an event.
core::Time Shard::sleep_time(core::Time now, core::Time patience) {
    if (patience == 0 || !engine_.context().ops.empty() || splice_.pending() || !arrivals_.empty())
        return 0;
    for (const Served& served : ports_) {
        if (served.port->tx_pending()) return 0;
        if (served.port->starved()) patience = std::min(patience, starved_patience);
    }
    const core::Time deadline =
        std::min({engine_.next_deadline(), listeners_.next_deadline(), splice_.next_deadline()});
    if (deadline <= now) return 0;
    return std::min(patience, deadline == core::never ? core::never : deadline - now);
}

size_t Shard::poll_sockets(core::Time timeout) {
    Wakeup& wakeup = post_.wakeup(index_);
    if (timeout != 0) {
        wakeup.going_to_sleep();
        if (!commands_.empty() || post_.has_mail(index_)) timeout = 0;
    }
    const bool slept = timeout != 0;
    const auto events = poller_.wait(timeout);
    wakeup.awake();
    if (slept) engine_.set_time(std::max(engine_.now(), monotonic_now()));
    for (const auto& event : events)
        on_ready(event);
    // A sleep that ended was work: whatever ended it is handled in the next turn.
    return events.size() + (slept ? 1 : 0);
}

void Shard::on_ready(const host::SocketPoller::Event& event) {
    switch (event.flow.kind()) {
        case core::FlowKind::tcp:
            return tcp_sockets_.on_ready(event.flow, event.ready);
        case core::FlowKind::listener:
            return listeners_.on_ready(event.flow, engine_.now(), arrivals_);
        case core::FlowKind::splice_tcp_client:
        case core::FlowKind::splice_tcp_target:
        case core::FlowKind::splice_udp:
            return splice_.on_ready(event.flow, event.ready, engine_.now());
        default:
            return engine_.on_ready(event.flow, event.ready);
    }
}

size_t Shard::execute_socket_ops() {
    core::SocketOps& ops = engine_.context().ops;
    size_t n = 0;
    for (; n < op_burst && !ops.empty(); ++n) {
        const core::SocketOp op = ops.pop();
        switch (op.flow.kind()) {
            case core::FlowKind::tcp:
                tcp_sockets_.execute(op);
                break;
            default:
                datagram_sockets_.execute(op);
        }
    }
    return n;
}

size_t Shard::transmit_frames() {
    size_t total = 0;
    for (Served& served : ports_) {
        core::Port* port = engine_.context().port(served.id);
        total += served.port->transmit(port->tx);
        if (served.port->tx_pending()) served.port->flush();
    }
    return total;
}

void Shard::update_limits() {
    engine_.context().limits =
        core::MemoryLimits::for_free_chunks(free_chunks_.available() + cache_.stock());
}

void Shard::publish() {
    if (post_.shards() == 1) return;
    post_.old_flows(index_).store(engine_.context().table.old_flows(), std::memory_order_relaxed);
    // First this: a shard that has its new secret has published its old flows before.
    bool search = post_.rekeying().load();
    for (uint16_t i = 0; i < post_.shards(); ++i)
        search |= post_.old_flows(i).load(std::memory_order_relaxed) != 0;
    engine_.steering().search = search;
}

void Shard::attach(const core::PortConfig& config, std::unique_ptr<io::FramePort> port) {
    port->bind_cache(cache_);
    poller_.add_wakeup(port->wait_fd());
    engine_.attach(config);
    ports_.push_back({config.id, std::move(port)});
}

void Shard::rekey(const core::SipKey& flow_hash) {
    engine_.rekey(flow_hash);
    publish();
}

io::PortStatistics Shard::detach(core::PortId id) {
    splice_.detach(id);
    // What the engine still has to say to the namespace (resets) is lost with the link.
    engine_.detach(id);
    io::PortStatistics statistics;
    const auto served =
        std::find_if(ports_.begin(), ports_.end(), [id](const Served& s) { return s.id == id; });
    if (served == ports_.end()) return statistics;
    statistics = served->port->statistics();
    poller_.remove(served->port->wait_fd());
    ports_.erase(served);
    return statistics;
}

}  // namespace pasta::shard
