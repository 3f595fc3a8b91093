// A network namespace for the tests of one process.
#pragma once

#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

namespace pasta::test {

/// Moves the calling thread into a new network namespace whose loopback is up. Needs CAP_SYS_ADMIN
/// and CAP_NET_ADMIN, as the whole program does.
inline void enter_own_netns() {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0)
        << "needs CAP_SYS_ADMIN for a network namespace: " << std::strerror(errno);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    ASSERT_EQ(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    close(fd);
}

/// Gives the thread's namespace an address with its prefix, such as 198.51.100.1/24.
inline void add_address(const std::string& address) {
    const std::string command = "ip addr add " + address + " dev lo nodad";
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

}  // namespace pasta::test
