#include "dataplane/wire/dhcp4.hpp"

#include <algorithm>

namespace pasta::wire {
namespace {

constexpr uint8_t op_request = 1;
constexpr uint8_t op_reply = 2;
constexpr uint32_t magic_cookie = 0x63825363;
constexpr uint16_t broadcast_flag = 0x8000;
constexpr size_t server_name_size = 64;
constexpr size_t file_size = 128;
constexpr uint16_t min_message_size = 576;  // RFC 2132, 9.10

// Values of the overload option are sets of these.
constexpr uint8_t options_in_file = 1;
constexpr uint8_t options_in_server_name = 2;

IpAddress read_v4(Reader& reader) {
    return IpAddress::v4(reader.be32());
}

void parse_option(Dhcp4Request& request, uint8_t& overload, uint8_t code, Bytes body) {
    namespace option = dhcp4_option;
    Reader reader(body);
    if (code == option::message_type && body.size() == 1)
        request.type = static_cast<Dhcp4MessageType>(reader.u8());
    else if (code == option::requested_address && body.size() == 4)
        request.requested_address = read_v4(reader);
    else if (code == option::server_id && body.size() == 4)
        request.server_id = read_v4(reader);
    else if (code == option::parameter_list)
        request.parameter_list = body;
    else if (code == option::client_id && body.size() >= 2)
        request.client_id = body;
    else if (code == option::max_message_size && body.size() == 2)
        request.max_message_size = std::max(reader.be16(), min_message_size);
    else if (code == option::rapid_commit && body.empty())
        request.rapid_commit = true;
    else if (code == option::fqdn && body.size() >= 3)
        request.fqdn_flags = reader.u8();
    else if (code == option::overload && body.size() == 1)
        overload = reader.u8();
}

/// Reads one field of options. False when an option runs over its end.
bool parse_options(Dhcp4Request& request, uint8_t& overload, Bytes field) {
    Reader reader(field);
    while (reader.remaining() != 0) {
        const uint8_t code = reader.u8();
        if (code == dhcp4_option::end) return true;
        if (code == dhcp4_option::pad) continue;
        const uint8_t length = reader.u8();
        const Bytes body = reader.bytes(length);
        if (!reader.ok()) return false;
        parse_option(request, overload, code, body);
    }
    return true;
}

/// The fixed fields up to the hardware address. False when they are not those of a request.
bool parse_fixed(Dhcp4Fixed& fixed, Reader& reader) {
    const uint8_t op = reader.u8();
    fixed.hardware_type = reader.u8();
    fixed.hardware_length = reader.u8();
    reader.skip(1);  // hops
    fixed.transaction_id = reader.be32();
    reader.skip(2);  // seconds
    fixed.broadcast = (reader.be16() & broadcast_flag) != 0;
    fixed.client = read_v4(reader);
    fixed.your = read_v4(reader);
    fixed.server = read_v4(reader);
    fixed.relay = read_v4(reader);
    const Bytes hardware_address = reader.bytes(fixed.hardware_address.size());
    std::copy(hardware_address.begin(), hardware_address.end(), fixed.hardware_address.begin());
    return reader.ok() && op == op_request &&
           fixed.hardware_length <= fixed.hardware_address.size();
}

}  // namespace

std::optional<Dhcp4Request> Dhcp4Request::parse(Bytes message) {
    Dhcp4Request request;
    Reader reader(message);
    if (!parse_fixed(request.fixed, reader)) return std::nullopt;
    const Bytes server_name = reader.bytes(server_name_size);
    const Bytes file = reader.bytes(file_size);
    if (!reader.ok()) return std::nullopt;
    if (reader.be32() != magic_cookie) return request;

    uint8_t overload = 0;
    bool ok = parse_options(request, overload, reader.rest());
    const uint8_t fields = overload;  // the other fields cannot overload again
    if (ok && (fields & options_in_file) != 0) ok = parse_options(request, overload, file);
    if (ok && (fields & options_in_server_name) != 0)
        ok = parse_options(request, overload, server_name);
    if (!ok) return std::nullopt;
    if (request.type &&
        (*request.type < Dhcp4MessageType::discover || *request.type > Dhcp4MessageType::inform))
        return std::nullopt;
    return request;
}

void emit_dhcp4_reply(Writer& out, const Dhcp4Fixed& fixed) {
    out.u8(op_reply);
    out.u8(fixed.hardware_type);
    out.u8(fixed.hardware_length);
    out.u8(0);
    out.be32(fixed.transaction_id);
    out.be16(0);
    out.be16(fixed.broadcast ? broadcast_flag : 0);
    out.be32(fixed.client.v4_number());
    out.be32(fixed.your.v4_number());
    out.be32(fixed.server.v4_number());
    out.be32(fixed.relay.v4_number());
    out.bytes(fixed.hardware_address);
    out.zeros(server_name_size + file_size);
    out.be32(magic_cookie);
}

bool emit_dhcp4_option(Writer& out, uint8_t code, Bytes body) {
    if (!out.ok() || out.remaining() < dhcp4_option_size(body.size())) return false;
    do {
        const Bytes piece = body.first(std::min<size_t>(body.size(), 255));
        out.u8(code);
        out.u8(static_cast<uint8_t>(piece.size()));
        out.bytes(piece);
        body = body.subspan(piece.size());
    } while (!body.empty());
    return true;
}

}  // namespace pasta::wire
