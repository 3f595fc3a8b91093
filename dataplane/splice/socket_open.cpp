#include "dataplane/splice/socket_open.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "dataplane/host/socket_address.hpp"
#include "dataplane/host/socket_option.hpp"

namespace pasta::splice {

using host::set_option;
using host::SocketAddress;

namespace {

/// Whether the source is the client exactly. One whose source were its target would become its own
/// peer.
bool bind_exactly(int fd, const Endpoint& client, const Endpoint& target) {
    const SocketAddress exact(client.address, client.port);
    return client != target && bind(fd, exact.get(), exact.size()) == 0;
}

/// For connect(2) to choose the port, by what is free for this target alone. Where even the address
/// is refused, the kernel's choice still serves the flow.
void bind_address(int fd, const Endpoint& client) {
    const SocketAddress any_port(client.address, 0);
    set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    static_cast<void>(bind(fd, any_port.get(), any_port.size()));
}

/// Whether the kernel happened to choose the target's port, which nobody else has then.
bool is_self_connected(int fd, const Endpoint& target) {
    SocketAddress local;
    socklen_t size = SocketAddress::capacity();
    return getsockname(fd, local.out(), &size) == 0 && local.port() == target.port &&
           local.ip() == target.address;
}

/// What both halves of a connection need.
void set_up_tcp(int fd) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);  // the other end has decided when to send
    set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1);  // RFC 6093: urgent data stays in the stream
}

/// The descriptor, connected or under way, or a negated errno.
int connect_from(int fd, const Endpoint& client, const Endpoint& target) {
    const bool exact = bind_exactly(fd, client, target);
    if (!exact) bind_address(fd, client);
    const SocketAddress remote(target.address, target.port);
    int error = connect(fd, remote.get(), remote.size()) == 0 ? 0 : errno;
    if (error == EINPROGRESS) error = 0;
    if (error == 0 && !exact && is_self_connected(fd, target)) error = ECONNREFUSED;
    if (error == 0) return fd;
    close(fd);
    return -error;
}

}  // namespace

int open_tcp(NamespaceSockets& sockets, const Destination& to, const Endpoint& client) {
    const int fd = sockets.open(to, SOCK_STREAM);
    if (fd < 0) return fd;
    set_up_tcp(fd);
    return connect_from(fd, client, to.target);
}

void set_up_tcp_listener(int fd) {
    set_up_tcp(fd);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);  // a client that vanished is noticed in the end
}

int open_udp(NamespaceSockets& sockets, const Destination& to, const Endpoint& client) {
    const int fd = sockets.open(to, SOCK_DGRAM);
    if (fd < 0) return fd;
    set_option(fd, IPPROTO_UDP, UDP_GRO, 1);
    host::set_receive_buffer(fd, host::udp_receive_buffer);
    return connect_from(fd, client, to.target);
}

}  // namespace pasta::splice
