// What control asks of the dataplane about ports.
#pragma once

#include <cstdint>

#include "control/port_spec.hpp"
#include "dataplane/core/port_config.hpp"
#include "dataplane/io/unique_fd.hpp"

namespace pasta::control {

using ListenerId = uint32_t;

struct ListenerConfig {
    core::PortId port{};       ///< the namespace
    ListenOn side{};           ///< where it listens; connections go to the other side
    uint8_t protocol = 0;      ///< IPPROTO_TCP or IPPROTO_UDP
    uint16_t target_port = 0;  ///< host byte order
};

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
