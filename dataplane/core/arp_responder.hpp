// Answers the namespace's ARP requests: every neighbour is us.
#pragma once

#include "dataplane/core/port_config.hpp"
#include "dataplane/wire/bytes.hpp"

namespace pasta::core {

/// Writes the reply to `frame`, an ARP frame from the namespace, to `out`. Returns its length, or
/// 0 for no reply: not a request, an announcement, the namespace's own address (whose probes, RFC
/// 5227, must stay unanswered), an address that no host can have, or `out` is too short.
size_t arp_reply(const PortConfig& config, wire::Bytes frame, wire::MutableBytes out);

}  // namespace pasta::core
