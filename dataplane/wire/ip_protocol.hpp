// IP protocol numbers (IANA registry of protocol numbers).
#pragma once

#include <cstdint>

namespace pasta::wire {

inline constexpr uint8_t protocol_hop_by_hop = 0;
inline constexpr uint8_t protocol_icmp = 1;
inline constexpr uint8_t protocol_tcp = 6;
inline constexpr uint8_t protocol_udp = 17;
inline constexpr uint8_t protocol_routing = 43;
inline constexpr uint8_t protocol_fragment = 44;
inline constexpr uint8_t protocol_icmpv6 = 58;
inline constexpr uint8_t protocol_no_next_header = 59;
inline constexpr uint8_t protocol_destination_options = 60;

}  // namespace pasta::wire
