#include "dataplane/wire/arp.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/hex.hpp"

namespace pasta::wire {
namespace {

const std::vector<uint8_t> request =
    test::hex("0001 0800 06 04 0001 020000000001 c6336402 000000000000 c6336401");

TEST(ArpPacket, request_survives_parse_and_emit) {
    const auto packet = ArpPacket::parse(request);
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->operation, arp_request);
    EXPECT_EQ(packet->sender_mac, (MacAddress{{2, 0, 0, 0, 0, 1}}));
    EXPECT_EQ(packet->sender_ip, IpAddress::v4(198, 51, 100, 2));
    EXPECT_EQ(packet->target_ip, IpAddress::v4(198, 51, 100, 1));
    std::vector<uint8_t> out(ArpPacket::size);
    packet->emit(out);
    EXPECT_EQ(out, request);
}

TEST(ArpPacket, padding_is_ignored) {
    auto padded = request;
    padded.resize(46);
    EXPECT_TRUE(ArpPacket::parse(padded));
}

TEST(ArpPacket, cut_at_every_length_is_refused) {
    for (size_t length = 0; length < request.size(); ++length)
        EXPECT_FALSE(ArpPacket::parse(Bytes{request}.first(length))) << length;
}

TEST(ArpPacket, other_hardware_protocol_or_lengths_are_refused) {
    for (const size_t at : {0, 1, 2, 3, 4, 5}) {
        auto packet = request;
        packet[at] ^= 1;
        EXPECT_FALSE(ArpPacket::parse(packet)) << at;
    }
}

}  // namespace
}  // namespace pasta::wire
