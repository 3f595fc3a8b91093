// Datagrams of a UdpEngine: in, out, their sizes and checksums.
#include <gmock/gmock.h>

#include "dataplane/wire/udp.hpp"
#include "tests/support/udp_fixture.hpp"

namespace pasta::core {
namespace {

using test::pattern;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

TEST_F(UdpEngineTest, first_datagram_opens_a_socket_and_is_sent_when_it_is_open) {
    inject(v4.udp(4000, 53, pattern(20)));
    auto ops = take_ops();
    ASSERT_EQ(ops.size(), 1u);
    EXPECT_EQ(ops[0].kind, SocketOpKind::udp_open);
    const DatagramFlow* flow = engine.find(ops[0].flow);
    ASSERT_NE(flow, nullptr);
    EXPECT_EQ(flow->target.address, peer4);
    EXPECT_EQ(flow->target.port, 53);
    EXPECT_EQ(flow->key.guest_port, 4000);
    engine.on_opened(flow->id, socket);
    ops = take_ops();
    ASSERT_EQ(ops.size(), 1u);
    EXPECT_EQ(ops[0].kind, SocketOpKind::udp_send);
    EXPECT_EQ(ops[0].socket, socket);
    EXPECT_THAT(arena.bytes(flow->to_sock.front()), ElementsAreArray(pattern(20)));
}

TEST_F(UdpEngineTest, datagrams_of_one_flow_queue_behind_one_send) {
    v4.hop_limit = 3;
    v4.traffic_class = 0xb8;
    const FlowId id = open(v4.udp(4000, 53, pattern(5)));
    v4.dont_fragment = false;
    inject(v4.udp(4000, 53, pattern(9000)));
    inject(v4.udp(4000, 53, {}));
    EXPECT_THAT(op_kinds(), ElementsAre(SocketOpKind::udp_send));
    const DatagramQueue& queue = engine.find(id)->to_sock;
    EXPECT_EQ(queue.datagrams(), 3u);
    ChunkId chunk = queue.front();
    EXPECT_EQ(DatagramOptions::unpack(arena.meta(chunk).seq), (DatagramOptions{3, 0xb8, true}));
    EXPECT_EQ(arena.meta(chunk).flags, end_of_datagram);
    chunk = arena.meta(chunk).next;
    EXPECT_EQ(DatagramOptions::unpack(arena.meta(chunk).seq), (DatagramOptions{3, 0xb8, false}));
    size_t size = 0;
    for (bool last = false; !last; chunk = arena.meta(chunk).next) {
        size += arena.meta(chunk).len;
        last = arena.meta(chunk).flags == end_of_datagram;
    }
    EXPECT_EQ(size, 9000u);
    EXPECT_EQ(arena.meta(chunk).len, 0u) << "the empty datagram has a chunk of its own";
    EXPECT_EQ(arena.meta(chunk).flags, end_of_datagram);
}

TEST_F(UdpEngineTest, ethernet_padding_is_not_sent) {
    auto frame = v4.udp(4000, 53, pattern(3));
    frame.resize(60);
    const FlowId id = open(frame);
    EXPECT_EQ(arena.meta(engine.find(id)->to_sock.front()).len, 3);
}

TEST_F(UdpEngineTest, invalid_datagrams_are_counted_drops) {
    Counters& c = context.counters;
    inject(v4.ip(wire::protocol_udp, pattern(7)));
    EXPECT_EQ(c.drop_truncated.value(), 1u);
    auto lying = v4.udp(4000, 53, pattern(4));
    wire::store_be16(&lying[14 + 20 + 4], 13);
    inject(lying);
    EXPECT_EQ(c.drop_bad_length.value(), 1u);
    inject(v4.udp(4000, 0, pattern(4)));
    inject(v4.udp(0, 53, pattern(4)));
    EXPECT_EQ(c.drop_bad_header.value(), 2u);
    v4.dst = wire::IpAddress::v4(255, 255, 255, 255);
    inject(v4.udp(4000, 53, pattern(4)));
    v4.dst = wire::IpAddress::v4(239, 1, 2, 3);
    inject(v4.udp(4000, 53, pattern(4)));
    v4.dst = wire::IpAddress::v4(127, 0, 0, 1);
    inject(v4.udp(4000, 53, pattern(4)));
    EXPECT_EQ(c.drop_address.value(), 3u);
    EXPECT_EQ(engine.flows(), 0u);
    EXPECT_THAT(take_ops(), IsEmpty());
}

TEST_F(UdpEngineTest, reply_carries_the_address_that_the_guest_used) {
    v4.dst = gateway4;  // mapped to the host's loopback
    const FlowId id = open(v4.udp(4000, 7, pattern(1)));
    EXPECT_EQ(engine.find(id)->target.address, wire::IpAddress::v4(127, 0, 0, 1));
    from_host(id, 100, {17, 0x02});
    const auto frame = sent();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->ethernet.src, port()->config.our_mac);
    EXPECT_EQ(frame->ethernet.dst, v4.src_mac);
    EXPECT_EQ(frame->ip.src, gateway4);
    EXPECT_EQ(frame->ip.dst, guest4);
    EXPECT_EQ(frame->ip.hop_limit, 17);
    EXPECT_EQ(frame->ip.traffic_class, 0x02);
    EXPECT_TRUE(frame->checksum_offloaded);
    EXPECT_TRUE(frame->upper_checksum_ok());
    const auto udp = wire::UdpHeader::parse(frame->upper(), frame->upper().size());
    ASSERT_TRUE(udp);
    EXPECT_EQ(udp->src_port, 7);
    EXPECT_EQ(udp->dst_port, 4000);
    EXPECT_EQ(udp->length, 108);
    EXPECT_THAT(frame->upper().subspan(8), ElementsAreArray(pattern(100)));
}

TEST_F(UdpEngineTest, replies_of_every_size_have_right_checksums) {
    const FlowId id4 = open(v4.udp(4000, 53, {}));
    const FlowId id6 = open(v6.udp(4000, 53, {}));
    for (const size_t size : {0, 1, 3967, 3968, 3969, 8040, 65000}) {
        for (const FlowId id : {id4, id6}) {
            from_host(id, size);
            const auto frame = sent();
            ASSERT_TRUE(frame) << size;
            EXPECT_TRUE(frame->upper_checksum_ok()) << size;
            EXPECT_THAT(frame->upper().subspan(8), ElementsAreArray(pattern(size)));
        }
    }
}

TEST_F(UdpEngineTest, reply_larger_than_the_mtu_goes_out_in_fragments_v4) {
    port()->config.mtu = 1500;
    const FlowId id = open(v4.udp(4000, 53, {}));
    from_host(id, 65507);
    std::vector<uint8_t> datagram(8 + 65507);
    size_t received = 0;
    uint16_t identification = 0;
    const auto frames = all_sent();
    for (size_t i = 0; i < frames.size(); ++i) {
        const auto ip = wire::Ipv4Header::parse(wire::Bytes{frames[i].bytes}.subspan(14), 1500);
        ASSERT_TRUE(ip);
        EXPECT_LE(ip->total_length, 1500);
        EXPECT_FALSE(ip->dont_fragment);
        EXPECT_EQ(ip->more_fragments, i + 1 < frames.size());
        if (i == 0) identification = ip->id;
        EXPECT_EQ(ip->id, identification);
        EXPECT_EQ(ip->src, peer4);
        const auto part = frames[i].upper();
        ASSERT_LE(ip->fragment_offset + part.size(), datagram.size());
        std::copy(part.begin(), part.end(), datagram.begin() + ip->fragment_offset);
        received += part.size();
    }
    EXPECT_EQ(received, datagram.size());
    EXPECT_THAT(wire::Bytes{datagram}.subspan(8), ElementsAreArray(pattern(65507)));
    const uint32_t pseudo = wire::pseudo_header_sum(peer4, guest4, wire::protocol_udp,
                                                    static_cast<uint32_t>(datagram.size()));
    EXPECT_EQ(wire::checksum_finish(wire::checksum_add(datagram, pseudo)), 0);
}

TEST_F(UdpEngineTest, reply_larger_than_the_mtu_goes_out_in_fragments_v6) {
    port()->config.mtu = 1280;
    const FlowId id = open(v6.udp(4000, 53, {}));
    from_host(id, 4000);
    std::vector<uint8_t> datagram(8 + 4000);
    size_t received = 0;
    const auto frames = all_sent();
    ASSERT_EQ(frames.size(), 4u);
    for (size_t i = 0; i < frames.size(); ++i) {
        const wire::Bytes ip = wire::Bytes{frames[i].bytes}.subspan(14);
        const auto header = wire::Ipv6Header::parse(ip, ip.size());
        ASSERT_TRUE(header);
        EXPECT_LE(ip.size(), 1280u);
        ASSERT_EQ(header->next_header, wire::protocol_fragment);
        EXPECT_EQ(ip[40], wire::protocol_udp);
        const uint16_t field = wire::load_be16(&ip[42]);
        EXPECT_EQ((field & 1) != 0, i + 1 < frames.size());
        const auto part = ip.subspan(48);
        std::copy(part.begin(), part.end(), datagram.begin() + (field & ~7));
        received += part.size();
    }
    EXPECT_EQ(received, datagram.size());
    const uint32_t pseudo = wire::pseudo_header_sum(peer6, guest6, wire::protocol_udp,
                                                    static_cast<uint32_t>(datagram.size()));
    EXPECT_EQ(wire::checksum_finish(wire::checksum_add(datagram, pseudo)), 0);
}

}  // namespace
}  // namespace pasta::core
