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

/// Edge-triggered readiness of flows' sockets, level-triggered readiness of listeners, and wake-ups
/// by descriptors that are neither's (ports, mailboxes), which only end the sleep.
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
    /// Watches a listener's socket, which other sets have too, for clients: level-triggered, and
    /// each client wakes one of the sleepers. False when the kernel refuses.
    bool add_shared(int fd, core::FlowId listener);
    /// A descriptor whose readability ends a sleep.
    void add_wakeup(int fd);
    /// Those that are added by the two functions before leave the set before they are closed, for
    /// others may have them open too.
    void remove(int fd);

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
