#include "dataplane/host/socket_poller.hpp"

#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <system_error>

namespace pasta::host {

namespace {
constexpr uint64_t wakeup_token = 0;  // FlowKind::none
}

SocketPoller::SocketPoller() : epoll_fd_(epoll_create1(EPOLL_CLOEXEC)), raw_(batch) {
    if (epoll_fd_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
    events_.reserve(batch);
}

SocketPoller::~SocketPoller() {
    close(epoll_fd_);
}

bool SocketPoller::add(int fd, core::FlowId flow) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u64 = flow.packed();
    return epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool SocketPoller::add_shared(int fd, core::FlowId listener) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLEXCLUSIVE;
    event.data.u64 = listener.packed();
    return epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void SocketPoller::add_wakeup(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = wakeup_token;
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0)
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

void SocketPoller::remove(int fd) {
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
}

std::span<const SocketPoller::Event> SocketPoller::wait(core::Time timeout) {
    events_.clear();
    timespec ts{static_cast<time_t>(timeout / core::second),
                static_cast<long>(timeout % core::second)};
    const int n = epoll_pwait2(epoll_fd_, raw_.data(), batch,
                               timeout == core::never ? nullptr : &ts, nullptr);
    for (int i = 0; i < n; ++i) {
        if (raw_[i].data.u64 == wakeup_token) continue;
        const uint32_t e = raw_[i].events;
        events_.push_back(
            {core::FlowId::unpack(raw_[i].data.u64),
             {(e & EPOLLIN) != 0, (e & EPOLLOUT) != 0, (e & (EPOLLERR | EPOLLHUP)) != 0,
              (e & EPOLLERR) != 0, (e & EPOLLRDHUP) != 0, (e & EPOLLPRI) != 0}});
    }
    return events_;
}

}  // namespace pasta::host
