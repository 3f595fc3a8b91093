#include "control/daemon.hpp"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <system_error>

#include "control/statistics.hpp"
#include "control/system.hpp"

namespace pasta::control {

namespace {

constexpr size_t mebibyte = size_t{1} << 20;

shard::IdlePolicy idle_policy(Polling polling) {
    switch (polling) {
        case Polling::busy:
            return shard::IdlePolicy::spin;
        case Polling::interrupt:
            return shard::IdlePolicy::sleep;
        case Polling::adaptive:
            break;
    }
    return shard::IdlePolicy::adaptive;
}

io::UniqueFd signal_fd() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGQUIT, SIGHUP})
        sigaddset(&set, number);
    // Before any thread exists, so that all of them inherit it.
    sigprocmask(SIG_BLOCK, &set, nullptr);
    signal(SIGPIPE, SIG_IGN);
    return io::UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

io::UniqueFd periodic_timer() {
    return io::UniqueFd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
}

/// Zero = never.
void set_period(const io::UniqueFd& timer, std::chrono::seconds period) {
    itimerspec spec{};
    spec.it_interval.tv_sec = spec.it_value.tv_sec = period.count();
    timerfd_settime(timer.get(), 0, &spec, nullptr);
}

void consume(const io::UniqueFd& timer) {
    uint64_t expirations;
    [[maybe_unused]] const ssize_t n = read(timer.get(), &expirations, sizeof expirations);
}

bool runs_command(const Options& options) {
    return options.config_file.empty() && options.config.namespaces.size() == 1 &&
           std::holds_alternative<NetnsCommand>(options.config.namespaces[0].target);
}

}  // namespace

Daemon::Daemon(const Options& options)
    : options_(options),
      host_netns_(Netns::current()),
      private_netns_([] {
          require_capabilities();
          return Netns::create_private();
      }()),
      gate_(listeners_, host_netns_),
      host_side_(host_netns_, gate_) {
    signals_ = signal_fd();
    const DataplaneConfig& dataplane = options_.config.dataplane;
    shard::DataplaneOptions shards;
    shards.cpus = choose_cpus(dataplane.workers);
    shards.idle = idle_policy(dataplane.polling);
    shards.secrets = random_secrets();
    links_ = std::make_unique<LinkMonitor>(private_netns_);
    umem_ = run_in_netns(private_netns_,
                         [&] { return std::make_unique<io::Umem>(dataplane.umem_mib * mebibyte); });
    if (umem_->software_checksums())
        spdlog::warn("this kernel computes no checksums for AF_XDP: they are computed here");
    chunks_ = std::make_unique<io::ChunkRing>(umem_->size());
    dataplane_ = std::make_unique<shard::Dataplane>(shards, umem_->arena(), *chunks_);
    listeners_.bind(*dataplane_);
    rekey_timer_ = periodic_timer();
    set_period(rekey_timer_, dataplane.hash_rekey);
    follow_timer_ = periodic_timer();
    raise_descriptor_limit();
    const HostView host = read_host();
    for (const NamespaceConfig& ns : options_.config.namespaces)
        attach(ns, host);
    reserve_ports();
    for (const auto& [name, attachment] : attachments_)
        start_forwarding(*attachment);
    set_follow_timer();
}

Daemon::~Daemon() {
    attachments_.clear();
    dataplane_.reset();
    if (chunks_ && chunks_->available() != umem_->size())
        spdlog::error("{} of {} chunks were lost", umem_->size() - chunks_->available(),
                      umem_->size());
}

HostView Daemon::read_host() {
    Netlink host(host_netns_);
    HostView view{read_template(host, options_.config.host.interface), read_resolver_config()};
    for (const std::string& warning : view.interface.warnings)
        spdlog::warn("{}", warning);
    return view;
}

core::PortId Daemon::free_id() const {
    for (core::PortId id = 0;; ++id) {
        const bool used = std::any_of(attachments_.begin(), attachments_.end(),
                                      [id](const auto& a) { return a.second->id() == id; });
        if (!used) return id;
    }
}

Attachment& Daemon::attach(const NamespaceConfig& config, const HostView& host) {
    const Plumbing plumbing{private_netns_,
                            *umem_,
                            *dataplane_,
                            host_side_,
                            gate_,
                            directories_,
                            options_.config.namespaces.size()};
    auto attachment = std::make_unique<Attachment>(plumbing, config, free_id(), host);
    return *(attachments_[config.name] = std::move(attachment));
}

void Daemon::start_forwarding(Attachment& attachment) {
    attachment.change_ports();
    attachment.open_ports();
    spdlog::info("{}: connected", attachment.config().name);
}

void Daemon::detach(std::map<std::string, std::unique_ptr<Attachment>>::iterator it) {
    add(statistics_, it->second->detach());
    spdlog::info("{}: disconnected", it->first);
    attachments_.erase(it);
    set_follow_timer();
}

void Daemon::reserve_ports() {
    std::vector<ForwardConfig> rules;
    for (const auto& [name, attachment] : attachments_)
        rules.push_back(attachment->config().forward);
    host_side_.reserve(rules);
}

void Daemon::set_follow_timer() {
    const bool needed = std::ranges::any_of(
        attachments_, [](const auto& entry) { return entry.second->forwarding().follows(); });
    itimerspec now{};
    timerfd_gettime(follow_timer_.get(), &now);
    // Setting a timer that runs would put it off.
    if (needed != (now.it_interval.tv_sec != 0))
        set_period(follow_timer_, std::chrono::seconds{needed ? 1 : 0});
}

int Daemon::run() {
    announce();
    release_commands();
    while (!stopping_)
        wait_for_events();
    sd_notify(0, "STOPPING=1");
    while (!attachments_.empty())
        detach(attachments_.begin());
    if (options_.stats) print_statistics();
    return exit_status_;
}

// A command that cannot be executed gives the status that env(1) and shells give.
void Daemon::release_commands() {
    try {
        for (auto& [name, attachment] : attachments_)
            attachment->release_command();
    } catch (const std::system_error& e) {
        if (!runs_command(options_)) throw;
        spdlog::error("pasta-xdp: {}", e.what());
        exit_status_ = e.code().value() == ENOENT ? 127 : 126;
        stopping_ = true;
    }
}

void Daemon::announce() {
    spdlog::info("ready: {} namespace{} on {} worker{}", attachments_.size(),
                 attachments_.size() == 1 ? "" : "s", dataplane_->workers(),
                 dataplane_->workers() == 1 ? "" : "s");
    sd_notify(0, "READY=1");
}

void Daemon::wait_for_events() {
    std::vector<pollfd> fds{{signals_.get(), POLLIN, 0}, {rekey_timer_.get(), POLLIN, 0},
                            {links_->fd(), POLLIN, 0},   {follow_timer_.get(), POLLIN, 0},
                            {gate_.fd(), POLLIN, 0},     {directories_.fd(), POLLIN, 0}};
    for (const auto& [name, attachment] : attachments_)
        if (attachment->watch_fd() >= 0) fds.push_back({attachment->watch_fd(), POLLIN, 0});
    if (poll(fds.data(), fds.size(), -1) < 0) return;
    if (fds[0].revents != 0) on_signal();
    if (fds[1].revents != 0) on_rekey();
    if (fds[2].revents != 0) on_links_removed();
    if (fds[3].revents != 0) on_follow();
    if (fds[4].revents != 0) gate_.on_ready();
    if (fds[5].revents != 0) directories_.consume();
    if (std::any_of(fds.begin() + 5, fds.end(), [](const pollfd& fd) { return fd.revents != 0; }))
        on_targets();
    // The namespace of a command line was all there is to serve.
    if (options_.config_file.empty() && attachments_.empty()) stopping_ = true;
}

void Daemon::on_signal() {
    signalfd_siginfo info;
    while (read(signals_.get(), &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP && !options_.config_file.empty())
            reload();
        else if (info.ssi_signo == SIGINT && runs_command(options_))
            continue;  // the terminal's Ctrl-C is the command's business
        else
            stopping_ = true;
    }
}

void Daemon::on_targets() {
    for (auto it = attachments_.begin(); it != attachments_.end();) {
        const auto current = it++;
        if (!current->second->target_gone()) continue;
        if (const auto status = current->second->exit_status(); status && runs_command(options_))
            exit_status_ = *status;
        detach(current);
    }
}

// The kernel removes both ends of a pair with the namespace of either.
void Daemon::on_links_removed() {
    bool overrun = false;
    std::vector<int> removed = links_->removed(overrun);
    Netlink netlink(private_netns_);
    for (auto it = attachments_.begin(); it != attachments_.end();) {
        const auto current = it++;
        const int link = current->second->link_index();
        const bool gone = std::find(removed.begin(), removed.end(), link) != removed.end() ||
                          (overrun && !netlink.find_link(link));
        // A command's end is told by its process, with the exit status.
        const bool has_status =
            std::holds_alternative<NetnsCommand>(current->second->config().target);
        if (gone && !has_status) detach(current);
    }
}

void Daemon::on_rekey() {
    consume(rekey_timer_);
    dataplane_->rekey(random_secrets().flow_hash);
    spdlog::debug("new secret for the choice of workers");
}

void Daemon::on_follow() {
    consume(follow_timer_);
    const bool host_changed = host_side_.refresh();
    for (const auto& [name, attachment] : attachments_)
        attachment->forwarding().follow(host_changed);
}

// Applies what differs in the config file; what did not change is not touched.
void Daemon::reload() {
    Config next;
    try {
        next = load_config(options_.config_file);
    } catch (const std::exception& e) {
        spdlog::error("not reloaded: {}", e.what());
        return;
    }
    sd_notify(0, "RELOADING=1");
    if (next.dataplane != options_.config.dataplane)
        spdlog::warn("changes under dataplane: take effect at the next start");
    next.dataplane = options_.config.dataplane;
    detach_changed(next, next.host != options_.config.host);
    options_.config = next;
    std::vector<Attachment*> kept;
    for (const auto& [name, attachment] : attachments_)
        kept.push_back(attachment.get());
    const std::vector<Attachment*> added = attach_added(next);
    change_ports(next, kept);
    for (Attachment* attachment : added)
        start_added(*attachment);
    set_follow_timer();
    announce();
}

/// Port rules do not count: they are changed in place.
void Daemon::detach_changed(const Config& next, bool host_changed) {
    for (auto it = attachments_.begin(); it != attachments_.end();) {
        const auto current = it++;
        NamespaceConfig now = current->second->config();
        const bool kept = !host_changed && std::ranges::any_of(next.namespaces, [&](auto& ns) {
            now.forward = ns.forward;
            return ns == now;
        });
        if (!kept) detach(current);
    }
}

std::vector<Attachment*> Daemon::attach_added(const Config& next) {
    std::vector<Attachment*> added;
    std::optional<HostView> host;
    for (const NamespaceConfig& ns : next.namespaces) {
        if (attachments_.contains(ns.name)) continue;
        try {
            if (!host) host = read_host();
            added.push_back(&attach(ns, *host));
        } catch (const std::exception& e) {
            spdlog::error("{}: {}", ns.name, e.what());
        }
    }
    return added;
}

/// For the namespaces that were there before: all of the new port rules take effect, or none.
void Daemon::change_ports(const Config& next, const std::vector<Attachment*>& attachments) {
    std::vector<ForwardConfig> before, after;
    for (Attachment* attachment : attachments) {
        before.push_back(attachment->config().forward);
        after.push_back(
            std::ranges::find(next.namespaces, attachment->config().name, &NamespaceConfig::name)
                ->forward);
    }
    try {
        apply_ports(attachments, after);
    } catch (const std::exception& e) {
        spdlog::error("ports stay as they were: {}", e.what());
        try {
            apply_ports(attachments, before);
        } catch (const std::exception& lost) {
            spdlog::error("a port was lost: {}", lost.what());
        }
    }
}

void Daemon::apply_ports(const std::vector<Attachment*>& attachments,
                         const std::vector<ForwardConfig>& rules) {
    for (size_t i = 0; i < attachments.size(); ++i)
        attachments[i]->set_forward(rules[i]);
    reserve_ports();
    for (Attachment* attachment : attachments)
        attachment->change_ports();
    for (Attachment* attachment : attachments)
        attachment->open_ports();
}

void Daemon::start_added(Attachment& attachment) {
    try {
        start_forwarding(attachment);
        attachment.release_command();
    } catch (const std::exception& e) {
        const std::string name = attachment.config().name;
        spdlog::error("{}: {}", name, e.what());
        add(statistics_, attachment.detach());
        attachments_.erase(name);
    }
}

void Daemon::print_statistics() {
    std::vector<const core::Counters*> counters;
    for (uint16_t worker = 0; worker < dataplane_->workers(); ++worker)
        counters.push_back(&dataplane_->counters(worker));
    std::fputs(format_statistics(counters, statistics_, gate_.refused()).c_str(), stderr);
}

}  // namespace pasta::control
