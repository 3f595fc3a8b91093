// ICMP and ICMPv6 echo flows of the namespaces of one shard.
#pragma once

#include "dataplane/core/datagram_engine.hpp"

namespace pasta::core {

/// One flow and one host socket per guest, peer and identifier; a flow ends after 60 s of silence.
/// Datagrams of a flow are whole ICMP messages.
class EchoEngine : public DatagramEngine {
  public:
    EchoEngine(Context& context, size_t max_flows);
    /// An ICMP or ICMPv6 packet from a namespace, not a fragment; takes over packet.frame. Only
    /// echo requests are served, others are counted drops.
    void on_packet(Packet& packet);

  private:
    bool deliver(DatagramFlow& flow, Chain message, const ReceivedOptions& options) override;
    size_t quote(const DatagramFlow& flow, wire::Bytes original, uint32_t original_length,
                 wire::MutableBytes out) const override;
};

}  // namespace pasta::core
