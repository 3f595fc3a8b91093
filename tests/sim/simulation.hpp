// A namespace, a faulty link, one or two shards, and a host, on virtual time and from one seed.
#pragma once

#include <map>
#include <memory>

#include "tests/sim/setup.hpp"
#include "tests/sim/sim_shard.hpp"
#include "tests/sim/tcp_conversation.hpp"
#include "tests/support/guest_packets.hpp"

namespace pasta::sim {

class Simulation final : public SimHost, public TcpConversation::Network {
  public:
    /// All else follows from the seed.
    Simulation(uint64_t seed, uint16_t shards, Scenario scenario = Scenario::mixed);
    ~Simulation() override;

    /// Runs to the end; the first thing that was wrong, or empty.
    std::string run();

    struct Summary {
        size_t tcp = 0;      ///< connections
        size_t inbound = 0;  ///< of clients, begun
        uint64_t bytes_up = 0, bytes_down = 0, retransmits = 0, handed_over = 0;
        size_t replies = 0;
        core::Time duration = 0;
    };
    const Summary& summary() const { return summary_; }

  private:
    /// Datagrams of one guest port or echo identifier.
    struct DatagramScript {
        bool echo = false, v6 = false;
        uint16_t id = 0;
        size_t largest = 0;
        std::map<uint32_t, size_t> asked;  ///< size of each question, by its number
    };

    uint16_t shard_count() const { return static_cast<uint16_t>(shards_.size()); }
    void add_datagrams(uint16_t id);
    void ask(DatagramScript& script, uint32_t number);
    void plan_droughts();
    void start_rekeying();
    void step();
    bool over();
    std::string verdict();
    std::string verdict_on_counters();

    // From the guest.
    test::GuestPackets packets(bool v6);
    void send_segment(const TcpScript& script, const GuestSegment& segment) override;
    void send_unreachable(const TcpScript& script, const wire::TcpHeader& header) override;
    void connect_to_host(const TcpScript& script) override;
    void on_frame_from_guest(const ByteVector& frame);
    // To the guest.
    void on_frame_at_guest(const ByteVector& frame);
    void on_icmp_at_guest(const wire::IpPacket& ip, wire::Bytes message);
    void on_reply(DatagramScript& script, wire::Bytes payload);

    /// With PASTA_SIM_TRACE=port set, prints each segment of that guest port.
    void trace(const char* what, uint16_t guest_port, const wire::TcpHeader& header, size_t length);

    // SimHost
    std::pair<HostSocket*, int> open_tcp(const core::FlowKey& key,
                                         std::function<void()> on_edge) override;
    HostSocket* accept_tcp(const core::FlowKey& key, std::function<void()> on_edge) override;
    void turn_away(const core::FlowKey& key) override { tcp_.at(key.guest_port)->turn_away(); }
    void on_datagram(uint16_t shard, core::FlowId flow, const core::FlowKey& key,
                     ByteVector payload) override;
    void on_frame_to_guest(ByteVector frame, const core::TxFrame& info) override;
    void hand_over(uint16_t to, SimHandover mail) override;
    void hand_over(uint16_t to, SimArrival arrival) override;
    void complain(const std::string& what) override {
        if (complaint_.empty()) complaint_ = what;
    }
    bool searching() const override;
    bool refuse_datagram_socket() override {
        return setup_.no_descriptors.contains(events_.now()) || random_.chance(0.05);
    }

    const long traced_port_;
    Random random_;
    const Setup setup_;
    EventQueue events_;
    test::ArenaMemory memory_;
    core::ChunkArena arena_;
    ScarceChunkSource source_;
    FaultyLink from_guest_, to_guest_;
    std::map<uint16_t, std::unique_ptr<TcpConversation>> tcp_;
    std::map<uint16_t, DatagramScript> datagrams_;
    std::vector<std::unique_ptr<SimShard>> shards_;
    unsigned rekeying_ = 0;  ///< shards that still have the old secret
    std::string complaint_;
    Summary summary_;
    bool guest_reported_ = false;  ///< sent an ICMP error
};

}  // namespace pasta::sim
