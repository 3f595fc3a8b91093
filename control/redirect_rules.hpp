// Whether packets that enter a network namespace need to be what its sockets get.
#pragma once

#include <memory>

#include "control/namespace.hpp"

struct nl_sock;

namespace pasta::control {

/// Rules of a namespace that may lead a packet to another address or port than it came for (DNAT,
/// REDIRECT, TPROXY): those of nftables by netlink, iptables' older ones by /proc/net. Keeps the
/// namespace alive. Throws std::system_error.
class RedirectRules {
  public:
    explicit RedirectRules(const Netns& netns);

    /// True where there may be some: a chain that translates addresses or sees packets before they
    /// are routed, or a table that can have one. Not knowing counts as true.
    bool possible();

  private:
    struct Close {
        void operator()(nl_sock* socket) const;
    };
    bool has_nftables_chain();

    std::unique_ptr<nl_sock, Close> nftables_;
    io::UniqueFd tables4_, tables6_;  ///< /proc/net/ip_tables_names; none = no iptables
};

}  // namespace pasta::control
