// Control messages of received datagrams.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "dataplane/core/datagram_flow.hpp"

namespace pasta::host {

/// TTL and TOS of the datagram, where the socket was told to give them (IP_RECVTTL and the like).
inline core::ReceivedOptions received_options(msghdr& header) {
    core::ReceivedOptions options;
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
        int value = 0;
        const size_t length =
            std::min<size_t>(sizeof value, c->cmsg_len - CMSG_LEN(0));  // TOS is one byte
        std::memcpy(&value, CMSG_DATA(c), length);
        const bool v4 = c->cmsg_level == IPPROTO_IP;
        if (c->cmsg_type == (v4 ? IP_TTL : IPV6_HOPLIMIT))
            options.hop_limit = static_cast<uint8_t>(value);
        else if (c->cmsg_type == (v4 ? IP_TOS : IPV6_TCLASS))
            options.traffic_class = static_cast<uint8_t>(value);
    }
    return options;
}

/// The address that it was sent to (IP_PKTINFO, IPV6_RECVPKTINFO); IPv4's on sockets of both
/// families too. Nothing when the kernel did not tell.
inline std::optional<wire::IpAddress> destination(msghdr& header) {
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            in_pktinfo info;
            std::memcpy(&info, CMSG_DATA(c), sizeof info);
            return wire::IpAddress::v4(ntohl(info.ipi_addr.s_addr));
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            in6_pktinfo info;
            std::memcpy(&info, CMSG_DATA(c), sizeof info);
            return wire::IpAddress::v6(std::span<const uint8_t, 16>{info.ipi6_addr.s6_addr});
        }
    }
    return std::nullopt;
}

}  // namespace pasta::host
