// What the dataplane knows about one listening socket. Made by control, then constant.
#pragma once

#include <cstdint>

#include "dataplane/core/port_config.hpp"

namespace pasta::core {

/// Names a listener for as long as the process lives.
using ListenerId = uint32_t;

/// Where a listener listens; its connections go to the other side.
enum class ListenSide : uint8_t { host, ns };

/// A listener that control has bound.
struct ListenerConfig {
    PortId port = 0;  ///< the namespace
    ListenSide side = ListenSide::host;
    uint8_t protocol = 0;      ///< TCP or UDP
    uint16_t target_port = 0;  ///< on the other side; host byte order
};

}  // namespace pasta::core
