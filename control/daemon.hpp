// The control thread: attaches namespaces, watches them, and keeps the dataplane's secrets fresh.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/attachment.hpp"
#include "control/dataplane_listeners.hpp"
#include "control/options.hpp"
#include "dataplane/io/unique_fd.hpp"

namespace pasta::control {

class Daemon {
  public:
    /// Everything that can fail at start-up happens here: privileges, memory, workers, and the
    /// namespaces of the configuration, which are connected when it returns. Throws an exception
    /// with one line of text; nothing is left behind then.
    explicit Daemon(const Options& options);
    ~Daemon();

    /// Announces readiness and serves until SIGTERM, SIGINT or, for the one namespace of a command
    /// line, its end. Returns the exit status.
    int run();

  private:
    using Attachments = std::map<std::string, std::unique_ptr<Attachment>>;

    Attachment& attach(const NamespaceConfig& config, const HostView& host);
    void start_forwarding(Attachment& attachment);
    void detach(Attachments::iterator it);
    void reserve_ports();
    void set_follow_timer();
    void wait_for_events();
    void on_signal();
    void on_targets();
    void on_links_removed();
    void on_rekey();
    void on_follow();
    void reload();
    void detach_changed(const Config& next, bool host_changed);
    std::vector<Attachment*> attach_added(const Config& next);
    void change_ports(const Config& next, const std::vector<Attachment*>& attachments);
    void apply_ports(const std::vector<Attachment*>& attachments,
                     const std::vector<ForwardConfig>& rules);
    void start_added(Attachment& attachment);
    void release_commands();
    void announce();
    void print_statistics();
    HostView read_host();
    core::PortId free_id() const;

    Options options_;
    Netns host_netns_;
    Netns private_netns_;
    std::unique_ptr<io::Umem> umem_;
    std::unique_ptr<io::ChunkRing> chunks_;
    std::unique_ptr<shard::Dataplane> dataplane_;
    std::unique_ptr<LinkMonitor> links_;
    DataplaneListeners listeners_;
    PortGate gate_;
    HostSide host_side_;
    DirectoryWatch directories_;
    Attachments attachments_;
    Attachment::Statistics statistics_;  ///< of attachments that ended
    io::UniqueFd signals_;
    io::UniqueFd rekey_timer_;
    io::UniqueFd follow_timer_;  ///< runs while a rule follows what listens somewhere
    bool stopping_ = false;
    int exit_status_ = 0;
};

}  // namespace pasta::control
