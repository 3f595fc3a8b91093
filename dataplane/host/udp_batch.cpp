#include "dataplane/host/udp_batch.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "dataplane/host/datagram_control.hpp"
#include "dataplane/host/socket_option.hpp"

namespace pasta::host {

namespace {

/// Pending errors that one read steps over to get at datagrams.
constexpr int max_failures = 4;

bool is_segmentation_error(int error) {
    return error == EINVAL || error == EIO || error == EMSGSIZE || error == EOPNOTSUPP;
}

template <typename T>
T read_control(const cmsghdr* control) {
    T value;
    std::memcpy(&value, CMSG_DATA(control), sizeof value);
    return value;
}

/// Appends to the control messages of `header`, whose buffer has room.
template <typename T>
void append_control(msghdr& header, int level, int type, const T& value) {
    auto* control = reinterpret_cast<cmsghdr*>(static_cast<uint8_t*>(header.msg_control) +
                                               header.msg_controllen);
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(sizeof value);
    std::memcpy(CMSG_DATA(control), &value, sizeof value);
    header.msg_controllen += CMSG_SPACE(sizeof value);
}

void parse_controls(msghdr& header, UdpBurst& burst) {
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            const auto segment = static_cast<size_t>(read_control<int>(c));
            if (segment < burst.data.size()) burst.segment = static_cast<uint16_t>(segment);
        }
    }
    burst.local = destination(header).value_or(wire::IpAddress{});
    burst.options = received_options(header);
}

}  // namespace

bool set_up_udp_listener(int fd) {
    int family = 0;
    socklen_t size = sizeof family;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) return false;
    // A listener of both families gets IPv4's header fields by IPv4's options.
    const bool v6 = family == AF_INET6;
    const bool told = v6 ? set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                         : set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
    set_option(fd, IPPROTO_IP, IP_RECVTTL, 1);
    set_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
    if (v6) set_option(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    if (v6) set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    set_receive_buffer(fd, udp_receive_buffer);
    return told && set_option(fd, IPPROTO_UDP, UDP_GRO, 1);
}

UdpReader::UdpReader() : data_(std::make_unique_for_overwrite<uint8_t[]>(slots * slot_size)) {
    for (size_t i = 0; i < slots; ++i) {
        iov_[i] = {data_.get() + i * slot_size, slot_size};
        msghdr& header = headers_[i].msg_hdr;
        header.msg_iov = &iov_[i];
        header.msg_iovlen = 1;
        header.msg_name = sources_[i].out();
        header.msg_control = controls_[i].bytes.data();
    }
}

UdpReader::Batch UdpReader::read(int fd) {
    Batch batch;
    int n = -1;
    for (int failures = 0; n < 0 && failures < max_failures; ++failures) {
        for (size_t i = 0; i < slots; ++i) {
            headers_[i].msg_hdr.msg_namelen = SocketAddress::capacity();
            headers_[i].msg_hdr.msg_controllen = sizeof(Control);
        }
        n = recvmmsg(fd, headers_.data(), slots, MSG_DONTWAIT, nullptr);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) batch.error = errno;
    }
    const size_t count = n > 0 ? static_cast<size_t>(n) : 0;
    for (size_t i = 0; i < count; ++i) {
        UdpBurst& burst = bursts_[i];
        burst = {};
        if (const auto address = sources_[i].ip()) burst.source = {*address, sources_[i].port()};
        burst.scope = sources_[i].scope();
        burst.data = {data_.get() + i * slot_size, headers_[i].msg_len};
        parse_controls(headers_[i].msg_hdr, burst);
    }
    batch.bursts = std::span{bursts_}.first(count);
    batch.drained = count < slots;
    return batch;
}

UdpWriter::Result UdpWriter::send(int fd, std::span<const UdpBurst> bursts,
                                  const std::optional<Addresses>& addresses) {
    addressed_ = addresses.has_value();
    if (addressed_) {
        to_ = SocketAddress(addresses->to.address, addresses->to.port);
        from_ = addresses->from;
    }
    Result result;
    while (!bursts.empty()) {
        const auto some = bursts.first(std::min(bursts.size(), window));
        bursts = bursts.subspan(some.size());
        send_messages(fd, build(some), result);
    }
    return result;
}

/// Whether the datagrams of `burst` can follow in the same message.
bool UdpWriter::join(Message& message, const UdpBurst& burst) const {
    const bool same = burst.size() == message.segment;
    const bool shorter = burst.size() < message.segment && burst.count() == 1;
    if (message.full || burst.size() == 0 || (!same && !shorter)) return false;
    if (message.count + burst.count() > max_joined ||
        message.bytes + burst.data.size() > max_joined_bytes)
        return false;
    message.bytes += burst.data.size();
    message.count += burst.count();
    message.full = message.bytes % message.segment != 0;
    return true;
}

size_t UdpWriter::build(std::span<const UdpBurst> bursts) {
    size_t count = 0;
    for (size_t i = 0; i < bursts.size(); ++i) {
        const UdpBurst& burst = bursts[i];
        iov_[i] = {const_cast<uint8_t*>(burst.data.data()), burst.data.size()};
        if (count > 0 && join(messages_[count - 1], burst)) {
            Message& last = messages_[count - 1];
            last.bursts = bursts.subspan(i - last.bursts.size(), last.bursts.size() + 1);
            ++headers_[count - 1].msg_hdr.msg_iovlen;
            continue;
        }
        const bool full = burst.size() != 0 && burst.data.size() % burst.size() != 0;
        messages_[count] = {bursts.subspan(i, 1), burst.data.size(), burst.count(), burst.size(),
                            full};
        headers_[count].msg_hdr = {};
        headers_[count].msg_hdr.msg_iov = &iov_[i];
        headers_[count].msg_hdr.msg_iovlen = 1;
        ++count;
    }
    for (size_t i = 0; i < count; ++i)
        address(headers_[i].msg_hdr, controls_[i],
                messages_[i].count > 1 ? messages_[i].segment : 0);
    return count;
}

void UdpWriter::address(msghdr& header, Control& control, size_t segment) {
    control = {};
    header.msg_control = control.bytes.data();
    header.msg_controllen = 0;
    if (addressed_) {
        header.msg_name = to_.out();
        header.msg_namelen = to_.size();
        if (from_.is_v4()) {
            in_pktinfo info{};
            std::memcpy(&info.ipi_spec_dst, from_.v4_octets().data(), sizeof info.ipi_spec_dst);
            append_control(header, IPPROTO_IP, IP_PKTINFO, info);
        } else {
            in6_pktinfo info{};
            std::memcpy(&info.ipi6_addr, from_.octets.data(), sizeof info.ipi6_addr);
            append_control(header, IPPROTO_IPV6, IPV6_PKTINFO, info);
        }
    }
    if (segment != 0)
        append_control(header, IPPROTO_UDP, UDP_SEGMENT, static_cast<uint16_t>(segment));
}

void UdpWriter::send_messages(int fd, size_t count, Result& result) {
    bool failed_before = false;
    for (size_t at = 0; at < count;) {
        const int n = sendmmsg(fd, &headers_[at], static_cast<unsigned>(count - at),
                               MSG_DONTWAIT | MSG_NOSIGNAL);
        const int error = errno;
        for (int i = 0; i < n; ++i, ++at) {
            result.sent += messages_[at].count;
            result.bytes += messages_[at].bytes;
        }
        if (n > 0) {
            failed_before = false;
        } else if (messages_[at].count > 1 && is_segmentation_error(error)) {
            send_singly(fd, messages_[at++], result);
        } else if (!failed_before && error != EAGAIN) {
            // Likely what an earlier datagram met, and this one was not even tried.
            failed_before = true;
            result.error = error;
        } else {
            result.dropped += messages_[at++].count;
            failed_before = false;
        }
    }
}

void UdpWriter::send_singly(int fd, const Message& message, Result& result) {
    for (const UdpBurst& burst : message.bursts)
        for (size_t at = 0; at < burst.data.size(); at += burst.size()) {
            const auto datagram =
                burst.data.subspan(at, std::min(burst.size(), burst.data.size() - at));
            if (!send_one(fd, datagram, result) && !send_one(fd, datagram, result))
                ++result.dropped;
        }
}

bool UdpWriter::send_one(int fd, std::span<const uint8_t> datagram, Result& result) {
    iovec iov{const_cast<uint8_t*>(datagram.data()), datagram.size()};
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    Control control;
    address(header, control, 0);
    if (sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno != EAGAIN) result.error = errno;
        return false;
    }
    ++result.sent;
    result.bytes += datagram.size();
    return true;
}

}  // namespace pasta::host
