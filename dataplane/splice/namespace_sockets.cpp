#include "dataplane/splice/namespace_sockets.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <utility>

namespace pasta::splice {

NamespaceSockets::NamespaceSockets()
    : home_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    if (home_ < 0)
        throw std::system_error(errno, std::generic_category(), "/proc/thread-self/ns/net");
}

NamespaceSockets::~NamespaceSockets() {
    for (const int netns : netns_)
        if (netns >= 0) close(netns);
    close(home_);
}

void NamespaceSockets::attach(core::PortId port, int netns) {
    detach(port);
    if (port >= netns_.size()) netns_.resize(port + size_t{1}, -1);
    netns_[port] = netns;
}

void NamespaceSockets::detach(core::PortId port) {
    if (netns_of(port) >= 0) close(std::exchange(netns_[port], -1));
}

int NamespaceSockets::open(const Destination& to, int type) {
    const bool away = to.place == Place::netns;
    const int netns = netns_of(to.port);
    if (away && netns < 0) return -ENETDOWN;
    if (away && setns(netns, CLONE_NEWNET) != 0) return -errno;
    const int fd = socket(to.target.address.is_v4() ? AF_INET : AF_INET6,
                          type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int error = errno;
    if (away && setns(home_, CLONE_NEWNET) != 0) {
        std::perror("pasta-xdp: cannot return to the host's network namespace");
        std::abort();
    }
    return fd >= 0 ? fd : -error;
}

}  // namespace pasta::splice
