// IpAddress to sockaddr and back.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>

#include "dataplane/wire/address.hpp"

namespace pasta::host {

/// An IPv4 or IPv6 socket address for bind(2) and connect(2), or filled in by the kernel.
class SocketAddress {
  public:
    /// Room for the kernel to write to: capacity() bytes at out().
    SocketAddress() = default;
    /// `port` in host byte order; `scope` is the interface of a link-local address.
    SocketAddress(const wire::IpAddress& address, uint16_t port, uint32_t scope = 0) {
        if (address.is_v4()) {
            v4_.sin_family = AF_INET;
            v4_.sin_port = htons(port);
            std::memcpy(&v4_.sin_addr, address.v4_octets().data(), 4);
        } else {
            v6_.sin6_family = AF_INET6;
            v6_.sin6_port = htons(port);
            v6_.sin6_scope_id = scope;
            std::memcpy(&v6_.sin6_addr, address.octets.data(), 16);
        }
    }
    int family() const { return v6_.sin6_family; }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&v6_); }
    socklen_t size() const { return family() == AF_INET ? sizeof v4_ : sizeof v6_; }
    sockaddr* out() { return reinterpret_cast<sockaddr*>(&v6_); }
    static constexpr socklen_t capacity() { return sizeof(sockaddr_in6); }
    /// Nothing when it is of another family.
    std::optional<wire::IpAddress> ip() const {
        if (family() == AF_INET) return wire::IpAddress::v4(ntohl(v4_.sin_addr.s_addr));
        if (family() != AF_INET6) return std::nullopt;
        return wire::IpAddress::v6(std::span<const uint8_t, 16>{v6_.sin6_addr.s6_addr});
    }
    /// In host byte order.
    uint16_t port() const { return ntohs(v6_.sin6_port); }
    /// Interface of a link-local address, else 0.
    uint32_t scope() const { return family() == AF_INET6 ? v6_.sin6_scope_id : 0; }

  private:
    static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
    union {
        sockaddr_in6 v6_{};
        sockaddr_in v4_;
    };
};

}  // namespace pasta::host
