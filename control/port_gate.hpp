// Refuses connections to forwarded ports that nobody listens on.
//
// A kernel accepts a connection as soon as a socket listens, whatever becomes of it. Without more,
// a client of a forwarded port would be connected and then reset where it would be refused by the
// server's own machine. So a BPF program (bpf/gate.bpf.c) looks at each client of our listeners
// before the kernel answers, and lets it in only while the port that the listener leads to is open:
//
//   opens   when a socket starts to listen on it, seen by the program inside listen(2), so that
//           nobody who was told about the server comes too early;
//   closes  when two looks at the namespace's sockets, `pause` apart, found nobody. Two, since a
//           socket counts as listening some hundred nanoseconds before it can be found.
//
// We look when a listener is new, when something that listened has ended, and when a client was
// refused: should a port ever be closed by mistake, it costs one client. Namespaces with rules that
// lead packets elsewhere than to the sockets of their port keep all ports open, and so do kernels
// that do not take the programs; then clients get the reset.
//
// SO_REUSEPORT is what makes the kernel ask the program. It is set after bind(2): our ports are
// ours, but a program of the same user that sets it as well may listen on the port beside us.
//
// Costs (Linux 6.18): 17 ms when the first listener is served, to load the programs; 1 MB of
// memory; one comparison for each change of any TCP socket's state on the machine.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "control/gate_program.hpp"
#include "control/port_listeners.hpp"
#include "control/redirect_rules.hpp"
#include "control/sock_diag.hpp"

namespace pasta::control {

class PortGate : public PortListeners {
  public:
    /// Both outlive the object. Throws std::system_error.
    PortGate(PortListeners& listeners, const Netns& host);
    ~PortGate() override;
    PortGate(const PortGate&) = delete;
    PortGate& operator=(const PortGate&) = delete;

    /// From now on the port's listeners on the host have a gate. Keeps the namespace alive until
    /// leave(). Throws NetlinkError or std::system_error.
    void join(core::PortId port, const Netns& netns);
    /// The port's listeners are gone.
    void leave(core::PortId port);

    ListenerId listen(const ListenerConfig& config, io::UniqueFd socket) override;
    void unlisten(ListenerId id) override;

    /// When it is readable, on_ready() has something to do; for poll, and another one after each
    /// call. -1 = nothing yet.
    int fd() const;
    void on_ready();
    /// Clients refused so far.
    uint64_t refused() const;

  private:
    struct Target {
        uint32_t slot = 0;
        unsigned listeners = 0;
        std::optional<uint32_t> vacant;  ///< what `listens` was when a look found nobody
    };
    /// Where listeners lead to: the host, or a namespace.
    struct Place {
        explicit Place(const Netns& netns);

        uint64_t cookie;  ///< of the network namespace
        SockDiag sockets;
        RedirectRules rules;
        std::map<uint16_t, Target> targets;  ///< by port
        bool news = false;
    };
    struct Entry {
        Place* place;
        uint16_t port;
        uint64_t socket;  ///< its cookie
    };
    static constexpr long pause = 20'000'000;  ///< ns, between two looks

    bool load();
    Place* place_of(const ListenerConfig& config);
    std::optional<Entry> add(Place& place, uint16_t port, int socket);
    void remove(const Entry& entry);
    Target* acquire(Place& place, uint16_t port);
    void release(Place& place, uint16_t port);
    bool look(Place& place);
    void look_after(long nanoseconds);

    PortListeners& listeners_;
    std::unique_ptr<Place> host_;
    std::map<core::PortId, std::unique_ptr<Place>> places_;
    std::unordered_map<ListenerId, Entry> entries_;
    std::optional<GateProgram> program_;
    bool tried_ = false;                 ///< to load it, when the first listener needed it
    std::vector<uint32_t> free_;         ///< slots
    std::vector<Place*> place_by_slot_;  ///< of those in use
    io::UniqueFd timer_;
    bool pausing_ = false;  ///< the timer runs
    uint64_t refused_ = 0;  ///< of slots that were released
};

}  // namespace pasta::control
