// The link into one namespace: veth pair, XDP program, AF_XDP sockets.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/namespace.hpp"
#include "control/netlink.hpp"
#include "control/xdp_attach.hpp"
#include "dataplane/io/umem.hpp"
#include "dataplane/io/xsk_port.hpp"

namespace pasta::control {

struct VethLinkOptions {
    std::string name;       ///< our end, unique in the private namespace, at most 15 bytes
    std::string peer_name;  ///< in the target
    uint32_t queues = 1;    ///< 1 to STEER_MAX_QUEUES
    uint32_t mtu = 65520;   ///< of both ends: 68 to 65521 (a frame is at most 65535 bytes)
    std::optional<wire::MacAddress> mac;
    std::optional<wire::MacAddress> peer_mac;
};

/// A veth pair between the private namespace (which must outlive this) and a target. Our end is
/// served by XDP. Both
/// ends go away with this object. The peer has its MTU and is down; see configure_interface().
class VethLink {
  public:
    /// Throws NetlinkError or std::system_error; nothing is left behind then.
    VethLink(const Netns& private_netns, const Netns& target, const VethLinkOptions& options);
    ~VethLink();
    VethLink(const VethLink&) = delete;
    VethLink& operator=(const VethLink&) = delete;

    /// Of our end, in the private namespace.
    int index() const { return index_; }
    wire::MacAddress mac() const { return mac_; }
    wire::MacAddress peer_mac() const { return peer_mac_; }
    /// Opens the socket of one queue and lets the program send that queue's frames to it. The port
    /// should be closed before the link goes away, but survives it (XskPort::dead()).
    std::unique_ptr<io::XskPort> open_port(io::Umem& umem, uint32_t queue,
                                           const io::XskPortOptions& options = {});
    SteerCounters counters() const { return program_.counters(); }

  private:
    void make(const Netns& target, const VethLinkOptions& options);
    void remove();

    const Netns& private_netns_;
    Netlink netlink_;
    SteerProgram program_;
    int index_ = 0;
    wire::MacAddress mac_, peer_mac_;
};

/// What an interface in a target gets. Without addresses it can still be brought up.
struct InterfaceConfig {
    std::string name;
    std::vector<core::Prefix> addresses;
    std::vector<Route> routes;  ///< next hops with link 0 get this interface
    bool up = true;             ///< false: left down, for a DHCP client to bring up
};

/// Brings `lo` up and configures the interface, best effort: returns one warning per address or
/// route that was refused. Routes are tried again while others go in, so that their order does not
/// matter; what exists already is fine. Without duplicate address detection, so that addresses can
/// be used at once. Throws NetlinkError when the interface is missing or cannot be brought up.
std::vector<std::string> configure_interface(const Netns& target, const InterfaceConfig& config);

}  // namespace pasta::control
