// ICMP and ICMPv6 errors towards a namespace.
#pragma once

#include <optional>

#include "dataplane/core/context.hpp"
#include "dataplane/core/datagram_queue.hpp"
#include "dataplane/wire/icmp.hpp"

namespace pasta::core {

/// So many bytes of the upper layer are quoted at most: all that fits into 576 bytes of IPv4 (RFC
/// 1812, 4.3.2.3) or into the minimum MTU of IPv6 (RFC 4443, 2.4 (c)).
inline constexpr size_t max_quote4 = 576 - 20 - wire::IcmpError::size - 20;
inline constexpr size_t max_quote6 = 1280 - 40 - wire::IcmpError::size - 40;
inline constexpr size_t max_quote = max_quote6;

/// An error about a packet that the namespace sent. The packet's IP header is rebuilt from the
/// fields, with a fresh identification.
struct IcmpErrorMessage {
    wire::IcmpError error;  ///< type, code and info; its checksum is not looked at
    /// Who reports it. Not used where the namespace could not accept it as a source: then the
    /// router's address is (or the peer's, when there is no router).
    std::optional<wire::IpAddress> offender;
    wire::IpAddress guest, peer;  ///< source and destination of the packet in question
    uint8_t protocol = 0;         ///< its upper layer
    DatagramOptions options{};    ///< its hop limit, traffic class and DF
    uint32_t upper_length = 0;    ///< bytes of its upper layer, header included
    wire::Bytes upper;            ///< as many of them as are known; longer ones are cut
};

/// The error that tells the namespace about a failed system call, without its info (the MTU for
/// EMSGSIZE). Nothing for errors that no network would report.
std::optional<wire::IcmpError> icmp_for_errno(int host_errno, bool is_v4);

/// Writes the ICMP message, with the packet as `guest` sent it to `peer`, to `out`, which has room
/// for a chunk's worth; returns its size. ICMP's checksum is complete, ICMPv6's is left 0: it
/// covers addresses that only the sender of the message knows.
size_t emit_icmp_error(const IcmpErrorMessage& message, wire::MutableBytes out);

/// Queues the error. Counted drop when chunks or the queue's room ran out.
void send_icmp_error(Context& context, Port& port, const wire::MacAddress& dst_mac,
                     const IcmpErrorMessage& message);

}  // namespace pasta::core
