// Ethernet and IP headers of frames towards a namespace.
#pragma once

#include "dataplane/core/context.hpp"
#include "dataplane/wire/address.hpp"
#include "dataplane/wire/bytes.hpp"

namespace pasta::core {

/// Both headers' addresses: from us, in the peer's name, to the namespace.
struct Envelope {
    wire::MacAddress src_mac, dst_mac;
    wire::IpAddress src, dst;
    uint8_t protocol = 0;
    uint8_t hop_limit = 64;
    uint8_t traffic_class = 0;
};

/// Bytes of the Ethernet and IP headers for the envelope's family: 34 or 54.
constexpr size_t envelope_size(const wire::IpAddress& address) {
    return address.is_v4() ? 14 + 20 : 14 + 40;
}
/// Writes envelope_size() bytes to the front of `out`; `payload_length` is the upper layer's.
/// IPv4 has DF set and identification 0 (RFC 6864, 4.1: atomic datagrams).
void emit_envelope(const Envelope& envelope, uint32_t payload_length, wire::MutableBytes out);

/// Queues a frame of one chunk whose content is complete: takes over the reference.
/// Counted drop when the transmit queue is full.
void queue_frame(Context& context, Port& port, ChunkId chunk, uint16_t offset, uint16_t len,
                 uint16_t csum_start = 0, uint16_t csum_offset = 0);

/// A new chunk for a frame of our own, or no_chunk (counted).
ChunkId alloc_frame(Context& context);

}  // namespace pasta::core
