#include "dataplane/core/echo_engine.hpp"

#include "dataplane/core/icmp_error.hpp"
#include "dataplane/core/ip_sender.hpp"
#include "dataplane/wire/checksum.hpp"

namespace pasta::core {

using wire::IcmpEcho;

namespace {

constexpr DatagramTraits echo_traits{
    .kind = FlowKind::echo,
    .open = SocketOpKind::echo_open,
    .send = SocketOpKind::echo_send,
    .read = SocketOpKind::echo_read,
    .one_shot_timeout = 60 * second,
    .stream_timeout = 60 * second,
    .header_size = 0,
    .flows = &Counters::echo_flows,
    .to_sock = &Counters::echo_to_sock,
};

constexpr size_t id_offset = 4;

}  // namespace

EchoEngine::EchoEngine(Context& context, size_t max_flows)
    : DatagramEngine(context, echo_traits, max_flows) {}

void EchoEngine::on_packet(Packet& packet) {
    Counters& counters = context_.counters;
    const bool v4 = packet.ip.protocol == wire::protocol_icmp;
    if (v4 != packet.ip.dst.is_v4()) return drop(packet, counters.drop_protocol);
    const auto echo = IcmpEcho::parse(packet.upper);
    if (!echo) return drop(packet, counters.drop_truncated);
    if (echo->type != (v4 ? wire::icmpv4::echo_request : wire::icmpv6::echo_request) ||
        echo->code != 0)
        return drop(packet, counters.drop_ignored);
    if (packet.link_multicast || !servable(packet.ip.src, packet.ip.dst))
        return drop(packet, counters.drop_address);

    // Unlike those of TCP and UDP, ICMP checksums are complete when they come from a namespace.
    if (!upper_checksum_ok(context_.arena(), packet, packet.ip.payload_length, !v4))
        return drop(packet, counters.drop_bad_checksum);

    FlowKey key;
    key.guest = packet.ip.src;
    key.peer = packet.ip.dst;
    key.guest_port = echo->id;
    key.port = packet.port.config.id;
    key.protocol = packet.ip.protocol;
    enqueue(packet, key, packet.upper_offset, packet.ip.payload_length);
}

bool EchoEngine::deliver(DatagramFlow& flow, Chain message, const ReceivedOptions& options) {
    ChunkArena& arena = context_.arena();
    const wire::MutableBytes first = arena.bytes(message.head);
    auto echo = IcmpEcho::parse(first);
    const uint8_t reply =
        flow.key.peer.is_v4() ? wire::icmpv4::echo_reply : wire::icmpv6::echo_reply;
    if (!echo || echo->type != reply || echo->code != 0 || (flow.raw && echo->id != flow.host_id)) {
        ++context_.counters.drop_ignored;
        context_.chunks.unref(message);
        return false;
    }
    const Envelope e = envelope(flow, options);
    echo->id = flow.key.guest_port;
    echo->checksum =
        flow.key.peer.is_v4()
            ? uint16_t{0}
            : wire::checksum_fold(wire::pseudo_header_sum(e.src, e.dst, e.protocol, message.bytes));
    echo->emit(first);
    // Not offloaded: programs with raw sockets verify the field.
    send_ip_packet(context_, port_of(flow), e, message, wire::icmp_checksum_offset, Checksum::here,
                   flow.identification++);
    ++context_.counters.echo_to_tap;
    return true;
}

size_t EchoEngine::quote(const DatagramFlow& flow, wire::Bytes original, uint32_t,
                         wire::MutableBytes out) const {
    const size_t n = std::min(original.size(), out.size());
    if (n != 0) std::memcpy(out.data(), original.data(), n);
    if (n < IcmpEcho::size) return n;
    // The network saw the host's identifier, the namespace knows its own.
    const uint16_t seen = wire::load_be16(&out[id_offset]);
    const uint16_t checksum = wire::load_be16(&out[wire::icmp_checksum_offset]);
    wire::store_be16(&out[wire::icmp_checksum_offset],
                     wire::checksum_update(checksum, seen, flow.key.guest_port));
    wire::store_be16(&out[id_offset], flow.key.guest_port);
    return n;
}

}  // namespace pasta::core
