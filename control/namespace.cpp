#include "control/namespace.hpp"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace pasta::control {

namespace {

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

/// Brings `lo` of the calling thread's namespace up.
void raise_loopback() {
    const io::UniqueFd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    if (!socket_fd || ioctl(socket_fd.get(), SIOCSIFFLAGS, &request) != 0)
        fail("cannot bring lo up in the private network namespace");
}

}  // namespace

Netns::Netns(io::UniqueFd fd, const std::string& what) : fd_(std::move(fd)) {
    if (!fd_) fail("cannot open " + what);
}

Netns Netns::current() {
    return {io::UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)),
            "this thread's network namespace"};
}

Netns Netns::open(const std::string& path_or_name) {
    const std::string path = netns_path(path_or_name);
    return {io::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), "network namespace " + path};
}

Netns Netns::of_process(pid_t pid) {
    const std::string number = std::to_string(pid);
    return {io::UniqueFd(::open(("/proc/" + number + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC)),
            "the network namespace of process " + number};
}

Netns Netns::create_private() {
    std::packaged_task<Netns()> task([] {
        if (unshare(CLONE_NEWNET) != 0) fail("cannot create the private network namespace");
        // Absent when the kernel has no IPv6 at all, which is as good.
        write_sysctl("net/ipv6/conf/all/disable_ipv6", "1");
        write_sysctl("net/ipv6/conf/default/disable_ipv6", "1");
        raise_loopback();
        return current();
    });
    auto result = task.get_future();
    std::thread(std::ref(task)).join();
    return result.get();
}

bool Netns::operator==(const Netns& other) const {
    struct stat mine {
    }, theirs{};
    return fstat(fd(), &mine) == 0 && fstat(other.fd(), &theirs) == 0 &&
           mine.st_dev == theirs.st_dev && mine.st_ino == theirs.st_ino;
}

std::string netns_path(const std::string& path_or_name) {
    return path_or_name.find('/') == std::string::npos ? "/run/netns/" + path_or_name
                                                       : path_or_name;
}

void enter_netns(const Netns& netns) {
    if (setns(netns.fd(), CLONE_NEWNET) != 0) fail("cannot enter the network namespace");
}

bool write_sysctl(const std::string& key, const std::string& value) {
    const io::UniqueFd file(::open(("/proc/sys/" + key).c_str(), O_WRONLY | O_CLOEXEC));
    return file &&
           write(file.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
}

}  // namespace pasta::control
