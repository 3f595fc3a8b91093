#include "dataplane/host/datagram_sender.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>

#include "dataplane/host/datagram_open.hpp"
#include "dataplane/host/socket_option.hpp"
#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/icmp.hpp"
#include "dataplane/wire/udp.hpp"

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

/// The socket options for a datagram of `size` bytes.
DatagramOptions options_for(const DatagramFlow& flow, uint32_t packed, size_t size) {
    DatagramOptions options = DatagramOptions::unpack(packed);
    const size_t ip_header = flow.key.peer.is_v4() ? 20 : 40;
    const size_t udp_header = flow.id.kind() == FlowKind::udp ? wire::UdpHeader::size : 0;
    if (ip_header + udp_header + size > flow.open_mtu) options.dont_fragment = false;
    return options;
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

/// Fills the message headers with datagrams from the front that need the same socket options, and
/// sets those. Returns the number of messages.
size_t DatagramSender::build(DatagramFlow& flow) {
    std::optional<DatagramOptions> common;
    size_t count = 0, used = 0;
    ChunkId id = flow.to_sock.front();
    while (id != core::no_chunk) {
        const uint32_t packed = arena_.meta(id).seq;
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
        const DatagramOptions options = options_for(flow, packed, size);
        if (common && options != *common) break;
        common = options;
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
    set_options(flow, *common);
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
    const auto mtu = [&] { return path_mtu(flow.socket, flow.target.address.is_v4()); };
    for (int round = 0; round < max_rounds && !flow.to_sock.empty(); ++round) {
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
            engine.on_send_failed(flow, error, error == EMSGSIZE ? mtu() : 0);
            failed_before = false;
        } else {
            failed_before = true;
        }
    }
    engine.on_send_done(flow, false);
}

}  // namespace pasta::host
