// Opening the far half of a spliced flow.
#pragma once

#include "dataplane/splice/namespace_sockets.hpp"

namespace pasta::splice {

/// Opens a TCP socket at the destination, with the client's exact address, and its port where that
/// is free, and starts to connect it. The descriptor, or a negated errno.
int open_tcp(NamespaceSockets& sockets, const Destination& to, const Endpoint& client);

/// What became of connect(2): 0, EINPROGRESS, or why it failed. To be asked until it is not
/// EINPROGRESS.
int connect_result(int fd, const Endpoint& target);

/// Options that both halves of a TCP connection need. Those of a listening socket are those of the
/// sockets accepted from it.
void set_up_tcp(int fd);

/// Opens a connected UDP socket at the destination, with the client's exact address, and its port
/// where that is free. The descriptor, or a negated errno.
int open_udp(NamespaceSockets& sockets, const Destination& to, const Endpoint& client);

}  // namespace pasta::splice
