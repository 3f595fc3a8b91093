// Datagrams in batches, in and out of sockets that serve many peers.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "dataplane/core/datagram_flow.hpp"
#include "dataplane/host/socket_address.hpp"

namespace pasta::host {

/// Datagrams of one sender that the kernel handed over as one.
struct UdpBurst {
    core::Endpoint source;
    uint32_t scope = 0;             ///< of a link-local source: index of the interface
    wire::IpAddress local;          ///< where they were sent to; unspecified when not known
    core::ReceivedOptions options;  ///< of the IP header, if the socket tells them
    std::span<const uint8_t> data;  ///< one after the other
    uint16_t segment = 0;           ///< bytes of each but the last, if there are several; else 0

    /// Bytes of the first.
    size_t size() const { return segment != 0 ? segment : data.size(); }
    std::span<const uint8_t> datagram(size_t i) const {
        return data.subspan(i * size(), std::min(size(), data.size() - i * size()));
    }
    size_t count() const { return segment != 0 ? (data.size() + segment - 1) / segment : 1; }
};

/// Asks a listening UDP socket, of either family or both, for what UdpReader tells: local
/// addresses, TTL and TOS, and bursts (UDP_GRO, udp(7)), for which it gets room. False when the
/// kernel refuses.
bool set_up_udp_listener(int fd);

/// Receives with recvmmsg(2).
class UdpReader {
  public:
    struct Batch {
        std::span<const UdpBurst> bursts;  ///< valid until the next read
        int error = 0;                     ///< errno that the socket had to report, if any
        bool drained = false;              ///< nothing was left
    };

    UdpReader();
    Batch read(int fd);

  private:
    static constexpr size_t slots = 32;
    static constexpr size_t slot_size = 65536;

    struct alignas(cmsghdr) Control {
        std::array<uint8_t, 256> bytes;
    };

    /// Pages that no datagram reached cost no memory.
    std::unique_ptr<uint8_t[]> data_;
    std::array<iovec, slots> iov_{};
    std::array<mmsghdr, slots> headers_{};
    std::array<SocketAddress, slots> sources_;
    std::array<Control, slots> controls_;
    std::array<UdpBurst, slots> bursts_;
};

/// Sends with sendmmsg(2); runs of equal datagrams go as one message that the kernel segments
/// (UDP_SEGMENT, udp(7)) where it can.
class UdpWriter {
  public:
    struct Result {
        size_t sent = 0, dropped = 0;  ///< datagrams
        size_t bytes = 0;              ///< of those sent
        int error = 0;                 ///< errno that a connected socket had to report, if any
    };
    /// Whom an unconnected socket sends to, and from which of its addresses.
    struct Addresses {
        core::Endpoint to;
        wire::IpAddress from;
    };

    /// Sends what bursts hold, in order; their sources do not matter. Nothing is kept: what the
    /// socket does not take is dropped.
    Result send(int fd, std::span<const UdpBurst> bursts,
                const std::optional<Addresses>& addresses = std::nullopt);

  private:
    static constexpr size_t window = 32;               ///< bursts in one call
    static constexpr size_t max_joined = 64;           ///< UDP_MAX_SEGMENTS of older kernels
    static constexpr size_t max_joined_bytes = 65000;  ///< less than a datagram may have

    struct Message {
        std::span<const UdpBurst> bursts;
        size_t bytes = 0, count = 0, segment = 0;
        bool full = false;  ///< the last datagram is shorter than the others
    };
    struct alignas(cmsghdr) Control {
        std::array<uint8_t, 64> bytes;
    };

    size_t build(std::span<const UdpBurst> bursts);
    bool join(Message& message, const UdpBurst& burst) const;
    void address(msghdr& header, Control& control, size_t segment);
    void send_messages(int fd, size_t count, Result& result);
    void send_singly(int fd, const Message& message, Result& result);
    bool send_one(int fd, std::span<const uint8_t> datagram, Result& result);

    bool addressed_ = false;
    SocketAddress to_;
    wire::IpAddress from_;
    std::array<iovec, window> iov_{};
    std::array<Message, window> messages_{};
    std::array<mmsghdr, window> headers_{};
    std::array<Control, window> controls_{};
};

}  // namespace pasta::host
