// Whole Ethernet frames for the responders: taking a request apart and closing a reply.
//
// A responder writes its message at the right offset of the caller's memory first; finish_…()
// then puts the headers in front of it and computes the checksums in software.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/wire/address.hpp"
#include "dataplane/wire/bytes.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/ip.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/ipv6.hpp"
#include "dataplane/wire/udp.hpp"

namespace pasta::core {

/// A frame that is one unfragmented UDP datagram. `payload` points into the frame. The checksum is
/// not verified: frames from a veth carry partial ones.
struct UdpFrame {
    wire::EthernetHeader ethernet;
    wire::IpPacket ip;
    wire::UdpHeader udp;
    wire::Bytes payload;

    static std::optional<UdpFrame> parse(wire::Bytes frame);
};

/// A frame that is one neighbour discovery message: unfragmented ICMPv6 with hop limit 255 and a
/// right checksum (RFC 4861, 6.1 and 7.1), which kernels compute in full for these. `message`
/// begins with the ICMPv6 header and points into the frame.
struct NdpFrame {
    wire::EthernetHeader ethernet;
    wire::IpPacket ip;
    wire::Bytes message;

    static std::optional<NdpFrame> parse(wire::Bytes frame);
};

struct FrameAddresses {
    wire::MacAddress dst_mac, src_mac;
    wire::IpAddress dst, src;  ///< of one family
};

/// Where the payload of a UDP datagram, or an ICMPv6 message, begins in a frame.
inline constexpr size_t udp4_payload_offset =
    wire::EthernetHeader::size + wire::Ipv4Header::size + wire::UdpHeader::size;
inline constexpr size_t udp6_payload_offset =
    wire::EthernetHeader::size + wire::Ipv6Header::size + wire::UdpHeader::size;
inline constexpr size_t icmpv6_message_offset = wire::EthernetHeader::size + wire::Ipv6Header::size;

/// The part of `out` from `offset` on that the link's MTU lets a message use; may be empty.
wire::MutableBytes message_room(wire::MutableBytes out, size_t offset, uint32_t mtu);

/// Completes the frame around `payload_size` bytes of payload. Returns the frame's length.
size_t finish_udp_frame(wire::MutableBytes out, const FrameAddresses& addresses, uint16_t src_port,
                        uint16_t dst_port, size_t payload_size);
/// Completes the frame around an ICMPv6 message, whose checksum field is zero, with hop limit 255.
/// Returns the frame's length.
size_t finish_ndp_frame(wire::MutableBytes out, const FrameAddresses& addresses,
                        size_t message_size);

}  // namespace pasta::core
