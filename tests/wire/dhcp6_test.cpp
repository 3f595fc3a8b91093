#include "dataplane/wire/dhcp6.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tests/support/hex.hpp"

namespace pasta::wire {
namespace {

using test::hex;

const std::vector<uint8_t> solicit =
    hex("01 abcdef"
        "0001 000a 0003 0001 020000000001"
        "000e 0000"
        "0003 0028 00000007 00000000 00000000"
        "     0005 0018 20010db8 00000000 00000000 00000002 00000000 00000000"
        "0027 0003 01 0161");

TEST(Dhcp6Request, solicit_with_usual_options) {
    const auto request = Dhcp6Request::parse(solicit);
    ASSERT_TRUE(request);
    EXPECT_EQ(request->type, Dhcp6MessageType::solicit);
    EXPECT_EQ(request->transaction_id, 0xabcdefu);
    ASSERT_TRUE(request->client_id);
    EXPECT_EQ(request->client_id->size(), 10u);
    EXPECT_FALSE(request->server_id);
    EXPECT_TRUE(request->rapid_commit);
    EXPECT_TRUE(request->has_association);
    EXPECT_EQ(request->fqdn_flags, 1);
}

TEST(Dhcp6Request, cut_anywhere_but_between_options_is_refused) {
    const std::set<size_t> between_options{4, 18, 22, 66};
    for (size_t length = 0; length < solicit.size(); ++length) {
        const auto request = Dhcp6Request::parse(Bytes{solicit}.first(length));
        EXPECT_EQ(request.has_value(), between_options.count(length) != 0) << length;
    }
}

TEST(Dhcp6Request, message_of_servers_and_relays_is_refused) {
    for (const uint8_t type : {0, 2, 7, 10, 12, 13, 14, 255}) {
        auto message = solicit;
        message[0] = type;
        EXPECT_FALSE(Dhcp6Request::parse(message)) << int{type};
    }
    for (const uint8_t type : {1, 3, 4, 5, 6, 8, 9, 11}) {
        auto message = solicit;
        message[0] = type;
        EXPECT_TRUE(Dhcp6Request::parse(message)) << int{type};
    }
}

TEST(Dhcp6Request, duid_empty_or_above_130_bytes_is_refused) {
    for (const size_t length : {0, 2, 3, 130, 131}) {
        auto message = hex("01 abcdef 0001 0000");
        store_be16(&message[6], static_cast<uint16_t>(length));
        message.resize(8 + length);
        EXPECT_EQ(Dhcp6Request::parse(message).has_value(), length == 3 || length == 130) << length;
    }
}

TEST(Dhcp6Request, option_inside_an_association_that_runs_over_is_refused) {
    for (const char* code : {"0003", "0019"}) {
        auto message = hex("01 abcdef");
        for (const auto& part : {hex(code), hex("0010 00000007 00000000 00000000 0005 0018")})
            message.insert(message.end(), part.begin(), part.end());
        message.resize(message.size() + 24);  // the address lies outside the association
        EXPECT_FALSE(Dhcp6Request::parse(message)) << code;
    }
}

TEST(Dhcp6Request, association_too_short_for_its_fields_is_refused) {
    EXPECT_FALSE(Dhcp6Request::parse(hex("01 abcdef 0003 000b 00000007 00000000 000000")));
    EXPECT_TRUE(Dhcp6Request::parse(hex("01 abcdef 0003 000c 00000007 00000000 00000000")));
}

TEST(Dhcp6Request, rapid_commit_with_a_body_or_empty_fqdn_is_refused) {
    EXPECT_FALSE(Dhcp6Request::parse(hex("01 abcdef 000e 0001 00")));
    EXPECT_FALSE(Dhcp6Request::parse(hex("01 abcdef 0027 0000")));
}

TEST(Dhcp6IaAddress, cut_is_refused) {
    const auto body = hex("20010db8 00000000 00000000 00000002 00000000 00000000");
    EXPECT_TRUE(parse_dhcp6_ia_address(body));
    EXPECT_FALSE(parse_dhcp6_ia_address(Bytes{body}.first(23)));
}

TEST(Dhcp6Option, nested_option_has_the_length_of_its_body) {
    std::vector<uint8_t> memory(100);
    Writer out(memory);
    emit_dhcp6_option(out, dhcp6_option::ia_na, [&] {
        out.be32(7);
        emit_dhcp6_status(out, Dhcp6Status::not_on_link);
    });
    memory.resize(out.position());
    EXPECT_EQ(memory, hex("0003 000a 00000007 000d 0002 0004"));
}

TEST(Dhcp6Option, one_that_does_not_fit_fails_the_writer) {
    for (size_t room = 0; room < 6; ++room) {
        std::vector<uint8_t> memory(room);
        Writer out(memory);
        emit_dhcp6_status(out, Dhcp6Status::success);
        EXPECT_FALSE(out.ok()) << room;
    }
}

}  // namespace
}  // namespace pasta::wire
