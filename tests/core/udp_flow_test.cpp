// Flows of a UdpEngine: timeouts, limits, errors, back-pressure.
#include <gmock/gmock.h>

#include <cerrno>

#include "dataplane/core/icmp_error.hpp"
#include "dataplane/wire/udp.hpp"
#include "tests/support/udp_fixture.hpp"

namespace pasta::core {
namespace {

using test::pattern;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

TEST_F(UdpEngineTest, one_shot_ends_after_30_s_without_a_datagram) {
    const FlowId id = open_and_send();
    run_to(20 * second);
    from_host(id, 10);
    sent();
    run_to(49 * second);
    EXPECT_NE(engine.find(id), nullptr);
    EXPECT_THAT(take_ops(), IsEmpty());
    run_to(51 * second);
    EXPECT_EQ(engine.find(id), nullptr);
    const auto ops = take_ops();
    ASSERT_EQ(ops.size(), 1u);
    EXPECT_EQ(ops[0].kind, SocketOpKind::datagram_close);
    EXPECT_EQ(ops[0].socket, socket);
}

TEST_F(UdpEngineTest, stream_ends_after_120_s_without_a_datagram) {
    const FlowId id = open_and_send();
    from_host(id, 10);
    inject(v4.udp(4000, 53, pattern(1)));
    all_sent();
    run_to(119 * second);
    EXPECT_NE(engine.find(id), nullptr);
    run_to(121 * second);
    EXPECT_EQ(engine.find(id), nullptr);
}

TEST_F(UdpEngineTest, many_datagrams_without_an_answer_are_no_stream) {
    const FlowId id = open_and_send();
    inject(v4.udp(4000, 53, pattern(1)));
    run_to(31 * second);
    EXPECT_EQ(engine.find(id), nullptr);
}

TEST_F(UdpEngineTest, queue_is_bounded_in_memory) {
    const FlowId id = open(v4.udp(4000, 53, pattern(1)));
    for (int i = 0; i < 300; ++i)
        inject(v4.udp(4000, 53, pattern(1)));
    EXPECT_EQ(engine.find(id)->to_sock.datagrams(), 256u);
    EXPECT_EQ(context.counters.udp_send_failed.value(), 45u);
    context.limits.hold_bytes = 64 << 10;
    inject(v4.udp(4001, 53, pattern(65000)));
    EXPECT_EQ(context.counters.udp_send_failed.value(), 46u) << "more chunks than the limit";
}

TEST_F(UdpEngineTest, blocked_socket_gets_the_rest_when_it_is_writable) {
    const FlowId id = open(v4.udp(4000, 53, pattern(1)));
    inject(v4.udp(4000, 53, pattern(2)));
    take_ops();
    DatagramFlow* flow = engine.start_send(id);
    engine.on_sent(*flow, 1);
    engine.on_send_done(*flow, true);
    inject(v4.udp(4000, 53, pattern(3)));
    EXPECT_THAT(take_ops(), IsEmpty()) << "not before it is writable";
    engine.on_ready(id, {.writable = true});
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::udp_send));
    EXPECT_EQ(flow->to_sock.datagrams(), 2u);
    EXPECT_EQ(context.counters.udp_to_sock.value(), 1u);
}

TEST_F(UdpEngineTest, readiness_queues_one_read) {
    const FlowId id = open_and_send();
    engine.on_ready(id, {.readable = true});
    engine.on_ready(id, {.readable = true, .error = true});
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::udp_read));
    DatagramFlow* flow = engine.start_read(id);
    EXPECT_TRUE(flow->error_pending);
    engine.on_read_done(*flow, ReadEnd::more, 1);
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::udp_read)) << "there may be more";
    engine.start_read(id);
    engine.on_read_done(*flow, ReadEnd::drained, 1);
    EXPECT_THAT(take_ops(), IsEmpty());
}

TEST_F(UdpEngineTest, read_waits_while_the_transmit_queue_is_full) {
    const FlowId id = open_and_send();
    DatagramFlow* flow = engine.find(id);
    TxQueue small(16);
    std::swap(port()->tx, small);
    EXPECT_EQ(engine.plan_read(*flow).datagrams, 0u);
    run_to(2 * millisecond);
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::udp_read));
    std::swap(port()->tx, small);
    EXPECT_GT(engine.plan_read(*flow).datagrams, 0u);
}

TEST_F(UdpEngineTest, read_plan_follows_the_size_of_datagrams) {
    DatagramFlow* flow = engine.find(open_and_send());
    EXPECT_EQ(engine.plan_read(*flow).chunks_each, 1u);
    EXPECT_EQ(engine.plan_read(*flow).datagrams, 32u);
    engine.on_read_done(*flow, ReadEnd::drained, 17);
    EXPECT_EQ(engine.plan_read(*flow).chunks_each, 17u);
    EXPECT_EQ(engine.plan_read(*flow).datagrams, 3u);
    engine.on_read_done(*flow, ReadEnd::drained, 0);
    EXPECT_EQ(engine.plan_read(*flow).chunks_each, 17u) << "nothing was learnt";
    engine.on_read_done(*flow, ReadEnd::drained, 1);
    EXPECT_EQ(engine.plan_read(*flow).chunks_each, 1u);
}

TEST_F(UdpEngineTest, open_that_fails_unreachable_is_told_to_the_guest) {
    inject(v4.udp(4000, 53, pattern(20)));
    const FlowId id = take_ops().at(0).flow;
    engine.on_open_failed(id, ENETUNREACH);
    EXPECT_EQ(engine.find(id), nullptr);
    const auto frame = sent();
    ASSERT_TRUE(frame);
    const auto error = wire::IcmpError::parse(frame->upper());
    EXPECT_EQ(error->type, wire::icmpv4::destination_unreachable);
    EXPECT_EQ(error->code, wire::icmpv4::net_unreachable);
    const auto udp = wire::UdpHeader::parse(frame->upper().subspan(28), 28);
    ASSERT_TRUE(udp);
    EXPECT_EQ(udp->src_port, 4000);
    EXPECT_EQ(udp->dst_port, 53);
    EXPECT_EQ(udp->length, 28);
    EXPECT_THAT(frame->upper().subspan(36), ElementsAreArray(pattern(20)));
    EXPECT_THAT(take_ops(), IsEmpty()) << "there is no socket to close";
}

TEST_F(UdpEngineTest, open_that_fails_for_want_of_descriptors_is_counted_only) {
    inject(v4.udp(4000, 53, pattern(20)));
    engine.on_open_failed(take_ops().at(0).flow, EMFILE);
    EXPECT_EQ(context.counters.socket_exhausted.value(), 1u);
    EXPECT_FALSE(sent());
    EXPECT_EQ(engine.flows(), 0u);
}

TEST_F(UdpEngineTest, refused_datagram_is_dropped_with_an_error_and_the_flow_lives) {
    const FlowId id = open(v6.udp(4000, 53, pattern(3000)));
    inject(v6.udp(4000, 53, pattern(1)));
    DatagramFlow* flow = engine.start_send(id);
    engine.on_send_failed(*flow, EMSGSIZE, 1400);
    EXPECT_EQ(flow->to_sock.datagrams(), 1u);
    const auto frame = sent();
    ASSERT_TRUE(frame);
    EXPECT_TRUE(frame->upper_checksum_ok());
    const auto error = wire::IcmpError::parse(frame->upper());
    EXPECT_EQ(error->type, wire::icmpv6::packet_too_big);
    EXPECT_EQ(error->info, 1400u);
    EXPECT_EQ(frame->bytes.size(), 14u + 1280);
    const auto inner = wire::Ipv6Header::parse(frame->upper().subspan(8), 4000);
    ASSERT_TRUE(inner);
    EXPECT_EQ(inner->payload_length, 3008);
}

TEST_F(UdpEngineTest, network_error_comes_from_its_offender) {
    const FlowId id = open_and_send();
    const auto router = wire::IpAddress::v4(203, 0, 113, 254);
    const auto original = pattern(20);
    DatagramError error;
    error.type = wire::icmpv4::time_exceeded;
    error.offender = router;
    error.original = original;
    engine.on_error(*engine.find(id), error);
    const auto frame = sent();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->ip.src, router);
    EXPECT_EQ(wire::IcmpError::parse(frame->upper())->type, wire::icmpv4::time_exceeded);
    EXPECT_THAT(frame->upper().subspan(36), ElementsAreArray(original));
    EXPECT_NE(engine.find(id), nullptr);
    error.type = 5;  // redirect: the host's business
    engine.on_error(*engine.find(id), error);
    error.is_v6 = true;
    error.type = wire::icmpv6::time_exceeded;
    engine.on_error(*engine.find(id), error);
    EXPECT_FALSE(sent());
}

TEST_F(UdpEngineTest, error_from_the_translated_target_comes_from_the_guests_peer) {
    v4.dst = gateway4;
    const FlowId id = open(v4.udp(4000, 7, {}));
    port()->config.gateway4.reset();  // so that the default cannot hide a mistake
    DatagramError error;
    error.type = wire::icmpv4::destination_unreachable;
    error.code = wire::icmpv4::port_unreachable;
    error.offender = wire::IpAddress::v4(127, 0, 0, 1);
    engine.on_error(*engine.find(id), error);
    const auto frame = sent();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->ip.src, gateway4);
}

TEST_F(UdpEngineTest, full_table_evicts_the_flow_idle_longest) {
    const FlowId oldest = open(v4.udp(1, 53, {}));
    for (uint16_t i = 2; i <= 256; ++i)
        inject(v4.udp(i, 53, {}));
    take_ops();
    inject(v4.udp(1000, 53, {}));
    EXPECT_EQ(context.counters.drop_flow_limit.value(), 1u) << "none is idle yet";
    context.now = 2 * second;
    inject(v4.udp(1, 53, {}));  // no longer the oldest
    inject(v4.udp(1000, 53, {}));
    EXPECT_EQ(context.counters.drop_flow_limit.value(), 1u);
    EXPECT_EQ(engine.flows(), 256u);
    EXPECT_NE(engine.find(oldest), nullptr);
    FlowKey evicted;
    evicted.guest = guest4, evicted.peer = peer4;
    evicted.guest_port = 2, evicted.peer_port = 53;
    evicted.protocol = wire::protocol_udp;
    EXPECT_FALSE(context.table.find(evicted));
}

TEST_F(UdpEngineTest, streams_are_not_evicted) {
    std::vector<FlowId> ids;
    for (uint16_t i = 1; i <= 256; ++i) {
        inject(v4.udp(i, 53, {}));
        ids.push_back(context.ops.pop().flow);
        from_host(ids.back(), 1);
        from_host(ids.back(), 1);
        all_sent();
    }
    context.now = 10 * second;
    inject(v4.udp(1000, 53, {}));
    EXPECT_EQ(context.counters.drop_flow_limit.value(), 1u);
    for (const FlowId id : ids)
        EXPECT_NE(engine.find(id), nullptr);
}

TEST_F(UdpEngineTest, closing_a_port_ends_only_its_flows) {
    PortConfig other = default_config();
    other.id = 1;
    context.add_port(other);
    open_and_send();
    Packet p = packet(v4.udp(4000, 53, {}));
    Packet moved{.port = *context.port(1),
                 .src_mac = p.src_mac,
                 .ip = p.ip,
                 .upper = p.upper,
                 .upper_offset = p.upper_offset,
                 .frame = p.frame};
    engine.on_packet(moved);
    EXPECT_EQ(engine.flows(), 2u);
    engine.close_port(0);
    EXPECT_EQ(engine.flows(), 1u);
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::udp_open, SocketOpKind::datagram_close));
    engine.close_port(1);
}

TEST_F(UdpEngineTest, events_of_flows_that_are_gone_are_ignored) {
    const FlowId id = open_and_send();
    engine.close_port(0);
    take_ops();
    engine.on_ready(id, {true, true, true});
    engine.on_deadline(id);
    engine.on_open_failed(id, EMFILE);
    EXPECT_EQ(engine.start_send(id), nullptr);
    EXPECT_EQ(engine.start_read(id), nullptr);
    EXPECT_THAT(take_ops(), IsEmpty());
    EXPECT_EQ(context.counters.socket_exhausted.value(), 0u);
}

}  // namespace
}  // namespace pasta::core
