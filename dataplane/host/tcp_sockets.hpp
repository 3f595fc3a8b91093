// Executes the TCP engine's socket operations.
#pragma once

#include <sys/uio.h>

#include <array>

#include "dataplane/core/tcp_engine.hpp"
#include "dataplane/host/socket_poller.hpp"

namespace pasta::host {

/// The host's side of TCP flows. Sockets are made in the network namespace of the calling thread.
/// Data moves between socket and chunks directly: sendmsg(2) from what a flow holds, recvmsg(2)
/// into chunks that become frames.
class TcpSockets {
  public:
    TcpSockets(SocketPoller& poller, core::Context& context, core::TcpEngine& engine)
        : poller_(poller), context_(context), engine_(engine) {}

    void execute(const core::SocketOp& op);
    /// Begins the flow of an accepted connection (see TcpEngine::accept); takes over `fd`.
    void accept(const core::FlowKey& key, int fd);
    /// Finishes connect(2), or passes the readiness on.
    void on_ready(core::FlowId flow, const core::Readiness& ready);

  private:
    /// More segments cost more than they save: UIO_MAXIOV is 1024.
    static constexpr size_t max_slices = 512;

    void connect(core::FlowId id);
    void send(core::FlowId id);
    void read(core::FlowId id);
    size_t lay_out(const core::TcpReadPlan& plan);
    core::Chain take_read(size_t slots, size_t bytes);

    SocketPoller& poller_;
    core::Context& context_;
    core::TcpEngine& engine_;
    std::array<iovec, max_slices> iov_;
    std::array<core::ChunkId, max_slices> chunks_;
};

}  // namespace pasta::host
