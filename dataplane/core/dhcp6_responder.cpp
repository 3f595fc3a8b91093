#include "dataplane/core/dhcp6_responder.hpp"

#include <algorithm>
#include <array>

#include "dataplane/core/service_frame.hpp"
#include "dataplane/wire/dhcp6.hpp"
#include "dataplane/wire/dns_name.hpp"
#include "dataplane/wire/ndp.hpp"

namespace pasta::core {
namespace {

namespace option = wire::dhcp6_option;
using wire::Dhcp6Association;
using wire::Dhcp6MessageType;
using wire::Dhcp6Options;
using wire::Dhcp6Request;
using wire::Dhcp6Status;
using wire::IpAddress;
using wire::Writer;

constexpr size_t duid_size = 14;
using Duid = std::array<uint8_t, duid_size>;

/// DUID-LLT (RFC 8415, 11.2) of our MAC address.
Duid server_duid(const PortConfig& config) {
    Duid duid;
    Writer writer(duid);
    writer.be16(1);  // DUID-LLT
    writer.be16(1);  // Ethernet
    writer.be32(config.duid_time);
    writer.bytes(config.our_mac.octets);
    return duid;
}

/// RFC 8415, 16: which identifiers each message must and must not have.
bool is_valid(const Dhcp6Request& request, const Duid& duid) {
    const bool for_us =
        request.server_id &&
        std::equal(request.server_id->begin(), request.server_id->end(), duid.begin(), duid.end());
    switch (request.type) {
        case Dhcp6MessageType::solicit:
        case Dhcp6MessageType::confirm:
        case Dhcp6MessageType::rebind:
            return request.client_id && !request.server_id;
        case Dhcp6MessageType::request:
        case Dhcp6MessageType::renew:
        case Dhcp6MessageType::release:
        case Dhcp6MessageType::decline:
            return request.client_id && for_us;
        case Dhcp6MessageType::information_request:
            return (!request.server_id || for_us) && !request.has_association;
        case Dhcp6MessageType::advertise:
        case Dhcp6MessageType::reply:
            break;
    }
    return false;
}

/// Calls `visit` with each well-formed address of an association.
template <class Visitor>
void for_each_address(const Dhcp6Association& association, Visitor visit) {
    Dhcp6Options options(association.options);
    while (const auto entry = options.next()) {
        if (entry->code != option::ia_address) continue;
        if (const auto address = wire::parse_dhcp6_ia_address(entry->body)) visit(*address);
    }
}

/// Addresses other than the configured one, or any at all, in a client's associations.
struct AddressCheck {
    bool any = false;
    bool foreign = false;

    void add(const PortConfig& config, const Dhcp6Association& association) {
        for_each_address(association, [&](const IpAddress& address) {
            any = true;
            foreign = foreign || !config.address6 || address != config.address6->address;
        });
    }
};

void emit_ia_address(Writer& out, const IpAddress& address, uint32_t lifetime) {
    wire::emit_dhcp6_option(out, option::ia_address, [&] {
        out.bytes(address.octets);
        out.be32(lifetime);  // preferred
        out.be32(lifetime);  // valid
    });
}

/// What the first IA_NA gets.
void emit_address(Writer& out, const PortConfig& config, const Dhcp6Request& request,
                  const Dhcp6Association& association) {
    AddressCheck check;
    check.add(config, association);
    if (request.type == Dhcp6MessageType::request && check.foreign)
        return wire::emit_dhcp6_status(out, Dhcp6Status::not_on_link);
    emit_ia_address(out, config.address6->address, wire::infinite_lifetime);
    if (request.type != Dhcp6MessageType::renew && request.type != Dhcp6MessageType::rebind) return;
    for_each_address(association, [&](const IpAddress& address) {
        if (address != config.address6->address) emit_ia_address(out, address, 0);
    });
}

void emit_associations(Writer& out, const PortConfig& config, const Dhcp6Request& request) {
    bool address_left = config.address6.has_value();
    Dhcp6Options options(request.options);
    while (const auto entry = options.next()) {
        if (entry->code != option::ia_na && entry->code != option::ia_pd) continue;
        const auto association = Dhcp6Association::parse(entry->body);
        wire::emit_dhcp6_option(out, entry->code, [&] {
            out.be32(association->id);
            out.be32(wire::infinite_lifetime);  // T1
            out.be32(wire::infinite_lifetime);  // T2
            if (entry->code == option::ia_pd)
                wire::emit_dhcp6_status(out, Dhcp6Status::no_prefix_avail);
            else if (!address_left)
                wire::emit_dhcp6_status(out, Dhcp6Status::no_addrs_avail);
            else
                emit_address(out, config, request, *association);
        });
        if (entry->code == option::ia_na) address_left = false;
    }
}

/// RFC 4704: the server does not update the DNS, and says so.
void emit_fqdn(Writer& out, const PortConfig& config, const Dhcp6Request& request) {
    constexpr uint8_t server_updates = 0x01, overridden = 0x02, no_update = 0x04;
    if (!request.fqdn_flags || !wire::is_valid_dns_name(config.fqdn)) return;
    const bool asked = (*request.fqdn_flags & server_updates) != 0;
    wire::emit_dhcp6_option(out, option::client_fqdn, [&] {
        out.u8(static_cast<uint8_t>(no_update | (asked ? overridden : 0)));
        wire::emit_dns_name(out, config.fqdn);
    });
}

void emit_configuration(Writer& out, const PortConfig& config, const Dhcp6Request& request) {
    const auto is_v6 = [](const IpAddress& a) { return a.is_v6(); };
    if (std::any_of(config.dns.begin(), config.dns.end(), is_v6))
        wire::emit_dhcp6_option(out, option::dns_servers, [&] {
            for (const IpAddress& server : config.dns)
                if (server.is_v6()) out.bytes(server.octets);
        });
    if (std::any_of(config.search.begin(), config.search.end(), wire::is_valid_dns_name))
        wire::emit_dhcp6_option(out, option::domain_list,
                                [&] { wire::emit_dns_names(out, config.search); });
    emit_fqdn(out, config, request);
}

/// Whether all addresses that the client holds are right; nothing when it names none.
std::optional<Dhcp6Status> confirm(const PortConfig& config, const Dhcp6Request& request) {
    AddressCheck check;
    Dhcp6Options options(request.options);
    while (const auto entry = options.next())
        if (entry->code == option::ia_na) check.add(config, *Dhcp6Association::parse(entry->body));
    if (!check.any) return std::nullopt;
    return check.foreign ? Dhcp6Status::not_on_link : Dhcp6Status::success;
}

/// Writes what depends on the type of the request. False for no reply.
bool emit_answer(Writer& out, const PortConfig& config, const Dhcp6Request& request) {
    switch (request.type) {
        case Dhcp6MessageType::confirm: {
            const auto status = confirm(config, request);
            if (status) wire::emit_dhcp6_status(out, *status);
            return status.has_value();
        }
        case Dhcp6MessageType::release:
        case Dhcp6MessageType::decline:
            wire::emit_dhcp6_status(out, Dhcp6Status::success);
            return true;
        case Dhcp6MessageType::solicit:
            if (request.rapid_commit)
                wire::emit_dhcp6_option(out, option::rapid_commit, [] {});
            else  // the highest preference, for which clients do not wait (RFC 8415, 18.2.1)
                wire::emit_dhcp6_option(out, option::preference, [&] { out.u8(255); });
            break;
        default:
            break;
    }
    emit_associations(out, config, request);
    emit_configuration(out, config, request);
    return true;
}

}  // namespace

size_t dhcp6_reply(const PortConfig& config, wire::Bytes frame, wire::MutableBytes out) {
    if (!config.dhcpv6 || !config.ipv6) return 0;
    const auto datagram = UdpFrame::parse(frame);
    if (!datagram || datagram->udp.dst_port != wire::dhcp6_server_port ||
        datagram->ip.dst != wire::all_dhcp6_servers || !datagram->ip.src.is_unicast())
        return 0;
    const auto request = Dhcp6Request::parse(datagram->payload);
    const Duid duid = server_duid(config);
    if (!request || !is_valid(*request, duid)) return 0;

    const bool advertise = request->type == Dhcp6MessageType::solicit && !request->rapid_commit;
    const auto type = advertise ? Dhcp6MessageType::advertise : Dhcp6MessageType::reply;
    Writer message(message_room(out, udp6_payload_offset, config.mtu));
    message.be32(uint32_t{static_cast<uint8_t>(type)} << 24 | request->transaction_id);
    wire::emit_dhcp6_option(message, option::server_id, [&] { message.bytes(duid); });
    if (request->client_id)
        wire::emit_dhcp6_option(message, option::client_id,
                                [&] { message.bytes(*request->client_id); });
    if (!emit_answer(message, config, *request) || !message.ok()) return 0;
    return finish_udp_frame(
        out, {datagram->ethernet.src, config.our_mac, datagram->ip.src, config.our_link_local},
        wire::dhcp6_server_port, wire::dhcp6_client_port, message.position());
}

}  // namespace pasta::core
