// The sockets of a network namespace, by sock_diag(7).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "control/namespace.hpp"

struct nl_sock;
struct inet_diag_msg;

namespace pasta::control {

/// A request socket that belongs to the namespace it was made in, which lives as long as it.
class SockDiag {
  public:
    /// Throws NetlinkError.
    explicit SockDiag(const Netns& netns);

    /// Calls `each` for every IPv4 and IPv6 socket of the protocol (IPPROTO_*) in one of the
    /// states, a mask of 1 << TCP_* (include/net/tcp_states.h). Throws NetlinkError.
    using Each = std::function<void(const inet_diag_msg&)>;
    void dump(uint8_t protocol, uint32_t states, const Each& each);

    /// The local ports, in host byte order, sorted, each once: of TCP sockets that listen, or of
    /// UDP sockets that are not connected. Throws NetlinkError.
    std::vector<uint16_t> listening(uint8_t protocol);

  private:
    struct Close {
        void operator()(nl_sock* socket) const;
    };

    std::unique_ptr<nl_sock, Close> socket_;
};

}  // namespace pasta::control
