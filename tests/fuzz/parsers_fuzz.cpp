// Every parser of dataplane/wire. The first byte chooses one. Where there is an emitter, what it
// wrote is parsed and written again, and has to be the same.

#include <cstring>
#include <string>
#include <vector>

#include "dataplane/wire/arp.hpp"
#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/dhcp4.hpp"
#include "dataplane/wire/dhcp6.hpp"
#include "dataplane/wire/dns_name.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/icmp.hpp"
#include "dataplane/wire/ip.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/ipv6.hpp"
#include "dataplane/wire/ndp.hpp"
#include "dataplane/wire/tcp.hpp"
#include "dataplane/wire/udp.hpp"
#include "tests/fuzz/input.hpp"

namespace pasta::fuzz {
namespace {

using namespace wire;

/// `header` came from a parser; `parse` reads it again from what it emits.
template <typename Header, typename Parse>
void round_trip(const Header& header, size_t size, Parse parse) {
    std::vector<uint8_t> first(size, 0xee), second(size, 0x11);
    header.emit(first);
    const auto again = parse(Bytes{first});
    require(static_cast<bool>(again), "what was emitted cannot be parsed");
    again->emit(second);
    require(first == second, "what was emitted reads differently");
}

void fuzz_ethernet(Bytes bytes) {
    if (const auto h = EthernetHeader::parse(bytes))
        round_trip(*h, EthernetHeader::size, EthernetHeader::parse);
}

void fuzz_arp(Bytes bytes) {
    if (const auto p = ArpPacket::parse(bytes)) round_trip(*p, ArpPacket::size, ArpPacket::parse);
}

void fuzz_ipv4(Bytes bytes) {
    auto h = Ipv4Header::parse(bytes, bytes.size());
    if (!h) return;
    Ipv4Header plain = *h;
    plain.total_length = static_cast<uint16_t>(h->total_length - h->header_length + plain.size);
    round_trip(plain, Ipv4Header::size, [](Bytes b) { return Ipv4Header::parse(b, SIZE_MAX); });
}

void fuzz_ipv6(Bytes bytes) {
    const auto h = Ipv6Header::parse(bytes, bytes.size());
    if (!h) return;
    round_trip(*h, Ipv6Header::size, [](Bytes b) { return Ipv6Header::parse(b, SIZE_MAX); });
    const auto upper = find_upper_layer(*h, bytes);
    if (upper)
        require(upper->offset <= Ipv6Header::size + size_t{h->payload_length},
                "an upper layer beyond the packet");
}

// A whole packet is parsed as far as it goes; a first fragment becomes a whole packet.
void fuzz_ip(Bytes bytes) {
    if (bytes.empty()) return;
    const uint16_t ethertype = bytes[0] >> 4 == 4 ? ethertype_ipv4 : ethertype_ipv6;
    const auto ip = parse_ip(ethertype, bytes, bytes.size());
    if (!ip) return;
    require(size_t{ip->header_length} + ip->payload_length <= bytes.size(),
            "a packet beyond its bytes");
    if (!ip->fragment || ip->fragment->offset != 0) return;
    std::vector<uint8_t> headers(bytes.begin(), bytes.begin() + ip->fragment->header_length);
    const size_t data = bytes.size() - headers.size();
    const auto start = make_whole(headers, *ip->fragment, static_cast<uint32_t>(data));
    if (!start) return;
    headers.resize(bytes.size());
    const auto whole = parse_ip(ethertype, Bytes{headers}.subspan(*start), bytes.size() - *start);
    // IPv6: the upper layer's bytes may have looked like more extension headers.
    if (whole) require(!whole->fragment, "a whole packet that is a fragment");
}

void fuzz_tcp(Bytes bytes) {
    const auto h = TcpHeader::parse(bytes);
    if (!h) return;
    require(h->header_length <= bytes.size(), "a header beyond its bytes");
    round_trip(*h, tcp_header_size(*h), TcpHeader::parse);
}

void fuzz_udp(Bytes bytes) {
    if (const auto h = UdpHeader::parse(bytes, bytes.size()))
        round_trip(*h, UdpHeader::size, [](Bytes b) { return UdpHeader::parse(b, SIZE_MAX); });
}

void fuzz_icmp(Bytes bytes) {
    if (const auto h = IcmpEcho::parse(bytes)) round_trip(*h, IcmpEcho::size, IcmpEcho::parse);
    if (const auto h = IcmpError::parse(bytes)) round_trip(*h, IcmpError::size, IcmpError::parse);
}

void fuzz_ndp(Bytes bytes) {
    if (const auto ns = NeighborSolicitation::parse(bytes))
        require(!ns->target.is_multicast(), "a multicast target");
    (void)RouterSolicitation::parse(bytes);
}

void require_inside(Bytes outer, Bytes inner) {
    require(inner.empty() || (inner.data() >= outer.data() &&
                              inner.data() + inner.size() <= outer.data() + outer.size()),
            "a span outside the message");
}

void fuzz_dhcp4(Bytes bytes) {
    const auto request = Dhcp4Request::parse(bytes);
    if (!request) return;
    require(request->max_message_size >= 576, "a message size that BOOTP does not allow");
    std::vector<uint8_t> reply(2048);
    Writer out(reply);
    emit_dhcp4_reply(out, request->fixed);
    for (const Bytes body : {request->parameter_list, request->client_id}) {
        const size_t before = out.position();
        const bool fits = emit_dhcp4_option(out, dhcp4_option::client_id, body);
        require(out.position() - before == (fits ? dhcp4_option_size(body.size()) : 0),
                "an option of another size than announced");
    }
}

void fuzz_dhcp6(Bytes bytes) {
    const auto request = Dhcp6Request::parse(bytes);
    if (!request) return;
    if (request->client_id) require_inside(bytes, *request->client_id);
    if (request->server_id) require_inside(bytes, *request->server_id);
    Dhcp6Options options(request->options);
    while (const auto option = options.next()) {
        require_inside(bytes, option->body);
        if (option->code != dhcp6_option::ia_na && option->code != dhcp6_option::ia_pd) continue;
        const auto association = Dhcp6Association::parse(option->body);
        require(association.has_value(), "a malformed association in a message that was parsed");
        Dhcp6Options inner(association->options);
        while (const auto one = inner.next())
            (void)parse_dhcp6_ia_address(one->body);
        require(inner.ok(), "malformed options in an association that was parsed");
    }
    require(options.ok(), "malformed options in a message that was parsed");
}

/// The name at `at`, which moves behind it; follows pointers, backwards only.
std::string decode_name(Bytes bytes, size_t& at) {
    std::string name;
    bool jumped = false;
    for (size_t here = at;;) {
        require(here < bytes.size(), "a name runs over");
        const uint8_t length = bytes[here];
        if (length >= 0xc0) {
            require(here + 2 <= bytes.size(), "a pointer runs over");
            const size_t to = load_be16(&bytes[here]) & 0x3fffu;
            require(to < here, "a pointer forwards");
            if (!jumped) at = here + 2;
            jumped = true;
            here = to;
            continue;
        }
        require(here + 1 + length <= bytes.size(), "a label runs over");
        if (length == 0) {
            if (!jumped) at = here + 1;
            return name;
        }
        if (!name.empty()) name += '.';
        name.append(reinterpret_cast<const char*>(&bytes[here + 1]), length);
        here += 1u + length;
    }
}

// Names, a line each, into so much room as the first byte says; they are read back.
void fuzz_names(Bytes bytes) {
    if (bytes.empty()) return;
    std::vector<uint8_t> room(size_t{bytes[0]} * 16);
    std::vector<std::string> names(1);
    for (const uint8_t c : bytes.subspan(1))
        if (c == '\n')
            names.emplace_back();
        else
            names.back() += static_cast<char>(c);
    for (const bool compressed : {false, true}) {
        Writer out(room);
        compressed ? emit_compressed_dns_names(out, names) : emit_dns_names(out, names);
        require(out.ok(), "a name was cut");
        auto name = names.begin();
        for (size_t at = 0; at < out.position(); ++name) {
            const std::string read = decode_name(out.written(), at);
            name = std::find(name, names.end(), read);
            require(name != names.end(), "a name that was not there");
        }
    }
}

// In pieces of any length the sum is the same.
void fuzz_checksum(Bytes bytes) {
    const uint16_t whole = checksum_finish(checksum_add(bytes));
    ChecksumAccumulator pieces;
    for (Bytes rest = bytes; !rest.empty();) {
        const size_t n = std::min<size_t>(rest.size(), rest[0] % 40);
        pieces.add(rest.first(std::max<size_t>(n, 1)));
        rest = rest.subspan(std::max<size_t>(n, 1));
    }
    require(pieces.finish() == whole, "a checksum that depends on the pieces");
}

constexpr void (*targets[])(Bytes) = {
    fuzz_ethernet, fuzz_arp, fuzz_ipv4,  fuzz_ipv6,  fuzz_ip,    fuzz_tcp,      fuzz_udp,
    fuzz_icmp,     fuzz_ndp, fuzz_dhcp4, fuzz_dhcp6, fuzz_names, fuzz_checksum,
};

}  // namespace
}  // namespace pasta::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace pasta::fuzz;
    if (size == 0) return 0;
    targets[data[0] % std::size(targets)]({data + 1, size - 1});
    return 0;
}
