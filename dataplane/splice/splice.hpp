// What is relayed between loopbacks without frames, for one shard.
#pragma once

#include <algorithm>
#include <map>

#include "dataplane/host/icmp_sender.hpp"
#include "dataplane/splice/tcp_splice.hpp"
#include "dataplane/splice/udp_splice.hpp"

namespace pasta::splice {

/// Spliced flows of one shard, made and run by its thread. The shard accepts clients and reads
/// listeners; it hands over what is between loopbacks to tcp() and udp(), and events of the kinds
/// splice_* to on_ready(); it calls run() once in each turn, and sleeps neither past
/// next_deadline() nor while pending().
class Splice {
  public:
    /// `table_secret` keys the hash of the UDP flows' table. Throws std::system_error when the
    /// thread's network namespace, which is the host's, cannot be opened.
    Splice(host::SocketPoller& poller, core::Counters& counters, const core::SipKey& table_secret)
        : tcp_(poller, counters, sockets_, pipes_),
          udp_(poller, counters, sockets_, table_secret) {}

    /// Takes over `netns`, a descriptor of the attachment's network namespace.
    void attach(core::PortId port, int netns) { sockets_.attach(port, netns); }
    /// Ends all flows of the attachment.
    void detach(core::PortId port) {
        tcp_.close_port(port);
        udp_.close_port(port);
        netns_icmp_.erase(port);
        sockets_.detach(port);
    }
    /// As host::IcmpSender::send(), to a client of a listener on the host's loopback or on that of
    /// the attachment's namespace.
    bool send_icmp(core::PortId port, Place client, wire::Bytes message,
                   const wire::IpAddress& from, const Endpoint& to);

    TcpSplice& tcp() { return tcp_; }
    UdpSplice& udp() { return udp_; }

    void on_ready(core::FlowId id, const core::Readiness& ready, core::Time now) {
        if (id.kind() == core::FlowKind::splice_udp)
            udp_.on_ready(id, ready, now);
        else
            tcp_.on_ready(id, ready);
    }
    void run(core::Time now) {
        tcp_.run();
        udp_.run(now);
        sockets_.run(now);
    }
    bool pending() const { return tcp_.pending() || udp_.pending(); }
    core::Time next_deadline() const {
        return std::min(udp_.next_deadline(), sockets_.next_deadline());
    }

  private:
    NamespaceSockets sockets_;
    PipePool pipes_;
    host::IcmpSender host_icmp_;
    std::map<core::PortId, host::IcmpSender> netns_icmp_;  ///< each used in its namespace alone
    TcpSplice tcp_;
    UdpSplice udp_;
};

}  // namespace pasta::splice
