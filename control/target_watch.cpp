#include "control/target_watch.hpp"

#include <linux/magic.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

#include "control/namespace.hpp"

namespace pasta::control {

namespace {

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

/// The PID in /proc/PID/ns/net.
std::optional<pid_t> pid_of_proc_path(std::string_view path) {
    constexpr std::string_view before = "/proc/", after = "/ns/net";
    if (!path.starts_with(before) || !path.ends_with(after)) return std::nullopt;
    path.remove_prefix(before.size());
    if (path.size() <= after.size()) return std::nullopt;
    path.remove_suffix(after.size());
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), pid);
    if (error != std::errc{} || end != path.data() + path.size()) return std::nullopt;
    return pid;
}

}  // namespace

TargetWatch TargetWatch::process(pid_t pid) {
    TargetWatch watch;
    watch.fd_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!watch.fd_) fail("cannot watch process " + std::to_string(pid));
    return watch;
}

TargetWatch TargetWatch::file(const std::string& path_or_name) {
    const std::string path = netns_path(path_or_name);
    if (const std::optional<pid_t> pid = pid_of_proc_path(path)) return process(*pid);
    TargetWatch watch;
    watch.path_ = path;
    const std::string directory = path.substr(0, path.find_last_of('/') + 1);
    watch.fd_.reset(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!watch.fd_ || inotify_add_watch(watch.fd_.get(), directory.c_str(),
                                        IN_CREATE | IN_DELETE | IN_MOVE | IN_DELETE_SELF) < 0)
        fail("cannot watch directory " + directory);
    struct stat file {};
    if (stat(path.c_str(), &file) != 0) fail("cannot watch " + path);
    watch.inode_ = file.st_ino;
    watch.device_ = file.st_dev;
    return watch;
}

bool TargetWatch::gone() {
    if (gone_ || !fd_) return gone_;
    if (path_.empty()) {
        pollfd ended{fd_.get(), POLLIN, 0};
        return gone_ = poll(&ended, 1, 0) == 1;
    }
    // What the events say does not matter, only that something changed in the directory.
    alignas(inotify_event) char events[4096];
    while (read(fd_.get(), events, sizeof(events)) > 0) {
    }
    struct stat file {};
    return gone_ =
               stat(path_.c_str(), &file) != 0 || file.st_ino != inode_ || file.st_dev != device_;
}

}  // namespace pasta::control
