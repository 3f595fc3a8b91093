// The forwarded ports of one namespace: from rules to listeners.
//
// A rule asks for ports, by number, for all that are free, or for those that the other side listens
// on. Which ports that are can be told at any time (wanted()); what is open is kept beside it, and
// a change of either closes what is no longer wanted and opens what is missing. Nothing else is
// remembered, so that reloading the configuration, following the other side and making way for a
// rule of another namespace are one and the same thing. Connections are not touched by any of it.
//
// A host listener has one socket. A listener in the namespace has one on 127.0.0.1 and one on ::1,
// for only what comes from there leads to the host.
//
// 10,000 TCP ports take 30 ms to open (Linux 6.18), 2.5 MB here and 4 KB each in the kernel.
//
// Two programs that listen on the same number, one on each side, keep their ports: `auto` logs that
// once and tries again whenever something changes. UDP ports are not followed because a TCP port of
// that number is listened on.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "control/config.hpp"
#include "control/host_side.hpp"
#include "control/listen_socket.hpp"

namespace pasta::control {

/// A port that was asked for and cannot be had. what() is one line: the rule's origin, the port and
/// the reason.
class ForwardError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

class Forwarding {
  public:
    /// `open_target` gives the namespace; a handle is kept, which keeps the namespace alive, as
    /// long as the rules need sockets in it. Nothing is open before change() and open().
    Forwarding(HostSide& host, const NamespaceConfig& config, core::PortId port,
               std::function<Netns()> open_target);
    /// Closes all listeners.
    ~Forwarding();
    Forwarding(const Forwarding&) = delete;
    Forwarding& operator=(const Forwarding&) = delete;

    /// Takes over the rules and closes what they do not ask for. To move ports between namespaces,
    /// call it for all of them before open() for any.
    void change(const ForwardConfig& rules);
    /// Opens what is missing. Throws ForwardError; then some may have been opened: go back by
    /// change() and open() with the rules of before, or give up the object.
    void open();

    /// True if some rule follows the other side, so that follow() is to be called each second.
    bool follows() const { return follows_host_ || sockets_; }
    /// Looks at the other side and does what has changed. `host_changed` is HostSide::refresh()'s
    /// answer.
    void follow(bool host_changed);

  private:
    /// What listeners have in common.
    struct Group {
        size_t list;  ///< of forward_lists
        std::optional<wire::IpAddress> address;
        std::string interface;
        auto operator<=>(const Group&) const = default;

        const ForwardList& kind() const { return forward_lists[list]; }
    };
    struct Wanted {
        uint16_t port, target;
        const ForwardRule* rule;
    };
    struct Open {
        uint16_t target;
        std::vector<ListenerId> ids;
    };
    using WantedPorts = std::vector<Wanted>;  ///< sorted by port, each once
    using OpenPorts = std::map<uint16_t, Open>;

    void prepare();
    std::map<Group, WantedPorts> wanted();
    void add_wanted(const ForwardRule& rule, const Group& group, WantedPorts& out);
    bool refresh();
    bool listens_in_ns(uint8_t protocol, uint16_t port) const;
    void close_unwanted(const std::map<Group, WantedPorts>& wanted);
    void close(const Group& group, OpenPorts::iterator it);
    void open_missing(const Group& group, const WantedPorts& wanted);
    std::vector<ListenResult> open_sockets(const Group& group, const WantedPorts& missing) const;
    std::vector<ListenEndpoint> endpoints(const Group& group, uint16_t port) const;
    void serve(const Group& group, const Wanted& wanted, std::vector<io::UniqueFd> sockets);
    void refuse(const Group& group, const Wanted& wanted, const ListenResult& result);
    std::string holder(const Group& group, const ListenResult& result, bool search) const;
    const Netns& netns(const Group& group) const;

    HostSide& host_;
    const std::string name_;
    const bool ipv4_, ipv6_;
    const core::PortId port_;
    std::function<Netns()> open_target_;
    ForwardConfig rules_;
    bool follows_host_ = false;
    std::optional<Netns> target_;              ///< where the rules need it
    std::unique_ptr<ListeningPorts> sockets_;  ///< of the namespace, where a rule follows it
    std::map<Group, OpenPorts> open_;
    std::set<std::pair<Group, uint16_t>> refused_;  ///< of `auto`: logged already
};

}  // namespace pasta::control
