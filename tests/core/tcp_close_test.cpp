// FIN and RST in every state, either side first.

#include <gmock/gmock.h>

#include "tests/support/tcp_fixture.hpp"

namespace pasta::core {
namespace {

using test::rst;
using test::seg;
using test::syn;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TcpClose : public test::TcpFixture {
  protected:
    TcpState state() { return flow()->state; }
};

TEST_F(TcpClose, established_fin_is_acknowledged_and_shuts_host_socket) {
    establish();
    EXPECT_THAT(answer(seg(1, 1).fin()), ElementsAre(". 1(0) ack 2"));
    EXPECT_TRUE(socket().shut);
    EXPECT_EQ(state(), TcpState::close_wait);
}

TEST_F(TcpClose, close_wait_peer_data_then_eof_ends_in_order) {
    establish();
    answer(seg(1, 1).fin());
    peer_sends(500);
    EXPECT_THAT(output(), ElementsAre("P. 1(500) ack 2"));
    answer(seg(2, 501));
    peer_closes();
    EXPECT_THAT(output(), ElementsAre("F. 501(0) ack 2"));
    EXPECT_EQ(state(), TcpState::last_ack);
    EXPECT_TRUE(socket().closed);
    EXPECT_THAT(answer(seg(2, 502)), IsEmpty());
    EXPECT_EQ(engine.flows(), 0u);
    EXPECT_EQ(context.counters.tcp_closed.value(), 1u);
}

TEST_F(TcpClose, established_eof_sends_fin_and_still_takes_data) {
    establish();
    peer_closes();
    EXPECT_THAT(output(), ElementsAre("F. 1(0) ack 1"));
    EXPECT_EQ(state(), TcpState::fin_wait_1);
    EXPECT_THAT(answer(seg(1, 1).data(100)), ElementsAre(". 2(0) ack 101"));
    EXPECT_THAT(answer(seg(101, 2)), IsEmpty());
    EXPECT_EQ(state(), TcpState::fin_wait_2);
    EXPECT_THAT(answer(seg(101, 2).data(100)), ElementsAre(". 2(0) ack 201"));
    EXPECT_EQ(socket().taken, 200u);
    EXPECT_TRUE(socket().open());
}

TEST_F(TcpClose, fin_wait_2_fin_enters_time_wait_which_ends) {
    establish();
    peer_closes();
    output();
    answer(seg(1, 2));
    EXPECT_THAT(answer(seg(1, 2).fin()), ElementsAre(". 2(0) ack 2"));
    EXPECT_EQ(state(), TcpState::time_wait);
    EXPECT_TRUE(socket().closed);
    pass(tcp_time_wait + millisecond);
    EXPECT_EQ(engine.flows(), 0u);
    EXPECT_EQ(context.counters.tcp_closed.value(), 1u);
}

TEST_F(TcpClose, fin_wait_1_fin_that_acknowledges_ours_enters_time_wait) {
    establish();
    peer_closes();
    output();
    EXPECT_THAT(answer(seg(1, 2).data(20).fin()), ElementsAre(". 2(0) ack 22"));
    EXPECT_EQ(state(), TcpState::time_wait);
    EXPECT_EQ(socket().taken, 20u);
}

TEST_F(TcpClose, fin_wait_1_simultaneous_fin_closes_after_our_ack) {
    establish();
    peer_closes();
    output();
    EXPECT_THAT(answer(seg(1, 1).fin()), ElementsAre(". 2(0) ack 2"));
    EXPECT_EQ(state(), TcpState::closing);
    EXPECT_TRUE(socket().closed);
    EXPECT_THAT(answer(seg(2, 2)), IsEmpty());
    EXPECT_EQ(state(), TcpState::time_wait);
}

// Our acknowledgement of the FIN was lost, and so was the namespace's bare one of ours.
TEST_F(TcpClose, closing_fin_again_with_ack_of_ours_is_acknowledged) {
    establish();
    peer_closes();
    output();
    answer(seg(1, 1).fin());
    EXPECT_THAT(answer(seg(1, 2).fin()), ElementsAre(". 2(0) ack 2"));
    EXPECT_EQ(state(), TcpState::time_wait);
}

TEST_F(TcpClose, closing_undrained_fin_again_is_acknowledged) {
    establish();
    host_takes(0);
    peer_closes();
    output();
    answer(seg(1, 2).data(100));
    EXPECT_THAT(answer(seg(101, 2).fin()), ElementsAre(". 2(0) ack 102"));
    EXPECT_EQ(state(), TcpState::closing);
    EXPECT_THAT(answer(seg(101, 2).fin()), ElementsAre(". 2(0) ack 102"));
    host_takes();
    EXPECT_THAT(output(), IsEmpty());
    EXPECT_EQ(state(), TcpState::time_wait);
    EXPECT_EQ(socket().taken, 100u);
    EXPECT_TRUE(socket().closed);
}

TEST_F(TcpClose, close_wait_undrained_data_is_delivered_before_shutdown) {
    establish();
    host_takes(0);
    EXPECT_THAT(answer(seg(1, 1).data(1000).fin()), ElementsAre(". 1(0) ack 1002"));
    EXPECT_FALSE(socket().shut);
    host_takes(999);
    run();
    EXPECT_FALSE(socket().shut);
    host_takes(1);
    run();
    EXPECT_TRUE(socket().shut);
    EXPECT_EQ(socket().taken, 1000u);
}

TEST_F(TcpClose, last_ack_undrained_data_is_delivered_before_close) {
    establish();
    host_takes(0);
    answer(seg(1, 1).data(1000).fin());
    peer_closes();
    EXPECT_THAT(output(), ElementsAre("F. 1(0) ack 1002"));
    EXPECT_EQ(state(), TcpState::last_ack);
    answer(seg(1002, 2));
    EXPECT_TRUE(socket().open());
    EXPECT_THAT(answer(seg(1001, 2).fin()), ElementsAre(". 2(0) ack 1002"));
    host_takes();
    EXPECT_THAT(output(), IsEmpty());
    EXPECT_TRUE(socket().closed);
    EXPECT_EQ(socket().taken, 1000u);
    EXPECT_EQ(engine.flows(), 0u);
}

// What the namespace sent before it finished still has to arrive.
TEST_F(TcpClose, last_ack_undrained_reset_after_the_end_does_not_lose_data) {
    establish();
    host_takes(0);
    answer(seg(1, 1).data(1000).fin());
    peer_closes();
    output();
    answer(seg(1002, 2));
    EXPECT_THAT(answer(rst(1002)), IsEmpty());
    pass(2 * 3600 * second);
    EXPECT_THAT(output(), IsEmpty());
    host_takes();
    output();
    EXPECT_EQ(socket().taken, 1000u);
    EXPECT_TRUE(socket().closed);
}

TEST_F(TcpClose, established_fin_behind_a_gap_waits) {
    establish();
    EXPECT_THAT(answer(seg(101, 1).data(50).fin()), ElementsAre(". 1(0) ack 1", ". 1(0) ack 1"));
    EXPECT_EQ(state(), TcpState::established);
    EXPECT_THAT(answer(seg(1, 1).data(100)), ElementsAre(". 1(0) ack 152"));
    EXPECT_EQ(state(), TcpState::close_wait);
    EXPECT_EQ(socket().taken, 150u);
    EXPECT_TRUE(socket().shut);
}

TEST_F(TcpClose, established_bare_fin_behind_a_gap_waits) {
    establish();
    EXPECT_THAT(answer(seg(101, 1).fin()), ElementsAre(". 1(0) ack 1"));
    EXPECT_THAT(answer(seg(1, 1).data(100)), ElementsAre(". 1(0) ack 102"));
    EXPECT_EQ(state(), TcpState::close_wait);
}

TEST_F(TcpClose, close_wait_fin_again_is_acknowledged_again) {
    establish();
    answer(seg(1, 1).data(100).fin());
    EXPECT_THAT(answer(seg(1, 1).data(100).fin()), ElementsAre(". 1(0) ack 102"));
    EXPECT_THAT(answer(seg(101, 1).fin()), ElementsAre(". 1(0) ack 102"));
    EXPECT_THAT(answer(seg(1, 1).data(100)), ElementsAre(". 1(0) ack 102"));
    EXPECT_EQ(socket().taken, 100u);
}

TEST_F(TcpClose, close_wait_data_behind_fin_is_not_delivered) {
    establish();
    answer(seg(1, 1).fin());
    answer(seg(2, 1).data(100));
    EXPECT_EQ(socket().taken, 0u);
    EXPECT_EQ(state(), TcpState::close_wait);
}

TEST_F(TcpClose, time_wait_fin_again_is_acknowledged_and_restarts_the_wait) {
    establish();
    peer_closes();
    output();
    answer(seg(1, 2).fin());
    pass(tcp_time_wait - 10 * millisecond);
    EXPECT_THAT(answer(seg(1, 2).fin()), ElementsAre(". 2(0) ack 2"));
    pass(tcp_time_wait - 10 * millisecond);
    EXPECT_THAT(answer(seg(1, 2).fin()), ElementsAre(". 2(0) ack 2"));
    pass(tcp_time_wait + 2 * millisecond);
    EXPECT_EQ(engine.flows(), 0u);
}

TEST_F(TcpClose, time_wait_new_syn_reuses_the_ports) {
    establish();
    peer_closes();
    output();
    answer(seg(1, 2).fin());
    guest_iss += 10;
    establish();
    EXPECT_EQ(sockets.size(), 2u);
    EXPECT_EQ(engine.flows(), 1u);
}

TEST_F(TcpClose, time_wait_old_syn_does_not_reuse_the_ports) {
    establish();
    peer_closes();
    output();
    answer(seg(1, 2).fin());
    EXPECT_THAT(answer(syn()), ElementsAre(". 2(0) ack 2"));
    EXPECT_EQ(state(), TcpState::time_wait);
}

TEST_F(TcpClose, fin_wait_1_lost_fin_is_sent_again) {
    establish();
    peer_closes();
    output();
    pass(tcp_initial_rto + millisecond);
    EXPECT_THAT(output(), ElementsAre("F. 1(0) ack 1"));
    pass(2 * tcp_initial_rto + millisecond);
    EXPECT_THAT(output(), ElementsAre("F. 1(0) ack 1"));
    answer(seg(1, 2));
    EXPECT_EQ(state(), TcpState::fin_wait_2);
    pass(10 * second);
    EXPECT_THAT(output(), IsEmpty());
}

TEST_F(TcpClose, last_ack_lost_fin_is_sent_again) {
    establish();
    answer(seg(1, 1).fin());
    peer_closes();
    output();
    pass(tcp_initial_rto + millisecond);
    EXPECT_THAT(output(), ElementsAre("F. 1(0) ack 2"));
}

TEST_F(TcpClose, fin_wait_1_lost_data_and_fin_are_sent_again_in_order) {
    establish();
    peer_sends(300);
    EXPECT_THAT(output(), ElementsAre("P. 1(300) ack 1"));
    peer_closes();
    EXPECT_THAT(output(), ElementsAre("F. 301(0) ack 1"));
    pass(tcp_initial_rto + millisecond);
    EXPECT_THAT(output(), ElementsAre("P. 1(300) ack 1"));
    EXPECT_THAT(answer(seg(1, 301)), ElementsAre("F. 301(0) ack 1"));
    answer(seg(1, 302));
    EXPECT_EQ(state(), TcpState::fin_wait_2);
}

TEST_F(TcpClose, fin_wait_1_never_acknowledged_gives_up_with_reset) {
    establish();
    peer_closes();
    output();
    pass(3600 * second);
    EXPECT_EQ(output().back(), "R. 2(0) ack 1");
    EXPECT_EQ(engine.flows(), 0u);
    EXPECT_TRUE(socket().aborted);
    EXPECT_EQ(context.counters.tcp_timed_out.value(), 1u);
}

TEST_F(TcpClose, established_no_chunk_for_fin_is_repaired_by_timer) {
    establish();
    exhaust_chunks();
    peer_closes();
    EXPECT_THAT(output(), IsEmpty());
    give_back_chunks();
    pass(tcp_initial_rto + tcp_retry_interval + millisecond);
    EXPECT_THAT(output(), ElementsAre("F. 1(0) ack 1"));
}

TEST_F(TcpClose, established_fin_to_tap_wraps) {
    choose_iss(0xfffffffe);
    establish();
    EXPECT_EQ(our_iss, 0xfffffffe);
    peer_closes();
    EXPECT_THAT(output(), ElementsAre("F. 1(0) ack 1"));
    answer(seg(1, 2).fin());
    EXPECT_EQ(state(), TcpState::time_wait);
}

// The peer sends a FIN, and later a RST (its process ended with unread data).
TEST_F(TcpClose, fin_wait_2_peer_reset_resets_namespace) {
    establish();
    peer_closes();
    output();
    answer(seg(1, 2));
    peer_resets();
    EXPECT_THAT(output(), ElementsAre("R. 2(0) ack 1"));
    EXPECT_TRUE(socket().aborted);
}

TEST_F(TcpClose, fin_wait_1_write_error_resets_namespace) {
    establish();
    peer_closes();
    output();
    socket().error = EPIPE;
    EXPECT_THAT(answer(seg(1, 2).data(10)), ElementsAre("R. 2(0) ack 11"));
    EXPECT_TRUE(socket().aborted);
}

TEST_F(TcpClose, close_wait_peer_reset_resets_namespace) {
    establish();
    answer(seg(1, 1).fin());
    peer_resets();
    EXPECT_THAT(output(), ElementsAre("R. 1(0) ack 2"));
    EXPECT_TRUE(socket().aborted);
}

// With both directions shut the kernel reports EPOLLHUP, which is no error.
TEST_F(TcpClose, close_wait_hangup_of_both_sides_is_an_orderly_end) {
    establish();
    answer(seg(1, 1).fin());
    socket().peer_closed = true;
    ready(current, {.readable = true, .writable = true, .error = true, .hangup = true});
    EXPECT_THAT(output(), ElementsAre("F. 1(0) ack 2"));
    answer(seg(2, 2));
    EXPECT_TRUE(socket().closed);
}

struct StateCase {
    TcpState state;
    const char* name;

    friend void PrintTo(const StateCase& c, std::ostream* out) { *out << c.name; }
};

/// A flow brought into any of the states.
class TcpInState : public test::TcpFixture, public ::testing::WithParamInterface<StateCase> {
  protected:
    void enter(TcpState state) {
        open();
        if (state == TcpState::connecting) return;
        connected(current);
        output();
        if (state == TcpState::syn_received) return;
        answer(seg(1, 1));
        switch (state) {
            case TcpState::fin_wait_1:
                peer_closes();
                break;
            case TcpState::fin_wait_2:
                peer_closes(), output(), inject(seg(1, 2));
                break;
            case TcpState::close_wait:
                guest_fin(1);
                break;
            case TcpState::closing:
                peer_closes(), output(), guest_fin(1);
                break;
            case TcpState::last_ack:
                guest_fin(1), output(), peer_closes();
                break;
            case TcpState::time_wait:
                peer_closes(), output(), guest_fin(2);
                break;
            default:
                break;
        }
        output();
        ASSERT_EQ(flow()->state, state);
    }
    void guest_fin(uint32_t ack) {
        inject(seg(1, ack).fin());
        next = 2;
    }
    uint32_t next = 1;  ///< the guest's next sequence number
};

TEST_P(TcpInState, any_exact_reset_ends_flow_and_socket) {
    enter(GetParam().state);
    EXPECT_THAT(answer(rst(next)), IsEmpty());
    // RFC 1337: time_wait does its duty whatever the namespace says.
    EXPECT_EQ(engine.flows(), GetParam().state == TcpState::time_wait ? 1u : 0u);
    EXPECT_FALSE(socket().open());
}

TEST_P(TcpInState, any_inexact_reset_does_not_end_the_flow) {
    enter(GetParam().state);
    const auto lines = answer(rst(next + 1));
    EXPECT_LE(lines.size(), 1u);
    ASSERT_EQ(engine.flows(), 1u);
    EXPECT_EQ(flow()->state, GetParam().state);
}

TEST_P(TcpInState, any_namespace_detached_aborts_flow) {
    enter(GetParam().state);
    engine.close_port(0);
    EXPECT_THAT(output(), IsEmpty());
    EXPECT_EQ(engine.flows(), 0u);
    EXPECT_FALSE(socket().open());
}

TEST_P(TcpInState, any_other_namespace_detached_leaves_flow_alone) {
    enter(GetParam().state);
    engine.close_port(1);
    EXPECT_EQ(engine.flows(), 1u);
}

TEST_P(TcpInState, any_silent_namespace_is_given_up_after_a_while) {
    enter(GetParam().state);
    if (GetParam().state == TcpState::connecting)
        engine.on_connect_failed(socket().flow, ETIMEDOUT);
    pass(2 * 3600 * second);
    output();
    EXPECT_EQ(engine.flows(), 0u);
    EXPECT_FALSE(socket().open());
}

TEST_P(TcpInState, any_socket_event_of_a_stale_flow_is_ignored) {
    enter(GetParam().state);
    const FlowId stale = socket().flow;
    answer(rst(next));
    pass(tcp_time_wait + millisecond);
    establish();
    EXPECT_EQ(flow()->id.index, stale.index);
    EXPECT_EQ(engine.find(stale), nullptr);
    engine.on_ready(stale, {.readable = true, .writable = true, .error = true});
    engine.on_sent(stale, 10, SocketResult::error, EPIPE);
    engine.on_read(stale, receive_chain(test::pattern(10)), SocketResult::eof);
    engine.on_deadline(stale);
    EXPECT_THAT(output(), IsEmpty());
    EXPECT_EQ(flow()->state, TcpState::established);
}

INSTANTIATE_TEST_SUITE_P(States, TcpInState,
                         ::testing::Values(StateCase{TcpState::connecting, "connecting"},
                                           StateCase{TcpState::syn_received, "syn_received"},
                                           StateCase{TcpState::established, "established"},
                                           StateCase{TcpState::fin_wait_1, "fin_wait_1"},
                                           StateCase{TcpState::fin_wait_2, "fin_wait_2"},
                                           StateCase{TcpState::close_wait, "close_wait"},
                                           StateCase{TcpState::closing, "closing"},
                                           StateCase{TcpState::last_ack, "last_ack"},
                                           StateCase{TcpState::time_wait, "time_wait"}),
                         [](const auto& state_case) { return state_case.param.name; });

}  // namespace
}  // namespace pasta::core
