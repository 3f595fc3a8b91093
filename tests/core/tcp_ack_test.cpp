// Which acknowledgements wait for company, and FINs that travel with data.

#include <gmock/gmock.h>

#include "tests/support/tcp_fixture.hpp"

namespace pasta::core {
namespace {

using test::seg;
using test::syn;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TcpAck : public test::TcpFixture {
  protected:
    TcpAck() { context.ack_delay = tcp_ack_delay; }
};

TEST_F(TcpAck, little_data_is_acknowledged_after_the_delay) {
    establish();
    EXPECT_THAT(answer(seg(1, 1).data(100)), IsEmpty());
    EXPECT_EQ(socket().taken, 100u) << "the data itself does not wait";
    pass(tcp_ack_delay - microsecond);
    EXPECT_THAT(output(), IsEmpty());
    pass(2 * TimerWheel::resolution);
    EXPECT_THAT(output(), ElementsAre(". 1(0) ack 101"));
    pass(10 * tcp_ack_delay);
    EXPECT_THAT(output(), IsEmpty()) << "once is enough";
}

TEST_F(TcpAck, the_answer_carries_it) {
    establish();
    EXPECT_THAT(answer(seg(1, 1).data(100)), IsEmpty());
    peer_sends(50);
    EXPECT_THAT(output(), ElementsAre("P. 1(50) ack 101"));
    pass(10 * tcp_ack_delay);
    EXPECT_THAT(output(), IsEmpty());
}

TEST_F(TcpAck, two_segments_are_acknowledged_at_once) {
    establish(syn().mss(1000));
    EXPECT_THAT(answer(seg(1, 1).data(1000)), IsEmpty());
    EXPECT_THAT(answer(seg(1001, 1).data(1000)), ElementsAre(". 1(0) ack 2001"));
}

TEST_F(TcpAck, much_data_in_one_segment_is_acknowledged_at_once) {
    establish(syn().mss(65460));
    EXPECT_THAT(answer(seg(1, 1).data(tcp_ack_delay_bytes)), ElementsAre(". 1(0) ack 4097"));
}

TEST_F(TcpAck, what_fills_a_gap_is_acknowledged_at_once) {
    establish();
    EXPECT_THAT(answer(seg(101, 1).data(100)), ElementsAre(". 1(0) ack 1"));
    EXPECT_THAT(answer(seg(1, 1).data(100)), ElementsAre(". 1(0) ack 201"));
}

TEST_F(TcpAck, repeated_data_is_acknowledged_at_once) {
    establish();
    EXPECT_THAT(answer(seg(1, 1).data(100)), IsEmpty());
    EXPECT_THAT(answer(seg(1, 1).data(100)), ElementsAre(". 1(0) ack 101"));
}

TEST_F(TcpAck, fin_is_acknowledged_at_once) {
    establish();
    EXPECT_THAT(answer(seg(1, 1).data(100).fin()), ElementsAre(". 1(0) ack 102"));
    EXPECT_TRUE(socket().shut);
}

TEST_F(TcpAck, fin_of_the_peer_travels_with_its_last_data) {
    establish(syn().mss(1000));
    socket().readable = 1500;
    peer_closes();
    EXPECT_THAT(output(), ElementsAre(". 1(1000) ack 1", "FP. 1001(500) ack 1"));
    EXPECT_EQ(flow()->state, TcpState::fin_wait_1);
    EXPECT_THAT(answer(seg(1, 1502)), IsEmpty());
    EXPECT_EQ(flow()->state, TcpState::fin_wait_2);
    EXPECT_THAT(answer(seg(1, 1502).fin()), ElementsAre(". 1502(0) ack 2"));
    EXPECT_EQ(flow()->state, TcpState::time_wait);
}

TEST_F(TcpAck, lost_fin_with_data_is_sent_again) {
    establish();
    socket().readable = 500;
    peer_closes();
    EXPECT_THAT(output(), ElementsAre("FP. 1(500) ack 1"));
    pass(flow()->rto);
    EXPECT_THAT(output(), ElementsAre("P. 1(500) ack 1"));
    EXPECT_THAT(answer(seg(1, 501)), ElementsAre("F. 501(0) ack 1"));
    EXPECT_THAT(answer(seg(1, 502)), IsEmpty());
    EXPECT_EQ(flow()->state, TcpState::fin_wait_2);
}

}  // namespace
}  // namespace pasta::core
