// A DHCPv4 server with one address to give (RFC 2131), which also answers BOOTP (RFC 1534).
#pragma once

#include "dataplane/core/port_config.hpp"
#include "dataplane/wire/bytes.hpp"

namespace pasta::core {

/// Writes the reply to `frame`, a UDP frame from the namespace to port 67, to `out`:
///
///   DISCOVER             OFFER, or ACK when the client offers rapid commit (RFC 4039)
///   REQUEST              ACK for the configured address, NAK for another one; nothing when the
///                        client chose another server or names no address
///   INFORM               ACK without address and lease
///   BOOTP                the address, without DHCP's own options
///   RELEASE, DECLINE     nothing: the address stays reserved for this namespace
///
/// The server is the gateway's address. Leases never end. Returns the frame's length, or 0 for no
/// reply: also when DHCP is disabled, the namespace has no IPv4 address or no gateway, the frame
/// is malformed, relayed, or not for this server, or `out` is too short.
size_t dhcp_reply(const PortConfig& config, wire::Bytes frame, wire::MutableBytes out);

}  // namespace pasta::core
