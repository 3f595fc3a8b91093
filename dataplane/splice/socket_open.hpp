// Opening the far half of a spliced flow.
#pragma once

#include "dataplane/splice/namespace_sockets.hpp"

namespace pasta::splice {

/// Opens a TCP socket at the destination, with the client's exact address, and its port where that
/// is free, and starts to connect it. The descriptor, or a negated errno.
int open_tcp(NamespaceSockets& sockets, const Destination& to, const Endpoint& client);

/// Options for a listening TCP socket, which those that are accepted from it inherit.
void set_up_tcp_listener(int fd);

/// Opens a connected UDP socket at the destination, with the client's exact address, and its port
/// where that is free. The descriptor, or a negated errno.
int open_udp(NamespaceSockets& sockets, const Destination& to, const Endpoint& client);

}  // namespace pasta::splice
