// Socket options that are numbers.
#pragma once

#include <sys/socket.h>

namespace pasta::host {

/// setsockopt(2) with an int; false when refused.
inline bool set_option(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

}  // namespace pasta::host
