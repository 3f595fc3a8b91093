#include "control/attachment.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace pasta::control {

namespace {

template <typename... Cases>
struct Overloaded : Cases... {
    using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

/// Chunks that wait in an idle queue for the first burst: all queues together keep an eighth of the
/// memory, as long as each has enough to notice that it needs more.
uint32_t idle_fill(size_t chunks, size_t queues) {
    return static_cast<uint32_t>(
        std::clamp<size_t>(chunks / 8 / std::max<size_t>(queues, 1), 64, core::rx_ring_chunks / 4));
}

}  // namespace

Attachment::Attachment(const Plumbing& plumbing, const NamespaceConfig& config, core::PortId id,
                       const HostView& host)
    : plumbing_(plumbing), config_(config), id_(id) {
    const Netns target = open_target();
    core::PortConfig port = port_config(config_, host);
    port.id = id_;
    const uint16_t workers = plumbing_.dataplane.workers();
    port.workers = config_.queues == Queues::all ? workers : uint16_t{1};
    port.first_worker =
        config_.queues == Queues::all ? uint16_t{0} : static_cast<uint16_t>(id_ % workers);

    VethLinkOptions options;
    options.name = fmt::format("port{}", id_);
    options.peer_name = config_.interface.value_or(host.interface.name);
    options.queues = port.workers;
    options.mtu = config_.mtu;
    options.mac = config_.mac;
    options.peer_mac = config_.ns_mac;
    link_ = std::make_unique<VethLink>(plumbing_.private_netns, target, options);
    port.our_mac = link_->mac();
    port.guest_mac = link_->peer_mac();
    try {
        attached_ = true;
        plumbing_.dataplane.attach(port, open_queues(port));
        configure(target, options.peer_name, host);
        forwarding_ = std::make_unique<Forwarding>(plumbing_.host_side, config_, id_,
                                                   [this] { return target_netns(); });
    } catch (...) {
        detach();
        throw;
    }
}

void Attachment::configure(const Netns& target, const std::string& interface_name,
                           const HostView& host) {
    InterfaceConfig interface;
    interface.name = interface_name;
    if (config_.configure == Configure::netlink) {
        interface.addresses = interface_addresses(config_, host);
        interface.routes = interface_routes(config_, host);
    }
    // A client in the namespace needs a link that is up; what nobody configures stays down.
    interface.up = config_.configure != Configure::none;
    for (const std::string& warning : configure_interface(target, interface))
        spdlog::warn("{}: {}", config_.name, warning);
}

Attachment::~Attachment() {
    if (attached_) detach();
}

// The watch comes first: should a process end and its number be used again, the watch knows.
Netns Attachment::open_target() {
    std::visit(
        Overloaded{
            [&](const NetnsPath& target) {
                watch_.emplace(TargetWatch::file(target.path, plumbing_.directories));
            },
            [&](const NetnsPid& target) { watch_.emplace(TargetWatch::process(target.pid)); },
            [&](const NetnsCommand& target) {
                command_ = std::make_unique<SpawnedCommand>(target.argv);
            },
        },
        config_.target);
    return target_netns();
}

Netns Attachment::target_netns() const {
    return std::visit(Overloaded{
                          [](const NetnsPath& target) { return Netns::open(target.path); },
                          [](const NetnsPid& target) { return Netns::of_process(target.pid); },
                          [&](const NetnsCommand&) { return command_->netns(); },
                      },
                      config_.target);
}

std::vector<std::unique_ptr<io::FramePort>> Attachment::open_queues(const core::PortConfig& port) {
    io::XskPortOptions options;
    options.idle_fill =
        idle_fill(plumbing_.umem.size(), plumbing_.namespaces * size_t{port.workers});
    std::vector<std::unique_ptr<io::FramePort>> queues;
    for (uint32_t queue = 0; queue < port.workers; ++queue)
        queues.push_back(link_->open_port(plumbing_.umem, queue, options));
    return queues;
}

// Only who asks for ports has the namespace kept alive by more than its own processes and files.
// TCP to the host alone needs nothing made inside.
void Attachment::change_ports() {
    const ForwardConfig& rules = config_.forward;
    if (!joined_ && !(rules.tcp.empty() && rules.udp.empty() && rules.udp_to_host.empty())) {
        const Netns target = target_netns();
        plumbing_.dataplane.join(id_, target.fd());
        plumbing_.gate.join(id_, target);
        joined_ = true;
    }
    forwarding_->change(config_.forward);
}

int Attachment::watch_fd() const {
    return command_ ? command_->pidfd() : watch_ ? watch_->fd() : -1;
}

bool Attachment::target_gone() {
    return command_ ? command_->exit_status().has_value() : watch_ && watch_->gone();
}

void Attachment::release_command() {
    if (command_) command_->release();
}

std::optional<int> Attachment::exit_status() {
    return command_ ? command_->exit_status() : std::nullopt;
}

Attachment::Statistics Attachment::detach() {
    Statistics statistics;
    forwarding_.reset();
    plumbing_.gate.leave(id_);
    statistics.steer = link_->counters();
    statistics.port = plumbing_.dataplane.detach(id_);
    attached_ = false;
    link_.reset();
    return statistics;
}

}  // namespace pasta::control
