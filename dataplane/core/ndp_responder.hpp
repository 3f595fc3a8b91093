// Neighbour and router discovery towards the namespace: every neighbour and the router are us.
#pragma once

#include "dataplane/core/port_config.hpp"
#include "dataplane/wire/bytes.hpp"

namespace pasta::core {

/// Writes the reply to `frame`, an ICMPv6 frame from the namespace, to `out`: an advertisement to
/// a neighbour or router solicitation. Returns its length, or 0 for no reply: another message, one
/// that RFC 4861 (6.1.1, 7.1.1) calls invalid, duplicate address detection (source ::), the
/// namespace's own address, disabled by the configuration, or `out` is too short.
size_t ndp_reply(const PortConfig& config, wire::Bytes frame, wire::MutableBytes out);

/// Writes an unsolicited router advertisement to all nodes. Returns its length, or 0 when
/// advertisements are disabled or `out` is too short.
size_t router_advertisement(const PortConfig& config, wire::MutableBytes out);

}  // namespace pasta::core
