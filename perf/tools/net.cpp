#include "perf/tools/net.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace pasta::perf {

namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

AddressList resolve(const char* address, uint16_t port, int type) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = type;
    addrinfo* found = nullptr;
    if (const int error = getaddrinfo(address, std::to_string(port).c_str(), &hints, &found)) {
        std::fprintf(stderr, "%s: %s\n", address, gai_strerror(error));
        std::exit(1);
    }
    return {found, &freeaddrinfo};
}

void set_timeout(int socket, int option, double seconds) {
    const double whole = std::floor(seconds);
    const timeval limit{static_cast<time_t>(whole),
                        static_cast<suseconds_t>((seconds - whole) * 1e6)};
    if (setsockopt(socket, SOL_SOCKET, option, &limit, sizeof limit) != 0) fail("SO_*TIMEO");
}

}  // namespace

void fail(std::string_view what) {
    std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(what.size()), what.data(),
                 std::strerror(errno));
    std::exit(1);
}

double number(const char* text) {
    char* end = nullptr;
    const double value = std::strtod(text, &end);
    if (end == text || *end != '\0' || value < 0) {
        std::fprintf(stderr, "%s: not a number of at least 0\n", text);
        std::exit(1);
    }
    return value;
}

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

int serve_on(const char* address, uint16_t port, int type) {
    const AddressList target = resolve(address, port, type);
    const int fd = socket(target->ai_family, type | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, target->ai_addr, target->ai_addrlen) != 0) fail("bind");
    if (type == SOCK_STREAM && listen(fd, 4096) != 0) fail("listen");
    return fd;
}

int connect_to(const char* address, uint16_t port, int type, double patience) {
    const AddressList target = resolve(address, port, type);
    const int fd = socket(target->ai_family, type | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (patience > 0) set_timeout(fd, SO_SNDTIMEO, patience);
    if (connect(fd, target->ai_addr, target->ai_addrlen) != 0) {
        const int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

void set_receive_timeout(int socket, double seconds) {
    set_timeout(socket, SO_RCVTIMEO, seconds);
}

void watch(int epoll, int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

double quantile(const std::vector<double>& sorted, double q) {
    return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1))];
}

}  // namespace pasta::perf
