#include "dataplane/wire/bytes.hpp"

#include <gtest/gtest.h>

#include <array>

#include "tests/support/hex.hpp"

namespace pasta::wire {
namespace {

using test::hex;

TEST(Reader, fields_in_order_are_read_big_endian) {
    const auto bytes = hex("01 0203 04050607 0809");
    Reader reader(bytes);
    EXPECT_EQ(reader.u8(), 0x01);
    EXPECT_EQ(reader.be16(), 0x0203);
    EXPECT_EQ(reader.be32(), 0x04050607u);
    EXPECT_EQ(reader.rest().size(), 2u);
    EXPECT_TRUE(reader.ok());
}

TEST(Reader, read_past_the_end_returns_zero_and_stays_failed) {
    const auto bytes = hex("01 02 03");
    Reader reader(bytes);
    EXPECT_EQ(reader.be32(), 0u);
    EXPECT_FALSE(reader.ok());
    EXPECT_EQ(reader.u8(), 0);
    EXPECT_EQ(reader.remaining(), 0u);
    EXPECT_TRUE(reader.bytes(1).empty());
}

TEST(Writer, write_that_does_not_fit_changes_nothing_and_blocks_later_ones) {
    std::array<uint8_t, 3> memory{0xaa, 0xaa, 0xaa};
    Writer writer(memory);
    writer.u8(1);
    writer.be32(0x02030405);
    writer.u8(6);
    EXPECT_FALSE(writer.ok());
    EXPECT_EQ(writer.position(), 1u);
    EXPECT_EQ(memory, (std::array<uint8_t, 3>{1, 0xaa, 0xaa}));
}

}  // namespace
}  // namespace pasta::wire
