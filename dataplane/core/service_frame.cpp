#include "dataplane/core/service_frame.hpp"

#include <algorithm>

#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/icmp.hpp"

namespace pasta::core {
namespace {

using wire::EthernetHeader;
using wire::IpAddress;
using wire::Ipv4Header;
using wire::Ipv6Header;

constexpr uint8_t ndp_hop_limit = 255;

struct IpFrame {
    EthernetHeader ethernet;
    wire::IpPacket ip;
    wire::Bytes upper_layer;
};

std::optional<IpFrame> parse_ip_frame(wire::Bytes frame) {
    const auto ethernet = EthernetHeader::parse(frame);
    if (!ethernet) return std::nullopt;
    const wire::Bytes packet = frame.subspan(EthernetHeader::size);
    const auto ip = wire::parse_ip(ethernet->ethertype, packet, packet.size());
    if (!ip || ip->fragment) return std::nullopt;
    return IpFrame{*ethernet, *ip, packet.subspan(ip->header_length, ip->payload_length)};
}

size_t ip_header_size(const IpAddress& address) {
    return address.is_v4() ? Ipv4Header::size : Ipv6Header::size;
}

/// Writes the Ethernet and IP headers before `payload_length` bytes.
void emit_link_and_ip(wire::MutableBytes out, const FrameAddresses& addresses, uint8_t protocol,
                      uint8_t hop_limit, size_t payload_length) {
    const bool v4 = addresses.dst.is_v4();
    EthernetHeader{addresses.dst_mac, addresses.src_mac,
                   v4 ? wire::ethertype_ipv4 : wire::ethertype_ipv6}
        .emit(out);
    const wire::MutableBytes packet = out.subspan(EthernetHeader::size);
    if (v4) {
        Ipv4Header header;
        header.src = addresses.src;
        header.dst = addresses.dst;
        header.protocol = protocol;
        header.ttl = hop_limit;
        header.total_length = static_cast<uint16_t>(Ipv4Header::size + payload_length);
        header.emit(packet);
    } else {
        Ipv6Header header;
        header.src = addresses.src;
        header.dst = addresses.dst;
        header.next_header = protocol;
        header.hop_limit = hop_limit;
        header.payload_length = static_cast<uint16_t>(payload_length);
        header.emit(packet);
    }
}

uint16_t transport_checksum(const FrameAddresses& addresses, uint8_t protocol,
                            wire::Bytes segment) {
    const uint32_t pseudo = wire::pseudo_header_sum(addresses.src, addresses.dst, protocol,
                                                    static_cast<uint32_t>(segment.size()));
    return wire::checksum_finish(wire::checksum_add(segment, pseudo));
}

}  // namespace

std::optional<UdpFrame> UdpFrame::parse(wire::Bytes frame) {
    const auto outer = parse_ip_frame(frame);
    if (!outer || outer->ip.protocol != wire::protocol_udp) return std::nullopt;
    const auto udp = wire::UdpHeader::parse(outer->upper_layer, outer->upper_layer.size());
    if (!udp) return std::nullopt;
    return UdpFrame{outer->ethernet, outer->ip, *udp,
                    outer->upper_layer.first(udp->length).subspan(wire::UdpHeader::size)};
}

std::optional<NdpFrame> NdpFrame::parse(wire::Bytes frame) {
    const auto outer = parse_ip_frame(frame);
    if (!outer || outer->ip.src.is_v4() || outer->ip.protocol != wire::protocol_icmpv6 ||
        outer->ip.hop_limit != ndp_hop_limit)
        return std::nullopt;
    const FrameAddresses addresses{{}, {}, outer->ip.dst, outer->ip.src};
    if (transport_checksum(addresses, wire::protocol_icmpv6, outer->upper_layer) != 0)
        return std::nullopt;
    return NdpFrame{outer->ethernet, outer->ip, outer->upper_layer};
}

wire::MutableBytes message_room(wire::MutableBytes out, size_t offset, uint32_t mtu) {
    const size_t end = std::min<size_t>(out.size(), EthernetHeader::size + mtu);
    return end < offset ? wire::MutableBytes{} : out.first(end).subspan(offset);
}

size_t finish_udp_frame(wire::MutableBytes out, const FrameAddresses& addresses, uint16_t src_port,
                        uint16_t dst_port, size_t payload_size) {
    const size_t length = wire::UdpHeader::size + payload_size;
    const size_t offset = EthernetHeader::size + ip_header_size(addresses.dst);
    emit_link_and_ip(out, addresses, wire::protocol_udp, 64, length);
    const wire::MutableBytes datagram = out.subspan(offset, length);
    wire::UdpHeader header{src_port, dst_port, static_cast<uint16_t>(length), 0};
    header.emit(datagram);
    header.checksum =
        wire::udp_checksum_field(transport_checksum(addresses, wire::protocol_udp, datagram));
    header.emit(datagram);
    return offset + length;
}

size_t finish_ndp_frame(wire::MutableBytes out, const FrameAddresses& addresses,
                        size_t message_size) {
    emit_link_and_ip(out, addresses, wire::protocol_icmpv6, ndp_hop_limit, message_size);
    const wire::MutableBytes message = out.subspan(icmpv6_message_offset, message_size);
    wire::store_be16(&message[wire::icmp_checksum_offset],
                     transport_checksum(addresses, wire::protocol_icmpv6, message));
    return icmpv6_message_offset + message_size;
}

}  // namespace pasta::core
