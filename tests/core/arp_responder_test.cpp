#include "dataplane/core/arp_responder.hpp"

#include <gtest/gtest.h>

#include <array>

#include "dataplane/wire/arp.hpp"
#include "tests/support/service_requests.hpp"

namespace pasta::core {
namespace {

using namespace test;

std::vector<uint8_t> request(const IpAddress& sender, const IpAddress& target,
                             uint16_t operation = wire::arp_request) {
    std::vector<uint8_t> frame(wire::EthernetHeader::size + wire::ArpPacket::size);
    wire::EthernetHeader{MacAddress::broadcast(), client_mac, wire::ethertype_arp}.emit(frame);
    wire::ArpPacket{operation, client_mac, sender, {}, target}.emit(
        wire::MutableBytes{frame}.subspan(wire::EthernetHeader::size));
    return frame;
}

std::vector<uint8_t> reply(const PortConfig& config, const std::vector<uint8_t>& frame) {
    return reply_of(arp_reply, config, frame);
}

TEST(ArpResponder, request_for_the_gateway_is_answered_with_our_mac) {
    EXPECT_EQ(reply(service_config(), request(client4, gateway4)),
              hex("020000000001 020000000009 0806"
                  "0001 0800 06 04 0002 020000000009 c6336401 020000000001 c6336402"));
}

TEST(ArpResponder, request_for_any_other_neighbour_is_answered) {
    EXPECT_FALSE(reply(service_config(), request(client4, IpAddress::v4(203, 0, 113, 9))).empty());
}

TEST(ArpResponder, probe_of_a_foreign_address_is_answered) {
    EXPECT_FALSE(reply(service_config(), request(IpAddress::v4(0), gateway4)).empty());
}

TEST(ArpResponder, probe_of_the_own_address_stays_unanswered) {
    EXPECT_TRUE(reply(service_config(), request(IpAddress::v4(0), client4)).empty());
}

TEST(ArpResponder, announcement_stays_unanswered) {
    const IpAddress other = IpAddress::v4(198, 51, 100, 77);
    EXPECT_TRUE(reply(service_config(), request(other, other)).empty());
}

TEST(ArpResponder, address_that_no_host_has_stays_unanswered) {
    for (const IpAddress& target :
         {IpAddress::v4(0), broadcast4, IpAddress::v4(224, 0, 0, 1), IpAddress::v4(127, 0, 0, 1)})
        EXPECT_TRUE(reply(service_config(), request(client4, target)).empty());
}

TEST(ArpResponder, reply_from_the_namespace_stays_unanswered) {
    EXPECT_TRUE(reply(service_config(), request(client4, gateway4, wire::arp_reply)).empty());
}

TEST(ArpResponder, without_ipv4_nothing_is_answered) {
    PortConfig config = service_config();
    config.ipv4 = false;
    EXPECT_TRUE(reply(config, request(client4, gateway4)).empty());
}

TEST(ArpResponder, without_an_own_address_all_are_answered) {
    PortConfig config = service_config();
    config.address4.reset();
    EXPECT_FALSE(reply(config, request(IpAddress::v4(0), client4)).empty());
}

TEST(ArpResponder, frame_cut_at_every_length_stays_unanswered) {
    const auto whole = request(client4, gateway4);
    for (size_t length = 0; length < whole.size(); ++length)
        EXPECT_TRUE(
            reply(service_config(), {whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length)})
                .empty())
            << length;
}

TEST(ArpResponder, too_little_memory_means_no_reply) {
    std::array<uint8_t, 41> out;
    EXPECT_EQ(arp_reply(service_config(), request(client4, gateway4), out), 0u);
}

}  // namespace
}  // namespace pasta::core
