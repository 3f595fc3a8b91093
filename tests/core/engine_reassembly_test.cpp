// Fragments on their way through the engine, to the flow that their packet belongs to.

#include <gmock/gmock.h>

#include "dataplane/core/engine.hpp"
#include "tests/support/core_fixture.hpp"
#include "tests/support/fragments.hpp"
#include "tests/support/guest_packets.hpp"

namespace pasta::core {
namespace {

using test::Cutter;
using test::pattern;
using testing::ElementsAre;

class EngineReassemblyTest : public test::CoreFixture {
  protected:
    static constexpr uint16_t shards = 2;

    EngineReassemblyTest() {
        const Secrets secrets{{1, 2}, {3, 4}, {5, 6}};
        for (uint16_t i = 0; i < shards; ++i) {
            engines.push_back(std::make_unique<Engine>(
                cache, secrets, Steering{i, shards, secrets.flow_hash, false},
                EngineLimits{256, 256, 256}));
            PortConfig config = default_config();
            config.router_advertisements = false;
            config.first_worker = 1;
            config.workers = shards;
            engines[i]->attach(config);
        }
    }
    void TearDown() override {
        for (const auto& engine : engines)
            engine->detach(0);
        engines.clear();
        CoreFixture::TearDown();
    }

    std::vector<uint8_t> with_udp_checksum(std::vector<uint8_t> frame, size_t headers) {
        const wire::MutableBytes upper = wire::MutableBytes{frame}.subspan(headers);
        const bool v4 = headers == 34;
        const uint32_t pseudo =
            wire::pseudo_header_sum(v4 ? guest4 : guest6, v4 ? peer4 : peer6, wire::protocol_udp,
                                    static_cast<uint32_t>(upper.size()));
        wire::store_be16(&upper[6], wire::udp_checksum_field(
                                        wire::checksum_finish(wire::checksum_add(upper, pseudo))));
        return frame;
    }
    std::vector<uint8_t> datagram4(size_t size, uint16_t port = 53) {
        const test::GuestPackets guest{.src = guest4, .dst = peer4};
        return with_udp_checksum(guest.udp(4000, port, pattern(size)), 34);
    }
    std::vector<uint8_t> datagram6(size_t size, uint16_t port = 53) {
        const test::GuestPackets guest{.src = guest6, .dst = peer6};
        return with_udp_checksum(guest.udp(4000, port, pattern(size)), 54);
    }
    /// Takes a frame to the shards that ask for it, as their mailboxes would; returns them all.
    std::vector<uint16_t> deliver(const std::vector<uint8_t>& bytes, uint16_t shard) {
        Chain frame = receive_chain(bytes);
        std::vector<uint16_t> visited{shard};
        while (const auto next = engines[visited.back()]->on_frame(
                   0, frame, static_cast<unsigned>(visited.size() - 1))) {
            if (visited.size() > 5) {
                ADD_FAILURE() << "goes round in circles";
                cache.unref(frame);
                break;
            }
            visited.push_back(*next);
        }
        return visited;
    }
    /// The flow whose socket is to be opened by a shard; nothing when there is none.
    template <typename Protocol>
    DatagramFlow* opened(uint16_t shard, Protocol& protocol) {
        SocketOps& ops = engines[shard]->context().ops;
        return ops.empty() ? nullptr : protocol.find(ops.pop().flow);
    }
    std::vector<uint8_t> first_payload(const DatagramFlow& flow) {
        std::vector<uint8_t> bytes;
        for (ChunkId id = flow.to_sock.front(); id != no_chunk; id = arena.meta(id).next) {
            const auto piece = arena.bytes(id);
            bytes.insert(bytes.end(), piece.begin(), piece.end());
            if (arena.meta(id).flags == end_of_datagram) break;
        }
        return bytes;
    }
    Counters& counters(uint16_t shard) { return engines[shard]->context().counters; }

    std::vector<std::unique_ptr<Engine>> engines;
};

TEST_F(EngineReassemblyTest, fragments_of_a_datagram_reach_its_flow_from_either_shard) {
    for (uint16_t peer_port = 1; peer_port <= 16; ++peer_port) {
        for (const auto& whole : {datagram4(4000, peer_port), datagram6(4000, peer_port)}) {
            const Cutter cutter{.whole = whole, .id = peer_port};
            const auto cuts = cutter.pieces(1480);
            ASSERT_EQ(cuts.size(), 3u);
            EXPECT_THAT(deliver(cutter.fragment(cuts[1]), 0), ElementsAre(0, 1));
            EXPECT_THAT(deliver(cutter.fragment(cuts[2]), 1), ElementsAre(1));
            const uint16_t owner = deliver(cutter.fragment(cuts[0]), 0).back();
            EXPECT_EQ(deliver(whole, owner), std::vector<uint16_t>{owner})
                << "the whole datagram belongs to another shard";
            DatagramFlow* flow = opened(owner, engines[owner]->udp());
            ASSERT_NE(flow, nullptr);
            EXPECT_EQ(flow->to_sock.datagrams(), 2u);
            EXPECT_EQ(first_payload(*flow), pattern(4000));
            const uint32_t options = arena.meta(flow->to_sock.front()).seq;
            EXPECT_FALSE(DatagramOptions::unpack(options).dont_fragment);
        }
    }
    EXPECT_EQ(counters(1).packets_reassembled.value(), 32u);
    EXPECT_GT(engines[0]->udp().flows(), 0u);
    EXPECT_GT(engines[1]->udp().flows(), 0u);
}

TEST_F(EngineReassemblyTest, datagram_of_mixed_up_fragments_is_dropped) {
    for (auto whole : {datagram4(4000), datagram6(4000)}) {
        whole.back() ^= 1;
        const Cutter cutter{.whole = whole};
        for (const auto& cut : cutter.pieces(1480))
            deliver(cutter.fragment(cut), 1);
    }
    EXPECT_EQ(counters(1).packets_reassembled.value(), 2u);
    EXPECT_EQ(counters(0).drop_bad_checksum.value() + counters(1).drop_bad_checksum.value(), 2u);
    EXPECT_EQ(engines[0]->udp().flows() + engines[1]->udp().flows(), 0u);
}

TEST_F(EngineReassemblyTest, datagram_without_checksum_is_taken) {
    const test::GuestPackets guest{.src = guest4, .dst = peer4};
    const Cutter cutter{.whole = guest.udp(4000, 53, pattern(4000))};
    for (const auto& cut : cutter.pieces(1480))
        deliver(cutter.fragment(cut), 1);
    EXPECT_EQ(engines[0]->udp().flows() + engines[1]->udp().flows(), 1u);
}

TEST_F(EngineReassemblyTest, echo_request_in_fragments_is_an_echo_request) {
    for (const bool v4 : {true, false}) {
        const test::GuestPackets guest{.src = v4 ? guest4 : guest6, .dst = v4 ? peer4 : peer6};
        const Cutter cutter{.whole = guest.echo(9, 1, pattern(8000))};
        uint16_t owner = 0;
        for (const auto& cut : cutter.pieces(1480))
            owner = deliver(cutter.fragment(cut), 0).back();
        DatagramFlow* flow = opened(owner, engines[owner]->echo());
        ASSERT_NE(flow, nullptr);
        const auto message = first_payload(*flow);
        ASSERT_EQ(message.size(), 8008u);
        EXPECT_TRUE(std::equal(message.begin() + 8, message.end(), pattern(8000).begin()));
    }
}

TEST_F(EngineReassemblyTest, neighbour_discovery_in_fragments_is_ignored) {
    test::GuestPackets guest{.src = guest6, .dst = peer6, .hop_limit = 255};
    std::vector<uint8_t> solicitation(24);
    solicitation[0] = wire::icmpv6::neighbor_solicitation;
    const Cutter cutter{.whole = guest.ip(wire::protocol_icmpv6, solicitation)};
    for (const auto& cut : cutter.pieces(8))
        deliver(cutter.fragment(cut), 1);
    EXPECT_EQ(counters(1).packets_reassembled.value(), 1u);
    EXPECT_EQ(counters(1).drop_ignored.value(), 1u);
    EXPECT_EQ(counters(1).frames_answered.value(), 0u);
}

TEST_F(EngineReassemblyTest, timeout_is_a_deadline_of_the_engine) {
    Engine& engine = *engines[1];
    engine.set_time(second);
    const Cutter cutter{.whole = datagram4(4000)};
    deliver(cutter.fragment({0, 1480, true}), 1);
    EXPECT_EQ(engine.next_deadline(), second + Reassembly::timeout4);
    engine.set_time(second + Reassembly::timeout4);
    engine.run_timers();
    EXPECT_EQ(engine.reassembly().packets(), 0u);
    EXPECT_EQ(counters(1).reassembly_failed.value(), 1u);
    EXPECT_EQ(engine.next_deadline(), never);
}

TEST_F(EngineReassemblyTest, detach_drops_the_fragments) {
    const Cutter cutter{.whole = datagram4(4000)};
    deliver(cutter.fragment({0, 1480, true}), 1);
    EXPECT_EQ(engines[1]->reassembly().chunks(), 1u);
    engines[1]->detach(0);
    EXPECT_EQ(engines[1]->reassembly().packets(), 0u);
}

TEST_F(EngineReassemblyTest, engine_that_ends_gives_its_fragments_back) {
    const Cutter cutter{.whole = datagram4(4000)};
    deliver(cutter.fragment({0, 1480, true}), 1);
    engines.clear();
    cache.flush();
    EXPECT_EQ(source.size(), arena.size());
}

}  // namespace
}  // namespace pasta::core
