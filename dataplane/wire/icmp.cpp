#include "dataplane/wire/icmp.hpp"

namespace pasta::wire {

std::optional<IcmpEcho> IcmpEcho::parse(Bytes bytes) {
    if (bytes.size() < size) return std::nullopt;
    const uint8_t* p = bytes.data();
    return IcmpEcho{p[0], p[1], load_be16(p + icmp_checksum_offset), load_be16(p + 4),
                    load_be16(p + 6)};
}

void IcmpEcho::emit(MutableBytes out) const {
    assert(out.size() >= size);
    out[0] = type;
    out[1] = code;
    store_be16(&out[icmp_checksum_offset], checksum);
    store_be16(&out[4], id);
    store_be16(&out[6], sequence);
}

std::optional<IcmpError> IcmpError::parse(Bytes bytes) {
    if (bytes.size() < size) return std::nullopt;
    const uint8_t* p = bytes.data();
    return IcmpError{p[0], p[1], load_be16(p + icmp_checksum_offset), load_be32(p + 4)};
}

void IcmpError::emit(MutableBytes out) const {
    assert(out.size() >= size);
    out[0] = type;
    out[1] = code;
    store_be16(&out[icmp_checksum_offset], checksum);
    store_be32(&out[4], info);
}

}  // namespace pasta::wire
