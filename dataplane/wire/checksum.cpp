#include "dataplane/wire/checksum.hpp"

#include <bit>

namespace pasta::wire {
namespace {

uint64_t load_native64(const uint8_t* p) {
    uint64_t word;
    std::memcpy(&word, p, sizeof word);
    return word;
}

/// A word's two halves added: 64-bit words can then be summed without losing carries.
uint64_t halves(uint64_t word) {
    return (word & 0xffffffff) + (word >> 32);
}

}  // namespace

// The sum does not depend on byte order but for a swap at the end (RFC 1071, 2(B)), nor on the
// size of the words as long as no carry gets lost.
uint32_t checksum_add(Bytes bytes, uint32_t sum) {
    const uint8_t* p = bytes.data();
    size_t left = bytes.size();
    uint64_t lanes[4] = {};
    for (; left >= 32; left -= 32, p += 32)
        for (size_t i = 0; i < 4; ++i)
            lanes[i] += halves(load_native64(p + 8 * i));
    // Lengths stay far below the 2^31 words that a lane could overflow with.
    uint64_t total = halves(lanes[0]) + halves(lanes[1]) + halves(lanes[2]) + halves(lanes[3]);
    for (; left >= 8; left -= 8, p += 8)
        total += halves(load_native64(p));
    if (left != 0) {
        uint8_t tail[8] = {};
        std::memcpy(tail, p, left);
        total += halves(load_native64(tail));
    }
    total = halves(halves(total));
    uint16_t folded = checksum_fold(static_cast<uint32_t>(total));
    if constexpr (std::endian::native == std::endian::little)
        folded = static_cast<uint16_t>(folded << 8 | folded >> 8);
    return checksum_combine(sum, folded);
}

uint32_t pseudo_header_sum(const IpAddress& src, const IpAddress& dst, uint8_t protocol,
                           uint32_t length) {
    uint32_t sum = (length >> 16) + (length & 0xffff) + protocol;
    if (src.is_v4()) return checksum_add(dst.v4_octets(), checksum_add(src.v4_octets(), sum));
    return checksum_add(dst.octets, checksum_add(src.octets, sum));
}

}  // namespace pasta::wire
