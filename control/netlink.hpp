// Links, addresses and routes of one network namespace, by rtnetlink(7).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "control/namespace.hpp"
#include "dataplane/core/port_config.hpp"
#include "dataplane/wire/address.hpp"

struct nl_sock;
struct rtnl_link;

namespace pasta::control {

/// A refused request. what() is one line: what was tried, and the reason.
class NetlinkError : public std::runtime_error {
  public:
    /// `code` is one of libnl's NLE_* numbers, either sign.
    NetlinkError(const std::string& doing, int code);
    /// True when the thing to be made exists already.
    bool exists() const;

  private:
    int code_;
};

struct LinkInfo {
    int index = 0;
    std::string name;
    uint32_t mtu = 0;
    wire::MacAddress mac;
    bool up = false;       ///< IFF_UP
    bool running = false;  ///< operational: up, with carrier, and the kernel has taken note
    bool loopback = false;
};

struct AddressInfo {
    int link = 0;
    core::Prefix prefix;
    uint8_t scope = 0;  ///< RT_SCOPE_*
    bool deprecated = false;
};

/// One way out of a route.
struct NextHop {
    int link = 0;                            ///< interface index
    std::optional<wire::IpAddress> gateway;  ///< absent = on link
    uint8_t weight = 0;                      ///< rtnh_hops: 0 means weight 1
    bool onlink = false;                     ///< RTNH_F_ONLINK
};

/// A unicast route of the main table. Preferred source and next-hop ids are left out on purpose.
struct Route {
    core::Prefix destination;  ///< length 0 and the unspecified address of the family = default
    uint32_t metric = 0;
    uint8_t scope = 0;     ///< RT_SCOPE_*
    uint8_t protocol = 0;  ///< RTPROT_*
    uint8_t tos = 0;
    uint32_t mtu = 0;  ///< RTAX_MTU, 0 = none
    std::vector<NextHop> next_hops;
};

/// The default route of the gateway's family, by way of it; the gateway may lie outside all
/// prefixes of the interface, which is left open (link 0).
Route default_route(const wire::IpAddress& gateway);

/// A pair of veth links to make; the peer is born in the target namespace.
struct VethPair {
    std::string name;                          ///< of our end
    std::string peer_name;                     ///< in the target
    uint32_t queues = 1;                       ///< receive and transmit queues, each end
    int index = 0;                             ///< of our end, a free one; 0 = the kernel's choice
    std::optional<wire::MacAddress> mac;       ///< ours; absent = the kernel's choice
    std::optional<wire::MacAddress> peer_mac;  ///< the target's; likewise
};

/// A request socket that belongs to the namespace it was made in; use it from any one thread at a
/// time. All calls throw NetlinkError.
class Netlink {
  public:
    explicit Netlink(const Netns& netns);

    std::vector<LinkInfo> links();
    std::optional<LinkInfo> find_link(const std::string& name);
    std::optional<LinkInfo> find_link(int index);
    /// Of the given family (AF_INET or AF_INET6), in the kernel's order.
    std::vector<AddressInfo> addresses(int family);
    /// Unicast routes of the main table, in the kernel's order.
    std::vector<Route> routes(int family);

    void create_veth(const VethPair& pair, const Netns& target);
    void remove_link(int index);
    void set_up(int index, bool up);
    void set_mtu(int index, uint32_t mtu);
    /// Without duplicate address detection; for ever.
    void add_address(int index, const core::Prefix& prefix);
    void add_route(const Route& route);

  private:
    struct Close {
        void operator()(nl_sock* socket) const;
    };
    void change_link(int index, rtnl_link* changes, const std::string& doing);

    std::unique_ptr<nl_sock, Close> socket_;
};

/// Hears of links that vanish in a namespace.
class LinkMonitor {
  public:
    explicit LinkMonitor(const Netns& netns);

    /// Readable when there is news; for poll.
    int fd() const;
    /// Indexes of links removed since the last call. Never blocks. When the kernel dropped messages
    /// (ENOBUFS), `overrun` turns true: ask Netlink::links() then.
    std::vector<int> removed(bool& overrun);

  private:
    io::UniqueFd socket_;
};

}  // namespace pasta::control
