// Listening sockets, handed to the dataplane.
#pragma once

#include "control/port_listeners.hpp"
#include "dataplane/shard/dataplane.hpp"

namespace pasta::control {

/// Useless until bind() names the dataplane.
class DataplaneListeners : public PortListeners {
  public:
    /// The dataplane outlives all listeners.
    void bind(shard::Dataplane& dataplane) { dataplane_ = &dataplane; }
    ListenerId listen(const ListenerConfig& config, io::UniqueFd socket) override;
    void unlisten(ListenerId id) override;

  private:
    shard::Dataplane* dataplane_ = nullptr;
};

}  // namespace pasta::control
