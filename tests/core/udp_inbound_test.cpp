// UDP flows that clients of the host begin.

#include <gmock/gmock.h>

#include "dataplane/wire/icmp.hpp"
#include "tests/support/udp_fixture.hpp"

namespace pasta::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Endpoint local4{wire::IpAddress::v4(203, 0, 113, 1), 5353};
constexpr Endpoint local6{
    wire::IpAddress{{0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}, 5353};

class UdpInbound : public UdpEngineTest {
  protected:
    static FlowKey key4() { return {guest4, peer4, 53, 6000, 0, wire::protocol_udp}; }
    static FlowKey key6() { return {guest6, peer6, 53, 6000, 0, wire::protocol_udp}; }

    void arrive(const FlowKey& key, const Endpoint& local, size_t size = 20) {
        engine.on_inbound(key, {key.peer, key.peer_port}, local, payload(size), {});
    }
    FlowId id(const FlowKey& key) { return context.table.find(key); }
    /// A client's first datagram, delivered, and the flow's socket.
    FlowId begin(const FlowKey& key = key4(), const Endpoint& local = local4) {
        arrive(key, local);
        EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::udp_open));
        EXPECT_TRUE(sent());
        engine.on_opened(id(key), socket);
        return id(key);
    }
    /// The guest's "unreachable" about a datagram of the client's.
    bool report(const FlowKey& key, const test::GuestPackets& guest) {
        const test::GuestPackets received{.src = guest.dst, .dst = guest.src};
        const auto datagram = received.udp(key.peer_port, key.guest_port, test::pattern(20));
        Packet p = packet(guest.unreachable(wire::Bytes{datagram}.subspan(14)));
        const auto error = parse_guest_error(arena, p);
        EXPECT_TRUE(error);
        const bool ours = engine.on_unreachable(*error);
        cache.unref(p.frame);
        return ours;
    }
};

TEST_F(UdpInbound, first_datagram_reaches_the_guest_before_a_socket_is_open) {
    arrive(key4(), local4, 30);
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::udp_open));
    const auto frame = sent();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->ethernet.dst, default_config().guest_mac);
    EXPECT_EQ(frame->ip.src, peer4);
    EXPECT_EQ(frame->ip.dst, guest4);
    const auto header = wire::UdpHeader::parse(frame->upper(), frame->ip.payload_length);
    EXPECT_EQ(header->src_port, 6000);
    EXPECT_EQ(header->dst_port, 53);
    EXPECT_TRUE(frame->upper_checksum_ok());
    EXPECT_EQ(engine.find(id(key4()))->local, local4);
    EXPECT_EQ(engine.find(id(key4()))->target, (HostTarget{peer4, 6000}));
}

TEST_F(UdpInbound, empty_datagrams_arrive_too) {
    arrive(key6(), local6, 0);
    EXPECT_EQ(sent()->ip.payload_length, wire::UdpHeader::size);
}

TEST_F(UdpInbound, further_datagrams_and_replies_use_the_flow) {
    const FlowId flow = begin();
    arrive(key4(), local4);
    EXPECT_THAT(op_kinds(), IsEmpty());
    EXPECT_EQ(engine.flows(), 1u);
    inject(v4.udp(53, 6000, test::pattern(10)));
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::udp_send));
    EXPECT_EQ(engine.find(flow)->to_sock.datagrams(), 1u);
    all_sent();
}

TEST_F(UdpInbound, reply_before_the_socket_is_open_waits_for_it) {
    arrive(key4(), local4);
    inject(v4.udp(53, 6000, test::pattern(10)));
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::udp_open));
    engine.on_opened(id(key4()), socket);
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::udp_send));
    all_sent();
}

TEST_F(UdpInbound, client_that_turns_to_another_address_gets_replies_from_there) {
    const FlowId first = begin();
    const Endpoint other{wire::IpAddress::v4(203, 0, 113, 2), 5353};
    arrive(key4(), other);
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::datagram_close, SocketOpKind::udp_open));
    EXPECT_EQ(engine.find(first), nullptr);
    EXPECT_EQ(engine.find(id(key4()))->local, other);
    all_sent();
}

TEST_F(UdpInbound, client_of_a_port_that_the_guest_sent_from_gets_replies_from_the_listener) {
    open(v4.udp(53, 6000, test::pattern(10)));
    take_ops();
    arrive(key4(), local4);
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::datagram_close, SocketOpKind::udp_open));
    all_sent();
}

TEST_F(UdpInbound, unanswered_datagrams_do_not_make_a_stream) {
    const FlowId flow = begin();
    for (int i = 0; i < 5; ++i)
        arrive(key4(), local4);
    EXPECT_FALSE(engine.find(flow)->is_stream());
    inject(v4.udp(53, 6000, test::pattern(10)));
    EXPECT_TRUE(engine.find(flow)->is_stream());
    all_sent();
}

TEST_F(UdpInbound, unanswered_flow_ends_after_its_time) {
    begin();
    run_to(context.now + 31 * second);
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::datagram_close));
    EXPECT_EQ(engine.flows(), 0u);
}

TEST_F(UdpInbound, socket_that_cannot_be_opened_ends_the_flow) {
    arrive(key4(), local4);
    engine.on_open_failed(id(key4()), EMFILE);
    EXPECT_EQ(engine.flows(), 0u);
    EXPECT_EQ(context.counters.socket_exhausted.value(), 1u);
    take_ops();
    all_sent();
}

TEST_F(UdpInbound, flow_limit_is_a_counted_drop) {
    for (uint16_t i = 0; i < 300; ++i) {
        FlowKey key = key4();
        key.peer_port = static_cast<uint16_t>(1000 + i);
        arrive(key, local4);
    }
    EXPECT_EQ(engine.flows(), 256u);
    EXPECT_EQ(context.counters.drop_flow_limit.value(), 44u);
    take_ops();
    all_sent();
}

TEST_F(UdpInbound, namespace_that_is_gone_gets_nothing) {
    FlowKey key = key4();
    key.port = 9;
    arrive(key, local4);
    EXPECT_EQ(engine.flows(), 0u);
}

TEST_F(UdpInbound, unreachable_becomes_an_error_about_the_clients_own_datagram) {
    const FlowId flow = begin();
    EXPECT_TRUE(report(key4(), v4));
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::udp_reject));
    const auto message = arena.bytes(engine.find(flow)->rejection.head);
    EXPECT_EQ(wire::checksum_finish(wire::checksum_add(message)), 0);
    EXPECT_EQ(message[0], wire::icmpv4::destination_unreachable);
    EXPECT_EQ(message[1], wire::icmpv4::host_unreachable);
    const auto quoted = message.subspan(wire::IcmpError::size);
    const auto ip = wire::parse_ip(wire::ethertype_ipv4, quoted, SIZE_MAX);
    EXPECT_EQ(ip->src, peer4);
    EXPECT_EQ(ip->dst, local4.address);
    EXPECT_EQ(ip->payload_length, 28u);
    const auto udp = wire::UdpHeader::parse(quoted.subspan(20), 28);
    EXPECT_EQ(udp->src_port, 6000);
    EXPECT_EQ(udp->dst_port, 5353);
    EXPECT_THAT(quoted.subspan(28), ::testing::ElementsAreArray(test::pattern(20)));
    engine.on_rejected(*engine.find(flow), true);
    EXPECT_EQ(context.counters.icmp_errors_to_clients.value(), 1u);
}

TEST_F(UdpInbound, unreachable_over_ipv6) {
    const FlowId flow = begin(key6(), local6);
    EXPECT_TRUE(report(key6(), v6));
    const auto message = arena.bytes(engine.find(flow)->rejection.head);
    EXPECT_EQ(message[0], wire::icmpv6::destination_unreachable);
    const auto ip = wire::parse_ip(wire::ethertype_ipv6, message.subspan(8), SIZE_MAX);
    EXPECT_EQ(ip->src, peer6);
    EXPECT_EQ(ip->dst, local6.address);
    take_ops();  // and the flow ends with the rejection unsent
}

TEST_F(UdpInbound, unreachable_of_the_guests_own_flows_goes_nowhere) {
    open_and_send();
    EXPECT_FALSE(report({guest4, peer4, 4000, 53, 0, wire::protocol_udp}, v4));
    EXPECT_FALSE(report(key4(), v4)) << "of no flow";
    EXPECT_THAT(op_kinds(), IsEmpty());
}

TEST_F(UdpInbound, unreachables_are_limited) {
    const FlowId flow = begin();
    context.now += second;
    for (Time i = 0; i < RateLimit::burst; ++i) {
        report(key4(), v4);
        engine.on_rejected(*engine.find(flow), true);
    }
    report(key4(), v4);
    EXPECT_EQ(context.counters.icmp_errors_unsent.value(), 1u);
    context.now += RateLimit::interval;
    report(key4(), v4);
    EXPECT_EQ(context.counters.icmp_errors_unsent.value(), 1u);
    report(key4(), v4);
    EXPECT_EQ(context.counters.icmp_errors_unsent.value(), 2u) << "one is under way";
    take_ops();
}

}  // namespace
}  // namespace pasta::core
