#include "dataplane/wire/dns_name.hpp"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "tests/support/hex.hpp"

namespace pasta::wire {
namespace {

using test::hex;
using Names = std::vector<std::string>;

template <class Emit>
std::vector<uint8_t> written(size_t room, Emit emit) {
    std::vector<uint8_t> memory(room, 0xee);
    Writer out(memory);
    emit(out);
    EXPECT_TRUE(out.ok());
    memory.resize(out.position());
    return memory;
}

std::vector<uint8_t> compressed(const Names& names, size_t room = 1000) {
    return written(room, [&](Writer& out) { emit_compressed_dns_names(out, names); });
}

TEST(DnsName, valid_and_invalid_names) {
    EXPECT_TRUE(is_valid_dns_name("a"));
    EXPECT_TRUE(is_valid_dns_name("ci.example.org"));
    EXPECT_TRUE(is_valid_dns_name(std::string(63, 'a') + ".b"));
    for (const char* name : {"", ".", "a.", ".a", "a..b"})
        EXPECT_FALSE(is_valid_dns_name(name)) << name;
    EXPECT_FALSE(is_valid_dns_name(std::string(64, 'a')));
}

TEST(DnsName, longest_name_has_253_characters) {
    std::string name;
    while (name.size() < 252)
        name += "a.";
    EXPECT_TRUE(is_valid_dns_name(name + "b"));
    EXPECT_FALSE(is_valid_dns_name(name + "bc"));
}

TEST(DnsName, list_without_compression) {
    const auto bytes = written(100, [](Writer& out) {
        emit_dns_names(out, Names{"eng.a", "", "b"});
    });
    EXPECT_EQ(bytes, hex("03656e67 0161 00 0162 00"));
}

TEST(DnsName, names_that_do_not_fit_are_left_out) {
    const auto bytes = written(6, [](Writer& out) {
        emit_dns_names(out, Names{"a", "long.name", "b"});
    });
    EXPECT_EQ(bytes, hex("0161 00 0162 00"));
}

TEST(CompressedDnsNames, example_of_rfc_3397_section_2) {
    EXPECT_EQ(compressed({"eng.apple.com", "marketing.apple.com"}),
              hex("03656e67 056170706c65 03636f6d 00"
                  "096d61726b6574696e67 c004"));
}

TEST(CompressedDnsNames, whole_name_written_before_is_a_pointer) {
    EXPECT_EQ(compressed({"a.b", "b", "a.b"}), hex("0161 0162 00 c002 c000"));
}

TEST(CompressedDnsNames, names_that_do_not_fit_are_left_out) {
    EXPECT_EQ(compressed({"a.b", "c.d", "e"}, 8), hex("0161 0162 00 0165 00"));
}

TEST(CompressedDnsNames, more_endings_than_are_remembered_stay_readable) {
    Names names;
    for (int i = 0; i < 100; ++i)
        names.push_back("n" + std::to_string(i));
    names.insert(names.end(), {"n0", "n99"});
    const auto bytes = compressed(names);
    ASSERT_GT(bytes.size(), 7u);
    EXPECT_EQ(std::vector<uint8_t>(bytes.end() - 7, bytes.end()), hex("c000 036e3939 00"));
}

}  // namespace
}  // namespace pasta::wire
