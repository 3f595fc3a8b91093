// As whom a namespace sees the host's clients, and at which address they reach it.

#include "dataplane/core/inbound.hpp"

#include <gtest/gtest.h>

#include "tests/support/core_fixture.hpp"

namespace pasta::core {
namespace {

class Inbound : public test::CoreFixture {
  protected:
    std::optional<FlowKey> tcp_key(const wire::IpAddress& client) {
        return inbound_key(default_port, wire::protocol_tcp, client, 5000, 80);
    }
    /// What the namespace sees as its peer; nothing when the client is refused.
    std::optional<wire::IpAddress> seen_as(const wire::IpAddress& client) {
        const auto key = tcp_key(client);
        return key ? std::optional{key->peer} : std::nullopt;
    }
    PortConfig& config() { return default_port.config; }

    static constexpr wire::IpAddress map4 = wire::IpAddress::v4(198, 51, 100, 99);
    static constexpr wire::IpAddress map6{
        {0x20, 0x01, 0x0d, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}};
    static constexpr wire::IpAddress other_guest4 = wire::IpAddress::v4(198, 51, 100, 20);
    static constexpr wire::IpAddress link_local{
        {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}};
    static constexpr wire::IpAddress guest_link_local{
        {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}};
};

TEST_F(Inbound, a_clients_real_address_and_port_are_kept) {
    EXPECT_EQ(tcp_key(peer4), (FlowKey{guest4, peer4, 80, 5000, 0, wire::protocol_tcp}));
    EXPECT_EQ(inbound_key(default_port, wire::protocol_udp, peer6, 53, 54),
              (FlowKey{guest6, peer6, 54, 53, 0, wire::protocol_udp}));
}

TEST_F(Inbound, the_namespace_is_addressed_as_it_was_seen_last) {
    default_port.note_source(other_guest4);
    EXPECT_EQ(tcp_key(peer4)->guest, other_guest4);
    EXPECT_EQ(tcp_key(peer6)->guest, guest6) << "of the other family";
    default_port.note_source(guest4);
    EXPECT_EQ(tcp_key(peer4)->guest, guest4);
}

TEST_F(Inbound, sources_that_are_no_address_of_a_host_teach_nothing) {
    for (const auto& nobody : {wire::IpAddress::v4(0, 0, 0, 0), wire::IpAddress::v4(127, 0, 0, 1),
                               wire::IpAddress::v4(224, 0, 0, 1), wire::IpAddress{}})
        default_port.note_source(nobody);
    EXPECT_EQ(default_port.seen4, std::nullopt);
    EXPECT_EQ(default_port.seen6, std::nullopt);
}

TEST_F(Inbound, a_link_local_client_meets_the_link_local_address) {
    EXPECT_EQ(tcp_key(link_local)->guest, guest6) << "none seen yet";
    default_port.note_source(guest_link_local);
    EXPECT_EQ(tcp_key(link_local)->guest, guest_link_local);
    EXPECT_EQ(tcp_key(link_local)->peer, link_local);
    EXPECT_EQ(tcp_key(peer6)->guest, guest6);
}

TEST_F(Inbound, loopback_becomes_the_address_that_reaches_it) {
    config().host_loopback4 = map4;
    config().host_loopback6 = map6;
    EXPECT_EQ(seen_as(loopback4), map4);
    EXPECT_EQ(seen_as(loopback6), map6);
    // Only that address reaches 127.0.0.1; others have no way back but the gateway's.
    EXPECT_EQ(seen_as(wire::IpAddress::v4(127, 0, 0, 2)), gateway4);
    config().host_loopback4 = config().host_loopback6 = std::nullopt;
    EXPECT_EQ(seen_as(loopback4), gateway4);
    EXPECT_EQ(seen_as(loopback6), config().our_link_local);
}

TEST_F(Inbound, the_shadowed_host_address_becomes_its_map) {
    config().guest_map4 = map4;
    config().guest_map_target4 = guest4;
    config().guest_map6 = map6;
    config().guest_map_target6 = guest6;
    EXPECT_EQ(seen_as(guest4), map4);
    EXPECT_EQ(seen_as(guest6), map6);
}

TEST_F(Inbound, what_the_namespace_cannot_answer_becomes_the_gateway) {
    EXPECT_EQ(seen_as(guest4), gateway4);
    EXPECT_EQ(seen_as(guest6), config().our_link_local);
    EXPECT_EQ(seen_as(wire::IpAddress::v4(0, 0, 0, 0)), gateway4);
    default_port.note_source(other_guest4);
    EXPECT_EQ(seen_as(other_guest4), gateway4);
}

TEST_F(Inbound, nothing_without_a_stand_in_or_an_address) {
    config().gateway4 = std::nullopt;
    EXPECT_EQ(seen_as(guest4), std::nullopt);
    config().address4 = std::nullopt;
    EXPECT_EQ(seen_as(peer4), std::nullopt);
    config().address6 = std::nullopt;
    EXPECT_EQ(seen_as(peer6), std::nullopt);
}

TEST_F(Inbound, a_stand_in_that_is_the_namespaces_own_address_is_none) {
    config().gateway4 = guest4;
    config().host_loopback4 = guest4;
    EXPECT_EQ(seen_as(loopback4), std::nullopt);
}

TEST_F(Inbound, nothing_for_what_is_switched_off_or_has_no_port) {
    EXPECT_EQ(inbound_key(default_port, wire::protocol_tcp, peer4, 0, 80), std::nullopt);
    EXPECT_EQ(inbound_key(default_port, wire::protocol_tcp, peer4, 80, 0), std::nullopt);
    config().tcp = false;
    EXPECT_EQ(seen_as(peer4), std::nullopt);
    EXPECT_TRUE(inbound_key(default_port, wire::protocol_udp, peer4, 1, 2));
    config().tcp = true;
    config().ipv4 = false;
    EXPECT_EQ(seen_as(peer4), std::nullopt);
    EXPECT_TRUE(seen_as(peer6));
}

}  // namespace
}  // namespace pasta::core
