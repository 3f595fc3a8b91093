#include "dataplane/core/icmp_error.hpp"

#include <gmock/gmock.h>

#include <cerrno>

#include "tests/support/core_fixture.hpp"
#include "tests/support/guest_packets.hpp"

namespace pasta::core {
namespace {

using test::pattern;

class IcmpErrorTest : public test::CoreFixture {
  protected:
    IcmpErrorMessage message(const wire::IpAddress& guest, const wire::IpAddress& peer) {
        IcmpErrorMessage m;
        m.error = *icmp_for_errno(ECONNREFUSED, guest.is_v4());
        m.guest = guest;
        m.peer = peer;
        m.protocol = wire::protocol_udp;
        m.upper_length = 8;
        m.upper = quoted;
        return m;
    }
    test::SentFrame send(const IcmpErrorMessage& m) {
        send_icmp_error(context, *port(), port()->guest_mac, m);
        auto frame = sent();
        EXPECT_TRUE(frame);
        return *frame;
    }

    const std::vector<uint8_t> quoted = pattern(8);
};

TEST_F(IcmpErrorTest, v4_quotes_the_rebuilt_packet) {
    IcmpErrorMessage m = message(guest4, peer4);
    m.options = {7, 0x20, true};
    m.upper_length = 100;
    const auto frame = send(m);
    EXPECT_EQ(frame.ip.src, gateway4);
    EXPECT_EQ(frame.ip.dst, guest4);
    EXPECT_EQ(frame.ip.protocol, wire::protocol_icmp);
    EXPECT_TRUE(frame.upper_checksum_ok());
    EXPECT_FALSE(frame.checksum_offloaded);
    const auto error = wire::IcmpError::parse(frame.upper());
    EXPECT_EQ(error->type, wire::icmpv4::destination_unreachable);
    EXPECT_EQ(error->code, wire::icmpv4::port_unreachable);
    const auto inner = wire::Ipv4Header::parse(frame.upper().subspan(8), 120);
    ASSERT_TRUE(inner) << "the quoted header's checksum or lengths are wrong";
    EXPECT_EQ(inner->src, guest4);
    EXPECT_EQ(inner->dst, peer4);
    EXPECT_EQ(inner->ttl, 7);
    EXPECT_EQ(inner->tos, 0x20);
    EXPECT_TRUE(inner->dont_fragment);
    EXPECT_EQ(inner->total_length, 120);
    EXPECT_THAT(frame.upper().subspan(28), ::testing::ElementsAreArray(quoted));
    EXPECT_EQ(context.counters.icmp_errors_to_tap.value(), 1u);
}

TEST_F(IcmpErrorTest, v6_has_a_checksum_with_the_pseudo_header) {
    const auto frame = send(message(guest6, peer6));
    EXPECT_EQ(frame.ip.src, port()->config.our_link_local);
    EXPECT_EQ(frame.ip.protocol, wire::protocol_icmpv6);
    EXPECT_TRUE(frame.upper_checksum_ok());
    const auto error = wire::IcmpError::parse(frame.upper());
    EXPECT_EQ(error->type, wire::icmpv6::destination_unreachable);
    EXPECT_EQ(error->code, wire::icmpv6::port_unreachable);
    const auto inner = wire::Ipv6Header::parse(frame.upper().subspan(8), 48);
    ASSERT_TRUE(inner);
    EXPECT_EQ(inner->src, guest6);
    EXPECT_EQ(inner->dst, peer6);
}

TEST_F(IcmpErrorTest, long_quotes_are_cut_to_what_the_rfcs_allow) {
    const auto long_quote = pattern(3000);
    IcmpErrorMessage m = message(guest4, peer4);
    m.upper = long_quote;
    m.upper_length = 3000;
    EXPECT_EQ(send(m).bytes.size(), 14u + 576);
    m = message(guest6, peer6);
    m.upper = long_quote;
    m.upper_length = 3000;
    EXPECT_EQ(send(m).bytes.size(), 14u + 1280);
}

TEST_F(IcmpErrorTest, offender_is_the_source_unless_the_guest_could_not_accept_it) {
    IcmpErrorMessage m = message(guest4, peer4);
    const auto router = wire::IpAddress::v4(203, 0, 113, 254);
    m.offender = router;
    EXPECT_EQ(send(m).ip.src, router);
    m.offender = guest4;  // the host, whose address the guest shares
    EXPECT_EQ(send(m).ip.src, gateway4);
    m.offender = wire::IpAddress::v4(127, 0, 0, 1);
    EXPECT_EQ(send(m).ip.src, gateway4);
    m.offender = peer6;
    EXPECT_EQ(send(m).ip.src, gateway4);
    port()->config.gateway4.reset();
    EXPECT_EQ(send(m).ip.src, peer4);
}

TEST_F(IcmpErrorTest, info_carries_the_mtu) {
    IcmpErrorMessage m = message(guest4, peer4);
    m.error = *icmp_for_errno(EMSGSIZE, true);
    m.error.info = 1400;
    auto error = wire::IcmpError::parse(send(m).upper());
    EXPECT_EQ(error->code, wire::icmpv4::fragmentation_needed);
    EXPECT_EQ(error->info, 1400u);
    m = message(guest6, peer6);
    m.error = *icmp_for_errno(EMSGSIZE, false);
    m.error.info = 1400;
    error = wire::IcmpError::parse(send(m).upper());
    EXPECT_EQ(error->type, wire::icmpv6::packet_too_big);
    EXPECT_EQ(error->info, 1400u);
}

TEST_F(IcmpErrorTest, no_chunk_is_a_counted_drop) {
    Chain all;
    for (ChunkId id = cache.alloc(); id != no_chunk; id = cache.alloc())
        all.append(arena, id);
    send_icmp_error(context, *port(), port()->guest_mac, message(guest4, peer4));
    EXPECT_FALSE(sent());
    EXPECT_EQ(context.counters.drop_no_chunk.value(), 1u);
    cache.unref(all);
}

TEST(IcmpForErrno, tells_apart_what_the_network_would) {
    EXPECT_EQ(icmp_for_errno(ENETUNREACH, true)->code, wire::icmpv4::net_unreachable);
    EXPECT_EQ(icmp_for_errno(EHOSTUNREACH, true)->code, wire::icmpv4::host_unreachable);
    EXPECT_EQ(icmp_for_errno(EACCES, true)->code, wire::icmpv4::administratively_prohibited);
    EXPECT_EQ(icmp_for_errno(ENETUNREACH, false)->code, wire::icmpv6::no_route);
    EXPECT_EQ(icmp_for_errno(EHOSTUNREACH, false)->code, wire::icmpv6::address_unreachable);
    EXPECT_EQ(icmp_for_errno(EPERM, false)->code, wire::icmpv6::administratively_prohibited);
    EXPECT_FALSE(icmp_for_errno(EMFILE, true));
    EXPECT_FALSE(icmp_for_errno(EMFILE, false));
}

}  // namespace
}  // namespace pasta::core
