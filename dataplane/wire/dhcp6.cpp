#include "dataplane/wire/dhcp6.hpp"

namespace pasta::wire {
namespace {

bool is_client_message(uint8_t type) {
    switch (static_cast<Dhcp6MessageType>(type)) {
        case Dhcp6MessageType::solicit:
        case Dhcp6MessageType::request:
        case Dhcp6MessageType::confirm:
        case Dhcp6MessageType::renew:
        case Dhcp6MessageType::rebind:
        case Dhcp6MessageType::release:
        case Dhcp6MessageType::decline:
        case Dhcp6MessageType::information_request:
            return true;
        case Dhcp6MessageType::advertise:
        case Dhcp6MessageType::reply:
            break;
    }
    return false;
}

bool well_formed(Bytes bytes) {
    Dhcp6Options options(bytes);
    while (options.next()) {
    }
    return options.ok();
}

bool is_duid(Bytes body) {
    return body.size() > 2 && body.size() <= dhcp6_max_duid;
}

/// False when the option makes the message invalid.
bool parse_option(Dhcp6Request& request, const Dhcp6Option& option) {
    switch (option.code) {
        case dhcp6_option::client_id:
            request.client_id = option.body;
            return is_duid(option.body);
        case dhcp6_option::server_id:
            request.server_id = option.body;
            return is_duid(option.body);
        case dhcp6_option::rapid_commit:
            request.rapid_commit = true;
            return option.body.empty();
        case dhcp6_option::client_fqdn:
            if (!option.body.empty()) request.fqdn_flags = option.body[0];
            return !option.body.empty();
        case dhcp6_option::ia_na:
        case dhcp6_option::ia_pd:
            request.has_association = true;
            return Dhcp6Association::parse(option.body).has_value();
        case dhcp6_option::ia_ta:
            request.has_association = true;
            return true;
        default:
            return true;
    }
}

}  // namespace

std::optional<Dhcp6Option> Dhcp6Options::next() {
    if (reader_.remaining() == 0) return std::nullopt;
    Dhcp6Option option;
    option.code = reader_.be16();
    const uint16_t length = reader_.be16();
    option.body = reader_.bytes(length);
    if (!reader_.ok()) return std::nullopt;
    return option;
}

std::optional<Dhcp6Association> Dhcp6Association::parse(Bytes body) {
    Reader reader(body);
    Dhcp6Association association;
    association.id = reader.be32();
    reader.skip(8);  // T1 and T2 are the server's to say
    association.options = reader.rest();
    if (!reader.ok() || !well_formed(association.options)) return std::nullopt;
    return association;
}

std::optional<IpAddress> parse_dhcp6_ia_address(Bytes body) {
    Reader reader(body);
    const Bytes address = reader.bytes(16);
    reader.skip(8);  // lifetimes
    if (!reader.ok()) return std::nullopt;
    return IpAddress::v6(address.first<16>());
}

std::optional<Dhcp6Request> Dhcp6Request::parse(Bytes message) {
    Reader reader(message);
    const uint32_t word = reader.be32();
    if (!reader.ok() || !is_client_message(static_cast<uint8_t>(word >> 24))) return std::nullopt;
    Dhcp6Request request;
    request.type = static_cast<Dhcp6MessageType>(word >> 24);
    request.transaction_id = word & 0xffffff;
    request.options = reader.rest();
    Dhcp6Options options(request.options);
    while (const auto option = options.next())
        if (!parse_option(request, *option)) return std::nullopt;
    if (!options.ok()) return std::nullopt;
    return request;
}

void emit_dhcp6_status(Writer& out, Dhcp6Status status) {
    emit_dhcp6_option(out, dhcp6_option::status_code,
                      [&] { out.be16(static_cast<uint16_t>(status)); });
}

}  // namespace pasta::wire
