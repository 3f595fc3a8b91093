// Host sockets that do what a fuzzer's input says.
#pragma once

#include <map>

#include "dataplane/core/engine.hpp"
#include "tests/fuzz/input.hpp"

namespace pasta::fuzz {

/// Executes an engine's socket operations, each with a result that the kernel could give, and
/// verifies that the engine asks for nothing that makes no sense on the socket.
class FakeHost {
  public:
    explicit FakeHost(core::Engine& engine) : engine_(engine) {}

    /// Executes up to `most` of the operations that are queued.
    void execute(Input& input, size_t most);
    /// Reports readiness of one socket, or the end of its connect(2).
    void report(Input& input);
    /// From now on streams from the namespace may hold any bytes.
    void stop_verifying() { verifying_ = false; }
    size_t open_sockets() const { return sockets_.size(); }

  private:
    struct Socket {
        core::FlowId flow;
        uint32_t next = 0;  ///< sequence number of the next byte that the socket gets
        bool shut = false;
        bool eof = false;
    };
    using Sockets = std::map<core::SocketHandle, Socket>;

    void execute_tcp(const core::SocketOp& op, Input& input);
    void execute_datagram(const core::SocketOp& op, Input& input);
    void connect(core::FlowId id, Input& input);
    void send(core::FlowId id, Input& input);
    void read(core::FlowId id, Input& input);
    core::Chain read_chunks(const core::TcpReadPlan& plan, uint32_t seq, uint32_t bytes);
    void open_datagram(const core::SocketOp& op, Input& input);
    void send_datagrams(core::FlowId id, Input& input);
    void read_datagrams(core::FlowId id, Input& input);
    void report_datagram_error(core::FlowId id, Input& input);
    core::Chain datagram(const core::DatagramFlow& flow, Input& input);
    Socket& socket_of(core::SocketHandle handle);
    core::DatagramEngine& datagrams(core::FlowId id);
    core::ChunkCache& chunks() { return engine_.context().chunks; }

    core::Engine& engine_;
    Sockets sockets_;
    core::SocketHandle next_handle_ = 3;
    bool verifying_ = true;
};

}  // namespace pasta::fuzz
