// A UdpEngine with hand-made frames and a host that only answers when the test says so.
#pragma once

#include <algorithm>
#include <vector>

#include "dataplane/core/udp_engine.hpp"
#include "tests/support/core_fixture.hpp"
#include "tests/support/guest_packets.hpp"

namespace pasta::core {

/// Drives a UdpEngine as the engine and the host side would.
class UdpEngineTest : public test::CoreFixture {
  protected:
    static constexpr SocketHandle socket = 42;

    void TearDown() override {
        engine.close_port(0);
        EXPECT_EQ(engine.flows(), 0u);
        EXPECT_EQ(context.table.size(), 0u);
        CoreFixture::TearDown();
    }

    void inject(const std::vector<uint8_t>& frame) {
        Packet p = packet(frame);
        engine.on_packet(p);
    }
    /// The guest's first datagram, and the open that follows it.
    FlowId open(const std::vector<uint8_t>& frame) {
        take_ops();
        inject(frame);
        const auto ops = take_ops();
        EXPECT_EQ(ops.size(), 1u);
        EXPECT_EQ(ops.at(0).kind, SocketOpKind::udp_open);
        engine.on_opened(ops.at(0).flow, socket);
        return ops.at(0).flow;
    }
    /// Executes a queued send as a host that takes everything.
    void take_sends() {
        for (const SocketOp& op : take_ops()) {
            if (op.kind != SocketOpKind::udp_send) continue;
            DatagramFlow* flow = engine.start_send(op.flow);
            engine.on_sent(*flow, flow->to_sock.datagrams());
            engine.on_send_done(*flow, false);
        }
    }
    FlowId open_and_send() {
        const FlowId id = open(v4.udp(4000, 53, test::pattern(20)));
        take_sends();
        return id;
    }
    /// A payload as the receiver lays it out.
    Chain payload(size_t size) {
        const ChunkId id = cache.alloc();
        const auto bytes = test::pattern(size);
        const size_t first = std::min(size, chunk_size - header_room);
        arena.meta(id).offset = header_room;
        arena.meta(id).len = static_cast<uint16_t>(first);
        std::copy_n(bytes.begin(), first, arena.data(id) + header_room);
        Chain chain;
        chain.append(arena, id);
        Chain rest = copy_in(cache, wire::Bytes{bytes}.subspan(first));
        chain.append(arena, rest);
        return chain;
    }
    void from_host(FlowId id, size_t size, const ReceivedOptions& options = {}) {
        engine.on_datagram(*engine.find(id), payload(size), options);
    }
    std::vector<SocketOpKind> op_kinds() {
        std::vector<SocketOpKind> kinds;
        for (const SocketOp& op : take_ops())
            kinds.push_back(op.kind);
        return kinds;
    }
    /// Runs timers until `now`.
    void run_to(Time now) {
        for (const FlowId id : advance_to(now))
            engine.on_deadline(id);
    }

    test::GuestPackets v4{.src = guest4, .dst = peer4};
    test::GuestPackets v6{.src = guest6, .dst = peer6};
    UdpEngine engine{context, 256};
};

}  // namespace pasta::core
