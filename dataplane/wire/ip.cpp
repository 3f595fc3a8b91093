#include "dataplane/wire/ip.hpp"

#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/ipv6.hpp"

namespace pasta::wire {
namespace {

ParseResult<IpPacket> parse_ipv4(Bytes first_bytes, size_t available) {
    const auto header = Ipv4Header::parse(first_bytes, available);
    if (!header) return header.error();
    return IpPacket{
        .src = header->src,
        .dst = header->dst,
        .protocol = header->protocol,
        .hop_limit = header->ttl,
        .traffic_class = header->tos,
        .header_length = header->header_length,
        .payload_length = uint32_t{header->total_length} - header->header_length,
        .fragment = header->is_fragment(),
    };
}

ParseResult<IpPacket> parse_ipv6(Bytes first_bytes, size_t available) {
    const auto header = Ipv6Header::parse(first_bytes, available);
    if (!header) return header.error();
    const auto upper = find_upper_layer(*header, first_bytes);
    if (!upper) return upper.error();
    return IpPacket{
        .src = header->src,
        .dst = header->dst,
        .protocol = upper->protocol,
        .hop_limit = header->hop_limit,
        .traffic_class = header->traffic_class,
        .header_length = upper->offset,
        .payload_length =
            static_cast<uint32_t>(Ipv6Header::size + header->payload_length - upper->offset),
        .fragment = upper->fragment,
    };
}

}  // namespace

ParseResult<IpPacket> parse_ip(uint16_t ethertype, Bytes first_bytes, size_t available) {
    switch (ethertype) {
        case ethertype_ipv4:
            return parse_ipv4(first_bytes, available);
        case ethertype_ipv6:
            return parse_ipv6(first_bytes, available);
        default:
            return ParseError::unknown_ethertype;
    }
}

}  // namespace pasta::wire
