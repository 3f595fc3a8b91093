#include "control/listen_socket.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "control/ip_text.hpp"

namespace pasta::control {

namespace {

constexpr int on = 1, off = 0;

/// The endpoint's address as bind(2) takes it.
struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t length = 0;
};

SocketAddress socket_address(const ListenEndpoint& endpoint) {
    SocketAddress out;
    if (endpoint.address && endpoint.address->is_v4()) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(endpoint.port);
        v4.sin_addr.s_addr = htonl(endpoint.address->v4_number());
        std::memcpy(&out.storage, &v4, sizeof v4);
        out.length = sizeof v4;
        return out;
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    if (endpoint.address) {
        std::memcpy(&v6.sin6_addr, endpoint.address->octets.data(), sizeof v6.sin6_addr);
        if (endpoint.address->is_link_local())
            v6.sin6_scope_id = if_nametoindex(endpoint.interface.c_str());
    }
    std::memcpy(&out.storage, &v6, sizeof v6);
    out.length = sizeof v6;
    return out;
}

bool set(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

bool prepare(int fd, const ListenEndpoint& endpoint, int family) {
    const std::string& interface = endpoint.interface;
    if (family == AF_INET6 && !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, endpoint.address ? on : off))
        return false;
    // Not for UDP, where it would let two sockets have the same port.
    if (endpoint.protocol == IPPROTO_TCP && !set(fd, SOL_SOCKET, SO_REUSEADDR, on)) return false;
    return interface.empty() || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface.data(),
                                           static_cast<socklen_t>(interface.size())) == 0;
}

bool start(int fd, uint8_t protocol) {
    return set(fd, SOL_SOCKET, SO_REUSEPORT, on) &&
           (protocol != IPPROTO_TCP || listen(fd, SOMAXCONN) == 0);
}

}  // namespace

io::UniqueFd open_listen_socket(const ListenEndpoint& endpoint) {
    const SocketAddress address = socket_address(endpoint);
    const int type = endpoint.protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
    const int family = address.storage.ss_family;
    io::UniqueFd made(socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, endpoint.protocol));
    if (!made && errno == EAFNOSUPPORT && !endpoint.address) {
        ListenEndpoint v4 = endpoint;
        v4.address = wire::IpAddress::v4(0);
        return open_listen_socket(v4);
    }
    if (made && prepare(made.get(), endpoint, family) &&
        bind(made.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length) ==
            0 &&
        start(made.get(), endpoint.protocol))
        return made;
    const int error = errno;
    made.reset();
    errno = error;
    return made;
}

ListenResult open_listen_sockets(const std::vector<ListenEndpoint>& endpoints) {
    ListenResult result;
    for (const ListenEndpoint& endpoint : endpoints) {
        io::UniqueFd socket = open_listen_socket(endpoint);
        if (socket) {
            result.sockets.push_back(std::move(socket));
            continue;
        }
        result.refused = endpoint;
        result.error = errno;
        if (result.error == EADDRNOTAVAIL || result.error == EAFNOSUPPORT) continue;
        result.sockets.clear();
        return result;
    }
    return result;
}

std::string listen_problem(const ListenEndpoint& endpoint, int error, std::string_view place,
                           std::string_view holder) {
    const std::string port =
        fmt::format("{} port {} of the {}", endpoint.protocol == IPPROTO_TCP ? "TCP" : "UDP",
                    endpoint.port, place);
    switch (error) {
        case EADDRINUSE:
            return holder.empty() ? port + " is in use"
                                  : fmt::format("{} is in use by {}", port, holder);
        case EACCES:
        case EPERM:
            return port +
                   " is a privileged one (CAP_NET_BIND_SERVICE, or "
                   "net.ipv4.ip_unprivileged_port_start lowered)";
        case EADDRNOTAVAIL:
            if (endpoint.address)
                return fmt::format("{} is not an address of the {}", to_text(*endpoint.address),
                                   place);
            break;
        case ENODEV:
            return fmt::format("the {} has no interface {}", place, endpoint.interface);
        case EMFILE:
        case ENFILE:
            return port + ": too many open files (raise the limit, ulimit -n)";
        default:
            break;
    }
    return fmt::format("{}: {}", port, std::strerror(error));
}

PortRange ephemeral_ports() {
    std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
    PortRange range;
    if (file >> range.first >> range.last && range.first <= range.last) return range;
    return {49152, 65535};
}

}  // namespace pasta::control
