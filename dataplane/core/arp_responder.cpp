#include "dataplane/core/arp_responder.hpp"

#include "dataplane/wire/arp.hpp"
#include "dataplane/wire/ethernet.hpp"

namespace pasta::core {
namespace {

bool wants_answer(const PortConfig& config, const wire::ArpPacket& request) {
    if (request.operation != wire::arp_request || request.sender_mac.is_multicast()) return false;
    const wire::IpAddress& target = request.target_ip;
    if (!target.is_unicast() || target.is_loopback()) return false;
    if (config.address4 && target == config.address4->address) return false;
    return target != request.sender_ip;
}

}  // namespace

size_t arp_reply(const PortConfig& config, wire::Bytes frame, wire::MutableBytes out) {
    constexpr size_t reply_size = wire::EthernetHeader::size + wire::ArpPacket::size;
    const auto ethernet = wire::EthernetHeader::parse(frame);
    if (!config.ipv4 || !ethernet || ethernet->ethertype != wire::ethertype_arp ||
        out.size() < reply_size)
        return 0;
    const auto request = wire::ArpPacket::parse(frame.subspan(wire::EthernetHeader::size));
    if (!request || !wants_answer(config, *request)) return 0;

    wire::EthernetHeader{request->sender_mac, config.our_mac, wire::ethertype_arp}.emit(out);
    wire::ArpPacket reply;
    reply.operation = wire::arp_reply;
    reply.sender_mac = config.our_mac;
    reply.sender_ip = request->target_ip;
    reply.target_mac = request->sender_mac;
    reply.target_ip = request->sender_ip;
    reply.emit(out.subspan(wire::EthernetHeader::size));
    return reply_size;
}

}  // namespace pasta::core
