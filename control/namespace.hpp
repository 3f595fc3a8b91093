// Network namespaces: handles, work inside them, and the private one of the daemon.
#pragma once

#include <sys/types.h>

#include <functional>
#include <future>
#include <string>
#include <thread>
#include <type_traits>

#include "dataplane/io/unique_fd.hpp"

namespace pasta::control {

/// A handle on a network namespace; the namespace lives at least as long as the handle. So do not
/// keep the handle of a target longer than needed when its end is what you watch for.
/// All factories throw std::system_error, whose text names the namespace.
class Netns {
  public:
    /// The calling thread's.
    static Netns current();
    /// A file such as /run/netns/job-1 or /proc/4711/ns/net; a name without a slash means
    /// /run/netns/NAME, as ip-netns(8) has it.
    static Netns open(const std::string& path_or_name);
    static Netns of_process(pid_t pid);
    /// A new one without a name, which dies with its last handle, socket and link. Its `lo` is up
    /// and IPv6 is off on it and on every interface that it will get, so that the kernel never
    /// sends a frame of its own there.
    static Netns create_private();

    int fd() const { return fd_.get(); }
    /// True when both handles are of the same namespace.
    bool operator==(const Netns& other) const;

  private:
    Netns(io::UniqueFd fd, const std::string& what);

    io::UniqueFd fd_;
};

/// The path that a name given as `netns:` stands for.
std::string netns_path(const std::string& path_or_name);

/// Makes the calling thread a member of the namespace. Throws std::system_error.
void enter_netns(const Netns& netns);

/// Runs `work` in a short-lived thread inside the namespace; returns its result, or throws what it
/// threw. Sockets made there stay in that namespace and can be used from any thread.
template <typename Work>
std::invoke_result_t<Work> run_in_netns(const Netns& netns, Work&& work) {
    std::packaged_task<std::invoke_result_t<Work>()> task([&] {
        enter_netns(netns);
        return work();
    });
    auto result = task.get_future();
    std::thread(std::ref(task)).join();
    return result.get();
}

/// Writes a value to /proc/sys/`key` (with slashes), in the calling thread's network namespace.
/// False when there is no such setting or it refuses.
bool write_sysctl(const std::string& key, const std::string& value);

}  // namespace pasta::control
