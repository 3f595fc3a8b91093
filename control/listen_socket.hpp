// Making the sockets that forwarded ports listen on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/namespace.hpp"
#include "control/port_spec.hpp"
#include "dataplane/io/unique_fd.hpp"
#include "dataplane/wire/address.hpp"

namespace pasta::control {

/// Where a socket listens.
struct ListenEndpoint {
    uint8_t protocol = 0;                    ///< IPPROTO_TCP or IPPROTO_UDP
    std::optional<wire::IpAddress> address;  ///< unset = any of both families
    std::string interface;                   ///< empty = any
    uint16_t port = 0;                       ///< host byte order
};

/// Makes a bound, non-blocking socket in the calling thread's namespace; a TCP one listens. Without
/// an address it is dual-stack, or IPv4 where the kernel has no IPv6. It gets SO_REUSEPORT once it
/// is bound: nobody else's port is taken, but the sockets that the dataplane makes for single flows
/// of UDP can share it, and a TCP one can have a PortGate. None, with errno set, when it cannot be
/// had.
io::UniqueFd open_listen_socket(const ListenEndpoint& endpoint);

/// The sockets of one port, or why there are none.
struct ListenResult {
    std::vector<io::UniqueFd> sockets;
    ListenEndpoint refused;  ///< without sockets: which endpoint cannot be had,
    int error = 0;           ///< and its errno
};

/// Makes a socket for each endpoint. Of several, those are passed over whose address or family the
/// namespace does not have, unless that leaves none.
ListenResult open_listen_sockets(const std::vector<ListenEndpoint>& endpoints);

/// Why an endpoint cannot be had, for messages: "TCP port 80 of the host is in use by nginx (pid
/// 4711)". `place` is "host" or "namespace"; `holder` may be empty.
std::string listen_problem(const ListenEndpoint& endpoint, int error, std::string_view place,
                           std::string_view holder);

/// The ports that the kernel gives to sockets that ask for none, in the calling thread's namespace
/// (net.ipv4.ip_local_port_range); RFC 6335's range when it cannot be read.
PortRange ephemeral_ports();

/// Who has the port among the sockets of `netns`: "nginx (pid 4711)", or words for somebody who
/// cannot be seen; empty when no socket has it any more. Looks through all of /proc. Never throws.
std::string port_holder(const Netns& netns, uint8_t protocol, uint16_t port);

}  // namespace pasta::control
