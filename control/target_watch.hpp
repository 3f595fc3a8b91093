// Notices when the namespace that a link was made for goes away.
#pragma once

#include <sys/types.h>

#include <string>

#include "dataplane/io/unique_fd.hpp"

namespace pasta::control {

/// One descriptor to poll for reading, and a question to ask when it is readable. A process is
/// watched by pidfd; a file by inotify on its directory: the target counts as gone when the file
/// is deleted, moved away or another one was put in its place. What has no such event (a file in
/// /proc that is not /proc/PID/ns/net) is left to LinkMonitor: the kernel removes both ends of a
/// veth pair with either namespace. Holds nothing that keeps the namespace alive.
class TargetWatch {
  public:
    /// Throws std::system_error when there is no such process.
    static TargetWatch process(pid_t pid);
    /// A path or a name as Netns::open takes it. Throws std::system_error.
    static TargetWatch file(const std::string& path_or_name);

    /// -1 when there is nothing to poll.
    int fd() const { return fd_.get(); }
    /// True once the target is gone; consumes pending events. Never blocks.
    bool gone();

  private:
    TargetWatch() = default;

    io::UniqueFd fd_;
    std::string path_;    ///< empty for a process
    uint64_t inode_ = 0;  ///< of the file when the watch began
    uint64_t device_ = 0;
    bool gone_ = false;
};

}  // namespace pasta::control
