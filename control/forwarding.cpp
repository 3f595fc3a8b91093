#include "control/forwarding.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "control/forward_check.hpp"

namespace pasta::control {

namespace {

const char* place(ListenSide side) {
    return side == ListenSide::host ? "host" : "namespace";
}

}  // namespace

Forwarding::Forwarding(HostSide& host, const NamespaceConfig& config, core::PortId port,
                       std::function<Netns()> open_target)
    : host_(host),
      name_(config.name),
      ipv4_(config.ipv4),
      ipv6_(config.ipv6),
      port_(port),
      open_target_(std::move(open_target)) {}

Forwarding::~Forwarding() {
    close_unwanted({});
}

void Forwarding::change(const ForwardConfig& rules) {
    rules_ = rules;
    refused_.clear();
    prepare();
    close_unwanted(wanted());
}

void Forwarding::open() {
    for (const auto& [group, ports] : wanted())
        open_missing(group, ports);
}

void Forwarding::follow(bool host_changed) {
    const bool changed = refresh();
    if (!changed && !(host_changed && follows_host_)) return;
    try {
        close_unwanted(wanted());
        open();
    } catch (const std::exception& e) {
        spdlog::error("{}: {}", name_, e.what());
    }
}

/// Holds of the namespace what the rules need, and no more.
void Forwarding::prepare() {
    bool follows_namespace = false, listens_there = false;
    follows_host_ = false;
    for (const ForwardList& list : forward_lists)
        for (const ForwardRule& rule : rules_.*list.rules) {
            const bool automatic = rule.spec.kind == PortSpec::Kind::automatic;
            if (list.side == ListenSide::ns) listens_there = true;
            if (automatic)
                (list.side == ListenSide::host ? follows_namespace : follows_host_) = true;
        }
    if (!follows_namespace) sockets_.reset();
    if (!follows_namespace && !listens_there) return target_.reset();
    if (!target_) target_.emplace(open_target_());
    if (!follows_namespace || sockets_) return;
    sockets_ = std::make_unique<ListeningPorts>(make_socket_source(*target_));
    refresh();
}

bool Forwarding::refresh() {
    return sockets_ && sockets_->refresh([this](uint8_t protocol, uint16_t port) {
        return listens_in_ns(protocol, port);
    });
}

std::map<Forwarding::Group, Forwarding::WantedPorts> Forwarding::wanted() {
    std::map<Group, WantedPorts> all;
    for (size_t i = 0; i < std::size(forward_lists); ++i)
        for (const ForwardRule& rule : rules_.*forward_lists[i].rules) {
            const bool on_host = forward_lists[i].side == ListenSide::host;
            const Group group{i, on_host ? listen_address(rule, ipv4_, ipv6_) : std::nullopt,
                              rule.spec.interface};
            add_wanted(rule, group, all[group]);
        }
    for (auto& [group, ports] : all)
        std::ranges::sort(ports, {}, &Wanted::port);
    return all;
}

void Forwarding::add_wanted(const ForwardRule& rule, const Group& group, WantedPorts& out) {
    const auto [side, protocol] = std::pair{group.kind().side, group.kind().protocol};
    const auto reserved = [&](uint16_t port) {
        return side == ListenSide::host && rule.spec.takes_what_is_free() &&
               host_.reserved(protocol, port);
    };
    if (rule.spec.kind == PortSpec::Kind::automatic) {
        const ListeningPorts& followed = side == ListenSide::host ? *sockets_ : host_.sockets();
        for (const uint16_t port : followed.ports(protocol))
            if (!reserved(port)) out.push_back({port, port, &rule});
        return;
    }
    const PortRange ephemeral =
        rule.spec.takes_what_is_free() ? run_in_netns(netns(group), ephemeral_ports) : PortRange{};
    for (const PortMapping& mapping : expand(rule.spec, ephemeral))
        for (uint32_t port = mapping.from.first; port <= mapping.from.last; ++port)
            if (!reserved(static_cast<uint16_t>(port)))
                out.push_back({static_cast<uint16_t>(port),
                               static_cast<uint16_t>(mapping.to + port - mapping.from.first),
                               &rule});
}

bool Forwarding::listens_in_ns(uint8_t protocol, uint16_t port) const {
    return std::ranges::any_of(open_, [&](const auto& entry) {
        const ForwardList& kind = entry.first.kind();
        return kind.side == ListenSide::ns && kind.protocol == protocol &&
               entry.second.contains(port);
    });
}

void Forwarding::close_unwanted(const std::map<Group, WantedPorts>& wanted) {
    for (auto group = open_.begin(); group != open_.end();) {
        const auto found = wanted.find(group->first);
        OpenPorts& ports = group->second;
        for (auto it = ports.begin(); it != ports.end();) {
            const auto port = it++;
            bool keep = false;
            if (found != wanted.end()) {
                const auto same =
                    std::ranges::lower_bound(found->second, port->first, {}, &Wanted::port);
                keep = same != found->second.end() && same->port == port->first &&
                       same->target == port->second.target;
            }
            if (!keep) close(group->first, port);
        }
        group = ports.empty() ? open_.erase(group) : std::next(group);
    }
}

void Forwarding::close(const Group& group, OpenPorts::iterator it) {
    for (const ListenerId id : it->second.ids)
        host_.listeners().unlisten(id);
    if (group.kind().side == ListenSide::host)
        host_.remove(group.kind().protocol, it->first, name_);
    open_.at(group).erase(it);
}

void Forwarding::open_missing(const Group& group, const WantedPorts& wanted) {
    const auto open = open_.find(group);
    WantedPorts missing;
    std::ranges::copy_if(wanted, std::back_inserter(missing), [&](const Wanted& port) {
        return open == open_.end() || !open->second.contains(port.port);
    });
    // A conflict that was logged may be logged again once the port was gone.
    std::erase_if(refused_, [&](const auto& refused) {
        return refused.first == group &&
               !std::ranges::binary_search(missing, refused.second, {}, &Wanted::port);
    });
    if (missing.empty()) return;
    std::vector<ListenResult> results = open_sockets(group, missing);
    for (size_t i = 0; i < results.size(); ++i)
        if (!results[i].sockets.empty())
            serve(group, missing[i], std::move(results[i].sockets));
        else
            refuse(group, missing[i], results[i]);
    const ForwardRule& rule = *missing.front().rule;
    if (rule.spec.takes_what_is_free() && rule.spec.kind != PortSpec::Kind::automatic &&
        !open_.contains(group))
        throw ForwardError(fmt::format(
            "{}: no port can be had: {}", rule.origin,
            listen_problem(results.front().refused, results.front().error, place(group.kind().side),
                           holder(group, results.front(), true))));
}

/// One result for each port, up to the first that was asked for by number and is refused.
std::vector<ListenResult> Forwarding::open_sockets(const Group& group,
                                                   const WantedPorts& missing) const {
    return run_in_netns(netns(group), [&] {
        std::vector<ListenResult> results;
        results.reserve(missing.size());
        for (const Wanted& port : missing) {
            results.push_back(open_listen_sockets(endpoints(group, port.port)));
            if (results.back().sockets.empty() && !port.rule->spec.takes_what_is_free()) break;
        }
        return results;
    });
}

std::vector<ListenEndpoint> Forwarding::endpoints(const Group& group, uint16_t port) const {
    const auto at = [&](const std::optional<wire::IpAddress>& address) {
        return ListenEndpoint{group.kind().protocol, address, group.interface, port};
    };
    if (group.kind().side == ListenSide::host) return {at(group.address)};
    std::vector<ListenEndpoint> both;
    if (ipv4_) both.push_back(at(wire::IpAddress::v4(127, 0, 0, 1)));
    if (ipv6_)
        both.push_back(at(wire::IpAddress{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}));
    return both;
}

void Forwarding::serve(const Group& group, const Wanted& wanted,
                       std::vector<io::UniqueFd> sockets) {
    const auto [side, protocol] = std::pair{group.kind().side, group.kind().protocol};
    Open& open = open_[group].insert_or_assign(wanted.port, Open{wanted.target, {}}).first->second;
    if (side == ListenSide::host) host_.add(protocol, wanted.port, name_);
    for (io::UniqueFd& socket : sockets)
        open.ids.push_back(
            host_.listeners().listen({port_, side, protocol, wanted.target}, std::move(socket)));
    spdlog::debug("{}: listens on {} port {} of the {}", name_,
                  protocol == IPPROTO_TCP ? "TCP" : "UDP", wanted.port, place(side));
}

void Forwarding::refuse(const Group& group, const Wanted& wanted, const ListenResult& result) {
    const bool automatic = wanted.rule->spec.kind == PortSpec::Kind::automatic;
    if (!automatic && wanted.rule->spec.takes_what_is_free() && result.error != EMFILE &&
        result.error != ENFILE)
        return;  // passed over
    const std::string problem = listen_problem(
        result.refused, result.error, place(group.kind().side), holder(group, result, !automatic));
    if (!automatic) throw ForwardError(fmt::format("{}: {}", wanted.rule->origin, problem));
    if (refused_.emplace(group, wanted.port).second)
        spdlog::info("{}: not forwarded: {}", name_, problem);
}

/// Who has the port: another of our namespaces, or somebody who has to be searched for.
std::string Forwarding::holder(const Group& group, const ListenResult& result, bool search) const {
    if (result.error != EADDRINUSE) return {};
    const auto [protocol, port] = std::pair{result.refused.protocol, result.refused.port};
    if (const std::string* owner = host_.owner(protocol, port);
        owner != nullptr && group.kind().side == ListenSide::host)
        return "namespace " + *owner;
    return search ? port_holder(netns(group), protocol, port) : std::string{};
}

const Netns& Forwarding::netns(const Group& group) const {
    return group.kind().side == ListenSide::host ? host_.netns() : *target_;
}

}  // namespace pasta::control
