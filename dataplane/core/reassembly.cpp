#include "dataplane/core/reassembly.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/wire/ethernet.hpp"

namespace pasta::core {

using wire::EthernetHeader;
using wire::FragmentInfo;

namespace {

/// Set in ChunkMeta::flags of the last chunk of a fragment.
constexpr uint8_t end_of_fragment = 1;
constexpr uint32_t max_data = 65535;
/// A namespace that has so many incomplete packets makes room for its new ones itself.
constexpr size_t share_of_port = Reassembly::max_packets / 8;

/// Fragments but the last consist of units of 8 bytes; empty ones serve no purpose but attacks.
bool is_usable(const FragmentInfo& fragment, uint32_t length) {
    return length != 0 && (!fragment.more || length % 8 == 0) &&
           fragment.offset + length <= max_data;
}

uint32_t end_of_chunk(ChunkArena& arena, ChunkId id) {
    return arena.meta(id).seq + arena.meta(id).len;
}

/// Where the fragment that `id` belongs to ends.
uint32_t end_of_fragment_at(ChunkArena& arena, ChunkId id) {
    while (arena.meta(id).flags != end_of_fragment)
        id = arena.meta(id).next;
    return end_of_chunk(arena, id);
}

/// Moves all of `piece` behind the chunk `before` of `chain`, or to its front for no_chunk.
void insert_after(ChunkArena& arena, Chain& chain, ChunkId before, Chain& piece) {
    if (before == chain.tail) return chain.append(arena, piece);
    ChunkId& link = before == no_chunk ? chain.head : arena.meta(before).next;
    arena.meta(piece.tail).next = link;
    link = piece.head;
    chain.count += piece.count;
    chain.bytes += piece.bytes;
    piece = Chain{};
}

/// Takes `n` bytes off the front of the first chunk's entry, which may become empty but stays; a
/// negative number gives them back.
void hide_front(ChunkArena& arena, Chain& chain, int n) {
    ChunkMeta& head = arena.meta(chain.head);
    head.offset = static_cast<uint16_t>(head.offset + n);
    head.len = static_cast<uint16_t>(head.len - n);
    chain.bytes -= static_cast<uint32_t>(n);
}

int header_size(const FragmentInfo& fragment) {
    return static_cast<int>(EthernetHeader::size) + fragment.header_length;
}

}  // namespace

Reassembly::Reassembly(Context& context, size_t max_chunks)
    : context_(context), max_chunks_(max_chunks) {
    partials_.reserve(max_packets);
}

Reassembly::~Reassembly() {
    for (Partial& partial : partials_)
        context_.chunks.unref(partial.data);
}

size_t Reassembly::chunks() const {
    size_t sum = 0;
    for (const Partial& partial : partials_)
        sum += partial.data.count;
    return sum;
}

std::optional<Chain> Reassembly::add(PortId port, const wire::IpPacket& ip, Chain frame) {
    const FragmentInfo& fragment = *ip.fragment;
    const uint32_t length = ip.header_length + ip.payload_length - fragment.header_length;
    const Key key{ip.src, ip.dst, fragment.id, port, ip.src.is_v4() ? ip.protocol : uint8_t{0}};
    if (!is_usable(fragment, length)) return drop(frame), std::nullopt;
    Chain data = data_of(fragment, length, frame);
    if (!make_room(key, data.count)) return drop(data), std::nullopt;

    Partial& partial = find_or_create(key);
    if (partial.given_up) return drop(data), std::nullopt;
    switch (place(partial, fragment, data)) {
        case Placement::duplicate:
            return drop(data), std::nullopt;
        case Placement::impossible:
            return drop(data), give_up(partial), std::nullopt;
        case Placement::placed:
            ++context_.counters.fragments_kept;
    }
    if (partial.data.bytes != partial.total) return std::nullopt;
    return finish(partial);
}

/// The `length` bytes of data that a fragment's frame carries, with the entries of their chunks set
/// as Partial::data has them. The headers of a first fragment stay in its first chunk.
Chain Reassembly::data_of(const FragmentInfo& fragment, uint32_t length, Chain frame) {
    ChunkArena& arena = context_.arena();
    const int headers = header_size(fragment);
    truncate(context_.chunks, frame, static_cast<uint32_t>(headers) + length);
    if (fragment.offset == 0)
        hide_front(arena, frame, headers);
    else
        trim_front(context_.chunks, frame, static_cast<uint32_t>(headers));
    uint32_t offset = fragment.offset;
    for (ChunkId id = frame.head; id != no_chunk; id = arena.meta(id).next) {
        ChunkMeta& meta = arena.meta(id);
        meta.seq = offset;
        meta.flags = id == frame.tail ? end_of_fragment : uint8_t{0};
        offset += meta.len;
    }
    return frame;
}

/// Chunks for all packets: fewer, like those of flows, while free ones are short.
size_t Reassembly::limit() const {
    return max_chunks_ * context_.limits.hold_bytes / MemoryLimits::max_hold;
}

/// Makes room for a fragment of so many chunks; false when there can be none.
bool Reassembly::make_room(const Key& key, size_t chunks) {
    const bool known = std::any_of(partials_.begin(), partials_.end(),
                                   [&](const Partial& p) { return p.key == key; });
    size_t held = this->chunks();
    while (held + chunks > limit() || (!known && partials_.size() == max_packets)) {
        const size_t index = victim(key);
        if (index == partials_.size()) return false;
        held -= partials_[index].data.count;
        discard(partials_[index]);
    }
    return true;
}

/// Which packet to give up for a fragment of the one named by `key`; packets() for none.
size_t Reassembly::victim(const Key& key) const {
    size_t oldest = partials_.size(), oldest_of_port = partials_.size(), of_port = 0;
    for (size_t i = partials_.size(); i-- > 0;) {
        if (partials_[i].key == key) continue;
        oldest = i;
        if (partials_[i].key.port != key.port) continue;
        oldest_of_port = i;
        ++of_port;
    }
    return of_port >= share_of_port ? oldest_of_port : oldest;
}

Reassembly::Partial& Reassembly::find_or_create(const Key& key) {
    for (Partial& partial : partials_)
        if (partial.key == key) return partial;
    Partial& partial = partials_.emplace_back();
    partial.key = key;
    partial.deadline = context_.now + (key.src.is_v4() ? timeout4 : timeout6);
    return partial;
}

Reassembly::Placement Reassembly::place(Partial& partial, const FragmentInfo& fragment,
                                        Chain& data) {
    ChunkArena& arena = context_.arena();
    const uint32_t end = fragment.offset + data.bytes;
    const uint32_t held_end = partial.data.empty() ? 0 : end_of_chunk(arena, partial.data.tail);
    const bool beyond_the_end =
        fragment.more ? end >= partial.total
                      : held_end > end || (partial.total != unknown && partial.total != end);
    if (beyond_the_end || partial.data.count + data.count > max_packet_chunks)
        return Placement::impossible;

    // Fragments usually come in order.
    const bool at_the_end = fragment.offset >= held_end;
    ChunkId before = at_the_end ? partial.data.tail : no_chunk;
    ChunkId after = at_the_end ? no_chunk : partial.data.head;
    while (after != no_chunk && end_of_chunk(arena, after) <= fragment.offset)
        before = std::exchange(after, arena.meta(after).next);
    if (after != no_chunk && arena.meta(after).seq < end) {
        const bool same = arena.meta(after).seq == fragment.offset &&
                          end_of_fragment_at(arena, after) == end &&
                          (fragment.more || partial.total == end);
        return same ? Placement::duplicate : Placement::impossible;
    }
    insert_after(arena, partial.data, before, data);
    if (!fragment.more) partial.total = end;
    if (fragment.offset == 0) partial.first = fragment;
    return Placement::placed;
}

/// The frame of the packet whose data are all there; nothing when it is longer than IP allows.
std::optional<Chain> Reassembly::finish(Partial& partial) {
    ChunkArena& arena = context_.arena();
    Chain& frame = partial.data;
    for (ChunkId id = frame.head; id != no_chunk; id = arena.meta(id).next)
        arena.meta(id).flags = 0;
    hide_front(arena, frame, -header_size(partial.first));
    const wire::MutableBytes front = arena.bytes(frame.head);
    const auto removed =
        wire::make_whole(front.subspan(EthernetHeader::size, partial.first.header_length),
                         partial.first, partial.total);
    if (!removed) return discard(partial), std::nullopt;
    std::memmove(&front[*removed], &front[0], EthernetHeader::size);
    hide_front(arena, frame, static_cast<int>(*removed));
    arena.meta(frame.head).flags = reassembled_frame;

    const Chain whole = std::exchange(frame, Chain{});
    partials_.erase(partials_.begin() + (&partial - partials_.data()));
    ++context_.counters.packets_reassembled;
    return whole;
}

void Reassembly::drop(Chain& fragment) {
    ++context_.counters.drop_fragment;
    context_.chunks.unref(fragment);
}

/// Drops what there is of a packet, and lets it be known so that the rest is dropped too.
void Reassembly::give_up(Partial& partial) {
    ++context_.counters.reassembly_failed;
    context_.chunks.unref(partial.data);
    partial.given_up = true;
}

/// Forgets a packet.
void Reassembly::discard(Partial& partial) {
    if (!partial.given_up) give_up(partial);
    partials_.erase(partials_.begin() + (&partial - partials_.data()));
}

void Reassembly::run_timers() {
    for (size_t i = partials_.size(); i-- > 0;)
        if (partials_[i].deadline <= context_.now) discard(partials_[i]);
    while (chunks() > limit())
        discard(partials_.front());
}

Time Reassembly::next_deadline() const {
    Time next = never;
    for (const Partial& partial : partials_)
        next = std::min(next, partial.deadline);
    return next;
}

void Reassembly::close_port(PortId port) {
    for (size_t i = partials_.size(); i-- > 0;)
        if (partials_[i].key.port == port) discard(partials_[i]);
}

}  // namespace pasta::core
