// Two network namespaces with nothing but a loopback each, and what is relayed between them. Needs
// CAP_SYS_ADMIN and CAP_NET_ADMIN, as the whole program does.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "dataplane/host/socket_address.hpp"
#include "dataplane/host/socket_option.hpp"
#include "dataplane/splice/socket_open.hpp"
#include "dataplane/splice/tcp_splice.hpp"
#include "dataplane/splice/udp_splice.hpp"

namespace pasta::splice {

using host::SocketAddress;
using Bytes = std::vector<uint8_t>;

inline const wire::IpAddress loopback4 = wire::IpAddress::v4(127, 0, 0, 1);
inline constexpr wire::IpAddress loopback6{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

/// Bytes that repeat with a period that no buffer's size is a multiple of.
inline Bytes pattern(size_t length, uint32_t seed) {
    constexpr size_t period = 65521;
    Bytes bytes(length);
    uint32_t state = seed * 2654435761U + 1;
    for (size_t i = 0; i < std::min(length, period); ++i) {
        state = state * 1664525U + 1013904223U;
        bytes[i] = static_cast<uint8_t>(state >> 24);
    }
    for (size_t at = period; at < length; at += period)
        std::memcpy(&bytes[at], bytes.data(), std::min(period, length - at));
    return bytes;
}

inline size_t open_descriptors() {
    const auto files = std::filesystem::directory_iterator("/proc/self/fd");
    return static_cast<size_t>(std::distance(begin(files), end(files)));
}

inline void require(bool ok, const char* what) {
    if (!ok) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

/// A socket of the test's; closes itself.
class Sock {
  public:
    explicit Sock(int fd = -1) : fd_(fd) {}
    Sock(Sock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Sock& operator=(Sock&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Sock() {
        if (fd_ >= 0) close(fd_);
    }
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    void reset() { host::close_with_reset(std::exchange(fd_, -1)); }
    Endpoint local() const { return name(getsockname); }
    Endpoint peer() const { return name(getpeername); }

  private:
    template <typename F>
    Endpoint name(F&& get_name) const {
        SocketAddress address;
        socklen_t size = SocketAddress::capacity();
        require(get_name(fd_, address.out(), &size) == 0, "name of a socket");
        return {*address.ip(), address.port()};
    }
    int fd_;
};

/// Makes the calling thread a member of a new network namespace, whose loopback is up.
inline void enter_new_netns() {
    require(unshare(CLONE_NEWNET) == 0, "unshare");
    const Sock socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    require(ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0, "lo up");
}

/// The test's thread is in the host's namespace. It is also what relays, so nothing happens but in
/// turn().
class Lab {
  public:
    static constexpr core::PortId port = 3;

    explicit Lab(size_t udp_flows = UdpSplice::max_flows) {
        signal(SIGPIPE, SIG_IGN);
        enter_new_netns();
        std::thread([this] {
            enter_new_netns();
            netns_ = Sock(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
        }).join();
        sockets_.emplace();
        sockets_->attach(port, dup(netns_.get()));
        tcp_.emplace(poller_, counters, *sockets_, pipes);
        udp_.emplace(poller_, counters, *sockets_, core::SipKey{1, 2}, udp_flows);
    }

    TcpSplice& tcp() { return *tcp_; }
    UdpSplice& udp() { return *udp_; }
    NamespaceSockets& sockets() { return *sockets_; }

    /// Reads a batch from a listener and passes it on. Returns whether there may be more.
    bool receive(const UdpListener& listener) {
        const UdpReader::Batch batch = reader_.read(listener.fd);
        udp_->on_datagrams(listener, batch.bursts, now);
        return !batch.drained;
    }

    /// A socket in either namespace, bound to the address and port.
    Sock socket(Place place, int type, const Endpoint& local) {
        const Destination there{port, place, local};
        Sock made(sockets_->open(there, type));
        const SocketAddress address(local.address, local.port);
        require(made.get() >= 0 && bind(made.get(), address.get(), address.size()) == 0, "bind");
        return made;
    }
    Sock listen(Place place, const wire::IpAddress& address) {
        Sock made = socket(place, SOCK_STREAM, {address, 0});
        set_up_tcp_listener(made.get());
        require(::listen(made.get(), 1024) == 0, "listen");
        return made;
    }
    /// A client's socket, connected (a loopback's connect(2) is over at once) to `server`.
    Sock connect(Place place, const Endpoint& server, const Endpoint& from) {
        Sock made = socket(place, SOCK_STREAM, from);
        const SocketAddress address(server.address, server.port);
        require(::connect(made.get(), address.get(), address.size()) == 0 || errno == EINPROGRESS,
                "connect");
        return made;
    }
    /// Gives the next client of a listening socket to the relay; false when there is none.
    bool accept(const Sock& listener, Place place, const Endpoint& target) {
        SocketAddress from;
        socklen_t size = SocketAddress::capacity();
        const int fd = accept4(listener.get(), from.out(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return false;
        tcp().start(fd, {*from.ip(), from.port()}, {port, place, target});
        return true;
    }

    /// Errors not being seen is as if they came right after the events were fetched.
    void turn(bool errors_seen = true) {
        for (auto event : poller_.wait(0)) {
            event.ready.error &= errors_seen;
            event.ready.failed &= errors_seen;
            if (event.flow.kind() == core::FlowKind::splice_udp)
                udp().on_ready(event.flow, event.ready, now);
            else
                tcp().on_ready(event.flow, event.ready);
        }
        tcp().run();
        udp().run(now);
    }
    /// Turns until `condition` holds; fails when it does not in any sensible time.
    template <typename Condition>
    bool until(Condition&& condition) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (std::chrono::steady_clock::now() < end) {
            if (condition()) return true;
            turn();
        }
        ADD_FAILURE() << "patience ended";
        return false;
    }
    /// Turns until there is nothing left to do.
    void settle() {
        for (int quiet = 0; quiet < 20; ++quiet)
            turn();
    }

    core::Counters counters;
    PipePool pipes;
    core::Time now = core::second;

  private:
    UdpReader reader_;
    Sock netns_;
    host::SocketPoller poller_;
    std::optional<NamespaceSockets> sockets_;
    std::optional<TcpSplice> tcp_;
    std::optional<UdpSplice> udp_;
};

/// Sends what the socket takes of bytes from `at` on.
inline void send_some(const Sock& socket, const Bytes& bytes, size_t& at) {
    const ssize_t n = send(socket.get(), bytes.data() + at, bytes.size() - at, MSG_DONTWAIT);
    if (n > 0) at += static_cast<size_t>(n);
}

enum class Heard { open, end, reset };

/// Appends what the socket has, at most `limit` bytes; says how the stream stands.
inline Heard receive_some(const Sock& socket, Bytes& bytes, size_t limit = 1 << 20) {
    const size_t before = bytes.size();
    bytes.resize(before + limit);
    const ssize_t n = recv(socket.get(), bytes.data() + before, limit, MSG_DONTWAIT);
    const int error = errno;
    bytes.resize(before + (n > 0 ? static_cast<size_t>(n) : 0));
    if (n == 0) return Heard::end;
    return n < 0 && error != EAGAIN ? Heard::reset : Heard::open;
}

}  // namespace pasta::splice
