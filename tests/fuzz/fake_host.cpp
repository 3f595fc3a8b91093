#include "tests/fuzz/fake_host.hpp"

#include <cerrno>
#include <utility>
#include <vector>

#include "dataplane/core/chain.hpp"

namespace pasta::fuzz {

using core::SocketOpKind;
using core::SocketResult;

namespace {

constexpr int connect_errors[] = {ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH,
                                  EMFILE,       EACCES,    EADDRNOTAVAIL};
constexpr int datagram_errors[] = {EMFILE, ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, EPERM, ENOBUFS};

}  // namespace

void FakeHost::execute(Input& input, size_t most) {
    core::SocketOps& ops = engine_.context().ops;
    for (; most > 0 && !ops.empty(); --most) {
        const core::SocketOp op = ops.pop();
        if (op.flow.kind() == core::FlowKind::tcp)
            execute_tcp(op, input);
        else
            execute_datagram(op, input);
    }
}

FakeHost::Socket& FakeHost::socket_of(core::SocketHandle handle) {
    const auto found = sockets_.find(handle);
    require(found != sockets_.end(), "an operation on a socket that does not exist");
    return found->second;
}

core::DatagramEngine& FakeHost::datagrams(core::FlowId id) {
    if (id.kind() == core::FlowKind::udp) return engine_.udp();
    return engine_.echo();
}

void FakeHost::report(Input& input) {
    if (sockets_.empty()) return;
    const auto chosen =
        std::next(sockets_.begin(), static_cast<ptrdiff_t>(input.below(sockets_.size())));
    const core::FlowId id = chosen->second.flow;
    const uint8_t bits = input.u8();
    const core::Readiness ready{.readable = (bits & 1) != 0,
                                .writable = (bits & 2) != 0,
                                .error = (bits & 12) == 12,
                                .hangup = (bits & 16) != 0};
    const core::TcpFlow* flow = engine_.tcp().find(id);
    if (flow != nullptr && flow->state == core::TcpState::connecting) {
        if (ready.error) return engine_.tcp().on_connect_failed(id, input.pick(connect_errors));
        engine_.tcp().on_connected(id);
    }
    engine_.on_ready(id, ready);
    if (flow == nullptr && ready.error) report_datagram_error(id, input);
}

// TCP.

void FakeHost::execute_tcp(const core::SocketOp& op, Input& input) {
    const core::TcpFlow* flow = engine_.tcp().find(op.flow);
    switch (op.kind) {
        case SocketOpKind::tcp_connect:
            return connect(op.flow, input);
        case SocketOpKind::tcp_send:
            return send(op.flow, input);
        case SocketOpKind::tcp_read:
            return read(op.flow, input);
        case SocketOpKind::tcp_shutdown:
            if (flow == nullptr || flow->socket < 0) return;
            require(!std::exchange(socket_of(flow->socket).shut, true), "shut down twice");
            return;
        case SocketOpKind::tcp_close:
        case SocketOpKind::tcp_abort:
            require(sockets_.erase(op.socket) == 1, "closed twice");
            return;
        default:
            require(false, "an operation that is not TCP's");
    }
}

void FakeHost::connect(core::FlowId id, Input& input) {
    const core::TcpFlow* flow = engine_.tcp().find(id);
    if (flow == nullptr) return;
    if (input.below(8) == 7) return engine_.tcp().on_connect_failed(id, input.pick(connect_errors));
    const core::SocketHandle handle = next_handle_++;
    sockets_[handle] = {id, flow->rcv_nxt};
    engine_.tcp().on_socket(id, handle);
}

void FakeHost::send(core::FlowId id, Input& input) {
    const core::TcpFlow* flow = engine_.tcp().find(id);
    if (flow == nullptr || flow->socket < 0) return;
    Socket& socket = socket_of(flow->socket);
    require(!socket.shut, "written to after shutdown");
    require(!flow->to_sock.empty(), "nothing to write");
    const uint8_t choice = input.u8();
    if (choice == 0xff) return engine_.tcp().on_sent(id, 0, SocketResult::error, ECONNRESET);
    std::vector<uint8_t> bytes(flow->to_sock.bytes);
    require(core::copy_out(chunks().arena(), flow->to_sock, bytes) == bytes.size(),
            "a chain whose bytes do not add up");
    const size_t taken = choice < 0x80 ? bytes.size() : std::min<size_t>(bytes.size(), input.u16());
    for (size_t i = 0; verifying_ && i < taken; ++i)
        require(bytes[i] == stream_byte(socket.next + static_cast<uint32_t>(i)),
                "wrong bytes to the host");
    socket.next += static_cast<uint32_t>(taken);
    engine_.tcp().on_sent(id, taken,
                          taken == bytes.size() ? SocketResult::done : SocketResult::would_block);
}

void FakeHost::read(core::FlowId id, Input& input) {
    const core::TcpFlow* flow = engine_.tcp().find(id);
    if (flow == nullptr || flow->socket < 0) return;
    Socket& socket = socket_of(flow->socket);
    require(!socket.eof, "read after the end");
    const core::TcpReadPlan plan = engine_.tcp().plan_read(*flow);
    require(plan.bytes <= flow->snd_wnd, "a plan beyond the window");
    const uint8_t choice = input.u8();
    if (plan.bytes == 0 || choice == 1)
        return engine_.tcp().on_read(id, {}, SocketResult::no_chunks);
    if (choice == 0) return engine_.tcp().on_read(id, {}, SocketResult::would_block);
    if (choice == 2) {
        socket.eof = true;
        return engine_.tcp().on_read(id, {}, SocketResult::eof);
    }
    if (choice == 3) return engine_.tcp().on_read(id, {}, SocketResult::error, ECONNRESET);
    const uint32_t wanted =
        choice < 0x80 ? plan.bytes : std::min<uint32_t>(plan.bytes, input.u16() + 1u);
    const core::Chain data = read_chunks(plan, flow->snd_nxt, wanted);
    if (data.empty()) return engine_.tcp().on_read(id, {}, SocketResult::no_chunks);
    engine_.tcp().on_read(
        id, data, data.bytes == plan.bytes ? SocketResult::done : SocketResult::would_block);
}

// Chunks laid out as the plan says and filled with the stream from `seq` on.
core::Chain FakeHost::read_chunks(const core::TcpReadPlan& plan, uint32_t seq, uint32_t bytes) {
    core::ChunkArena& arena = chunks().arena();
    core::Chain data;
    for (uint32_t segment_left = 0; data.bytes < bytes;) {
        const core::ChunkId id = chunks().alloc();
        if (id == core::no_chunk) break;
        const bool first = segment_left == 0;
        if (first) segment_left = plan.segment;
        core::ChunkMeta& meta = arena.meta(id);
        meta.offset = first ? core::header_room : core::tx_metadata_size;
        meta.len = static_cast<uint16_t>(
            std::min<size_t>({core::chunk_size - meta.offset, segment_left, bytes - data.bytes}));
        meta.flags = first ? core::chunk_starts_segment : 0;
        for (uint8_t& byte : arena.bytes(id))
            byte = stream_byte(seq++);
        segment_left -= meta.len;
        data.append(arena, id);
    }
    return data;
}

// UDP and echo.

void FakeHost::execute_datagram(const core::SocketOp& op, Input& input) {
    switch (op.kind) {
        case SocketOpKind::udp_open:
        case SocketOpKind::echo_open:
            return open_datagram(op, input);
        case SocketOpKind::udp_send:
        case SocketOpKind::echo_send:
            return send_datagrams(op.flow, input);
        case SocketOpKind::udp_read:
        case SocketOpKind::echo_read:
            return read_datagrams(op.flow, input);
        case SocketOpKind::datagram_close:
            require(sockets_.erase(op.socket) == 1, "closed twice");
            return;
        default:
            require(false, "an operation that is not of datagrams");
    }
}

void FakeHost::open_datagram(const core::SocketOp& op, Input& input) {
    core::DatagramEngine& engine = datagrams(op.flow);
    if (engine.find(op.flow) == nullptr) return;
    if (input.below(8) == 7) return engine.on_open_failed(op.flow, input.pick(datagram_errors));
    const core::SocketHandle handle = next_handle_++;
    sockets_[handle].flow = op.flow;
    engine.on_opened(op.flow, handle);
}

void FakeHost::send_datagrams(core::FlowId id, Input& input) {
    core::DatagramEngine& engine = datagrams(id);
    core::DatagramFlow* flow = engine.start_send(id);
    if (flow == nullptr) return;
    bool blocked = false;
    while (!flow->to_sock.empty() && !blocked) {
        const uint8_t choice = input.u8();
        if (choice == 0xff)
            blocked = true;
        else if (choice >= 0xf0)
            engine.on_send_failed(*flow, input.pick(datagram_errors), input.u16());
        else
            engine.on_sent(*flow, 1);
    }
    engine.on_send_done(*flow, blocked);
}

void FakeHost::read_datagrams(core::FlowId id, Input& input) {
    core::DatagramEngine& engine = datagrams(id);
    core::DatagramFlow* flow = engine.start_read(id);
    if (flow == nullptr) return;
    const core::ReadPlan plan = engine.plan_read(*flow);
    if (plan.datagrams == 0) return;
    const uint8_t choice = input.u8();
    size_t most_chunks = 0;
    for (size_t i = std::min<size_t>(plan.datagrams, choice & 15); i > 0; --i) {
        const core::Chain payload = datagram(*flow, input);
        if (payload.empty()) return engine.on_read_done(*flow, core::ReadEnd::starved, most_chunks);
        most_chunks = std::max<size_t>(most_chunks, payload.count);
        engine.on_datagram(*flow, payload, {input.u8(), input.u8()});
    }
    engine.on_read_done(*flow, choice < 0x80 ? core::ReadEnd::drained : core::ReadEnd::more,
                        most_chunks);
}

// A datagram as the receiver lays it out; empty when chunks ran out.
core::Chain FakeHost::datagram(const core::DatagramFlow& flow, Input& input) {
    const size_t largest = flow.key.peer.is_v4() ? 65507 : 65527;
    const size_t size = std::min<size_t>(input.u16(), largest);
    std::vector<uint8_t> bytes(size);
    const auto start = input.bytes(std::min<size_t>(size, 8));
    std::copy(start.begin(), start.end(), bytes.begin());
    const core::ChunkId id = chunks().alloc();
    if (id == core::no_chunk) return {};
    const size_t first = std::min(size, core::chunk_size - core::header_room);
    core::ChunkMeta& meta = chunks().arena().meta(id);
    meta.offset = core::header_room;
    meta.len = static_cast<uint16_t>(first);
    std::copy_n(bytes.begin(), first, chunks().arena().data(id) + core::header_room);
    core::Chain payload;
    payload.append(chunks().arena(), id);
    core::Chain rest = core::copy_in(chunks(), wire::Bytes{bytes}.subspan(first));
    payload.append(chunks().arena(), rest);
    if (payload.bytes != size) chunks().unref(payload);
    return payload;
}

void FakeHost::report_datagram_error(core::FlowId id, Input& input) {
    core::DatagramEngine& engine = datagrams(id);
    core::DatagramFlow* flow = engine.find(id);
    if (flow == nullptr) return;
    core::DatagramError error;
    const uint8_t choice = input.u8();
    error.is_v6 = (choice & 1) != 0;
    error.type = input.u8();
    error.code = input.u8();
    error.info = input.u32();
    if ((choice & 2) != 0) error.offender = flow->key.peer;
    error.original = input.bytes(choice >> 2);
    engine.on_error(*flow, error);
}

}  // namespace pasta::fuzz
