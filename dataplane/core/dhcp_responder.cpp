#include "dataplane/core/dhcp_responder.hpp"

#include <algorithm>
#include <array>
#include <bitset>
#include <string_view>

#include "dataplane/core/service_frame.hpp"
#include "dataplane/wire/dhcp4.hpp"
#include "dataplane/wire/dns_name.hpp"
#include "dataplane/wire/ipv4.hpp"

namespace pasta::core {
namespace {

namespace option = wire::dhcp4_option;
using wire::Dhcp4MessageType;
using wire::Dhcp4Request;
using wire::IpAddress;
using wire::Writer;

constexpr uint32_t infinite_lease = 0xffffffff;
constexpr size_t bootp_size = 300;  // RFC 1542, 2.1: no message is shorter
constexpr size_t ip_and_udp_size = wire::Ipv4Header::size + wire::UdpHeader::size;

enum class Answer { none, offer, ack, rapid_ack, inform_ack, nak, bootp };

uint32_t netmask(const Prefix& prefix) {
    return prefix.length == 0 ? 0 : ~uint32_t{0} << (32 - prefix.length);
}

Answer answer_to_request(const PortConfig& config, const Dhcp4Request& request) {
    if (request.server_id && *request.server_id != *config.gateway4) return Answer::none;
    const IpAddress& address =
        request.requested_address ? *request.requested_address : request.fixed.client;
    if (address.is_unspecified()) return Answer::none;
    return address == config.address4->address ? Answer::ack : Answer::nak;
}

Answer choose_answer(const PortConfig& config, const Dhcp4Request& request) {
    if (!request.fixed.relay.is_unspecified()) return Answer::none;
    if (!request.type) return Answer::bootp;
    switch (*request.type) {
        case Dhcp4MessageType::discover:
            return request.rapid_commit ? Answer::rapid_ack : Answer::offer;
        case Dhcp4MessageType::request:
            return answer_to_request(config, request);
        case Dhcp4MessageType::inform:
            return request.fixed.client.is_unicast() ? Answer::inform_ack : Answer::none;
        default:
            return Answer::none;
    }
}

/// RFC 3442: the gateway is reached on the link itself, all else through it.
void write_routes(Writer& body, const PortConfig& config) {
    if (config.address4->address.same_prefix(*config.gateway4, config.address4->length)) return;
    body.u8(32);
    body.bytes(config.gateway4->v4_octets());
    body.zeros(4);
    body.u8(0);
    body.bytes(config.gateway4->v4_octets());
}

/// RFC 4702: the server does not update the DNS, and says so.
void write_fqdn(Writer& body, const PortConfig& config, const Dhcp4Request& request) {
    constexpr uint8_t server_updates = 0x01, overridden = 0x02, encoded = 0x04, no_update = 0x08;
    if (!request.fqdn_flags || !wire::is_valid_dns_name(config.fqdn)) return;
    const uint8_t flags = *request.fqdn_flags;
    body.u8(static_cast<uint8_t>(no_update | (flags & encoded) |
                                 ((flags & server_updates) != 0 ? overridden : 0)));
    body.be16(0xffff);  // both RCODEs, deprecated
    if ((flags & encoded) != 0)
        wire::emit_dns_name(body, config.fqdn);
    else
        body.bytes({reinterpret_cast<const uint8_t*>(config.fqdn.data()), config.fqdn.size()});
}

void write_text(Writer& body, std::string_view text) {
    body.bytes({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

/// Writes the body of an option that tells our configuration; nothing when there is nothing to
/// tell or the option is not ours to send.
void write_body(Writer& body, const PortConfig& config, const Dhcp4Request& request, uint8_t code) {
    switch (code) {
        case option::subnet_mask:
            return body.be32(netmask(*config.address4));
        case option::router:
            return body.bytes(config.gateway4->v4_octets());
        case option::dns_servers:
            for (const IpAddress& server : config.dns)
                if (server.is_v4()) body.bytes(server.v4_octets());
            return;
        case option::hostname:
            return write_text(body, config.hostname);
        case option::domain_name:
            if (!config.search.empty()) write_text(body, config.search.front());
            return;
        case option::interface_mtu:
            return body.be16(static_cast<uint16_t>(std::min(config.mtu, uint32_t{UINT16_MAX})));
        case option::fqdn:
            return write_fqdn(body, config, request);
        case option::domain_search:
            return wire::emit_compressed_dns_names(body, config.search);
        case option::classless_routes:
            return write_routes(body, config);
        default:
            return;
    }
}

/// What the client asked for, in its order, then all else that we can tell. What does not fit the
/// message any more is left out.
void emit_configuration(Writer& out, const PortConfig& config, const Dhcp4Request& request) {
    static constexpr std::array<uint8_t, 9> ours{
        option::subnet_mask,   option::router,           option::dns_servers,
        option::interface_mtu, option::classless_routes, option::hostname,
        option::domain_name,   option::domain_search,    option::fqdn};
    std::bitset<256> done;
    const auto emit_once = [&](uint8_t code) {
        if (done.test(code)) return;
        done.set(code);
        std::array<uint8_t, 1024> scratch;
        Writer body(scratch);
        write_body(body, config, request, code);
        if (body.ok() && body.position() != 0) wire::emit_dhcp4_option(out, code, body.written());
    };
    for (const uint8_t code : request.parameter_list)
        emit_once(code);
    for (const uint8_t code : ours)
        emit_once(code);
}

void emit_number(Writer& out, uint8_t code, uint32_t value) {
    std::array<uint8_t, 4> body;
    wire::store_be32(body.data(), value);
    wire::emit_dhcp4_option(out, code, body);
}

Dhcp4MessageType message_type(Answer answer) {
    if (answer == Answer::offer) return Dhcp4MessageType::offer;
    return answer == Answer::nak ? Dhcp4MessageType::nak : Dhcp4MessageType::ack;
}

/// The options that DHCP itself needs.
void emit_protocol_options(Writer& out, const PortConfig& config, const Dhcp4Request& request,
                           Answer answer) {
    if (answer == Answer::bootp) return;
    const auto type = static_cast<uint8_t>(message_type(answer));
    wire::emit_dhcp4_option(out, option::message_type, {&type, 1});
    wire::emit_dhcp4_option(out, option::server_id, config.gateway4->v4_octets());
    if (answer != Answer::nak && answer != Answer::inform_ack)
        emit_number(out, option::lease_time, infinite_lease);
    if (answer == Answer::rapid_ack) wire::emit_dhcp4_option(out, option::rapid_commit, {});
    if (!request.client_id.empty())  // RFC 6842
        wire::emit_dhcp4_option(out, option::client_id, request.client_id);
}

wire::Dhcp4Fixed reply_fields(const PortConfig& config, const Dhcp4Request& request,
                              Answer answer) {
    wire::Dhcp4Fixed fixed = request.fixed;
    fixed.your = fixed.server = IpAddress::v4(0);
    if (answer == Answer::offer || answer == Answer::rapid_ack || answer == Answer::nak)
        fixed.client = IpAddress::v4(0);
    if (answer != Answer::inform_ack && answer != Answer::nak)
        fixed.your = config.address4->address;
    return fixed;
}

/// RFC 2131, 4.1: where the client can receive the reply.
FrameAddresses reply_addresses(const PortConfig& config, const UdpFrame& frame,
                               const wire::Dhcp4Fixed& reply, Answer answer) {
    FrameAddresses addresses{wire::MacAddress::broadcast(), config.our_mac,
                             IpAddress::v4(255, 255, 255, 255), *config.gateway4};
    const bool has_address = !reply.client.is_unspecified();
    if (answer == Answer::nak || (reply.broadcast && !has_address)) return addresses;
    addresses.dst = answer == Answer::inform_ack ? reply.client : config.address4->address;
    addresses.dst_mac = frame.ethernet.src;
    return addresses;
}

bool is_for_server(const PortConfig& config, const UdpFrame& frame) {
    if (frame.udp.dst_port != wire::dhcp_server_port || !frame.ip.dst.is_v4()) return false;
    const uint32_t subnet_broadcast =
        config.address4->address.v4_number() | ~netmask(*config.address4);
    return frame.ip.dst.is_limited_broadcast() || frame.ip.dst == *config.gateway4 ||
           frame.ip.dst.v4_number() == subnet_broadcast;
}

/// The largest reply that the client takes, in bytes of UDP payload.
size_t message_limit(const Dhcp4Request& request, Answer answer) {
    return answer == Answer::bootp ? bootp_size : request.max_message_size - ip_and_udp_size;
}

}  // namespace

size_t dhcp_reply(const PortConfig& config, wire::Bytes frame, wire::MutableBytes out) {
    if (!config.dhcp || !config.ipv4 || !config.address4 || !config.gateway4) return 0;
    const auto datagram = UdpFrame::parse(frame);
    if (!datagram || !is_for_server(config, *datagram)) return 0;
    const auto request = Dhcp4Request::parse(datagram->payload);
    if (!request) return 0;
    const Answer answer = choose_answer(config, *request);
    const wire::MutableBytes room = message_room(out, udp4_payload_offset, config.mtu);
    if (answer == Answer::none || room.size() < bootp_size) return 0;

    const wire::Dhcp4Fixed fixed = reply_fields(config, *request, answer);
    const size_t limit = std::min(room.size(), message_limit(*request, answer));
    Writer message(room.first(limit - 1));  // the end mark always fits
    wire::emit_dhcp4_reply(message, fixed);
    emit_protocol_options(message, config, *request, answer);
    if (answer != Answer::nak) emit_configuration(message, config, *request);

    size_t size = message.position();
    room[size++] = option::end;
    for (; size < bootp_size; ++size)
        room[size] = option::pad;
    return finish_udp_frame(out, reply_addresses(config, *datagram, fixed, answer),
                            wire::dhcp_server_port, wire::dhcp_client_port, size);
}

}  // namespace pasta::core
