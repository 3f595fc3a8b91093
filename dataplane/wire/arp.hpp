// Address resolution for IPv4 over Ethernet (RFC 826; probes and announcements: RFC 5227).
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/wire/address.hpp"
#include "dataplane/wire/bytes.hpp"

namespace pasta::wire {

inline constexpr uint16_t arp_request = 1;
inline constexpr uint16_t arp_reply = 2;

struct ArpPacket {
    static constexpr size_t size = 28;

    uint16_t operation = 0;
    MacAddress sender_mac;
    IpAddress sender_ip;  ///< 0.0.0.0 in a probe
    MacAddress target_mac;
    IpAddress target_ip;

    /// `bytes` is what follows the Ethernet header. Nothing when it is shorter than `size` or not
    /// about IPv4 over Ethernet; padding is ignored.
    static std::optional<ArpPacket> parse(Bytes bytes);
    /// Writes `size` bytes to the front of `out`, which has room for them.
    void emit(MutableBytes out) const;
};

}  // namespace pasta::wire
