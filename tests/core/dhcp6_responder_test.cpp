#include "dataplane/core/dhcp6_responder.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <map>
#include <string>

#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/dhcp6.hpp"
#include "tests/support/service_requests.hpp"

namespace pasta::core {
namespace {

using namespace test;
using wire::Dhcp6MessageType;
namespace option = wire::dhcp6_option;

const std::string client_id = "0001 000a 0003 0001 020000000001";
const std::string server_id = "0002 000e 0001 0001 2a2b2c2d 020000000009";
const std::string other_server_id = "0002 000e 0001 0001 2a2b2c2d 020000000008";
const std::string own_address = "0005 0018 20010db8 00000000 00000000 00000002 00000000 00000000";
const std::string foreign_address =
    "0005 0018 20010db8 00000000 00000000 00000077 00000000 00000000";

/// An IA_NA with IAID 7 and the given addresses.
std::string ia_na(const std::string& addresses = "") {
    char length[5];
    std::snprintf(length, sizeof length, "%04zx", 12 + hex(addresses).size());
    return std::string("0003") + length + "00000007 00000000 00000000" + addresses;
}

std::vector<uint8_t> request(Dhcp6MessageType type, const std::string& options,
                             const IpAddress& dst = wire::all_dhcp6_servers) {
    auto message = hex("00 abcdef" + options);
    message[0] = static_cast<uint8_t>(type);
    return udp_request(client_link_local, dst, 546, 547, message);
}

std::vector<uint8_t> reply(Dhcp6MessageType type, const std::string& options,
                           const PortConfig& config = service_config()) {
    return reply_of(dhcp6_reply, config, request(type, options));
}

struct Parsed {
    UdpFrame frame;
    int type = 0;
    std::multimap<uint16_t, std::vector<uint8_t>> options;

    std::vector<uint8_t> only(uint16_t code) const {
        EXPECT_EQ(options.count(code), 1u) << code;
        const auto found = options.find(code);
        return found == options.end() ? std::vector<uint8_t>{} : found->second;
    }
};

Parsed parsed(const std::vector<uint8_t>& frame) {
    Parsed result;
    const auto datagram = UdpFrame::parse(frame);
    if (!datagram || datagram->payload.size() < 4) {
        ADD_FAILURE() << "no reply";
        return result;
    }
    result.frame = *datagram;
    const wire::Bytes segment = wire::Bytes{frame}.subspan(54);
    EXPECT_EQ(
        wire::checksum_finish(wire::checksum_add(
            segment, wire::pseudo_header_sum(datagram->ip.src, datagram->ip.dst, wire::protocol_udp,
                                             static_cast<uint32_t>(segment.size())))),
        0);
    result.type = datagram->payload[0];
    EXPECT_EQ(wire::load_be32(datagram->payload.data()) & 0xffffff, 0xabcdefu);
    wire::Dhcp6Options options(datagram->payload.subspan(4));
    while (const auto entry = options.next())
        result.options.emplace(entry->code,
                               std::vector<uint8_t>(entry->body.begin(), entry->body.end()));
    EXPECT_TRUE(options.ok());
    return result;
}

const auto granted =
    hex("00000007 ffffffff ffffffff"
        "0005 0018 20010db8 00000000 00000000 00000002 ffffffff ffffffff");

TEST(Dhcp6Responder, solicit_gets_an_advertisement_with_the_address) {
    const auto frame = reply(Dhcp6MessageType::solicit, client_id + ia_na());
    const Parsed answer = parsed(frame);
    EXPECT_EQ(answer.type, 2);
    EXPECT_EQ(answer.frame.ethernet.dst, client_mac);
    EXPECT_EQ(answer.frame.ip.src, server_link_local);
    EXPECT_EQ(answer.frame.ip.dst, client_link_local);
    EXPECT_EQ(answer.frame.udp.src_port, 547);
    EXPECT_EQ(answer.frame.udp.dst_port, 546);
    EXPECT_EQ(answer.only(option::client_id), hex("0003 0001 020000000001"));
    EXPECT_EQ(answer.only(option::server_id), hex("0001 0001 2a2b2c2d 020000000009"));
    EXPECT_EQ(answer.only(option::ia_na), granted);
    EXPECT_EQ(answer.only(option::preference), hex("ff"));
}

TEST(Dhcp6Responder, solicit_that_hints_another_address_gets_ours) {
    const auto frame = reply(Dhcp6MessageType::solicit, client_id + ia_na(foreign_address));
    EXPECT_EQ(parsed(frame).only(option::ia_na), granted);
}

TEST(Dhcp6Responder, solicit_with_rapid_commit_gets_a_reply_that_has_it_too) {
    const auto frame = reply(Dhcp6MessageType::solicit, client_id + "000e0000" + ia_na());
    const Parsed answer = parsed(frame);
    EXPECT_EQ(answer.type, 7);
    EXPECT_TRUE(answer.only(option::rapid_commit).empty());
    EXPECT_EQ(answer.options.count(option::preference), 0u);
    EXPECT_EQ(answer.only(option::ia_na), granted);
}

TEST(Dhcp6Responder, request_of_the_address_or_of_any_gets_it) {
    for (const std::string& addresses : {own_address, std::string()}) {
        const auto frame =
            reply(Dhcp6MessageType::request, client_id + server_id + ia_na(addresses));
        EXPECT_EQ(parsed(frame).type, 7);
        EXPECT_EQ(parsed(frame).only(option::ia_na), granted);
    }
}

TEST(Dhcp6Responder, request_of_another_address_is_not_on_link) {
    const auto frame =
        reply(Dhcp6MessageType::request, client_id + server_id + ia_na(foreign_address));
    EXPECT_EQ(parsed(frame).only(option::ia_na), hex("00000007 ffffffff ffffffff 000d 0002 0004"));
}

TEST(Dhcp6Responder, renew_and_rebind_grant_the_address_and_withdraw_others) {
    auto expected = granted;
    const auto withdrawn = hex("0005 0018 20010db8 00000000 00000000 00000077 00000000 00000000");
    expected.insert(expected.end(), withdrawn.begin(), withdrawn.end());
    const std::string ia = ia_na(own_address + foreign_address);
    const auto renewed = reply(Dhcp6MessageType::renew, client_id + server_id + ia);
    EXPECT_EQ(parsed(renewed).only(option::ia_na), expected);
    const auto rebound = reply(Dhcp6MessageType::rebind, client_id + ia);
    EXPECT_EQ(parsed(rebound).only(option::ia_na), expected);
}

TEST(Dhcp6Responder, confirm_of_the_address_succeeds) {
    const auto frame = reply(Dhcp6MessageType::confirm, client_id + ia_na(own_address));
    EXPECT_EQ(parsed(frame).type, 7);
    EXPECT_EQ(parsed(frame).only(option::status_code), hex("0000"));
    EXPECT_EQ(parsed(frame).options.count(option::ia_na), 0u);
}

TEST(Dhcp6Responder, confirm_of_another_address_is_not_on_link) {
    const auto frame =
        reply(Dhcp6MessageType::confirm, client_id + ia_na(own_address + foreign_address));
    EXPECT_EQ(parsed(frame).only(option::status_code), hex("0004"));
}

TEST(Dhcp6Responder, confirm_without_addresses_stays_unanswered) {
    EXPECT_TRUE(reply(Dhcp6MessageType::confirm, client_id + ia_na()).empty());
}

TEST(Dhcp6Responder, release_and_decline_succeed) {
    for (const auto type : {Dhcp6MessageType::release, Dhcp6MessageType::decline}) {
        const auto frame = reply(type, client_id + server_id + ia_na(own_address));
        EXPECT_EQ(parsed(frame).only(option::status_code), hex("0000"));
    }
}

TEST(Dhcp6Responder, information_request_gets_dns_without_address) {
    PortConfig config = service_config();
    config.dns = {v6("20010db8 00000000 00000000 00000053"), IpAddress::v4(192, 0, 2, 53)};
    config.search = {"ci.test"};
    const auto frame = reply(Dhcp6MessageType::information_request, "", config);
    const Parsed answer = parsed(frame);
    EXPECT_EQ(answer.type, 7);
    EXPECT_EQ(answer.only(option::dns_servers), hex("20010db8 00000000 00000000 00000053"));
    EXPECT_EQ(answer.only(option::domain_list), hex("026369 0474657374 00"));
    EXPECT_EQ(answer.options.count(option::ia_na), 0u);
    EXPECT_EQ(answer.options.count(option::client_id), 0u);
}

TEST(Dhcp6Responder, fqdn_is_told_to_a_client_that_sent_one) {
    PortConfig config = service_config();
    config.fqdn = "job-1.test";
    const auto with =
        reply(Dhcp6MessageType::solicit, client_id + ia_na() + "0027 0003 01 0161", config);
    EXPECT_EQ(parsed(with).only(option::client_fqdn), hex("06 056a6f622d31 0474657374 00"));
    const auto without = reply(Dhcp6MessageType::solicit, client_id + ia_na(), config);
    EXPECT_EQ(parsed(without).options.count(option::client_fqdn), 0u);
}

TEST(Dhcp6Responder, second_association_gets_no_address) {
    const auto frame = reply(Dhcp6MessageType::solicit,
                             client_id + ia_na() + "0003 000c 00000008 00000000 00000000");
    const Parsed answer = parsed(frame);
    const auto [first, last] = answer.options.equal_range(option::ia_na);
    std::vector<std::vector<uint8_t>> bodies;
    for (auto it = first; it != last; ++it)
        bodies.push_back(it->second);
    ASSERT_EQ(bodies.size(), 2u);
    EXPECT_EQ(bodies[0], granted);
    EXPECT_EQ(bodies[1], hex("00000008 ffffffff ffffffff 000d 0002 0002"));
}

TEST(Dhcp6Responder, without_global_address_none_is_available) {
    PortConfig config = service_config();
    config.address6.reset();
    const auto frame = reply(Dhcp6MessageType::solicit, client_id + ia_na(), config);
    EXPECT_EQ(parsed(frame).only(option::ia_na), hex("00000007 ffffffff ffffffff 000d 0002 0002"));
}

TEST(Dhcp6Responder, prefix_delegation_has_no_prefix) {
    const auto frame =
        reply(Dhcp6MessageType::solicit, client_id + "0019 000c 00000009 00000000 00000000");
    EXPECT_EQ(parsed(frame).only(option::ia_pd), hex("00000009 ffffffff ffffffff 000d 0002 0006"));
}

TEST(Dhcp6Responder, identifiers_that_rfc_8415_section_16_forbids_stay_unanswered) {
    const std::string ia = ia_na(own_address);
    for (const auto type :
         {Dhcp6MessageType::solicit, Dhcp6MessageType::confirm, Dhcp6MessageType::rebind}) {
        EXPECT_FALSE(reply(type, client_id + ia).empty());
        EXPECT_TRUE(reply(type, ia).empty()) << "no client";
        EXPECT_TRUE(reply(type, client_id + server_id + ia).empty()) << "a server";
    }
    for (const auto type : {Dhcp6MessageType::request, Dhcp6MessageType::renew,
                            Dhcp6MessageType::release, Dhcp6MessageType::decline}) {
        EXPECT_FALSE(reply(type, client_id + server_id + ia).empty());
        EXPECT_TRUE(reply(type, server_id + ia).empty()) << "no client";
        EXPECT_TRUE(reply(type, client_id + ia).empty()) << "no server";
        EXPECT_TRUE(reply(type, client_id + other_server_id + ia).empty()) << "another server";
    }
    const auto information = Dhcp6MessageType::information_request;
    EXPECT_FALSE(reply(information, server_id).empty());
    EXPECT_TRUE(reply(information, other_server_id).empty());
    EXPECT_TRUE(reply(information, client_id + ia).empty()) << "an association";
}

TEST(Dhcp6Responder, message_by_unicast_or_to_another_port_stays_unanswered) {
    const auto unicast = request(Dhcp6MessageType::solicit, client_id + ia_na(), server_link_local);
    EXPECT_TRUE(reply_of(dhcp6_reply, service_config(), unicast).empty());
    const auto other_port = udp_request(client_link_local, wire::all_dhcp6_servers, 546, 548,
                                        hex("01 abcdef" + client_id + ia_na()));
    EXPECT_TRUE(reply_of(dhcp6_reply, service_config(), other_port).empty());
}

TEST(Dhcp6Responder, disabled_nothing_is_answered) {
    std::array<PortConfig, 2> configs;
    configs.fill(service_config());
    configs[0].dhcpv6 = false;
    configs[1].ipv6 = false;
    for (const PortConfig& config : configs)
        EXPECT_TRUE(reply(Dhcp6MessageType::solicit, client_id + ia_na(), config).empty());
}

TEST(Dhcp6Responder, frame_cut_at_every_length_stays_unanswered) {
    const auto whole = request(Dhcp6MessageType::solicit, client_id + ia_na(own_address));
    for (size_t length = 0; length < whole.size(); ++length)
        EXPECT_TRUE(reply_of(dhcp6_reply, service_config(),
                             {whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length)})
                        .empty())
            << length;
}

TEST(Dhcp6Responder, too_little_memory_means_no_reply) {
    const auto frame = request(Dhcp6MessageType::solicit, client_id + ia_na());
    const size_t size = reply_of(dhcp6_reply, service_config(), frame).size();
    ASSERT_GT(size, 0u);
    for (size_t room = 0; room < size; ++room) {
        std::vector<uint8_t> out(room);
        EXPECT_EQ(dhcp6_reply(service_config(), frame, out), 0u) << room;
    }
}

}  // namespace
}  // namespace pasta::core
