#include "control/listening_ports.hpp"

#include <fcntl.h>
#include <netinet/in.h>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "control/listen_socket.hpp"
#include "control/netlink.hpp"
#include "control/sock_diag.hpp"

namespace pasta::control {

namespace {

/// The number after `label` in a file such as /proc/net/sockstat.
std::optional<unsigned> count_after(std::string_view text, std::string_view label) {
    const size_t at = text.find(label);
    if (at == std::string_view::npos) return std::nullopt;
    text.remove_prefix(at + label.size());
    unsigned count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc{}) return std::nullopt;
    return count;
}

class KernelSockets : public SocketSource {
  public:
    explicit KernelSockets(const Netns& netns) : sockets_(netns) {
        run_in_netns(netns, [&] {
            ephemeral_ = ephemeral_ports();
            v4_.reset(open("/proc/thread-self/net/sockstat", O_RDONLY | O_CLOEXEC));
            v6_.reset(open("/proc/thread-self/net/sockstat6", O_RDONLY | O_CLOEXEC));
        });
    }

    std::optional<SocketCounts> counts() override {
        const std::string_view v4 = read(v4_);
        const auto tcp = count_after(v4, "TCP: inuse "), udp = count_after(v4, "UDP: inuse ");
        if (!tcp || !udp) return std::nullopt;
        const std::string_view v6 = read(v6_);  // absent where there is no IPv6
        return SocketCounts{*tcp + count_after(v6, "TCP6: inuse ").value_or(0),
                            *udp + count_after(v6, "UDP6: inuse ").value_or(0)};
    }
    std::vector<uint16_t> listening(uint8_t protocol) override {
        return sockets_.listening(protocol);
    }
    PortRange ephemeral() override { return ephemeral_; }

  private:
    /// Valid until the next call.
    std::string_view read(const io::UniqueFd& file) {
        const ssize_t length = pread(file.get(), text_.data(), text_.size(), 0);
        return {text_.data(), length > 0 ? static_cast<size_t>(length) : 0};
    }

    SockDiag sockets_;
    io::UniqueFd v4_, v6_;
    PortRange ephemeral_;
    std::array<char, 1024> text_;
};

}  // namespace

std::unique_ptr<SocketSource> make_socket_source(const Netns& netns) {
    return std::make_unique<KernelSockets>(netns);
}

ListeningPorts::ListeningPorts(std::unique_ptr<SocketSource> source)
    : source_(std::move(source)), ephemeral_(source_->ephemeral()) {}

bool ListeningPorts::refresh(const Ours& ours) {
    // Before the list: what happens in between shows in the next counts.
    const std::optional<SocketCounts> counts = source_->counts();
    const bool full = calls_++ % full_period == 0;
    if (counts && counts == counts_ && !full) return false;
    counts_ = counts;
    const std::pair before{tcp_, udp_};
    try {
        // No socket, no list.
        tcp_ = counts && counts->tcp == 0 ? Ports{} : source_->listening(IPPROTO_TCP);
        udp_ = counts && counts->udp == 0 ? Ports{} : source_->listening(IPPROTO_UDP);
    } catch (const NetlinkError& e) {
        if (!std::exchange(failed_, true)) spdlog::warn("ports cannot be followed: {}", e.what());
        return false;
    }
    std::erase_if(tcp_, [&](uint16_t port) { return ours(IPPROTO_TCP, port); });
    std::erase_if(udp_, [&](uint16_t port) {
        return (ephemeral_.first <= port && port <= ephemeral_.last) || ours(IPPROTO_UDP, port);
    });
    return full || before != std::pair{tcp_, udp_};
}

const ListeningPorts::Ports& ListeningPorts::ports(uint8_t protocol) const {
    return protocol == IPPROTO_TCP ? tcp_ : udp_;
}

}  // namespace pasta::control
