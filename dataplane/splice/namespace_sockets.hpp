// Sockets of other network namespaces, made by the worker's own thread.
#pragma once

#include <functional>
#include <vector>

#include "dataplane/splice/endpoint.hpp"

namespace pasta::splice {

/// Makes sockets on either loopback. For a namespace's the thread enters it and comes back, by
/// setns(2) twice, which is 4 of the 90 us that a short TCP connection takes. So TCP sockets are
/// made some at a time where one after the other is wanted, twice as many each time, up to `batch`.
/// What nobody wants for `keep` is closed.
class NamespaceSockets {
  public:
    static constexpr size_t batch = 16;
    static constexpr core::Time keep = core::second;

    /// The calling thread's network namespace is the host's. Throws std::system_error when it has
    /// no handle on it.
    NamespaceSockets();
    ~NamespaceSockets();
    NamespaceSockets(const NamespaceSockets&) = delete;
    NamespaceSockets& operator=(const NamespaceSockets&) = delete;

    /// Takes over `netns`, a descriptor of the namespace (/proc/PID/ns/net), which keeps it alive.
    void attach(core::PortId port, int netns);
    void detach(core::PortId port);

    /// A non-blocking socket of `type` (SOCK_STREAM, SOCK_DGRAM) for the destination's family, or a
    /// negated errno: that of within(), EMFILE, ENFILE or ENOMEM.
    int open(const Destination& to, int type);
    /// Has the thread that made this object do some work inside a namespace. 0, or a negated errno
    /// when nothing was done: ENETDOWN when the namespace is not attached, or what setns(2) says.
    /// Aborts the process if the thread cannot come back: whatever it did from then on would happen
    /// in the wrong namespace.
    int within(core::PortId port, const std::function<void()>& work);
    /// Closes what was not wanted; to be called in each turn, and at next_deadline().
    void run(core::Time now);
    core::Time next_deadline() const { return deadline_; }

  private:
    struct Family {
        std::vector<int> spare;  ///< TCP sockets
        size_t next_batch = 1;
    };
    struct Namespace {
        int netns = -1;  ///< -1 = not attached
        Family v4, v6;
    };
    Namespace* find(core::PortId port);
    static void add_spares(Family& same, int family);
    static void close_spares(Namespace& there);

    int home_;
    std::vector<Namespace> namespaces_;  ///< by PortId
    bool wanted_ = false;                ///< a TCP socket, since run() looked
    core::Time deadline_ = core::never;
};

}  // namespace pasta::splice
