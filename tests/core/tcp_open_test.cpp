// The handshake, coupled to the host's connect(2).

#include <gmock/gmock.h>

#include <cerrno>

#include "dataplane/wire/icmp.hpp"
#include "tests/support/tcp_fixture.hpp"

namespace pasta::core {
namespace {

using test::rst;
using test::seg;
using test::syn;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TcpOpen : public test::TcpFixture {};

TEST_F(TcpOpen, closed_syn_asks_host_to_connect_and_says_nothing) {
    EXPECT_THAT(answer(syn()), IsEmpty());
    EXPECT_EQ(sockets.size(), 1u);
    EXPECT_EQ(flow()->state, TcpState::connecting);
    const HostTarget target = engine.target(*flow());
    EXPECT_EQ(target.address, peer4);
    EXPECT_EQ(target.port, 80);
}

TEST_F(TcpOpen, connecting_connected_answers_syn_ack_with_options) {
    const auto syn_ack = establish();
    EXPECT_EQ(syn_ack.header.mss, 65480);
    EXPECT_EQ(syn_ack.header.window_scale, tcp_window_scale);
    EXPECT_EQ(syn_ack.header.window, 65535);
    EXPECT_EQ(context.counters.tcp_opened.value(), 1u);
}

TEST_F(TcpOpen, closed_syn_over_ipv6_opens) {
    link = {guest6, peer6};
    EXPECT_EQ(establish().header.mss, 65460);
}

TEST_F(TcpOpen, connecting_refused_answers_reset_that_acknowledges_the_syn) {
    open();
    engine.on_connect_failed(socket().flow, ECONNREFUSED);
    EXPECT_THAT(output(), ElementsAre("R. 0(0) ack 1"));
    EXPECT_TRUE(socket().closed);
    EXPECT_EQ(engine.flows(), 0u);
    EXPECT_EQ(context.counters.tcp_connect_failed.value(), 1u);
}

TEST_F(TcpOpen, connecting_unreachable_answers_icmp_with_the_syn) {
    open();
    engine.on_connect_failed(socket().flow, EHOSTUNREACH);
    ASSERT_THAT(output(), ElementsAre("icmp"));
    const auto upper = received[0].frame.upper();
    EXPECT_EQ(upper[0], wire::icmpv4::destination_unreachable);
    const auto quoted = upper.subspan(wire::IcmpError::size + 20);
    EXPECT_EQ(wire::load_be16(&quoted[0]), guest_port);
    EXPECT_EQ(wire::load_be16(&quoted[2]), peer_port);
    EXPECT_EQ(wire::load_be32(&quoted[4]), guest_iss);
}

TEST_F(TcpOpen, connecting_unreachable_over_ipv6_answers_icmpv6) {
    link = {guest6, peer6};
    open();
    engine.on_connect_failed(socket().flow, ENETUNREACH);
    ASSERT_THAT(output(), ElementsAre("icmp"));
    EXPECT_EQ(received[0].frame.upper()[0], wire::icmpv6::destination_unreachable);
}

TEST_F(TcpOpen, connecting_timed_out_stays_silent) {
    open();
    engine.on_connect_failed(socket().flow, ETIMEDOUT);
    EXPECT_THAT(output(), IsEmpty());
    EXPECT_EQ(engine.flows(), 0u);
}

TEST_F(TcpOpen, closed_no_descriptor_left_stays_silent_and_next_syn_tries_again) {
    socket_error = EMFILE;
    EXPECT_THAT(answer(syn()), IsEmpty());
    EXPECT_EQ(context.counters.socket_exhausted.value(), 1u);
    EXPECT_EQ(engine.flows(), 0u);
    socket_error = 0;
    establish();
}

TEST_F(TcpOpen, connecting_syn_retransmitted_waits_for_the_same_connect) {
    open();
    EXPECT_THAT(answer(syn()), IsEmpty());
    EXPECT_EQ(sockets.size(), 1u);
    connected(current);
    EXPECT_THAT(output(), ElementsAre("S. 0(0) ack 1"));
}

TEST_F(TcpOpen, connecting_syn_with_other_isn_starts_over) {
    open();
    guest_iss += 77777;
    EXPECT_THAT(answer(syn()), IsEmpty());
    EXPECT_EQ(sockets.size(), 2u);
    EXPECT_TRUE(sockets.begin()->second.aborted);
    connected(current);
    EXPECT_THAT(output(), ElementsAre("S. 0(0) ack 1"));
}

TEST_F(TcpOpen, connecting_reset_aborts_connect) {
    open();
    EXPECT_THAT(answer(rst(1)), IsEmpty());
    EXPECT_TRUE(socket().aborted);
    EXPECT_EQ(engine.flows(), 0u);
}

TEST_F(TcpOpen, connecting_reset_elsewhere_is_ignored) {
    open();
    EXPECT_THAT(answer(rst(2)), IsEmpty());
    EXPECT_EQ(flow()->state, TcpState::connecting);
}

TEST_F(TcpOpen, connecting_reset_before_socket_exists_cancels_the_connect) {
    inject(syn());
    inject(rst(1));
    EXPECT_THAT(output(), IsEmpty());
    EXPECT_TRUE(sockets.empty());
}

TEST_F(TcpOpen, connecting_late_results_for_an_ended_flow_are_ignored) {
    open();
    const FlowId id = socket().flow;
    answer(rst(1));
    engine.on_connected(id);
    engine.on_connect_failed(id, ECONNREFUSED);
    engine.on_ready(id, {.readable = true, .writable = true});
    engine.on_sent(id, 0, SocketResult::done);
    engine.on_read(id, test::CoreFixture::receive_chain(test::pattern(10)), SocketResult::done);
    engine.on_deadline(id);
    EXPECT_THAT(output(), IsEmpty());
}

TEST_F(TcpOpen, syn_received_timer_repeats_syn_ack_with_backoff_then_gives_up) {
    open();
    connected(current);
    output();
    for (Time wait = tcp_initial_rto; wait <= 16 * second; wait *= 2) {
        pass(wait - millisecond);
        EXPECT_THAT(output(), IsEmpty()) << "before " << wait;
        pass(millisecond);
        EXPECT_THAT(output(), ElementsAre("S. 0(0) ack 1")) << "at " << wait;
    }
    pass(33 * second);
    EXPECT_THAT(output(), ElementsAre("R. 1(0) ack 1"));
    EXPECT_TRUE(socket().aborted);
    EXPECT_EQ(context.counters.tcp_timed_out.value(), 1u);
}

TEST_F(TcpOpen, syn_received_syn_again_repeats_syn_ack) {
    open();
    connected(current);
    output();
    EXPECT_THAT(answer(syn()), ElementsAre("S. 0(0) ack 1"));
}

TEST_F(TcpOpen, syn_received_syn_with_other_isn_gets_challenge_ack) {
    open();
    connected(current);
    output();
    auto other = syn();
    other.header.seq = 5000;
    EXPECT_THAT(answer(other), ElementsAre(". 1(0) ack 1"));
    EXPECT_EQ(flow()->state, TcpState::syn_received);
}

TEST_F(TcpOpen, syn_received_exact_reset_aborts) {
    open();
    connected(current);
    output();
    EXPECT_THAT(answer(rst(1)), IsEmpty());
    EXPECT_TRUE(socket().aborted);
    EXPECT_EQ(context.counters.tcp_reset_from_tap.value(), 1u);
}

TEST_F(TcpOpen, syn_received_reset_inside_window_gets_challenge_ack) {
    open();
    connected(current);
    output();
    EXPECT_THAT(answer(rst(100)), ElementsAre(". 1(0) ack 1"));
    EXPECT_THAT(answer(rst(70000)), IsEmpty());
    EXPECT_EQ(flow()->state, TcpState::syn_received);
}

TEST_F(TcpOpen, syn_received_wrong_ack_gets_reset_and_keeps_waiting) {
    open();
    connected(current);
    output();
    EXPECT_THAT(answer(seg(1, 5)), ElementsAre("R 5(0)"));
    EXPECT_THAT(answer(seg(1, 0)), ElementsAre("R 0(0)"));
    EXPECT_EQ(flow()->state, TcpState::syn_received);
}

TEST_F(TcpOpen, syn_received_no_chunk_for_syn_ack_is_repaired_by_timer) {
    open();
    exhaust_chunks();
    connected(current);
    EXPECT_THAT(output(), IsEmpty());
    give_back_chunks();
    pass(tcp_initial_rto + millisecond);
    EXPECT_THAT(output(), ElementsAre("S. 0(0) ack 1"));
}

TEST_F(TcpOpen, syn_received_data_with_the_ack_reaches_host) {
    open();
    connected(current);
    output();
    EXPECT_THAT(answer(seg(1, 1).data(300)), ElementsAre(". 1(0) ack 301"));
    EXPECT_EQ(socket().taken, 300u);
}

TEST_F(TcpOpen, syn_received_data_and_fin_with_the_ack_half_closes) {
    open();
    connected(current);
    output();
    EXPECT_THAT(answer(seg(1, 1).data(300).fin()), ElementsAre(". 1(0) ack 302"));
    EXPECT_EQ(socket().taken, 300u);
    EXPECT_TRUE(socket().shut);
    EXPECT_EQ(flow()->state, TcpState::close_wait);
}

TEST_F(TcpOpen, syn_received_peer_data_waits_for_the_ack) {
    open();
    connected(current);
    peer_sends(100);
    EXPECT_THAT(output(), ElementsAre("S. 0(0) ack 1"));
    EXPECT_THAT(answer(seg(1, 1)), ElementsAre("P. 1(100) ack 1"));
}

struct MssCase {
    std::optional<uint16_t> offered;
    uint32_t used4, used6;
};
class TcpOpenMss : public test::TcpFixture, public ::testing::WithParamInterface<MssCase> {};

TEST_P(TcpOpenMss, closed_syn_with_mss_bounds_our_segments) {
    establish(syn().mss(GetParam().offered));
    EXPECT_EQ(flow()->mss_to_tap, GetParam().used4);
    link = {guest6, peer6};
    establish(syn().mss(GetParam().offered));
    EXPECT_EQ(flow()->mss_to_tap, GetParam().used6);
}
INSTANTIATE_TEST_SUITE_P(Offers, TcpOpenMss,
                         ::testing::Values(MssCase{std::nullopt, 536, 1220},
                                           MssCase{uint16_t{0}, tcp_min_mss, tcp_min_mss},
                                           MssCase{uint16_t{1}, tcp_min_mss, tcp_min_mss},
                                           MssCase{uint16_t{1460}, 1460, 1460},
                                           MssCase{uint16_t{65535}, 65480, 65460}));

TEST_F(TcpOpen, closed_syn_without_window_scale_gets_none_and_small_windows) {
    const auto syn_ack = establish(syn().scale(std::nullopt));
    EXPECT_EQ(syn_ack.header.window_scale, std::nullopt);
    EXPECT_THAT(answer(seg(1, 1).data(10)), ElementsAre(". 1(0) ack 11"));
    EXPECT_GE(window(), 32768);
    EXPECT_EQ(flow()->snd_wnd, 64240u);
}

TEST_F(TcpOpen, closed_syn_with_window_scale_15_counts_as_14) {
    establish(syn().scale(uint8_t{15}), 10);
    EXPECT_EQ(flow()->snd_wnd, 10u << 14);
}

TEST_F(TcpOpen, closed_stray_segments_get_reset) {
    EXPECT_THAT(answer(seg(50, 70)), ElementsAre("R 70(0)"));
    EXPECT_THAT(answer(seg(50, 0).without(wire::tcp_ack).data(10)), ElementsAre("R. 0(0) ack 60"));
    EXPECT_THAT(answer(seg(50, 0).without(wire::tcp_ack).fin()), ElementsAre("R. 0(0) ack 51"));
    EXPECT_THAT(answer(seg(0, 9).flags(wire::tcp_syn)), ElementsAre("R 9(0)"));
    EXPECT_THAT(answer(rst(50)), IsEmpty());
    EXPECT_EQ(context.counters.tcp_no_flow.value(), 4u);
}

TEST_F(TcpOpen, closed_syn_with_fin_or_port_zero_or_bad_address_is_ignored) {
    EXPECT_THAT(answer(syn().fin()), IsEmpty());
    peer_port = 0;
    EXPECT_THAT(answer(syn()), IsEmpty());
    peer_port = 80;
    link.dst = wire::IpAddress::v4(224, 0, 0, 1);
    EXPECT_THAT(answer(syn()), IsEmpty());
    EXPECT_EQ(engine.flows(), 0u);
    EXPECT_EQ(context.counters.drop_address.value(), 2u);
}

TEST_F(TcpOpen, closed_truncated_header_is_counted) {
    std::vector<uint8_t> upper(wire::TcpHeader::min_size);
    upper[12] = 0xf0;  // 60 bytes of header in a segment of 20
    Packet p = packet(link.ip(wire::protocol_tcp, upper));
    engine.on_packet(p);
    EXPECT_EQ(context.counters.drop_bad_length.value(), 1u);
}

TEST_F(TcpOpen, closed_flow_limit_reached_drops_the_syn) {
    for (guest_port = 1; guest_port <= 1024; ++guest_port)
        inject(syn());
    EXPECT_EQ(engine.flows(), 1024u);
    inject(syn());
    EXPECT_EQ(engine.flows(), 1024u);
    EXPECT_EQ(context.counters.drop_flow_limit.value(), 1u);
}

TEST_F(TcpOpen, closed_isn_differs_by_ports_and_grows_with_time) {
    establish();
    const uint32_t first = our_iss;
    answer(rst(1));
    pass(second);
    establish();
    EXPECT_NEAR(static_cast<double>(our_iss - first), 250000, 10);
    ++guest_port;
    establish();
    EXPECT_GT(std::abs(static_cast<double>(our_iss) - first), 1000000);
}

}  // namespace
}  // namespace pasta::core
