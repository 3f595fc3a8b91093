// Sockets of other network namespaces, made by the worker's own thread.
#pragma once

#include <vector>

#include "dataplane/splice/endpoint.hpp"

namespace pasta::splice {

/// Makes sockets on either loopback. For a namespace's the thread enters it and returns, by
/// setns(2) twice: 3 us, where all that one connection takes is near 100 us, so sockets are not
/// made in advance.
class NamespaceSockets {
  public:
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
    /// negated errno: ENETDOWN when the namespace is not attached, EMFILE, ENFILE, ENOMEM, or what
    /// setns(2) says. By the thread that made this object. Aborts the process if the thread cannot
    /// come back: whatever it did from then on would happen in the wrong namespace.
    int open(const Destination& to, int type);

  private:
    int netns_of(core::PortId port) const { return port < netns_.size() ? netns_[port] : -1; }

    int home_;
    std::vector<int> netns_;  ///< by PortId; -1 = not attached
};

}  // namespace pasta::splice
