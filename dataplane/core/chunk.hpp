// Chunks of the UMEM, chains of them, and who holds them.
//
// All frame memory is one array of fixed-size chunks (the UMEM). The life of a chunk:
//
//   state       who knows it                     how it gets there
//   free        ChunkSource, or a ChunkCache     unref() of the last reference
//   filled      a port's fill ring               FramePort takes it from its cache
//   received    a Chain that one shard owns      FramePort::receive
//   held        a Chain inside a flow            the engine keeps it until sent or acknowledged
//   transmit    a TxQueue or a transmit ring     one reference per descriptor, dropped on
//   completion mailbox     a Chain that no shard owns       hand-off to another shard, references
//   stay
//
// A chunk has an entry in ChunkArena::meta, which links it into at most one Chain; so chains cost
// no memory of their own and moving a frame never allocates. A held chunk may stand in a transmit
// ring at the same time (that is how retransmission needs no copy): `refs` counts both. An entry
// is only touched by the shard that owns the chunk; ownership crosses threads through rings that
// order memory (release on one side, acquire on the other).
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pasta::core {

using ChunkId = uint32_t;
inline constexpr ChunkId no_chunk = UINT32_MAX;

/// AF_XDP takes no chunk larger than a page.
inline constexpr size_t chunk_size = 4096;
/// Bytes that the kernel leaves free before a received frame (XDP_PACKET_HEADROOM).
inline constexpr size_t rx_headroom = 256;
/// struct xsk_tx_metadata: every transmit descriptor needs this much room before its address.
inline constexpr size_t tx_metadata_size = 24;
/// Where payload that we fill in ourselves begins in the first chunk of a frame: room for the
/// metadata, Ethernet, IPv6 and a TCP header with 20 bytes of options, kept 16-byte aligned.
inline constexpr size_t header_room = 128;
/// A frame to transmit may have so many descriptors (one linear part and MAX_SKB_FRAGS 17).
inline constexpr size_t max_tx_slices = 18;

static_assert(header_room >= tx_metadata_size + 14 + 40 + 40);

/// Part of a chunk: `len` bytes from `offset`.
struct Slice {
    ChunkId chunk = no_chunk;
    uint16_t offset = 0;
    uint16_t len = 0;
};

/// What is known of a chunk while it is in use. `seq` is free for the owner of the chain.
struct ChunkMeta {
    ChunkId next = no_chunk;
    uint32_t seq = 0;
    uint16_t offset = 0;
    uint16_t len = 0;
    uint8_t refs = 0;
    uint8_t flags = 0;
};
static_assert(sizeof(ChunkMeta) == 16);

/// The process-wide array of chunks. Does not own the memory.
class ChunkArena {
  public:
    /// `memory` is a whole number of chunks, page aligned, and outlives the arena.
    explicit ChunkArena(std::span<uint8_t> memory)
        : memory_(memory), meta_(memory.size() / chunk_size) {
        assert(memory.size() % chunk_size == 0);
    }

    size_t size() const { return meta_.size(); }
    ChunkMeta& meta(ChunkId id) { return meta_[id]; }
    uint8_t* data(ChunkId id) { return memory_.data() + size_t{id} * chunk_size; }
    std::span<uint8_t> bytes(const Slice& s) { return {data(s.chunk) + s.offset, s.len}; }
    /// The bytes that the chunk's own entry describes.
    std::span<uint8_t> bytes(ChunkId id) {
        const ChunkMeta& m = meta_[id];
        return {data(id) + m.offset, m.len};
    }
    Slice slice(ChunkId id) const { return {id, meta_[id].offset, meta_[id].len}; }

  private:
    std::span<uint8_t> memory_;
    std::vector<ChunkMeta> meta_;
};

/// A singly linked list of chunks, in order; a frame, or bytes of a stream. A plain value: whoever
/// holds it owns one reference to every chunk in it.
struct Chain {
    ChunkId head = no_chunk;
    ChunkId tail = no_chunk;
    uint32_t count = 0;  ///< chunks
    uint32_t bytes = 0;  ///< sum of their len

    bool empty() const { return head == no_chunk; }

    /// Appends one chunk, whose entry already has its offset and len.
    void append(ChunkArena& arena, ChunkId id) {
        arena.meta(id).next = no_chunk;
        if (empty())
            head = id;
        else
            arena.meta(tail).next = id;
        tail = id;
        ++count;
        bytes += arena.meta(id).len;
    }
    /// Moves all of `other` to the end of this one and leaves it empty.
    void append(ChunkArena& arena, Chain& other) {
        if (other.empty()) return;
        if (empty())
            head = other.head;
        else
            arena.meta(tail).next = other.head;
        tail = other.tail;
        count += other.count;
        bytes += other.bytes;
        other = Chain{};
    }
    /// Takes off the first chunk; the caller has its reference now. Only if not empty.
    ChunkId pop(ChunkArena& arena) {
        assert(!empty());
        const ChunkId id = head;
        head = arena.meta(id).next;
        if (head == no_chunk) tail = no_chunk;
        --count;
        bytes -= arena.meta(id).len;
        return id;
    }
};

/// Where caches get free chunks and give them back: shared by all shards, so thread-safe.
class ChunkSource {
  public:
    virtual ~ChunkSource() = default;
    /// Fills `out` from the front; returns how many there were.
    virtual size_t take(std::span<ChunkId> out) = 0;
    /// Gives chunks back. There is always room for all that exist.
    virtual void give(std::span<const ChunkId> chunks) = 0;
};

/// One shard's stock of free chunks, and the place where references end. The chunk freed last is
/// given out first, and what is too much goes back oldest first: the source is a queue, in which a
/// chunk rests until all others were used, so that the processor's caches have forgotten it.
class ChunkCache {
  public:
    /// Keeps up to `limit` chunks. What many caches keep, others miss: see Shard.
    ChunkCache(ChunkArena& arena, ChunkSource& source, size_t limit = 2 * batch)
        : arena_(arena), source_(source), limit_(std::max(limit, 2 * batch)) {
        stock_.reserve(limit_ + 1);
    }
    ChunkCache(const ChunkCache&) = delete;
    ChunkCache& operator=(const ChunkCache&) = delete;
    ~ChunkCache() { source_.give(stock_); }

    ChunkArena& arena() { return arena_; }
    /// Free chunks in this cache.
    size_t stock() const { return stock_.size(); }

    /// A chunk with one reference, or no_chunk when there is none left. Offset and len are unset.
    ChunkId alloc() {
        if (stock_.empty() && !refill()) return no_chunk;
        const ChunkId id = stock_.back();
        stock_.pop_back();
        ChunkMeta& meta = arena_.meta(id);
        assert(meta.refs == 0);
        meta.refs = 1;
        meta.next = no_chunk;
        meta.flags = 0;
        return id;
    }
    void ref(ChunkId id) {
        assert(arena_.meta(id).refs > 0 && arena_.meta(id).refs < UINT8_MAX);
        ++arena_.meta(id).refs;
    }
    /// Drops one reference; the last one frees the chunk.
    void unref(ChunkId id) {
        ChunkMeta& meta = arena_.meta(id);
        assert(meta.refs > 0);
        if (--meta.refs != 0) return;
        if (stock_.size() == limit_) spill();
        stock_.push_back(id);
    }
    /// Drops the chain's reference to each of its chunks and empties it.
    void unref(Chain& chain) {
        while (!chain.empty())
            unref(chain.pop(arena_));
    }
    /// Returns all to the source, for example before sleeping.
    void flush() {
        source_.give(stock_);
        stock_.clear();
    }

  private:
    static constexpr size_t batch = 256;

    bool refill() {
        stock_.resize(batch);
        stock_.resize(source_.take(stock_));
        return !stock_.empty();
    }
    void spill() {
        source_.give(std::span{stock_}.first(batch));
        stock_.erase(stock_.begin(), stock_.begin() + batch);
    }

    ChunkArena& arena_;
    ChunkSource& source_;
    const size_t limit_;
    std::vector<ChunkId> stock_;
};

}  // namespace pasta::core
