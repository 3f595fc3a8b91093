#include "dataplane/wire/checksum.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tests/support/hex.hpp"

namespace pasta::wire {
namespace {

using test::hex;

/// RFC 1071, word by word.
uint16_t reference_sum(Bytes bytes) {
    uint32_t sum = 0;
    for (size_t i = 0; i < bytes.size(); i += 2) {
        sum += bytes[i] << 8;
        if (i + 1 < bytes.size()) sum += bytes[i + 1];
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<uint16_t>(sum);
}

std::vector<uint8_t> random_bytes(std::mt19937& random, size_t size) {
    std::vector<uint8_t> bytes(size);
    for (uint8_t& byte : bytes)
        byte = static_cast<uint8_t>(random());
    return bytes;
}

TEST(Checksum, example_of_rfc_1071_section_3) {
    EXPECT_EQ(checksum_fold(checksum_add(hex("0001 f203 f4f5 f6f7"))), 0xddf2);
}

TEST(Checksum, nothing_sums_to_zero) {
    EXPECT_EQ(checksum_add({}), 0u);
    EXPECT_EQ(checksum_finish(0), 0xffff);
}

TEST(Checksum, all_ones_of_the_largest_packet_do_not_overflow) {
    const std::vector<uint8_t> ones(1 << 20, 0xff);
    EXPECT_EQ(checksum_fold(checksum_add(ones, 0xffffffff)), 0xffff);
}

TEST(Checksum, every_length_and_alignment_equals_the_reference) {
    const uint32_t seed = 1071;
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    const auto bytes = random_bytes(random, 600);
    for (size_t start = 0; start < 16; ++start)
        for (size_t length = 0; length + start <= 300; ++length) {
            const Bytes piece = Bytes{bytes}.subspan(start, length);
            ASSERT_EQ(checksum_fold(checksum_add(piece)), reference_sum(piece))
                << "start " << start << " length " << length;
        }
}

TEST(ChecksumAccumulator, any_cut_into_pieces_equals_the_whole) {
    for (uint32_t seed = 1; seed <= 200; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        std::mt19937 random(seed);
        const auto bytes = random_bytes(random, random() % 9000);
        ChecksumAccumulator sum;
        for (size_t at = 0; at < bytes.size();) {
            const size_t length = std::min<size_t>(random() % 700, bytes.size() - at);
            sum.add(Bytes{bytes}.subspan(at, length));
            at += length;
        }
        ASSERT_EQ(checksum_fold(sum.sum()), reference_sum(bytes));
    }
}

TEST(ChecksumAccumulator, starts_from_a_given_sum) {
    const auto bytes = hex("01 02 03");
    ChecksumAccumulator sum(0x1234);
    sum.add(bytes);
    EXPECT_EQ(sum.finish(), checksum_finish(checksum_add(bytes, 0x1234)));
}

TEST(ChecksumUpdate, example_of_rfc_1624_section_4) {
    EXPECT_EQ(checksum_update(0xdd2f, 0x5555, 0x3285), 0x0000);
}

TEST(ChecksumUpdate, equals_a_full_computation) {
    for (uint32_t seed = 1; seed <= 500; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        std::mt19937 random(seed);
        auto bytes = random_bytes(random, 40);
        const uint16_t before = checksum_finish(checksum_add(bytes));
        const size_t at = random() % 20 * 2;
        const uint16_t old_word = load_be16(&bytes[at]);
        const auto new_word = static_cast<uint16_t>(random());
        store_be16(&bytes[at], new_word);
        ASSERT_EQ(checksum_update(before, old_word, new_word),
                  checksum_finish(checksum_add(bytes)));
    }
}

TEST(PseudoHeader, v4_equals_the_sum_of_its_bytes) {
    const uint32_t sum =
        pseudo_header_sum(IpAddress::v4(192, 0, 2, 1), IpAddress::v4(198, 51, 100, 2), 6, 1480);
    EXPECT_EQ(checksum_fold(sum), reference_sum(hex("c0000201 c6336402 0006 05c8")));
}

TEST(PseudoHeader, v6_with_a_long_packet_equals_the_sum_of_its_bytes) {
    const auto src = hex("20010db8 00000000 00000000 00000001");
    const auto dst = hex("20010db8 00000000 ffffffff fffffffe");
    const uint32_t sum = pseudo_header_sum(
        IpAddress::v6(std::span<const uint8_t, 16>(src.data(), 16)),
        IpAddress::v6(std::span<const uint8_t, 16>(dst.data(), 16)), 17, 0x00012345);
    const auto header =
        hex("20010db8 00000000 00000000 00000001 20010db8 00000000 ffffffff fffffffe"
            "00012345 00000011");
    EXPECT_EQ(checksum_fold(sum), reference_sum(header));
}

}  // namespace
}  // namespace pasta::wire
