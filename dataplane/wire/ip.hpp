// Either version of IP, as far as the engine has to know.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/wire/address.hpp"
#include "dataplane/wire/bytes.hpp"
#include "dataplane/wire/fragment_info.hpp"
#include "dataplane/wire/ip_protocol.hpp"
#include "dataplane/wire/parse_result.hpp"

namespace pasta::wire {

struct IpPacket {
    IpAddress src, dst;
    uint8_t protocol = 0;  ///< of the upper layer, after any extension headers
    uint8_t hop_limit = 0;
    uint8_t traffic_class = 0;    ///< DSCP and ECN
    uint16_t header_length = 0;   ///< offset of the upper layer from the start of the IP packet
    uint32_t payload_length = 0;  ///< bytes of the upper layer, without Ethernet padding
    std::optional<FragmentInfo> fragment{};  ///< absent in a whole packet
};

/// Parses the headers of an IP packet. `first_bytes` are the contiguous bytes from its start, and
/// must hold all IP headers; `available` is how many bytes the frame has from there, over all of
/// its chunks.
ParseResult<IpPacket> parse_ip(uint16_t ethertype, Bytes first_bytes, size_t available);

/// Turns the headers before the data of a first fragment into those of its whole packet, in place.
/// `headers` are the fragment.header_length bytes from the start of the IP header, as parse_ip()
/// accepted them; `data_length` is how many bytes all fragments carry. The headers still end at
/// the end of `headers`, but may begin later: returns by how many bytes. Nothing when the packet
/// would be longer than an IP packet can be.
std::optional<size_t> make_whole(MutableBytes headers, const FragmentInfo& fragment,
                                 uint32_t data_length);

}  // namespace pasta::wire
