// The host sockets of UDP and echo flows.
#pragma once

#include "dataplane/core/echo_engine.hpp"
#include "dataplane/core/udp_engine.hpp"
#include "dataplane/host/datagram_open.hpp"
#include "dataplane/host/datagram_receiver.hpp"
#include "dataplane/host/datagram_sender.hpp"
#include "dataplane/host/icmp_sender.hpp"
#include "dataplane/host/socket_poller.hpp"

namespace pasta::host {

/// Executes the socket operations of UDP and echo flows and tells the engines the results. Sockets
/// belong to the network namespace of the thread that executes the open; the flow's record names
/// its socket, and closing is an operation too, so that this class has no list of them.
class DatagramSockets {
  public:
    /// Datagrams of clients that belong to a listener are added to `arrivals`.
    DatagramSockets(SocketPoller& poller, core::Context& context, core::UdpEngine& udp,
                    core::EchoEngine& echo, std::vector<Arrival>& arrivals)
        : poller_(poller),
          udp_(udp),
          echo_(echo),
          sender_(context.arena()),
          receiver_(context.chunks, arrivals),
          arena_(context.arena()) {}

    /// `op` is one of the udp_, echo_ and datagram_ operations.
    void execute(const core::SocketOp& op);

  private:
    void open(core::DatagramEngine& engine, core::FlowId id, core::SocketOpKind kind);
    void send(core::DatagramEngine& engine, core::FlowId id);
    void read(core::DatagramEngine& engine, core::FlowId id);
    void reject(core::FlowId id);

    SocketPoller& poller_;
    core::UdpEngine& udp_;
    core::EchoEngine& echo_;
    DatagramSender sender_;
    DatagramReceiver receiver_;
    IcmpSender icmp_;
    core::ChunkArena& arena_;
};

}  // namespace pasta::host
