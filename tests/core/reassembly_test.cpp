#include "dataplane/core/reassembly.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <random>

#include "tests/support/core_fixture.hpp"
#include "tests/support/fragments.hpp"
#include "tests/support/guest_packets.hpp"

namespace pasta::core {
namespace {

using test::Cut;
using test::Cutter;
using test::pattern;

class ReassemblyTest : public test::CoreFixture {
  protected:
    static constexpr size_t max_chunks = 512;

    void TearDown() override {
        for (const PortId id : {0, 1})
            reassembly.close_port(id);
        EXPECT_EQ(reassembly.packets(), 0u);
        CoreFixture::TearDown();
    }

    Cutter packet4(size_t data, uint32_t id = 7) {
        test::GuestPackets guest{.src = guest4, .dst = peer4};
        return {.whole = guest.ip(wire::protocol_udp, pattern(data)), .id = id};
    }
    Cutter packet6(size_t data, uint32_t id = 7) {
        test::GuestPackets guest{.src = guest6, .dst = peer6};
        return {.whole = guest.ip(wire::protocol_udp, pattern(data)), .id = id};
    }
    std::optional<std::vector<uint8_t>> add_chain(Chain chain, PortId port = 0) {
        const wire::Bytes first = arena.bytes(chain.head);
        const auto ethernet = wire::EthernetHeader::parse(first);
        const auto ip = wire::parse_ip(ethernet->ethertype, first.subspan(14), chain.bytes - 14);
        EXPECT_TRUE(ip && ip->fragment) << "the test's own fragment is malformed";
        const auto whole = reassembly.add(port, *ip, chain);
        if (!whole) return std::nullopt;
        EXPECT_TRUE(is_reassembled(arena, *whole));
        std::vector<uint8_t> bytes(whole->bytes);
        EXPECT_EQ(copy_out(arena, *whole, bytes), bytes.size());
        Chain frame = *whole;
        uint32_t count = 0;
        for (ChunkId id = frame.head; id != no_chunk; id = arena.meta(id).next, ++count)
            EXPECT_TRUE(id == frame.head || arena.meta(id).flags == 0) << "flags left behind";
        EXPECT_EQ(count, frame.count);
        cache.unref(frame);
        return bytes;
    }
    std::optional<std::vector<uint8_t>> add(const std::vector<uint8_t>& frame, PortId port = 0) {
        return add_chain(receive_chain(frame), port);
    }
    /// Adds all; every one but the last must leave the packet incomplete.
    std::optional<std::vector<uint8_t>> add_all(const Cutter& cutter, std::vector<Cut> cuts) {
        for (size_t i = 0; i + 1 < cuts.size(); ++i)
            EXPECT_FALSE(add(cutter.fragment(cuts[i]))) << "complete after " << i << " fragments";
        return add(cutter.fragment(cuts.back()));
    }
    /// Whether the cuts, in this order, are taken for a packet that cannot be put together, once.
    void expect_impossible(const Cutter& cutter, const std::vector<Cut>& cuts) {
        const uint64_t failed = context.counters.reassembly_failed.value();
        for (const Cut& cut : cuts)
            EXPECT_FALSE(add(cutter.fragment(cut)));
        EXPECT_EQ(context.counters.reassembly_failed.value(), failed + 1);
        EXPECT_EQ(reassembly.chunks(), 0u) << "its fragments are still kept";
        for (const Cut& cut : cutter.pieces(16))
            EXPECT_FALSE(add(cutter.fragment(cut))) << "what comes later must not make a packet";
        EXPECT_EQ(context.counters.reassembly_failed.value(), failed + 1);
    }

    Reassembly reassembly{context, max_chunks};
    Counters& counters = context.counters;
};

TEST_F(ReassemblyTest, fragments_in_order_become_the_whole_frame) {
    for (const Cutter& cutter : {packet4(4008), packet6(4008)}) {
        const auto whole = add_all(cutter, cutter.pieces(1480));
        ASSERT_TRUE(whole);
        EXPECT_EQ(*whole, cutter.expected());
    }
    EXPECT_EQ(counters.fragments_kept.value(), 6u);
    EXPECT_EQ(counters.packets_reassembled.value(), 2u);
    EXPECT_EQ(reassembly.packets(), 0u);
    EXPECT_EQ(reassembly.next_deadline(), never);
}

TEST_F(ReassemblyTest, last_fragment_first) {
    for (const Cutter& cutter : {packet4(4008), packet6(4008)}) {
        auto cuts = cutter.pieces(1480);
        std::reverse(cuts.begin(), cuts.end());
        const auto whole = add_all(cutter, cuts);
        ASSERT_TRUE(whole);
        EXPECT_EQ(*whole, cutter.expected());
    }
}

TEST_F(ReassemblyTest, every_size_up_to_three_fragments) {
    for (size_t size = 9; size <= 24 * 8; ++size) {
        for (const Cutter& cutter : {packet4(size), packet6(size)}) {
            const auto whole = add_all(cutter, cutter.pieces((size + 23) / 24 * 8));
            ASSERT_TRUE(whole) << size;
            ASSERT_EQ(*whole, cutter.expected()) << size;
        }
    }
}

TEST_F(ReassemblyTest, largest_packets_of_either_version) {
    const Cutter largest4 = packet4(65515), largest6 = packet6(65535);
    for (const Cutter& cutter : {largest4, largest6}) {
        for (const size_t piece : {1224, 1480, 8936, 32768}) {
            const auto whole = add_all(cutter, cutter.pieces(piece));
            ASSERT_TRUE(whole) << piece;
            EXPECT_EQ(*whole, cutter.expected()) << piece;
        }
    }
}

TEST_F(ReassemblyTest, any_order_with_duplicates) {
    const char* given = std::getenv("PASTA_SEED");
    const auto seed = given != nullptr ? static_cast<uint32_t>(std::strtoul(given, nullptr, 0))
                                       : std::random_device{}();
    SCOPED_TRACE("PASTA_SEED=" + std::to_string(seed));
    std::mt19937 random(seed);
    const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    for (int round = 0; round < 400; ++round) {
        // Several packets at once, each in pieces of random sizes.
        std::vector<Cutter> cutters;
        std::vector<std::pair<size_t, Cut>> fragments;
        std::vector<size_t> missing;
        for (size_t i = 0; i < 3; ++i) {
            const size_t size = 9 + below(round % 8 == 0 ? 30000 : 3000);
            const auto id = static_cast<uint32_t>(below(2) << 15 | i);
            cutters.push_back(below(2) == 0 ? packet4(size, id) : packet6(size, id));
            missing.push_back(0);
            for (size_t at = 0; at < size; ++missing[i]) {
                const size_t length = std::min(8 + below(size / 6) / 8 * 8, size - at);
                if (at == 0 && length == size) continue;
                fragments.push_back({i, {at, length, at + length < size}});
                at += length;
            }
        }
        std::shuffle(fragments.begin(), fragments.end(), random);
        for (size_t n = 0; n < fragments.size(); ++n) {
            const auto& [i, cut] = fragments[n];
            const auto whole = add(cutters[i].fragment(cut));
            ASSERT_EQ(whole.has_value(), --missing[i] == 0);
            if (whole) {
                ASSERT_EQ(*whole, cutters[i].expected());
                continue;
            }
            const auto& [again, old] = fragments[below(n + 1)];
            if (missing[again] != 0) {
                ASSERT_FALSE(add(cutters[again].fragment(old)));
            }
        }
        ASSERT_EQ(reassembly.packets(), 0u);
    }
    EXPECT_EQ(counters.packets_reassembled.value(), 1200u);
    EXPECT_EQ(counters.reassembly_failed.value(), 0u);
}

TEST_F(ReassemblyTest, ethernet_padding_is_cut_off) {
    const Cutter cutter = packet4(20);
    auto first = cutter.fragment({0, 16, true}), last = cutter.fragment({16, 4, false});
    first.resize(60, 0xee);
    last.resize(60, 0xee);
    EXPECT_FALSE(add(last));
    const auto whole = add(first);
    ASSERT_TRUE(whole);
    EXPECT_EQ(*whole, cutter.expected());
}

TEST_F(ReassemblyTest, headers_in_a_chunk_of_their_own) {
    for (const Cutter& cutter : {packet4(40), packet6(40)}) {
        for (const bool first_comes_first : {true, false}) {
            const auto first = cutter.fragment({0, 24, true});
            const size_t headers = first.size() - 24;
            const auto split = [&] {
                Chain chain = receive_chain(wire::Bytes{first}.first(headers));
                Chain data = receive_chain(wire::Bytes{first}.subspan(headers));
                chain.append(arena, data);
                return chain;
            };
            const auto last = cutter.fragment({24, 16, false});
            EXPECT_FALSE(first_comes_first ? add_chain(split()) : add(last));
            EXPECT_FALSE(first_comes_first ? add_chain(split()) : add(last)) << "a duplicate";
            const auto whole = first_comes_first ? add(last) : add_chain(split());
            ASSERT_TRUE(whole);
            EXPECT_EQ(*whole, cutter.expected());
        }
    }
}

TEST_F(ReassemblyTest, v6_extension_headers_on_both_sides_of_the_cut) {
    test::GuestPackets guest{.src = guest6, .dst = peer6};
    // Hop-by-hop options stay in front of each fragment; destination options are cut like data.
    std::vector<uint8_t> upper{60, 0, 1, 4, 0, 0, 0, 0, wire::protocol_udp, 0, 1, 4, 0, 0, 0, 0};
    const auto data = pattern(100);
    upper.insert(upper.end(), data.begin(), data.end());
    const Cutter cutter{
        .whole = guest.ip(wire::protocol_hop_by_hop, upper), .extension = 8, .announced_at = 40};
    ASSERT_EQ(cutter.data_length(), 108u);
    auto cuts = cutter.pieces(32);
    for (int turn = 0; turn < 2; ++turn) {
        const auto whole = add_all(cutter, cuts);
        ASSERT_TRUE(whole);
        EXPECT_EQ(*whole, cutter.expected());
        std::reverse(cuts.begin(), cuts.end());
    }
}

TEST_F(ReassemblyTest, exact_duplicates_are_ignored) {
    for (const Cutter& cutter : {packet4(100), packet6(100)}) {
        const Cut first{0, 48, true}, middle{48, 16, true}, last{64, 36, false};
        EXPECT_FALSE(add_all(cutter, {last, last, middle, last, middle}));
        const auto whole = add(cutter.fragment(first));
        ASSERT_TRUE(whole);
        EXPECT_EQ(*whole, cutter.expected());
    }
    EXPECT_EQ(counters.drop_fragment.value(), 6u);
    EXPECT_EQ(counters.reassembly_failed.value(), 0u);
}

TEST_F(ReassemblyTest, any_overlap_gives_the_packet_up) {
    uint32_t id = 0;
    for (size_t start = 0; start <= 88; start += 8) {
        for (size_t end = start + 8; end <= 96; end += 8) {
            const bool overlaps = start < 64 && end > 32;
            if (!overlaps || (start == 32 && end == 64)) continue;
            SCOPED_TRACE(std::to_string(start) + ".." + std::to_string(end));
            expect_impossible(packet4(200, ++id), {{32, 32, true}, {start, end - start, true}});
            expect_impossible(packet6(200, id), {{32, 32, true}, {start, end - start, true}});
        }
    }
}

TEST_F(ReassemblyTest, an_end_that_contradicts_gives_the_packet_up) {
    uint32_t id = 0;
    for (const bool v4 : {true, false}) {
        const auto next = [&] { return v4 ? packet4(200, ++id) : packet6(200, ++id); };
        expect_impossible(next(), {{64, 8, false}, {128, 8, false}});
        expect_impossible(next(), {{128, 8, false}, {64, 8, false}});
        expect_impossible(next(), {{64, 8, false}, {64, 4, false}});
        expect_impossible(next(), {{64, 8, false}, {72, 8, true}});
        expect_impossible(next(), {{72, 8, true}, {64, 8, false}});
        expect_impossible(next(), {{64, 8, false}, {64, 8, true}});
        expect_impossible(next(), {{64, 8, true}, {64, 8, false}});
        expect_impossible(next(), {{64, 8, false}, {56, 8, true}, {200, 8, true}});
    }
}

TEST_F(ReassemblyTest, unusable_fragments_are_dropped_and_the_packet_lives) {
    for (const Cutter& cutter : {packet4(100), packet6(100)}) {
        const uint64_t before = counters.drop_fragment.value();
        EXPECT_FALSE(add(cutter.fragment({0, 48, true})));
        const std::vector<Cut> unusable{
            {48, 0, true},    {48, 0, false},    {48, 15, true},      {48, 1, true},
            {65528, 8, true}, {65528, 8, false}, {65528, 100, false}, {60000, 6000, true},
        };
        for (const Cut& cut : unusable)
            EXPECT_FALSE(add(cutter.fragment(cut)));
        EXPECT_EQ(counters.drop_fragment.value(), before + unusable.size());
        const auto whole = add(cutter.fragment({48, 52, false}));
        ASSERT_TRUE(whole);
        EXPECT_EQ(*whole, cutter.expected());
    }
}

TEST_F(ReassemblyTest, packet_that_its_headers_make_too_long_is_given_up) {
    // 65535 bytes of data, and an IPv4 header; or an IPv6 extension header.
    test::GuestPackets guest{.src = guest6, .dst = peer6};
    std::vector<uint8_t> upper{wire::protocol_udp, 0, 1, 4, 0, 0, 0, 0};
    upper.resize(100);
    const Cutter v6{.whole = guest.ip(wire::protocol_destination_options, upper),
                    .extension = 8,
                    .announced_at = 40};
    for (const Cutter& cutter : {packet4(100), v6}) {
        for (size_t at = 0; at < 65528; at += 8192)
            EXPECT_FALSE(add(cutter.fragment({at, std::min<size_t>(8192, 65528 - at), true})));
        EXPECT_FALSE(add(cutter.fragment({65528, 7, false})));
        EXPECT_EQ(reassembly.packets(), 0u);
    }
    EXPECT_EQ(counters.reassembly_failed.value(), 2u);
    EXPECT_EQ(counters.packets_reassembled.value(), 0u);
}

TEST_F(ReassemblyTest, fragments_of_different_packets_do_not_mix) {
    test::GuestPackets guest{.src = guest4, .dst = peer4};
    const auto data = pattern(100);
    const Cutter base{.whole = guest.ip(wire::protocol_udp, data)};
    Cutter other_id = base;
    other_id.id = 8;
    const Cutter other_protocol{.whole = guest.ip(wire::protocol_tcp, data)};
    guest.src = gateway4;
    const Cutter other_src{.whole = guest.ip(wire::protocol_udp, data)};
    guest = {.src = guest4, .dst = gateway4};
    const Cutter other_dst{.whole = guest.ip(wire::protocol_udp, data)};
    const Cut first{0, 48, true}, last{48, 52, false};
    EXPECT_FALSE(add(base.fragment(first)));
    for (const Cutter& other : {other_id, other_protocol, other_src, other_dst, packet6(100)})
        EXPECT_FALSE(add(other.fragment(last)));
    EXPECT_FALSE(add(base.fragment(last), 1)) << "another namespace";
    EXPECT_EQ(reassembly.packets(), 7u);
    const auto whole = add(base.fragment(last));
    ASSERT_TRUE(whole);
    EXPECT_EQ(*whole, base.expected());
}

TEST_F(ReassemblyTest, packet_in_too_many_chunks_is_given_up) {
    const Cutter cutter = packet4(8 * 400);
    size_t most = 0;
    for (const Cut& cut : cutter.pieces(8)) {
        EXPECT_FALSE(add(cutter.fragment(cut)));
        most = std::max(most, reassembly.chunks());
    }
    EXPECT_EQ(most, Reassembly::max_packet_chunks);
    EXPECT_EQ(reassembly.chunks(), 0u);
    EXPECT_EQ(counters.reassembly_failed.value(), 1u);
}

TEST_F(ReassemblyTest, packets_never_completed_are_bounded_and_the_oldest_go) {
    for (uint32_t id = 0; id < 5000; ++id) {
        EXPECT_FALSE(add(packet4(100, id).fragment({0, 48, true})));
        ASSERT_LE(reassembly.packets(), Reassembly::max_packets);
    }
    EXPECT_EQ(counters.reassembly_failed.value(), 5000 - Reassembly::max_packets);
    const uint32_t oldest_kept = 5000 - Reassembly::max_packets;
    EXPECT_TRUE(add(packet4(100, oldest_kept).fragment({48, 52, false})));
    EXPECT_FALSE(add(packet4(100, oldest_kept - 1).fragment({48, 52, false})));
}

TEST_F(ReassemblyTest, a_namespace_that_completes_nothing_does_not_harm_another) {
    EXPECT_FALSE(add(packet6(100).fragment({0, 48, true}), 1));
    for (uint32_t id = 0; id < 1000; ++id)
        EXPECT_FALSE(add(packet4(100, id).fragment({0, 48, true}), 0));
    EXPECT_TRUE(add(packet6(100).fragment({48, 52, false}), 1));
    // And one that comes when everything is taken finds room.
    for (uint32_t id = 0; id < 1000; ++id)
        EXPECT_FALSE(add(packet4(100, id).fragment({0, 48, true}), 0));
    EXPECT_FALSE(add(packet4(100).fragment({0, 48, true}), 1));
    EXPECT_TRUE(add(packet4(100).fragment({48, 52, false}), 1));
}

TEST_F(ReassemblyTest, chunks_are_bounded) {
    for (uint32_t id = 0; id < 20; ++id) {
        const Cutter cutter = packet4(8 * 100, id);
        for (size_t at = 0; at < 8 * 99; at += 8)
            EXPECT_FALSE(add(cutter.fragment({at, 8, true})));
        ASSERT_LE(reassembly.chunks(), max_chunks);
    }
    EXPECT_EQ(reassembly.packets(), 5u);
}

TEST_F(ReassemblyTest, short_memory_lowers_the_bound) {
    for (uint32_t id = 0; id < 4; ++id) {
        const Cutter cutter = packet4(8 * 100, id);
        for (size_t at = 0; at < 8 * 99; at += 8)
            EXPECT_FALSE(add(cutter.fragment({at, 8, true})));
    }
    EXPECT_EQ(reassembly.chunks(), 396u);
    context.limits.hold_bytes = MemoryLimits::max_hold / 4;
    reassembly.run_timers();
    EXPECT_EQ(reassembly.chunks(), 99u);
    context.limits.hold_bytes = MemoryLimits::max_hold / 64;
    reassembly.run_timers();
    EXPECT_EQ(reassembly.chunks(), 0u);
    const Cutter small = packet4(8 * 8), large = packet4(8 * 9, 8);
    EXPECT_TRUE(add_all(small, small.pieces(8)));
    EXPECT_FALSE(add_all(large, large.pieces(8))) << "more chunks than all packets may have";
}

TEST_F(ReassemblyTest, incomplete_packets_time_out) {
    context.now = 5 * second;
    EXPECT_FALSE(add(packet6(100).fragment({0, 48, true})));
    context.now = 6 * second;
    EXPECT_FALSE(add(packet4(100).fragment({0, 48, true})));
    EXPECT_EQ(reassembly.next_deadline(), 36 * second);
    context.now = 36 * second - 1;
    EXPECT_FALSE(add(packet4(100).fragment({0, 48, true}))) << "does not prolong its life";
    reassembly.run_timers();
    EXPECT_EQ(reassembly.packets(), 2u);
    context.now = 36 * second;
    reassembly.run_timers();
    EXPECT_EQ(reassembly.packets(), 1u);
    EXPECT_EQ(reassembly.next_deadline(), 65 * second);
    context.now = 65 * second;
    reassembly.run_timers();
    EXPECT_EQ(reassembly.packets(), 0u);
    EXPECT_EQ(reassembly.next_deadline(), never);
    EXPECT_EQ(counters.reassembly_failed.value(), 2u);
}

TEST_F(ReassemblyTest, identification_is_free_again_after_the_timeout) {
    const Cutter cutter = packet4(200);
    expect_impossible(cutter, {{0, 48, true}, {40, 48, true}});
    context.now += Reassembly::timeout4;
    reassembly.run_timers();
    EXPECT_EQ(reassembly.packets(), 0u);
    EXPECT_EQ(counters.reassembly_failed.value(), 1u) << "counted twice";
    EXPECT_TRUE(add_all(cutter, cutter.pieces(48)));
}

TEST_F(ReassemblyTest, closing_a_port_drops_its_fragments_only) {
    EXPECT_FALSE(add(packet4(100).fragment({0, 48, true}), 0));
    EXPECT_FALSE(add(packet4(100).fragment({0, 48, true}), 1));
    EXPECT_FALSE(add(packet6(100).fragment({0, 48, true}), 0));
    reassembly.close_port(0);
    EXPECT_EQ(reassembly.packets(), 1u);
    EXPECT_EQ(reassembly.chunks(), 1u);
    EXPECT_TRUE(add(packet4(100).fragment({48, 52, false}), 1));
}

}  // namespace
}  // namespace pasta::core
