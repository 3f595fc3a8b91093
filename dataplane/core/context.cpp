#include "dataplane/core/context.hpp"

#include "dataplane/wire/checksum.hpp"

namespace pasta::core {

namespace {

wire::IpAddress host_address(const PortConfig& c, const wire::IpAddress& peer, uint16_t port) {
    const bool dns = port == 53 || port == 853;
    if (dns && c.dns_forward4 == peer && c.dns_host4) return *c.dns_host4;
    if (dns && c.dns_forward6 == peer && c.dns_host6) return *c.dns_host6;
    if (c.host_loopback4 == peer) return loopback4;
    if (c.host_loopback6 == peer) return loopback6;
    if (c.guest_map4 == peer && c.guest_map_target4) return *c.guest_map_target4;
    if (c.guest_map6 == peer && c.guest_map_target6) return *c.guest_map_target6;
    return peer;
}

}  // namespace

bool upper_checksum_ok(ChunkArena& arena, const Packet& packet, uint32_t length,
                       bool pseudo_header) {
    const wire::IpPacket& ip = packet.ip;
    wire::ChecksumAccumulator sum{
        pseudo_header ? wire::pseudo_header_sum(ip.src, ip.dst, ip.protocol, length) : 0};
    size_t left = length;
    const auto add = [&](wire::Bytes bytes) {
        const size_t n = std::min(bytes.size(), left);
        sum.add(bytes.first(n));
        left -= n;
    };
    add(packet.upper);
    for (ChunkId id = arena.meta(packet.frame.head).next; id != no_chunk && left > 0;
         id = arena.meta(id).next)
        add(arena.bytes(id));
    return left == 0 && sum.finish() == 0;
}

HostTarget host_target(const PortConfig& config, const wire::IpAddress& peer, uint16_t port) {
    HostTarget target{host_address(config, peer, port), port};
    if (!target.address.is_loopback())
        target.source = peer.is_v4() ? config.outbound4 : config.outbound6;
    return target;
}

bool servable(const wire::IpAddress& guest, const wire::IpAddress& peer) {
    return guest.is_unicast() && peer.is_unicast() && !guest.is_loopback() && !peer.is_loopback();
}

}  // namespace pasta::core
