// One namespace, connected: its link, its place in the dataplane, and the watch over its end.
//
// What an idle one costs, measured with 200 in one daemon, `auto` ports both ways and 64 MiB of
// UMEM (Linux 6.18, 2 cores): 16 file descriptors; 0.25 MB here, most of it rings; 2.2 MB in the
// kernel, 128 bytes for each chunk of the UMEM because each socket that shares it has a pool of its
// own (0.7 MB with 16 MiB). CPU time: see listening_ports.hpp; the worker uses 0.3 ms each second.
//
// Connecting one takes 10 ms on average with 200, 24 with 40. That is time in the kernel: bind(2)
// of the AF_XDP socket clears that pool, 5 ms; and attaching the XDP program waits 10 ms for RCU,
// once more when it is detached, but only for the first 48 programs of the machine
// (bpf_dispatcher_change_prog() in kernel/bpf/dispatcher.c). Threads that enter namespaces take
// well below 1 ms together.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "control/config.hpp"
#include "control/forwarding.hpp"
#include "control/link.hpp"
#include "control/port_gate.hpp"
#include "control/port_setup.hpp"
#include "control/spawned_command.hpp"
#include "control/target_watch.hpp"
#include "dataplane/shard/dataplane.hpp"

namespace pasta::control {

/// What attachments share. All of it outlives them.
struct Plumbing {
    const Netns& private_netns;
    io::Umem& umem;
    shard::Dataplane& dataplane;
    HostSide& host_side;
    PortGate& gate;
    DirectoryWatch& directories;
    size_t namespaces;  ///< that will share the UMEM, about
};

class Attachment {
  public:
    /// Connects the namespace (and starts its command, held back until release()). Throws when it
    /// cannot be; nothing is left behind then. `id` is not in use.
    Attachment(const Plumbing& plumbing, const NamespaceConfig& config, core::PortId id,
               const HostView& host);
    ~Attachment();
    Attachment(const Attachment&) = delete;
    Attachment& operator=(const Attachment&) = delete;

    const NamespaceConfig& config() const { return config_; }
    core::PortId id() const { return id_; }
    /// Other port rules, which the next change_ports() puts into effect.
    void set_forward(const ForwardConfig& rules) { config_.forward = rules; }
    /// Forwarding::change() by the rules of config(), and then open(). Nothing is open before.
    void change_ports();
    void open_ports() { forwarding_->open(); }
    Forwarding& forwarding() { return *forwarding_; }
    /// Of our end of the link.
    int link_index() const { return link_->index(); }
    /// The end of a process is reported by this descriptor becoming readable, that of a file by
    /// Plumbing::directories; -1 = there is none.
    int watch_fd() const;
    bool target_gone();
    /// Lets the command of a `command:` target run. Throws std::system_error.
    void release_command();
    /// Of the command, once it has ended.
    std::optional<int> exit_status();
    /// Disconnects; the statistics of its queues and of its XDP program. Once.
    struct Statistics {
        io::PortStatistics port;
        SteerCounters steer;
    };
    Statistics detach();

  private:
    Netns open_target();
    Netns target_netns() const;
    void configure(const Netns& target, const std::string& interface_name, const HostView& host);
    std::vector<std::unique_ptr<io::FramePort>> open_queues(const core::PortConfig& port);

    Plumbing plumbing_;
    NamespaceConfig config_;
    core::PortId id_;
    std::unique_ptr<SpawnedCommand> command_;
    std::optional<TargetWatch> watch_;
    std::unique_ptr<VethLink> link_;
    std::unique_ptr<Forwarding> forwarding_;
    bool attached_ = false;
    bool joined_ = false;  ///< the dataplane and the gate have handles on the namespace
};

}  // namespace pasta::control
