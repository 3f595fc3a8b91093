// What the protocols of one shard share. Each protocol owns its flows; everything here is touched
// only from inside a call into the engine.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "dataplane/core/chain.hpp"
#include "dataplane/core/chunk.hpp"
#include "dataplane/core/counters.hpp"
#include "dataplane/core/flow.hpp"
#include "dataplane/core/flow_table.hpp"
#include "dataplane/core/link_share.hpp"
#include "dataplane/core/port_config.hpp"
#include "dataplane/core/rate_limit.hpp"
#include "dataplane/core/socket_op.hpp"
#include "dataplane/core/time.hpp"
#include "dataplane/core/timer_wheel.hpp"
#include "dataplane/core/tx_queue.hpp"
#include "dataplane/wire/ip.hpp"

namespace pasta::core {

/// A namespace as this shard knows it.
struct Port {
    explicit Port(const PortConfig& c) : config(c), guest_mac(c.guest_mac), share(c.mtu) {}

    PortConfig config;
    wire::MacAddress guest_mac;  ///< of the last frame received; where unasked frames go
    /// Sources of the last packets received: IPv4, IPv6 link-local and other.
    std::optional<wire::IpAddress> seen4, seen6, seen_link_local;
    TxQueue tx;
    LinkShare share;
    Time next_advertisement = never;  ///< when this shard sends the next unsolicited RA
    uint32_t advertisements = 0;      ///< unsolicited ones sent so far
    RateLimit sightings;              ///< of those that are told to the other shards

    /// True when that taught something.
    bool note_source(const wire::IpAddress& source) {
        if (source == last_source_) return false;
        last_source_ = source;
        if (!source.is_unicast() || source.is_loopback()) return false;
        auto& seen = source.is_v4() ? seen4 : source.is_link_local() ? seen_link_local : seen6;
        return std::exchange(seen, source) != source;
    }

  private:
    wire::IpAddress last_source_;
};

/// An address that a namespace was seen to have, for the other shards that serve it: any of them
/// may be the one that a client of the host meets.
struct Sighting {
    PortId port = 0;
    uint16_t reserved = 0;  ///< a mailbox's messages are whole words
    wire::IpAddress address;
};

/// 128-bit secrets of getrandom(2), made by the control thread.
struct Secrets {
    SipKey flow_hash;  ///< which shard owns a new flow; rotated
    SipKey isn;        ///< initial sequence numbers (RFC 6528)
    SipKey table;      ///< the flow table's own hash
};

/// How much of the UMEM one flow may hold. Each may have a share of what is *free*, so that flows
/// whose readers stopped, however many, leave room for the next one, and a flow alone can have
/// most (the dynamic thresholds of Choudhury and Hahne, 1998).
struct MemoryLimits {
    uint32_t hold_bytes = max_hold;            ///< from the namespace, not yet taken by the host
    uint32_t in_flight_bytes = max_in_flight;  ///< to the namespace, not yet acknowledged

    static constexpr uint32_t max_hold = 4u << 20;
    static constexpr uint32_t max_in_flight = 1u << 20;

    static MemoryLimits for_free_chunks(size_t available) {
        const size_t free = available * chunk_size;
        return {static_cast<uint32_t>(std::clamp<size_t>(free / 8, chunk_size, max_hold)),
                static_cast<uint32_t>(std::clamp<size_t>(free / 16, chunk_size, max_in_flight))};
    }
};

/// A received frame after its Ethernet and IP headers were parsed.
struct Packet {
    Port& port;
    wire::MacAddress src_mac;
    bool link_multicast = false;  ///< sent to a group or broadcast address of the link
    wire::IpPacket ip{};
    wire::Bytes
        upper{};  ///< contiguous bytes of the upper layer (all of its headers, not all data)
    uint16_t upper_offset = 0;  ///< bytes from the start of the frame to the upper layer
    Chain frame;                ///< the whole frame; the handler owns it

    /// The frame's bytes from the start of the IP header that are contiguous.
    wire::Bytes from_ip(ChunkArena& arena) const { return arena.bytes(frame.head).subspan(14); }
};

/// Whether the checksum over the first `length` bytes of the upper layer (at most all of them), and
/// over the pseudo-header where it counts, comes out right.
bool upper_checksum_ok(ChunkArena& arena, const Packet& packet, uint32_t length,
                       bool pseudo_header);

/// State shared by the protocols of one shard.
class Context {
  public:
    Context(ChunkCache& cache, const Secrets& s) : chunks(cache), secrets(s), table(s.table) {}

    ChunkCache& chunks;
    Secrets secrets;
    FlowTable table;
    TimerWheel timers;
    SocketOps ops;
    Counters counters;
    MemoryLimits limits;
    std::vector<Sighting> sightings;  ///< to be told
    Time now = 0;
    /// How long TCP may wait for company of an acknowledgement; 0 = not beyond the turn.
    Time ack_delay = 0;

    ChunkArena& arena() { return chunks.arena(); }
    /// nullptr when the namespace is not (or no longer) attached.
    Port* port(PortId id) { return id < ports_.size() ? ports_[id].get() : nullptr; }
    const std::vector<std::unique_ptr<Port>>& ports() const { return ports_; }
    Port& add_port(const PortConfig& config) {
        if (config.id >= ports_.size()) ports_.resize(config.id + size_t{1});
        ports_[config.id] = std::make_unique<Port>(config);
        return *ports_[config.id];
    }
    /// Drops the port's queued frames. Its flows must be gone.
    void remove_port(PortId id) {
        while (!ports_[id]->tx.empty()) {
            for (size_t i = 0; i < ports_[id]->tx.front().slices; ++i)
                chunks.unref(ports_[id]->tx.front_slice(i).chunk);
            ports_[id]->tx.pop();
        }
        ports_[id].reset();
    }

  private:
    std::vector<std::unique_ptr<Port>> ports_;
};

inline constexpr wire::IpAddress loopback4 = wire::IpAddress::v4(127, 0, 0, 1);
inline constexpr wire::IpAddress loopback6{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

/// One end of a flow on the host's side; `port` in host byte order.
struct Endpoint {
    wire::IpAddress address;
    uint16_t port = 0;

    bool operator==(const Endpoint&) const = default;
};

/// Where on the host a flow's packets go: `peer` and `port` as the namespace addressed them,
/// translated for the host's loopback and the DNS forwarder (first match wins).
struct HostTarget {
    wire::IpAddress address;
    uint16_t port = 0;
    std::optional<wire::IpAddress> source{};  ///< to bind to; absent = the kernel's choice
    uint32_t scope = 0;                       ///< interface index, for link-local addresses

    bool operator==(const HostTarget&) const = default;
};
HostTarget host_target(const PortConfig& config, const wire::IpAddress& peer, uint16_t port);

/// True when a flow from `guest` to `peer` can be served at all: both unicast, neither loopback.
bool servable(const wire::IpAddress& guest, const wire::IpAddress& peer);

}  // namespace pasta::core
