// SipHash-2-4 (Aumasson, Bernstein, 2012): a keyed hash that a namespace cannot steer.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pasta::core {

/// A 128-bit secret.
struct SipKey {
    uint64_t k0 = 0, k1 = 0;
    bool operator==(const SipKey&) const = default;
};

namespace detail {
struct SipState {
    uint64_t v0, v1, v2, v3;

    void round() {
        v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
        v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
        v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
        v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
    }
    void absorb(uint64_t m) {
        v3 ^= m;
        round();
        round();
        v0 ^= m;
    }
};
}  // namespace detail

/// Hash of `size` bytes; input words are little endian as the reference has them.
inline uint64_t siphash(const SipKey& key, const void* data, size_t size) {
    detail::SipState s{key.k0 ^ 0x736f6d6570736575, key.k1 ^ 0x646f72616e646f6d,
                       key.k0 ^ 0x6c7967656e657261, key.k1 ^ 0x7465646279746573};
    const auto* p = static_cast<const uint8_t*>(data);
    size_t left = size;
    for (; left >= 8; left -= 8, p += 8) {
        uint64_t word;
        std::memcpy(&word, p, 8);
        s.absorb(word);
    }
    uint64_t last = uint64_t{size & 0xff} << 56;
    for (size_t i = 0; i < left; ++i)
        last |= uint64_t{p[i]} << (8 * i);
    s.absorb(last);
    s.v2 ^= 0xff;
    for (int i = 0; i < 4; ++i)
        s.round();
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

}  // namespace pasta::core
