// Sending the datagrams that flows hold.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <vector>

#include "dataplane/core/datagram_engine.hpp"

namespace pasta::host {

/// Sends with sendmmsg(2) straight from the chunks; runs of equal UDP datagrams go as one message
/// that the kernel segments (UDP_SEGMENT, udp(7)).
class DatagramSender {
  public:
    explicit DatagramSender(core::ChunkArena& arena) : arena_(arena), iov_(max_iov) {}

    /// Executes a send operation of `flow`, whose socket is open.
    void send(core::DatagramEngine& engine, core::DatagramFlow& flow);

  private:
    static constexpr size_t max_messages = 64;
    static constexpr size_t max_iov = 1024;
    static constexpr size_t max_segments = 64;      ///< UDP_MAX_SEGMENTS of older kernels
    static constexpr size_t max_segmented = 65000;  ///< bytes, less than a datagram may have

    /// What one message consists of.
    struct Message {
        size_t datagrams = 0;
        size_t segment = 0;  ///< size of its first datagram
        size_t bytes = 0;
        bool full = false;  ///< the last datagram was shorter than the first
    };

    size_t build(core::DatagramFlow& flow);
    bool join(const core::DatagramFlow& flow, Message& message, size_t size) const;
    void finish_messages(size_t count);

    core::ChunkArena& arena_;
    std::vector<iovec> iov_;
    std::array<mmsghdr, max_messages> headers_{};
    std::array<Message, max_messages> messages_{};
    struct alignas(cmsghdr) Control {
        std::array<uint8_t, CMSG_SPACE(sizeof(uint16_t))> bytes;
    };
    std::array<Control, max_messages> controls_{};
};

}  // namespace pasta::host
