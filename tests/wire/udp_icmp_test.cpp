#include <gtest/gtest.h>

#include <vector>

#include "dataplane/wire/icmp.hpp"
#include "dataplane/wire/udp.hpp"
#include "tests/support/hex.hpp"

namespace pasta::wire {
namespace {

using test::hex;

TEST(UdpHeader, survives_parse_and_emit) {
    const auto bytes = hex("0035 c000 0009 abcd");
    const auto header = UdpHeader::parse(bytes, 9);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->src_port, 53);
    EXPECT_EQ(header->dst_port, 0xc000);
    EXPECT_EQ(header->length, 9);
    EXPECT_EQ(header->checksum, 0xabcd);
    std::vector<uint8_t> out(UdpHeader::size);
    header->emit(out);
    EXPECT_EQ(out, bytes);
}

TEST(UdpHeader, length_field_must_cover_the_header_and_lie_in_the_packet) {
    const auto with_length = [](uint16_t length) {
        auto bytes = hex("0035 c000 0000 0000");
        store_be16(&bytes[4], length);
        return UdpHeader::parse(bytes, 20);
    };
    EXPECT_FALSE(with_length(0));
    EXPECT_FALSE(with_length(7));
    EXPECT_TRUE(with_length(8));
    EXPECT_TRUE(with_length(20));
    EXPECT_FALSE(with_length(21));
}

TEST(UdpHeader, cut_at_every_length_is_refused) {
    const auto bytes = hex("0035 c000 0008 0000");
    for (size_t length = 0; length < bytes.size(); ++length)
        EXPECT_FALSE(UdpHeader::parse(Bytes{bytes}.first(length), 8)) << length;
}

TEST(UdpHeader, computed_zero_checksum_is_sent_as_ones) {
    EXPECT_EQ(udp_checksum_field(0), 0xffff);
    EXPECT_EQ(udp_checksum_field(0x1234), 0x1234);
}

TEST(IcmpEcho, survives_parse_and_emit) {
    const auto bytes = hex("08 00 f7ff 0001 0002");
    const auto echo = IcmpEcho::parse(bytes);
    ASSERT_TRUE(echo);
    EXPECT_EQ(echo->type, icmpv4::echo_request);
    EXPECT_EQ(echo->id, 1);
    EXPECT_EQ(echo->sequence, 2);
    std::vector<uint8_t> out(IcmpEcho::size);
    echo->emit(out);
    EXPECT_EQ(out, bytes);
    EXPECT_FALSE(IcmpEcho::parse(Bytes{bytes}.first(7)));
}

TEST(IcmpError, mtu_is_the_info_field) {
    const auto bytes = hex("03 04 1234 0000 0578");
    const auto error = IcmpError::parse(bytes);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->type, icmpv4::destination_unreachable);
    EXPECT_EQ(error->code, icmpv4::fragmentation_needed);
    EXPECT_EQ(error->info, 1400u);
    std::vector<uint8_t> out(IcmpError::size);
    error->emit(out);
    EXPECT_EQ(out, bytes);
    EXPECT_FALSE(IcmpError::parse(Bytes{bytes}.first(7)));
}

TEST(IcmpError, errors_are_told_from_queries) {
    EXPECT_TRUE(is_icmpv4_error(icmpv4::destination_unreachable));
    EXPECT_TRUE(is_icmpv4_error(icmpv4::time_exceeded));
    EXPECT_FALSE(is_icmpv4_error(icmpv4::echo_request));
    EXPECT_FALSE(is_icmpv4_error(icmpv4::echo_reply));
    EXPECT_TRUE(is_icmpv6_error(icmpv6::packet_too_big));
    EXPECT_FALSE(is_icmpv6_error(icmpv6::echo_request));
}

}  // namespace
}  // namespace pasta::wire
