// One shard of a simulation: an engine with the loop around it, on virtual time.
#pragma once

#include <deque>
#include <map>
#include <set>

#include "dataplane/core/engine.hpp"
#include "tests/sim/event_queue.hpp"
#include "tests/sim/host_socket.hpp"
#include "tests/sim/random.hpp"
#include "tests/support/core_fixture.hpp"

namespace pasta::sim {

using test::ByteVector;

/// Free chunks that are at times not to be had.
class ScarceChunkSource final : public core::ChunkSource {
  public:
    ScarceChunkSource(size_t chunks, double scarcity, Random& random)
        : all_(chunks), scarcity_(scarcity), random_(random) {}
    size_t take(std::span<core::ChunkId> out) override {
        if (none_ || random_.chance(scarcity_)) return 0;
        // Few at once, so that a cache does not hide the scarcity.
        return all_.take(out.first(std::min<size_t>(out.size(), random_.between(1, 32))));
    }
    void give(std::span<const core::ChunkId> chunks) override { all_.give(chunks); }
    size_t size() const { return all_.size(); }
    /// Whether there are none for now.
    void withhold(bool none) { none_ = none; }

  private:
    bool none_ = false;
    test::VectorChunkSource all_;
    double scarcity_;
    Random& random_;
};

/// A frame that crosses shards.
struct SimHandover {
    core::Chain frame;
    unsigned hops = 0;
};

/// A client's connection on its way to the shard that owns its flow.
struct SimArrival {
    core::FlowKey key;
    unsigned hops = 0;
};

/// What the shards of one simulation share, and what they tell its owner.
struct SimHost {
    virtual ~SimHost() = default;
    /// The result of socket(2) and connect(2) for a TCP flow: a socket, or an errno.
    virtual std::pair<HostSocket*, int> open_tcp(const core::FlowKey& key,
                                                 std::function<void()> on_edge) = 0;
    /// accept(2) of the client that arrived.
    virtual HostSocket* accept_tcp(const core::FlowKey& key, std::function<void()> on_edge) = 0;
    /// The client could not be served.
    virtual void turn_away(const core::FlowKey& key) = 0;
    /// A datagram or echo message that the host sends; answers come by SimShard::deliver().
    virtual void on_datagram(uint16_t shard, core::FlowId flow, const core::FlowKey& key,
                             ByteVector payload) = 0;
    virtual void on_frame_to_guest(ByteVector frame, const core::TxFrame& info) = 0;
    virtual void hand_over(uint16_t to, SimHandover mail) = 0;
    virtual void hand_over(uint16_t to, SimArrival arrival) = 0;
    virtual void complain(const std::string& what) = 0;
    /// Flows of any shard that were made with an older secret exist, or a new one is on its way.
    virtual bool searching() const = 0;
    /// Whether the kernel refuses a datagram socket.
    virtual bool refuse_datagram_socket() = 0;
};

class SimShard {
  public:
    struct Options {
        uint16_t index = 0, shards = 1;
        core::Secrets secrets;
        core::PortConfig port;
    };
    SimShard(const Options& options, core::ChunkArena& arena, ScarceChunkSource& source,
             Random& random, SimHost& host);
    ~SimShard();

    /// A frame from the guest comes in; it is lost when no chunk is free.
    void receive(std::span<const uint8_t> frame);
    void receive(const SimHandover& mail) { mail_.push_back(mail); }
    void receive(const SimArrival& arrival) { arrivals_.push_back(arrival); }
    /// A datagram for a flow's socket; ignored when the socket is gone.
    void deliver(core::FlowId flow, ByteVector datagram);
    /// One turn of the loop.
    void turn(core::Time now);
    /// Whether a turn would find something at once.
    bool busy();
    core::Engine& engine() { return engine_; }
    uint64_t frames_received() const { return frames_received_; }
    size_t open_sockets() const { return tcp_.size() + datagram_.size(); }

  private:
    struct DatagramSocket {
        core::FlowId flow;
        std::deque<ByteVector> arrived;
    };

    void handle(core::Chain frame, unsigned hops);
    void handle(const SimArrival& arrival);
    void poll();
    void execute(const core::SocketOp& op);
    void execute_datagram(const core::SocketOp& op);
    core::DatagramEngine& datagrams(core::FlowId flow);
    void connect(core::FlowId id);
    void send(core::FlowId id);
    void read(core::FlowId id);
    void send_datagrams(core::DatagramEngine& engine, core::FlowId id);
    void read_datagrams(core::DatagramEngine& engine, core::FlowId id);
    void close(const core::SocketOp& op);
    void transmit();
    void check_memory();

    const Options options_;
    ScarceChunkSource& source_;
    Random& random_;
    SimHost& host_;
    core::ChunkCache cache_;
    core::Engine engine_;
    std::deque<core::Chain> received_;
    std::deque<SimHandover> mail_;
    std::deque<SimArrival> arrivals_;
    std::map<int, std::pair<core::FlowId, HostSocket*>> tcp_;
    std::map<int, DatagramSocket> datagram_;
    std::set<int> ready_;
    int next_fd_ = 3;
    uint64_t frames_received_ = 0;
};

}  // namespace pasta::sim
