#include "dataplane/wire/dhcp4.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tests/support/hex.hpp"

namespace pasta::wire {
namespace {

using test::hex;

/// A request with `options` after the magic cookie.
std::vector<uint8_t> message(const char* options) {
    auto bytes =
        hex("01 01 06 00 deadbeef 0003 8000 00000000 00000000 00000000 00000000"
            "020000000001 00000000000000000000");
    bytes.resize(236);
    for (const auto& part : {hex("63825363"), hex(options)})
        bytes.insert(bytes.end(), part.begin(), part.end());
    return bytes;
}

TEST(Dhcp4Request, discover_with_usual_options) {
    const auto bytes = message(
        "350101 3d0701020000000001 39020240 3204c6336402 3704010306ff "
        "3604c6336401 5000 510401000061 ff");
    const auto request = Dhcp4Request::parse(bytes);
    ASSERT_TRUE(request);
    EXPECT_EQ(request->type, Dhcp4MessageType::discover);
    EXPECT_EQ(request->fixed.transaction_id, 0xdeadbeefu);
    EXPECT_TRUE(request->fixed.broadcast);
    EXPECT_EQ(request->fixed.hardware_address[5], 1);
    EXPECT_EQ(request->requested_address, IpAddress::v4(198, 51, 100, 2));
    EXPECT_EQ(request->server_id, IpAddress::v4(198, 51, 100, 1));
    EXPECT_EQ(request->max_message_size, 576);
    EXPECT_EQ(request->client_id.size(), 7u);
    EXPECT_EQ(request->parameter_list.size(), 4u);
    EXPECT_TRUE(request->rapid_commit);
    EXPECT_EQ(request->fqdn_flags, 1);
}

TEST(Dhcp4Request, cut_is_refused_within_fixed_fields_and_within_options) {
    const auto bytes = message("350103 3204c6336402 00 3604c6336401 ff");
    const std::set<size_t> between_options{240, 243, 249, 250, 256};
    for (size_t length = 0; length < bytes.size(); ++length) {
        const auto request = Dhcp4Request::parse(Bytes{bytes}.first(length));
        const bool bootp = length >= 236 && length < 240;  // the cookie is cut
        EXPECT_EQ(request.has_value(), bootp || between_options.count(length) != 0) << length;
    }
}

TEST(Dhcp4Request, option_that_runs_over_is_refused) {
    for (const char* options : {"3501", "350201", "3501013aff00", "35"})
        EXPECT_FALSE(Dhcp4Request::parse(message(options))) << options;
}

TEST(Dhcp4Request, bytes_after_the_end_mark_are_ignored) {
    EXPECT_TRUE(Dhcp4Request::parse(message("350101 ff 35ff")));
}

TEST(Dhcp4Request, options_of_wrong_length_are_ignored) {
    const auto request = Dhcp4Request::parse(message("350101 3203c63364 39013f 500101 510100 ff"));
    ASSERT_TRUE(request);
    EXPECT_FALSE(request->requested_address);
    EXPECT_EQ(request->max_message_size, 576);
    EXPECT_FALSE(request->rapid_commit);
    EXPECT_FALSE(request->fqdn_flags);
}

TEST(Dhcp4Request, message_size_below_the_minimum_counts_as_the_minimum) {
    EXPECT_EQ(Dhcp4Request::parse(message("39020100 ff"))->max_message_size, 576);
    EXPECT_EQ(Dhcp4Request::parse(message("390205dc ff"))->max_message_size, 1500);
}

TEST(Dhcp4Request, options_overloaded_into_file_and_server_name_are_read) {
    auto bytes = message("350103 340103 ff");
    const auto file = hex("3204c6336402 ff");
    const auto server_name = hex("3604c6336401 340103 ff");
    std::copy(server_name.begin(), server_name.end(), bytes.begin() + 44);
    std::copy(file.begin(), file.end(), bytes.begin() + 108);
    const auto request = Dhcp4Request::parse(bytes);
    ASSERT_TRUE(request);
    EXPECT_EQ(request->requested_address, IpAddress::v4(198, 51, 100, 2));
    EXPECT_EQ(request->server_id, IpAddress::v4(198, 51, 100, 1));
}

TEST(Dhcp4Request, file_field_is_not_read_without_overload) {
    auto bytes = message("350103 ff");
    const auto file = hex("3204c6336402 ff");
    std::copy(file.begin(), file.end(), bytes.begin() + 108);
    EXPECT_FALSE(Dhcp4Request::parse(bytes)->requested_address);
}

TEST(Dhcp4Request, option_in_file_that_runs_over_the_field_is_refused) {
    auto bytes = message("350103 340101 ff");
    bytes[108 + 126] = 50;
    bytes[108 + 127] = 4;
    EXPECT_FALSE(Dhcp4Request::parse(bytes));
}

TEST(Dhcp4Request, reply_or_unknown_type_or_long_hardware_address_is_refused) {
    auto bytes = message("350101 ff");
    bytes[0] = 2;
    EXPECT_FALSE(Dhcp4Request::parse(bytes));
    bytes = message("350101 ff");
    bytes[2] = 17;
    EXPECT_FALSE(Dhcp4Request::parse(bytes));
    EXPECT_FALSE(Dhcp4Request::parse(message("350100 ff")));
    EXPECT_FALSE(Dhcp4Request::parse(message("350109 ff")));
}

TEST(Dhcp4Request, without_cookie_it_is_bootp) {
    auto bytes = message("350101 ff");
    bytes[236] = 0;
    const auto request = Dhcp4Request::parse(bytes);
    ASSERT_TRUE(request);
    EXPECT_FALSE(request->type);
}

TEST(Dhcp4Option, body_above_255_bytes_is_split) {
    std::vector<uint8_t> memory(600);
    Writer out(memory);
    const std::vector<uint8_t> body(300, 7);
    ASSERT_TRUE(emit_dhcp4_option(out, 119, body));
    EXPECT_EQ(out.position(), dhcp4_option_size(300));
    EXPECT_EQ(memory[0], 119);
    EXPECT_EQ(memory[1], 255);
    EXPECT_EQ(memory[257], 119);
    EXPECT_EQ(memory[258], 45);
}

TEST(Dhcp4Option, one_that_does_not_fit_leaves_the_writer_as_it_was) {
    std::vector<uint8_t> memory(5);
    Writer out(memory);
    const auto body = hex("01020304");
    EXPECT_FALSE(emit_dhcp4_option(out, 1, body));
    EXPECT_TRUE(out.ok());
    EXPECT_EQ(out.position(), 0u);
    EXPECT_TRUE(emit_dhcp4_option(out, 1, Bytes{body}.first(3)));
    EXPECT_EQ(memory, hex("01 03 010203"));
}

TEST(Dhcp4Option, empty_body_is_code_and_length) {
    std::vector<uint8_t> memory(2);
    Writer out(memory);
    EXPECT_TRUE(emit_dhcp4_option(out, 80, {}));
    EXPECT_EQ(memory, hex("50 00"));
}

}  // namespace
}  // namespace pasta::wire
