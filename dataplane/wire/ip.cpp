#include "dataplane/wire/ip.hpp"

#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/ipv6.hpp"

namespace pasta::wire {
namespace {

constexpr size_t fragment_header_size = 8;   // IPv6
constexpr size_t max_packet_length = 65535;  // in IPv6 not counting the fixed header

std::optional<FragmentInfo> fragment_info(const Ipv4Header& header) {
    if (!header.is_fragment()) return std::nullopt;
    return FragmentInfo{
        .id = header.id,
        .offset = header.fragment_offset,
        .more = header.more_fragments,
        .header_length = header.header_length,
    };
}

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
        .fragment = fragment_info(*header),
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

std::optional<size_t> make_whole(MutableBytes headers, const FragmentInfo& fragment,
                                 uint32_t data_length) {
    assert(headers.size() == fragment.header_length);
    if (headers[0] >> 4 == 4) {
        const size_t total_length = headers.size() + data_length;
        if (total_length > max_packet_length) return std::nullopt;
        store_be16(&headers[2], static_cast<uint16_t>(total_length));
        store_be16(&headers[6], 0);  // flags and fragment offset
        store_be16(&headers[10], 0);
        store_be16(&headers[10], checksum_finish(checksum_add(headers)));
        return 0;
    }
    const size_t kept = headers.size() - fragment_header_size;
    const size_t payload_length = kept - Ipv6Header::size + data_length;
    if (payload_length > max_packet_length) return std::nullopt;
    store_be16(&headers[4], static_cast<uint16_t>(payload_length));
    headers[fragment.announced_at] = headers[kept];  // the first of the fragment header's fields
    std::memmove(&headers[fragment_header_size], &headers[0], kept);
    return fragment_header_size;
}

}  // namespace pasta::wire
