// Notices when the namespace that a link was made for goes away.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>

#include "dataplane/io/unique_fd.hpp"

namespace pasta::control {

/// Directories in which files may appear and vanish. All share one inotify(7) instance, of which a
/// user has 128 by default (fs.inotify.max_user_instances), so that there is no limit to the number
/// of namespaces. What the events say is not told, only that there were some.
class DirectoryWatch {
  public:
    /// Keeps a directory watched; the DirectoryWatch outlives it.
    using Handle = std::shared_ptr<const void>;

    /// Any number of handles on a directory share one watch. Throws std::system_error.
    Handle add(const std::string& directory);
    /// Readable when something has changed in one of the directories; -1 before the first add().
    int fd() const { return inotify_.get(); }
    /// Takes the pending events. Never blocks.
    void consume();

  private:
    io::UniqueFd inotify_;
    std::map<int, std::weak_ptr<const void>> watched_;  ///< by watch descriptor
};

/// Tells whether a target is gone. A process is watched by pidfd. A file counts as gone when it is
/// deleted, moved away or another one was put in its place: ask again whenever something changed in
/// its directory. What has no such event (a file in /proc that is not /proc/PID/ns/net) is left to
/// LinkMonitor: the kernel removes both ends of a veth pair with either namespace. Holds nothing
/// that keeps the namespace alive.
class TargetWatch {
  public:
    /// Throws std::system_error when there is no such process.
    static TargetWatch process(pid_t pid);
    /// A path or a name as Netns::open takes it. Throws std::system_error.
    static TargetWatch file(const std::string& path_or_name, DirectoryWatch& directories);

    /// Readable when a process has ended; -1 for a file, whose news come from DirectoryWatch::fd().
    int fd() const { return process_.get(); }
    /// True once the target is gone. Never blocks.
    bool gone();

  private:
    TargetWatch() = default;

    io::UniqueFd process_;  ///< a pidfd; none for a file
    DirectoryWatch::Handle directory_;
    std::string path_;
    uint64_t inode_ = 0;  ///< of the file when the watch began
    uint64_t device_ = 0;
    bool gone_ = false;
};

}  // namespace pasta::control
