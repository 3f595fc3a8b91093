// Connections that clients of the host make with the namespace.

#include <gmock/gmock.h>

#include "dataplane/wire/icmp.hpp"
#include "tests/support/tcp_fixture.hpp"

namespace pasta::core {
namespace {

using test::ByteVector;
using test::GuestSegment;
using test::rst;
using test::seg;
using test::syn;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TcpAccept : public test::TcpFixture {
  protected:
    static GuestSegment syn_ack() { return syn().flags(wire::tcp_ack).acks(1); }
    static GuestSegment refusal() { return rst(0).flags(wire::tcp_ack).acks(1); }

    /// An error of the guest about the frame that it received last.
    ByteVector unreachable(uint8_t type, uint8_t code) {
        ByteVector message(wire::IcmpError::size);
        wire::IcmpError{.type = type, .code = code}.emit(message);
        const auto quoted = wire::Bytes{received.back().frame.bytes}.subspan(14);
        message.insert(message.end(), quoted.begin(), quoted.end());
        return link.with_checksum(message);
    }
    /// Whether the message was understood and concerns a connection.
    bool report(const ByteVector& message) {
        Packet p = packet(link.ip(link.protocol(), message));
        const auto error = parse_guest_error(arena, p);
        const bool ours = is_icmp_error(p) && error && engine.on_unreachable(*error);
        cache.unref(p.frame);
        return ours;
    }
    void to_syn_sent() {
        client_connects();
        ASSERT_EQ(output(), Lines{"S 0(0)"});
        ASSERT_EQ(flow()->state, TcpState::syn_sent);
    }
    void to_established(const GuestSegment& answer_to_syn) {
        to_syn_sent();
        ASSERT_THAT(answer(answer_to_syn), ElementsAre(". 1(0) ack 1"));
        ASSERT_EQ(flow()->state, TcpState::established);
    }
    void expect_refused() {
        EXPECT_THAT(output(), IsEmpty());
        EXPECT_TRUE(socket().aborted);
        EXPECT_EQ(engine.flows(), 0u);
        EXPECT_EQ(context.counters.tcp_refused.value(), 1u);
    }
};

TEST_F(TcpAccept, accept_sends_a_syn_with_options_to_the_guests_mac) {
    to_syn_sent();
    EXPECT_EQ(received[0].header.mss, 65480);
    EXPECT_EQ(received[0].header.window_scale, tcp_window_scale);
    EXPECT_EQ(received[0].header.window, 65535);
    EXPECT_EQ(received[0].frame.ethernet.dst, default_config().guest_mac);
    EXPECT_EQ(context.counters.tcp_accepted.value(), 1u);
    EXPECT_EQ(context.counters.tcp_opened.value(), 0u);
}

TEST_F(TcpAccept, accept_over_ipv6) {
    link = {guest6, peer6};
    to_established(syn_ack());
}

TEST_F(TcpAccept, syn_sent_syn_ack_establishes_with_its_options) {
    to_established(syn_ack().mss(1000).scale(3).win(5000));
    EXPECT_EQ(flow()->mss_to_tap, 1000u);
    EXPECT_EQ(flow()->snd_scale, 3);
    EXPECT_EQ(flow()->snd_wnd, 5000u) << "a SYN's window is not scaled";
    EXPECT_EQ(flow()->rcv_scale, tcp_window_scale);
    EXPECT_EQ(context.counters.tcp_opened.value(), 1u);
}

TEST_F(TcpAccept, syn_sent_syn_ack_without_options_keeps_windows_small) {
    to_established(syn_ack().mss(std::nullopt).scale(std::nullopt));
    EXPECT_EQ(flow()->mss_to_tap, 536u);
    EXPECT_EQ(flow()->rcv_scale, 0);
    EXPECT_EQ(window(), 65535);
}

TEST_F(TcpAccept, syn_sent_queued_data_follows_the_syn_ack_at_once) {
    client_connects(2500);
    EXPECT_THAT(output(), ElementsAre("S 0(0)"));
    EXPECT_THAT(answer(syn_ack().mss(1000)),
                ElementsAre(". 1(1000) ack 1", ". 1001(1000) ack 1", "P. 2001(500) ack 1"));
}

TEST_F(TcpAccept, established_data_flows_both_ways_and_windows_hold) {
    to_established(syn_ack());
    EXPECT_THAT(answer(seg(1, 1).data(1000)), ElementsAre(". 1(0) ack 1001"));
    EXPECT_EQ(socket().taken, 1000u);
    peer_sends(10);
    EXPECT_THAT(output(), ElementsAre("P. 1(10) ack 1001"));
}

TEST_F(TcpAccept, established_syn_ack_again_is_acknowledged_again) {
    to_established(syn_ack());
    EXPECT_THAT(answer(syn_ack()), ElementsAre(". 1(0) ack 1"));
}

TEST_F(TcpAccept, sequence_numbers_may_wrap_in_the_handshake) {
    choose_iss(UINT32_MAX);
    guest_iss = UINT32_MAX;
    to_established(syn_ack());
    EXPECT_THAT(answer(seg(1, 1).data(5)), ElementsAre(". 1(0) ack 6"));
}

TEST_F(TcpAccept, syn_sent_reset_with_right_ack_refuses) {
    to_syn_sent();
    inject(refusal());
    expect_refused();
}

TEST_F(TcpAccept, syn_sent_reset_without_or_with_wrong_ack_is_ignored) {
    to_syn_sent();
    EXPECT_THAT(answer(rst(0)), IsEmpty());
    EXPECT_THAT(answer(refusal().acks(2)), IsEmpty());
    EXPECT_THAT(answer(refusal().acks(0)), IsEmpty());
    EXPECT_EQ(flow()->state, TcpState::syn_sent);
}

TEST_F(TcpAccept, syn_sent_unacceptable_ack_is_reset_and_the_syn_follows_at_once_but_once_only) {
    to_syn_sent();
    EXPECT_THAT(answer(seg(700, 77)), ElementsAre("R 77(0)", "S 0(0)"));
    EXPECT_THAT(answer(syn_ack().acks(0)), ElementsAre("R 0(0)"));
    EXPECT_EQ(flow()->state, TcpState::syn_sent);
    pass(2 * second);
    EXPECT_THAT(output(), ElementsAre("S 0(0)"));
    EXPECT_THAT(answer(syn_ack()), ElementsAre(". 1(0) ack 1"));
}

TEST_F(TcpAccept, syn_sent_segment_that_is_neither_syn_nor_reset_is_ignored) {
    to_syn_sent();
    EXPECT_THAT(answer(seg(1, 1).data(10)), IsEmpty());
    EXPECT_THAT(answer(seg(1, 1).without(wire::tcp_ack)), IsEmpty());
    EXPECT_EQ(flow()->state, TcpState::syn_sent);
}

TEST_F(TcpAccept, syn_sent_timer_repeats_the_syn_with_backoff_then_resets_the_client) {
    to_syn_sent();
    for (Time wait = tcp_initial_rto; wait <= 16 * second; wait *= 2) {
        pass(wait - millisecond);
        EXPECT_THAT(output(), IsEmpty()) << "before " << wait;
        pass(millisecond);
        EXPECT_THAT(output(), ElementsAre("S 0(0)")) << "at " << wait;
    }
    EXPECT_FALSE(socket().aborted);
    pass(33 * second);
    EXPECT_THAT(output(), ElementsAre("R 1(0)"));
    EXPECT_TRUE(socket().aborted);
    EXPECT_EQ(context.counters.tcp_timed_out.value(), 1u);
}

TEST_F(TcpAccept, syn_sent_without_chunks_sends_the_syn_later) {
    exhaust_chunks();
    client_connects();
    EXPECT_THAT(output(), IsEmpty());
    give_back_chunks();
    pass(second);
    EXPECT_THAT(output(), ElementsAre("S 0(0)"));
}

TEST_F(TcpAccept, syn_sent_client_that_resets_is_passed_on_at_once) {
    to_syn_sent();
    peer_resets();
    EXPECT_THAT(output(), ElementsAre("R 1(0)"));
    EXPECT_EQ(engine.flows(), 0u);
}

TEST_F(TcpAccept, syn_sent_client_that_closes_is_served_to_the_end) {
    client_connects(5);
    peer_closes();
    EXPECT_THAT(output(), ElementsAre("S 0(0)"));
    EXPECT_THAT(answer(syn_ack()), ElementsAre("FP. 1(5) ack 1"));
    EXPECT_THAT(answer(seg(1, 7).data(8).fin()), ElementsAre(". 7(0) ack 10"));
    EXPECT_EQ(socket().taken, 8u);
    EXPECT_TRUE(socket().closed);
}

TEST_F(TcpAccept, syn_sent_fin_with_the_syn_ack_is_taken_when_it_comes_again) {
    to_syn_sent();
    EXPECT_THAT(answer(syn_ack().fin()), ElementsAre(". 1(0) ack 1"));
    EXPECT_THAT(answer(seg(1, 1).fin()), ElementsAre(". 1(0) ack 2"));
    EXPECT_TRUE(socket().shut);
}

TEST_F(TcpAccept, collision_with_a_living_flow_leaves_both_ends_alone) {
    establish();
    const SocketHandle first = current;
    client_connects();
    EXPECT_FALSE(socket().flow);
    EXPECT_THAT(output(), IsEmpty());
    EXPECT_EQ(context.counters.inbound_collision.value(), 1u);
    EXPECT_TRUE(sockets.at(first).open());
}

TEST_F(TcpAccept, time_wait_gives_way_to_a_new_connection) {
    to_established(syn_ack());
    const SocketHandle first = current;
    peer_closes();
    EXPECT_THAT(output(), ElementsAre("F. 1(0) ack 1"));
    EXPECT_THAT(answer(seg(1, 2).fin()), ElementsAre(". 2(0) ack 2"));
    ASSERT_EQ(flow()->state, TcpState::time_wait);
    to_syn_sent();
    EXPECT_TRUE(sockets.at(first).closed);
    EXPECT_EQ(engine.flows(), 1u);
}

TEST_F(TcpAccept, flow_limit_leaves_the_socket_to_the_caller) {
    TcpEngine small(context, 1);
    EXPECT_TRUE(small.accept(flow_key(), 7));
    peer_port = 81;
    EXPECT_FALSE(small.accept(flow_key(), 8));
    EXPECT_EQ(context.counters.drop_flow_limit.value(), 1u);
    small.close_port(0);
    take_ops();
    all_sent();
}

TEST_F(TcpAccept, close_port_aborts_the_client) {
    to_syn_sent();
    engine.close_port(0);
    run();
    EXPECT_TRUE(socket().aborted);
}

TEST_F(TcpAccept, syn_sent_unreachable_refuses) {
    to_syn_sent();
    EXPECT_TRUE(
        report(unreachable(wire::icmpv4::destination_unreachable, wire::icmpv4::host_unreachable)));
    expect_refused();
}

TEST_F(TcpAccept, syn_sent_unreachable_over_ipv6_refuses) {
    link = {guest6, peer6};
    to_syn_sent();
    EXPECT_TRUE(report(unreachable(wire::icmpv6::destination_unreachable,
                                   wire::icmpv6::administratively_prohibited)));
    expect_refused();
}

TEST_F(TcpAccept, syn_sent_errors_that_do_not_end_it) {
    using namespace wire;
    to_syn_sent();
    EXPECT_FALSE(
        report(unreachable(icmpv4::destination_unreachable, icmpv4::fragmentation_needed)));
    EXPECT_FALSE(report(unreachable(icmpv4::time_exceeded, 0)));
    ByteVector damaged = unreachable(icmpv4::destination_unreachable, icmpv4::host_unreachable);
    damaged[3] ^= 1;
    EXPECT_FALSE(report(damaged));
    ByteVector forged = unreachable(icmpv4::destination_unreachable, icmpv4::host_unreachable);
    forged[IcmpError::size + 20 + 4] ^= 1;  // the sequence number
    EXPECT_TRUE(report(link.with_checksum(forged)));
    EXPECT_EQ(flow()->state, TcpState::syn_sent);
}

TEST_F(TcpAccept, every_truncation_of_an_error_is_survived) {
    to_syn_sent();
    const ByteVector whole =
        unreachable(wire::icmpv4::destination_unreachable, wire::icmpv4::host_unreachable);
    const size_t enough = wire::IcmpError::size + 20 + 8;
    for (size_t n = 1; n < enough; ++n)
        EXPECT_FALSE(
            report(link.with_checksum({whole.begin(), whole.begin() + std::max<long>(4, n)})));
    EXPECT_EQ(flow()->state, TcpState::syn_sent);
    EXPECT_TRUE(report(link.with_checksum({whole.begin(), whole.begin() + enough})));
    expect_refused();
}

TEST_F(TcpAccept, established_unreachable_is_a_soft_error) {
    to_established(syn_ack());
    peer_sends(10);
    output();
    EXPECT_TRUE(
        report(unreachable(wire::icmpv4::destination_unreachable, wire::icmpv4::port_unreachable)));
    EXPECT_EQ(flow()->state, TcpState::established);
}

}  // namespace
}  // namespace pasta::core
