#include "control/link.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <stdexcept>
#include <thread>

namespace pasta::control {

namespace {

using namespace std::chrono_literals;

/// The kernel tells a link's news at once only if its index differs from its peer's, else up to a
/// second later (linkwatch_urgent_event() in net/core/link_watch.c); and until then IPv6 addresses
/// stay tentative. In fresh namespaces both ends would get index 2. So our ends count from here.
constexpr int first_index = 1 << 20;

int next_index() {
    static std::atomic<int> next{first_index};
    return next++;
}

/// Waits until the link can carry traffic. It normally takes a millisecond; a link that does not
/// get there is no error, its addresses are only usable later.
void await_running(Netlink& netlink, int index) {
    for (const auto end = std::chrono::steady_clock::now() + 1s;
         std::chrono::steady_clock::now() < end; std::this_thread::sleep_for(500us)) {
        const std::optional<LinkInfo> link = netlink.find_link(index);
        if (!link || link->running) return;
    }
}

}  // namespace

VethLink::VethLink(const Netns& private_netns, const Netns& target, const VethLinkOptions& options)
    : private_netns_(private_netns), netlink_(private_netns) {
    try {
        make(target, options);
    } catch (...) {
        remove();
        throw;
    }
}

VethLink::~VethLink() {
    remove();
}

void VethLink::make(const Netns& target, const VethLinkOptions& options) {
    const int index = next_index();
    netlink_.create_veth(
        {options.name, options.peer_name, options.queues, index, options.mac, options.peer_mac},
        target);
    index_ = index;
    const std::optional<LinkInfo> ours = netlink_.find_link(index);
    if (!ours) throw std::runtime_error("interface " + options.peer_name + " vanished");
    mac_ = ours->mac;
    // Before the MTU: a program without frags support would cap it, and the kernel checks both.
    run_in_netns(private_netns_, [&] { program_.attach(index_); });
    netlink_.set_mtu(index_, options.mtu);
    netlink_.set_up(index_, true);
    Netlink peer_side(target);
    const std::optional<LinkInfo> peer = peer_side.find_link(options.peer_name);
    if (!peer) throw std::runtime_error("interface " + options.peer_name + " vanished");
    peer_mac_ = peer->mac;
    peer_side.set_mtu(peer->index, options.mtu);
}

void VethLink::remove() {
    if (index_ == 0) return;
    try {
        netlink_.remove_link(index_);
    } catch (const NetlinkError&) {
        // The target is gone, and both ends with it.
    }
}

std::unique_ptr<io::XskPort> VethLink::open_port(io::Umem& umem, uint32_t queue,
                                                 const io::XskPortOptions& options) {
    auto port = run_in_netns(private_netns_, [&] {
        return std::make_unique<io::XskPort>(umem, index_, queue, options);
    });
    program_.set_socket(queue, port->fd());
    return port;
}

namespace {

/// Tries the routes until none is left or none of a round goes in: one may depend on another, for
/// example a default route on the host route to its gateway. Returns a warning for each that was
/// refused.
std::vector<std::string> add_routes(Netlink& netlink, std::vector<Route> routes) {
    std::vector<std::string> refused;
    size_t before = 0;
    do {
        before = routes.size();
        refused.clear();
        std::erase_if(routes, [&](const Route& route) {
            try {
                netlink.add_route(route);
            } catch (const NetlinkError& error) {
                if (error.exists()) return true;
                refused.emplace_back(error.what());
                return false;
            }
            return true;
        });
    } while (!routes.empty() && routes.size() < before);
    return refused;
}

}  // namespace

std::vector<std::string> configure_interface(const Netns& target, const InterfaceConfig& config) {
    Netlink netlink(target);
    if (const std::optional<LinkInfo> lo = netlink.find_link("lo")) netlink.set_up(lo->index, true);
    const std::optional<LinkInfo> link = netlink.find_link(config.name);
    if (!link) throw std::runtime_error("no interface " + config.name + " in the namespace");
    if (!config.up) return {};
    // No neighbour but us can have the address, and we answer every solicitation.
    run_in_netns(target,
                 [&] { return write_sysctl("net/ipv6/conf/" + config.name + "/accept_dad", "0"); });
    netlink.set_up(link->index, true);
    await_running(netlink, link->index);

    std::vector<std::string> warnings;
    for (const core::Prefix& prefix : config.addresses) {
        try {
            netlink.add_address(link->index, prefix);
        } catch (const NetlinkError& error) {
            if (!error.exists()) warnings.emplace_back(error.what());
        }
    }
    std::vector<Route> routes = config.routes;
    for (Route& route : routes)
        for (NextHop& hop : route.next_hops)
            if (hop.link == 0) hop.link = link->index;
    std::ranges::move(add_routes(netlink, std::move(routes)), std::back_inserter(warnings));
    return warnings;
}

}  // namespace pasta::control
