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
    for (size_t port = 0; port < namespaces_.size(); ++port)
        detach(static_cast<core::PortId>(port));
    close(home_);
}

void NamespaceSockets::attach(core::PortId port, int netns) {
    if (port >= namespaces_.size()) namespaces_.resize(port + size_t{1});
    detach(port);
    namespaces_[port].netns = netns;
}

void NamespaceSockets::detach(core::PortId port) {
    Namespace* const there = find(port);
    if (there == nullptr) return;
    close_spares(*there);
    close(std::exchange(there->netns, -1));
}

/// Null when it is not attached.
NamespaceSockets::Namespace* NamespaceSockets::find(core::PortId port) {
    return port < namespaces_.size() && namespaces_[port].netns >= 0 ? &namespaces_[port] : nullptr;
}

int NamespaceSockets::within(core::PortId port, const std::function<void()>& work) {
    const Namespace* const there = find(port);
    if (there == nullptr) return -ENETDOWN;
    if (setns(there->netns, CLONE_NEWNET) != 0) return -errno;
    work();
    if (setns(home_, CLONE_NEWNET) != 0) {
        std::perror("pasta-xdp: cannot return to the host's network namespace");
        std::abort();
    }
    return 0;
}

int NamespaceSockets::open(const Destination& to, int type) {
    const bool v4 = to.target.address.is_v4();
    const int family = v4 ? AF_INET : AF_INET6;
    if (to.place == Place::host) return socket_or_error(family, type);
    Namespace* const there = find(to.port);
    const bool tcp = type == SOCK_STREAM;
    wanted_ |= tcp;
    Family* const same = there != nullptr && tcp ? &(v4 ? there->v4 : there->v6) : nullptr;
    if (same != nullptr && !same->spare.empty()) {
        const int fd = same->spare.back();
        same->spare.pop_back();
        return fd;
    }
    int fd = -1;
    const int error = within(to.port, [&] {
        fd = socket_or_error(family, type);
        if (same != nullptr && fd >= 0) add_spares(*same, family);
    });
    return error != 0 ? error : fd;
}

/// In the namespace: as many as will be wanted soon, as far as there is room.
void NamespaceSockets::add_spares(Family& same, int family) {
    for (size_t i = 1; i < same.next_batch; ++i) {
        const int spare = socket_or_error(family, SOCK_STREAM);
        if (spare < 0) break;
        same.spare.push_back(spare);
    }
    same.next_batch = std::min(2 * same.next_batch, batch);
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
