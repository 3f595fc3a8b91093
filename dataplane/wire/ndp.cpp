#include "dataplane/wire/ndp.hpp"

#include <algorithm>
#include <array>

#include "dataplane/wire/dns_name.hpp"
#include "dataplane/wire/icmp.hpp"

namespace pasta::wire {
namespace {

enum Option : uint8_t {
    source_link_layer = 1,
    target_link_layer = 2,
    prefix_information = 3,
    link_mtu = 5,
    recursive_dns_server = 25,
    dns_search_list = 31,
};

constexpr uint8_t option_unit = 8;  // lengths of options count these
constexpr size_t max_option_units = 255;

/// Reads the rest as options, of which only the source's link-layer address matters to us. False
/// when they are malformed.
bool parse_options(Reader& reader, std::optional<MacAddress>& source_mac) {
    while (reader.remaining() != 0) {
        const uint8_t type = reader.u8();
        const uint8_t units = reader.u8();
        if (units == 0) return false;
        const Bytes body = reader.bytes(size_t{units} * option_unit - 2);
        if (!reader.ok()) return false;
        if (type == source_link_layer && units == 1) {
            source_mac.emplace();
            std::copy(body.begin(), body.end(), source_mac->octets.begin());
        }
    }
    return true;
}

/// Reads type, code and checksum; true when the first two are as expected.
bool parse_icmp(Reader& reader, uint8_t type) {
    const uint8_t actual = reader.u8();
    const uint8_t code = reader.u8();
    reader.skip(2);
    return reader.ok() && actual == type && code == 0;
}

void emit_link_layer(Writer& out, Option option, const MacAddress& mac) {
    out.u8(option);
    out.u8(1);
    out.bytes(mac.octets);
}

void emit_prefix(Writer& out, const PrefixInformation& prefix) {
    out.u8(prefix_information);
    out.u8(4);
    out.u8(prefix.length);
    out.u8(static_cast<uint8_t>((prefix.on_link ? 0x80 : 0) | (prefix.autonomous ? 0x40 : 0)));
    out.be32(prefix.valid_lifetime);
    out.be32(prefix.preferred_lifetime);
    out.zeros(4);
    out.bytes(prefix.prefix.octets);
}

/// Bytes that a list option (header of 8 bytes, as RFC 8106 has them) can still hold.
size_t list_room(const Writer& out) {
    return out.remaining() - std::min<size_t>(out.remaining(), option_unit);
}

void emit_recursive_dns(Writer& out, std::span<const IpAddress> servers) {
    const auto is_v6 = [](const IpAddress& a) { return a.is_v6(); };
    const auto count = static_cast<size_t>(std::count_if(servers.begin(), servers.end(), is_v6));
    size_t left = std::min({count, (max_option_units - 1) / 2, list_room(out) / 16});
    if (left == 0) return;
    out.u8(recursive_dns_server);
    out.u8(static_cast<uint8_t>(1 + 2 * left));
    out.zeros(2);
    out.be32(infinite_lifetime);
    for (const IpAddress& server : servers) {
        if (!server.is_v6() || left == 0) continue;
        out.bytes(server.octets);
        --left;
    }
}

void emit_search_list(Writer& out, std::span<const std::string> names) {
    std::array<uint8_t, (max_option_units - 1) * option_unit> scratch;
    const size_t room = std::min(scratch.size(), list_room(out) / option_unit * option_unit);
    Writer list(MutableBytes{scratch}.first(room));
    emit_dns_names(list, names);
    if (list.position() == 0) return;
    const size_t units = (list.position() + option_unit - 1) / option_unit;
    out.u8(dns_search_list);
    out.u8(static_cast<uint8_t>(1 + units));
    out.zeros(2);
    out.be32(infinite_lifetime);
    out.bytes(list.written());
    out.zeros(units * option_unit - list.position());
}

}  // namespace

std::optional<NeighborSolicitation> NeighborSolicitation::parse(Bytes message) {
    Reader reader(message);
    if (!parse_icmp(reader, icmpv6::neighbor_solicitation)) return std::nullopt;
    reader.skip(4);
    const Bytes target = reader.bytes(16);
    if (!reader.ok()) return std::nullopt;
    NeighborSolicitation solicitation;
    solicitation.target = IpAddress::v6(target.first<16>());
    if (solicitation.target.is_multicast()) return std::nullopt;
    if (!parse_options(reader, solicitation.source_mac)) return std::nullopt;
    return solicitation;
}

std::optional<RouterSolicitation> RouterSolicitation::parse(Bytes message) {
    Reader reader(message);
    if (!parse_icmp(reader, icmpv6::router_solicitation)) return std::nullopt;
    reader.skip(4);
    RouterSolicitation solicitation;
    if (!reader.ok() || !parse_options(reader, solicitation.source_mac)) return std::nullopt;
    return solicitation;
}

void NeighborAdvertisement::emit(MutableBytes out) const {
    assert(out.size() >= size);
    Writer writer(out);
    writer.u8(icmpv6::neighbor_advertisement);
    writer.zeros(3);
    writer.u8(static_cast<uint8_t>((router ? 0x80 : 0) | (solicited ? 0x40 : 0) |
                                   (override_cache ? 0x20 : 0)));
    writer.zeros(3);
    writer.bytes(target.octets);
    emit_link_layer(writer, target_link_layer, target_mac);
}

void RouterAdvertisement::emit(Writer& out) const {
    out.u8(icmpv6::router_advertisement);
    out.zeros(3);
    out.u8(hop_limit);
    out.u8(static_cast<uint8_t>((managed ? 0x80 : 0) | (other ? 0x40 : 0)));
    out.be16(router_lifetime);
    out.zeros(8);  // reachable time and retransmission timer: unspecified
    emit_link_layer(out, source_link_layer, source_mac);
    if (mtu) {
        out.u8(link_mtu);
        out.u8(1);
        out.zeros(2);
        out.be32(*mtu);
    }
    if (prefix) emit_prefix(out, *prefix);
    emit_recursive_dns(out, dns);
    emit_search_list(out, search);
}

}  // namespace pasta::wire
