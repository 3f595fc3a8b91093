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

DirectoryWatch::Handle DirectoryWatch::add(const std::string& directory) {
    if (!inotify_) inotify_.reset(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    // For a directory that is watched already the kernel gives the same descriptor again.
    const int watch = !inotify_
                          ? -1
                          : inotify_add_watch(inotify_.get(), directory.c_str(),
                                              IN_CREATE | IN_DELETE | IN_MOVE | IN_DELETE_SELF);
    if (watch < 0) fail("cannot watch directory " + directory);
    std::erase_if(watched_, [](const auto& entry) { return entry.second.expired(); });
    std::weak_ptr<const void>& known = watched_[watch];
    if (Handle handle = known.lock()) return handle;
    // Refused when the directory itself is gone: the kernel has then removed the watch.
    const auto remove = [inotify = inotify_.get(), watch](const void*) {
        inotify_rm_watch(inotify, watch);
    };
    Handle handle(this, remove);
    known = handle;
    return handle;
}

void DirectoryWatch::consume() {
    alignas(inotify_event) char events[4096];
    while (read(inotify_.get(), events, sizeof(events)) > 0) {
    }
}

TargetWatch TargetWatch::process(pid_t pid) {
    TargetWatch watch;
    watch.process_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!watch.process_) fail("cannot watch process " + std::to_string(pid));
    return watch;
}

TargetWatch TargetWatch::file(const std::string& path_or_name, DirectoryWatch& directories) {
    const std::string path = netns_path(path_or_name);
    if (const std::optional<pid_t> pid = pid_of_proc_path(path)) return process(*pid);
    TargetWatch watch;
    watch.path_ = path;
    watch.directory_ = directories.add(path.substr(0, path.find_last_of('/') + 1));
    struct stat file {};
    if (stat(path.c_str(), &file) != 0) fail("cannot watch " + path);
    watch.inode_ = file.st_ino;
    watch.device_ = file.st_dev;
    return watch;
}

bool TargetWatch::gone() {
    if (gone_) return true;
    if (process_) {
        pollfd ended{process_.get(), POLLIN, 0};
        return gone_ = poll(&ended, 1, 0) == 1;
    }
    struct stat file {};
    return gone_ =
               stat(path_.c_str(), &file) != 0 || file.st_ino != inode_ || file.st_dev != device_;
}

}  // namespace pasta::control
