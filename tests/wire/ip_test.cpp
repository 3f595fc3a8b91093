#include "dataplane/wire/ip.hpp"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/ipv6.hpp"
#include "tests/support/hex.hpp"

namespace pasta::wire {
namespace {

using test::hex;

/// A UDP packet of 115 bytes, of which only the header stands here; DF is set.
const std::vector<uint8_t> header4 = hex("4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7");

void fix_checksum(std::vector<uint8_t>& packet) {
    store_be16(&packet[10], 0);
    const size_t length = (packet[0] & 15) * 4;
    store_be16(&packet[10], checksum_finish(checksum_add(Bytes{packet}.first(length))));
}

/// An IPv6 header for `next_header` followed by `payload`.
std::vector<uint8_t> packet6(uint8_t next_header, const std::vector<uint8_t>& payload) {
    Ipv6Header header;
    header.src.octets = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    header.dst.octets = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
    header.next_header = next_header;
    header.payload_length = static_cast<uint16_t>(payload.size());
    std::vector<uint8_t> packet(Ipv6Header::size);
    header.emit(packet);
    packet.insert(packet.end(), payload.begin(), payload.end());
    return packet;
}

TEST(Ethernet, header_survives_emit_and_parse) {
    const auto bytes = hex("ffffffffffff 020000000001 0806");
    const auto header = EthernetHeader::parse(bytes);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->dst, MacAddress::broadcast());
    EXPECT_EQ(header->src, (MacAddress{{2, 0, 0, 0, 0, 1}}));
    EXPECT_EQ(header->ethertype, ethertype_arp);
    std::vector<uint8_t> out(EthernetHeader::size);
    header->emit(out);
    EXPECT_EQ(out, bytes);
    EXPECT_FALSE(EthernetHeader::parse(Bytes{bytes}.first(13)));
}

TEST(Ipv4, known_header_is_parsed_and_emitted_again) {
    const auto header = Ipv4Header::parse(header4, 115);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->src, IpAddress::v4(192, 168, 0, 1));
    EXPECT_EQ(header->dst, IpAddress::v4(192, 168, 0, 199));
    EXPECT_EQ(header->protocol, protocol_udp);
    EXPECT_EQ(header->ttl, 64);
    EXPECT_TRUE(header->dont_fragment);
    EXPECT_FALSE(header->is_fragment());
    EXPECT_EQ(header->total_length, 115);
    EXPECT_EQ(header->header_length, 20);
    std::vector<uint8_t> out(Ipv4Header::size, 0xee);
    header->emit(out);
    EXPECT_EQ(out, header4);
}

TEST(Ipv4, fragment_fields_survive_emit_and_parse) {
    Ipv4Header header;
    header.src = header.dst = IpAddress::v4(192, 0, 2, 1);
    header.tos = 0xb9;
    header.id = 0xbeef;
    header.more_fragments = true;
    header.fragment_offset = 65528;
    header.total_length = 28;
    std::vector<uint8_t> out(28);
    header.emit(out);
    const auto parsed = Ipv4Header::parse(out, out.size());
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->tos, 0xb9);
    EXPECT_EQ(parsed->id, 0xbeef);
    EXPECT_EQ(parsed->fragment_offset, 65528);
    EXPECT_TRUE(parsed->is_fragment());
}

TEST(Ipv4, cut_at_every_length_is_truncated) {
    for (size_t length = 0; length < 20; ++length) {
        const std::vector<uint8_t> cut(header4.begin(), header4.begin() + static_cast<int>(length));
        const auto header = Ipv4Header::parse(cut, 115);
        ASSERT_FALSE(header) << length;
        EXPECT_EQ(header.error(), ParseError::truncated) << length;
    }
}

TEST(Ipv4, total_length_beyond_the_frame_is_truncated) {
    EXPECT_EQ(Ipv4Header::parse(header4, 114).error(), ParseError::truncated);
}

TEST(Ipv4, lying_lengths_and_versions_are_refused) {
    auto packet = header4;
    packet[0] = 0x44;  // a header of 16 bytes
    EXPECT_EQ(Ipv4Header::parse(packet, 115).error(), ParseError::bad_length);
    packet[0] = 0x65;
    EXPECT_EQ(Ipv4Header::parse(packet, 115).error(), ParseError::bad_version);
    packet[0] = 0x46;  // options that the bytes do not hold
    EXPECT_EQ(Ipv4Header::parse(packet, 115).error(), ParseError::truncated);
    packet = header4;
    store_be16(&packet[2], 19);
    fix_checksum(packet);
    EXPECT_EQ(Ipv4Header::parse(packet, 115).error(), ParseError::bad_length);
}

TEST(Ipv4, any_flipped_bit_beyond_lengths_is_a_bad_checksum) {
    for (size_t bit = 32; bit < 160; ++bit) {
        auto packet = header4;
        packet[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        const auto header = Ipv4Header::parse(packet, 115);
        ASSERT_FALSE(header) << bit;
        EXPECT_EQ(header.error(), ParseError::bad_checksum) << bit;
    }
}

TEST(ParseIp, v4_options_are_skipped) {
    auto packet = header4;
    packet[0] = 0x46;
    packet.insert(packet.end(), {1, 1, 1, 0});
    fix_checksum(packet);
    const auto ip = parse_ip(ethertype_ipv4, packet, 115);
    ASSERT_TRUE(ip);
    EXPECT_EQ(ip->header_length, 24);
    EXPECT_EQ(ip->payload_length, 91u);
}

TEST(ParseIp, ethernet_padding_is_not_payload) {
    const auto ip = parse_ip(ethertype_ipv4, header4, 200);
    ASSERT_TRUE(ip);
    EXPECT_EQ(ip->payload_length, 95u);
    const auto packet = packet6(protocol_udp, std::vector<uint8_t>(8));
    const auto ip6 = parse_ip(ethertype_ipv6, packet, 100);
    ASSERT_TRUE(ip6);
    EXPECT_EQ(ip6->payload_length, 8u);
}

TEST(ParseIp, other_ethertype_is_refused) {
    EXPECT_EQ(parse_ip(ethertype_arp, header4, 115).error(), ParseError::unknown_ethertype);
    EXPECT_EQ(parse_ip(ethertype_ipv6, packet6(6, header4), 19).error(), ParseError::truncated);
    const auto v6_as_v4 = packet6(6, header4);
    EXPECT_EQ(parse_ip(ethertype_ipv4, v6_as_v4, 60).error(), ParseError::bad_version);
}

TEST(Ipv6, fields_survive_emit_and_parse) {
    Ipv6Header header;
    header.src.octets[0] = 0x20;
    header.dst.octets[0] = 0xff;
    header.traffic_class = 0xb9;
    header.flow_label = 0xabcde;
    header.payload_length = 3;
    header.next_header = protocol_tcp;
    header.hop_limit = 255;
    std::vector<uint8_t> out(Ipv6Header::size + 3, 0xee);
    header.emit(out);
    EXPECT_EQ(std::vector<uint8_t>(out.begin(), out.begin() + 8), hex("6b9abcde 0003 06 ff"));
    const auto parsed = Ipv6Header::parse(out, out.size());
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->src, header.src);
    EXPECT_EQ(parsed->dst, header.dst);
    EXPECT_EQ(parsed->traffic_class, 0xb9);
    EXPECT_EQ(parsed->flow_label, 0xabcdeu);
    EXPECT_EQ(parsed->hop_limit, 255);
}

TEST(Ipv6, cut_at_every_length_is_truncated) {
    const auto packet = packet6(protocol_udp, std::vector<uint8_t>(8));
    for (size_t length = 0; length < packet.size(); ++length) {
        const std::vector<uint8_t> cut(packet.begin(), packet.begin() + static_cast<int>(length));
        EXPECT_EQ(Ipv6Header::parse(cut, cut.size()).error(), ParseError::truncated) << length;
    }
}

TEST(Ipv6, mapped_address_is_refused) {
    auto packet = packet6(protocol_udp, std::vector<uint8_t>(8));
    const IpAddress mapped = IpAddress::v4(192, 0, 2, 1);
    std::copy(mapped.octets.begin(), mapped.octets.end(), packet.begin() + 8);
    EXPECT_EQ(Ipv6Header::parse(packet, packet.size()).error(), ParseError::bad_address);
}

TEST(ParseIp, v6_extension_headers_lead_to_the_upper_layer) {
    const auto packet = packet6(protocol_hop_by_hop, hex("2b 00 050200000100"  // hop-by-hop
                                                         "3c 01 0000000000000000000000000000"
                                                         "06 00 010400000000"  // destination
                                                         "aabbccdd"));
    const auto ip = parse_ip(ethertype_ipv6, packet, packet.size());
    ASSERT_TRUE(ip);
    EXPECT_EQ(ip->protocol, protocol_tcp);
    EXPECT_EQ(ip->header_length, 40 + 8 + 16 + 8);
    EXPECT_EQ(ip->payload_length, 4u);
    EXPECT_FALSE(ip->fragment);
}

TEST(ParseIp, v6_extension_header_cut_at_every_length_is_refused) {
    const auto whole = hex("3c 01 0000000000000000000000000000 06 00 010400000000");
    for (size_t length = 0; length < whole.size(); ++length) {
        const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<int>(length));
        const auto packet = packet6(protocol_routing, cut);
        EXPECT_EQ(parse_ip(ethertype_ipv6, packet, packet.size()).error(),
                  ParseError::extension_chain)
            << length;
    }
}

TEST(ParseIp, v6_extension_header_over_the_payload_into_padding_is_refused) {
    auto packet = packet6(protocol_destination_options, hex("06 01 010400000000"));
    packet.resize(packet.size() + 100);
    EXPECT_EQ(parse_ip(ethertype_ipv6, packet, packet.size()).error(), ParseError::extension_chain);
}

TEST(ParseIp, v6_chain_of_more_than_eight_headers_is_refused) {
    for (size_t count = 1; count <= 12; ++count) {
        std::vector<uint8_t> chain;
        for (size_t i = 1; i <= count; ++i) {
            const auto header = hex(i < count ? "3c 00 010400000000" : "11 00 010400000000");
            chain.insert(chain.end(), header.begin(), header.end());
        }
        const auto packet = packet6(protocol_destination_options, chain);
        EXPECT_EQ(static_cast<bool>(parse_ip(ethertype_ipv6, packet, packet.size())), count <= 8)
            << count;
    }
}

TEST(ParseIp, v6_hop_by_hop_after_another_header_is_refused) {
    const auto packet =
        packet6(protocol_destination_options, hex("00 00 010400000000 06 00 010400000000"));
    EXPECT_EQ(parse_ip(ethertype_ipv6, packet, packet.size()).error(), ParseError::extension_chain);
}

TEST(ParseIp, v6_first_and_later_fragments_are_flagged) {
    const auto first = packet6(protocol_fragment, hex("11 00 0001 00000007 aabb"));
    const auto later = packet6(protocol_fragment, hex("3c 00 0008 00000007 ffff"));
    for (const auto& packet : {first, later}) {
        const auto ip = parse_ip(ethertype_ipv6, packet, packet.size());
        ASSERT_TRUE(ip);
        EXPECT_TRUE(ip->fragment);
        EXPECT_EQ(ip->header_length, 48);
        EXPECT_EQ(ip->payload_length, 2u);
    }
}

TEST(ParseIp, v6_atomic_fragment_is_a_whole_packet) {
    const auto packet = packet6(protocol_fragment, hex("11 00 0000 00000007 aabb"));
    const auto ip = parse_ip(ethertype_ipv6, packet, packet.size());
    ASSERT_TRUE(ip);
    EXPECT_FALSE(ip->fragment);
    EXPECT_EQ(ip->protocol, protocol_udp);
}

TEST(ParseIp, v4_fragment_is_described) {
    auto packet = header4;
    store_be16(&packet[4], 0xbeef);
    store_be16(&packet[6], 0x2003);
    fix_checksum(packet);
    const auto fragment = parse_ip(ethertype_ipv4, packet, 115)->fragment;
    ASSERT_TRUE(fragment);
    EXPECT_EQ(fragment->id, 0xbeefu);
    EXPECT_EQ(fragment->offset, 24);
    EXPECT_TRUE(fragment->more);
    EXPECT_EQ(fragment->header_length, 20);
    store_be16(&packet[6], 0x0003);
    fix_checksum(packet);
    EXPECT_FALSE(parse_ip(ethertype_ipv4, packet, 115)->fragment->more);
}

TEST(ParseIp, v6_fragment_is_described) {
    // Between hop-by-hop and destination options; the reserved bits do not count.
    const auto packet = packet6(protocol_hop_by_hop, hex("2c 00 010400000000"
                                                         "3c ff 0007 12345678"
                                                         "11 00 010400000000 aabb"));
    const auto ip = parse_ip(ethertype_ipv6, packet, packet.size());
    ASSERT_TRUE(ip && ip->fragment);
    EXPECT_EQ(ip->protocol, protocol_udp);
    EXPECT_EQ(ip->header_length, 40 + 8 + 8 + 8);
    EXPECT_EQ(ip->fragment->id, 0x12345678u);
    EXPECT_EQ(ip->fragment->offset, 0);
    EXPECT_TRUE(ip->fragment->more);
    EXPECT_EQ(ip->fragment->header_length, 40 + 8 + 8);
    EXPECT_EQ(ip->fragment->announced_at, 40);
    const auto last = packet6(protocol_fragment, hex("3c 00 0ff8 00000007 ffff"));
    const auto fragment = parse_ip(ethertype_ipv6, last, last.size())->fragment;
    ASSERT_TRUE(fragment);
    EXPECT_EQ(fragment->offset, 0xff8);
    EXPECT_FALSE(fragment->more);
    EXPECT_EQ(fragment->announced_at, 6);
}

TEST(ParseIp, v6_fragment_in_a_fragment_is_refused) {
    for (const char* second :
         {"11 00 0000 00000008", "11 00 0001 00000008", "11 00 0008 00000008"}) {
        auto chain = hex("2c 00 0001 00000007");
        const auto inner = hex(second);
        chain.insert(chain.end(), inner.begin(), inner.end());
        const auto packet = packet6(protocol_fragment, chain);
        EXPECT_EQ(parse_ip(ethertype_ipv6, packet, packet.size()).error(),
                  ParseError::extension_chain);
    }
    // An atomic fragment is a packet, and that may be cut.
    const auto packet = packet6(protocol_fragment, hex("2c 00 0000 00000007 11 00 0001 00000008"));
    const auto ip = parse_ip(ethertype_ipv6, packet, packet.size());
    ASSERT_TRUE(ip && ip->fragment);
    EXPECT_EQ(ip->fragment->id, 8u);
    EXPECT_EQ(ip->fragment->announced_at, 40);
}

TEST(MakeWhole, v4_header_keeps_its_options_and_loses_its_flags) {
    auto packet = header4;
    packet[0] = 0x46;
    packet.insert(packet.end(), {1, 1, 1, 0});
    store_be16(&packet[6], 0x6000);
    fix_checksum(packet);
    const auto fragment = *parse_ip(ethertype_ipv4, packet, 115)->fragment;
    EXPECT_EQ(make_whole(packet, fragment, 1000), std::optional<size_t>{0});
    const auto header = Ipv4Header::parse(packet, 1024);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->total_length, 1024);
    EXPECT_FALSE(header->is_fragment());
    EXPECT_FALSE(header->dont_fragment);
    EXPECT_FALSE(make_whole(packet, fragment, 65512));
    EXPECT_TRUE(make_whole(packet, fragment, 65511));
}

TEST(MakeWhole, v6_fragment_header_is_taken_out) {
    auto packet = packet6(protocol_hop_by_hop, hex("2c 00 010400000000 11 00 0001 00000007"));
    packet.insert(packet.end(), 8, 0xee);
    store_be16(&packet[4], 24);
    const auto fragment = *parse_ip(ethertype_ipv6, packet, packet.size())->fragment;
    const MutableBytes headers = MutableBytes{packet}.first(fragment.header_length);
    EXPECT_FALSE(make_whole(headers, fragment, 65528));
    EXPECT_EQ(make_whole(headers, fragment, 65527), std::optional<size_t>{8});
    const Bytes whole = Bytes{packet}.subspan(8);
    const auto ip = parse_ip(ethertype_ipv6, whole, 65535 + 40);
    ASSERT_TRUE(ip);
    EXPECT_FALSE(ip->fragment);
    EXPECT_EQ(ip->protocol, protocol_udp);
    EXPECT_EQ(ip->header_length, 48);
    EXPECT_EQ(ip->payload_length, 65527u);
    EXPECT_EQ(whole[48], 0xee);
}

}  // namespace
}  // namespace pasta::wire
