// Ethernet II framing (IEEE 802.3; numbers from the IANA registry of IEEE 802 numbers).
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/wire/address.hpp"
#include "dataplane/wire/bytes.hpp"

namespace pasta::wire {

inline constexpr uint16_t ethertype_ipv4 = 0x0800;
inline constexpr uint16_t ethertype_arp = 0x0806;
inline constexpr uint16_t ethertype_ipv6 = 0x86dd;

/// Frame header without the check sequence, which no virtual link carries.
struct EthernetHeader {
    static constexpr size_t size = 14;

    MacAddress dst, src;
    uint16_t ethertype = 0;

    /// Nothing when there are fewer than `size` bytes.
    static std::optional<EthernetHeader> parse(Bytes bytes) {
        if (bytes.size() < size) return std::nullopt;
        EthernetHeader header;
        std::memcpy(header.dst.octets.data(), bytes.data(), 6);
        std::memcpy(header.src.octets.data(), bytes.data() + 6, 6);
        header.ethertype = load_be16(bytes.data() + 12);
        return header;
    }
    /// Writes `size` bytes to the front of `out`, which has room for them.
    void emit(MutableBytes out) const {
        assert(out.size() >= size);
        std::memcpy(out.data(), dst.octets.data(), 6);
        std::memcpy(out.data() + 6, src.octets.data(), 6);
        store_be16(out.data() + 12, ethertype);
    }
};

}  // namespace pasta::wire
