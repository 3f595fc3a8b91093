// One TCP engine between a guest that the test plays segment by segment and fake host sockets.
//
// Sequence numbers in tests are relative, as packet analysers show them: 0 is a side's SYN and 1
// its first byte. Byte n of each direction's stream is stream_byte(n), so that every payload is
// verified wherever it appears.
#pragma once

#include <map>
#include <string>

#include "dataplane/core/tcp_constants.hpp"
#include "dataplane/core/tcp_engine.hpp"
#include "tests/support/core_fixture.hpp"
#include "tests/support/guest_packets.hpp"

namespace pasta::test {

/// What both streams contain; the period is prime, so that a shift by a power of two shows.
inline uint8_t stream_byte(size_t position) {
    return static_cast<uint8_t>(position % 251);
}

/// A segment of the guest, with relative numbers.
struct GuestSegment {
    wire::TcpHeader header;
    size_t length = 0;
    std::optional<ByteVector> options{};  ///< as they are, instead of the header's; multiple of 4

    GuestSegment& win(uint16_t field) { return header.window = field, *this; }
    GuestSegment& data(size_t bytes) { return length = bytes, *this; }
    GuestSegment& acks(uint32_t number) { return header.ack = number, *this; }
    GuestSegment& flags(uint8_t more) { return header.flags |= more, *this; }
    GuestSegment& without(uint8_t flag) {
        return header.flags = static_cast<uint8_t>(header.flags & ~flag), *this;
    }
    GuestSegment& fin() { return flags(wire::tcp_fin); }
    GuestSegment& mss(std::optional<uint16_t> bytes) { return header.mss = bytes, *this; }
    GuestSegment& scale(std::optional<uint8_t> shift) { return header.window_scale = shift, *this; }
};
inline GuestSegment syn() {
    GuestSegment s;
    s.header.flags = wire::tcp_syn;
    s.header.window = 64240;
    return s.mss(1460).scale(0);
}
inline GuestSegment seg(uint32_t seq, uint32_t ack) {
    GuestSegment s;
    s.header.flags = wire::tcp_ack;
    s.header.window = 64240;
    s.header.seq = seq;
    s.header.ack = ack;
    return s;
}
inline GuestSegment rst(uint32_t seq) {
    GuestSegment s;
    s.header.flags = wire::tcp_rst;
    s.header.seq = seq;
    return s;
}

/// A socket of the host and its peer: takes `capacity` bytes more, has `readable` bytes to read.
struct HostSocket {
    core::FlowId flow;
    size_t capacity = SIZE_MAX;
    size_t taken = 0;  ///< bytes of the guest's stream
    size_t readable = 0;
    size_t read = 0;  ///< bytes of the peer's stream
    bool peer_closed = false;
    int error = 0;  ///< of the next read or write
    bool shut = false, closed = false, aborted = false;

    bool open() const { return !closed && !aborted; }
};

/// A frame to the guest; numbers relative, window as on the wire.
struct SentSegment {
    wire::TcpHeader header;
    size_t length = 0;
    SentFrame frame;
};

class TcpFixture : public CoreFixture {
  protected:
    using Lines = std::vector<std::string>;

    TcpFixture() { context.now = 10 * core::second; }

    void TearDown() override {
        engine.close_port(0);
        run();
        EXPECT_EQ(engine.flows(), 0u);
        EXPECT_EQ(engine.chunks_held(), 0u);
        EXPECT_EQ(context.table.size(), 0u);
        for (const auto& [handle, socket] : sockets)
            EXPECT_FALSE(socket.open()) << "host socket " << handle << " was never closed";
        CoreFixture::TearDown();
    }

    // The guest.
    void inject(const GuestSegment& segment) {
        core::Packet p = arrival(segment);
        engine.on_packet(p);
    }
    /// The segment in received chunks.
    core::Packet arrival(const GuestSegment& segment) {
        wire::TcpHeader header = segment.header;
        header.src_port = guest_port;
        header.dst_port = peer_port;
        header.seq += guest_iss;
        if (header.has(wire::tcp_ack)) header.ack += our_iss;
        ByteVector upper(wire::tcp_header_size(header));
        header.emit(upper);
        if (segment.options) {
            upper.resize(wire::TcpHeader::min_size);
            upper.insert(upper.end(), segment.options->begin(), segment.options->end());
            upper[12] = static_cast<uint8_t>(upper.size() / 4 << 4);
        }
        for (size_t i = 0; i < segment.length; ++i)
            upper.push_back(stream_byte(segment.header.seq - 1 + i));
        return packet(link.ip(wire::protocol_tcp, upper));
    }
    /// What the guest receives for it, after the host side had its turn.
    Lines answer(const GuestSegment& segment) {
        inject(segment);
        return output();
    }
    /// "flags seq(length) ack N", flags as tcpdump has them: S SYN, F FIN, R RST, P PSH, . ACK.
    static std::string line(const SentSegment& s) {
        std::string text;
        const auto flag = [&](uint8_t bit, char c) {
            if (s.header.has(bit)) text += c;
        };
        flag(wire::tcp_syn, 'S'), flag(wire::tcp_fin, 'F'), flag(wire::tcp_rst, 'R');
        flag(wire::tcp_psh, 'P'), flag(wire::tcp_ack, '.');
        text += ' ' + std::to_string(s.header.seq) + '(' + std::to_string(s.length) + ')';
        if (s.header.has(wire::tcp_ack)) text += " ack " + std::to_string(s.header.ack);
        return text;
    }
    /// Runs the host side and takes all frames that the guest receives; they are in `received`.
    Lines output() {
        run();
        Lines lines;
        received.clear();
        for (SentFrame& frame : all_sent()) {
            received.push_back(read_back(std::move(frame)));
            lines.push_back(received.back().frame.ip.protocol == wire::protocol_tcp
                                ? line(received.back())
                                : "icmp");
        }
        return lines;
    }
    /// The window field of the last segment that the guest received.
    uint16_t window() const { return received.back().header.window; }

    // The host.
    /// Executes socket operations until there are none, then lets acknowledgements go.
    void run() {
        for (int turns = 0; !context.ops.empty(); ++turns) {
            ASSERT_LT(turns, 100000) << "socket operations never end";
            execute(context.ops.pop());
        }
        engine.flush_acks();
    }
    void connected(core::SocketHandle handle) {
        engine.on_connected(sockets.at(handle).flow);
        ready(handle, {.writable = true});
    }
    void ready(core::SocketHandle handle, const core::Readiness& readiness) {
        engine.on_ready(sockets.at(handle).flow, readiness);
    }
    void peer_sends(size_t bytes) {
        socket().readable += bytes;
        ready(current, {.readable = true, .writable = true});
    }
    void peer_closes() {
        socket().peer_closed = true;
        ready(current, {.readable = true, .writable = true, .hangup = true});
    }
    void peer_resets() {
        socket().error = ECONNRESET;
        ready(current, {.readable = true, .writable = true, .error = true, .hangup = true});
    }
    /// The peer takes `bytes` more (all from now on by default).
    void host_takes(size_t bytes = SIZE_MAX) {
        socket().capacity = bytes;
        ready(current, {.writable = true});
    }
    HostSocket& socket() { return sockets.at(current); }
    core::TcpFlow* flow() { return engine.find(socket().flow); }

    /// SYN and a connect(2) that is under way.
    void open(const GuestSegment& with = syn()) {
        our_iss = 0;
        inject(with);
        run();
    }
    /// The whole handshake; returns the SYN,ACK.
    SentSegment establish(const GuestSegment& with = syn(), uint16_t guest_window = 64240) {
        open(with);
        connected(current);
        EXPECT_EQ(output(), Lines{"S. 0(0) ack 1"});
        const SentSegment syn_ack = received.back();
        inject(seg(1, 1).win(guest_window));
        EXPECT_EQ(output(), Lines{});
        EXPECT_EQ(flow()->state, core::TcpState::established);
        return syn_ack;
    }

    /// A client of the host has connected; `queued` bytes of its stream are there already. The
    /// guest has not had the SYN before output().
    void client_connects(size_t queued = 0) {
        our_iss = 0;
        HostSocket& s = sockets[++current];
        s.readable = queued;
        s.flow = engine.accept(flow_key(), current);
        if (s.flow)
            ready(current, {.readable = queued != 0, .writable = true});
        else
            s.aborted = true;  // by the caller
    }
    core::FlowKey flow_key() const {
        return {link.src, link.dst, guest_port, peer_port, 0, wire::protocol_tcp};
    }

    // Time.
    /// Lets all that is due until now + `duration` happen, each thing at its time.
    void pass(core::Time duration) {
        const core::Time end = context.now + duration;
        for (core::Time at = context.timers.next_deadline(); at <= end;
             at = context.timers.next_deadline()) {
            for (const core::FlowId id : advance_to(std::max(at, context.now)))
                engine.on_deadline(id);
            run();
        }
        for (const core::FlowId id : advance_to(end))
            engine.on_deadline(id);
        run();
    }
    /// Chooses a time at which our initial sequence number will be `iss`.
    void choose_iss(uint32_t iss) {
        const auto base = static_cast<uint32_t>(core::hash(context.secrets.isn, flow_key()));
        context.now = (uint64_t{1} << 32 | (iss - base)) * 4 * core::microsecond;
        context.timers.advance(context.now, unused_);
    }
    /// Takes all free chunks until give_back_chunks().
    void exhaust_chunks() {
        for (core::ChunkId id = cache.alloc(); id != core::no_chunk; id = cache.alloc())
            hoard_.push_back(id);
    }
    void give_back_chunks() {
        for (const core::ChunkId id : hoard_)
            cache.unref(id);
        hoard_.clear();
    }

    core::TcpEngine engine{context, 1024};
    GuestPackets link{guest4, peer4};
    uint16_t guest_port = 40000, peer_port = 80;
    uint32_t guest_iss = 1000;
    uint32_t our_iss = 0;  ///< learned from SYN,ACK
    std::vector<SentSegment> received;
    std::map<core::SocketHandle, HostSocket> sockets;
    core::SocketHandle current = 99;  ///< the socket opened last
    int socket_error = 0;             ///< of the next socket(2)

  private:
    SentSegment read_back(SentFrame frame) {
        SentSegment s;
        EXPECT_TRUE(frame.upper_checksum_ok());
        EXPECT_EQ(frame.ethernet.dst, link.src_mac);
        if (frame.ip.protocol == wire::protocol_tcp) {
            EXPECT_EQ(frame.ip.src, link.dst);
            EXPECT_EQ(frame.ip.dst, link.src);
            s.header = wire::TcpHeader::parse(frame.upper()).value();
            EXPECT_EQ(s.header.src_port, peer_port);
            EXPECT_EQ(s.header.dst_port, guest_port);
            if (s.header.has(wire::tcp_syn)) our_iss = s.header.seq;
            s.header.seq -= our_iss;
            if (s.header.has(wire::tcp_ack)) s.header.ack -= guest_iss;
            const wire::Bytes payload = frame.upper().subspan(s.header.header_length);
            s.length = payload.size();
            bool intact = true;
            for (size_t i = 0; i < payload.size(); ++i)
                intact &= payload[i] == stream_byte(s.header.seq - 1 + i);
            EXPECT_TRUE(intact) << "wrong payload in " << line(s);
        }
        s.frame = std::move(frame);
        return s;
    }

    void execute(const core::SocketOp& op) {
        const core::TcpFlow* f = engine.find(op.flow);
        switch (op.kind) {
            case core::SocketOpKind::tcp_connect:
                return connect(op.flow);
            case core::SocketOpKind::tcp_close:
                finish(op.socket).closed = true;
                return;
            case core::SocketOpKind::tcp_abort:
                finish(op.socket).aborted = true;
                return;
            default:
                break;
        }
        if (f == nullptr) return;  // ended after the operation was queued
        ASSERT_TRUE(sockets.contains(f->socket)) << "operation on a socket that does not exist";
        HostSocket& s = sockets.at(f->socket);
        ASSERT_TRUE(s.open());
        switch (op.kind) {
            case core::SocketOpKind::tcp_send:
                return send(s, *f);
            case core::SocketOpKind::tcp_read:
                return read(s, *f);
            case core::SocketOpKind::tcp_shutdown:
                EXPECT_FALSE(s.shut) << "shut down twice";
                s.shut = true;
                return;
            default:
                FAIL() << "not an operation of TCP";
        }
    }
    void connect(core::FlowId id) {
        if (engine.find(id) == nullptr) return;
        if (socket_error != 0) return engine.on_connect_failed(id, socket_error);
        sockets[++current].flow = id;
        engine.on_socket(id, current);
    }
    HostSocket& finish(core::SocketHandle handle) {
        HostSocket& s = sockets.at(handle);
        EXPECT_TRUE(s.open()) << "closed twice";
        return s;
    }
    void send(HostSocket& s, const core::TcpFlow& f) {
        EXPECT_FALSE(s.shut) << "written to after shutdown";
        if (s.error != 0) return engine.on_sent(s.flow, 0, core::SocketResult::error, s.error);
        ByteVector bytes(f.to_sock.bytes);
        EXPECT_EQ(core::copy_out(arena, f.to_sock, bytes), bytes.size());
        const size_t n = std::min(bytes.size(), s.capacity);
        bool intact = true;
        for (size_t i = 0; i < n; ++i)
            intact &= bytes[i] == stream_byte(s.taken + i);
        EXPECT_TRUE(intact) << "wrong bytes to the host after " << s.taken;
        s.taken += n;
        if (s.capacity != SIZE_MAX) s.capacity -= n;
        engine.on_sent(
            s.flow, n,
            n == bytes.size() ? core::SocketResult::done : core::SocketResult::would_block);
    }
    void read(HostSocket& s, const core::TcpFlow& f) {
        const core::TcpReadPlan plan = engine.plan_read(f);
        bool short_of_chunks = false;
        core::Chain data = lay_out(s, plan, short_of_chunks);
        const size_t n = data.bytes;
        using core::SocketResult;
        if (n == 0 && (plan.bytes == 0 || short_of_chunks))
            return engine.on_read(s.flow, {}, SocketResult::no_chunks);
        s.readable -= n;
        s.read += n;
        if (n == 0 && s.error != 0) return engine.on_read(s.flow, {}, SocketResult::error, s.error);
        if (n == 0 && s.peer_closed) return engine.on_read(s.flow, {}, SocketResult::eof);
        const bool all = s.readable == 0 && s.error == 0;
        if (all && s.peer_closed && f.sock_fin)
            return engine.on_read(s.flow, data, SocketResult::eof);
        engine.on_read(
            s.flow, data,
            n == plan.bytes || short_of_chunks ? SocketResult::done : SocketResult::would_block);
    }
    /// Chunks as the plan wants them, filled with the stream.
    core::Chain lay_out(const HostSocket& s, const core::TcpReadPlan& plan, bool& exhausted) {
        core::Chain data;
        size_t in_segment = 0;
        while (data.bytes < std::min<size_t>(plan.bytes, s.readable)) {
            const core::ChunkId id = cache.alloc();
            if ((exhausted = id == core::no_chunk)) return data;
            core::ChunkMeta& meta = arena.meta(id);
            const bool first = in_segment == 0;
            if (first) meta.flags = core::chunk_starts_segment;
            meta.offset = first ? core::header_room : core::tx_metadata_size;
            const size_t left = std::min<size_t>(plan.bytes, s.readable) - data.bytes;
            const size_t n =
                std::min({core::chunk_size - meta.offset, plan.segment - in_segment, left});
            meta.len = static_cast<uint16_t>(n);
            for (size_t i = 0; i < n; ++i)
                arena.bytes(id)[i] = stream_byte(s.read + data.bytes + i);
            data.append(arena, id);
            in_segment = (in_segment + n) % plan.segment;
        }
        return data;
    }

    std::vector<core::ChunkId> hoard_;
    std::vector<core::FlowId> unused_;
};

}  // namespace pasta::test
