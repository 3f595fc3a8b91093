// Data from the host to the namespace: segments, windows, losses found by acknowledgements.

#include <gmock/gmock.h>

#include <random>

#include "tests/support/tcp_fixture.hpp"

namespace pasta::core {
namespace {

using test::seg;
using test::syn;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TcpToTap : public test::TcpFixture {
  protected:
    /// Establishes with an MSS of 1000 and has `segments` of them under way.
    void send_segments(uint32_t segments) {
        establish(syn().mss(1000));
        flow()->read_hint = tcp_max_read;
        peer_sends(segments * 1000);
        ASSERT_EQ(output().size(), segments);
    }
    /// The guest as a receiver that loses nothing: acknowledges all, until nothing more comes.
    /// Returns the number of bytes that it received.
    uint32_t acknowledge_all(uint32_t next = 1, uint16_t win = 64240) {
        for (;;) {
            for (const auto& s : received)
                if (s.header.seq == next) next += static_cast<uint32_t>(s.length);
            if (answer(seg(1, next).win(win)).empty()) return next - 1;
        }
    }
};

TEST_F(TcpToTap, established_peer_data_is_sent_and_kept_until_acknowledged) {
    establish();
    peer_sends(500);
    EXPECT_THAT(output(), ElementsAre("P. 1(500) ack 1"));
    EXPECT_EQ(engine.chunks_held(), 1u);
    EXPECT_THAT(answer(seg(1, 501)), IsEmpty());
    EXPECT_EQ(engine.chunks_held(), 0u);
    EXPECT_EQ(flow()->rto_deadline, never);
    EXPECT_EQ(context.counters.tcp_bytes_to_tap.value(), 500u);
}

TEST_F(TcpToTap, established_peer_data_over_ipv6_is_sent) {
    link = {guest6, peer6};
    establish(syn().mss(65460));
    flow()->read_hint = tcp_max_read;
    peer_sends(65460);
    output();
    EXPECT_EQ(acknowledge_all(), 65460u);
}

TEST_F(TcpToTap, established_stream_is_cut_into_segments_of_the_mss) {
    establish(syn().mss(1000));
    peer_sends(2500);
    EXPECT_THAT(output(),
                ElementsAre(". 1(1000) ack 1", ". 1001(1000) ack 1", "P. 2001(500) ack 1"));
}

TEST_F(TcpToTap, established_largest_segments_fit_into_a_frame) {
    establish(syn().mss(65495).scale(uint8_t{7}));
    flow()->read_hint = tcp_max_read;
    peer_sends(200000);
    output();
    ASSERT_GE(received.size(), 3u);
    EXPECT_EQ(received[0].length, 65480u);
    EXPECT_LE(received[0].frame.slices, max_tx_slices);
    EXPECT_EQ(acknowledge_all(), 200000u);
}

TEST_F(TcpToTap, established_data_carries_the_pending_acknowledgement) {
    establish();
    inject(seg(1, 1).data(10));
    peer_sends(20);
    EXPECT_THAT(output(), ElementsAre("P. 1(20) ack 11"));
}

TEST_F(TcpToTap, established_never_more_under_way_than_the_window) {
    establish(syn().mss(1000).scale(0), 2500);
    peer_sends(10000);
    EXPECT_THAT(output(), ElementsAre(". 1(1000) ack 1", "P. 1001(1000) ack 1"));
    EXPECT_THAT(answer(seg(1, 1001).win(2500)), ElementsAre("P. 2001(1000) ack 1"));
    EXPECT_EQ(socket().readable, 10000u - 3000);
    EXPECT_EQ(acknowledge_all(3001, 2500), 10000u);
}

// The size of a read is no multiple of the MSS: that must not show in the segments.
TEST_F(TcpToTap, established_bulk_has_no_short_segments_in_between) {
    establish(syn().mss(1460).scale(uint8_t{7}), 60000);
    peer_sends(300 * 1460);
    size_t segments = 0;
    while (!output().empty())
        for (const auto& s : received) {
            EXPECT_EQ(s.length, 1460u);
            ++segments;
        }
    EXPECT_EQ(segments, 300u);
}

TEST_F(TcpToTap, established_never_more_under_way_than_the_budget) {
    establish(syn().mss(1400).scale(uint8_t{14}), 60000);
    peer_sends(8u << 20);
    while (!output().empty())
        ASSERT_LE(flow()->in_flight(), context.limits.in_flight_bytes);
    EXPECT_GT(flow()->in_flight(), context.limits.in_flight_bytes - 2 * 1400);
}

TEST_F(TcpToTap, established_budget_lowered_under_load_waits_for_acknowledgements) {
    establish(syn().mss(1000).scale(uint8_t{14}), 60000);
    peer_sends(900000);
    size_t sent = 0;
    while (!output().empty())
        for (const auto& segment : received)
            sent += segment.length;
    EXPECT_EQ(sent, 900000u);
    context.limits.in_flight_bytes = 64u << 10;
    peer_sends(100000);
    EXPECT_THAT(output(), IsEmpty());
    answer(seg(1, 1 + 800000).win(60000));
    EXPECT_THAT(received, IsEmpty());
    answer(seg(1, 1 + 900000).win(60000));
    EXPECT_FALSE(received.empty());
    EXPECT_LE(flow()->in_flight(), 64u << 10);
    EXPECT_EQ(acknowledge_all(900001, 60000), 1000000u);
}

TEST_F(TcpToTap, established_small_room_waits_for_a_whole_segment) {
    establish(syn().mss(1000), 1500);
    peer_sends(1000);
    EXPECT_EQ(output().size(), 1u);
    peer_sends(5000);
    EXPECT_THAT(output(), IsEmpty());
    EXPECT_THAT(answer(seg(1, 1001).win(1500)), ElementsAre("P. 1001(1000) ack 1"));
}

TEST_F(TcpToTap, established_tiny_window_with_nothing_under_way_is_used) {
    establish(syn().mss(1000), 5);
    peer_sends(100);
    EXPECT_THAT(output(), ElementsAre("P. 1(5) ack 1"));
    EXPECT_EQ(acknowledge_all(1, 5), 100u);
}

// A segment behind a gap has the highest sequence number; the one that fills the gap has the news.
TEST_F(TcpToTap, established_window_with_a_new_ack_in_a_lower_segment_counts) {
    establish();
    peer_sends(1000);
    output();
    inject(seg(101, 1).data(100));
    inject(seg(1, 1001).data(100).win(7777));
    EXPECT_EQ(flow()->snd_wnd, 7777u);
    inject(seg(201, 501).win(5));  // an old ACK has none
    EXPECT_EQ(flow()->snd_wnd, 7777u);
    output();
}

TEST_F(TcpToTap, established_window_shrunk_by_the_guest_stops_new_data_only) {
    establish(syn().mss(1000), 10000);
    peer_sends(3000);
    EXPECT_EQ(output().size(), 3u);
    EXPECT_THAT(answer(seg(1, 1001).win(500)), IsEmpty());
    peer_sends(1000);
    EXPECT_THAT(output(), IsEmpty());
    EXPECT_EQ(flow()->in_flight(), 2000u);
    EXPECT_EQ(answer(seg(1, 3001).win(5000)).size(), 1u);
}

TEST_F(TcpToTap, established_sequence_wraps_to_tap) {
    choose_iss(0xfffff000);
    establish(syn().mss(1000));
    EXPECT_EQ(our_iss, 0xfffff000);
    flow()->read_hint = tcp_max_read;
    peer_sends(20000);
    EXPECT_EQ(output().size(), 20u);
    // A loss across the wrap as well: the fifth segment, which holds sequence number 0.
    for (int i = 0; i < 3; ++i)
        inject(seg(1, 4001));
    inject(seg(1, 4001));
    EXPECT_THAT(output(), ElementsAre("P. 4001(1000) ack 1"));
    EXPECT_THAT(answer(seg(1, 20001)), IsEmpty());
    EXPECT_EQ(flow()->in_flight(), 0u);
    EXPECT_EQ(engine.chunks_held(), 0u);
}

TEST_F(TcpToTap, established_ack_in_the_middle_of_a_segment_keeps_the_rest) {
    establish(syn().mss(9000));
    flow()->read_hint = tcp_max_read;
    peer_sends(9000);
    EXPECT_THAT(output(), ElementsAre("P. 1(9000) ack 1"));
    answer(seg(1, 5001));
    EXPECT_EQ(flow()->to_tap.bytes, 4000u);
    pass(tcp_initial_rto + millisecond);
    EXPECT_THAT(output(), ElementsAre("P. 5001(4000) ack 1"));
    answer(seg(1, 9001));
    EXPECT_EQ(engine.chunks_held(), 0u);
}

TEST_F(TcpToTap, established_three_duplicate_acks_retransmit_the_first_segment) {
    send_segments(10);
    answer(seg(1, 2001));
    EXPECT_THAT(answer(seg(1, 2001)), IsEmpty());
    EXPECT_THAT(answer(seg(1, 2001)), IsEmpty());
    EXPECT_THAT(answer(seg(1, 2001)), ElementsAre("P. 2001(1000) ack 1"));
    EXPECT_THAT(answer(seg(1, 2001)), IsEmpty());
    EXPECT_EQ(context.counters.tcp_fast_retransmits.value(), 1u);
    EXPECT_EQ(flow()->cwnd, 4000u);
    EXPECT_THAT(answer(seg(1, 10001)), IsEmpty());
    EXPECT_FALSE(flow()->recovering);
    EXPECT_EQ(flow()->in_flight(), 0u);
}

TEST_F(TcpToTap, recovering_partial_ack_retransmits_the_next_hole) {
    send_segments(10);
    for (int i = 0; i < 2; ++i)
        inject(seg(1, 1));
    EXPECT_THAT(answer(seg(1, 1)), ElementsAre("P. 1(1000) ack 1"));
    EXPECT_THAT(answer(seg(1, 4001)), ElementsAre("P. 4001(1000) ack 1"));
    EXPECT_THAT(answer(seg(1, 7001)), ElementsAre("P. 7001(1000) ack 1"));
    EXPECT_TRUE(flow()->recovering);
    EXPECT_THAT(answer(seg(1, 10001)), IsEmpty());
    EXPECT_FALSE(flow()->recovering);
}

// Each copy is a reference to the same chunk, of which it counts 255.
TEST_F(TcpToTap, recovering_copies_in_a_transmit_queue_that_does_not_drain_are_few) {
    establish(syn().mss(1000));
    peer_sends(5000);
    output();
    for (int i = 0; i < 3; ++i)
        inject(seg(1, 1));
    for (uint32_t ack = 2; ack < 900; ++ack)
        inject(seg(1, ack));
    EXPECT_LT(port()->tx.frames(), 30u);
    EXPECT_FALSE(output().empty());
    EXPECT_EQ(answer(seg(1, 1001)), Lines{"P. 1001(1000) ack 1"});
}

TEST_F(TcpToTap, established_acks_that_are_no_duplicates_do_not_retransmit) {
    send_segments(10);
    for (uint16_t i = 1; i < 10; ++i)  // window updates
        EXPECT_THAT(answer(seg(1, 1).win(static_cast<uint16_t>(64240 - i))), IsEmpty());
    for (uint32_t i = 0; i < 10; ++i)  // data
        EXPECT_THAT(answer(seg(1 + 10 * i, 1).data(10).win(64231)).size(), 1u);
    EXPECT_EQ(context.counters.tcp_retransmits.value(), 0u);
}

TEST_F(TcpToTap, established_duplicate_acks_with_nothing_under_way_do_nothing) {
    establish();
    for (int i = 0; i < 10; ++i)
        EXPECT_THAT(answer(seg(1, 1)), IsEmpty());
    EXPECT_EQ(context.counters.tcp_retransmits.value(), 0u);
}

TEST_F(TcpToTap, established_retransmission_coalesces_small_segments) {
    establish(syn().mss(1000));
    for (int i = 0; i < 5; ++i) {
        peer_sends(10);
        output();
    }
    for (int i = 0; i < 2; ++i)
        inject(seg(1, 1));
    EXPECT_THAT(answer(seg(1, 1)), ElementsAre("P. 1(50) ack 1"));
}

TEST_F(TcpToTap, established_retransmission_still_queued_when_acknowledged_is_harmless) {
    establish(syn().mss(1000));
    peer_sends(1000);
    run();
    for (int i = 0; i < 3; ++i)
        inject(seg(1, 1));
    inject(seg(1, 1001));
    EXPECT_EQ(engine.chunks_held(), 0u);
    EXPECT_THAT(output(), ElementsAre("P. 1(1000) ack 1", "P. 1(1000) ack 1"));
}

TEST_F(TcpToTap, established_transmit_queue_full_stops_reading) {
    establish(syn().mss(1000).scale(uint8_t{14}), 60000);
    flow()->read_hint = tcp_max_read;
    peer_sends(3 << 20);
    run();
    // Nobody takes frames: the queue fills, then reading pauses without losing anything.
    for (int i = 0; i < 1100 && flow()->in_flight() < (1u << 20); ++i)
        pass(tcp_retry_interval);
    EXPECT_EQ(context.counters.drop_tx_full.value(), 0u);
    output();
    EXPECT_EQ(acknowledge_all(1, 60000), 3u << 20);
}

TEST_F(TcpToTap, established_data_frame_that_finds_no_room_is_retransmitted) {
    establish(syn().mss(1000));
    peer_sends(100);
    const Slice filler{cache.alloc(), tx_metadata_size, 60};
    while (port()->tx.push({&filler, 1}, 0, 0))
        cache.ref(filler.chunk), cache.unref(filler.chunk);
    // The plan was made before the queue filled up.
    const ChunkId id = cache.alloc();
    arena.meta(id).offset = header_room;
    arena.meta(id).len = 100;
    arena.meta(id).flags = chunk_starts_segment;
    for (size_t i = 0; i < 100; ++i)
        arena.bytes(id)[i] = test::stream_byte(i);
    Chain data;
    data.append(arena, id);
    take_ops();
    engine.on_read(socket().flow, data, SocketResult::would_block);
    socket().readable = 0;
    EXPECT_EQ(context.counters.drop_tx_full.value(), 1u);
    while (!port()->tx.empty())
        port()->tx.pop();
    cache.unref(filler.chunk);
    pass(tcp_initial_rto + millisecond);
    EXPECT_THAT(output(), ElementsAre("P. 1(100) ack 1"));
}

TEST_F(TcpToTap, established_no_chunks_to_read_into_tries_again_soon) {
    establish();
    exhaust_chunks();
    peer_sends(1000);
    EXPECT_THAT(output(), IsEmpty());
    give_back_chunks();
    pass(tcp_retry_interval + millisecond);
    EXPECT_THAT(output(), ElementsAre("P. 1(1000) ack 1"));
}

TEST_F(TcpToTap, established_no_chunk_to_retransmit_with_tries_again_later) {
    establish();
    peer_sends(1000);
    output();
    exhaust_chunks();
    pass(tcp_initial_rto + millisecond);
    EXPECT_THAT(output(), IsEmpty());
    give_back_chunks();
    pass(2 * tcp_initial_rto);
    EXPECT_THAT(output(), ElementsAre("P. 1(1000) ack 1"));
}

TEST_F(TcpToTap, established_eof_behind_data_comes_with_the_last_of_it) {
    establish(syn().mss(1000), 2000);
    socket().peer_closed = true;
    peer_sends(5000);
    ready(current, {.readable = true, .hangup = true});
    EXPECT_THAT(output(), ElementsAre(". 1(1000) ack 1", "P. 1001(1000) ack 1"));
    answer(seg(1, 2001).win(2000));
    EXPECT_THAT(answer(seg(1, 4001).win(2000)), ElementsAre("FP. 4001(1000) ack 1"));
}

TEST_F(TcpToTap, established_reset_behind_data_comes_after_it) {
    establish();
    socket().readable = 100;
    peer_resets();
    EXPECT_THAT(output(), ElementsAre("P. 1(100) ack 1", "R. 101(0) ack 1"));
    EXPECT_TRUE(socket().aborted);
}

TEST_F(TcpToTap, established_seeded_losses_deliver_everything_in_order) {
    for (uint32_t seed = 1; seed <= 20; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        ++guest_port;
        establish(syn().mss(1000), 30000);
        peer_sends(300000);
        uint32_t next = 1;
        std::map<uint32_t, uint32_t> arrived;
        for (int turn = 0; next != 300001 && turn < 20000; ++turn) {
            const bool quiet = output().empty();
            bool ack = false;
            for (const auto& s : received) {
                if (s.length == 0 || random() % 10 == 0) continue;
                uint32_t& length = arrived[s.header.seq];
                length = std::max(length, static_cast<uint32_t>(s.length));
                for (auto& [seq, n] : arrived)
                    if (seq <= next && seq + n > next) next = seq + n;
                if (random() % 10 != 0) inject(seg(1, next).win(30000)), ack = true;
            }
            if (quiet && !ack) pass(50 * millisecond);
        }
        EXPECT_EQ(next, 300001u);
        answer(seg(1, next));
        EXPECT_EQ(flow()->in_flight(), 0u);
        EXPECT_GT(context.counters.tcp_retransmits.value(), 0u);
    }
}

}  // namespace
}  // namespace pasta::core
