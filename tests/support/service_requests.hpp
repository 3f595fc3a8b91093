// Requests of a client in the namespace to the responders, as whole frames.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/core/port_config.hpp"
#include "dataplane/core/service_frame.hpp"
#include "tests/support/hex.hpp"

namespace pasta::test {

using wire::IpAddress;
using wire::MacAddress;

inline constexpr MacAddress client_mac{{2, 0, 0, 0, 0, 1}};
inline constexpr MacAddress server_mac{{2, 0, 0, 0, 0, 9}};
inline constexpr IpAddress client4 = IpAddress::v4(198, 51, 100, 2);
inline constexpr IpAddress gateway4 = IpAddress::v4(198, 51, 100, 1);
inline constexpr IpAddress broadcast4 = IpAddress::v4(255, 255, 255, 255);

/// From 32 hex digits, white space between them.
inline IpAddress v6(const char* text) {
    const auto bytes = hex(text);
    return IpAddress::v6(std::span<const uint8_t, 16>(bytes.data(), 16));
}
inline const IpAddress client6 = v6("20010db8 00000000 00000000 00000002");
inline const IpAddress client_link_local = v6("fe800000 00000000 00000000 00000002");
inline const IpAddress server_link_local = v6("fe800000 00000000 00000000 00000001");

/// A port with an address of each family, and nothing optional.
inline core::PortConfig service_config() {
    core::PortConfig config;
    config.our_mac = server_mac;
    config.guest_mac = client_mac;
    config.mtu = 1500;
    config.address4 = core::Prefix{client4, 24};
    config.gateway4 = gateway4;
    config.address6 = core::Prefix{client6, 64};
    config.our_link_local = server_link_local;
    config.duid_time = 0x2a2b2c2d;
    return config;
}

inline std::vector<uint8_t> udp_request(const IpAddress& src, const IpAddress& dst,
                                        uint16_t src_port, uint16_t dst_port,
                                        const std::vector<uint8_t>& payload) {
    const size_t offset = dst.is_v4() ? core::udp4_payload_offset : core::udp6_payload_offset;
    std::vector<uint8_t> frame(offset);
    frame.insert(frame.end(), payload.begin(), payload.end());
    core::finish_udp_frame(frame, {MacAddress::broadcast(), client_mac, dst, src}, src_port,
                           dst_port, payload.size());
    return frame;
}

/// `message` has a zero checksum field.
inline std::vector<uint8_t> ndp_request(const IpAddress& src, const IpAddress& dst,
                                        const std::vector<uint8_t>& message) {
    std::vector<uint8_t> frame(core::icmpv6_message_offset);
    frame.insert(frame.end(), message.begin(), message.end());
    core::finish_ndp_frame(frame, {wire::multicast_mac(dst), client_mac, dst, src}, message.size());
    return frame;
}

/// What a responder writes into ample, dirty memory; empty for no reply.
template <class Responder>
std::vector<uint8_t> reply_of(Responder responder, const core::PortConfig& config,
                              const std::vector<uint8_t>& frame) {
    std::vector<uint8_t> out(4096, 0xee);
    out.resize(responder(config, frame, out));
    return out;
}

}  // namespace pasta::test
