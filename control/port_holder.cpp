// Whom a busy port belongs to: from the port to a socket's inode by sock_diag(7), from there to a
// process that has it open by /proc.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/inet_diag.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "control/listen_socket.hpp"
#include "control/netlink.hpp"
#include "control/sock_diag.hpp"

namespace pasta::control {

namespace {

namespace fs = std::filesystem;

/// The inodes of the sockets that have the port. Of TCP those that listen or are bound only; where
/// there are none, connections, which keep a port as well.
std::set<uint32_t> inodes_of(SockDiag& sockets, uint8_t protocol, uint16_t port) {
    constexpr uint32_t listening = 1U << TCP_LISTEN, bound = 1U << 13;  // TCP_BOUND_INACTIVE
    constexpr uint32_t all = 0xfff;
    for (const uint32_t states : {protocol == IPPROTO_TCP ? listening | bound : all, all}) {
        std::set<uint32_t> inodes;
        sockets.dump(protocol, states, [&](const inet_diag_msg& socket) {
            if (ntohs(socket.id.idiag_sport) == port) inodes.insert(socket.idiag_inode);
        });
        if (!inodes.empty()) return inodes;
    }
    return {};
}

bool has_one_of(const fs::path& process, const std::set<uint32_t>& inodes) {
    std::error_code error;
    for (fs::directory_iterator fd(process / "fd", error), end; fd != end; fd.increment(error)) {
        if (error) return false;
        const std::string target = fs::read_symlink(fd->path(), error);
        unsigned inode = 0;
        if (std::sscanf(target.c_str(), "socket:[%u]", &inode) == 1 && inodes.contains(inode))
            return true;
    }
    return false;
}

bool is_number(const std::string& text) {
    return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string port_holder(const Netns& netns, uint8_t protocol, uint16_t port) try {
    SockDiag sockets(netns);
    const std::set<uint32_t> inodes = inodes_of(sockets, protocol, port);
    if (inodes.empty()) return {};
    std::error_code error;
    for (fs::directory_iterator entry("/proc", error), end; entry != end; entry.increment(error)) {
        if (error) break;
        const std::string pid = entry->path().filename();
        if (!is_number(pid) || !has_one_of(entry->path(), inodes)) continue;
        std::string name;
        std::getline(std::ifstream(entry->path() / "comm"), name);
        return fmt::format("{} (pid {})", name, pid);
    }
    return "a process that cannot be seen from here";
} catch (const NetlinkError&) {
    return "somebody";
}

}  // namespace pasta::control
