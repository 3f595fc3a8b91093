#include "dataplane/core/dhcp_responder.hpp"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <stdexcept>
#include <string>

#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/dhcp4.hpp"
#include "tests/support/service_requests.hpp"

namespace pasta::core {
namespace {

using namespace test;
namespace option = wire::dhcp4_option;

struct Client {
    std::string options;  ///< hex
    IpAddress ciaddr = IpAddress::v4(0);
    bool broadcast = false;
    IpAddress src = IpAddress::v4(0);
    IpAddress dst = broadcast4;
    uint16_t dst_port = 67;
};

std::vector<uint8_t> request(const Client& client) {
    auto message =
        hex("01 01 06 00 deadbeef 0000 0000 00000000 00000000 00000000 00000000"
            "020000000001");
    message.resize(236);
    if (client.broadcast) message[10] = 0x80;
    wire::store_be32(&message[12], client.ciaddr.v4_number());
    for (const auto& part : {hex("63825363"), hex(client.options)})
        message.insert(message.end(), part.begin(), part.end());
    return udp_request(client.src, client.dst, 68, client.dst_port, message);
}

std::vector<uint8_t> reply(const Client& client, const PortConfig& config = service_config()) {
    return reply_of(dhcp_reply, config, request(client));
}

/// A reply taken apart. Options with the same code are joined (RFC 3396).
struct Parsed {
    UdpFrame frame;
    wire::Bytes message;
    std::map<uint8_t, std::vector<uint8_t>> options;
    std::vector<uint8_t> order;  ///< codes as they stand

    uint32_t field(size_t offset) const { return wire::load_be32(&message[offset]); }
    int type() const {
        const auto found = options.find(option::message_type);
        return found == options.end() ? 0 : found->second.at(0);
    }
};

Parsed parsed(const std::vector<uint8_t>& frame) {
    Parsed result;
    const auto datagram = UdpFrame::parse(frame);
    if (!datagram || datagram->payload.size() < 300) {
        ADD_FAILURE() << "no reply";
        throw std::runtime_error("no reply");
    }
    result.frame = *datagram;
    result.message = datagram->payload;
    const wire::Bytes segment = wire::Bytes{frame}.subspan(34);
    EXPECT_EQ(
        wire::checksum_finish(wire::checksum_add(
            segment, wire::pseudo_header_sum(datagram->ip.src, datagram->ip.dst, wire::protocol_udp,
                                             static_cast<uint32_t>(segment.size())))),
        0);
    wire::Reader reader(result.message);
    EXPECT_EQ(reader.u8(), 2);
    reader.skip(235);
    EXPECT_EQ(reader.be32(), 0x63825363u);
    for (uint8_t code = reader.u8(); code != option::end && reader.ok(); code = reader.u8()) {
        const size_t length = reader.u8();
        const wire::Bytes body = reader.bytes(length);
        result.order.push_back(code);
        auto& joined = result.options[code];
        joined.insert(joined.end(), body.begin(), body.end());
    }
    EXPECT_TRUE(reader.ok()) << "no end mark";
    for (const uint8_t byte : reader.rest())
        EXPECT_EQ(byte, 0);
    return result;
}

constexpr size_t ciaddr = 12, yiaddr = 16;

TEST(DhcpResponder, discover_gets_an_offer_with_the_configured_lease) {
    const auto frame = reply({"350101 ff"});
    const Parsed offer = parsed(frame);
    EXPECT_EQ(offer.type(), 2);
    EXPECT_EQ(offer.frame.udp.src_port, 67);
    EXPECT_EQ(offer.frame.udp.dst_port, 68);
    EXPECT_EQ(offer.frame.ip.src, gateway4);
    EXPECT_EQ(offer.frame.ip.dst, client4);
    EXPECT_EQ(offer.frame.ethernet.dst, client_mac);
    EXPECT_EQ(offer.message.size(), 300u);
    EXPECT_EQ(offer.field(4), 0xdeadbeefu);
    EXPECT_EQ(offer.field(yiaddr), client4.v4_number());
    EXPECT_EQ(offer.options.at(option::server_id), hex("c6336401"));
    EXPECT_EQ(offer.options.at(option::lease_time), hex("ffffffff"));
    EXPECT_EQ(offer.options.at(option::subnet_mask), hex("ffffff00"));
    EXPECT_EQ(offer.options.at(option::router), hex("c6336401"));
    EXPECT_EQ(offer.options.at(option::interface_mtu), hex("05dc"));
    EXPECT_EQ(offer.options.size(), 6u) << "nothing that is not configured";
}

TEST(DhcpResponder, broadcast_flag_makes_the_reply_a_broadcast) {
    const auto frame = reply({.options = "350101 ff", .broadcast = true});
    const Parsed offer = parsed(frame);
    EXPECT_EQ(offer.frame.ip.dst, broadcast4);
    EXPECT_EQ(offer.frame.ethernet.dst, MacAddress::broadcast());
    EXPECT_EQ(offer.message[10], 0x80) << "the flag is kept";
}

TEST(DhcpResponder, rapid_commit_in_discover_gets_an_ack_that_has_it_too) {
    const auto frame = reply({"350101 5000 ff"});
    const Parsed ack = parsed(frame);
    EXPECT_EQ(ack.type(), 5);
    EXPECT_EQ(ack.options.count(option::rapid_commit), 1u);
}

TEST(DhcpResponder, request_of_the_offer_gets_an_ack) {
    const auto frame = reply({"350103 3204c6336402 3604c6336401 ff"});
    const Parsed ack = parsed(frame);
    EXPECT_EQ(ack.type(), 5);
    EXPECT_EQ(ack.field(yiaddr), client4.v4_number());
}

TEST(DhcpResponder, request_to_another_server_stays_unanswered) {
    EXPECT_TRUE(reply({"350103 3204c6336402 3604c6336463 ff"}).empty());
}

TEST(DhcpResponder, request_of_another_address_gets_a_broadcast_nak_without_lease) {
    const auto frame = reply({"350103 3204c63364c8 3d0701020000000001 ff"});
    const Parsed nak = parsed(frame);
    EXPECT_EQ(nak.type(), 6);
    EXPECT_EQ(nak.frame.ip.dst, broadcast4);
    EXPECT_EQ(nak.field(yiaddr), 0u);
    EXPECT_EQ(nak.order,
              (std::vector<uint8_t>{option::message_type, option::server_id, option::client_id}));
}

TEST(DhcpResponder, request_without_any_address_stays_unanswered) {
    EXPECT_TRUE(reply({"350103 ff"}).empty());
}

TEST(DhcpResponder, renewal_by_unicast_gets_an_ack_to_the_address) {
    const auto frame =
        reply({.options = "350103 ff", .ciaddr = client4, .src = client4, .dst = gateway4});
    const Parsed ack = parsed(frame);
    EXPECT_EQ(ack.type(), 5);
    EXPECT_EQ(ack.frame.ip.dst, client4);
    EXPECT_EQ(ack.field(ciaddr), client4.v4_number());
}

TEST(DhcpResponder, rebinding_with_broadcast_flag_still_goes_to_the_address) {
    const auto frame =
        reply({.options = "350103 ff", .ciaddr = client4, .broadcast = true, .src = client4});
    EXPECT_EQ(parsed(frame).frame.ip.dst, client4);
}

TEST(DhcpResponder, renewal_of_another_address_gets_a_nak) {
    const IpAddress other = IpAddress::v4(198, 51, 100, 200);
    const auto frame =
        reply({.options = "350103 ff", .ciaddr = other, .src = other, .dst = gateway4});
    EXPECT_EQ(parsed(frame).type(), 6);
}

TEST(DhcpResponder, inform_gets_an_ack_without_address_and_lease) {
    const IpAddress other = IpAddress::v4(198, 51, 100, 200);
    const auto frame = reply({.options = "350108 ff", .ciaddr = other, .src = other});
    const Parsed ack = parsed(frame);
    EXPECT_EQ(ack.type(), 5);
    EXPECT_EQ(ack.frame.ip.dst, other);
    EXPECT_EQ(ack.field(yiaddr), 0u);
    EXPECT_EQ(ack.options.count(option::lease_time), 0u);
    EXPECT_EQ(ack.options.count(option::router), 1u);
}

TEST(DhcpResponder, inform_without_address_stays_unanswered) {
    EXPECT_TRUE(reply({"350108 ff"}).empty());
}

TEST(DhcpResponder, release_decline_and_messages_of_servers_stay_unanswered) {
    for (const char* type : {"350104 ff", "350107 ff", "350102 ff", "350105 ff", "350106 ff"})
        EXPECT_TRUE(reply({type}).empty()) << type;
}

TEST(DhcpResponder, bootp_gets_the_address_in_300_bytes_without_options_of_dhcp) {
    PortConfig config = service_config();
    config.search.assign(20, "search.example.org");
    const auto frame = reply({"ff"}, config);
    const Parsed answer = parsed(frame);
    EXPECT_EQ(answer.message.size(), 300u);
    EXPECT_EQ(answer.field(yiaddr), client4.v4_number());
    for (const uint8_t code : {option::message_type, option::server_id, option::lease_time})
        EXPECT_EQ(answer.options.count(code), 0u) << int{code};
    EXPECT_EQ(answer.options.count(option::router), 1u);
}

TEST(DhcpResponder, client_id_is_returned) {
    const auto frame = reply({"350101 3d0701020000000001 ff"});
    EXPECT_EQ(parsed(frame).options.at(option::client_id), hex("01020000000001"));
}

TEST(DhcpResponder, options_stand_in_the_order_of_the_clients_list) {
    const auto frame = reply({"350101 37041a0301fd ff"});
    const std::vector<uint8_t> expected{option::message_type, option::server_id,
                                        option::lease_time,   option::interface_mtu,
                                        option::router,       option::subnet_mask};
    EXPECT_EQ(parsed(frame).order, expected);
}

TEST(DhcpResponder, list_that_repeats_a_code_gets_it_once) {
    const auto frame = reply({"350101 3703030303 ff"});
    EXPECT_EQ(parsed(frame).options.at(option::router).size(), 4u);
}

TEST(DhcpResponder, dns_search_and_names_are_told) {
    PortConfig config = service_config();
    config.dns = {IpAddress::v4(192, 0, 2, 53), client6, IpAddress::v4(192, 0, 2, 54)};
    config.search = {"ci.test", "test"};
    config.hostname = "job-1";
    config.fqdn = "job-1.ci.test";
    const auto frame = reply({"350101 510401000061 ff"}, config);
    const Parsed offer = parsed(frame);
    EXPECT_EQ(offer.options.at(option::dns_servers), hex("c0000235 c0000236"));
    EXPECT_EQ(offer.options.at(option::domain_name), hex("63692e74657374"));
    EXPECT_EQ(offer.options.at(option::domain_search), hex("026369 0474657374 00 c003"));
    EXPECT_EQ(offer.options.at(option::hostname), hex("6a6f622d31"));
    EXPECT_EQ(offer.options.at(option::fqdn), hex("0a ffff 6a6f622d312e63692e74657374"))
        << "no update, the client's wish overridden, ASCII as the client wrote";
}

TEST(DhcpResponder, fqdn_is_encoded_as_the_client_does_and_only_if_it_does) {
    PortConfig config = service_config();
    config.fqdn = "a.b";
    const auto with = reply({"350101 510304 0000 ff"}, config);
    EXPECT_EQ(parsed(with).options.at(option::fqdn), hex("0c ffff 0161 0162 00"));
    const auto without = reply({"350101 ff"}, config);
    EXPECT_EQ(parsed(without).options.count(option::fqdn), 0u);
}

TEST(DhcpResponder, gateway_outside_the_subnet_is_told_by_classless_routes) {
    PortConfig config = service_config();
    config.address4->length = 32;
    const auto frame = reply({"350101 ff"}, config);
    EXPECT_EQ(parsed(frame).options.at(option::classless_routes),
              hex("20 c6336401 00000000 00 c6336401"));
    EXPECT_EQ(parsed(frame).options.at(option::subnet_mask), hex("ffffffff"));
}

TEST(DhcpResponder, options_beyond_the_clients_message_size_are_left_out) {
    PortConfig config = service_config();
    for (int i = 0; i < 40; ++i)
        config.search.push_back("domain-" + std::to_string(i) + ".example.org");
    const auto small = reply({"350101 ff"}, config);
    EXPECT_LE(small.size(), 576u + 14);
    EXPECT_EQ(parsed(small).options.count(option::domain_search), 0u);
    EXPECT_EQ(parsed(small).options.count(option::router), 1u);
    const auto large = reply({"350101 390205dc ff"}, config);
    EXPECT_LE(large.size(), 1500u + 14);
    EXPECT_GT(parsed(large).options.at(option::domain_search).size(), 255u);
}

TEST(DhcpResponder, subnet_broadcast_is_for_us_but_other_addresses_and_ports_are_not) {
    EXPECT_FALSE(reply({.options = "350101 ff", .dst = IpAddress::v4(198, 51, 100, 255)}).empty());
    EXPECT_TRUE(reply({.options = "350101 ff", .dst = IpAddress::v4(203, 0, 113, 1)}).empty());
    EXPECT_TRUE(reply({.options = "350101 ff", .dst_port = 68}).empty());
}

TEST(DhcpResponder, relayed_message_stays_unanswered) {
    auto frame = request({"350101 ff"});
    frame[udp4_payload_offset + 24] = 198;
    EXPECT_TRUE(reply_of(dhcp_reply, service_config(), frame).empty());
}

TEST(DhcpResponder, disabled_or_without_address_or_gateway_nothing_is_answered) {
    std::array<PortConfig, 4> configs;
    configs.fill(service_config());
    configs[0].dhcp = false;
    configs[1].ipv4 = false;
    configs[2].address4.reset();
    configs[3].gateway4.reset();
    for (const PortConfig& config : configs)
        EXPECT_TRUE(reply({"350101 ff"}, config).empty());
}

TEST(DhcpResponder, partial_checksum_of_a_veth_is_accepted) {
    auto frame = request({"350101 ff"});
    frame[34 + 6] ^= 0x55;
    EXPECT_FALSE(reply_of(dhcp_reply, service_config(), frame).empty());
}

TEST(DhcpResponder, fragment_stays_unanswered) {
    auto frame = request({"350101 ff"});
    frame[14 + 6] = 0x20;
    wire::store_be16(&frame[14 + 10],
                     wire::checksum_update(wire::load_be16(&frame[14 + 10]), 0, 0x2000));
    EXPECT_TRUE(reply_of(dhcp_reply, service_config(), frame).empty());
}

TEST(DhcpResponder, frame_cut_at_every_length_stays_unanswered) {
    const auto whole = request({"350101 3d0701020000000001 ff"});
    for (size_t length = 0; length < whole.size(); ++length)
        EXPECT_TRUE(reply_of(dhcp_reply, service_config(),
                             {whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length)})
                        .empty())
            << length;
}

TEST(DhcpResponder, too_little_memory_means_no_reply) {
    for (size_t room = 0; room < udp4_payload_offset + 300; ++room) {
        std::vector<uint8_t> out(room);
        EXPECT_EQ(dhcp_reply(service_config(), request({"350101 ff"}), out), 0u) << room;
    }
}

}  // namespace
}  // namespace pasta::core
