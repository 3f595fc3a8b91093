#include "dataplane/core/frame_builder.hpp"

#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/ipv6.hpp"

namespace pasta::core {

void emit_envelope(const Envelope& e, uint32_t payload_length, wire::MutableBytes out) {
    const bool v4 = e.dst.is_v4();
    wire::EthernetHeader{e.dst_mac, e.src_mac, v4 ? wire::ethertype_ipv4 : wire::ethertype_ipv6}
        .emit(out);
    if (v4) {
        wire::Ipv4Header ip;
        ip.src = e.src;
        ip.dst = e.dst;
        ip.protocol = e.protocol;
        ip.ttl = e.hop_limit;
        ip.tos = e.traffic_class;
        ip.dont_fragment = true;
        ip.total_length = static_cast<uint16_t>(wire::Ipv4Header::size + payload_length);
        ip.emit(out.subspan(wire::EthernetHeader::size));
    } else {
        wire::Ipv6Header ip;
        ip.src = e.src;
        ip.dst = e.dst;
        ip.next_header = e.protocol;
        ip.hop_limit = e.hop_limit;
        ip.traffic_class = e.traffic_class;
        ip.payload_length = static_cast<uint16_t>(payload_length);
        ip.emit(out.subspan(wire::EthernetHeader::size));
    }
}

void queue_frame(Context& context, Port& port, ChunkId chunk, uint16_t offset, uint16_t len,
                 uint16_t csum_start, uint16_t csum_offset) {
    const Slice slice{chunk, offset, len};
    if (port.tx.push({&slice, 1}, csum_start, csum_offset)) return;
    ++context.counters.drop_tx_full;
    context.chunks.unref(chunk);
}

ChunkId alloc_frame(Context& context) {
    const ChunkId id = context.chunks.alloc();
    if (id == no_chunk) ++context.counters.drop_no_chunk;
    return id;
}

}  // namespace pasta::core
