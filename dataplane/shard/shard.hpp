// One core's share of the dataplane: ports, engine, host sockets, and the loop over them.
//
// Everything in a shard is touched by its own thread only. What crosses threads: frames through
// the mailboxes of PostOffice, commands through commands(), free chunks through the ChunkSource,
// and counters, which others may read.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/core/engine.hpp"
#include "dataplane/core/rate_limit.hpp"
#include "dataplane/host/datagram_sockets.hpp"
#include "dataplane/host/listeners.hpp"
#include "dataplane/host/socket_poller.hpp"
#include "dataplane/host/tcp_sockets.hpp"
#include "dataplane/io/chunk_ring.hpp"
#include "dataplane/io/frame_port.hpp"
#include "dataplane/shard/mailbox.hpp"
#include "dataplane/shard/wakeup.hpp"
#include "dataplane/splice/splice.hpp"

namespace pasta::shard {

/// The mailboxes between all pairs of shards, and what wakes a shard that sleeps.
class PostOffice {
  public:
    /// Throws std::bad_alloc or std::system_error.
    explicit PostOffice(uint16_t shards);

    uint16_t shards() const { return static_cast<uint16_t>(wakeups_.size()); }
    Mailbox<Handover>& box(uint16_t from, uint16_t to) { return *boxes_[from * shards() + to]; }
    Mailbox<host::Arrival>& arrivals(uint16_t from, uint16_t to) {
        return *arrivals_[from * shards() + to];
    }
    Mailbox<core::Sighting>& sightings(uint16_t from, uint16_t to) {
        return *sightings_[from * shards() + to];
    }
    /// Whether anything is there for a shard.
    bool has_mail(uint16_t shard);
    Wakeup& wakeup(uint16_t shard) { return *wakeups_[shard]; }
    /// Flows of each shard whose owner was chosen with an older secret; each written by its shard.
    std::atomic<uint64_t>& old_flows(uint16_t shard) { return old_flows_[shard]; }
    /// Set by the control thread while it gives a new secret to the shards, one after the other.
    std::atomic<bool>& rekeying() { return rekeying_; }

  private:
    static constexpr size_t box_capacity = 1023;
    static constexpr size_t arrivals_capacity = 255;
    static constexpr size_t sightings_capacity = 255;

    std::vector<std::unique_ptr<Mailbox<Handover>>> boxes_;
    std::vector<std::unique_ptr<Mailbox<host::Arrival>>> arrivals_;
    std::vector<std::unique_ptr<Mailbox<core::Sighting>>> sightings_;
    std::vector<std::unique_ptr<Wakeup>> wakeups_;
    std::vector<std::atomic<uint64_t>> old_flows_;
    std::atomic<bool> rekeying_{false};
};

class Shard;

/// Work that the control thread gives to a shard: runs once in the shard's thread, between frames.
/// Owned by the sender, which learns of the end through the command itself.
struct Command {
    std::function<void(Shard&)> run;
};

/// What a turn of a shard's loop found.
enum class Turn : uint8_t {
    idle,    ///< nothing
    active,  ///< something, or there is more to do at once
    bulk,    ///< much, and all of it is done: what comes next may gather for a moment
};

class Shard {
  public:
    /// `chunks` and `post` outlive the shard. Throws when the kernel gives no epoll descriptor.
    Shard(uint16_t index, core::ChunkArena& arena, io::ChunkRing& chunks, PostOffice& post,
          const core::Secrets& secrets);
    ~Shard();

    // By the shard's own thread.

    /// One turn: everything that is ready, each kind bounded. Sleeps up to `patience` ns in
    /// between when there is nothing to do and no frame or timer is due before.
    Turn run_once(core::Time now, core::Time patience);
    /// Serves a namespace from now on, on the queue that `port` is.
    void attach(const core::PortConfig& config, std::unique_ptr<io::FramePort> port);
    /// Stops serving it; the port is closed. Returns its statistics.
    io::PortStatistics detach(core::PortId id);
    /// Serves a listener of a namespace, if that is one of this shard's; `socket` is prepared and
    /// stays open until unlisten(). Throws std::system_error.
    void listen(host::ListenerId id, const host::ListenerConfig& config, int socket);
    void unlisten(host::ListenerId id, int socket);
    /// Keeps a copy of a netns, if the namespace is one of this shard's, to connect to its
    /// loopback. Throws std::system_error.
    void join(core::PortId id, int netns);
    /// A new secret for the choice of flows' owners.
    void rekey(const core::SipKey& flow_hash);
    core::Engine& engine() { return engine_; }

    // By the control thread.

    /// A command for the shard, which must outlive its run. False when
    /// too many are under way.
    bool post(Command& command);

    // By any thread.
    const core::Counters& counters() { return engine_.context().counters; }

  private:
    struct Served {
        core::PortId id;
        std::unique_ptr<io::FramePort> port;
    };
    static constexpr size_t max_stock = 2048;  ///< free chunks kept from going cold, 8 MiB
    static constexpr size_t burst = 64;        ///< frames of one port or mailbox in one turn
    static constexpr size_t op_burst = 256;    ///< socket operations in one turn
    static constexpr size_t command_burst = 16;
    /// A turn that moved so many frames, or so many bytes of TCP between frames and sockets, was
    /// not one of a conversation in which somebody waits for an answer. What is spliced does not
    /// count: it goes through the worker at so little cost that it must not wait for it.
    static constexpr size_t bulk_frames = 16;
    static constexpr uint64_t bulk_bytes = 16u << 10;
    /// A port without chunks to receive into is tried again after this time.
    static constexpr core::Time starved_patience = core::millisecond;

    size_t receive_frames();
    size_t drain_mailboxes();
    size_t run_commands();
    size_t poll_sockets(core::Time timeout);
    void on_ready(const host::SocketPoller::Event& event);
    size_t execute_socket_ops();
    size_t transmit_frames();
    Turn classify(size_t work, size_t frames, uint64_t bytes);
    uint64_t bytes_moved();
    void handle(core::PortId port, core::Chain frame, uint16_t hops);
    size_t begin_arrivals();
    void begin(host::Arrival& arrival);
    bool name_flow(host::Arrival& arrival);
    bool splice(host::Arrival& arrival);
    void splice_datagrams(const host::ListenerConfig& listener, int fd, uint16_t port,
                          std::span<const host::UdpBurst> bursts);
    void refuse_datagrams(const splice::UdpFlow& flow, int error);
    void hand_over(uint16_t to, host::Arrival& arrival);
    void share_sightings();
    void update_limits();
    void publish();
    core::Time sleep_time(core::Time now, core::Time patience);

    const uint16_t index_;
    io::ChunkRing& free_chunks_;
    PostOffice& post_;
    core::ChunkCache cache_;
    core::Engine engine_;
    host::SocketPoller poller_;
    host::TcpSockets tcp_sockets_;
    splice::Splice splice_;
    core::RateLimit refusals_;             ///< of clients of splice_
    std::vector<host::Arrival> arrivals_;  ///< clients whose flows are to begin
    host::DatagramSockets datagram_sockets_;
    host::Listeners listeners_;
    Mailbox<Command*> commands_{63};
    std::vector<Served> ports_;
    std::array<core::Chain, burst> frames_;
    std::array<Handover, burst> mail_;
    std::array<host::Arrival, burst> arrival_mail_;
    std::array<core::Sighting, burst> sighting_mail_;
};

}  // namespace pasta::shard
