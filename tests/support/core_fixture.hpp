// A shard's context in plain memory, for tests of the core without any kernel.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "dataplane/core/context.hpp"
#include "dataplane/core/frame_builder.hpp"
#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/ip.hpp"
#include "tests/support/chunk_memory.hpp"

namespace pasta::test {

/// A frame that the core queued, read back.
struct SentFrame {
    ByteVector bytes;  ///< with the checksum completed as the device would
    wire::EthernetHeader ethernet;
    wire::IpPacket ip;
    bool checksum_offloaded = false;
    uint16_t slices = 0;

    wire::Bytes upper() const {
        return wire::Bytes{bytes}.subspan(wire::EthernetHeader::size + ip.header_length,
                                          ip.payload_length);
    }
    /// True when the checksum over the upper layer and its pseudo-header comes out right.
    bool upper_checksum_ok() const {
        const bool pseudo = ip.protocol != wire::protocol_icmp;
        const uint32_t start =
            pseudo ? wire::pseudo_header_sum(ip.src, ip.dst, ip.protocol, ip.payload_length) : 0;
        return wire::checksum_finish(wire::checksum_add(upper(), start)) == 0;
    }
};

/// One attached namespace (port 0), virtual time, and a check at the end of each test that every
/// chunk is back. A test that drives an engine holds it as a member or closes its flows itself.
class CoreFixture : public ::testing::Test {
  protected:
    static constexpr size_t chunk_count = 2048;

    static core::PortConfig default_config() {
        core::PortConfig config;
        config.name = "test";
        config.our_mac = {{0x02, 0, 0, 0, 0, 1}};
        config.guest_mac = {{0x02, 0, 0, 0, 0, 2}};
        config.address4 = core::Prefix{guest4, 24};
        config.gateway4 = gateway4;
        config.address6 = core::Prefix{guest6, 64};
        config.host_loopback4 = gateway4;
        config.host_loopback6 = config.our_link_local;
        return config;
    }

    void TearDown() override {
        for (const auto& p : context.ports())
            if (p) context.remove_port(p->config.id);
        cache.flush();
        EXPECT_EQ(source.size(), arena.size()) << "chunks leaked or freed twice";
    }

    /// The frame as the device would hand it over: chunks with the kernel's head room.
    core::Chain receive_chain(wire::Bytes frame) {
        return core::copy_in(cache, frame, core::rx_headroom);
    }
    /// Parses a whole Ethernet frame into the packet that a protocol's on_packet() takes. Fails
    /// the test when it cannot be parsed.
    core::Packet packet(wire::Bytes frame) {
        const auto ethernet = wire::EthernetHeader::parse(frame);
        core::Packet p{.port = *port(),
                       .src_mac = ethernet->src,
                       .link_multicast = ethernet->dst.is_multicast(),
                       .frame = receive_chain(frame)};
        const wire::Bytes first = p.from_ip(arena);
        const auto ip =
            wire::parse_ip(ethernet->ethertype, first, frame.size() - wire::EthernetHeader::size);
        EXPECT_TRUE(ip) << "the test's own frame is malformed";
        p.ip = *ip;
        p.upper_offset = static_cast<uint16_t>(wire::EthernetHeader::size + p.ip.header_length);
        p.upper = first.subspan(p.ip.header_length);
        p.upper = p.upper.first(std::min<size_t>(p.upper.size(), p.ip.payload_length));
        return p;
    }

    core::Port* port(core::PortId id = 0) { return context.port(id); }

    /// Takes the next frame from the port's transmit queue; nothing when there is none.
    std::optional<SentFrame> sent(core::PortId id = 0) {
        core::TxQueue& tx = port(id)->tx;
        if (tx.empty()) return std::nullopt;
        const core::TxFrame frame = tx.front();
        SentFrame out;
        out.slices = frame.slices;
        out.checksum_offloaded = frame.csum_start != 0;
        for (size_t i = 0; i < frame.slices; ++i) {
            const core::Slice& slice = tx.front_slice(i);
            EXPECT_GE(slice.offset, core::tx_metadata_size) << "no room for transmit metadata";
            EXPECT_LE(slice.offset + slice.len, core::chunk_size);
            const auto bytes = arena.bytes(slice);
            out.bytes.insert(out.bytes.end(), bytes.begin(), bytes.end());
        }
        for (size_t i = 0; i < frame.slices; ++i)
            cache.unref(tx.front_slice(i).chunk);
        tx.pop();
        complete_checksum(out, frame);
        parse(out);
        return out;
    }
    /// All of the queue.
    std::vector<SentFrame> all_sent(core::PortId id = 0) {
        std::vector<SentFrame> frames;
        while (auto frame = sent(id))
            frames.push_back(std::move(*frame));
        return frames;
    }
    /// All queued socket operations.
    std::vector<core::SocketOp> take_ops() {
        std::vector<core::SocketOp> ops;
        while (!context.ops.empty())
            ops.push_back(context.ops.pop());
        return ops;
    }
    /// Moves time on and returns the flows whose timers fired.
    std::vector<core::FlowId> advance_to(core::Time now) {
        std::vector<core::FlowId> due;
        context.now = now;
        context.timers.advance(now, due);
        return due;
    }

    static constexpr wire::IpAddress guest4 = wire::IpAddress::v4(198, 51, 100, 10);
    static constexpr wire::IpAddress gateway4 = wire::IpAddress::v4(198, 51, 100, 1);
    static constexpr wire::IpAddress peer4 = wire::IpAddress::v4(203, 0, 113, 7);
    static constexpr wire::IpAddress guest6{
        {0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}};
    static constexpr wire::IpAddress peer6{
        {0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x07}};

    ArenaMemory memory{chunk_count};
    core::ChunkArena arena{memory.bytes()};
    VectorChunkSource source{chunk_count};
    core::ChunkCache cache{arena, source};
    core::Context context{cache, core::Secrets{{1, 2}, {3, 4}, {5, 6}}};
    core::Port& default_port = context.add_port(default_config());

  private:
    static void complete_checksum(SentFrame& out, const core::TxFrame& frame) {
        if (frame.csum_start == 0) return;
        const size_t field = size_t{frame.csum_start} + frame.csum_offset;
        ASSERT_LE(field + 2, out.bytes.size());
        uint16_t sum = wire::checksum_finish(
            wire::checksum_add(wire::Bytes{out.bytes}.subspan(frame.csum_start)));
        if (sum == 0) sum = 0xffff;
        wire::store_be16(&out.bytes[field], sum);
    }
    static void parse(SentFrame& out) {
        const auto ethernet = wire::EthernetHeader::parse(out.bytes);
        ASSERT_TRUE(ethernet);
        out.ethernet = *ethernet;
        if (ethernet->ethertype != wire::ethertype_ipv4 &&
            ethernet->ethertype != wire::ethertype_ipv6)
            return;
        const auto ip = wire::parse_ip(ethernet->ethertype, wire::Bytes{out.bytes}.subspan(14),
                                       out.bytes.size() - 14);
        ASSERT_TRUE(ip) << "queued a malformed IP packet";
        out.ip = *ip;
    }
};

}  // namespace pasta::test
