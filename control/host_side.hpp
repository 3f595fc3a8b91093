// The host's side of port forwarding, which all namespaces share.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/forward_config.hpp"
#include "control/listening_ports.hpp"
#include "control/namespace.hpp"
#include "control/port_listeners.hpp"

namespace pasta::control {

class HostSide {
  public:
    /// All outlive the object. `netns` is where the host's sockets are made.
    HostSide(const Netns& netns, PortListeners& listeners) : netns_(netns), listeners_(listeners) {}

    const Netns& netns() const { return netns_; }
    PortListeners& listeners() { return listeners_; }

    /// From now on the ports that these rules name are kept for them: `auto` and `all` of any
    /// namespace leave them alone.
    void reserve(const std::vector<ForwardConfig>& namespaces);
    bool reserved(uint8_t protocol, uint16_t port) const;

    /// Keeps record of the host ports that namespaces listen on. `owner` outlives the entry.
    void add(uint8_t protocol, uint16_t port, const std::string& owner);
    void remove(uint8_t protocol, uint16_t port, const std::string& owner);
    /// The name of a namespace that listens on the port; null = none of ours does.
    const std::string* owner(uint8_t protocol, uint16_t port) const;

    /// What programs of the host listen on, our namespaces' listeners left out; looked up at the
    /// first call. Throws NetlinkError or std::system_error, if that cannot be done.
    const ListeningPorts& sockets();
    /// Brings that up to date if it was ever asked for. True when there may be news.
    bool refresh();

  private:
    const Netns& netns_;
    PortListeners& listeners_;
    std::bitset<65536> reserved_tcp_, reserved_udp_;
    std::multimap<std::pair<uint8_t, uint16_t>, const std::string*> owners_;
    std::unique_ptr<ListeningPorts> sockets_;
};

}  // namespace pasta::control
