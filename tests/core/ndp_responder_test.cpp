#include "dataplane/core/ndp_responder.hpp"

#include <gtest/gtest.h>

#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/icmp.hpp"
#include "dataplane/wire/ndp.hpp"
#include "tests/support/service_requests.hpp"

namespace pasta::core {
namespace {

using namespace test;

const IpAddress neighbor = v6("20010db8 00000000 00000000 00000099");
const IpAddress all_routers = v6("ff020000 00000000 00000000 00000002");

std::vector<uint8_t> neighbor_solicitation(const IpAddress& src, const IpAddress& target) {
    auto message = hex("87 00 0000 00000000");
    message.insert(message.end(), target.octets.begin(), target.octets.end());
    return ndp_request(src, wire::solicited_node(target), message);
}

std::vector<uint8_t> router_solicitation(const IpAddress& src, const char* options = "") {
    auto message = hex("85 00 0000 00000000");
    const auto tail = hex(options);
    message.insert(message.end(), tail.begin(), tail.end());
    return ndp_request(src, all_routers, message);
}

std::vector<uint8_t> reply(const PortConfig& config, const std::vector<uint8_t>& frame) {
    return reply_of(ndp_reply, config, frame);
}

/// A reply taken apart, whose hop limit and checksum were verified; the test fails without.
NdpFrame parsed(const std::vector<uint8_t>& frame) {
    const auto result = NdpFrame::parse(frame);
    EXPECT_TRUE(result);
    return result.value_or(NdpFrame{});
}

std::vector<uint8_t> from(wire::Bytes bytes, size_t offset) {
    return {bytes.begin() + static_cast<ptrdiff_t>(offset), bytes.end()};
}

std::vector<uint8_t> advertised(const PortConfig& config) {
    std::vector<uint8_t> out(4096, 0xee);
    out.resize(router_advertisement(config, out));
    return out;
}

TEST(NdpResponder, solicitation_of_a_neighbour_is_answered_with_our_mac) {
    const auto frame = reply(service_config(), neighbor_solicitation(client6, neighbor));
    const NdpFrame answer = parsed(frame);
    EXPECT_EQ(answer.ethernet.dst, client_mac);
    EXPECT_EQ(answer.ethernet.src, server_mac);
    EXPECT_EQ(answer.ip.src, neighbor);
    EXPECT_EQ(answer.ip.dst, client6);
    EXPECT_EQ(from(answer.message, 4), hex("e0000000 20010db8 00000000 00000000 00000099"
                                           "02 01 020000000009"));
}

TEST(NdpResponder, solicitation_of_the_router_is_answered) {
    const auto frame =
        reply(service_config(), neighbor_solicitation(client_link_local, server_link_local));
    EXPECT_EQ(parsed(frame).ip.src, server_link_local);
}

TEST(NdpResponder, duplicate_address_detection_stays_unanswered) {
    EXPECT_TRUE(reply(service_config(), neighbor_solicitation(IpAddress{}, neighbor)).empty());
}

TEST(NdpResponder, own_address_stays_unanswered) {
    EXPECT_TRUE(reply(service_config(), neighbor_solicitation(client_link_local, client6)).empty());
}

TEST(NdpResponder, address_that_no_neighbour_has_stays_unanswered) {
    for (const IpAddress& target : {IpAddress{}, v6("00000000 00000000 00000000 00000001")})
        EXPECT_TRUE(reply(service_config(), neighbor_solicitation(client6, target)).empty());
}

TEST(NdpResponder, other_hop_limit_stays_unanswered) {
    auto frame = neighbor_solicitation(client6, neighbor);
    frame[14 + 7] = 254;
    EXPECT_TRUE(reply(service_config(), frame).empty());
}

TEST(NdpResponder, any_flipped_bit_of_the_message_stays_unanswered) {
    const auto whole = neighbor_solicitation(client6, neighbor);
    for (size_t bit = icmpv6_message_offset * 8; bit < whole.size() * 8; ++bit) {
        auto frame = whole;
        frame[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        EXPECT_TRUE(reply(service_config(), frame).empty()) << bit;
    }
}

TEST(NdpResponder, frame_cut_at_every_length_stays_unanswered) {
    const auto whole = router_solicitation(client_link_local, "01 01 020000000001");
    for (size_t length = 0; length < whole.size(); ++length)
        EXPECT_TRUE(
            reply(service_config(), {whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length)})
                .empty())
            << length;
}

TEST(NdpResponder, echo_request_is_not_ours) {
    const auto frame = ndp_request(client6, neighbor, hex("80 00 0000 0001 0001"));
    EXPECT_TRUE(reply(service_config(), frame).empty());
}

TEST(NdpResponder, router_solicitation_is_answered_to_the_asker) {
    const auto frame = reply(service_config(), router_solicitation(client_link_local));
    const NdpFrame answer = parsed(frame);
    EXPECT_EQ(answer.ethernet.dst, client_mac);
    EXPECT_EQ(answer.ip.src, server_link_local);
    EXPECT_EQ(answer.ip.dst, client_link_local);
    EXPECT_EQ(from(answer.message, 4),
              hex("40 c0 ffff 00000000 00000000"
                  "01 01 020000000009"
                  "05 01 0000 000005dc"
                  "03 04 40 c0 ffffffff ffffffff 00000000 20010db8 00000000 00000000 00000000"));
}

TEST(NdpResponder, solicitation_names_another_mac_that_gets_the_reply) {
    const auto frame =
        reply(service_config(), router_solicitation(client_link_local, "01 01 020000000077"));
    EXPECT_EQ(parsed(frame).ethernet.dst, (MacAddress{{2, 0, 0, 0, 0, 0x77}}));
}

TEST(NdpResponder, router_solicitation_without_address_is_answered_to_all_nodes) {
    const auto frame = reply(service_config(), router_solicitation(IpAddress{}));
    EXPECT_EQ(parsed(frame).ip.dst, wire::all_nodes);
}

TEST(NdpResponder, router_solicitation_without_address_but_with_mac_is_invalid) {
    EXPECT_TRUE(
        reply(service_config(), router_solicitation(IpAddress{}, "01 01 020000000001")).empty());
}

TEST(NdpResponder, solicitation_from_a_group_stays_unanswered) {
    EXPECT_TRUE(reply(service_config(), neighbor_solicitation(all_routers, neighbor)).empty());
}

TEST(NdpResponder, disabled_ndp_or_ipv6_answers_nothing) {
    for (const bool ndp : {false, true}) {
        PortConfig config = service_config();
        (ndp ? config.ndp : config.ipv6) = false;
        EXPECT_TRUE(reply(config, neighbor_solicitation(client6, neighbor)).empty());
        EXPECT_TRUE(reply(config, router_solicitation(client_link_local)).empty());
        EXPECT_TRUE(advertised(config).empty());
    }
}

TEST(NdpResponder, disabled_router_advertisements_leave_neighbours_answered) {
    PortConfig config = service_config();
    config.router_advertisements = false;
    EXPECT_TRUE(reply(config, router_solicitation(client_link_local)).empty());
    EXPECT_TRUE(advertised(config).empty());
    EXPECT_FALSE(reply(config, neighbor_solicitation(client6, neighbor)).empty());
}

TEST(RouterAdvertisement, unsolicited_one_goes_to_all_nodes) {
    const auto frame = advertised(service_config());
    const NdpFrame answer = parsed(frame);
    EXPECT_EQ(answer.ethernet.dst, (MacAddress{{0x33, 0x33, 0, 0, 0, 1}}));
    EXPECT_EQ(answer.ip.dst, wire::all_nodes);
    EXPECT_EQ(answer.ip.hop_limit, 255);
}

TEST(RouterAdvertisement, without_dhcpv6_neither_flag_is_set) {
    PortConfig config = service_config();
    config.dhcpv6 = false;
    const auto frame = advertised(config);
    EXPECT_EQ(parsed(frame).message[5], 0x00);
}

TEST(RouterAdvertisement, without_global_address_only_other_configuration_is_managed) {
    PortConfig config = service_config();
    config.address6.reset();
    const auto frame = advertised(config);
    const NdpFrame answer = parsed(frame);
    EXPECT_EQ(answer.message[5], 0x40);
    EXPECT_EQ(answer.message.size(), 16u + 8 + 8) << "no prefix";
}

TEST(RouterAdvertisement, host_address_of_128_bits_gives_a_prefix_that_is_not_on_link) {
    PortConfig config = service_config();
    config.address6->length = 128;
    const auto frame = advertised(config);
    EXPECT_EQ(from(parsed(frame).message, 16 + 8 + 8),
              hex("03 04 40 40 ffffffff ffffffff 00000000 20010db8 00000000 00000000 00000000"));
}

TEST(RouterAdvertisement, dns_and_search_follow_the_prefix) {
    PortConfig config = service_config();
    config.dns = {v6("20010db8 00000000 00000000 00000053"), IpAddress::v4(192, 0, 2, 53)};
    config.search = {"ci.test"};
    const auto frame = advertised(config);
    EXPECT_EQ(from(parsed(frame).message, 16 + 8 + 8 + 32),
              hex("19 03 0000 ffffffff 20010db8 00000000 00000000 00000053"
                  "1f 03 0000 ffffffff 026369 0474657374 00 00000000000000"));
}

TEST(RouterAdvertisement, long_lists_stay_within_the_mtu) {
    PortConfig config = service_config();
    config.mtu = 1280;
    config.search.assign(300, "search.example.org");
    const auto frame = advertised(config);
    EXPECT_FALSE(frame.empty());
    EXPECT_LE(frame.size(), 1280u + 14);
    EXPECT_TRUE(NdpFrame::parse(frame));
}

TEST(RouterAdvertisement, too_little_memory_means_none) {
    const size_t size = advertised(service_config()).size();
    for (size_t room = 0; room < size; ++room) {
        std::vector<uint8_t> out(room);
        EXPECT_EQ(router_advertisement(service_config(), out), 0u) << room;
    }
}

}  // namespace
}  // namespace pasta::core
