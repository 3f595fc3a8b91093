// Socket options that are numbers, and the one that makes a close abrupt.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

namespace pasta::host {

/// setsockopt(2) with an int; false when refused.
inline bool set_option(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/// Room for `bytes` in a socket's receive queue, beyond net.core.rmem_max where that is allowed.
/// The kernel doubles it for its own needs.
inline void set_receive_buffer(int fd, int bytes) {
    if (!set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes))
        set_option(fd, SOL_SOCKET, SO_RCVBUF, bytes);
}

/// What UDP sockets get: bursts of datagrams come while the worker is busy elsewhere.
inline constexpr int udp_receive_buffer = 1 << 20;

/// close(2) so that the peer of a TCP connection gets a RST.
inline void close_with_reset(int fd) {
    const linger abort{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    close(fd);
}

}  // namespace pasta::host
