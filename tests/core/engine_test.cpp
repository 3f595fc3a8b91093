// Frames and events to their handlers.

#include "dataplane/core/engine.hpp"

#include <gmock/gmock.h>

#include "dataplane/wire/arp.hpp"
#include "tests/support/core_fixture.hpp"
#include "tests/support/guest_packets.hpp"

namespace pasta::core {
namespace {

using test::ByteVector;
using test::pattern;

constexpr PortId attached = 3;

class EngineTest : public ::testing::Test {
  protected:
    static constexpr size_t chunk_count = 1024;
    static constexpr wire::IpAddress guest4 = wire::IpAddress::v4(198, 51, 100, 10);
    static constexpr wire::IpAddress peer4 = wire::IpAddress::v4(203, 0, 113, 7);

    EngineTest() {
        attach([](PortConfig&) {});
    }
    void TearDown() override {
        for (auto& e : engines)
            if (e) e->detach(attached);
        engines.clear();
        cache.flush();
        EXPECT_EQ(source.size(), chunk_count) << "chunks leaked or freed twice";
    }

    /// Makes engines of `shards` shards and attaches the port to all.
    template <typename Change>
    void attach(Change&& change, uint16_t shards = 1) {
        PortConfig config;
        change(config);
        for (auto& e : engines)
            e->detach(attached);
        engines.clear();
        config.id = attached;
        config.our_mac = {{2, 0, 0, 0, 0, 1}};
        for (uint16_t i = 0; i < shards; ++i) {
            engines.push_back(std::make_unique<Engine>(cache, Secrets{{1, 2}, {3, 4}, {5, 6}},
                                                       Steering{i, shards, {1, 2}, false}));
            engines[i]->set_time(second);
            engines[i]->attach(config);
        }
    }
    Engine& engine(size_t i = 0) { return *engines[i]; }
    const Counters& counters() { return engine().context().counters; }

    std::optional<uint16_t> inject(const ByteVector& frame, PortId port = attached) {
        Chain chain = copy_in(cache, frame, rx_headroom);
        return engine().on_frame(port, chain);
    }
    /// Ethertypes of what waits for the guest; gives the frames back.
    std::vector<uint16_t> sent() {
        std::vector<uint16_t> types;
        TxQueue& tx = engine().context().port(attached)->tx;
        for (; !tx.empty(); tx.pop()) {
            const auto bytes = arena.bytes(tx.front_slice(0));
            types.push_back(wire::EthernetHeader::parse(bytes)->ethertype);
            for (size_t i = 0; i < tx.front().slices; ++i)
                cache.unref(tx.front_slice(i).chunk);
        }
        return types;
    }
    std::vector<SocketOpKind> ops(size_t i = 0) {
        std::vector<SocketOpKind> kinds;
        SocketOps& queue = engine(i).context().ops;
        while (!queue.empty())
            kinds.push_back(queue.pop().kind);
        return kinds;
    }
    ByteVector tcp_syn(uint16_t port = 4000) const {
        wire::TcpHeader header;
        header.src_port = port, header.dst_port = 80, header.flags = wire::tcp_syn;
        ByteVector upper(wire::TcpHeader::min_size);
        header.emit(upper);
        return link.ip(wire::protocol_tcp, upper);
    }
    static ByteVector arp_request_frame() {
        ByteVector frame(wire::EthernetHeader::size + wire::ArpPacket::size);
        const wire::MacAddress mac{{2, 0, 0, 0, 0, 2}};
        wire::EthernetHeader{wire::MacAddress::broadcast(), mac, wire::ethertype_arp}.emit(frame);
        wire::ArpPacket{wire::arp_request, mac, guest4, {}, wire::IpAddress::v4(198, 51, 100, 1)}
            .emit(wire::MutableBytes{frame}.subspan(14));
        return frame;
    }

    test::ArenaMemory memory{chunk_count};
    ChunkArena arena{memory.bytes()};
    test::VectorChunkSource source{chunk_count};
    ChunkCache cache{arena, source};
    std::vector<std::unique_ptr<Engine>> engines;
    test::GuestPackets link{guest4, peer4};
};

TEST_F(EngineTest, arp_request_is_answered) {
    inject(arp_request_frame());
    EXPECT_THAT(sent(), ::testing::ElementsAre(wire::ethertype_arp));
    EXPECT_EQ(counters().frames_answered.value(), 1u);
    EXPECT_EQ(counters().frames_from_tap.value(), 1u);
}

TEST_F(EngineTest, tcp_udp_and_echo_reach_their_engines) {
    inject(tcp_syn());
    inject(link.udp(4000, 53, pattern(10)));
    inject(link.echo(7, 1, pattern(10)));
    EXPECT_EQ(engine().tcp().flows(), 1u);
    EXPECT_EQ(engine().udp().flows(), 1u);
    EXPECT_EQ(engine().echo().flows(), 1u);
    EXPECT_THAT(ops(), ::testing::ElementsAre(SocketOpKind::tcp_connect, SocketOpKind::udp_open,
                                              SocketOpKind::echo_open));
    EXPECT_EQ(engine().context().table.size(), 3u);
}

TEST_F(EngineTest, detach_ends_all_flows_and_gives_all_chunks_back) {
    inject(tcp_syn());
    inject(link.udp(4000, 53, pattern(10)));
    inject(link.echo(7, 1, pattern(10)));
    inject(arp_request_frame());
    engine().detach(attached);
    EXPECT_EQ(engine().context().table.size(), 0u);
    cache.flush();
    EXPECT_EQ(source.size(), chunk_count);
    engine().detach(attached);  // twice is harmless
    inject(tcp_syn());
    EXPECT_EQ(counters().drop_no_port.value(), 1u);
}

TEST_F(EngineTest, frame_of_an_unknown_port_is_a_counted_drop) {
    inject(tcp_syn(), 0);
    inject(tcp_syn(), 1000);
    EXPECT_EQ(counters().drop_no_port.value(), 2u);
}

TEST_F(EngineTest, malformed_frames_are_counted_drops) {
    inject(ByteVector(13));
    EXPECT_EQ(counters().drop_truncated.value(), 1u);
    ByteVector frame = tcp_syn();
    frame.resize(20);
    inject(frame);
    EXPECT_EQ(counters().drop_truncated.value(), 2u);
    frame = tcp_syn();
    frame[12] = 0x12, frame[13] = 0x34;
    inject(frame);
    EXPECT_EQ(counters().drop_ethertype.value(), 1u);
    frame = tcp_syn();
    frame[14 + 10] ^= 1;
    inject(frame);
    EXPECT_EQ(counters().drop_bad_checksum.value(), 1u);
    inject(link.ip(99, pattern(30)));
    EXPECT_EQ(counters().drop_protocol.value(), 1u);
    EXPECT_EQ(engine().context().table.size(), 0u);
}

TEST_F(EngineTest, every_truncation_of_a_frame_is_survived) {
    for (const ByteVector& whole : {tcp_syn(), link.udp(1, 2, pattern(30)),
                                    link.echo(1, 1, pattern(30)), arp_request_frame()})
        for (size_t n = 1; n < whole.size(); ++n)
            inject({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)});
    EXPECT_EQ(engine().context().table.size(), 0u);
    sent();
}

TEST_F(EngineTest, protocols_switched_off_are_counted_drops) {
    attach([](PortConfig& c) {
        c.tcp = false;
        c.udp = false;
        c.icmp = false;
    });
    inject(tcp_syn());
    inject(link.udp(4000, 53, pattern(10)));
    inject(link.echo(7, 1, pattern(10)));
    EXPECT_EQ(counters().drop_disabled.value(), 3u);
    attach([](PortConfig& c) { c.ipv4 = false; });
    inject(tcp_syn());
    EXPECT_EQ(counters().drop_disabled.value(), 1u);
}

// RFC 8200, 5. Smaller fragments would be so many that a chunk has more references than it counts.
TEST_F(EngineTest, a_link_of_less_than_1280_bytes_has_no_ipv6) {
    const test::GuestPackets v6{.src = {{0x20, 1, 0x0d, 0xb8, 0, 1}},
                                .dst = {{0x20, 1, 0x0d, 0xb8, 0, 2}}};
    attach([](PortConfig& c) { c.mtu = 1279; });
    inject(v6.udp(4000, 53, pattern(10)));
    EXPECT_EQ(counters().drop_disabled.value(), 1u);
    attach([](PortConfig& c) { c.mtu = 1280; });
    inject(v6.udp(4000, 53, pattern(10)));
    EXPECT_EQ(counters().drop_disabled.value(), 0u);
}

TEST_F(EngineTest, guest_mac_is_relearned_from_frames) {
    link.src_mac = {{2, 0, 0, 0, 0, 0x77}};
    inject(tcp_syn());
    EXPECT_EQ(engine().context().port(attached)->guest_mac, link.src_mac);
}

TEST_F(EngineTest, guest_address_is_learned_from_packets) {
    inject(tcp_syn());
    EXPECT_EQ(engine().context().port(attached)->seen4, guest4);
}

TEST_F(EngineTest, addresses_of_the_guest_are_for_all_of_its_shards) {
    inject(tcp_syn());
    EXPECT_TRUE(engine().context().sightings.empty()) << "there is no other";
    attach([](PortConfig& c) { c.workers = 2; });
    inject(tcp_syn());
    inject(tcp_syn());
    ASSERT_EQ(engine().context().sightings.size(), 1u) << "each once";
    EXPECT_EQ(engine().context().sightings[0].port, attached);
    EXPECT_EQ(engine().context().sightings[0].address, guest4);
    // A guest that never has the same address twice does not keep the others busy.
    for (uint8_t i = 1; i < 200; ++i) {
        link.src = wire::IpAddress::v4(198, 51, 100, i);
        inject(tcp_syn());
    }
    EXPECT_LT(engine().context().sightings.size(), 60u);
}

TEST_F(EngineTest, unreachable_of_the_guest_ends_the_connection_that_it_is_about) {
    const FlowKey key{guest4, peer4, 80, 5000, attached, wire::protocol_tcp};
    ASSERT_TRUE(engine().tcp().accept(key, 7));
    const auto slice = engine().context().port(attached)->tx.front_slice(0);
    const auto syn = arena.bytes(slice);
    const test::GuestPackets guest{.src = guest4, .dst = peer4};
    inject(guest.unreachable(syn.subspan(14)));
    EXPECT_EQ(engine().tcp().flows(), 0u);
    EXPECT_EQ(counters().drop_ignored.value(), 0u);
    inject(guest.unreachable(syn.subspan(14)));
    EXPECT_EQ(counters().drop_ignored.value(), 1u) << "of no connection";
    EXPECT_THAT(ops(), ::testing::ElementsAre(SocketOpKind::tcp_abort));
    sent();
}

TEST_F(EngineTest, unreachable_goes_to_the_owner_of_the_flow_that_it_is_about) {
    attach([](PortConfig& c) { c.workers = 2; }, 2);
    FlowKey key{guest4, peer4, 80, 5000, attached, wire::protocol_tcp};
    while (engine(1).inbound_owner(key, 0) != 1)
        ++key.peer_port;
    ASSERT_TRUE(engine(1).tcp().accept(key, 7));
    TxQueue& tx = engine(1).context().port(attached)->tx;
    const auto syn = arena.bytes(tx.front_slice(0));
    Chain chain =
        copy_in(cache, test::GuestPackets{.src = guest4, .dst = peer4}.unreachable(syn.subspan(14)),
                rx_headroom);
    EXPECT_EQ(engine(0).on_frame(attached, chain), 1);
    EXPECT_EQ(engine(1).on_frame(attached, chain, 1), std::nullopt);
    EXPECT_EQ(engine(1).tcp().flows(), 0u);
}

TEST_F(EngineTest, clients_are_not_begun_while_shards_disagree_or_the_port_is_gone) {
    const FlowKey key{guest4, peer4, 80, 5000, attached, wire::protocol_tcp};
    EXPECT_EQ(engine().inbound_owner(key, 0), 0);
    EXPECT_EQ(engine().inbound_owner(key, 100), std::nullopt);
    engine().detach(attached);
    EXPECT_EQ(engine().inbound_owner(key, 0), std::nullopt);
}

TEST_F(EngineTest, frame_of_another_shards_flow_is_left_to_the_caller) {
    attach([](PortConfig& c) { c.workers = 2; }, 2);
    int here = 0, there = 0;
    for (uint16_t port = 1; port <= 200; ++port) {
        Chain frame = copy_in(cache, tcp_syn(port), rx_headroom);
        const auto elsewhere = engine(0).on_frame(attached, frame);
        if (!elsewhere) {
            ++here;
            continue;
        }
        ++there;
        EXPECT_EQ(*elsewhere, 1);
        EXPECT_EQ(engine(1).on_frame(attached, frame, 1), std::nullopt);
    }
    EXPECT_GT(here, 60);
    EXPECT_GT(there, 60);
    EXPECT_EQ(engine(0).tcp().flows(), static_cast<size_t>(here));
    EXPECT_EQ(engine(1).tcp().flows(), static_cast<size_t>(there));
    EXPECT_EQ(engine(1).context().counters.frames_from_tap.value(), 0u);
}

TEST_F(EngineTest, rekey_leaves_existing_flows_with_their_owner) {
    attach([](PortConfig& c) { c.workers = 2; }, 2);
    std::vector<uint16_t> mine;
    for (uint16_t port = 1; port <= 100; ++port) {
        Chain frame = copy_in(cache, tcp_syn(port), rx_headroom);
        if (engine(0).on_frame(attached, frame))
            cache.unref(frame);
        else
            mine.push_back(port);
    }
    engine(0).rekey({77, 88});
    EXPECT_EQ(engine(0).context().table.old_flows(), mine.size());
    for (const uint16_t port : mine) {
        Chain frame = copy_in(cache, tcp_syn(port), rx_headroom);
        EXPECT_EQ(engine(0).on_frame(attached, frame), std::nullopt);
    }
    EXPECT_EQ(engine(0).tcp().flows(), mine.size());
}

TEST_F(EngineTest, readiness_goes_to_the_kind_of_flow_that_the_id_names) {
    inject(tcp_syn());
    const FlowId id = engine().context().ops.pop().flow;
    engine().tcp().on_socket(id, 50);
    engine().tcp().on_connected(id);
    engine().on_ready(id, {.readable = true, .writable = true});
    EXPECT_TRUE(engine().tcp().find(id)->readable);
    engine().on_ready({}, {.readable = true});
    engine().on_ready(FlowId(FlowKind::udp, 5, 5), {.readable = true});
    sent();
}

TEST_F(EngineTest, timers_of_flows_run_when_due) {
    attach([](PortConfig& c) { c.ndp = false; });
    inject(tcp_syn());
    const FlowId id = engine().context().ops.pop().flow;
    engine().tcp().on_connected(id);
    EXPECT_EQ(sent().size(), 1u);
    const Time due = engine().next_deadline();
    EXPECT_LE(due, 2 * second);
    EXPECT_GT(due, second);
    engine().set_time(2 * second);
    engine().run_timers();
    EXPECT_EQ(sent().size(), 1u);  // the SYN,ACK again
}

TEST_F(EngineTest, idle_engine_without_advertisements_has_no_deadline) {
    attach([](PortConfig& c) { c.router_advertisements = false; });
    EXPECT_EQ(engine().next_deadline(), never);
}

TEST_F(EngineTest, router_advertisements_come_soon_then_rarely) {
    std::vector<Time> times;
    while (times.size() < 8) {
        const Time at = engine().next_deadline();
        ASSERT_NE(at, never);
        engine().set_time(std::max(at, engine().now()));
        engine().run_timers();
        for (const uint16_t type : sent()) {
            EXPECT_EQ(type, wire::ethertype_ipv6);
            times.push_back(engine().now());
        }
    }
    EXPECT_EQ(times[0], second);
    EXPECT_EQ(times[1] - times[0], 16 * second);
    EXPECT_EQ(times[2] - times[1], 16 * second);
    for (size_t i = 3; i < times.size(); ++i) {
        EXPECT_GE(times[i] - times[i - 1], 200 * second);
        EXPECT_LE(times[i] - times[i - 1], 600 * second);
    }
    EXPECT_NE(times[5] - times[4], times[4] - times[3]);
}

TEST_F(EngineTest, only_the_ports_first_worker_advertises) {
    attach(
        [](PortConfig& c) {
            c.first_worker = 1;
            c.workers = 2;
        },
        2);
    EXPECT_EQ(engine(0).next_deadline(), never);
    EXPECT_EQ(engine(1).next_deadline(), second);
}

TEST_F(EngineTest, flush_sends_acknowledgements_that_wait) {
    inject(tcp_syn());
    const FlowId id = engine().context().ops.pop().flow;
    engine().tcp().on_socket(id, 50);
    engine().tcp().on_connected(id);
    sent();
    wire::TcpHeader header;
    header.src_port = 4000, header.dst_port = 80, header.flags = wire::tcp_ack;
    header.seq = 1, header.ack = engine().tcp().find(id)->iss + 1, header.window = 1000;
    ByteVector upper(wire::TcpHeader::min_size + 5);
    header.emit(upper);
    inject(link.ip(wire::protocol_tcp, upper));
    EXPECT_TRUE(sent().empty());
    engine().flush();
    EXPECT_EQ(sent().size(), 1u);
    engine().flush();
    EXPECT_TRUE(sent().empty());
}

TEST(MemoryLimits, fewer_free_chunks_mean_less_for_each_flow) {
    uint32_t last_hold = UINT32_MAX, last_flight = UINT32_MAX;
    for (size_t available = 20000; available != 0; available = available * 3 / 4) {
        const auto limits = MemoryLimits::for_free_chunks(available);
        EXPECT_LE(limits.hold_bytes, last_hold);
        EXPECT_LE(limits.in_flight_bytes, last_flight);
        last_hold = limits.hold_bytes;
        last_flight = limits.in_flight_bytes;
    }
    EXPECT_EQ(last_hold, chunk_size);
    EXPECT_EQ(MemoryLimits::for_free_chunks(0).hold_bytes, chunk_size);
    EXPECT_EQ(MemoryLimits::for_free_chunks(16384).hold_bytes, MemoryLimits::max_hold);
}

TEST(MemoryLimits, stopped_readers_one_after_the_other_never_take_all) {
    size_t free = 16384;
    for (int flow = 0; flow < 50; ++flow)
        free -= MemoryLimits::for_free_chunks(free).hold_bytes / chunk_size;
    EXPECT_GT(free, 16u);
    EXPECT_GT(MemoryLimits::for_free_chunks(free).hold_bytes, 2 * chunk_size);
}

TEST(HostTargetTest, first_matching_translation_wins) {
    PortConfig c;
    const auto gateway = wire::IpAddress::v4(198, 51, 100, 1);
    const auto dns = wire::IpAddress::v4(203, 0, 113, 53);
    const auto other = wire::IpAddress::v4(203, 0, 113, 99);
    c.host_loopback4 = gateway;
    c.dns_forward4 = gateway;
    c.dns_host4 = dns;
    c.outbound4 = other;
    EXPECT_EQ(host_target(c, gateway, 53).address, dns);
    EXPECT_EQ(host_target(c, gateway, 853).address, dns);
    EXPECT_EQ(host_target(c, gateway, 80).address, wire::IpAddress::v4(127, 0, 0, 1));
    EXPECT_EQ(host_target(c, gateway, 80).source, std::nullopt);
    EXPECT_EQ(host_target(c, other, 80).address, other);
    EXPECT_EQ(host_target(c, other, 80).source, other);
}

}  // namespace
}  // namespace pasta::core
