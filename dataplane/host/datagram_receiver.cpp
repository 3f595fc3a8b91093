#include "dataplane/host/datagram_receiver.hpp"

#include <linux/errqueue.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "dataplane/core/chain.hpp"
#include "dataplane/core/icmp_error.hpp"
#include "dataplane/host/datagram_control.hpp"
#include "dataplane/wire/icmp.hpp"
#include "dataplane/wire/ip_protocol.hpp"

namespace pasta::host {

using core::Chain;
using core::ChunkId;
using core::DatagramFlow;
using core::FlowKind;
using core::ReadEnd;

namespace {

/// Entries of the error queue in one operation.
constexpr int max_errors = 64;
/// Pending errors that one operation steps over to get at datagrams.
constexpr int max_failures = 4;

/// Ping sockets take replies from anybody, connected or not; a client's socket took what came
/// before it was connected.
bool is_from_peer(const DatagramFlow& flow, const SocketAddress& source) {
    if (flow.id.kind() == FlowKind::echo) return source.ip() == flow.target.address;
    return !flow.local || (source.ip() == flow.target.address && source.port() == flow.target.port);
}

/// Another client's datagram in the flow's socket, as the listener would have got it.
Arrival arrival_of(const DatagramFlow& flow, const SocketAddress& source) {
    Arrival arrival;
    arrival.listener = {flow.key.port, ListenSide::host, wire::protocol_udp, flow.key.guest_port};
    arrival.client = {source.ip().value_or(wire::IpAddress{}), source.port(), std::nullopt,
                      source.scope()};
    arrival.local = *flow.local;
    return arrival;
}

/// IPv4's raw sockets deliver the IP header too. False when nothing is left.
bool strip_ip_header(core::ChunkCache& chunks, const DatagramFlow& flow, Chain& datagram) {
    if (!flow.raw || flow.target.address.is_v6()) return true;
    const auto first = chunks.arena().bytes(datagram.head);
    core::trim_front(chunks, datagram, first.empty() ? 0 : (first[0] & 0x0f) * 4u);
    return !datagram.empty();
}

/// Translates an entry of the error queue; false when no ICMP message caused it.
bool parse_error(msghdr& header, core::DatagramError& out) {
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
        const bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
        const bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR;
        if (!v4 && !v6) continue;
        auto* error = reinterpret_cast<sock_extended_err*>(CMSG_DATA(c));
        if (error->ee_origin != SO_EE_ORIGIN_ICMP && error->ee_origin != SO_EE_ORIGIN_ICMP6)
            return false;
        out.is_v6 = error->ee_origin == SO_EE_ORIGIN_ICMP6;
        out.type = error->ee_type;
        out.code = error->ee_code;
        out.info = error->ee_info;
        SocketAddress offender;
        std::memcpy(offender.out(), SO_EE_OFFENDER(error),
                    v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
        out.offender = offender.ip();
        return true;
    }
    return false;
}

}  // namespace

DatagramReceiver::DatagramReceiver(core::ChunkCache& chunks, std::vector<Arrival>& arrivals)
    : chunks_(chunks),
      arrivals_(arrivals),
      overflow_(std::make_unique_for_overwrite<uint8_t[]>(max_slots * overflow_size)) {}

void DatagramReceiver::read(core::DatagramEngine& engine, DatagramFlow& flow) {
    bool errors_left = false;
    if (flow.error_pending) errors_left = !drain_errors(engine, flow);
    const core::ReadPlan plan = engine.plan_read(flow);
    if (plan.datagrams == 0) return;
    const size_t slots = prepare(plan);
    if (slots == 0) return engine.on_read_done(flow, ReadEnd::starved, 0);

    const int n = receive(engine, flow, slots);
    size_t most_chunks = 0;
    for (int i = 0; i < n; ++i) {
        Chain datagram = assemble(static_cast<size_t>(i), headers_[i].msg_len);
        if (datagram.empty()) continue;
        most_chunks = std::max<size_t>(most_chunks, datagram.count);
        deliver(engine, flow, static_cast<size_t>(i), datagram);
    }
    release();
    const bool drained = n < static_cast<int>(slots) && !errors_left;
    engine.on_read_done(flow, drained ? ReadEnd::drained : ReadEnd::more, most_chunks);
}

void DatagramReceiver::deliver(core::DatagramEngine& engine, DatagramFlow& flow, size_t slot,
                               Chain datagram) {
    const SocketAddress& source = slots_[slot].source;
    const core::ReceivedOptions options = received_options(headers_[slot].msg_hdr);
    if (is_from_peer(flow, source)) {
        if (strip_ip_header(chunks_, flow, datagram)) engine.on_datagram(flow, datagram, options);
    } else if (flow.local) {
        Arrival& stray = arrivals_.emplace_back(arrival_of(flow, source));
        stray.payload = datagram;
        stray.options = options;
    } else {
        chunks_.unref(datagram);
    }
}

/// Allocates the chunks and lays out the message headers; returns the number of slots.
size_t DatagramReceiver::prepare(const core::ReadPlan& plan) {
    core::ChunkArena& arena = chunks_.arena();
    chunk_count_ = 0;
    size_t iov = 0, slot = 0;
    const size_t datagrams = std::min(plan.datagrams, max_slots);
    const size_t each = std::min(plan.chunks_each, max_chunks / datagrams);
    for (; slot < datagrams; ++slot) {
        Slot& s = slots_[slot];
        s.first = chunk_count_;
        s.count = 0;
        const size_t first_iov = iov;
        for (; s.count < each; ++s.count) {
            const ChunkId id = chunks_.alloc();
            if (id == core::no_chunk) break;
            const size_t offset = s.count == 0 ? core::header_room : core::tx_metadata_size;
            arena.meta(id).offset = static_cast<uint16_t>(offset);
            chunk_ids_[chunk_count_++] = id;
            iov_[iov++] = {arena.data(id) + offset, core::chunk_size - offset};
        }
        if (s.count == 0) break;
        iov_[iov++] = {overflow_.get() + slot * overflow_size, overflow_size};
        msghdr& header = headers_[slot].msg_hdr;
        header.msg_iov = &iov_[first_iov];
        header.msg_iovlen = iov - first_iov;
        header.msg_control = s.control.bytes.data();
        header.msg_name = s.source.out();
    }
    return slot;
}

/// The number of datagrams received.
int DatagramReceiver::receive(core::DatagramEngine& engine, DatagramFlow& flow, size_t slots) {
    for (int failures = 0; failures < max_failures; ++failures) {
        for (size_t i = 0; i < slots; ++i) {
            headers_[i].msg_hdr.msg_controllen = slots_[i].control.bytes.size();
            headers_[i].msg_hdr.msg_namelen = SocketAddress::capacity();
        }
        const int n = recvmmsg(flow.socket, headers_.data(), static_cast<unsigned>(slots),
                               MSG_DONTWAIT, nullptr);
        if (n >= 0) return n;
        if (errno == EAGAIN) return 0;
        drain_errors(engine, flow);  // the call reported an error of the network instead
    }
    return 0;
}

/// Takes the slot's chunks that the datagram needs; empty, and the datagram lost, when chunks for
/// the overflow ran out.
Chain DatagramReceiver::assemble(size_t index, size_t length) {
    core::ChunkArena& arena = chunks_.arena();
    const Slot& slot = slots_[index];
    Chain chain;
    size_t left = length;
    for (size_t i = 0; i < slot.count && (i == 0 || left > 0); ++i) {
        const ChunkId id = std::exchange(chunk_ids_[slot.first + i], core::no_chunk);
        const size_t n = std::min(left, core::chunk_size - arena.meta(id).offset);
        arena.meta(id).len = static_cast<uint16_t>(n);
        chain.append(arena, id);
        left -= n;
    }
    if (left == 0) return chain;
    Chain rest = core::copy_in(chunks_, {overflow_.get() + index * overflow_size, left});
    if (rest.empty())
        chunks_.unref(chain);
    else
        chain.append(arena, rest);
    return chain;
}

void DatagramReceiver::release() {
    for (size_t i = 0; i < chunk_count_; ++i)
        if (chunk_ids_[i] != core::no_chunk) chunks_.unref(chunk_ids_[i]);
    chunk_count_ = 0;
}

/// Reads the error queue, not without limit; false when there may be more.
bool DatagramReceiver::drain_errors(core::DatagramEngine& engine, DatagramFlow& flow) {
    flow.error_pending = true;
    for (int i = 0; i < max_errors; ++i) {
        std::array<uint8_t, core::max_quote> data;
        alignas(cmsghdr) std::array<uint8_t, 512> control;
        iovec iov{data.data(), data.size()};
        msghdr header{};
        header.msg_iov = &iov;
        header.msg_iovlen = 1;
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        const ssize_t n = recvmsg(flow.socket, &header, MSG_ERRQUEUE | MSG_DONTWAIT);
        if (n < 0) {
            flow.error_pending = false;
            return true;
        }
        core::DatagramError error;
        if (!parse_error(header, error)) continue;
        error.original = wire::Bytes{data}.first(static_cast<size_t>(n));
        const auto echo = wire::IcmpEcho::parse(error.original);
        if (flow.raw && (!echo || echo->id != flow.host_id)) continue;  // another one's request
        engine.on_error(flow, error);
    }
    return false;
}

}  // namespace pasta::host
