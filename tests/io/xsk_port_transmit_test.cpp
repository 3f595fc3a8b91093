// XskPort on a real veth pair: transmitting to the guest's kernel, checksums, completions.
#include "tests/io/veth_lab.hpp"

namespace pasta::testing {
namespace {

constexpr uint16_t guest_port = 4000;

/// Sends the datagram and checks that exactly its bytes arrive.
void send_and_compare(Lab& lab, Guest& guest, io::XskPort& port, int socket_fd,
                      const Frame& payload, size_t piece) {
    core::TxQueue queue;
    const auto slices = udp_frame(lab, guest, guest_port, payload, piece);
    ASSERT_TRUE(queue.push(slices, udp_csum_start, wire::udp_checksum_offset));
    ASSERT_EQ(port.transmit(queue), 1U);
    port.flush();
    EXPECT_FALSE(port.tx_pending());
    EXPECT_EQ(receive_datagram(socket_fd), payload);
}

void every_length_arrives(io::Umem::TxMetadata metadata, bool software_checksums) {
    Lab lab(Lab::default_bytes, metadata);
    ASSERT_EQ(lab.umem->software_checksums(), software_checksums);
    const auto guest = lab.guest("p-tx");
    const auto port = lab.port(*guest);
    const io::UniqueFd receiver = guest->udp_socket(guest_port);
    uint32_t seed = 0;
    for (const size_t length : {0, 1, 17, 1000, 3958, 3959, 9001, 30000, 65492})
        send_and_compare(lab, *guest, *port, receiver.get(), pattern(length, ++seed), 4072);
    // Odd pieces: bytes change places in the words that are summed.
    send_and_compare(lab, *guest, *port, receiver.get(), pattern(1000, 99), 77);
    EXPECT_EQ(guest->udp_counter("InCsumErrors"), 0U);
    EXPECT_EQ(port->statistics().kernel_tx_invalid, 0U);
    EXPECT_EQ(lab.accounted({port.get()}), lab.umem->size());
}

TEST(XskPortTransmit, DatagramsOfEveryLengthArriveWithOffloadedChecksums) {
    every_length_arrives(io::Umem::TxMetadata::if_supported, false);
}

TEST(XskPortTransmit, DatagramsOfEveryLengthArriveWithSoftwareChecksums) {
    every_length_arrives(io::Umem::TxMetadata::never, true);
}

TEST(XskPortTransmit, WithoutARequestTheGuestVerifiesTheChecksum) {
    Lab lab;
    const auto guest = lab.guest("p-tx");
    const auto port = lab.port(*guest);
    const io::UniqueFd receiver = guest->udp_socket(guest_port);
    core::TxQueue queue;
    ASSERT_TRUE(queue.push(udp_frame(lab, *guest, guest_port, pattern(100, 1)), 0, 0));
    ASSERT_TRUE(queue.push(udp_frame(lab, *guest, guest_port, pattern(100, 2)), udp_csum_start,
                           wire::udp_checksum_offset));
    ASSERT_EQ(port->transmit(queue), 2U);
    port->flush();
    EXPECT_EQ(receive_datagram(receiver.get()), pattern(100, 2));
    EXPECT_EQ(guest->udp_counter("InCsumErrors"), 1U);
}

TEST(XskPortTransmit, OneKickSendsAFullRing) {
    Lab lab;
    const auto guest = lab.guest("p-tx");
    const auto port = lab.port(*guest, 0, {.tx_ring = 512});
    const io::UniqueFd receiver = guest->udp_socket(guest_port);
    core::TxQueue queue;
    for (uint32_t i = 0; i < 30; ++i)  // 30 frames of 17 descriptors
        ASSERT_TRUE(queue.push(udp_frame(lab, *guest, guest_port, pattern(65000, i), 4072),
                               udp_csum_start, wire::udp_checksum_offset));
    EXPECT_EQ(port->transmit(queue), 30U);
    EXPECT_TRUE(port->tx_pending());
    port->flush();
    EXPECT_FALSE(port->tx_pending());
    EXPECT_EQ(port->statistics().tx_kicks, 1U);
    for (uint32_t i = 0; i < 30; ++i)
        ASSERT_EQ(receive_datagram(receiver.get()), pattern(65000, i)) << i;
}

TEST(XskPortTransmit, FramesThatDoNotFitStayInTheQueue) {
    Lab lab;
    const auto guest = lab.guest("p-tx");
    const auto port = lab.port(*guest, 0, {.tx_ring = 32});
    const io::UniqueFd receiver = guest->udp_socket(guest_port);
    core::TxQueue queue;
    for (uint32_t i = 0; i < 3; ++i)
        ASSERT_TRUE(queue.push(udp_frame(lab, *guest, guest_port, pattern(50000, i), 4072),
                               udp_csum_start, wire::udp_checksum_offset));
    EXPECT_EQ(port->transmit(queue), 2U);
    EXPECT_EQ(queue.frames(), 1U);
    port->flush();
    EXPECT_EQ(port->transmit(queue), 1U);
    port->flush();
    for (uint32_t i = 0; i < 3; ++i)
        ASSERT_EQ(receive_datagram(receiver.get()), pattern(50000, i));
    EXPECT_EQ(lab.accounted({port.get()}), lab.umem->size());
}

TEST(XskPortTransmit, CompletionDropsOnlyThePortsReference) {
    Lab lab;
    const auto guest = lab.guest("p-tx");
    const auto port = lab.port(*guest);
    const io::UniqueFd receiver = guest->udp_socket(guest_port);
    const auto slices = udp_frame(lab, *guest, guest_port, pattern(9000, 1));
    core::TxQueue queue;
    for (int copies = 0; copies < 2; ++copies) {  // as a retransmission: twice in the ring
        for (const core::Slice& slice : slices)
            lab.cache.ref(slice.chunk);
        ASSERT_TRUE(queue.push(slices, udp_csum_start, wire::udp_checksum_offset));
    }
    ASSERT_EQ(port->transmit(queue), 2U);
    EXPECT_EQ(lab.umem->arena().meta(slices[0].chunk).refs, 3);
    port->flush();
    for (int copies = 0; copies < 2; ++copies)
        EXPECT_EQ(receive_datagram(receiver.get()), pattern(9000, 1));
    for (const core::Slice& slice : slices) {
        EXPECT_EQ(lab.umem->arena().meta(slice.chunk).refs, 1);
        lab.cache.unref(slice.chunk);
    }
    EXPECT_EQ(lab.accounted({port.get()}), lab.umem->size());
}

TEST(XskPortTransmit, ClosingAPortGivesBackFramesThatWereNeverKicked) {
    Lab lab;
    const auto guest = lab.guest("p-tx");
    auto port = lab.port(*guest);
    core::TxQueue queue;
    for (uint32_t i = 0; i < 10; ++i)
        ASSERT_TRUE(queue.push(udp_frame(lab, *guest, guest_port, pattern(20000, i)),
                               udp_csum_start, wire::udp_checksum_offset));
    ASSERT_EQ(port->transmit(queue), 10U);
    EXPECT_EQ(lab.accounted({port.get()}), lab.umem->size());
    port.reset();
    EXPECT_EQ(lab.accounted(), lab.umem->size());
}

TEST(XskPortTransmit, PortWithoutItsLinkIsDeadAndTakesNothing) {
    Lab lab;
    auto guest = lab.guest("p-tx");
    const auto port = lab.port(*guest);
    core::TxQueue queue;
    for (uint32_t i = 0; i < 2; ++i)
        ASSERT_TRUE(queue.push(udp_frame(lab, *guest, guest_port, pattern(100, i)), udp_csum_start,
                               wire::udp_checksum_offset));
    ASSERT_EQ(port->transmit(queue), 2U);
    ASSERT_TRUE(queue.push(udp_frame(lab, *guest, guest_port, pattern(100, 3)), udp_csum_start,
                           wire::udp_checksum_offset));
    guest.reset();
    port->flush();
    EXPECT_TRUE(port->dead());
    EXPECT_FALSE(port->tx_pending());
    EXPECT_EQ(port->transmit(queue), 0U);
    lab.cache.unref(queue.front_slice(0).chunk);
    queue.pop();
    EXPECT_EQ(lab.accounted({port.get()}), lab.umem->size());
}

TEST(XskPortTransmit, EveryQueueSends) {
    Lab lab;
    const auto guest = lab.guest("p-tx", 2);
    const auto first = lab.port(*guest, 0), second = lab.port(*guest, 1);
    const io::UniqueFd receiver = guest->udp_socket(guest_port);
    for (uint32_t i = 0; i < 5; ++i) {
        send_and_compare(lab, *guest, *first, receiver.get(), pattern(5000, i), 4072);
        send_and_compare(lab, *guest, *second, receiver.get(), pattern(6000, i), 4072);
    }
}

}  // namespace
}  // namespace pasta::testing
