// Clients of the host as a namespace sees them.
#pragma once

#include <optional>

#include "dataplane/core/context.hpp"

namespace pasta::core {

/// The flow of a client at `client`:`client_port` with the namespace's own port `guest_port`
/// (protocol TCP or UDP; ports in host byte order). Address and port of the client are kept; where
/// the namespace could not answer the address, another one that is ours stands for it. Nothing
/// when there is none, or when the namespace has no such address or protocol.
std::optional<FlowKey> inbound_key(const Port& port, uint8_t protocol,
                                   const wire::IpAddress& client, uint16_t client_port,
                                   uint16_t guest_port);

}  // namespace pasta::core
