#include "dataplane/wire/ndp.hpp"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "tests/support/hex.hpp"

namespace pasta::wire {
namespace {

using test::hex;

const std::vector<uint8_t> solicitation =
    hex("87 00 0000 00000000 20010db8 00000000 00000000 00000001 01 01 020000000001");

IpAddress v6(const char* text) {
    const auto bytes = hex(text);
    return IpAddress::v6(std::span<const uint8_t, 16>(bytes.data(), 16));
}

std::vector<uint8_t> emitted(const RouterAdvertisement& advertisement, size_t room = 1000) {
    std::vector<uint8_t> memory(room, 0xee);
    Writer out(memory);
    advertisement.emit(out);
    EXPECT_TRUE(out.ok());
    memory.resize(out.position());
    return memory;
}

TEST(NeighborSolicitation, target_and_source_mac_are_parsed) {
    const auto parsed = NeighborSolicitation::parse(solicitation);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->target, v6("20010db8 00000000 00000000 00000001"));
    EXPECT_EQ(parsed->source_mac, (MacAddress{{2, 0, 0, 0, 0, 1}}));
}

TEST(NeighborSolicitation, cut_anywhere_but_between_options_is_refused) {
    for (size_t length = 0; length < solicitation.size(); ++length) {
        const auto parsed = NeighborSolicitation::parse(Bytes{solicitation}.first(length));
        EXPECT_EQ(parsed.has_value(), length == 24) << length;
    }
}

TEST(NeighborSolicitation, wrong_type_code_or_multicast_target_is_refused) {
    for (const size_t at : {0, 1}) {
        auto message = solicitation;
        message[at] ^= 1;
        EXPECT_FALSE(NeighborSolicitation::parse(message)) << at;
    }
    auto message = solicitation;
    message[8] = 0xff;
    EXPECT_FALSE(NeighborSolicitation::parse(message));
}

TEST(NeighborSolicitation, option_of_length_zero_or_beyond_the_end_is_refused) {
    for (const uint8_t units : {0, 2, 255}) {
        auto message = solicitation;
        message[25] = units;
        EXPECT_FALSE(NeighborSolicitation::parse(message)) << int{units};
    }
}

TEST(NeighborSolicitation, unknown_option_is_skipped) {
    auto message = solicitation;
    message[24] = 14;  // a nonce, RFC 3971
    const auto parsed = NeighborSolicitation::parse(message);
    ASSERT_TRUE(parsed);
    EXPECT_FALSE(parsed->source_mac);
}

TEST(RouterSolicitation, with_and_without_source_mac) {
    const auto message = hex("85 00 0000 00000000 01 01 020000000001");
    const auto with = RouterSolicitation::parse(message);
    ASSERT_TRUE(with);
    EXPECT_EQ(with->source_mac, (MacAddress{{2, 0, 0, 0, 0, 1}}));
    for (size_t length = 0; length < message.size(); ++length) {
        const auto parsed = RouterSolicitation::parse(Bytes{message}.first(length));
        EXPECT_EQ(parsed.has_value(), length == 8) << length;
    }
}

TEST(NeighborAdvertisement, bytes_of_rfc_4861_section_4_4) {
    NeighborAdvertisement advertisement;
    advertisement.router = advertisement.solicited = advertisement.override_cache = true;
    advertisement.target = v6("20010db8 00000000 00000000 00000001");
    advertisement.target_mac = {{2, 0, 0, 0, 0, 9}};
    std::vector<uint8_t> out(NeighborAdvertisement::size, 0xee);
    advertisement.emit(out);
    EXPECT_EQ(out, hex("88 00 0000 e0000000 20010db8 00000000 00000000 00000001"
                       "02 01 020000000009"));
    advertisement.router = advertisement.override_cache = false;
    advertisement.emit(out);
    EXPECT_EQ(out[4], 0x40);
}

TEST(RouterAdvertisement, least_message_has_only_the_source_mac) {
    RouterAdvertisement advertisement;
    advertisement.router_lifetime = 1800;
    advertisement.source_mac = {{2, 0, 0, 0, 0, 9}};
    EXPECT_EQ(emitted(advertisement),
              hex("86 00 0000 40 00 0708 00000000 00000000 01 01 020000000009"));
}

TEST(RouterAdvertisement, all_options_in_order) {
    const std::array<IpAddress, 3> dns{v6("20010db8 00000000 00000000 00000053"),
                                       IpAddress::v4(192, 0, 2, 53),
                                       v6("20010db8 00000000 00000000 00000054")};
    const std::array<std::string, 2> search{"ci.test", "b"};
    RouterAdvertisement advertisement;
    advertisement.managed = advertisement.other = true;
    advertisement.router_lifetime = 65535;
    advertisement.source_mac = {{2, 0, 0, 0, 0, 9}};
    advertisement.mtu = 65520;
    advertisement.prefix = PrefixInformation{v6("20010db8 00000000 00000000 00000000")};
    advertisement.prefix->autonomous = advertisement.prefix->on_link = true;
    advertisement.dns = dns;
    advertisement.search = search;
    EXPECT_EQ(emitted(advertisement),
              hex("86 00 0000 40 c0 ffff 00000000 00000000"
                  "01 01 020000000009"
                  "05 01 0000 0000fff0"
                  "03 04 40 c0 ffffffff ffffffff 00000000 20010db8 00000000 00000000 00000000"
                  "19 05 0000 ffffffff 20010db8 00000000 00000000 00000053"
                  "                    20010db8 00000000 00000000 00000054"
                  "1f 03 0000 ffffffff 026369 0474657374 00 0162 00 00000000"));
}

TEST(RouterAdvertisement, list_entries_that_do_not_fit_are_left_out) {
    const std::vector<IpAddress> dns(300, v6("20010db8 00000000 00000000 00000053"));
    const std::vector<std::string> search(300, "search.example.org");
    RouterAdvertisement advertisement;
    advertisement.dns = dns;
    advertisement.search = search;
    for (size_t room = 24; room < 400; ++room) {
        const auto message = emitted(advertisement, room);
        EXPECT_EQ(message.size() % 8, 0u) << room;
        EXPECT_EQ(message.size() > 24, room >= 24 + 8 + 16) << room;
    }
    EXPECT_EQ(emitted(advertisement, 10000).at(24 + 1), 255)
        << "127 servers, the most there can be";
}

}  // namespace
}  // namespace pasta::wire
