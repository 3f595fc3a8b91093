// What the engine asks of host sockets. The host side executes the operations in order and tells
// the engine each result through its on_* functions; the engine itself makes no system call.
#pragma once

#include <cerrno>
#include <cstdint>
#include <vector>

#include "dataplane/core/flow.hpp"

namespace pasta::core {

/// A host socket, as the host side named it; -1 = none. Opaque to the engine, which keeps it so
/// that a flow and its socket have one record.
using SocketHandle = int;

enum class SocketOpKind : uint8_t {
    tcp_connect,     ///< open and connect(2) without blocking; result: on_connected/_failed
    tcp_send,        ///< write what the flow holds; result: on_sent
    tcp_read,        ///< read what plan_read() allows; result: on_read
    tcp_shutdown,    ///< shutdown(SHUT_WR)
    tcp_close,       ///< close(2) of `socket`; the flow may be gone
    tcp_abort,       ///< close(2) of `socket` so that its peer gets a RST; the flow may be gone
    udp_open,        ///< open, bind (where a client sent to, if one did) and connect a socket
    udp_send,        ///< send the datagrams that the flow holds
    udp_read,        ///< read datagrams
    udp_reject,      ///< send the flow's `rejection` to its client; result: on_rejected
    echo_open,       ///< open a ping (or raw) socket for the flow
    echo_send,       ///< send the echo requests that the flow holds
    echo_read,       ///< read echo replies
    datagram_close,  ///< close(2) of a UDP or echo `socket`; the flow may be gone
};

struct SocketOp {
    FlowId flow;
    SocketOpKind kind{};
    SocketHandle socket = -1;
};

/// FIFO of operations. A flow has at most one of each kind in it (the flow's own flags see to
/// that), which bounds it. Its memory grows to what was needed once and stays.
class SocketOps {
  public:
    void push(const SocketOp& op) {
        if (size_ == ring_.size()) grow();
        ring_[(head_ + size_++) & (ring_.size() - 1)] = op;
    }
    bool empty() const { return size_ == 0; }
    size_t size() const { return size_; }
    /// The oldest operation; only if not empty.
    SocketOp pop() {
        const SocketOp op = ring_[head_];
        head_ = (head_ + 1) & (ring_.size() - 1);
        --size_;
        return op;
    }

  private:
    void grow() {
        std::vector<SocketOp> larger(ring_.size() * 2);
        for (size_t i = 0; i < size_; ++i)
            larger[i] = ring_[(head_ + i) & (ring_.size() - 1)];
        ring_.swap(larger);
        head_ = 0;
    }

    std::vector<SocketOp> ring_ = std::vector<SocketOp>(256);  ///< its size is a power of two
    size_t head_ = 0;
    size_t size_ = 0;
};

/// Whether an errno tells that this process or machine has run out of something.
inline bool is_exhaustion(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/// Readiness of a host socket, as epoll reports it.
struct Readiness {
    bool readable = false;  ///< EPOLLIN
    bool writable = false;  ///< EPOLLOUT
    bool error = false;     ///< EPOLLERR or EPOLLHUP: look at SO_ERROR or the error queue
    bool failed = false;    ///< EPOLLERR: SO_ERROR, or the error queue, has something to tell
    bool hangup = false;    ///< EPOLLRDHUP: the peer's FIN stands behind what can be read
    bool urgent = false;    ///< EPOLLPRI: there is urgent data, before which reading stops once
};

}  // namespace pasta::core
