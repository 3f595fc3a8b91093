// Flow control from the namespace: what is held, and the windows that we advertise for it.

#include <gmock/gmock.h>

#include <random>

#include "tests/support/tcp_fixture.hpp"

namespace pasta::core {
namespace {

using test::seg;
using test::syn;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TcpWindows : public test::TcpFixture {
  protected:
    /// Right edge of the window that the guest was told last, relative.
    uint32_t edge() const { return received.back().header.ack + (uint32_t{window()} << shift); }
    /// The furthest edge that it was ever told: all up to there has to be taken.
    uint32_t promised() { return flow()->rcv_edge - guest_iss; }
    /// Sends data until the window is used up; returns the guest's next sequence number.
    uint32_t fill_window(uint32_t seq, uint32_t segment = 60000) {
        while (seq != promised()) {
            const uint32_t n = std::min(segment, promised() - seq);
            inject(seg(seq, 1).data(n));
            seq += n;
            for (const auto& l : output())
                EXPECT_EQ(l, ". 1(0) ack " + std::to_string(seq));
        }
        return seq;
    }
    unsigned shift = tcp_window_scale;
};

TEST_F(TcpWindows, established_first_ack_opens_the_whole_window) {
    establish();
    answer(seg(1, 1).data(1));
    EXPECT_NEAR(edge(), 2.0 + (4u << 20), 128);
}

TEST_F(TcpWindows, established_host_takes_nothing_holds_all_and_closes_window) {
    establish();
    host_takes(0);
    answer(seg(1, 1).data(1));
    const uint32_t end = fill_window(2);
    EXPECT_EQ(window(), 0);
    EXPECT_EQ(flow()->to_sock.bytes, end - 1);
    EXPECT_EQ(socket().taken, 0u);
    host_takes();
    EXPECT_THAT(output(), ElementsAre(". 1(0) ack " + std::to_string(end)));
    EXPECT_NEAR(edge(), end + (4.0 * (1 << 20)), 128);
    EXPECT_EQ(socket().taken, end - 1);
}

TEST_F(TcpWindows, established_chunks_held_for_segments_that_fill_none_are_bounded) {
    context.limits.hold_bytes = 256u << 10;
    establish(syn().scale(7));
    host_takes(0);
    // By turns: too large to be copied behind another one, and too small to be worth a chunk.
    for (uint32_t seq = 1; seq != promised();) {
        for (const uint32_t segment : {1100u, 1u}) {
            const uint32_t n = std::min(segment, promised() - seq);
            if (n != 0) answer(seg(seq, 1).data(n));
            seq += n;
        }
    }
    EXPECT_LT(engine.chunks_held() * chunk_size, 3 * context.limits.hold_bytes);
    host_takes();
    output();
    EXPECT_EQ(engine.chunks_held(), 0u);
}

TEST_F(TcpWindows, established_probe_of_closed_window_is_answered_and_not_taken) {
    establish();
    context.limits.hold_bytes = 64u << 10;
    host_takes(0);
    answer(seg(1, 1).data(1));
    const uint32_t end = fill_window(2);
    EXPECT_THAT(answer(seg(end, 1).data(1)), ElementsAre(". 1(0) ack " + std::to_string(end)));
    EXPECT_EQ(window(), 0);
    EXPECT_THAT(answer(seg(end - 1, 1)), ElementsAre(". 1(0) ack " + std::to_string(end)));
    EXPECT_EQ(flow()->to_sock.bytes, end - 1);
}

TEST_F(TcpWindows, established_zero_window_still_takes_acks_and_exact_resets) {
    establish();
    context.limits.hold_bytes = 64u << 10;
    host_takes(0);
    answer(seg(1, 1).data(1));
    const uint32_t end = fill_window(2);
    peer_sends(100);
    output();
    EXPECT_THAT(answer(seg(end, 101)), IsEmpty());
    EXPECT_EQ(flow()->in_flight(), 0u);
    answer(test::rst(end));
    EXPECT_TRUE(socket().aborted);
}

TEST_F(TcpWindows, established_right_edge_never_moves_back) {
    std::mt19937 random(1);
    establish();
    uint32_t seq = 1, right = 1 + 65535;
    for (int i = 0; i < 1000; ++i) {
        context.limits.hold_bytes = (64u << 10) << random() % 7;
        host_takes(random() % 40000);
        const uint32_t room = right - seq;
        const uint32_t n = std::min<uint32_t>(room, 1 + random() % 20000);
        if (n != 0) inject(seg(seq, 1).data(n));
        seq += n;
        if (output().empty()) continue;
        ASSERT_EQ(received.back().header.ack, seq) << "data inside the window was dropped";
        ASSERT_GE(edge() + 128, right) << "step " << i;  // the unit of the scaled window
        right = std::max(right, edge());
    }
    host_takes();
    run();
    EXPECT_EQ(socket().taken, seq - 1);
}

TEST_F(TcpWindows, established_limit_lowered_under_load_keeps_the_promised_window) {
    establish();
    host_takes(0);
    answer(seg(1, 1).data(1));
    const uint32_t before = promised();
    context.limits.hold_bytes = 64u << 10;
    const uint32_t end = fill_window(2);
    EXPECT_NEAR(end, static_cast<double>(before), 128);
    EXPECT_EQ(flow()->to_sock.bytes, end - 1);
    // As it drains, the window opens again only below the new limit.
    host_takes(end - 1 - (64u << 10));
    EXPECT_THAT(output(), IsEmpty());
    host_takes();
    EXPECT_EQ(output().size(), 1u);
    EXPECT_NEAR(edge(), end + (64.0 * 1024), 128);
}

// Rounding up the scaled window with each acknowledgement would let it grow for ever.
TEST_F(TcpWindows, established_segments_smaller_than_the_window_unit_cannot_outgrow_the_buffer) {
    establish();
    context.limits.hold_bytes = 64u << 10;
    host_takes(0);
    answer(seg(1, 1).data(1));
    uint32_t seq = 2;
    for (int i = 0; i < 1000; ++i) {
        const uint32_t n = std::min(127u, edge() - seq);
        if (n != 0) answer(seg(seq, 1).data(n));
        seq += n;
    }
    EXPECT_LE(flow()->to_sock.bytes, context.limits.hold_bytes + 2 * 128);
}

TEST_F(TcpWindows, established_window_opens_in_steps_worth_a_segment) {
    establish();
    context.limits.hold_bytes = 256u << 10;
    host_takes(0);
    answer(seg(1, 1).data(1));
    fill_window(2);
    host_takes(1000);
    EXPECT_THAT(output(), IsEmpty());
    host_takes(2000);
    EXPECT_EQ(output().size(), 1u);
    EXPECT_NEAR(window() << shift, 3000, 256);
}

// A segment may be as large as the whole buffer (MTU 65520, 64 KiB): waiting for room for one would
// leave the namespace with a window that is almost shut.
TEST_F(TcpWindows, established_segment_as_large_as_the_buffer_half_a_buffer_opens_the_window) {
    establish(syn().mss(65480));
    context.limits.hold_bytes = 64u << 10;
    host_takes(0);
    answer(seg(1, 1).data(1));
    const uint32_t end = fill_window(2) - 1;
    host_takes(40000);
    EXPECT_THAT(output(), ElementsAre(". 1(0) ack " + std::to_string(end + 1)));
    EXPECT_NEAR(window() << shift, 40000, 256);
}

TEST_F(TcpWindows, established_unscaled_window_almost_shut_opens_when_drained) {
    establish(syn().mss(65480).scale(std::nullopt));
    shift = 0;
    host_takes(0);
    answer(seg(1, 1).data(1));
    const uint32_t next = edge() - 100;
    answer(seg(2, 1).data(next - 2));
    EXPECT_EQ(window(), 100);
    host_takes();
    EXPECT_THAT(output(), ElementsAre(". 1(0) ack " + std::to_string(next)));
    EXPECT_EQ(window(), 65535);
}

TEST_F(TcpWindows, established_data_over_the_right_edge_is_cut_at_it) {
    establish();
    context.limits.hold_bytes = 64u << 10;
    host_takes(0);
    answer(seg(1, 1).data(60000));
    const uint32_t right = promised();
    EXPECT_THAT(answer(seg(60001, 1).data(60000)),
                ElementsAre(". 1(0) ack " + std::to_string(right)));
    EXPECT_EQ(window(), 0);
    EXPECT_EQ(flow()->to_sock.bytes, right - 1);
}

TEST_F(TcpWindows, established_fin_right_behind_a_full_window_is_taken) {
    establish();
    context.limits.hold_bytes = 64u << 10;
    host_takes(0);
    answer(seg(1, 1).data(1));
    const uint32_t right = edge();
    answer(seg(2, 1).data(30000));
    answer(seg(30002, 1).data(right - 30002).fin());
    EXPECT_EQ(received.back().header.ack, right + 1);
    EXPECT_EQ(flow()->state, TcpState::close_wait);
    // The connection goes on behind it: data to the namespace, and its acknowledgement.
    peer_sends(10);
    EXPECT_EQ(output().size(), 1u);
    answer(seg(right + 1, 11));
    EXPECT_EQ(flow()->in_flight(), 0u);
    EXPECT_FALSE(socket().shut);
    host_takes();
    run();
    EXPECT_TRUE(socket().shut);
    EXPECT_EQ(socket().taken, right - 1);
}

TEST_F(TcpWindows, established_fin_beyond_the_window_waits_for_its_data) {
    establish();
    context.limits.hold_bytes = 64u << 10;
    host_takes(0);
    answer(seg(1, 1).data(60000));
    const uint32_t right = edge();
    answer(seg(60001, 1).data(10000).fin());
    EXPECT_EQ(flow()->state, TcpState::established);
    host_takes();
    output();
    EXPECT_THAT(answer(seg(right, 1).data(70001 - right).fin()), ElementsAre(". 1(0) ack 70002"));
    EXPECT_EQ(socket().taken, 70000u);
    EXPECT_TRUE(socket().shut);
}

TEST_F(TcpWindows, established_slow_host_gets_everything_in_small_bites) {
    establish();
    host_takes(0);
    answer(seg(1, 1).data(50000));
    for (int i = 0; i < 500; ++i) {
        host_takes(100);
        run();
    }
    EXPECT_EQ(socket().taken, 50000u);
    EXPECT_GE(context.counters.tcp_send_blocked.value(), 499u);
}

}  // namespace
}  // namespace pasta::core
