#include "control/port_gate.hpp"

#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <numeric>
#include <system_error>
#include <utility>

#include "control/netlink.hpp"

namespace pasta::control {

namespace {

/// A 64-bit socket option, such as SO_COOKIE; 0 where the kernel does not have it.
uint64_t cookie(int fd, int option) {
    uint64_t value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : 0;
}

uint64_t netns_cookie(const Netns& netns) {
    return run_in_netns(netns, [] {
        const io::UniqueFd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        return cookie(any.get(), SO_NETNS_COOKIE);
    });
}

}  // namespace

PortGate::Place::Place(const Netns& netns)
    : cookie(netns_cookie(netns)), sockets(netns), rules(netns) {}

PortGate::PortGate(PortListeners& listeners, const Netns& host)
    : listeners_(listeners),
      host_(std::make_unique<Place>(host)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
    if (!timer_) throw std::system_error(errno, std::generic_category(), "timerfd_create");
}

PortGate::~PortGate() = default;

void PortGate::join(core::PortId port, const Netns& netns) {
    places_[port] = std::make_unique<Place>(netns);
}

void PortGate::leave(core::PortId port) {
    places_.erase(port);
}

ListenerId PortGate::listen(const ListenerConfig& config, io::UniqueFd socket) {
    std::optional<Entry> entry;
    if (Place* place = place_of(config)) entry = add(*place, config.target_port, socket.get());
    try {
        const ListenerId id = listeners_.listen(config, std::move(socket));
        if (entry) entries_.emplace(id, *entry);
        return id;
    } catch (...) {
        if (entry) remove(*entry);
        throw;
    }
}

void PortGate::unlisten(ListenerId id) {
    listeners_.unlisten(id);
    const auto found = entries_.find(id);
    if (found == entries_.end()) return;
    remove(found->second);
    entries_.erase(found);
}

/// Null when its clients are not asked about.
PortGate::Place* PortGate::place_of(const ListenerConfig& config) {
    if (config.protocol != IPPROTO_TCP || !load()) return nullptr;
    if (config.side == core::ListenSide::ns) return host_.get();
    const auto found = places_.find(config.port);
    return found == places_.end() ? nullptr : found->second.get();
}

/// True if the program is there. Tried once.
bool PortGate::load() {
    if (std::exchange(tried_, true)) return program_.has_value();
    try {
        program_.emplace();
        free_.resize(GateProgram::slots);
        std::iota(free_.rbegin(), free_.rend(), 0);
        place_by_slot_.resize(GateProgram::slots);
    } catch (const std::system_error& e) {
        spdlog::warn("clients of ports where nobody listens will be reset, not refused: {}",
                     e.what());
    }
    return program_.has_value();
}

/// Nothing when the kernel refuses or there is no room: then all clients are let in.
std::optional<PortGate::Entry> PortGate::add(Place& place, uint16_t port, int socket) {
    const Entry entry{&place, port, cookie(socket, SO_COOKIE)};
    const Target* target = acquire(place, port);
    if (target == nullptr) return std::nullopt;
    if (!program_->guard(socket, entry.socket, target->slot)) {
        remove(entry);
        return std::nullopt;
    }
    place.news = true;
    if (!pausing_) look_after(1);
    return entry;
}

void PortGate::remove(const Entry& entry) {
    program_->forget(entry.socket);
    release(*entry.place, entry.port);
}

PortGate::Target* PortGate::acquire(Place& place, uint16_t port) {
    Target& target = place.targets[port];
    if (target.listeners++ != 0) return &target;
    if (place.cookie == 0 || free_.empty() || !program_->assign(free_.back(), place.cookie, port)) {
        place.targets.erase(port);
        return nullptr;
    }
    target.slot = free_.back();
    free_.pop_back();
    place_by_slot_[target.slot] = &place;
    return &target;
}

void PortGate::release(Place& place, uint16_t port) {
    const auto found = place.targets.find(port);
    Target& target = found->second;
    if (--target.listeners != 0) return;
    program_->release(place.cookie, port);
    refused_ += program_->refused(target.slot);
    place_by_slot_[target.slot] = nullptr;
    free_.push_back(target.slot);
    place.targets.erase(found);
}

int PortGate::fd() const {
    if (!program_) return -1;
    return pausing_ ? timer_.get() : program_->fd();
}

void PortGate::on_ready() {
    uint64_t expirations;
    if (pausing_ && read(timer_.get(), &expirations, sizeof expirations) < 0) return;
    pausing_ = false;
    program_->read_notes([this](uint32_t slot) {
        if (place_by_slot_[slot] != nullptr) place_by_slot_[slot]->news = true;
    });
    bool looked = false;
    const auto look_at = [&](Place& place) {
        if (!place.news) return;
        looked = true;
        place.news = look(place);
    };
    look_at(*host_);
    for (const auto& [port, place] : places_)
        look_at(*place);
    if (looked) look_after(pause);
}

/// Opens and closes; true when it has to be done once more, after the pause.
bool PortGate::look(Place& place) {
    std::vector<uint32_t> before;
    for (const auto& [port, target] : place.targets) {
        program_->hear_again(target.slot);
        before.push_back(program_->listens(target.slot));
    }
    std::vector<uint16_t> listening;
    bool all_open = false;
    try {
        all_open = place.rules.possible();
        if (!all_open) listening = place.sockets.listening(IPPROTO_TCP);
    } catch (const NetlinkError& e) {
        spdlog::debug("ports stay open: {}", e.what());
        all_open = true;
    }
    bool again = false;
    auto listens = before.begin();
    for (auto& [port, target] : place.targets) {
        const uint32_t seen = *listens++;
        if (all_open || std::ranges::binary_search(listening, port)) {
            target.vacant.reset();
            program_->open(target.slot);
        } else if (target.vacant == seen) {
            program_->close(target.slot, seen);
        } else {
            target.vacant = seen;
            again = true;
        }
    }
    return again;
}

void PortGate::look_after(long nanoseconds) {
    itimerspec spec{};
    spec.it_value.tv_nsec = nanoseconds;
    pausing_ = timerfd_settime(timer_.get(), 0, &spec, nullptr) == 0;
}

uint64_t PortGate::refused() const {
    uint64_t sum = refused_;
    const auto add_up = [&](const Place& place) {
        for (const auto& [port, target] : place.targets)
            sum += program_->refused(target.slot);
    };
    add_up(*host_);
    for (const auto& [port, place] : places_)
        add_up(*place);
    return sum;
}

}  // namespace pasta::control
