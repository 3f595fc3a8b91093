// UDP flows of the namespaces of one shard.
#pragma once

#include "dataplane/core/datagram_engine.hpp"
#include "dataplane/core/guest_error.hpp"
#include "dataplane/core/rate_limit.hpp"

namespace pasta::core {

/// One flow and one host socket per 5-tuple. A flow that was answered and has more than one
/// datagram on a side ends after 120 s without any (RFC 4787, REQ-5), others after 30 s.
class UdpEngine : public DatagramEngine {
  public:
    UdpEngine(Context& context, size_t max_flows);
    /// A datagram from a namespace, not a fragment; takes over packet.frame. Its checksum is not
    /// looked at, since veth leaves it to be completed, except where it came in fragments.
    void on_packet(Packet& packet);

    /// A client's datagram, received by a listener: `client` sent it to `local`. For the
    /// namespace's port that `key` says (see inbound_key). Takes over `payload`, laid out as for
    /// on_datagram().
    void on_inbound(const FlowKey& key, const HostTarget& client, const Endpoint& local,
                    Chain payload, const ReceivedOptions& options);
    /// The namespace does not take a client's datagram: tells the client, not too often. False
    /// when no client's flow is concerned.
    bool on_unreachable(const GuestError& error);
    /// `sent`: whether the client could be told.
    void on_rejected(DatagramFlow& flow, bool sent);

  private:
    bool deliver(DatagramFlow& flow, Chain payload, const ReceivedOptions& options) override;
    size_t quote(const DatagramFlow& flow, wire::Bytes original, uint32_t original_length,
                 wire::MutableBytes out) const override;

    RateLimit rejections_;
};

}  // namespace pasta::core
