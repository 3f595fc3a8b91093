#include "dataplane/core/ip_sender.hpp"

#include <array>

#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/ipv6.hpp"
#include "dataplane/wire/udp.hpp"

namespace pasta::core {
namespace {

constexpr size_t fragment_header_size = 8;  // IPv6, RFC 8200, 4.5

/// The slices of one frame under construction, each with a reference of its own.
class FrameSlices {
  public:
    bool add(const Slice& slice) {
        if (count_ == slices_.size()) return false;
        slices_[count_++] = slice;
        return true;
    }
    /// Queues the frame, or drops it, counted.
    void send(Context& context, Port& port, uint16_t csum_start, uint16_t csum_offset) {
        if (port.tx.push({slices_.data(), count_}, csum_start, csum_offset)) return;
        ++context.counters.drop_tx_full;
        drop(context);
    }
    void drop(Context& context) {
        for (size_t i = 0; i < count_; ++i)
            context.chunks.unref(slices_[i].chunk);
        count_ = 0;
    }

  private:
    std::array<Slice, max_tx_slices> slices_;
    size_t count_ = 0;
};

void complete_checksum(ChunkArena& arena, const Envelope& envelope, const Chain& upper,
                       uint16_t csum_offset) {
    wire::ChecksumAccumulator sum;
    for (ChunkId id = upper.head; id != no_chunk; id = arena.meta(id).next)
        sum.add(arena.bytes(id));
    uint16_t field = sum.finish();
    if (envelope.protocol == wire::protocol_udp) field = wire::udp_checksum_field(field);
    wire::store_be16(&arena.bytes(upper.head)[csum_offset], field);
}

/// Writes the headers of one fragment; returns their size.
size_t emit_fragment_headers(const Envelope& e, uint32_t identification, uint32_t offset,
                             uint32_t length, bool more, wire::MutableBytes out) {
    emit_envelope(e, length + (e.dst.is_v6() ? fragment_header_size : 0), out);
    wire::MutableBytes ip_bytes = out.subspan(wire::EthernetHeader::size);
    if (e.dst.is_v4()) {
        wire::Ipv4Header ip;
        ip.src = e.src;
        ip.dst = e.dst;
        ip.protocol = e.protocol;
        ip.ttl = e.hop_limit;
        ip.tos = e.traffic_class;
        ip.id = static_cast<uint16_t>(identification);
        ip.more_fragments = more;
        ip.fragment_offset = static_cast<uint16_t>(offset);
        ip.total_length = static_cast<uint16_t>(wire::Ipv4Header::size + length);
        ip.emit(ip_bytes);
        return envelope_size(e.dst);
    }
    constexpr size_t next_header_offset = 6;
    ip_bytes[next_header_offset] = wire::protocol_fragment;
    wire::Writer header(ip_bytes.subspan(wire::Ipv6Header::size, fragment_header_size));
    header.u8(e.protocol);
    header.u8(0);
    header.be16(static_cast<uint16_t>(offset | (more ? 1 : 0)));
    header.be32(identification);
    return envelope_size(e.dst) + fragment_header_size;
}

/// Walks a chain and cuts it into slices.
class ChainCursor {
  public:
    ChainCursor(ChunkArena& arena, const Chain& chain) : arena_(arena), chunk_(chain.head) {}

    /// The next bytes that are contiguous, at most `limit`; only while there are any.
    Slice take(uint32_t limit) {
        while (position_ == arena_.meta(chunk_).len) {
            chunk_ = arena_.meta(chunk_).next;
            position_ = 0;
        }
        const ChunkMeta& meta = arena_.meta(chunk_);
        const uint32_t n = std::min<uint32_t>(limit, meta.len - position_);
        const Slice slice{chunk_, static_cast<uint16_t>(meta.offset + position_),
                          static_cast<uint16_t>(n)};
        position_ += n;
        return slice;
    }

  private:
    ChunkArena& arena_;
    ChunkId chunk_;
    uint32_t position_ = 0;
};

/// Each fragment is a chunk with headers, followed by slices of the chunks of `upper`.
void send_fragments(Context& context, Port& port, const Envelope& envelope, Chain& upper,
                    uint32_t identification) {
    const size_t headers = envelope.dst.is_v4() ? wire::Ipv4Header::size
                                                : wire::Ipv6Header::size + fragment_header_size;
    const auto step = static_cast<uint32_t>((port.config.mtu - headers) & ~size_t{7});
    ChainCursor cursor(context.arena(), upper);
    for (uint32_t offset = 0; offset < upper.bytes; offset += step) {
        const uint32_t length = std::min(step, upper.bytes - offset);
        const ChunkId first = alloc_frame(context);
        if (first == no_chunk) return;
        const wire::MutableBytes room{context.arena().data(first) + header_room,
                                      chunk_size - header_room};
        const size_t size = emit_fragment_headers(envelope, identification, offset, length,
                                                  offset + length < upper.bytes, room);
        FrameSlices frame;
        frame.add({first, header_room, static_cast<uint16_t>(size)});
        for (uint32_t left = length; left > 0;) {
            const Slice slice = cursor.take(left);
            left -= slice.len;
            context.chunks.ref(slice.chunk);
            if (frame.add(slice)) continue;
            // Cannot be from chains that a receiver filled: they have fewer chunks than that.
            context.chunks.unref(slice.chunk);
            frame.drop(context);
            ++context.counters.drop_tx_full;
            return;
        }
        frame.send(context, port, 0, 0);
    }
}

}  // namespace

void send_ip_packet(Context& context, Port& port, const Envelope& envelope, Chain upper,
                    uint16_t csum_offset, Checksum checksum, uint32_t identification) {
    ChunkArena& arena = context.arena();
    const size_t headers = envelope_size(envelope.dst);
    const bool whole = headers - wire::EthernetHeader::size + upper.bytes <= port.config.mtu &&
                       upper.count <= max_tx_slices;
    const bool offload = whole && checksum == Checksum::offload;
    if (!offload) complete_checksum(arena, envelope, upper, csum_offset);
    if (!whole) {
        ++context.counters.ip_fragmented;
        send_fragments(context, port, envelope, upper, identification);
        context.chunks.unref(upper);
        return;
    }
    ChunkMeta& first = arena.meta(upper.head);
    assert(first.offset >= headers + tx_metadata_size);
    const uint32_t payload_length = upper.bytes;
    first.offset = static_cast<uint16_t>(first.offset - headers);
    first.len = static_cast<uint16_t>(first.len + headers);
    emit_envelope(envelope, payload_length, arena.bytes(upper.head));
    FrameSlices frame;
    for (ChunkId id = upper.head; id != no_chunk; id = arena.meta(id).next)
        frame.add(arena.slice(id));
    frame.send(context, port, offload ? static_cast<uint16_t>(headers) : uint16_t{0}, csum_offset);
}

}  // namespace pasta::core
