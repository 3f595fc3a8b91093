// Frames as a namespace would send them.
#pragma once

#include <vector>

#include "dataplane/wire/address.hpp"
#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/icmp.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/ipv6.hpp"
#include "dataplane/wire/udp.hpp"

namespace pasta::test {

/// Bytes 0, 1, 2, ... modulo 251, so that a shift by any power of two shows.
inline std::vector<uint8_t> pattern(size_t size) {
    std::vector<uint8_t> bytes(size);
    for (size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<uint8_t>(i % 251);
    return bytes;
}

/// Builds Ethernet frames from `src` to `dst`; the fields may be changed between frames.
struct GuestPackets {
    wire::IpAddress src, dst;
    wire::MacAddress src_mac{{0x02, 0, 0, 0, 0, 2}}, dst_mac{{0x02, 0, 0, 0, 0, 1}};
    uint8_t hop_limit = 64;
    uint8_t traffic_class = 0;
    bool dont_fragment = true;

    std::vector<uint8_t> ip(uint8_t protocol, wire::Bytes upper) const {
        const size_t ip_size = dst.is_v4() ? wire::Ipv4Header::size : wire::Ipv6Header::size;
        std::vector<uint8_t> frame(wire::EthernetHeader::size + ip_size);
        wire::EthernetHeader{dst_mac, src_mac,
                             dst.is_v4() ? wire::ethertype_ipv4 : wire::ethertype_ipv6}
            .emit(frame);
        const wire::MutableBytes out = wire::MutableBytes{frame}.subspan(14);
        if (dst.is_v4()) {
            wire::Ipv4Header h;
            h.src = src, h.dst = dst, h.protocol = protocol;
            h.ttl = hop_limit, h.tos = traffic_class, h.dont_fragment = dont_fragment;
            h.total_length = static_cast<uint16_t>(ip_size + upper.size());
            h.emit(out);
        } else {
            wire::Ipv6Header h;
            h.src = src, h.dst = dst, h.next_header = protocol;
            h.hop_limit = hop_limit, h.traffic_class = traffic_class;
            h.payload_length = static_cast<uint16_t>(upper.size());
            h.emit(out);
        }
        frame.insert(frame.end(), upper.begin(), upper.end());
        return frame;
    }
    std::vector<uint8_t> udp(uint16_t src_port, uint16_t dst_port, wire::Bytes payload) const {
        std::vector<uint8_t> upper(wire::UdpHeader::size);
        const auto length = static_cast<uint16_t>(upper.size() + payload.size());
        wire::UdpHeader{src_port, dst_port, length, 0}.emit(upper);
        upper.insert(upper.end(), payload.begin(), payload.end());
        return ip(wire::protocol_udp, upper);
    }
    /// An echo request with a right checksum.
    std::vector<uint8_t> echo(uint16_t id, uint16_t sequence, wire::Bytes payload) const {
        return ip(protocol(), echo_message(request_type(), id, sequence, payload));
    }
    std::vector<uint8_t> echo_message(uint8_t type, uint16_t id, uint16_t sequence,
                                      wire::Bytes payload) const {
        std::vector<uint8_t> upper(wire::IcmpEcho::size);
        wire::IcmpEcho{type, 0, 0, id, sequence}.emit(upper);
        upper.insert(upper.end(), payload.begin(), payload.end());
        return with_checksum(std::move(upper));
    }
    /// "Host unreachable", or "port unreachable", about a packet that came from `dst`.
    std::vector<uint8_t> unreachable(wire::Bytes quoted, bool port = false) const {
        std::vector<uint8_t> message(wire::IcmpError::size);
        wire::IcmpError error;
        if (dst.is_v4()) {
            error.type = wire::icmpv4::destination_unreachable;
            error.code = port ? wire::icmpv4::port_unreachable : wire::icmpv4::host_unreachable;
        } else {
            error.type = wire::icmpv6::destination_unreachable;
            error.code = port ? wire::icmpv6::port_unreachable : wire::icmpv6::address_unreachable;
        }
        error.emit(message);
        message.insert(message.end(), quoted.begin(), quoted.end());
        return ip(protocol(), with_checksum(std::move(message)));
    }
    /// Puts the right checksum into an ICMP message.
    std::vector<uint8_t> with_checksum(std::vector<uint8_t> message) const {
        const uint32_t pseudo =
            dst.is_v4() ? 0
                        : wire::pseudo_header_sum(src, dst, protocol(),
                                                  static_cast<uint32_t>(message.size()));
        wire::store_be16(&message[2], 0);
        wire::store_be16(&message[2], wire::checksum_finish(wire::checksum_add(message, pseudo)));
        return message;
    }
    uint8_t protocol() const { return dst.is_v4() ? wire::protocol_icmp : wire::protocol_icmpv6; }
    uint8_t request_type() const {
        return dst.is_v4() ? wire::icmpv4::echo_request : wire::icmpv6::echo_request;
    }
    uint8_t reply_type() const {
        return dst.is_v4() ? wire::icmpv4::echo_reply : wire::icmpv6::echo_reply;
    }
};

}  // namespace pasta::test
