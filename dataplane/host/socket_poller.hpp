// The epoll set of one shard.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/core/flow.hpp"
#include "dataplane/core/socket_op.hpp"
#include "dataplane/core/time.hpp"

namespace pasta::host {

/// Edge-triggered readiness of flows' sockets, and wake-ups by descriptors that are no flow's
/// (ports, mailboxes), which are level-triggered and only end the sleep.
class SocketPoller {
  public:
    /// One reported socket.
    struct Event {
        core::FlowId flow;
        core::Readiness ready;
    };

    /// Throws std::system_error when the kernel gives no epoll descriptor.
    SocketPoller();
    ~SocketPoller();
    SocketPoller(const SocketPoller&) = delete;
    SocketPoller& operator=(const SocketPoller&) = delete;

    /// Watches a flow's socket, edge-triggered for input, output and hang-up. It leaves the set
    /// when it is closed. False when the kernel refuses (out of memory or watches).
    bool add(int fd, core::FlowId flow);
    /// A descriptor whose readability ends a sleep; `remove_wakeup` before it is closed elsewhere.
    void add_wakeup(int fd);
    void remove_wakeup(int fd);

    /// Waits up to `timeout` ns (0: not at all, never: without limit) and returns the flows'
    /// events, valid until the next call.
    std::span<const Event> wait(core::Time timeout);

  private:
    static constexpr int batch = 256;

    int epoll_fd_;
    std::vector<epoll_event> raw_;
    std::vector<Event> events_;
};

}  // namespace pasta::host
