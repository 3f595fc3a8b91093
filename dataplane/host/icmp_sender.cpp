#include "dataplane/host/icmp_sender.hpp"

#include <netinet/in.h>  // before the kernel's, which define less

#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "dataplane/host/socket_address.hpp"

namespace pasta::host {

namespace {

/// Filters all out: a raw socket would get a copy of every ICMP message that the host receives.
void hear_nothing(int fd, bool v4) {
    if (v4) {
        const icmp_filter filter{UINT32_MAX};
        setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof filter);
    } else {
        icmp6_filter filter;
        for (auto& word : filter.data)
            word = UINT32_MAX;
        setsockopt(fd, IPPROTO_ICMPV6, ICMPV6_FILTER, &filter, sizeof filter);
    }
}

int open_raw(bool v4) {
    const int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                          v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
    if (fd >= 0) hear_nothing(fd, v4);
    return fd;
}

template <typename Info>
void put(msghdr& header, int level, int type, const Info& info) {
    header.msg_controllen = CMSG_SPACE(sizeof info);
    cmsghdr* control = CMSG_FIRSTHDR(&header);
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(CMSG_DATA(control), &info, sizeof info);
}

}  // namespace

IcmpSender::~IcmpSender() {
    for (const int fd : {v4_, v6_})
        if (fd >= 0) close(fd);
}

bool IcmpSender::send(wire::Bytes message, const wire::IpAddress& from,
                      const core::HostTarget& to) {
    const bool v4 = to.address.is_v4();
    int& fd = v4 ? v4_ : v6_;
    if (fd < 0) fd = open_raw(v4);
    if (fd < 0) return false;
    SocketAddress destination(to.address, 0, to.scope);
    iovec iov{const_cast<uint8_t*>(message.data()), message.size()};
    alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(sizeof(in6_pktinfo))> control{};
    msghdr header{};
    header.msg_name = destination.out(), header.msg_namelen = destination.size();
    header.msg_iov = &iov, header.msg_iovlen = 1;
    header.msg_control = control.data(), header.msg_controllen = control.size();
    if (v4) {
        in_pktinfo info{};
        std::memcpy(&info.ipi_spec_dst, from.v4_octets().data(), 4);
        put(header, IPPROTO_IP, IP_PKTINFO, info);
    } else {
        in6_pktinfo info{};
        std::memcpy(&info.ipi6_addr, from.octets.data(), 16);
        info.ipi6_ifindex = to.scope;
        put(header, IPPROTO_IPV6, IPV6_PKTINFO, info);
    }
    return sendmsg(fd, &header, MSG_DONTWAIT) >= 0;
}

}  // namespace pasta::host
