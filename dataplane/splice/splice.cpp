#include "dataplane/splice/splice.hpp"

namespace pasta::splice {

bool Splice::send_icmp(core::PortId port, Place client, wire::Bytes message,
                       const wire::IpAddress& from, const Endpoint& to) {
    const core::HostTarget target{to.address, to.port};
    if (client == Place::host) return host_icmp_.send(message, from, target);
    bool sent = false;
    sockets_.within(port, [&] { sent = netns_icmp_[port].send(message, from, target); });
    return sent;
}

}  // namespace pasta::splice
