// A DHCPv6 server with one address to give (RFC 8415), without leases to remember.
#pragma once

#include "dataplane/core/port_config.hpp"
#include "dataplane/wire/bytes.hpp"

namespace pasta::core {

/// Writes the reply to `frame`, a UDP frame from the namespace to port 547, to `out`:
///
///   SOLICIT              ADVERTISE, or REPLY when the client offers rapid commit
///   REQUEST              REPLY with the address; NotOnLink when the client names another one
///   RENEW, REBIND        REPLY with the address; others get lifetimes of 0
///   CONFIRM              REPLY: Success when all addresses are the configured one, or NotOnLink
///   INFORMATION-REQUEST  REPLY with DNS only
///   RELEASE, DECLINE     REPLY: Success; the address stays reserved for this namespace
///
/// The first IA_NA gets the address; there are no more addresses and no prefixes. Lifetimes are
/// infinite. Returns the frame's length, or 0 for no reply: also when DHCPv6 is disabled, the
/// message is one that RFC 8415, 16 says to discard, is malformed, or was not sent to all servers
/// (ff02::1:2), or `out` is too short.
size_t dhcp6_reply(const PortConfig& config, wire::Bytes frame, wire::MutableBytes out);

}  // namespace pasta::core
