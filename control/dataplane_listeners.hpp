// Listening sockets, handed to the dataplane.
#pragma once

#include <map>

#include "control/port_listeners.hpp"

namespace pasta::control {

/// Keeps the sockets open; clients wait in the backlog.
class DataplaneListeners : public PortListeners {
  public:
    ListenerId listen(const ListenerConfig& config, io::UniqueFd socket) override;
    void unlisten(ListenerId id) override;

  private:
    std::map<ListenerId, io::UniqueFd> sockets_;
    ListenerId next_ = 0;
};

}  // namespace pasta::control
