#include "control/host_side.hpp"

namespace pasta::control {

void HostSide::reserve(const std::vector<ForwardConfig>& namespaces) {
    reserved_tcp_.reset();
    reserved_udp_.reset();
    for (const ForwardConfig& ns : namespaces)
        for (const ForwardList& list : forward_lists) {
            if (list.side != ListenSide::host) continue;
            auto& reserved = list.protocol == IPPROTO_TCP ? reserved_tcp_ : reserved_udp_;
            for (const ForwardRule& rule : ns.*list.rules) {
                if (rule.spec.takes_what_is_free()) continue;
                for (const PortMapping& mapping : expand(rule.spec, {}))
                    for (uint32_t port = mapping.from.first; port <= mapping.from.last; ++port)
                        reserved.set(port);
            }
        }
}

bool HostSide::reserved(uint8_t protocol, uint16_t port) const {
    return (protocol == IPPROTO_TCP ? reserved_tcp_ : reserved_udp_)[port];
}

void HostSide::add(uint8_t protocol, uint16_t port, const std::string& owner) {
    owners_.emplace(std::pair{protocol, port}, &owner);
}

void HostSide::remove(uint8_t protocol, uint16_t port, const std::string& owner) {
    const auto [first, last] = owners_.equal_range({protocol, port});
    for (auto it = first; it != last; ++it)
        if (it->second == &owner) {
            owners_.erase(it);
            return;
        }
}

const std::string* HostSide::owner(uint8_t protocol, uint16_t port) const {
    const auto it = owners_.find({protocol, port});
    return it == owners_.end() ? nullptr : it->second;
}

const ListeningPorts& HostSide::sockets() {
    if (!sockets_) {
        sockets_ = std::make_unique<ListeningPorts>(make_socket_source(netns_));
        refresh();
    }
    return *sockets_;
}

bool HostSide::refresh() {
    return sockets_ && sockets_->refresh([this](uint8_t protocol, uint16_t port) {
        return owner(protocol, port) != nullptr;
    });
}

}  // namespace pasta::control
