// UDP flows of the namespaces of one shard.
#pragma once

#include "dataplane/core/datagram_engine.hpp"

namespace pasta::core {

/// One flow and one host socket per 5-tuple. A flow that was answered and has more than one
/// datagram on a side ends after 120 s without any (RFC 4787, REQ-5), others after 30 s.
class UdpEngine : public DatagramEngine {
  public:
    UdpEngine(Context& context, size_t max_flows);
    /// A datagram from a namespace, not a fragment; takes over packet.frame. Its checksum is not
    /// looked at, since veth leaves it to be completed, except where it came in fragments.
    void on_packet(Packet& packet);

  private:
    bool deliver(DatagramFlow& flow, Chain payload, const ReceivedOptions& options) override;
    size_t quote(const DatagramFlow& flow, wire::Bytes original, uint32_t original_length,
                 wire::MutableBytes out) const override;
};

}  // namespace pasta::core
