// How much of a link's buffers one flow may fill.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/core/chunk.hpp"
#include "dataplane/core/time.hpp"

namespace pasta::core {

/// Chunks that a port's receive and fill rings hold. What the namespaces' flows may send unasked
/// (their windows) has to fit in, or the kernel drops it.
inline constexpr size_t rx_ring_chunks = 4096;
/// Frames that the receiving side of a veth holds: net.core.netdev_max_backlog is 1000 by default,
/// and the namespace's other links need some of it.
inline constexpr size_t veth_backlog_frames = 700;

/// The buffers of one link, divided among the flows that moved data in the last moments. A flow
/// that starts counts at once, one that rests is forgotten after one to two periods.
class LinkShare {
  public:
    explicit LinkShare(uint32_t mtu)
        : rx_bytes_(rx_ring_chunks * 3 / 4 * std::min<size_t>(mtu, chunk_size - rx_headroom)),
          tx_bytes_(veth_backlog_frames * mtu) {}

    /// A flow moves data. `mark` is the flow's own and starts as 0.
    void note(uint32_t& mark, Time now) {
        if (now - start_ >= period) turn(now);
        if (mark == turn_) return;
        mark = turn_;
        ++current_;
    }
    /// Bytes that one flow may make the namespace send at once.
    uint32_t receive() const { return share(rx_bytes_); }
    /// Bytes that one flow may send to the namespace at once.
    uint32_t transmit() const { return share(tx_bytes_); }

  private:
    static constexpr Time period = 20 * millisecond;
    static constexpr size_t least = 64u << 10;

    void turn(Time now) {
        previous_ = now - start_ < 2 * period ? current_ : 0;
        current_ = 0;
        start_ = now;
        ++turn_;
    }
    uint32_t share(size_t bytes) const {
        const size_t flows = std::max({previous_, current_, 1u});
        return static_cast<uint32_t>(std::clamp<size_t>(bytes / flows, least, UINT32_MAX));
    }

    size_t rx_bytes_, tx_bytes_;
    Time start_ = 0;
    uint32_t turn_ = 1;
    uint32_t current_ = 0, previous_ = 0;
};

}  // namespace pasta::core
