#include "dataplane/host/datagram_sender.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>

#include "dataplane/host/socket_option.hpp"
#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/icmp.hpp"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103  // linux/udp.h
#endif

namespace pasta::host {

using core::ChunkId;
using core::DatagramFlow;
using core::DatagramOptions;
using core::FlowKind;

namespace {

/// Calls of sendmmsg(2) in one operation.
constexpr int max_rounds = 8;

/// Makes the socket send with the fields that the guest's packet had; only what changed is set.
void set_options(DatagramFlow& flow, const DatagramOptions& wanted) {
    if (flow.options == wanted) return;
    const bool v4 = flow.target.address.is_v4();
    const int level = v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6};
    const bool all = !flow.options;
    if (all || flow.options->hop_limit != wanted.hop_limit)
        set_option(flow.socket, level, v4 ? IP_TTL : IPV6_UNICAST_HOPS,
                   std::max<int>(wanted.hop_limit, 1));
    if (all || flow.options->traffic_class != wanted.traffic_class)
        set_option(flow.socket, level, v4 ? IP_TOS : IPV6_TCLASS, wanted.traffic_class);
    if (all || flow.options->dont_fragment != wanted.dont_fragment)
        set_option(flow.socket, level, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER,
                   wanted.dont_fragment ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT);
    flow.options = wanted;
}

static_assert(IP_PMTUDISC_DO == IPV6_PMTUDISC_DO && IP_PMTUDISC_DONT == IPV6_PMTUDISC_DONT);

/// Path MTU of a connected socket; 0 when unknown.
uint32_t path_mtu(const DatagramFlow& flow) {
    const bool v4 = flow.target.address.is_v4();
    int mtu = 0;
    socklen_t length = sizeof mtu;
    getsockopt(flow.socket, v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6}, v4 ? IP_MTU : IPV6_MTU, &mtu,
               &length);
    return mtu > 0 ? static_cast<uint32_t>(mtu) : 0;
}

/// Puts the socket's identifier into an echo request. Done before every attempt to send, and the
/// same after the first.
void set_echo_id(wire::MutableBytes message, uint16_t id) {
    auto echo = wire::IcmpEcho::parse(message);
    if (!echo || echo->id == id) return;
    echo->checksum = wire::checksum_update(echo->checksum, echo->id, id);
    echo->id = id;
    echo->emit(message);
}

bool is_segmentation_error(int error) {
    return error == EINVAL || error == EIO || error == EMSGSIZE || error == EOPNOTSUPP;
}

}  // namespace

/// Adds a datagram to the message before it, if the kernel can cut them apart again.
bool DatagramSender::join(const DatagramFlow& flow, Message& m, size_t size) const {
    if (flow.segmentation_refused || flow.id.kind() != FlowKind::udp || m.full || size == 0 ||
        size > m.segment || m.bytes + size > max_segmented || m.datagrams == max_segments)
        return false;
    m.full = size < m.segment;
    m.bytes += size;
    ++m.datagrams;
    return true;
}

/// Fills the message headers with datagrams from the front that have the same options. Returns the
/// number of messages.
size_t DatagramSender::build(DatagramFlow& flow) {
    const uint32_t options = arena_.meta(flow.to_sock.front()).seq;
    size_t count = 0, used = 0;
    ChunkId id = flow.to_sock.front();
    while (id != core::no_chunk && arena_.meta(id).seq == options) {
        if (flow.raw) set_echo_id(arena_.bytes(id), flow.host_id);
        const size_t first = used;
        size_t size = 0;
        bool last = false;
        while (!last && used < max_iov) {
            const auto bytes = arena_.bytes(id);
            iov_[used++] = {bytes.data(), bytes.size()};
            size += bytes.size();
            last = arena_.meta(id).flags == core::end_of_datagram;
            id = arena_.meta(id).next;
        }
        if (!last) break;  // no room for all of it
        if (count > 0 && join(flow, messages_[count - 1], size)) {
            headers_[count - 1].msg_hdr.msg_iovlen += used - first;
            continue;
        }
        if (count == max_messages) break;
        messages_[count] = {1, size, size, false};
        headers_[count] = {};
        headers_[count].msg_hdr.msg_iov = &iov_[first];
        headers_[count].msg_hdr.msg_iovlen = used - first;
        ++count;
    }
    finish_messages(count);
    return count;
}

void DatagramSender::finish_messages(size_t count) {
    for (size_t i = 0; i < count; ++i) {
        if (messages_[i].datagrams == 1) continue;
        msghdr& header = headers_[i].msg_hdr;
        header.msg_control = controls_[i].bytes.data();
        header.msg_controllen = controls_[i].bytes.size();
        cmsghdr* control = CMSG_FIRSTHDR(&header);
        control->cmsg_level = IPPROTO_UDP;
        control->cmsg_type = UDP_SEGMENT;
        control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        const auto segment = static_cast<uint16_t>(messages_[i].segment);
        std::memcpy(CMSG_DATA(control), &segment, sizeof segment);
    }
}

void DatagramSender::send(core::DatagramEngine& engine, DatagramFlow& flow) {
    // A failed call may report an error that an earlier datagram met in the network (connected
    // sockets do) without sending; only when it fails again it is about this datagram.
    bool failed_before = false;
    for (int round = 0; round < max_rounds && !flow.to_sock.empty(); ++round) {
        set_options(flow, DatagramOptions::unpack(arena_.meta(flow.to_sock.front()).seq));
        const size_t count = build(flow);
        const int sent = sendmmsg(flow.socket, headers_.data(), static_cast<unsigned>(count),
                                  MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            size_t datagrams = 0;
            for (int i = 0; i < sent; ++i)
                datagrams += messages_[i].datagrams;
            engine.on_sent(flow, datagrams);
            failed_before = false;
            continue;
        }
        const int error = errno;
        if (error == EAGAIN) return engine.on_send_done(flow, true);
        if (messages_[0].datagrams > 1 && is_segmentation_error(error)) {
            flow.segmentation_refused = true;
        } else if (failed_before) {
            engine.on_send_failed(flow, error, error == EMSGSIZE ? path_mtu(flow) : 0);
            failed_before = false;
        } else {
            failed_before = true;
        }
    }
    engine.on_send_done(flow, false);
}

}  // namespace pasta::host
