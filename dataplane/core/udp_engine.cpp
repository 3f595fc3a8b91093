#include "dataplane/core/udp_engine.hpp"

#include "dataplane/core/icmp_error.hpp"
#include "dataplane/core/ip_sender.hpp"
#include "dataplane/core/reassembly.hpp"
#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/udp.hpp"

namespace pasta::core {

using wire::UdpHeader;

namespace {

constexpr DatagramTraits udp_traits{
    .kind = FlowKind::udp,
    .open = SocketOpKind::udp_open,
    .send = SocketOpKind::udp_send,
    .read = SocketOpKind::udp_read,
    .one_shot_timeout = 30 * second,
    .stream_timeout = 120 * second,
    .header_size = UdpHeader::size,
    .flows = &Counters::udp_flows,
    .to_sock = &Counters::udp_to_sock,
};

}  // namespace

UdpEngine::UdpEngine(Context& context, size_t max_flows)
    : DatagramEngine(context, udp_traits, max_flows) {}

void UdpEngine::on_packet(Packet& packet) {
    Counters& counters = context_.counters;
    if (packet.upper.size() < UdpHeader::size) return drop(packet, counters.drop_truncated);
    const auto header = UdpHeader::parse(packet.upper, packet.ip.payload_length);
    if (!header) return drop(packet, counters.drop_bad_length);
    if (header->src_port == 0 || header->dst_port == 0)
        return drop(packet, counters.drop_bad_header);
    if (packet.link_multicast || !servable(packet.ip.src, packet.ip.dst))
        return drop(packet, counters.drop_address);

    // Put together from the wrong fragments (RFC 4963), a datagram shows by its checksum.
    const bool verify = is_reassembled(context_.arena(), packet.frame) && header->checksum != 0;
    if (verify && !upper_checksum_ok(context_.arena(), packet, header->length, true))
        return drop(packet, counters.drop_bad_checksum);

    FlowKey key;
    key.guest = packet.ip.src;
    key.peer = packet.ip.dst;
    key.guest_port = header->src_port;
    key.peer_port = header->dst_port;
    key.port = packet.port.config.id;
    key.protocol = wire::protocol_udp;
    enqueue(packet, key, packet.upper_offset + UdpHeader::size, header->length - UdpHeader::size);
}

void UdpEngine::on_inbound(const FlowKey& key, const HostTarget& client, const Endpoint& local,
                           Chain payload, const ReceivedOptions& options) {
    DatagramFlow* flow = begin_inbound(key, client, local);
    if (flow == nullptr) return context_.chunks.unref(payload);
    on_datagram(*flow, payload, options);
}

bool UdpEngine::on_unreachable(const GuestError& error) {
    DatagramFlow* flow = find(context_.table.find(error.key));
    if (flow == nullptr || !flow->local) return false;
    if (!flow->rejection.empty() || !rejections_.allow(context_.now)) {
        ++context_.counters.icmp_errors_unsent;
        return true;
    }
    const ChunkId chunk = alloc_frame(context_);
    if (chunk == no_chunk) return true;
    // The client's datagram as the client knows it.
    std::array<uint8_t, max_quote> upper;
    const size_t n = std::min(error.upper.size(), upper.size());
    std::memcpy(upper.data(), error.upper.data(), n);
    const uint16_t length = wire::load_be16(&error.upper[4]);
    UdpHeader{flow->target.port, flow->local->port, length, 0}.emit(upper);
    ChunkMeta& meta = context_.arena().meta(chunk);
    meta.offset = tx_metadata_size;
    meta.len = static_cast<uint16_t>(
        emit_icmp_error({.error = error.error,
                         .offender = std::nullopt,
                         .guest = flow->target.address,
                         .peer = flow->local->address,
                         .protocol = wire::protocol_udp,
                         .upper_length = length,
                         .upper = wire::Bytes{upper}.first(n)},
                        {context_.arena().data(chunk) + meta.offset, chunk_size - meta.offset}));
    flow->rejection.append(context_.arena(), chunk);
    context_.ops.push({flow->id, SocketOpKind::udp_reject, flow->socket});
    return true;
}

void UdpEngine::on_rejected(DatagramFlow& flow, bool sent) {
    ++(sent ? context_.counters.icmp_errors_to_clients : context_.counters.icmp_errors_unsent);
    context_.chunks.unref(flow.rejection);
}

bool UdpEngine::deliver(DatagramFlow& flow, Chain payload, const ReceivedOptions& options) {
    ChunkArena& arena = context_.arena();
    const Envelope e = envelope(flow, options);
    const auto length = static_cast<uint16_t>(UdpHeader::size + payload.bytes);
    ChunkMeta& first = arena.meta(payload.head);
    first.offset = static_cast<uint16_t>(first.offset - UdpHeader::size);
    first.len = static_cast<uint16_t>(first.len + UdpHeader::size);
    payload.bytes += UdpHeader::size;
    const uint32_t pseudo = wire::pseudo_header_sum(e.src, e.dst, e.protocol, length);
    UdpHeader{flow.key.peer_port, flow.key.guest_port, length, wire::checksum_fold(pseudo)}.emit(
        arena.bytes(payload.head));
    send_ip_packet(context_, port_of(flow), e, payload, wire::udp_checksum_offset,
                   Checksum::offload, flow.identification++);
    ++context_.counters.udp_to_tap;
    return true;
}

size_t UdpEngine::quote(const DatagramFlow& flow, wire::Bytes original, uint32_t original_length,
                        wire::MutableBytes out) const {
    // The length of a truncated quotation is not known; receivers match addresses and ports.
    const auto length = static_cast<uint16_t>(UdpHeader::size + original_length);
    UdpHeader{flow.key.guest_port, flow.key.peer_port, length, 0}.emit(out);
    const size_t n = std::min(original.size(), out.size() - UdpHeader::size);
    if (n != 0) std::memcpy(&out[UdpHeader::size], original.data(), n);
    return UdpHeader::size + n;
}

}  // namespace pasta::core
