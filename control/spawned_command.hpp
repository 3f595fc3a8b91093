// A command that runs in a network namespace of its own (`pasta-xdp -- COMMAND`).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "control/namespace.hpp"
#include "dataplane/io/unique_fd.hpp"

namespace pasta::control {

/// A child process in new network, mount, UTS and IPC namespaces, with /sys of its own and ping
/// sockets allowed for every group. It stays in the caller's process group and session, so that an
/// interactive shell gets the terminal: Ctrl-C reaches both, and the caller should leave SIGINT to
/// the command. Waits before the command until release(), so that the link is there first.
class SpawnedCommand {
  public:
    /// `arguments` has the command first, which is looked up in PATH. Throws std::system_error.
    explicit SpawnedCommand(std::vector<std::string> arguments);
    SpawnedCommand(const SpawnedCommand&) = delete;
    SpawnedCommand& operator=(const SpawnedCommand&) = delete;
    /// Ends the command if it still runs: SIGTERM and SIGHUP, after two seconds SIGKILL.
    ~SpawnedCommand();

    pid_t pid() const { return pid_; }
    /// Readable when the child has ended; for poll.
    int pidfd() const { return pidfd_.get(); }
    /// A new handle on the child's namespace; only while it runs.
    Netns netns() const { return Netns::of_process(pid_); }
    /// Lets the child execute the command. Throws std::system_error, with the command's name, when
    /// it cannot be executed.
    void release();
    /// The exit status, 128 + signal if a signal ended it, once it has ended; else nothing.
    std::optional<int> exit_status();
    /// Waits for the end; as exit_status().
    int wait();

  private:
    [[noreturn]] void run_child(int release_fd, int report_fd);
    void await_namespaces();

    std::vector<std::string> arguments_;
    std::vector<char*> argv_;  ///< the same, as exec wants it
    pid_t pid_ = -1;
    io::UniqueFd pidfd_;
    io::UniqueFd release_;  ///< we write one byte: go
    io::UniqueFd report_;   ///< we read one byte: namespaces ready; then errno of exec, or EOF
    std::optional<int> status_;
};

}  // namespace pasta::control
