#include "dataplane/splice/namespace_sockets.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <utility>

namespace pasta::splice {

namespace {

/// The descriptor, or a negated errno.
int socket_or_error(int family, int type) {
    const int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 ? fd : -errno;
}

}  // namespace

NamespaceSockets::NamespaceSockets()
    : home_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    if (home_ < 0)
        throw std::system_error(errno, std::generic_category(), "/proc/thread-self/ns/net");
}

NamespaceSockets::~NamespaceSockets() {
    for (core::PortId port = 0; port < namespaces_.size(); ++port)
        detach(port);
    close(home_);
}

void NamespaceSockets::attach(core::PortId port, int netns) {
    if (port >= namespaces_.size()) namespaces_.resize(port + size_t{1});
    detach(port);
    namespaces_[port].netns = netns;
}

void NamespaceSockets::detach(core::PortId port) {
    if (port >= namespaces_.size() || namespaces_[port].netns < 0) return;
    close_spares(namespaces_[port]);
    close(std::exchange(namespaces_[port].netns, -1));
}

int NamespaceSockets::open(const Destination& to, int type) {
    const bool v4 = to.target.address.is_v4();
    const int family = v4 ? AF_INET : AF_INET6;
    if (to.place == Place::host) return socket_or_error(family, type);
    if (to.port >= namespaces_.size() || namespaces_[to.port].netns < 0) return -ENETDOWN;
    Namespace& there = namespaces_[to.port];
    if (type != SOCK_STREAM) return make(there, family, type, nullptr);
    wanted_ = true;
    Family& same = v4 ? there.v4 : there.v6;
    if (same.spare.empty()) return make(there, family, type, &same);
    const int fd = same.spare.back();
    same.spare.pop_back();
    return fd;
}

/// One for the caller, and others for `spares`, if that is given, as far as there is room.
int NamespaceSockets::make(Namespace& there, int family, int type, Family* spares) {
    if (setns(there.netns, CLONE_NEWNET) != 0) return -errno;
    const int fd = socket_or_error(family, type);
    if (spares != nullptr && fd >= 0) {
        for (size_t i = 1; i < spares->next_batch; ++i)
            if (const int spare = socket_or_error(family, type); spare >= 0)
                spares->spare.push_back(spare);
        spares->next_batch = std::min(2 * spares->next_batch, batch);
    }
    if (setns(home_, CLONE_NEWNET) != 0) {
        std::perror("pasta-xdp: cannot return to the host's network namespace");
        std::abort();
    }
    return fd;
}

void NamespaceSockets::run(core::Time now) {
    if (std::exchange(wanted_, false)) {
        deadline_ = now + keep;
    } else if (deadline_ <= now) {
        deadline_ = core::never;
        for (Namespace& each : namespaces_)
            close_spares(each);
    }
}

void NamespaceSockets::close_spares(Namespace& there) {
    for (Family* family : {&there.v4, &there.v6}) {
        for (const int fd : family->spare)
            close(fd);
        *family = {};
    }
}

}  // namespace pasta::splice
