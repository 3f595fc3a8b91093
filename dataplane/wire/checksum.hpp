// The internet checksum (RFC 1071) in pieces: add bytes, fold, invert.
//
// A sum here is the one's complement sum of big-endian 16-bit words as a number in host byte
// order; a folded sum is stored with store_be16. Sums are congruent modulo 0xffff, their unfolded
// value is not canonical.
#pragma once

#include <cstdint>

#include "dataplane/wire/address.hpp"
#include "dataplane/wire/bytes.hpp"

namespace pasta::wire {

/// Adds `bytes` to an unfolded sum. An odd last byte counts as if a zero followed, so only the
/// final piece may have odd length; see ChecksumAccumulator for other pieces.
uint32_t checksum_add(Bytes bytes, uint32_t sum = 0);

/// Adds two unfolded sums.
constexpr uint32_t checksum_combine(uint32_t a, uint32_t b) {
    const uint32_t sum = a + b;
    return sum + (sum < a);  // end-around carry: 2^32 = 1 modulo 0xffff
}

/// The sum in 16 bits, not inverted.
constexpr uint16_t checksum_fold(uint32_t sum) {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(sum);
}

/// The value for a header's checksum field: folded and inverted.
constexpr uint16_t checksum_finish(uint32_t sum) {
    return static_cast<uint16_t>(~checksum_fold(sum));
}

/// Unfolded sum of the pseudo-header (RFC 9293, 3.1 for IPv4; RFC 8200, 8.1 for IPv6). Both
/// addresses are of one family; `length` is that of the upper-layer packet, header included.
uint32_t pseudo_header_sum(const IpAddress& src, const IpAddress& dst, uint8_t protocol,
                           uint32_t length);

/// The checksum field after one 16-bit word under it changed (RFC 1624, equation 3).
constexpr uint16_t checksum_update(uint16_t checksum, uint16_t old_word, uint16_t new_word) {
    const uint32_t sum =
        uint32_t{static_cast<uint16_t>(~checksum)} + static_cast<uint16_t>(~old_word) + new_word;
    return checksum_finish(sum);
}

/// Sums bytes that come in pieces of any length, as those of a frame that is a chain of chunks.
class ChecksumAccumulator {
  public:
    explicit ChecksumAccumulator(uint32_t sum = 0) : sum_(sum) {}

    void add(Bytes piece) {
        uint32_t sum = checksum_fold(checksum_add(piece));
        // A piece at an odd position has its bytes in the other halves of the words.
        if (odd_) sum = (sum & 0xff) << 8 | sum >> 8;
        odd_ ^= (piece.size() & 1) != 0;
        sum_ = checksum_combine(sum_, sum);
    }
    /// Unfolded.
    uint32_t sum() const { return sum_; }
    /// For the checksum field.
    uint16_t finish() const { return checksum_finish(sum_); }

  private:
    uint32_t sum_;
    bool odd_ = false;
};

}  // namespace pasta::wire
