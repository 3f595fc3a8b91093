// Datagrams from a namespace that wait for their host socket.
#pragma once

#include "dataplane/core/chunk.hpp"

namespace pasta::core {

/// Set in ChunkMeta::flags of the last chunk of a queued datagram.
inline constexpr uint8_t end_of_datagram = 1;

/// The fields of a datagram's IP header that its host socket shall send too. While the datagram is
/// queued they are kept, packed, in ChunkMeta::seq of its first chunk.
struct DatagramOptions {
    uint8_t hop_limit = 64;
    uint8_t traffic_class = 0;  ///< DSCP and ECN
    /// IPv4's DF; true for every IPv6 packet. Never for a packet that came in fragments.
    bool dont_fragment = false;

    bool operator==(const DatagramOptions&) const = default;
    uint32_t pack() const {
        return uint32_t{hop_limit} | uint32_t{traffic_class} << 8 | uint32_t{dont_fragment} << 16;
    }
    static DatagramOptions unpack(uint32_t v) {
        return {static_cast<uint8_t>(v), static_cast<uint8_t>(v >> 8), (v >> 16 & 1) != 0};
    }
};

/// A FIFO of datagrams in one chain. A datagram has at least one chunk, also when it is empty.
/// Holds references, but cannot drop them by itself: clear() comes before the end of its life.
class DatagramQueue {
  public:
    bool empty() const { return chain_.empty(); }
    size_t datagrams() const { return datagrams_; }
    size_t chunks() const { return chain_.count; }
    /// The first chunk of the first datagram, or no_chunk. ChunkMeta::next leads on through all of
    /// the queue.
    ChunkId front() const { return chain_.head; }

    /// Takes over `datagram`, which has at least one chunk.
    void push(ChunkArena& arena, Chain datagram, const DatagramOptions& options) {
        assert(!datagram.empty());
        for (ChunkId id = datagram.head; id != no_chunk; id = arena.meta(id).next)
            arena.meta(id).flags = id == datagram.tail ? end_of_datagram : 0;
        arena.meta(datagram.head).seq = options.pack();
        chain_.append(arena, datagram);
        ++datagrams_;
    }
    /// Drops the first datagram; only if not empty.
    void pop(ChunkCache& chunks) {
        for (bool last = false; !last;) {
            const ChunkId id = chain_.pop(chunks.arena());
            last = chunks.arena().meta(id).flags == end_of_datagram;
            chunks.unref(id);
        }
        --datagrams_;
    }
    void clear(ChunkCache& chunks) {
        chunks.unref(chain_);
        datagrams_ = 0;
    }

  private:
    Chain chain_;
    size_t datagrams_ = 0;
};

}  // namespace pasta::core
