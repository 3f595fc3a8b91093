// The pure heart of a shard: (frames, socket events, time) in, (frames, socket operations) out.
#pragma once

#include <optional>
#include <vector>

#include "dataplane/core/context.hpp"
#include "dataplane/core/echo_engine.hpp"
#include "dataplane/core/reassembly.hpp"
#include "dataplane/core/steering.hpp"
#include "dataplane/core/tcp_engine.hpp"
#include "dataplane/core/udp_engine.hpp"
#include "dataplane/wire/ethernet.hpp"

namespace pasta::core {

/// Flows of each kind that a shard can have at once.
struct EngineLimits {
    size_t tcp_flows = 1u << 17;
    size_t udp_flows = 1u << 16;
    size_t echo_flows = 1u << 12;
};

class Engine {
  public:
    Engine(ChunkCache& chunks, const Secrets& secrets, const Steering& steering,
           const EngineLimits& limits = {});

    /// `now` for everything that follows; never earlier than before.
    void set_time(Time now) { context_.now = now; }
    Time now() const { return context_.now; }

    void attach(const PortConfig& config);
    /// Ends all flows of the namespace: their peers on the host see a reset.
    void detach(PortId port);
    /// A new secret chooses the owners of new flows.
    void rekey(const SipKey& flow_hash);
    Steering& steering() { return steering_; }

    /// Handles one frame from a namespace, which the engine then owns, and returns nothing; or
    /// leaves it to the caller and returns the shard that it has to be handed to: `frame` is then
    /// the same, or the frame that it completed, being the last fragment of a packet. `hops` is
    /// how often it was handed over before.
    std::optional<uint16_t> on_frame(PortId port, Chain& frame, unsigned hops = 0);
    /// Where a client's flow (see inbound_key) is to begin, `hops` as for on_frame: here, when it
    /// is this shard, or at the shard that the client has to be handed to. Nothing when the
    /// namespace is gone, or while shards change their secret and do not agree.
    std::optional<uint16_t> inbound_owner(const FlowKey& key, unsigned hops);
    /// Readiness of a flow's socket, of any kind.
    void on_ready(FlowId flow, const Readiness& ready);
    /// Runs what is due at set_time()'s time.
    void run_timers();
    /// When run_timers() has something to do next; not earlier than necessary, never later.
    Time next_deadline() const;
    /// Frames that wait for the end of the host side's turn: acknowledgements.
    void flush() { tcp_.flush_acks(); }

    Context& context() { return context_; }
    TcpEngine& tcp() { return tcp_; }
    UdpEngine& udp() { return udp_; }
    EchoEngine& echo() { return echo_; }
    Reassembly& reassembly() { return reassembly_; }

  private:
    std::optional<uint16_t> on_ip(Port& port, Chain& frame, const wire::EthernetHeader& ethernet,
                                  unsigned hops);
    std::optional<uint16_t> on_fragment(Port& port, Chain& frame, const wire::IpPacket& ip,
                                        unsigned hops);
    std::optional<uint16_t> on_flow_packet(Packet& packet, unsigned hops);
    bool answer(const Packet& packet);
    void on_guest_error(Packet& packet, const GuestError& error);
    template <typename Responder>
    bool reply_with(Port& port, Responder&& responder);
    void count_parse_error(wire::ParseError error);
    void drop(Chain& frame, Counter& reason);
    void advertise(Port& port);

    Context context_;
    Steering steering_;
    Reassembly reassembly_;
    TcpEngine tcp_;
    UdpEngine udp_;
    EchoEngine echo_;
    std::vector<FlowId> due_;
    Time next_advertisement_ = never;
};

}  // namespace pasta::core
