#include "control/ip_text.hpp"

#include <gtest/gtest.h>

namespace pasta::control {
namespace {

using wire::IpAddress;

TEST(IpText, ReadsDottedIpv4InNetworkOrder) {
    EXPECT_EQ(parse_address("198.51.100.7"), IpAddress::v4(198, 51, 100, 7));
}

TEST(IpText, ReadsIpv6) {
    const auto address = parse_address("2001:db8::1");
    ASSERT_TRUE(address.has_value());
    EXPECT_TRUE(address->is_v6());
    EXPECT_EQ(address->octets[0], 0x20);
    EXPECT_EQ(address->octets[3], 0xb8);
    EXPECT_EQ(address->octets[15], 1);
}

TEST(IpText, MappedIpv6IsTheIpv4Address) {
    EXPECT_EQ(parse_address("::ffff:198.51.100.7"), IpAddress::v4(198, 51, 100, 7));
}

TEST(IpText, RefusesWhatIsNoAddress) {
    using namespace std::string_view_literals;
    for (const auto text :
         {""sv, "198.51.100"sv, "198.51.100.256"sv, "198.51.100.1 "sv, "2001:db8"sv,
          "fe80::1%eth0"sv, "[::1]"sv, "1.2.3.4\0x"sv, "0x7f000001"sv})
        EXPECT_FALSE(parse_address(text).has_value()) << text;
}

TEST(IpText, WritesWhatItReads) {
    for (const char* text : {"198.51.100.7", "0.0.0.0", "2001:db8::1", "::1", "::", "fe80::1"})
        EXPECT_EQ(to_text(*parse_address(text)), text);
}

TEST(IpText, PrefixLengthIsBoundByTheFamily) {
    EXPECT_EQ(parse_prefix("198.51.100.1/32"), (core::Prefix{IpAddress::v4(198, 51, 100, 1), 32}));
    EXPECT_EQ(to_text(*parse_prefix("2001:db8::1/128")), "2001:db8::1/128");
    for (const char* text : {"198.51.100.1", "198.51.100.1/", "198.51.100.1/33", "198.51.100.1/-1",
                             "198.51.100.1/+8", "198.51.100.1/8/8", "2001:db8::1/129", "/24"})
        EXPECT_FALSE(parse_prefix(text).has_value()) << text;
}

TEST(IpText, NetmaskIsBitsOrAContiguousMask) {
    EXPECT_EQ(parse_netmask("24"), 24);
    EXPECT_EQ(parse_netmask("255.255.255.0"), 24);
    EXPECT_EQ(parse_netmask("255.255.255.255"), 32);
    EXPECT_EQ(parse_netmask("0.0.0.0"), 0);
    for (const char* text : {"", "33", "255.0.255.0", "0.255.255.255", "ffff::", "24x"})
        EXPECT_FALSE(parse_netmask(text).has_value()) << text;
}

TEST(IpText, MacIsSixHexadecimalOctets) {
    const auto mac = parse_mac("9a:55:0A:ff:00:01");
    EXPECT_EQ(mac, (wire::MacAddress{{0x9a, 0x55, 0x0a, 0xff, 0x00, 0x01}}));
    EXPECT_EQ(to_text(*mac), "9a:55:0a:ff:00:01");
    for (const char* text : {"", "9a:55:0a:ff:00", "9a-55-0a-ff-00-01", "9a:55:0a:ff:00:0g",
                             "9a:55:0a:ff:00:001", "9a:55:0a:ff:0:001", "9a:55:0a:ff:00: 1"})
        EXPECT_FALSE(parse_mac(text).has_value()) << text;
}

}  // namespace
}  // namespace pasta::control
