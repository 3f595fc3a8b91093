#include "dataplane/wire/ipv6.hpp"

#include <algorithm>

namespace pasta::wire {

ParseResult<Ipv6Header> Ipv6Header::parse(Bytes first_bytes, size_t available) {
    if (first_bytes.size() < size || available < size) return ParseError::truncated;
    const uint8_t* p = first_bytes.data();
    if (p[0] >> 4 != 6) return ParseError::bad_version;

    Ipv6Header header;
    const uint32_t word = load_be32(p);
    header.traffic_class = static_cast<uint8_t>(word >> 20);
    header.flow_label = word & 0xfffff;
    header.payload_length = load_be16(p + 4);
    header.next_header = p[6];
    header.hop_limit = p[7];
    header.src = IpAddress::v6(first_bytes.subspan<8, 16>());
    header.dst = IpAddress::v6(first_bytes.subspan<24, 16>());
    if (available - size < header.payload_length) return ParseError::truncated;
    // On the wire a mapped address names no node (RFC 4038, 4.2), but it would pass for IPv4 here.
    if (header.src.is_v4() || header.dst.is_v4()) return ParseError::bad_address;
    return header;
}

void Ipv6Header::emit(MutableBytes out) const {
    assert(out.size() >= size);
    uint8_t* p = out.data();
    store_be32(p, uint32_t{6} << 28 | uint32_t{traffic_class} << 20 | (flow_label & 0xfffff));
    store_be16(p + 4, payload_length);
    p[6] = next_header;
    p[7] = hop_limit;
    std::memcpy(p + 8, src.octets.data(), 16);
    std::memcpy(p + 24, dst.octets.data(), 16);
}

ParseResult<UpperLayer> find_upper_layer(const Ipv6Header& header, Bytes first_bytes) {
    const size_t end = Ipv6Header::size + header.payload_length;
    Reader reader(first_bytes.first(std::min(first_bytes.size(), end)));
    reader.skip(Ipv6Header::size);

    uint8_t protocol = header.next_header;
    uint16_t announced_at = 6;  // where the type of the header at the reader's position stands
    std::optional<FragmentInfo> fragment;
    for (int count = 0; reader.ok(); ++count) {
        const bool options = protocol == protocol_hop_by_hop || protocol == protocol_routing ||
                             protocol == protocol_destination_options;
        if (!options && protocol != protocol_fragment)
            return UpperLayer{protocol, static_cast<uint16_t>(reader.position()), fragment};
        // Hop-by-hop options come first or not at all (RFC 8200, 4.1).
        if (count == max_extension_headers || (protocol == protocol_hop_by_hop && count != 0))
            break;

        const auto start = static_cast<uint16_t>(reader.position());
        const bool is_fragment_header = protocol == protocol_fragment;
        protocol = reader.u8();
        const uint8_t length = reader.u8();  // in 8 bytes, the first 8 not counted
        const uint16_t offset_and_more = reader.be16();
        const uint32_t id = reader.be32();
        const uint16_t offset = offset_and_more & 0xfff8;
        const bool more = (offset_and_more & 1) != 0;
        if (!is_fragment_header) {
            reader.skip(size_t{length} * 8);
        } else if (fragment) {
            break;
        } else if (offset != 0 || more) {
            const auto data = static_cast<uint16_t>(reader.position());
            fragment = FragmentInfo{id, offset, more, data, announced_at};
            if (reader.ok() && offset != 0) return UpperLayer{protocol, data, fragment};
        }
        announced_at = start;
    }
    return ParseError::extension_chain;
}

}  // namespace pasta::wire
