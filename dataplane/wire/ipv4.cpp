#include "dataplane/wire/ipv4.hpp"

#include "dataplane/wire/checksum.hpp"

namespace pasta::wire {
namespace {

constexpr uint16_t flag_dont_fragment = 0x4000;
constexpr uint16_t flag_more_fragments = 0x2000;
constexpr uint16_t fragment_offset_mask = 0x1fff;  // in units of 8 bytes

}  // namespace

ParseResult<Ipv4Header> Ipv4Header::parse(Bytes first_bytes, size_t available) {
    if (first_bytes.size() < size || available < size) return ParseError::truncated;
    const uint8_t* p = first_bytes.data();
    if (p[0] >> 4 != 4) return ParseError::bad_version;

    Ipv4Header header;
    header.header_length = static_cast<uint8_t>((p[0] & 0x0f) * 4);
    header.total_length = load_be16(p + 2);
    if (header.header_length < size || header.total_length < header.header_length)
        return ParseError::bad_length;
    if (first_bytes.size() < header.header_length || available < header.total_length)
        return ParseError::truncated;
    if (checksum_finish(checksum_add(first_bytes.first(header.header_length))) != 0)
        return ParseError::bad_checksum;

    header.tos = p[1];
    header.id = load_be16(p + 4);
    const uint16_t fragment = load_be16(p + 6);
    header.dont_fragment = (fragment & flag_dont_fragment) != 0;
    header.more_fragments = (fragment & flag_more_fragments) != 0;
    header.fragment_offset = static_cast<uint16_t>((fragment & fragment_offset_mask) * 8);
    header.ttl = p[8];
    header.protocol = p[9];
    header.src = IpAddress::v4(first_bytes.subspan<12, 4>());
    header.dst = IpAddress::v4(first_bytes.subspan<16, 4>());
    return header;
}

void Ipv4Header::emit(MutableBytes out) const {
    assert(out.size() >= size && fragment_offset % 8 == 0);
    uint8_t* p = out.data();
    p[0] = 4 << 4 | size / 4;
    p[1] = tos;
    store_be16(p + 2, total_length);
    store_be16(p + 4, id);
    store_be16(p + 6, static_cast<uint16_t>((dont_fragment ? flag_dont_fragment : 0) |
                                            (more_fragments ? flag_more_fragments : 0) |
                                            fragment_offset / 8));
    p[8] = ttl;
    p[9] = protocol;
    store_be16(p + 10, 0);
    std::memcpy(p + 12, src.v4_octets().data(), 4);
    std::memcpy(p + 16, dst.v4_octets().data(), 4);
    store_be16(p + 10, checksum_finish(checksum_add(out.first(size))));
}

}  // namespace pasta::wire
