// Putting together the packets that a namespace sent in fragments (RFC 791, 3.2; RFC 8200, 4.5).
#pragma once

#include <optional>
#include <vector>

#include "dataplane/core/context.hpp"

namespace pasta::core {

/// Set in ChunkMeta::flags of the first chunk of a frame that Reassembly made.
inline constexpr uint8_t reassembled_frame = 2;

/// True for a received frame that Reassembly made: its sender cut the packet, so it may be cut
/// again on its way, and its checksums are complete.
inline bool is_reassembled(ChunkArena& arena, const Chain& frame) {
    return arena.meta(frame.head).flags == reassembled_frame;
}

/// The incomplete packets of one shard. Fragments are kept as the chunks that they came in.
///
/// Memory is bounded: so many packets, and so many chunks, of which fewer while free ones are
/// short. Room is made by giving up the oldest packet, of the same namespace where that one has
/// its share, so that a namespace that never completes packets does not end the others' ones.
///
/// A packet whose fragments contradict each other or overlap (RFC 5722) is given up, and what
/// still comes of it is dropped; exact duplicates are ignored.
class Reassembly {
  public:
    static constexpr size_t max_packets = 64;
    /// Enough for the largest packet in fragments of 276 bytes, each in a chunk of its own.
    static constexpr size_t max_packet_chunks = 256;
    /// As Linux has them (ipfrag_time of IPv4; RFC 8200, 4.5).
    static constexpr Time timeout4 = 30 * second;
    static constexpr Time timeout6 = 60 * second;

    /// `max_chunks` bounds what all packets hold together while there are free chunks enough.
    Reassembly(Context& context, size_t max_chunks);
    Reassembly(const Reassembly&) = delete;
    Reassembly& operator=(const Reassembly&) = delete;
    ~Reassembly();

    /// Takes over a frame from the namespace `port` that holds a fragment; `ip` is what parse_ip()
    /// made of it. Returns the frame of the whole packet when it was the last one missing: the
    /// first fragment's link and IP headers, those as if the packet had never been cut, and all
    /// data. The caller owns it.
    std::optional<Chain> add(PortId port, const wire::IpPacket& ip, Chain frame);
    /// Gives up the packets that are due at the context's time, and what exceeds the limits.
    void run_timers();
    /// When run_timers() has something to do next.
    Time next_deadline() const;
    /// Drops all fragments of a namespace.
    void close_port(PortId port);

    /// Incomplete packets, and the chunks that they hold.
    size_t packets() const { return partials_.size(); }
    size_t chunks() const;

  private:
    /// What the fragments of a packet have in common.
    struct Key {
        wire::IpAddress src, dst;
        uint32_t id = 0;
        PortId port = 0;
        uint8_t protocol = 0;  ///< IPv4 only: in IPv6 the fragments may name different ones

        bool operator==(const Key&) const = default;
    };
    static constexpr uint32_t unknown = UINT32_MAX;

    struct Partial {
        Key key;
        Time deadline = 0;
        bool given_up = false;       ///< what still comes of it is dropped
        uint32_t total = unknown;    ///< bytes of data that the whole packet has
        wire::FragmentInfo first{};  ///< the fragment with offset 0, once it is there
        /// Data without headers, in order; ChunkMeta::seq is its offset in the packet's data.
        Chain data;
    };
    enum class Placement { placed, duplicate, impossible };

    Chain data_of(const wire::FragmentInfo& fragment, uint32_t length, Chain frame);
    size_t limit() const;
    bool make_room(const Key& key, size_t chunks);
    size_t victim(const Key& key) const;
    Partial& find_or_create(const Key& key);
    Placement place(Partial& partial, const wire::FragmentInfo& fragment, Chain& data);
    std::optional<Chain> finish(Partial& partial);
    void drop(Chain& fragment);
    void give_up(Partial& partial);
    void discard(Partial& partial);

    Context& context_;
    size_t max_chunks_;
    std::vector<Partial> partials_;  ///< the oldest first
};

}  // namespace pasta::core
