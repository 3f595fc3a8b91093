#include "dataplane/wire/address.hpp"

#include <gtest/gtest.h>

#include "tests/support/hex.hpp"

namespace pasta::wire {
namespace {

IpAddress v6(const char* text) {
    const auto bytes = test::hex(text);
    return IpAddress::v6(std::span<const uint8_t, 16>(bytes.data(), 16));
}

TEST(IpAddress, v4_is_kept_as_mapped_address) {
    const IpAddress address = IpAddress::v4(192, 0, 2, 1);
    EXPECT_EQ(address, v6("00000000 00000000 0000ffff c0000201"));
    EXPECT_TRUE(address.is_v4());
    EXPECT_EQ(address.v4_number(), 0xc0000201u);
    EXPECT_EQ(IpAddress::v4(0xc0000201u), address);
}

TEST(IpAddress, classes_of_v4_addresses) {
    EXPECT_TRUE(IpAddress::v4(0).is_unspecified());
    EXPECT_TRUE(IpAddress::v4(127, 9, 9, 9).is_loopback());
    EXPECT_TRUE(IpAddress::v4(224, 0, 0, 1).is_multicast());
    EXPECT_TRUE(IpAddress::v4(255, 255, 255, 255).is_limited_broadcast());
    EXPECT_TRUE(IpAddress::v4(169, 254, 1, 1).is_link_local());
    EXPECT_TRUE(IpAddress::v4(198, 51, 100, 7).is_unicast());
    EXPECT_FALSE(IpAddress::v4(255, 255, 255, 255).is_unicast());
    EXPECT_FALSE(IpAddress::v4(0).is_unicast());
}

TEST(IpAddress, classes_of_v6_addresses) {
    EXPECT_TRUE(IpAddress{}.is_unspecified());
    EXPECT_TRUE(v6("00000000 00000000 00000000 00000001").is_loopback());
    EXPECT_TRUE(v6("ff020000 00000000 00000000 00000001").is_multicast());
    EXPECT_TRUE(v6("febf0000 00000000 00000000 00000001").is_link_local());
    EXPECT_FALSE(v6("fec00000 00000000 00000000 00000001").is_link_local());
    EXPECT_TRUE(v6("20010db8 00000000 00000000 00000001").is_unicast());
}

TEST(IpAddress, same_prefix_compares_only_the_given_bits) {
    const IpAddress a = IpAddress::v4(198, 51, 100, 1);
    EXPECT_TRUE(a.same_prefix(IpAddress::v4(198, 51, 101, 1), 23));
    EXPECT_FALSE(a.same_prefix(IpAddress::v4(198, 51, 101, 1), 24));
    EXPECT_TRUE(a.same_prefix(IpAddress::v4(1, 2, 3, 4), 0));
    EXPECT_TRUE(a.same_prefix(a, 32));
    EXPECT_FALSE(a.same_prefix(IpAddress{}, 0)) << "families differ";
}

TEST(Multicast, solicited_node_address_of_rfc_4291_section_2_7_1) {
    const IpAddress group = solicited_node(v6("40370000 00000000 00000800 200e8c6c"));
    EXPECT_EQ(group, v6("ff020000 00000000 00000001 ff0e8c6c"));
    EXPECT_EQ(multicast_mac(group), (MacAddress{{0x33, 0x33, 0xff, 0x0e, 0x8c, 0x6c}}));
}

}  // namespace
}  // namespace pasta::wire
