#include "dataplane/core/echo_engine.hpp"

#include <gmock/gmock.h>

#include "dataplane/core/icmp_error.hpp"
#include "tests/support/core_fixture.hpp"
#include "tests/support/guest_packets.hpp"

namespace pasta::core {
namespace {

using test::pattern;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

constexpr SocketHandle socket = 43;
constexpr uint16_t guest_id = 0x1234;

class EchoEngineTest : public test::CoreFixture {
  protected:
    void TearDown() override {
        engine.close_port(0);
        EXPECT_EQ(context.table.size(), 0u);
        CoreFixture::TearDown();
    }
    void inject(const std::vector<uint8_t>& frame) {
        Packet p = packet(frame);
        engine.on_packet(p);
    }
    FlowId open(const test::GuestPackets& guest) {
        take_ops();
        inject(guest.echo(guest_id, 1, pattern(56)));
        const auto ops = take_ops();
        EXPECT_EQ(ops.size(), 1u);
        EXPECT_EQ(ops.at(0).kind, SocketOpKind::echo_open);
        engine.on_opened(ops.at(0).flow, socket);
        return ops.at(0).flow;
    }
    /// A message from the host's socket, as the receiver lays it out.
    void from_host(FlowId id, const std::vector<uint8_t>& message) {
        Chain chain = copy_in(cache, message, header_room);
        engine.on_datagram(*engine.find(id), chain, {});
    }

    test::GuestPackets v4{.src = guest4, .dst = peer4};
    test::GuestPackets v6{.src = guest6, .dst = peer6};
    EchoEngine engine{context, 256};
};

TEST_F(EchoEngineTest, request_waits_as_the_whole_message) {
    const FlowId id = open(v4);
    const DatagramFlow* flow = engine.find(id);
    EXPECT_EQ(flow->key.guest_port, guest_id);
    EXPECT_EQ(flow->target.address, peer4);
    EXPECT_THAT(arena.bytes(flow->to_sock.front()),
                ElementsAreArray(v4.echo_message(8, guest_id, 1, pattern(56))));
    const auto ops = take_ops();
    ASSERT_EQ(ops.size(), 1u);
    EXPECT_EQ(ops[0].kind, SocketOpKind::echo_send);
}

TEST_F(EchoEngineTest, each_identifier_is_a_flow) {
    inject(v4.echo(1, 1, {}));
    inject(v4.echo(2, 1, {}));
    inject(v4.echo(1, 2, {}));
    inject(v6.echo(1, 1, {}));
    EXPECT_EQ(engine.flows(), 3u);
}

TEST_F(EchoEngineTest, reply_gets_the_guests_identifier_and_a_right_checksum) {
    for (const test::GuestPackets& guest : {v4, v6}) {
        const FlowId id = open(guest);
        from_host(id, guest.echo_message(guest.reply_type(), 77, 9, pattern(56)));
        const auto frame = sent();
        ASSERT_TRUE(frame);
        EXPECT_EQ(frame->ip.src, guest.dst);
        EXPECT_EQ(frame->ip.dst, guest.src);
        EXPECT_FALSE(frame->checksum_offloaded);
        EXPECT_TRUE(frame->upper_checksum_ok());
        const auto echo = wire::IcmpEcho::parse(frame->upper());
        EXPECT_EQ(echo->type, guest.reply_type());
        EXPECT_EQ(echo->id, guest_id);
        EXPECT_EQ(echo->sequence, 9);
        EXPECT_THAT(frame->upper().subspan(8), ElementsAreArray(pattern(56)));
    }
    EXPECT_EQ(context.counters.echo_to_tap.value(), 2u);
}

TEST_F(EchoEngineTest, large_messages_pass_both_ways) {
    const auto payload = pattern(60000);
    inject(v6.echo(guest_id, 1, payload));
    const FlowId id = take_ops().at(0).flow;
    EXPECT_EQ(context.counters.drop_bad_checksum.value(), 0u);
    engine.on_opened(id, socket);
    from_host(id, v6.echo_message(v6.reply_type(), 5, 1, payload));
    const auto frame = sent();
    ASSERT_TRUE(frame);
    EXPECT_TRUE(frame->upper_checksum_ok());
    EXPECT_THAT(frame->upper().subspan(8), ElementsAreArray(payload));
}

TEST_F(EchoEngineTest, only_valid_echo_requests_are_served) {
    inject(v4.ip(wire::protocol_icmp, v4.echo_message(0, 1, 1, pattern(4))));
    inject(v4.ip(wire::protocol_icmp, v4.echo_message(13, 1, 1, pattern(4))));
    EXPECT_EQ(context.counters.drop_ignored.value(), 2u);
    inject(v4.ip(wire::protocol_icmp, pattern(7)));
    EXPECT_EQ(context.counters.drop_truncated.value(), 1u);
    auto damaged = v6.echo(1, 1, pattern(5000));
    damaged.back() ^= 1;
    inject(damaged);
    EXPECT_EQ(context.counters.drop_bad_checksum.value(), 1u);
    inject(v6.ip(wire::protocol_icmp, v4.echo_message(8, 1, 1, pattern(4))));
    EXPECT_EQ(context.counters.drop_protocol.value(), 1u);
    v4.dst = wire::IpAddress::v4(224, 0, 0, 1);
    inject(v4.echo(1, 1, {}));
    EXPECT_EQ(context.counters.drop_address.value(), 1u);
    EXPECT_THAT(take_ops(), IsEmpty());
    EXPECT_EQ(engine.flows(), 0u);
}

TEST_F(EchoEngineTest, messages_that_are_no_reply_to_us_are_dropped) {
    const FlowId id = open(v4);
    from_host(id, v4.echo_message(wire::icmpv4::echo_request, 77, 1, {}));
    from_host(id, pattern(7));
    DatagramFlow* flow = engine.find(id);
    flow->raw = true;
    flow->host_id = 500;
    from_host(id, v4.echo_message(wire::icmpv4::echo_reply, 501, 1, {}));
    EXPECT_FALSE(sent());
    EXPECT_FALSE(flow->received);
    from_host(id, v4.echo_message(wire::icmpv4::echo_reply, 500, 1, {}));
    EXPECT_TRUE(sent());
    EXPECT_EQ(context.counters.drop_ignored.value(), 3u);
}

TEST_F(EchoEngineTest, error_quotes_the_request_as_the_guest_sent_it) {
    const FlowId id = open(v4);
    const auto router = wire::IpAddress::v4(203, 0, 113, 254);
    const auto original = v4.echo_message(8, 900, 4, pattern(20));  // the host's identifier
    DatagramError error;
    error.type = wire::icmpv4::time_exceeded;
    error.offender = router;
    error.original = original;
    engine.on_error(*engine.find(id), error);
    const auto frame = sent();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->ip.src, router);
    EXPECT_TRUE(frame->upper_checksum_ok());
    EXPECT_THAT(frame->upper().subspan(28),
                ElementsAreArray(v4.echo_message(8, guest_id, 4, pattern(20))));
}

TEST_F(EchoEngineTest, flow_ends_after_60_s_of_silence) {
    const FlowId id = open(v4);
    take_ops();
    for (const FlowId due : advance_to(59 * second))
        engine.on_deadline(due);
    EXPECT_NE(engine.find(id), nullptr);
    for (const FlowId due : advance_to(61 * second))
        engine.on_deadline(due);
    EXPECT_EQ(engine.find(id), nullptr);
    EXPECT_EQ(take_ops().at(0).kind, SocketOpKind::datagram_close);
}

}  // namespace
}  // namespace pasta::core
