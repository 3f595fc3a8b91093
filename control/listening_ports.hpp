// Which ports programs listen on in a network namespace, for rules that follow them.
//
// Asking for a list of sockets (sock_diag(7)) makes the kernel walk its hash tables, which all
// namespaces share: 12 to 22 us for each protocol and family on a machine with 16,384 slots, more
// on larger ones, whether the namespace has any socket or not. Reading /proc/net/tcp takes 1.7 ms,
// as it walks the table of connections besides. /proc/net/sockstat and sockstat6 count the sockets
// of one namespace in 2.8 us together, so those are what is read each second. A list is asked for
// when a count has changed, and every eighth time in any case: one program may have closed a port
// and another opened one since. Measured with 200 namespaces that follow everything both ways
// (Linux 6.18, 2 cores): 3.5 ms of CPU time and one wake-up each second while nothing happens, a
// third of a percent of a core. With 100 it was 1.1 ms, and 1.3 ms with 5,000 sockets on the host
// that come and go. TCP sockets that begin to listen could be told by a program in the kernel (see
// port_gate.hpp), but nothing that is as stable tells of UDP sockets, and one second is what users
// of such rules know.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "control/namespace.hpp"
#include "control/port_spec.hpp"

namespace pasta::control {

/// Sockets that a namespace has, connected ones included.
struct SocketCounts {
    unsigned tcp = 0, udp = 0;
    bool operator==(const SocketCounts&) const = default;
};

/// Where the news come from; tests have their own.
class SocketSource {
  public:
    virtual ~SocketSource() = default;
    /// Nothing when the kernel does not count.
    virtual std::optional<SocketCounts> counts() = 0;
    /// As SockDiag::listening(). May throw NetlinkError.
    virtual std::vector<uint16_t> listening(uint8_t protocol) = 0;
    /// From which unconnected UDP sockets are clients' and not worth following.
    virtual PortRange ephemeral() = 0;
};

/// Of a real namespace, which it keeps alive. Throws NetlinkError or std::system_error.
std::unique_ptr<SocketSource> make_socket_source(const Netns& netns);

class ListeningPorts {
  public:
    using Ports = std::vector<uint16_t>;
    static constexpr unsigned full_period =
        8;  ///< of calls of refresh(), one makes a list in any case

    explicit ListeningPorts(std::unique_ptr<SocketSource> source);

    /// Tells which ports we listen on ourselves at this moment.
    using Ours = std::function<bool(uint8_t protocol, uint16_t port)>;
    /// Looks whether something has changed, once a second at most. True when ports() are others
    /// than before, and at every full_period'th call in any case: the time to try again what
    /// failed. A failure is logged, once; then the ports stay as they are.
    bool refresh(const Ours& ours);
    /// As of the last refresh(); sorted. Left out are those that were ours then, which would lead
    /// round in a circle, and UDP ports that the kernel gives to clients.
    const Ports& ports(uint8_t protocol) const;

  private:
    std::unique_ptr<SocketSource> source_;
    PortRange ephemeral_;
    Ports tcp_, udp_;
    std::optional<SocketCounts> counts_;
    bool failed_ = false;
    unsigned calls_ = 0;  ///< of refresh()
};

}  // namespace pasta::control
