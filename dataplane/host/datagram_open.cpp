#include "dataplane/host/datagram_open.hpp"

#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "dataplane/host/socket_address.hpp"
#include "dataplane/host/socket_option.hpp"
#include "dataplane/wire/icmp.hpp"

namespace pasta::host {
namespace {

constexpr int socket_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;

int family_of(const wire::IpAddress& address) {
    return address.is_v4() ? AF_INET : AF_INET6;
}

wire::IpAddress any_address(const wire::IpAddress& like) {
    return like.is_v4() ? wire::IpAddress::v4(0, 0, 0, 0) : wire::IpAddress{};
}

/// Asks for errors with their offenders and for the header fields that the namespace gets too.
void set_up(int fd, bool v4) {
    if (v4) {
        set_option(fd, IPPROTO_IP, IP_RECVERR, 1);
        set_option(fd, IPPROTO_IP, IP_RECVTTL, 1);
        set_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
    } else {
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);  // IPv4 flows have the port to themselves
        set_option(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
        set_option(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
        set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    }
    set_receive_buffer(fd, udp_receive_buffer);
}

bool bind_port(int fd, const wire::IpAddress& like, uint16_t port) {
    const SocketAddress any(any_address(like), port);
    return bind(fd, any.get(), any.size()) == 0;
}

/// Connects; errno as an error that ICMP has a word for.
int connect_error(int fd, const SocketAddress& peer) {
    if (connect(fd, peer.get(), peer.size()) == 0) return 0;
    // Link-local peers lack the interface that they would be reached by.
    return errno == EINVAL ? EHOSTUNREACH : errno;
}

OpenedSocket failed(int fd, int error) {
    if (fd >= 0) close(fd);
    return {.error = error};
}

/// Whether a socket is its own peer, which happens when nobody else has the port.
bool is_self_connected(int fd, const SocketAddress& peer) {
    SocketAddress local;
    socklen_t length = SocketAddress::capacity();
    return getsockname(fd, local.out(), &length) == 0 && local.ip() == peer.ip() &&
           local.port() == peer.port();
}

/// Drops what anybody sent to the port between bind(2) and connect(2). False when it does not end.
bool discard_early(int fd) {
    constexpr int limit = 1024;
    for (int i = 0; i < limit; ++i)
        if (recv(fd, nullptr, 0, MSG_DONTWAIT) < 0) return true;
    return false;
}

OpenedSocket open_udp_from(uint16_t source_port, const core::HostTarget& target) {
    const int fd = socket(family_of(target.address), SOCK_DGRAM | socket_flags, 0);
    if (fd < 0) return failed(fd, errno);
    set_up(fd, target.address.is_v4());
    const bool bound = source_port != 0 && bind_port(fd, target.address, source_port);
    const SocketAddress peer(target.address, target.port);
    if (const int error = connect_error(fd, peer)) return failed(fd, error);
    if (bound && (is_self_connected(fd, peer) || !discard_early(fd))) return failed(fd, EADDRINUSE);
    return {.fd = fd, .mtu = path_mtu(fd, target.address.is_v4())};
}

/// Only echo replies with this identifier reach a raw socket; others would wake it for nothing.
void filter_raw(int fd, bool v4, uint16_t id) {
    if (v4) {
        icmp_filter filter{~(1u << wire::icmpv4::echo_reply)};
        setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof filter);
    } else {
        icmp6_filter filter;
        for (auto& word : filter.data)
            word = UINT32_MAX;
        filter.data[wire::icmpv6::echo_reply / 32] &= ~(1u << wire::icmpv6::echo_reply % 32);
        setsockopt(fd, IPPROTO_ICMPV6, ICMPV6_FILTER, &filter, sizeof filter);
    }
    // IPv4's raw sockets see the IP header, IPv6's do not.
    sock_filter with_ip_header[] = {
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, id, 0, 1), BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0)};
    sock_filter without[] = {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
                             BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, id, 0, 1),
                             BPF_STMT(BPF_RET | BPF_K, UINT32_MAX), BPF_STMT(BPF_RET | BPF_K, 0)};
    const sock_fprog program = v4 ? sock_fprog{5, with_ip_header} : sock_fprog{4, without};
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

/// A number that no other raw socket of this process had lately.
uint16_t unused_raw_id() {
    static std::atomic<uint16_t> last{static_cast<uint16_t>(getpid() * 257)};
    return ++last;
}

OpenedSocket open_raw_echo(const wire::IpAddress& target) {
    const bool v4 = target.is_v4();
    const int fd = socket(family_of(target), SOCK_RAW | socket_flags,
                          v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
    if (fd < 0) return failed(fd, errno);
    const uint16_t id = unused_raw_id();
    filter_raw(fd, v4, id);
    set_up(fd, v4);
    if (const int error = connect_error(fd, SocketAddress(target, 0))) return failed(fd, error);
    return {.fd = fd, .mtu = path_mtu(fd, v4), .raw = true, .host_id = id};
}

}  // namespace

uint32_t path_mtu(int fd, bool is_v4) {
    int mtu = 0;
    socklen_t length = sizeof mtu;
    getsockopt(fd, is_v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6}, is_v4 ? IP_MTU : IPV6_MTU, &mtu,
               &length);
    return mtu > 0 ? static_cast<uint32_t>(mtu) : 0;
}

OpenedSocket open_udp(uint16_t guest_port, const core::HostTarget& target) {
    const OpenedSocket socket = open_udp_from(guest_port, target);
    return socket.error == EADDRINUSE ? open_udp_from(0, target) : socket;
}

OpenedSocket open_inbound_udp(const core::Endpoint& local, const core::HostTarget& client) {
    const bool v4 = client.address.is_v4();
    const int fd = socket(family_of(client.address), SOCK_DGRAM | socket_flags, 0);
    if (fd < 0) return failed(fd, errno);
    set_up(fd, v4);
    const SocketAddress here(local.address, local.port, client.scope);
    if (!set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) || bind(fd, here.get(), here.size()) != 0)
        return failed(fd, errno);
    const SocketAddress peer(client.address, client.port, client.scope);
    if (connect(fd, peer.get(), peer.size()) != 0) return failed(fd, errno);
    return {.fd = fd, .mtu = path_mtu(fd, v4)};
}

OpenedSocket open_echo(uint16_t guest_id, const wire::IpAddress& target) {
    const bool v4 = target.is_v4();
    const int fd = socket(family_of(target), SOCK_DGRAM | socket_flags,
                          v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
    if (fd < 0) {
        if (errno == EACCES || errno == EPERM) return open_raw_echo(target);
        return failed(fd, errno);
    }
    set_up(fd, v4);
    bind_port(fd, target, guest_id);  // if not, the kernel chooses
    if (const int error = connect_error(fd, SocketAddress(target, 0))) return failed(fd, error);
    return {.fd = fd, .mtu = path_mtu(fd, v4)};
}

}  // namespace pasta::host
