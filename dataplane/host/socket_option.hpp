// Socket options that are numbers, and the one that makes a close abrupt.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

namespace pasta::host {

/// setsockopt(2) with an int; false when refused.
inline bool set_option(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/// close(2) so that the peer of a TCP connection gets a RST.
inline void close_with_reset(int fd) {
    const linger abort{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    close(fd);
}

}  // namespace pasta::host
