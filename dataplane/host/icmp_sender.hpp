// ICMP errors to clients of the host, in the name of a namespace.
#pragma once

#include "dataplane/core/context.hpp"

namespace pasta::host {

/// Raw sockets (raw(7), CAP_NET_RAW) of the thread's network namespace, opened when first needed.
class IcmpSender {
  public:
    IcmpSender() = default;
    ~IcmpSender();
    IcmpSender(const IcmpSender&) = delete;
    IcmpSender& operator=(const IcmpSender&) = delete;

    /// Sends an ICMP message, or an ICMPv6 one without checksum, from one of the host's addresses.
    /// False when the kernel refuses.
    bool send(wire::Bytes message, const wire::IpAddress& from, const core::HostTarget& to);

  private:
    int v4_ = -1, v6_ = -1;
};

}  // namespace pasta::host
