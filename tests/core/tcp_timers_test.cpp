// Retransmission timer, window probes, keepalives.

#include <gmock/gmock.h>

#include "tests/support/tcp_fixture.hpp"

namespace pasta::core {
namespace {

using test::seg;
using test::syn;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TcpTimers : public test::TcpFixture {
  protected:
    /// Sends `bytes` and acknowledges them after `rtt`.
    void round_trip(Time rtt) {
        const auto una = flow()->snd_una - our_iss;
        peer_sends(10);
        output();
        pass(rtt);
        answer(seg(1, una + 10));
    }
};

TEST_F(TcpTimers, established_lost_data_is_retransmitted_with_backoff) {
    establish();
    peer_sends(1000);
    output();
    for (Time wait = tcp_initial_rto; wait <= 32 * second; wait *= 2) {
        pass(wait - millisecond);
        EXPECT_THAT(output(), IsEmpty()) << "before " << wait;
        pass(millisecond);
        EXPECT_THAT(output(), ElementsAre("P. 1(1000) ack 1")) << "at " << wait;
    }
    EXPECT_EQ(context.counters.tcp_timeouts.value(), 6u);
}

TEST_F(TcpTimers, established_backoff_ends_at_the_maximum_and_progress_resets_it) {
    establish();
    peer_sends(1000);
    output();
    pass(127 * second);
    output();
    pass(tcp_max_rto - millisecond);
    EXPECT_THAT(output(), Each(". 0(0) ack 1"));  // keepalives at most
    pass(millisecond);
    EXPECT_THAT(output(), ElementsAre("P. 1(1000) ack 1"));
    answer(seg(1, 1001));
    peer_sends(10);
    output();
    pass(tcp_initial_rto);
    EXPECT_THAT(output(), ElementsAre("P. 1001(10) ack 1"));
}

TEST_F(TcpTimers, established_answers_without_progress_give_up_after_the_retries) {
    establish();
    peer_sends(1000);
    output();
    for (int i = 0; i < 40 && engine.flows() != 0; ++i) {
        pass(60 * second);
        inject(seg(1, 1).win(64000));
    }
    const auto lines = output();
    EXPECT_EQ(engine.flows(), 0u);
    EXPECT_TRUE(socket().aborted);
    EXPECT_EQ(context.counters.tcp_retransmits.value(), tcp_data_retries);
    EXPECT_THAT(lines, ::testing::Contains("R. 1001(0) ack 1"));
}

TEST_F(TcpTimers, established_timer_is_measured_from_round_trips) {
    establish();
    for (int i = 0; i < 50; ++i)
        round_trip(300 * millisecond);
    EXPECT_NEAR(static_cast<double>(flow()->srtt), 300e6, 1e6);
    EXPECT_LT(flow()->rto, 320 * millisecond);
    round_trip(200 * millisecond);  // the variance counts, whatever its sign
    EXPECT_GT(flow()->rto, 350 * millisecond);
}

TEST_F(TcpTimers, established_short_round_trips_have_the_minimum) {
    establish();
    for (int i = 0; i < 5; ++i)
        round_trip(50 * microsecond);
    EXPECT_EQ(flow()->rto, tcp_min_rto);
}

TEST_F(TcpTimers, established_retransmission_is_not_measured) {
    establish();
    round_trip(50 * millisecond);
    const Time srtt = flow()->srtt;
    peer_sends(10);
    output();
    pass(tcp_min_rto + 10 * millisecond);
    EXPECT_EQ(output().size(), 1u);
    answer(seg(1, 21));
    EXPECT_EQ(flow()->srtt, srtt);
}

TEST_F(TcpTimers, established_progress_restarts_the_timer) {
    establish(syn().mss(1000));
    peer_sends(2000);
    output();
    pass(tcp_initial_rto - 10 * millisecond);
    answer(seg(1, 1001));
    pass(tcp_min_rto);
    EXPECT_THAT(output(), IsEmpty());
    pass(tcp_initial_rto * 4);
    EXPECT_THAT(output(), ::testing::Contains("P. 1001(1000) ack 1"));
}

TEST_F(TcpTimers, established_timeout_halves_the_flight_and_acks_retransmit_the_rest) {
    establish(syn().mss(1000));
    flow()->read_hint = tcp_max_read;
    peer_sends(20000);
    EXPECT_EQ(output().size(), 20u);
    pass(tcp_initial_rto);
    EXPECT_THAT(output(), ElementsAre("P. 1(1000) ack 1"));
    EXPECT_EQ(flow()->cwnd, 10000u);
    for (uint32_t next = 1001; next < 20001; next += 1000)
        EXPECT_THAT(answer(seg(1, next)),
                    ElementsAre("P. " + std::to_string(next) + "(1000) ack 1"));
    answer(seg(1, 20001));
    EXPECT_FALSE(flow()->recovering);
}

TEST_F(TcpTimers, closed_window_is_probed_with_backoff_until_it_opens) {
    establish(syn().mss(1000), 0);
    peer_sends(500);
    EXPECT_THAT(output(), IsEmpty());
    for (Time wait = tcp_initial_rto; wait <= 16 * second; wait *= 2) {
        pass(wait - millisecond);
        EXPECT_THAT(output(), IsEmpty());
        pass(millisecond);
        EXPECT_THAT(output(), ElementsAre(". 0(0) ack 1"));
        EXPECT_THAT(answer(seg(1, 1).win(0)), IsEmpty());
    }
    EXPECT_THAT(answer(seg(1, 1).win(1000)), ElementsAre("P. 1(500) ack 1"));
    EXPECT_EQ(context.counters.tcp_zero_window_probes.value(), 5u);
    // Retransmission starts with a fresh timer.
    pass(tcp_initial_rto);
    EXPECT_THAT(output(), ElementsAre("P. 1(500) ack 1"));
}

TEST_F(TcpTimers, closed_window_after_data_is_probed) {
    establish(syn().mss(1000));
    peer_sends(500);
    output();
    EXPECT_THAT(answer(seg(1, 501).win(0)), IsEmpty());
    pass(10 * second);
    EXPECT_THAT(output(), IsEmpty());  // nothing to send, nothing to ask
    peer_sends(500);
    EXPECT_THAT(output(), IsEmpty());
    pass(flow()->rto);
    EXPECT_THAT(output(), ElementsAre(". 500(0) ack 1"));
    EXPECT_THAT(answer(seg(1, 501).win(1000)), ElementsAre("P. 501(500) ack 1"));
}

TEST_F(TcpTimers, closed_window_with_nothing_more_under_way_is_probed_after_the_last_ack) {
    establish(syn().mss(1000), 1000);
    peer_sends(5000);
    EXPECT_EQ(output().size(), 1u);
    EXPECT_THAT(answer(seg(1, 1001).win(0)), IsEmpty());
    pass(flow()->rto);
    EXPECT_THAT(output(), ElementsAre(". 1000(0) ack 1"));
}

TEST_F(TcpTimers, closed_window_that_is_answered_is_kept_for_ever) {
    establish(syn().mss(1000), 0);
    peer_sends(500);
    for (int i = 0; i < 7200; ++i) {
        pass(second);
        if (!output().empty()) inject(seg(1, 1).win(0));
    }
    ASSERT_EQ(engine.flows(), 1u);
    EXPECT_THAT(answer(seg(1, 1).win(1000)), ElementsAre("P. 1(500) ack 1"));
}

// The namespace takes back window that it gave and drops what was under way (RFC 9293, 3.8.6.1:
// as long as it answers, the connection stays).
TEST_F(TcpTimers, window_closed_over_data_under_way_is_kept_for_ever) {
    establish(syn().mss(1000));
    peer_sends(1000);
    output();
    answer(seg(1, 1).win(0));
    for (int i = 0; i < 7200; ++i) {
        pass(second);
        if (!output().empty()) inject(seg(1, 1).win(0));
    }
    ASSERT_EQ(engine.flows(), 1u);
    answer(seg(1, 1).win(1000));
    pass(flow()->rto);
    EXPECT_THAT(output(), ElementsAre("P. 1(1000) ack 1"));
}

TEST_F(TcpTimers, closed_window_hides_eof_until_it_opens) {
    establish(syn().mss(1000), 0);
    peer_closes();
    EXPECT_THAT(output(), IsEmpty());
    pass(tcp_initial_rto);
    EXPECT_THAT(output(), ElementsAre(". 0(0) ack 1"));
    EXPECT_THAT(answer(seg(1, 1).win(1)), ElementsAre("F. 1(0) ack 1"));
}

TEST_F(TcpTimers, idle_namespace_that_answers_keepalives_stays) {
    establish();
    for (int i = 0; i < 30; ++i) {
        pass(tcp_keepalive_idle - second);
        EXPECT_THAT(output(), IsEmpty());
        pass(2 * second);
        EXPECT_THAT(output(), ElementsAre(". 0(0) ack 1"));
        EXPECT_THAT(answer(seg(1, 1)), IsEmpty());
    }
    EXPECT_EQ(engine.flows(), 1u);
}

TEST_F(TcpTimers, idle_namespace_that_does_not_answer_is_reset) {
    establish();
    pass(tcp_keepalive_idle + tcp_keepalive_probes * tcp_keepalive_interval - second);
    EXPECT_EQ(output().size(), tcp_keepalive_probes);
    pass(2 * second);
    EXPECT_THAT(output(), ElementsAre("R. 1(0) ack 1"));
    EXPECT_TRUE(socket().aborted);
    EXPECT_EQ(context.counters.tcp_timed_out.value(), 1u);
}

TEST_F(TcpTimers, keepalive_answered_with_reset_ends_the_flow) {
    establish();
    pass(tcp_keepalive_idle + second);
    EXPECT_EQ(output().size(), 1u);
    answer(test::rst(1));
    EXPECT_EQ(engine.flows(), 0u);
}

TEST_F(TcpTimers, idle_flow_that_sends_has_no_keepalive) {
    establish();
    for (uint32_t i = 0; i < 300; ++i) {
        pass(second);
        EXPECT_EQ(answer(seg(1 + i, 1).data(1)).size(), 1u);
    }
}

TEST_F(TcpTimers, probe_without_a_chunk_is_tried_again) {
    establish(syn().mss(1000), 0);
    peer_sends(500);
    output();
    exhaust_chunks();
    pass(tcp_initial_rto);
    EXPECT_THAT(output(), IsEmpty());
    give_back_chunks();
    pass(2 * tcp_initial_rto);
    EXPECT_THAT(output(), ElementsAre(". 0(0) ack 1"));
}

}  // namespace
}  // namespace pasta::core
