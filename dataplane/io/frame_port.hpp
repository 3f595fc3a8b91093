// One queue of one link into a namespace, as a shard sees it.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/core/chunk.hpp"
#include "dataplane/core/tx_queue.hpp"

namespace pasta::io {

/// Counters of one port since it was opened. Kernel figures are read by statistics().
struct PortStatistics {
    uint64_t rx_frames = 0, rx_bytes = 0, rx_chunks = 0;
    uint64_t tx_frames = 0, tx_bytes = 0, tx_chunks = 0;
    uint64_t tx_kicks = 0, tx_kick_busy = 0;  ///< system calls to send; refused with EAGAIN/EBUSY
    uint64_t rx_oversize = 0;   ///< frames with more chunks than any link's MTU needs, dropped
    uint64_t fill_starved = 0;  ///< times that no free chunk could be given to the fill ring
    // struct xdp_statistics
    uint64_t kernel_rx_dropped = 0, kernel_rx_invalid = 0, kernel_tx_invalid = 0;
    uint64_t kernel_rx_ring_full = 0, kernel_fill_ring_empty = 0, kernel_tx_ring_empty = 0;
};

/// Receives and sends batches of frames. Single-threaded: all calls come from one shard. Never
/// blocks, never throws after construction; what does not fit is left where it was.
class FramePort {
  public:
    virtual ~FramePort() = default;
    /// Gives the port the stock of the shard that will poll it, and lets it take chunks to receive
    /// into. Once, before any other call but statistics(), in the thread that will make those.
    virtual void bind_cache(core::ChunkCache& cache) = 0;
    /// Puts up to frames.size() received frames into `frames`, each a Chain (with offset and len
    /// set in its chunks) that the caller owns, and refills the fill ring. Returns how many.
    virtual size_t receive(std::span<core::Chain> frames) = 0;
    /// Reaps completions (dropping their references), then moves frames from the queue to the
    /// device while they fit. Does not enter the kernel. Returns how many frames were moved.
    virtual size_t transmit(core::TxQueue& queue) = 0;
    /// Tells the kernel about what transmit() queued, if it has to be told; then reaps completions.
    virtual void flush() = 0;
    /// True while frames are queued in the device that the kernel has not taken yet.
    virtual bool tx_pending() const = 0;
    /// True while the port lacks chunks to receive into: nothing will wake its shard then, which
    /// has to look again by itself.
    virtual bool starved() const = 0;
    /// Readable when receive() would return something; for epoll.
    virtual int wait_fd() const = 0;
    /// Chunks now in the fill, receive and transmit rings, for the conservation check.
    virtual size_t chunks_in_rings() const = 0;
    virtual PortStatistics statistics() const = 0;
};

}  // namespace pasta::io
