#include "control/template_interface.hpp"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <stdexcept>

#include "control/ip_text.hpp"

namespace pasta::control {

namespace {

const char* family_name(int family) {
    return family == AF_INET ? "IPv4" : "IPv6";
}

bool is_default(const Route& route) {
    return route.destination.length == 0;
}

/// What the kernel makes by itself for every link, or what makes no sense elsewhere.
bool is_local_only(const Route& route) {
    const wire::IpAddress& address = route.destination.address;
    return !is_default(route) && (address.is_link_local() || address.is_multicast());
}

/// The heaviest next hop, the first of equals; null when the route has none.
const NextHop* main_hop(const Route& route) {
    const auto heaviest = std::ranges::max_element(route.next_hops, {}, &NextHop::weight);
    return heaviest == route.next_hops.end() ? nullptr : &*heaviest;
}

bool goes_through(const Route& route, int link) {
    return std::ranges::find(route.next_hops, link, &NextHop::link) != route.next_hops.end();
}

/// The interface that routes of the family lead through, by the rules of read_template(); 0 = none.
int choose_link(const std::vector<Route>& routes, const std::set<int>& loopbacks, int family,
                std::vector<std::string>& warnings) {
    int of_default = 0, of_any = 0;
    bool several_default = false, several_any = false;
    for (const Route& route : routes) {
        const NextHop* hop = main_hop(route);
        if (hop == nullptr || is_local_only(route) || loopbacks.contains(hop->link)) continue;
        int& choice = is_default(route) ? of_default : of_any;
        bool& several = is_default(route) ? several_default : several_any;
        several |= choice != 0 && choice != hop->link;
        if (choice == 0) choice = hop->link;
    }
    if (of_default != 0 ? several_default : several_any)
        warnings.push_back(std::string("several interfaces could be the ") + family_name(family) +
                           " template; the first one is taken (host.interface chooses another)");
    return of_default != 0 ? of_default : of_any;
}

std::optional<wire::IpAddress> gateway_of(const std::vector<Route>& routes, int link) {
    for (const Route& route : routes) {
        if (!is_default(route)) continue;
        const NextHop* best = nullptr;
        for (const NextHop& hop : route.next_hops)
            if (hop.link == link && hop.gateway && (best == nullptr || hop.weight > best->weight))
                best = &hop;
        if (best != nullptr) return best->gateway;
    }
    return std::nullopt;
}

/// The routes through the link, cut down to it and with its index taken out.
std::vector<Route> routes_through(const std::vector<Route>& routes, int link) {
    std::vector<Route> kept;
    for (const Route& route : routes) {
        if (is_local_only(route) || !goes_through(route, link)) continue;
        Route copy = route;
        std::erase_if(copy.next_hops, [&](const NextHop& hop) { return hop.link != link; });
        for (NextHop& hop : copy.next_hops)
            hop.link = 0;
        kept.push_back(std::move(copy));
    }
    return kept;
}

/// Empty when the link has no address of the family that a namespace could use.
std::optional<TemplateFamily> read_family(Netlink& host, int family, int link,
                                          const std::vector<Route>& routes,
                                          std::vector<std::string>& warnings) {
    const std::optional<LinkInfo> info = host.find_link(link);
    if (!info) return std::nullopt;
    TemplateFamily result;
    result.link = *info;
    for (const AddressInfo& address : host.addresses(family))
        if (address.link == link && address.scope < RT_SCOPE_LINK && !address.deprecated)
            result.addresses.push_back(address.prefix);
    if (result.addresses.empty()) {
        warnings.push_back("interface " + info->name + " has no global " + family_name(family) +
                           " address to copy; " + family_name(family) + " is off");
        return std::nullopt;
    }
    result.gateway = gateway_of(routes, link);
    result.routes = routes_through(routes, link);
    return result;
}

TemplateFamily local_mode_family() {
    TemplateFamily result;
    result.link.name = "tap0";
    result.addresses = {{wire::IpAddress::v4(169, 254, 2, 1), 16}};
    result.gateway = wire::IpAddress::v4(169, 254, 2, 2);
    result.routes = {default_route(*result.gateway)};
    return result;
}

}  // namespace

TemplateInterface read_template(Netlink& host, const std::optional<std::string>& wanted) {
    TemplateInterface result;
    std::set<int> loopbacks;
    for (const LinkInfo& link : host.links())
        if (link.loopback) loopbacks.insert(link.index);
    int wanted_link = 0;
    if (wanted) {
        const std::optional<LinkInfo> link = host.find_link(*wanted);
        if (!link) throw std::runtime_error("host.interface: no interface " + *wanted);
        wanted_link = link->index;
    }
    for (const int family : {AF_INET, AF_INET6}) {
        const std::vector<Route> routes = host.routes(family);
        const int link = wanted_link != 0 ? wanted_link
                                          : choose_link(routes, loopbacks, family, result.warnings);
        if (link == 0) continue;
        auto& slot = family == AF_INET ? result.ipv4 : result.ipv6;
        slot = read_family(host, family, link, routes, result.warnings);
    }
    result.local_mode = !result.ipv4 && !result.ipv6;
    if (result.local_mode) {
        result.warnings.emplace_back(
            "no interface of the host has an address and a route to copy; namespaces get "
            "link-local addresses");
        result.ipv4 = local_mode_family();
    }
    result.name = result.ipv4 ? result.ipv4->link.name : result.ipv6->link.name;
    return result;
}

ResolverConfig parse_resolver_config(const std::string& text) {
    ResolverConfig result;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string keyword, word;
        words >> keyword;
        if (keyword == "nameserver" && words >> word) {
            if (const auto address = parse_address(word.substr(0, word.find('%'))))
                result.servers.push_back(*address);
        } else if (keyword == "search" || keyword == "domain") {
            // The last of these lines counts, resolv.conf(5).
            result.search.clear();
            while (words >> word) {
                if (word.ends_with('.')) word.pop_back();
                if (!word.empty()) result.search.push_back(word);
            }
        }
    }
    return result;
}

ResolverConfig read_resolver_config(const std::string& path) {
    std::ifstream file(path);
    return parse_resolver_config({std::istreambuf_iterator<char>(file), {}});
}

}  // namespace pasta::control
