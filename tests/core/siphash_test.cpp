#include "dataplane/core/siphash.hpp"

#include <gtest/gtest.h>

#include <array>
#include <numeric>

namespace pasta::core {
namespace {

// Key 00 01 .. 0f, input 00 01 .. (n-1): the vectors of the reference implementation.
class SipHash : public ::testing::Test {
  protected:
    SipHash() { std::iota(input.begin(), input.end(), uint8_t{0}); }
    uint64_t of(size_t n) const { return siphash(key, input.data(), n); }

    SipKey key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
    std::array<uint8_t, 64> input{};
};

TEST_F(SipHash, reference_vectors_match) {
    EXPECT_EQ(of(0), 0x726fdb47dd0e0e31u);
    EXPECT_EQ(of(1), 0x74f839c593dc67fdu);
    EXPECT_EQ(of(7), 0xab0200f58b01d137u);
    EXPECT_EQ(of(8), 0x93f5f5799a932462u);
    EXPECT_EQ(of(15), 0xa129ca6149be45e5u);
    EXPECT_EQ(of(63), 0x958a324ceb064572u);
}

TEST_F(SipHash, every_key_bit_changes_the_hash) {
    const uint64_t plain = of(40);
    for (int bit = 0; bit < 64; ++bit) {
        SipKey other = key;
        other.k0 ^= uint64_t{1} << bit;
        EXPECT_NE(siphash(other, input.data(), 40), plain);
        other = key;
        other.k1 ^= uint64_t{1} << bit;
        EXPECT_NE(siphash(other, input.data(), 40), plain);
    }
}

TEST_F(SipHash, every_input_byte_and_the_length_count) {
    const uint64_t plain = of(40);
    for (size_t i = 0; i < 40; ++i) {
        input[i] ^= 0x80;
        EXPECT_NE(of(40), plain) << i;
        input[i] ^= 0x80;
    }
    input[40] = 0;
    EXPECT_NE(of(41), plain);
}

}  // namespace
}  // namespace pasta::core
