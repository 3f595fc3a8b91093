// Link-layer and internet addresses as plain values, in network byte order.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <span>

namespace pasta::wire {

/// IEEE 802 MAC address, as on the wire.
struct MacAddress {
    std::array<uint8_t, 6> octets{};

    auto operator<=>(const MacAddress&) const = default;

    /// True for group addresses, broadcast included.
    constexpr bool is_multicast() const { return (octets[0] & 1) != 0; }
    static constexpr MacAddress broadcast() { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }
};

/// An IPv4 or IPv6 address in one type: IPv4 is kept in the IPv4-mapped form (RFC 4291, 2.5.5.2),
/// so that flow keys and hashes need no case distinction. Octets are in network byte order.
struct IpAddress {
    std::array<uint8_t, 16> octets{};

    auto operator<=>(const IpAddress&) const = default;

    /// From four octets in network order.
    static constexpr IpAddress v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
        return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}};
    }
    /// From a number in host byte order.
    static constexpr IpAddress v4(uint32_t host_order) {
        return v4(static_cast<uint8_t>(host_order >> 24), static_cast<uint8_t>(host_order >> 16),
                  static_cast<uint8_t>(host_order >> 8), static_cast<uint8_t>(host_order));
    }
    static IpAddress v4(std::span<const uint8_t, 4> o) { return v4(o[0], o[1], o[2], o[3]); }
    static IpAddress v6(std::span<const uint8_t, 16> o) {
        IpAddress address;
        std::memcpy(address.octets.data(), o.data(), 16);
        return address;
    }

    constexpr bool is_v4() const {
        for (int i = 0; i < 10; ++i)
            if (octets[i] != 0) return false;
        return octets[10] == 0xff && octets[11] == 0xff;
    }
    constexpr bool is_v6() const { return !is_v4(); }

    /// The four octets of an IPv4 address; only for is_v4().
    std::span<const uint8_t, 4> v4_octets() const {
        return std::span<const uint8_t, 4>{octets.data() + 12, 4};
    }
    /// IPv4 address as a number in host byte order; only for is_v4().
    constexpr uint32_t v4_number() const {
        return uint32_t{octets[12]} << 24 | uint32_t{octets[13]} << 16 | uint32_t{octets[14]} << 8 |
               octets[15];
    }

    constexpr bool is_unspecified() const {
        const int first = is_v4() ? 12 : 0;
        for (int i = first; i < 16; ++i)
            if (octets[i] != 0) return false;
        return true;
    }
    /// 127.0.0.0/8 or ::1.
    constexpr bool is_loopback() const {
        if (is_v4()) return octets[12] == 127;
        for (int i = 0; i < 15; ++i)
            if (octets[i] != 0) return false;
        return octets[15] == 1;
    }
    /// 224.0.0.0/4 or ff00::/8.
    constexpr bool is_multicast() const {
        return is_v4() ? (octets[12] & 0xf0) == 0xe0 : octets[0] == 0xff;
    }
    /// 255.255.255.255.
    constexpr bool is_limited_broadcast() const { return is_v4() && v4_number() == 0xffffffff; }
    /// 169.254.0.0/16 or fe80::/10.
    constexpr bool is_link_local() const {
        return is_v4() ? octets[12] == 169 && octets[13] == 254
                       : octets[0] == 0xfe && (octets[1] & 0xc0) == 0x80;
    }
    /// An address that one host can be reached at: not unspecified, multicast or broadcast.
    constexpr bool is_unicast() const {
        return !is_unspecified() && !is_multicast() && !is_limited_broadcast();
    }
    /// True when both share the first `bits` bits; bits count from the family's own start.
    constexpr bool same_prefix(const IpAddress& other, unsigned bits) const {
        if (is_v4() != other.is_v4()) return false;
        unsigned i = is_v4() ? 12 : 0;
        for (; bits >= 8 && i < 16; bits -= 8, ++i)
            if (octets[i] != other.octets[i]) return false;
        return bits == 0 || i >= 16 || ((octets[i] ^ other.octets[i]) >> (8 - bits)) == 0;
    }
};

/// Solicited-node multicast address of `target` (RFC 4291, 2.7.1).
constexpr IpAddress solicited_node(const IpAddress& target) {
    IpAddress address{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff}};
    for (int i = 13; i < 16; ++i)
        address.octets[i] = target.octets[i];
    return address;
}

/// Ethernet address of an IPv6 multicast group (RFC 2464, 7).
constexpr MacAddress multicast_mac(const IpAddress& group) {
    return {{0x33, 0x33, group.octets[12], group.octets[13], group.octets[14], group.octets[15]}};
}

}  // namespace pasta::wire
