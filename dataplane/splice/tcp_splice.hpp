// TCP connections between the host's loopback and a namespace's.
#pragma once

#include <vector>

#include "dataplane/core/counters.hpp"
#include "dataplane/core/slab.hpp"
#include "dataplane/core/socket_op.hpp"
#include "dataplane/host/socket_poller.hpp"
#include "dataplane/splice/namespace_sockets.hpp"
#include "dataplane/splice/pipe_pool.hpp"

namespace pasta::splice {

/// One socket of a connection, as far as its edges have told.
struct TcpEnd {
    int fd = -1;
    bool readable = false;  ///< nothing has said yet that it is drained
    bool writable = false;  ///< nothing has said yet that it is full
    bool finished = false;  ///< its peer's FIN stands behind what can be read
    bool urgent = false;    ///< there was urgent data
    bool broken = false;    ///< reset by its peer, or of no use for another reason
};

/// What goes from one socket to the other.
struct TcpStream {
    Pipe pipe;             ///< borrowed while there is more than a little to move
    size_t in_pipe = 0;    ///< bytes
    bool bulk = false;     ///< the last turn moved much: go by the pipe at once
    bool ended = false;    ///< the source's FIN was read
    bool shut = false;     ///< and passed on, behind all data
    bool starved = false;  ///< bytes were lost because there was no pipe to keep them in

    bool done() const { return ended && in_pipe == 0; }
};

/// A connection of two sockets.
///
///   state       client       target       left by
///   connecting  not read     connect(2)   connected; refused or reset: both closed with RST
///   open        both relayed              both streams shut: both closed; an error: both reset
struct TcpPair {
    core::FlowId id;  ///< of the kind splice_tcp_client
    Destination to;
    bool connecting = true;
    bool queued = false;  ///< in the run queue
    TcpEnd client, target;
    TcpStream to_target, to_client;
};

/// Relays by splice(2), or by way of a buffer what is small. What one socket does not take stays in
/// the pipe (at most its size) and then in the other socket, whose peer sees the window close.
/// splice(2) raises SIGPIPE, which no flag prevents: the process has to ignore it.
class TcpSplice {
  public:
    static constexpr size_t max_pairs = 65536;
    /// Bytes of each direction that one connection moves before others have their turn.
    static constexpr size_t turn_bytes = 1 << 20;
    /// Up to here a copy is cheaper than a pipe's bookkeeping.
    static constexpr size_t small = 16 << 10;

    TcpSplice(host::SocketPoller& poller, core::Counters& counters, NamespaceSockets& sockets,
              PipePool& pipes)
        : poller_(poller), counters_(counters), sockets_(sockets), pipes_(pipes) {}
    ~TcpSplice();
    TcpSplice(const TcpSplice&) = delete;
    TcpSplice& operator=(const TcpSplice&) = delete;

    /// Takes over `client`, a non-blocking socket accepted from a listening one that
    /// set_up_tcp_listener() has seen, and connects it to the destination as coming from `from`,
    /// the client's address and port. When that fails the client gets a RST.
    void start(int client, const Endpoint& from, const Destination& to);
    /// `id` is of either of the kinds splice_tcp_*.
    void on_ready(core::FlowId id, const core::Readiness& ready);
    /// A further turn for each connection that had more to do than one.
    void run();
    bool pending() const { return !run_queue_.empty(); }
    /// Resets the connections of an attachment.
    void close_port(core::PortId port);
    size_t connections() const { return pairs_.size(); }

  private:
    void advance(TcpPair& pair);
    bool finish_connect(TcpPair& pair);
    size_t relay(TcpStream& stream, TcpEnd& from, TcpEnd& to);
    size_t copy(TcpStream& stream, TcpEnd& from, TcpEnd& to);
    size_t fill(TcpStream& stream, TcpEnd& from);
    size_t drain(TcpStream& stream, TcpEnd& to);
    void settle(TcpStream& stream, TcpEnd& to);
    void count(const TcpPair& pair, size_t to_target, size_t to_client);
    void enqueue(TcpPair& pair);
    void finish(TcpPair& pair);
    void abort(TcpPair& pair, core::Counter& reason);
    void destroy(TcpPair& pair);

    host::SocketPoller& poller_;
    core::Counters& counters_;
    NamespaceSockets& sockets_;
    PipePool& pipes_;
    core::Slab<TcpPair> pairs_{core::FlowKind::splice_tcp_client, max_pairs};
    std::vector<core::FlowId> run_queue_, running_;
};

}  // namespace pasta::splice
