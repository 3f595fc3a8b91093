// Opening the host sockets of UDP and echo flows, in the calling thread's network namespace.
#pragma once

#include <cstdint>

#include "dataplane/core/datagram_flow.hpp"

namespace pasta::host {

/// A connected, non-blocking socket that the caller owns, or why there is none.
struct OpenedSocket {
    int fd = -1;
    int error = 0;         ///< errno when fd is -1
    uint32_t mtu = 0;      ///< of the path, as far as it is known; 0 = not at all
    bool raw = false;      ///< echo: a raw socket, because ping sockets are not allowed
    uint16_t host_id = 0;  ///< echo: identifier to use with a raw socket
};

/// A UDP socket from the guest's source port where that is free, else from one of the kernel's
/// choice.
OpenedSocket open_udp(uint16_t guest_port, const core::HostTarget& target);

/// A UDP socket between `client` and the address and port that it sent to, beside the listener
/// there. Datagrams of others may be in it: those that came before it was connected.
OpenedSocket open_inbound_udp(const core::Endpoint& local, const core::HostTarget& client);

/// A ping socket (icmp(7), net.ipv4.ping_group_range) with the guest's identifier where that is
/// free; where ping sockets are not allowed a raw one, with an identifier of its own because the
/// kernel does not keep raw sockets' apart.
OpenedSocket open_echo(uint16_t guest_id, const wire::IpAddress& target);

/// Path MTU of a connected socket; 0 when unknown.
uint32_t path_mtu(int fd, bool is_v4);

}  // namespace pasta::host
