#include "control/netlink.hpp"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/cache.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/socket.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "control/ip_text.hpp"

namespace pasta::control {

namespace {

/// Owns a libnl object by the function that releases it.
template <auto release>
struct Release {
    template <typename T>
    void operator()(T* object) const {
        release(object);
    }
};
using LinkPtr = std::unique_ptr<rtnl_link, Release<rtnl_link_put>>;
using AddrPtr = std::unique_ptr<rtnl_addr, Release<rtnl_addr_put>>;
using RoutePtr = std::unique_ptr<rtnl_route, Release<rtnl_route_put>>;
using NextHopPtr = std::unique_ptr<rtnl_nexthop, Release<rtnl_route_nh_free>>;
using NlAddrPtr = std::unique_ptr<nl_addr, Release<nl_addr_put>>;
using CachePtr = std::unique_ptr<nl_cache, Release<nl_cache_free>>;

void check(int error, const std::string& doing) {
    if (error < 0) throw NetlinkError(doing, error);
}

/// A libnl allocation; they return null only for want of memory.
template <typename Ptr, typename T>
Ptr owned(T* object) {
    if (object == nullptr) throw std::bad_alloc();
    return Ptr(object);
}

/// Calls `each` with every object of a dump, as type T, then frees them.
template <typename T, typename Each>
void for_each_in(nl_cache* dump, Each&& each) {
    const CachePtr cache(dump);
    for (nl_object* o = nl_cache_get_first(dump); o != nullptr; o = nl_cache_get_next(o))
        each(reinterpret_cast<T*>(o));
}

NlAddrPtr to_nl(const wire::IpAddress& address) {
    return owned<NlAddrPtr>(address.is_v4() ? nl_addr_build(AF_INET, address.v4_octets().data(), 4)
                                            : nl_addr_build(AF_INET6, address.octets.data(), 16));
}

NlAddrPtr to_nl(const core::Prefix& prefix) {
    NlAddrPtr address = to_nl(prefix.address);
    nl_addr_set_prefixlen(address.get(), prefix.length);
    return address;
}

NlAddrPtr to_nl(const wire::MacAddress& mac) {
    return owned<NlAddrPtr>(nl_addr_build(AF_LLC, mac.octets.data(), mac.octets.size()));
}

/// The unspecified address of the family when the kernel sent none, as with a default route.
wire::IpAddress from_nl(nl_addr* address, int family) {
    const size_t length = address != nullptr ? nl_addr_get_len(address) : 0;
    const auto* octets =
        static_cast<const uint8_t*>(length != 0 ? nl_addr_get_binary_addr(address) : nullptr);
    if (family == AF_INET)
        return length == 4 ? wire::IpAddress::v4(std::span<const uint8_t, 4>{octets, 4})
                           : wire::IpAddress::v4(0);
    return length == 16 ? wire::IpAddress::v6(std::span<const uint8_t, 16>{octets, 16})
                        : wire::IpAddress{};
}

core::Prefix prefix_from_nl(nl_addr* address, int family) {
    const unsigned length = address != nullptr ? nl_addr_get_prefixlen(address) : 0;
    return {from_nl(address, family), static_cast<uint8_t>(length)};
}

LinkInfo link_from_nl(rtnl_link* link) {
    LinkInfo info;
    info.index = rtnl_link_get_ifindex(link);
    info.name = rtnl_link_get_name(link);
    info.mtu = rtnl_link_get_mtu(link);
    nl_addr* mac = rtnl_link_get_addr(link);
    if (mac != nullptr && nl_addr_get_len(mac) == info.mac.octets.size())
        std::memcpy(info.mac.octets.data(), nl_addr_get_binary_addr(mac), info.mac.octets.size());
    info.up = (rtnl_link_get_flags(link) & IFF_UP) != 0;
    info.running = (rtnl_link_get_flags(link) & IFF_RUNNING) != 0;
    info.loopback = (rtnl_link_get_flags(link) & IFF_LOOPBACK) != 0;
    return info;
}

Route route_from_nl(rtnl_route* source, int family) {
    Route route;
    route.destination = prefix_from_nl(rtnl_route_get_dst(source), family);
    route.metric = rtnl_route_get_priority(source);
    route.scope = rtnl_route_get_scope(source);
    route.protocol = rtnl_route_get_protocol(source);
    route.tos = rtnl_route_get_tos(source);
    if (rtnl_route_get_metric(source, RTAX_MTU, &route.mtu) < 0) route.mtu = 0;
    for (int i = 0; i < rtnl_route_get_nnexthops(source); ++i) {
        rtnl_nexthop* from = rtnl_route_nexthop_n(source, i);
        NextHop hop;
        hop.link = rtnl_route_nh_get_ifindex(from);
        hop.weight = rtnl_route_nh_get_weight(from);
        hop.onlink = (rtnl_route_nh_get_flags(from) & RTNH_F_ONLINK) != 0;
        nl_addr* gateway = rtnl_route_nh_get_gateway(from);
        // RFC 5549: an IPv4 route by way of an IPv6 router.
        if (gateway == nullptr) gateway = rtnl_route_nh_get_via(from);
        if (gateway != nullptr)
            hop.gateway = from_nl(gateway, nl_addr_get_len(gateway) == 4 ? AF_INET : AF_INET6);
        route.next_hops.push_back(hop);
    }
    return route;
}

/// Ownership of the result goes to the route it is added to.
NextHopPtr next_hop_to_nl(const NextHop& hop, bool route_is_v4) {
    NextHopPtr made = owned<NextHopPtr>(rtnl_route_nh_alloc());
    rtnl_route_nh_set_ifindex(made.get(), hop.link);
    rtnl_route_nh_set_weight(made.get(), hop.weight);
    if (hop.onlink) rtnl_route_nh_set_flags(made.get(), RTNH_F_ONLINK);
    if (!hop.gateway) return made;
    const NlAddrPtr gateway = to_nl(*hop.gateway);
    if (hop.gateway->is_v4() == route_is_v4)
        rtnl_route_nh_set_gateway(made.get(), gateway.get());
    else
        check(rtnl_route_nh_set_via(made.get(), gateway.get()), "cannot set a router");
    return made;
}

}  // namespace

NetlinkError::NetlinkError(const std::string& doing, int code)
    : std::runtime_error(doing + ": " + nl_geterror(code)), code_(std::abs(code)) {}

bool NetlinkError::exists() const {
    return code_ == NLE_EXIST;
}

void Netlink::Close::operator()(nl_sock* socket) const {
    nl_socket_free(socket);
}

Netlink::Netlink(const Netns& netns) : socket_(nl_socket_alloc()) {
    if (!socket_) throw std::bad_alloc();
    check(run_in_netns(netns, [&] { return nl_connect(socket_.get(), NETLINK_ROUTE); }),
          "cannot open a netlink socket");
}

std::vector<LinkInfo> Netlink::links() {
    nl_cache* dump = nullptr;
    check(rtnl_link_alloc_cache(socket_.get(), AF_UNSPEC, &dump), "cannot list links");
    std::vector<LinkInfo> found;
    for_each_in<rtnl_link>(dump, [&](rtnl_link* link) { found.push_back(link_from_nl(link)); });
    return found;
}

std::optional<LinkInfo> Netlink::find_link(const std::string& name) {
    rtnl_link* link = nullptr;
    const int error = rtnl_link_get_kernel(socket_.get(), 0, name.c_str(), &link);
    if (error == -NLE_NODEV || error == -NLE_OBJ_NOTFOUND) return std::nullopt;
    check(error, "cannot look up link " + name);
    return link_from_nl(LinkPtr(link).get());
}

std::optional<LinkInfo> Netlink::find_link(int index) {
    rtnl_link* link = nullptr;
    const int error = rtnl_link_get_kernel(socket_.get(), index, nullptr, &link);
    if (error == -NLE_NODEV || error == -NLE_OBJ_NOTFOUND) return std::nullopt;
    check(error, "cannot look up link " + std::to_string(index));
    return link_from_nl(LinkPtr(link).get());
}

std::vector<AddressInfo> Netlink::addresses(int family) {
    nl_cache* dump = nullptr;
    check(rtnl_addr_alloc_cache(socket_.get(), &dump), "cannot list addresses");
    std::vector<AddressInfo> found;
    for_each_in<rtnl_addr>(dump, [&](rtnl_addr* address) {
        if (rtnl_addr_get_family(address) != family) return;
        AddressInfo info;
        info.link = rtnl_addr_get_ifindex(address);
        info.prefix = {from_nl(rtnl_addr_get_local(address), family),
                       static_cast<uint8_t>(rtnl_addr_get_prefixlen(address))};
        info.scope = static_cast<uint8_t>(rtnl_addr_get_scope(address));
        info.deprecated = (rtnl_addr_get_flags(address) & IFA_F_DEPRECATED) != 0;
        found.push_back(info);
    });
    return found;
}

std::vector<Route> Netlink::routes(int family) {
    nl_cache* dump = nullptr;
    check(rtnl_route_alloc_cache(socket_.get(), family, 0, &dump), "cannot list routes");
    std::vector<Route> found;
    for_each_in<rtnl_route>(dump, [&](rtnl_route* route) {
        if (rtnl_route_get_table(route) == RT_TABLE_MAIN &&
            rtnl_route_get_type(route) == RTN_UNICAST &&
            (rtnl_route_get_flags(route) & RTM_F_CLONED) == 0)
            found.push_back(route_from_nl(route, family));
    });
    return found;
}

void Netlink::create_veth(const VethPair& pair, const Netns& target) {
    const LinkPtr link = owned<LinkPtr>(rtnl_link_veth_alloc());
    const LinkPtr peer = owned<LinkPtr>(rtnl_link_veth_get_peer(link.get()));
    rtnl_link_set_name(link.get(), pair.name.c_str());
    rtnl_link_set_name(peer.get(), pair.peer_name.c_str());
    if (pair.index != 0) rtnl_link_set_ifindex(link.get(), pair.index);
    rtnl_link_set_ns_fd(peer.get(), target.fd());
    for (rtnl_link* end : {link.get(), peer.get()}) {
        rtnl_link_set_num_rx_queues(end, pair.queues);
        rtnl_link_set_num_tx_queues(end, pair.queues);
    }
    if (pair.mac) rtnl_link_set_addr(link.get(), to_nl(*pair.mac).get());
    if (pair.peer_mac) rtnl_link_set_addr(peer.get(), to_nl(*pair.peer_mac).get());
    check(rtnl_link_add(socket_.get(), link.get(), NLM_F_CREATE | NLM_F_EXCL),
          "cannot create interface " + pair.peer_name);
}

void Netlink::remove_link(int index) {
    const LinkPtr link = owned<LinkPtr>(rtnl_link_alloc());
    rtnl_link_set_ifindex(link.get(), index);
    check(rtnl_link_delete(socket_.get(), link.get()), "cannot remove a link");
}

void Netlink::change_link(int index, rtnl_link* changes, const std::string& doing) {
    const LinkPtr link = owned<LinkPtr>(rtnl_link_alloc());
    rtnl_link_set_ifindex(link.get(), index);
    check(rtnl_link_change(socket_.get(), link.get(), changes, 0), doing);
}

void Netlink::set_up(int index, bool up) {
    const LinkPtr changes = owned<LinkPtr>(rtnl_link_alloc());
    if (up)
        rtnl_link_set_flags(changes.get(), IFF_UP);
    else
        rtnl_link_unset_flags(changes.get(), IFF_UP);
    change_link(index, changes.get(), up ? "cannot bring a link up" : "cannot bring a link down");
}

void Netlink::set_mtu(int index, uint32_t mtu) {
    const LinkPtr changes = owned<LinkPtr>(rtnl_link_alloc());
    rtnl_link_set_mtu(changes.get(), mtu);
    change_link(index, changes.get(), "cannot set a link's MTU to " + std::to_string(mtu));
}

void Netlink::add_address(int index, const core::Prefix& prefix) {
    const AddrPtr address = owned<AddrPtr>(rtnl_addr_alloc());
    rtnl_addr_set_ifindex(address.get(), index);
    check(rtnl_addr_set_local(address.get(), to_nl(prefix).get()), "cannot set an address");
    rtnl_addr_set_prefixlen(address.get(), prefix.length);
    if (prefix.address.is_v6()) rtnl_addr_set_flags(address.get(), IFA_F_NODAD);
    check(rtnl_addr_add(socket_.get(), address.get(), NLM_F_CREATE | NLM_F_EXCL),
          "cannot add address " + to_text(prefix));
}

void Netlink::add_route(const Route& route) {
    const RoutePtr made = owned<RoutePtr>(rtnl_route_alloc());
    const bool v4 = route.destination.address.is_v4();
    rtnl_route_set_family(made.get(), v4 ? AF_INET : AF_INET6);
    check(rtnl_route_set_dst(made.get(), to_nl(route.destination).get()), "cannot set a route");
    rtnl_route_set_table(made.get(), RT_TABLE_MAIN);
    rtnl_route_set_type(made.get(), RTN_UNICAST);
    rtnl_route_set_scope(made.get(), route.scope);
    rtnl_route_set_protocol(made.get(), route.protocol);
    rtnl_route_set_tos(made.get(), route.tos);
    if (route.metric != 0) rtnl_route_set_priority(made.get(), route.metric);
    if (route.mtu != 0) rtnl_route_set_metric(made.get(), RTAX_MTU, route.mtu);
    for (const NextHop& hop : route.next_hops)
        rtnl_route_add_nexthop(made.get(), next_hop_to_nl(hop, v4).release());
    check(rtnl_route_add(socket_.get(), made.get(), NLM_F_CREATE | NLM_F_EXCL),
          "cannot add route to " + to_text(route.destination));
}

Route default_route(const wire::IpAddress& gateway) {
    Route route;
    route.destination.address = gateway.is_v4() ? wire::IpAddress::v4(0) : wire::IpAddress{};
    route.protocol = RTPROT_STATIC;
    route.next_hops.push_back({.gateway = gateway, .onlink = true});
    return route;
}

LinkMonitor::LinkMonitor(const Netns& netns)
    : socket_(run_in_netns(netns, [] {
          return io::UniqueFd(
              socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
      })) {
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = RTMGRP_LINK;
    if (!socket_ ||
        bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        throw std::system_error(errno, std::generic_category(), "cannot watch links");
}

int LinkMonitor::fd() const {
    return socket_.get();
}

std::vector<int> LinkMonitor::removed(bool& overrun) {
    std::vector<int> indexes;
    alignas(nlmsghdr) std::array<char, 32768> buffer;
    for (;;) {
        const ssize_t got = recv(socket_.get(), buffer.data(), buffer.size(), 0);
        if (got < 0 && errno == ENOBUFS) {
            overrun = true;
            continue;
        }
        if (got < 0) return indexes;
        auto left = static_cast<int>(got);
        for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); nlmsg_ok(message, left);
             message = nlmsg_next(message, &left))
            if (message->nlmsg_type == RTM_DELLINK)
                indexes.push_back(static_cast<ifinfomsg*>(nlmsg_data(message))->ifi_index);
    }
}

}  // namespace pasta::control
