// XskPort on a real veth pair: receiving, fill level, conservation of chunks.
#include <gmock/gmock.h>

#include "tests/io/veth_lab.hpp"

namespace pasta::testing {
namespace {

TEST(XskPortReceive, FramesOfEveryLengthArriveUnchanged) {
    Lab lab;
    const auto guest = lab.guest("p-rx");
    const auto port = lab.port(*guest);
    uint32_t seed = 0;
    for (const size_t length :
         {60, 61, 1514, 3839, 3840, 3841, 4096, 7680, 7681, 16384, 65533, 65534}) {
        const Frame sent = guest->frame(length, ++seed);
        guest->send(sent);
        const auto received = lab.receive(*port, 1);
        ASSERT_EQ(received.size(), 1U) << length;
        ASSERT_EQ(received[0], sent) << length;
    }
    EXPECT_EQ(lab.accounted({port.get()}), lab.umem->size());
}

TEST(XskPortReceive, LargestFrameComesInEighteenChunks) {
    Lab lab;
    const auto guest = lab.guest("p-rx");
    const auto port = lab.port(*guest);
    guest->send(guest->frame(65534, 1));
    ASSERT_TRUE(wait_readable(port->wait_fd()));
    std::vector<core::Chain> chains(8);
    size_t frames = 0;
    core::Chain largest;
    while (largest.bytes != 65534 && (frames = port->receive(chains)) != 0)
        for (size_t i = 0; i < frames; ++i) {
            if (chains[i].bytes == 65534)
                largest = chains[i];
            else
                lab.cache.unref(chains[i]);
        }
    EXPECT_EQ(largest.count, 18U);
    lab.cache.unref(largest);
}

TEST(XskPortReceive, FramesLeftInTheRingComeWithTheNextCall) {
    Lab lab;
    const auto guest = lab.guest("p-rx");
    const auto port = lab.port(*guest);
    std::vector<Frame> sent;
    for (uint32_t i = 0; i < 3; ++i) {  // 54 chunks: within the idle fill level
        sent.push_back(guest->frame(65534, i));
        guest->send(sent.back());
    }
    EXPECT_EQ(lab.receive(*port, 3, 1), sent);
}

TEST(XskPortReceive, FillLevelIsSmallWhenIdleAndGrowsWithTraffic) {
    Lab lab;
    const auto guest = lab.guest("p-rx");
    const auto port = lab.port(*guest, 0, {.idle_fill = 64, .max_fill = 512});
    EXPECT_EQ(port->chunks_in_rings(), 64U);
    for (uint32_t burst = 0; burst < 40; ++burst) {
        const uint32_t frames = port->chunks_in_rings() / 18;
        for (uint32_t i = 0; i < frames; ++i)
            guest->send(guest->frame(65534, i));
        ASSERT_EQ(lab.receive(*port, frames).size(), frames);
    }
    EXPECT_EQ(port->chunks_in_rings(), 512U);
    EXPECT_EQ(port->statistics().kernel_rx_dropped, 0U);
    EXPECT_EQ(lab.accounted({port.get()}), lab.umem->size());
}

TEST(XskPortReceive, FillLevelFallsAgainWithSparseTraffic) {
    Lab lab;
    const auto guest = lab.guest("p-rx");
    const auto port = lab.port(*guest, 0, {.idle_fill = 64, .max_fill = 256, .shrink_after = 1024});
    while (port->chunks_in_rings() < 128) {
        for (uint32_t i = 0; i < 3; ++i)
            guest->send(guest->frame(65534, i));
        ASSERT_EQ(lab.receive(*port, 3).size(), 3U);
    }
    for (uint32_t i = 0; i < 5000 && port->chunks_in_rings() > 64; ++i) {
        guest->send(guest->frame(60, i));
        ASSERT_EQ(lab.receive(*port, 1).size(), 1U);
    }
    EXPECT_EQ(port->chunks_in_rings(), 64U);
}

TEST(XskPortReceive, StarvedPortCountsAndRecovers) {
    Lab lab(64 * core::chunk_size);
    const auto guest = lab.guest("p-rx");
    const auto port = lab.port(*guest, 0, {.idle_fill = 32, .max_fill = 64});
    std::vector<core::ChunkId> hoard;
    for (core::ChunkId id = lab.cache.alloc(); id != core::no_chunk; id = lab.cache.alloc())
        hoard.push_back(id);
    std::vector<core::Chain> chains(1), held;
    while (held.size() < 32) {
        guest->send(guest->frame(60, 7));
        ASSERT_TRUE(wait_readable(port->wait_fd()));
        if (port->receive(chains) == 1) held.push_back(chains[0]);
    }
    EXPECT_GT(port->statistics().fill_starved, 0U);
    EXPECT_EQ(port->chunks_in_rings(), 0U);
    EXPECT_TRUE(port->starved());
    guest->send(guest->frame(60, 8));  // nowhere to go
    for (core::Chain& chain : held)
        lab.cache.unref(chain);
    for (const core::ChunkId id : hoard)
        lab.cache.unref(id);
    EXPECT_EQ(port->receive(chains), 0U);
    EXPECT_FALSE(port->starved());
    guest->send(guest->frame(60, 9));
    EXPECT_THAT(lab.receive(*port, 1), ::testing::ElementsAre(guest->frame(60, 9)));
}

TEST(XskPortReceive, BothQueuesOfALinkReceiveAndLoseNothing) {
    Lab lab;
    const auto guest = lab.guest("p-rx", 2);
    const auto first = lab.port(*guest, 0), second = lab.port(*guest, 1);
    constexpr int flows = 64;
    for (uint16_t flow = 0; flow < flows; ++flow) {
        Frame frame = guest->frame(100, flow);
        wire::store_be16(&frame[12], wire::ethertype_ipv4);  // so that it is hashed by its ports
        wire::Ipv4Header ip;
        ip.src = guest_address;
        ip.dst = world_address;
        ip.protocol = IPPROTO_UDP;
        ip.total_length = 86;
        ip.emit(std::span{frame}.subspan(14));
        wire::UdpHeader{static_cast<uint16_t>(1000 + flow), 53, 66, 0}.emit(
            std::span{frame}.subspan(34));
        guest->send(frame);
    }
    size_t counts[2] = {0, 0};
    std::vector<core::Chain> chains(8);
    while (counts[0] + counts[1] < flows) {
        pollfd waiting[2] = {{first->wait_fd(), POLLIN, 0}, {second->wait_fd(), POLLIN, 0}};
        ASSERT_GT(poll(waiting, 2, patience_ms), 0) << counts[0] << " and " << counts[1];
        for (int queue = 0; queue < 2; ++queue) {
            const size_t got = (queue == 0 ? *first : *second).receive(chains);
            for (size_t i = 0; i < got; ++i)
                counts[queue] += lab.consume(chains[i]).size() == 100;
        }
    }
    EXPECT_GT(counts[0], 0U);
    EXPECT_GT(counts[1], 0U);
    EXPECT_EQ(lab.accounted({first.get(), second.get()}), lab.umem->size());
}

TEST(XskPortReceive, TwoLinksShareOneUmem) {
    Lab lab;
    const auto a = lab.guest("p-a"), b = lab.guest("p-b");
    const auto port_a = lab.port(*a), port_b = lab.port(*b);
    for (uint32_t i = 0; i < 20; ++i) {
        const Frame to_a = a->frame(20000, i), to_b = b->frame(30000, i);
        a->send(to_a);
        b->send(to_b);
        EXPECT_THAT(lab.receive(*port_b, 1), ::testing::ElementsAre(to_b));
        EXPECT_THAT(lab.receive(*port_a, 1), ::testing::ElementsAre(to_a));
    }
    EXPECT_EQ(lab.accounted({port_a.get(), port_b.get()}), lab.umem->size());
}

TEST(XskPortReceive, ClosingAPortGivesBackUnreadFrames) {
    Lab lab;
    const auto guest = lab.guest("p-rx");
    auto port = lab.port(*guest);
    guest->send(guest->frame(65534, 1));
    guest->send(guest->frame(65534, 2));
    ASSERT_EQ(lab.receive(*port, 1, 1).size(), 1U);
    port.reset();
    EXPECT_EQ(lab.accounted(), lab.umem->size());
}

TEST(XskPortReceive, PortOutlivesItsLink) {
    Lab lab;
    auto guest = lab.guest("p-rx");
    auto port = lab.port(*guest);
    guest.reset();
    std::vector<core::Chain> chains(8);
    while (const size_t got = port->receive(chains))
        for (size_t i = 0; i < got; ++i)
            lab.cache.unref(chains[i]);
    EXPECT_EQ(lab.accounted({port.get()}), lab.umem->size());
    port.reset();
    EXPECT_EQ(lab.accounted(), lab.umem->size());
}

TEST(XskPortReceive, RingSizesThatAreNoPowersOfTwoAreRefused) {
    Lab lab;
    const auto guest = lab.guest("p-rx");
    EXPECT_THROW(lab.port(*guest, 0, {.rx_ring = 1000}), std::invalid_argument);
    EXPECT_THROW(lab.port(*guest, 0, {.idle_fill = 100, .max_fill = 64}), std::invalid_argument);
}

}  // namespace
}  // namespace pasta::testing
