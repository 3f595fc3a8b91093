#include "tests/sim/sim_shard.hpp"

#include <cerrno>

#include "dataplane/core/chain.hpp"

namespace pasta::sim {

using core::SocketOpKind;
using core::SocketResult;

namespace {
core::Steering steering(const SimShard::Options& o) {
    return {o.index, o.shards, o.secrets.flow_hash, false};
}
}  // namespace

SimShard::SimShard(const Options& options, core::ChunkArena& arena, ScarceChunkSource& source,
                   Random& random, SimHost& host)
    : options_(options),
      source_(source),
      random_(random),
      host_(host),
      cache_(arena, source),
      engine_(cache_, options.secrets, steering(options)) {
    engine_.set_time(core::second);
    engine_.attach(options.port);
}

SimShard::~SimShard() {
    for (core::Chain& frame : received_)
        cache_.unref(frame);
    for (SimHandover& mail : mail_)
        cache_.unref(mail.frame);
    engine_.detach(options_.port.id);
}

void SimShard::receive(std::span<const uint8_t> frame) {
    core::Chain chain = core::copy_in(cache_, frame, core::rx_headroom);
    if (chain.empty()) return;
    ++frames_received_;
    received_.push_back(chain);
}

void SimShard::deliver(core::FlowId flow, ByteVector datagram) {
    const core::DatagramFlow* record = datagrams(flow).find(flow);
    if (record == nullptr || record->socket < 0) return;
    datagram_.at(record->socket).arrived.push_back(std::move(datagram));
    ready_.insert(record->socket);
}

bool SimShard::busy() {
    return !received_.empty() || !mail_.empty() || !arrivals_.empty() || !ready_.empty() ||
           !engine_.context().ops.empty() || !engine_.context().port(options_.port.id)->tx.empty();
}

// The order of Shard::run_once().
void SimShard::turn(core::Time now) {
    engine_.set_time(now);
    engine_.context().limits = core::MemoryLimits::for_free_chunks(source_.size() + cache_.stock());
    for (size_t n = random_.between(1, 64); n > 0 && !received_.empty(); --n) {
        const core::Chain frame = received_.front();
        received_.pop_front();
        handle(frame, 0);
    }
    for (size_t n = random_.between(1, 64); n > 0 && !mail_.empty(); --n) {
        const SimHandover mail = mail_.front();
        mail_.pop_front();
        handle(mail.frame, mail.hops);
    }
    for (size_t n = arrivals_.size(); n > 0; --n) {
        handle(arrivals_.front());
        arrivals_.pop_front();
    }
    poll();
    engine_.run_timers();
    core::SocketOps& ops = engine_.context().ops;
    for (size_t n = random_.between(1, 256); n > 0 && !ops.empty(); --n)
        execute(ops.pop());
    engine_.flush();
    check_memory();
    transmit();
    if (random_.chance(0.2)) cache_.flush();
    engine_.steering().search = host_.searching();
}

// No flow holds more than its share of all chunks, whatever its readers do. The window that was
// promised when more was free still counts.
void SimShard::check_memory() {
    const auto most = core::MemoryLimits::for_free_chunks(cache_.arena().size());
    for (const auto& [fd, entry] : tcp_) {
        const core::TcpFlow* flow = engine_.tcp().find(entry.first);
        if (flow == nullptr) continue;
        if (flow->to_sock.bytes > most.hold_bytes ||
            flow->out_of_order.count > most.hold_bytes / 1024)
            host_.complain("a flow holds too much from the guest");
        if (flow->to_tap.bytes > most.in_flight_bytes)
            host_.complain("a flow holds too much for the guest");
        // Chunks may be mostly empty until they are as much memory as the limit; then they are not.
        if (flow->to_sock.count >
            most.hold_bytes / core::chunk_size + flow->to_sock.bytes / 1024 + 2)
            host_.complain("a flow holds too many chunks from the guest");
    }
}

void SimShard::handle(core::Chain frame, unsigned hops) {
    const auto elsewhere = engine_.on_frame(options_.port.id, frame, hops);
    if (elsewhere) host_.hand_over(*elsewhere, {frame, hops + 1});
}

void SimShard::handle(const SimArrival& arrival) {
    const auto owner = engine_.inbound_owner(arrival.key, arrival.hops);
    if (!owner) return host_.turn_away(arrival.key);
    if (*owner != options_.index)
        return host_.hand_over(*owner, SimArrival{arrival.key, arrival.hops + 1});
    const int fd = next_fd_++;
    const core::FlowId id = engine_.tcp().accept(arrival.key, fd);
    if (!id) return host_.complain("a client was refused");
    tcp_.emplace(fd,
                 std::pair{id, host_.accept_tcp(arrival.key, [this, fd] { ready_.insert(fd); })});
    ready_.insert(fd);
}

// Reports sockets as epoll and TcpSockets::on_ready do.
void SimShard::poll() {
    for (const int fd : std::exchange(ready_, {})) {
        if (const auto datagram = datagram_.find(fd); datagram != datagram_.end()) {
            engine_.on_ready(datagram->second.flow, {.readable = true, .writable = true});
            continue;
        }
        const auto found = tcp_.find(fd);
        if (found == tcp_.end()) continue;
        const auto [id, socket] = found->second;
        const core::Readiness ready = socket->readiness();
        const core::TcpFlow* flow = engine_.tcp().find(id);
        if (flow != nullptr && flow->state == core::TcpState::connecting) {
            const int error = ready.error ? socket->take_error() : 0;
            if (error != 0) {
                engine_.tcp().on_connect_failed(id, error);
                continue;
            }
            if (!ready.writable) continue;
            engine_.tcp().on_connected(id);
        }
        engine_.on_ready(id, ready);
    }
}

core::DatagramEngine& SimShard::datagrams(core::FlowId flow) {
    if (flow.kind() == core::FlowKind::udp) return engine_.udp();
    return engine_.echo();
}

void SimShard::execute(const core::SocketOp& op) {
    if (op.flow.kind() != core::FlowKind::tcp) return execute_datagram(op);
    switch (op.kind) {
        case SocketOpKind::tcp_connect:
            return connect(op.flow);
        case SocketOpKind::tcp_send:
            return send(op.flow);
        case SocketOpKind::tcp_read:
            return read(op.flow);
        case SocketOpKind::tcp_shutdown: {
            const core::TcpFlow* flow = engine_.tcp().find(op.flow);
            if (flow != nullptr && flow->socket >= 0)
                tcp_.at(flow->socket).second->shutdown_write();
            return;
        }
        case SocketOpKind::tcp_close:
        case SocketOpKind::tcp_abort:
            return close(op);
        default:
            host_.complain("an operation that is not TCP's");
    }
}

void SimShard::close(const core::SocketOp& op) {
    const auto found = tcp_.find(op.socket);
    if (found == tcp_.end()) return host_.complain("a socket was closed twice");
    if (op.kind == SocketOpKind::tcp_abort)
        found->second.second->abort();
    else
        found->second.second->close();
    tcp_.erase(found);
}

void SimShard::connect(core::FlowId id) {
    const core::TcpFlow* flow = engine_.tcp().find(id);
    if (flow == nullptr) return;
    const int fd = next_fd_++;
    const auto [socket, error] = host_.open_tcp(flow->key, [this, fd] { ready_.insert(fd); });
    if (socket == nullptr) return engine_.tcp().on_connect_failed(id, error);
    tcp_.emplace(fd, std::pair{id, socket});
    engine_.tcp().on_socket(id, fd);
}

void SimShard::send(core::FlowId id) {
    const core::TcpFlow* flow = engine_.tcp().find(id);
    if (flow == nullptr || flow->socket < 0) return;
    ByteVector bytes(flow->to_sock.bytes);
    core::copy_out(cache_.arena(), flow->to_sock, bytes);
    const ptrdiff_t n = tcp_.at(flow->socket).second->send(bytes);
    if (n >= 0)
        engine_.tcp().on_sent(id, static_cast<size_t>(n),
                              static_cast<size_t>(n) == bytes.size() ? SocketResult::done
                                                                     : SocketResult::would_block);
    else if (n == -EAGAIN)
        engine_.tcp().on_sent(id, 0, SocketResult::would_block);
    else
        engine_.tcp().on_sent(id, 0, SocketResult::error, static_cast<int>(-n));
}

void SimShard::read(core::FlowId id) {
    const core::TcpFlow* flow = engine_.tcp().find(id);
    if (flow == nullptr || flow->socket < 0) return;
    HostSocket& socket = *tcp_.at(flow->socket).second;
    const core::TcpReadPlan plan = engine_.tcp().plan_read(*flow);
    core::ChunkArena& arena = cache_.arena();
    core::Chain room;
    for (uint32_t left = plan.bytes, segment_left = 0; left > 0;) {
        const core::ChunkId chunk = cache_.alloc();
        if (chunk == core::no_chunk) break;
        const bool first = segment_left == 0;
        if (first) segment_left = plan.segment;
        const size_t offset = first ? core::header_room : core::tx_metadata_size;
        const auto length = static_cast<uint32_t>(
            std::min<size_t>({core::chunk_size - offset, segment_left, left}));
        core::ChunkMeta& meta = arena.meta(chunk);
        meta.offset = static_cast<uint16_t>(offset);
        meta.len = static_cast<uint16_t>(length);
        meta.flags = first ? core::chunk_starts_segment : 0;
        room.append(arena, chunk);
        segment_left -= length;
        left -= length;
    }
    if (room.empty()) return engine_.tcp().on_read(id, {}, SocketResult::no_chunks);
    ByteVector bytes(room.bytes);
    const ptrdiff_t n = socket.receive(bytes);
    core::truncate(cache_, room, n > 0 ? static_cast<uint32_t>(n) : 0);
    size_t done = 0;
    for (core::ChunkId chunk = room.head; chunk != core::no_chunk; chunk = arena.meta(chunk).next) {
        std::memcpy(arena.bytes(chunk).data(), &bytes[done], arena.meta(chunk).len);
        done += arena.meta(chunk).len;
    }
    if (n > 0)
        engine_.tcp().on_read(id, room,
                              static_cast<size_t>(n) == bytes.size() ? SocketResult::done
                                                                     : SocketResult::would_block);
    else if (n == 0)
        engine_.tcp().on_read(id, {}, SocketResult::eof);
    else if (n == -EAGAIN)
        engine_.tcp().on_read(id, {}, SocketResult::would_block);
    else
        engine_.tcp().on_read(id, {}, SocketResult::error, static_cast<int>(-n));
}

void SimShard::execute_datagram(const core::SocketOp& op) {
    core::DatagramEngine& engine = datagrams(op.flow);
    switch (op.kind) {
        case SocketOpKind::udp_open:
        case SocketOpKind::echo_open: {
            if (engine.find(op.flow) == nullptr) return;
            if (host_.refuse_datagram_socket()) return engine.on_open_failed(op.flow, EMFILE);
            const int fd = next_fd_++;
            datagram_[fd].flow = op.flow;
            ready_.insert(fd);
            return engine.on_opened(op.flow, fd);
        }
        case SocketOpKind::udp_send:
        case SocketOpKind::echo_send:
            return send_datagrams(engine, op.flow);
        case SocketOpKind::udp_read:
        case SocketOpKind::echo_read:
            return read_datagrams(engine, op.flow);
        case SocketOpKind::datagram_close:
            if (datagram_.erase(op.socket) != 1) host_.complain("a socket was closed twice");
            return;
        default:
            host_.complain("an operation of TCP");
    }
}

void SimShard::send_datagrams(core::DatagramEngine& engine, core::FlowId id) {
    core::DatagramFlow* flow = engine.start_send(id);
    if (flow == nullptr) return;
    bool blocked = false;
    while (!flow->to_sock.empty() && !blocked) {
        ByteVector payload;
        for (core::ChunkId c = flow->to_sock.front();; c = cache_.arena().meta(c).next) {
            const auto bytes = cache_.arena().bytes(c);
            payload.insert(payload.end(), bytes.begin(), bytes.end());
            if (cache_.arena().meta(c).flags == core::end_of_datagram) break;
        }
        host_.on_datagram(options_.index, id, flow->key, std::move(payload));
        engine.on_sent(*flow, 1);
        blocked = random_.chance(0.1);
    }
    if (blocked) ready_.insert(flow->socket);
    engine.on_send_done(*flow, blocked);
}

void SimShard::read_datagrams(core::DatagramEngine& engine, core::FlowId id) {
    core::DatagramFlow* flow = engine.start_read(id);
    if (flow == nullptr) return;
    std::deque<ByteVector>& arrived = datagram_.at(flow->socket).arrived;
    const core::ReadPlan plan = engine.plan_read(*flow);
    if (plan.datagrams == 0) return;
    size_t most_chunks = 0;
    for (size_t i = 0; i < plan.datagrams && !arrived.empty(); ++i) {
        const core::ChunkId first = cache_.alloc();
        if (first == core::no_chunk)
            return engine.on_read_done(*flow, core::ReadEnd::starved, most_chunks);
        const ByteVector datagram = std::move(arrived.front());
        arrived.pop_front();
        const size_t n = std::min(datagram.size(), core::chunk_size - core::header_room);
        core::ChunkMeta& meta = cache_.arena().meta(first);
        meta.offset = core::header_room;
        meta.len = static_cast<uint16_t>(n);
        if (n != 0) std::memcpy(cache_.arena().bytes(first).data(), datagram.data(), n);
        core::Chain payload;
        payload.append(cache_.arena(), first);
        core::Chain rest = core::copy_in(cache_, std::span{datagram}.subspan(n));
        if (rest.bytes + n != datagram.size()) {
            cache_.unref(payload);  // the receiver loses such a datagram as well
            continue;
        }
        payload.append(cache_.arena(), rest);
        most_chunks = std::max<size_t>(most_chunks, payload.count);
        engine.on_datagram(*flow, payload, {});
    }
    engine.on_read_done(*flow, arrived.empty() ? core::ReadEnd::drained : core::ReadEnd::more,
                        most_chunks);
}

// A device that takes few frames at a time now and then.
void SimShard::transmit() {
    core::TxQueue& tx = engine_.context().port(options_.port.id)->tx;
    for (size_t left = random_.chance(0.1) ? random_.below(4) : SIZE_MAX; left > 0 && !tx.empty();
         --left) {
        const core::TxFrame info = tx.front();
        ByteVector bytes;
        for (size_t i = 0; i < info.slices; ++i) {
            const core::Slice& slice = tx.front_slice(i);
            if (slice.offset < core::tx_metadata_size ||
                size_t{slice.offset} + slice.len > core::chunk_size || slice.len == 0)
                host_.complain("a slice outside its chunk, or without room for metadata");
            const auto part = cache_.arena().bytes(slice);
            bytes.insert(bytes.end(), part.begin(), part.end());
        }
        for (size_t i = 0; i < info.slices; ++i)
            cache_.unref(tx.front_slice(i).chunk);
        tx.pop();
        host_.on_frame_to_guest(std::move(bytes), info);
    }
}

}  // namespace pasta::sim
