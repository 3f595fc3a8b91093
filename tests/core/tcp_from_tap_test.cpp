// Segments from the namespace in synchronised states: data, gaps, acknowledgements, RST and SYN.

#include <gmock/gmock.h>

#include "tests/support/tcp_fixture.hpp"

namespace pasta::core {
namespace {

using test::rst;
using test::seg;
using test::syn;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TcpFromTap : public test::TcpFixture {};

TEST_F(TcpFromTap, established_data_reaches_host_and_is_acknowledged) {
    establish();
    EXPECT_THAT(answer(seg(1, 1).data(1000)), ElementsAre(". 1(0) ack 1001"));
    EXPECT_EQ(socket().taken, 1000u);
    EXPECT_EQ(context.counters.tcp_bytes_to_sock.value(), 1000u);
}

TEST_F(TcpFromTap, established_large_segment_of_many_chunks_reaches_host) {
    establish();
    EXPECT_THAT(answer(seg(1, 1).data(65000)), ElementsAre(". 1(0) ack 65001"));
    EXPECT_EQ(socket().taken, 65000u);
}

TEST_F(TcpFromTap, established_many_segments_in_one_turn_get_one_ack) {
    establish();
    for (uint32_t i = 0; i < 20; ++i)
        inject(seg(1 + i * 1400, 1).data(1400));
    EXPECT_THAT(output(), ElementsAre(". 1(0) ack 28001"));
    EXPECT_EQ(socket().taken, 28000u);
}

TEST_F(TcpFromTap, established_ethernet_padding_is_not_data) {
    establish();
    wire::TcpHeader header = seg(1, 1).header;
    header.src_port = guest_port, header.dst_port = peer_port;
    header.seq += guest_iss, header.ack += our_iss;
    test::ByteVector upper(wire::TcpHeader::min_size);
    header.emit(upper);
    upper.push_back(test::stream_byte(0));
    auto frame = link.ip(wire::protocol_tcp, upper);
    frame.resize(60, 0xee);
    Packet p = packet(frame);
    engine.on_packet(p);
    EXPECT_THAT(output(), ElementsAre(". 1(0) ack 2"));
    EXPECT_EQ(socket().taken, 1u);
}

TEST_F(TcpFromTap, established_gap_is_reported_at_once_for_each_segment) {
    establish();
    inject(seg(101, 1).data(100));
    inject(seg(201, 1).data(100));
    inject(seg(301, 1).data(100));
    EXPECT_THAT(output(), ElementsAre(". 1(0) ack 1", ". 1(0) ack 1", ". 1(0) ack 1"));
    EXPECT_EQ(socket().taken, 0u);
    EXPECT_EQ(context.counters.tcp_out_of_order.value(), 3u);
    EXPECT_THAT(answer(seg(1, 1).data(100)), ElementsAre(". 1(0) ack 401"));
    EXPECT_EQ(socket().taken, 400u);
}

TEST_F(TcpFromTap, established_segments_in_reverse_order_are_put_in_order) {
    establish();
    for (uint32_t i = 9; i > 0; --i)
        inject(seg(1 + i * 5000, 1).data(5000));
    inject(seg(1, 1).data(5000));
    EXPECT_EQ(output().back(), ". 1(0) ack 50001");
    EXPECT_EQ(socket().taken, 50000u);
}

TEST_F(TcpFromTap, established_overlapping_segments_behind_a_gap_count_once) {
    establish();
    inject(seg(101, 1).data(200));
    inject(seg(151, 1).data(50));
    inject(seg(101, 1).data(200));
    inject(seg(251, 1).data(6000));
    inject(seg(51, 1).data(100));
    EXPECT_EQ(output().back(), ". 1(0) ack 1");
    EXPECT_THAT(answer(seg(1, 1).data(60)), ElementsAre(". 1(0) ack 6251"));
    EXPECT_EQ(socket().taken, 6250u);
}

TEST_F(TcpFromTap, established_new_segment_over_all_of_what_waits_supersedes_it) {
    establish();
    inject(seg(101, 1).data(100));
    inject(seg(401, 1).data(100));
    output();
    EXPECT_THAT(answer(seg(1, 1).data(450)), ElementsAre(". 1(0) ack 501"));
    EXPECT_EQ(socket().taken, 500u);
    EXPECT_EQ(engine.chunks_held(), 0u);
}

TEST_F(TcpFromTap, established_too_many_chunks_behind_a_gap_are_dropped_not_kept) {
    establish();
    context.limits.hold_bytes = 64u << 10;
    for (uint32_t i = 1; i <= 100; ++i)
        inject(seg(1 + i * 100, 1).data(100));
    EXPECT_EQ(engine.chunks_held(), 64u);
    EXPECT_EQ(output().size(), 100u);
    EXPECT_THAT(answer(seg(1, 1).data(100)), ElementsAre(". 1(0) ack 6501"));
}

TEST_F(TcpFromTap, established_duplicate_is_acknowledged_again_not_delivered) {
    establish();
    answer(seg(1, 1).data(500));
    EXPECT_THAT(answer(seg(1, 1).data(500)), ElementsAre(". 1(0) ack 501"));
    EXPECT_THAT(answer(seg(101, 1).data(400)), ElementsAre(". 1(0) ack 501"));
    EXPECT_THAT(answer(seg(101, 1).data(100)), ElementsAre(". 1(0) ack 501"));
    EXPECT_EQ(socket().taken, 500u);
}

TEST_F(TcpFromTap, established_partly_new_segment_delivers_the_new_part) {
    establish();
    answer(seg(1, 1).data(500));
    EXPECT_THAT(answer(seg(301, 1).data(400)), ElementsAre(". 1(0) ack 701"));
    EXPECT_EQ(socket().taken, 700u);
}

TEST_F(TcpFromTap, established_keepalive_is_answered) {
    establish();
    answer(seg(1, 1).data(10));
    EXPECT_THAT(answer(seg(10, 1)), ElementsAre(". 1(0) ack 11"));
    EXPECT_THAT(answer(seg(10, 1).data(1)), ElementsAre(". 1(0) ack 11"));
    EXPECT_EQ(socket().taken, 10u);
}

TEST_F(TcpFromTap, established_sequence_wraps_from_tap) {
    guest_iss = 0xffffff00;
    establish();
    inject(seg(1001, 1).data(1000));
    output();
    EXPECT_THAT(answer(seg(1, 1).data(1000)), ElementsAre(". 1(0) ack 2001"));
    EXPECT_EQ(socket().taken, 2000u);
    EXPECT_THAT(answer(seg(2001, 1).fin()), ElementsAre(". 1(0) ack 2002"));
}

TEST_F(TcpFromTap, established_handshake_wraps_from_tap) {
    guest_iss = 0xffffffff;
    establish();
    EXPECT_THAT(answer(seg(1, 1).data(10)), ElementsAre(". 1(0) ack 11"));
}

TEST_F(TcpFromTap, established_small_segments_share_chunks_while_held) {
    establish();
    host_takes(0);
    for (uint32_t i = 0; i < 3000; ++i)
        inject(seg(1 + i, 1).data(1));
    EXPECT_THAT(output(), ElementsAre(". 1(0) ack 3001"));
    EXPECT_LE(engine.chunks_held(), 2u);
    host_takes();
    run();
    EXPECT_EQ(socket().taken, 3000u);
}

TEST_F(TcpFromTap, established_medium_segments_share_chunks_while_held) {
    establish();
    host_takes(0);
    for (uint32_t i = 0; i < 40; ++i)
        inject(seg(1 + i * 1460, 1).data(1460));
    output();
    EXPECT_EQ(flow()->to_sock.bytes, 40 * 1460u);
    host_takes();
    output();
    EXPECT_EQ(socket().taken, 40 * 1460u);
}

TEST_F(TcpFromTap, established_segment_without_ack_is_dropped) {
    establish();
    EXPECT_THAT(answer(seg(1, 0).without(wire::tcp_ack).data(10)), IsEmpty());
    EXPECT_EQ(socket().taken, 0u);
}

TEST_F(TcpFromTap, established_segment_beyond_window_is_answered_not_taken) {
    establish();
    answer(seg(1, 1).data(1));
    EXPECT_THAT(answer(seg(2 + (8u << 20), 1).data(10)), ElementsAre(". 1(0) ack 2"));
    EXPECT_EQ(socket().taken, 1u);
    EXPECT_EQ(engine.chunks_held(), 0u);
    EXPECT_EQ(context.counters.tcp_outside_window.value(), 1u);
}

TEST_F(TcpFromTap, established_ack_of_unsent_data_is_challenged_and_data_with_it_dropped) {
    establish();
    EXPECT_THAT(answer(seg(1, 2).data(10)), ElementsAre(". 1(0) ack 1"));
    EXPECT_EQ(socket().taken, 0u);
    EXPECT_EQ(context.counters.tcp_challenge_acks.value(), 1u);
}

TEST_F(TcpFromTap, established_ack_too_old_to_be_real_is_challenged) {
    establish();
    EXPECT_THAT(answer(seg(1, 1 - 100000u).data(10)), ElementsAre(". 1(0) ack 1"));
    EXPECT_EQ(socket().taken, 0u);
}

TEST_F(TcpFromTap, established_old_ack_with_new_data_delivers_the_data) {
    establish();
    peer_sends(500);
    output();
    answer(seg(1, 501));
    EXPECT_THAT(answer(seg(1, 201).data(50)), ElementsAre(". 501(0) ack 51"));
    EXPECT_EQ(socket().taken, 50u);
    EXPECT_EQ(flow()->snd_una - our_iss, 501u);
}

TEST_F(TcpFromTap, established_challenges_are_rate_limited) {
    establish();
    for (int i = 0; i < 10; ++i)
        EXPECT_EQ(answer(rst(2)).size(), i == 0 ? 1u : 0u);
    pass(tcp_challenge_interval);
    EXPECT_EQ(answer(rst(2)).size(), 1u);
    EXPECT_EQ(context.counters.tcp_challenge_acks.value(), 2u);
}

TEST_F(TcpFromTap, established_syn_is_challenged) {
    establish();
    answer(seg(1, 1).data(5000));
    auto fresh = syn();
    fresh.header.seq = 6000;
    EXPECT_THAT(answer(fresh), ElementsAre(". 1(0) ack 5001"));
    EXPECT_EQ(flow()->state, TcpState::established);
    // A namespace that has forgotten the connection answers with the reset that ends it.
    EXPECT_THAT(answer(rst(5001)), IsEmpty());
    EXPECT_TRUE(socket().aborted);
}

TEST_F(TcpFromTap, established_old_syn_again_is_acknowledged) {
    establish();
    EXPECT_THAT(answer(syn()), ElementsAre(". 1(0) ack 1"));
    EXPECT_EQ(flow()->state, TcpState::established);
}

TEST_F(TcpFromTap, established_syn_ack_is_challenged) {
    establish();
    EXPECT_THAT(answer(seg(1, 1).flags(wire::tcp_syn)), ElementsAre(". 1(0) ack 1"));
}

TEST_F(TcpFromTap, established_exact_reset_aborts_host_socket) {
    establish();
    answer(seg(1, 1).data(100));
    EXPECT_THAT(answer(rst(101)), IsEmpty());
    EXPECT_TRUE(socket().aborted);
    EXPECT_EQ(engine.flows(), 0u);
    EXPECT_EQ(context.counters.tcp_reset_from_tap.value(), 1u);
}

TEST_F(TcpFromTap, established_reset_outside_window_is_ignored) {
    establish();
    answer(seg(1, 1).data(100));
    EXPECT_THAT(answer(rst(1)), IsEmpty());
    EXPECT_THAT(answer(rst(102 + (16u << 20))), IsEmpty());
    EXPECT_EQ(flow()->state, TcpState::established);
}

TEST_F(TcpFromTap, established_reset_drops_held_data) {
    establish();
    host_takes(0);
    answer(seg(1, 1).data(30000));
    answer(seg(40001, 1).data(3000));
    peer_sends(3000);
    output();
    EXPECT_GT(engine.chunks_held(), 10u);
    answer(rst(30001));
    EXPECT_TRUE(socket().aborted);
    EXPECT_EQ(engine.chunks_held(), 0u);
}

TEST_F(TcpFromTap, established_urgent_data_is_delivered_in_line) {
    establish();
    EXPECT_THAT(answer(seg(1, 1).data(10).flags(wire::tcp_urg)), ElementsAre(". 1(0) ack 11"));
    EXPECT_EQ(socket().taken, 10u);
}

TEST_F(TcpFromTap, established_host_write_error_resets_namespace) {
    establish();
    socket().error = EPIPE;
    EXPECT_THAT(answer(seg(1, 1).data(100)), ElementsAre("R. 1(0) ack 101"));
    EXPECT_TRUE(socket().aborted);
    EXPECT_EQ(context.counters.tcp_reset_to_tap.value(), 1u);
}

TEST_F(TcpFromTap, established_peer_reset_resets_namespace) {
    establish();
    peer_resets();
    EXPECT_THAT(output(), ElementsAre("R. 1(0) ack 1"));
    EXPECT_TRUE(socket().aborted);
}

TEST_F(TcpFromTap, established_two_flows_do_not_mix) {
    establish();
    const SocketHandle first = current;
    const uint32_t first_iss = our_iss;
    ++guest_port;
    establish();
    EXPECT_THAT(answer(seg(1, 1).data(10)), ElementsAre(". 1(0) ack 11"));
    --guest_port;
    our_iss = first_iss;
    EXPECT_THAT(answer(seg(1, 1).data(30)), ElementsAre(". 1(0) ack 31"));
    EXPECT_EQ(socket().taken, 10u);
    EXPECT_EQ(sockets.at(first).taken, 30u);
}

TEST_F(TcpFromTap, established_no_chunk_for_the_ack_is_repaired_by_retransmission) {
    establish();
    host_takes(0);
    Packet arriving = arrival(seg(1, 1).data(4000));
    exhaust_chunks();
    engine.on_packet(arriving);
    EXPECT_THAT(output(), IsEmpty());
    EXPECT_GE(context.counters.drop_no_chunk.value(), 1u);
    give_back_chunks();
    EXPECT_THAT(answer(seg(1, 1).data(4000)), ElementsAre(". 1(0) ack 4001"));
}

TEST_F(TcpFromTap, established_no_chunk_for_the_reset_is_repaired_by_the_next_segment) {
    establish();
    exhaust_chunks();
    peer_resets();
    EXPECT_THAT(output(), IsEmpty());
    EXPECT_TRUE(socket().aborted);
    give_back_chunks();
    EXPECT_THAT(answer(seg(1, 1).data(10)), ElementsAre("R 1(0)"));
}

}  // namespace
}  // namespace pasta::core
