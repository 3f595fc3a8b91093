#include "dataplane/wire/tcp.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tests/support/hex.hpp"

namespace pasta::wire {
namespace {

using test::hex;

std::vector<uint8_t> emitted(const TcpHeader& header) {
    std::vector<uint8_t> out(tcp_header_size(header), 0xee);
    header.emit(out);
    return out;
}

/// A header with `options`, whose size is a multiple of 4.
std::vector<uint8_t> with_options(const char* options) {
    auto bytes = hex("8000 0050 00000001 00000002 5010 ffff 0000 0000");
    const auto tail = hex(options);
    bytes.insert(bytes.end(), tail.begin(), tail.end());
    bytes[12] = static_cast<uint8_t>(bytes.size() / 4 << 4);
    return bytes;
}

TEST(TcpHeader, syn_as_linux_sends_it_survives_parse_and_emit) {
    const auto bytes =
        hex("d431 0050 2c17a3b1 00000000 a002 faf0 1234 0000"
            "020405b4 0402080a 12345678 00000000 01030307");
    const auto header = TcpHeader::parse(bytes);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->src_port, 0xd431);
    EXPECT_EQ(header->dst_port, 80);
    EXPECT_EQ(header->seq, 0x2c17a3b1u);
    EXPECT_EQ(header->flags, tcp_syn);
    EXPECT_EQ(header->window, 0xfaf0);
    EXPECT_EQ(header->checksum, 0x1234);
    EXPECT_EQ(header->header_length, 40);
    EXPECT_EQ(header->mss, 1460);
    EXPECT_EQ(header->window_scale, 7);
    EXPECT_TRUE(header->sack_permitted);
    EXPECT_EQ(header->timestamps, (TcpTimestamps{0x12345678, 0}));
    EXPECT_EQ(emitted(*header), bytes);
}

TEST(TcpHeader, acknowledgement_with_timestamps_and_sack_survives_parse_and_emit) {
    const auto bytes =
        hex("0050 d431 00000001 00000002 d010 0100 0000 0000"
            "0101080a 00000003 00000004 01010512 0000000a 00000014 0000001e 00000028");
    const auto header = TcpHeader::parse(bytes);
    ASSERT_TRUE(header);
    ASSERT_EQ(header->sacks().size(), 2u);
    EXPECT_EQ(header->sacks()[0], (SackBlock{10, 20}));
    EXPECT_EQ(header->sacks()[1], (SackBlock{30, 40}));
    EXPECT_EQ(emitted(*header), bytes);
}

TEST(TcpHeader, any_set_of_options_survives_emit_and_parse) {
    for (uint32_t seed = 0; seed < 512; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        std::mt19937 generator(seed);
        const auto random = [&generator] { return static_cast<uint32_t>(generator()); };
        TcpHeader header;
        header.seq = random();
        if (random() % 2) header.mss = static_cast<uint16_t>(random());
        if (random() % 2) header.window_scale = static_cast<uint8_t>(random() % 15);
        header.sack_permitted = random() % 2 != 0;
        if (random() % 2) header.timestamps = TcpTimestamps{random(), random()};
        header.sack_count = static_cast<uint8_t>(random() % 5);
        for (SackBlock& block : header.sack_blocks)
            block = {random(), random()};

        const auto bytes = emitted(header);
        ASSERT_LE(bytes.size(), TcpHeader::max_size);
        ASSERT_EQ(bytes.size() % 4, 0u);
        const auto parsed = TcpHeader::parse(bytes);
        ASSERT_TRUE(parsed);
        EXPECT_EQ(parsed->header_length, bytes.size());
        EXPECT_EQ(parsed->mss, header.mss);
        EXPECT_EQ(parsed->window_scale, header.window_scale);
        EXPECT_EQ(parsed->sack_permitted, header.sack_permitted);
        EXPECT_EQ(parsed->timestamps, header.timestamps);
        const size_t room = (60 - (bytes.size() - parsed->sack_count * 8u)) / 8;
        EXPECT_EQ(parsed->sack_count, std::min<size_t>(header.sack_count, room));
        for (size_t i = 0; i < parsed->sack_count; ++i)
            EXPECT_EQ(parsed->sack_blocks[i], header.sack_blocks[i]);
    }
}

TEST(TcpHeader, three_sack_blocks_fit_beside_timestamps) {
    TcpHeader header;
    header.timestamps = TcpTimestamps{1, 2};
    header.sack_count = 4;
    EXPECT_EQ(tcp_header_size(header), 60u);
    EXPECT_EQ(TcpHeader::parse(emitted(header))->sack_count, 3);
}

TEST(TcpHeader, cut_at_every_length_is_refused) {
    const auto bytes = with_options("020405b4 01030307");
    for (size_t length = 0; length < bytes.size(); ++length)
        EXPECT_FALSE(TcpHeader::parse(Bytes{bytes}.first(length))) << length;
    EXPECT_TRUE(TcpHeader::parse(bytes));
}

TEST(TcpHeader, data_offset_below_the_minimum_is_refused) {
    auto bytes = with_options("");
    bytes[12] = 4 << 4;
    EXPECT_FALSE(TcpHeader::parse(bytes));
}

TEST(TcpHeader, option_with_a_lying_length_ends_the_options) {
    for (const char* lie : {"020405b4 0300 0402", "020405b4 0301 0402", "020405b4 08ff 0402",
                            "020405b4 01010105", "020405b4 0000 0402"}) {
        const auto header = TcpHeader::parse(with_options(lie));
        ASSERT_TRUE(header) << lie;
        EXPECT_EQ(header->mss, 1460) << lie;
        EXPECT_FALSE(header->sack_permitted) << lie;
        EXPECT_EQ(header->sack_count, 0) << lie;
    }
}

TEST(TcpHeader, option_of_wrong_length_is_skipped) {
    const auto header = TcpHeader::parse(with_options("0203ff 040300 03040707 0402 0504aabb 00"));
    ASSERT_TRUE(header);
    EXPECT_FALSE(header->mss);
    EXPECT_FALSE(header->window_scale);
    EXPECT_EQ(header->sack_count, 0);
    EXPECT_TRUE(header->sack_permitted) << "the right one after them counts";
}

TEST(TcpHeader, unknown_option_is_skipped) {
    const auto header = TcpHeader::parse(with_options("fd06aabbccdd 0402"));
    ASSERT_TRUE(header);
    EXPECT_TRUE(header->sack_permitted);
}

TEST(TcpHeader, window_scale_above_fourteen_counts_as_fourteen) {
    EXPECT_EQ(TcpHeader::parse(with_options("01030fff"))->window_scale, std::nullopt)
        << "a length of 15 runs over";
    EXPECT_EQ(TcpHeader::parse(with_options("010303ff"))->window_scale, 14);
}

TEST(Seq, comparison_wraps) {
    EXPECT_TRUE(seq_lt(0xfffffff0, 5));
    EXPECT_TRUE(seq_gt(5, 0xfffffff0));
    EXPECT_FALSE(seq_lt(7, 7));
    EXPECT_TRUE(seq_leq(7, 7));
    EXPECT_TRUE(seq_geq(7, 7));
    EXPECT_EQ(seq_max(0xfffffff0, 5), 5u);
    EXPECT_EQ(seq_min(0xfffffff0, 5), 0xfffffff0u);
    EXPECT_EQ(seq_diff(5, 0xfffffffb), 10);
}

TEST(Seq, window_wraps_and_excludes_its_end) {
    EXPECT_TRUE(seq_in_window(0xfffffff0, 0xfffffff0, 32));
    EXPECT_TRUE(seq_in_window(15, 0xfffffff0, 32));
    EXPECT_FALSE(seq_in_window(16, 0xfffffff0, 32));
    EXPECT_FALSE(seq_in_window(0xffffffef, 0xfffffff0, 32));
    EXPECT_FALSE(seq_in_window(1, 1, 0));
}

}  // namespace
}  // namespace pasta::wire
