// What control asks of the dataplane about ports.
#pragma once

#include "dataplane/core/listener_config.hpp"
#include "dataplane/io/unique_fd.hpp"

namespace pasta::control {

using core::ListenerConfig;
using core::ListenerId;

/// Serves listening sockets. For the control thread.
class PortListeners {
  public:
    virtual ~PortListeners() = default;
    /// Accepts connections or datagrams from now on. The socket is bound and non-blocking, a TCP
    /// one listens. Throws std::system_error.
    virtual ListenerId listen(const ListenerConfig& config, io::UniqueFd socket) = 0;
    /// Closes the socket; what was accepted lives on.
    virtual void unlisten(ListenerId id) = 0;
};

}  // namespace pasta::control
