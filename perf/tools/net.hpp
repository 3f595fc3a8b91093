// What the lab's tools share: sockets by name, and an exit with a message when something fails.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pasta::perf {

/// Prints "WHAT: error" from errno and exits with status 1.
[[noreturn]] void fail(std::string_view what);

/// A number on the command line; exits with a message when `text` is none.
double number(const char* text);

/// Monotonic clock, seconds.
double now();

/// A socket of `type` (SOCK_STREAM, SOCK_DGRAM) bound to a numeric address and port; listening if a
/// stream. Exits on failure. The caller owns the descriptor.
int serve_on(const char* address, uint16_t port, int type);

/// A blocking socket connected to a numeric address and port, -1 with errno set on failure.
/// Connecting is given up after `patience` seconds; 0 leaves that to the kernel.
int connect_to(const char* address, uint16_t port, int type, double patience = 0);

/// Gives up a blocking read after `seconds`, with EAGAIN.
void set_receive_timeout(int socket, double seconds);

/// Adds `fd` to an epoll set, for EPOLLIN; exits on failure.
void watch(int epoll, int fd);

/// The value below which the share `q` (0 to 1) of them lies; `sorted` is ascending and not empty.
double quantile(const std::vector<double>& sorted, double q);

}  // namespace pasta::perf
