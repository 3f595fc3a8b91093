#include "dataplane/wire/arp.hpp"

#include "dataplane/wire/ethernet.hpp"

namespace pasta::wire {
namespace {

constexpr uint16_t hardware_ethernet = 1;
constexpr uint8_t mac_length = 6;
constexpr uint8_t ipv4_length = 4;

}  // namespace

std::optional<ArpPacket> ArpPacket::parse(Bytes bytes) {
    if (bytes.size() < size) return std::nullopt;
    const uint8_t* p = bytes.data();
    if (load_be16(p) != hardware_ethernet || load_be16(p + 2) != ethertype_ipv4 ||
        p[4] != mac_length || p[5] != ipv4_length)
        return std::nullopt;
    ArpPacket packet;
    packet.operation = load_be16(p + 6);
    std::memcpy(packet.sender_mac.octets.data(), p + 8, mac_length);
    packet.sender_ip = IpAddress::v4(bytes.subspan<14, ipv4_length>());
    std::memcpy(packet.target_mac.octets.data(), p + 18, mac_length);
    packet.target_ip = IpAddress::v4(bytes.subspan<24, ipv4_length>());
    return packet;
}

void ArpPacket::emit(MutableBytes out) const {
    assert(out.size() >= size);
    Writer writer(out);
    writer.be16(hardware_ethernet);
    writer.be16(ethertype_ipv4);
    writer.u8(mac_length);
    writer.u8(ipv4_length);
    writer.be16(operation);
    writer.bytes(sender_mac.octets);
    writer.bytes(sender_ip.v4_octets());
    writer.bytes(target_mac.octets);
    writer.bytes(target_ip.v4_octets());
}

}  // namespace pasta::wire
