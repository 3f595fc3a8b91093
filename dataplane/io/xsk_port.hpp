// One queue of a network device served by an AF_XDP socket.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/core/link_share.hpp"
#include "dataplane/io/frame_port.hpp"
#include "dataplane/io/umem.hpp"
#include "dataplane/io/unique_fd.hpp"
#include "dataplane/io/xsk_ring.hpp"

namespace pasta::io {

/// Sizes of a port's rings in descriptors, powers of two, and limits of its fill ring in chunks.
struct XskPortOptions {
    uint32_t rx_ring = core::rx_ring_chunks;
    uint32_t tx_ring = 2048;                   ///< also of the completion ring
    uint32_t idle_fill = 64;                   ///< chunks that an idle port keeps in its fill ring
    uint32_t max_fill = core::rx_ring_chunks;  ///< where growth ends; size of the fill ring
    /// So many calls of receive() in a row that find little make the fill ring shrink. A busy port
    /// makes some 40000 a second: less than a second would have it swing with every lull.
    uint32_t shrink_after = 32768;
};

/// AF_XDP in copy mode, multi-buffer, on the process's shared UMEM. How its chunks are counted:
///
///   fill ring   one reference each, known in `filled_` until the chunk comes back in the rx ring
///   rx ring     the same; receive() hands the reference on in a Chain
///   partial_    chunks of a frame whose end has not arrived yet
///   tx ring     one reference per descriptor, known in `in_flight_` until its completion
///
/// The fill level adapts: it doubles when a burst used more than half of it, and shrinks by
/// leaving used chunks unreplaced when little was used for long (see adapt_fill()).
///
/// Frames given to transmit(): every slice has tx_metadata_size bytes free before it in its chunk,
/// and is not empty; the checksum field lies in the first slice.
class XskPort final : public FramePort {
  public:
    /// Call in a thread of the device's network namespace; the device must be up. It receives
    /// nothing until its fd() is in the XSKMAP and bind_cache() was called. `umem` must outlive
    /// the port. Throws std::system_error naming the step.
    XskPort(Umem& umem, int ifindex, uint32_t queue, const XskPortOptions& options = {});
    XskPort(const XskPort&) = delete;
    XskPort& operator=(const XskPort&) = delete;
    /// Closes the socket, then drops the references of all chunks still in the rings through the
    /// bound cache. So: in the thread that owns the cache, or after that thread has ended.
    ~XskPort() override;

    /// The socket, for the XSKMAP.
    int fd() const { return socket_.get(); }
    /// True once the device has gone away: nothing is received or sent any more.
    bool dead() const { return dead_; }

    void bind_cache(core::ChunkCache& cache) override;
    size_t receive(std::span<core::Chain> frames) override;
    size_t transmit(core::TxQueue& queue) override;
    void flush() override;
    bool tx_pending() const override;
    bool starved() const override { return filled_count_ < options_.idle_fill && !dead_; }
    int wait_fd() const override { return socket_.get(); }
    size_t chunks_in_rings() const override;
    PortStatistics statistics() const override;

  private:
    void bind_socket(int ifindex, uint32_t queue);
    void refill();
    void adapt_fill(size_t used);
    bool take_descriptor(const xdp_desc& desc, core::Chain& frame);
    void reap_completions();
    void complete(core::ChunkId chunk);
    void put_frame(const core::TxQueue& queue);
    void request_checksum(const core::TxFrame& frame, const core::Slice& first);
    void complete_checksum(const core::TxQueue& queue);

    Umem& umem_;
    core::ChunkArena& arena_;
    core::ChunkCache* cache_ = nullptr;
    const XskPortOptions options_;
    UniqueFd socket_;
    xdp_mmap_offsets offsets_;
    RingMapping fill_map_, completion_map_, rx_map_, tx_map_;
    xsk_ring_prod fill_, tx_;
    xsk_ring_cons completion_, rx_;

    std::vector<bool> filled_;  ///< by chunk: in the fill ring, or received and not yet read
    size_t filled_count_ = 0;
    size_t fill_target_;
    uint32_t quiet_bursts_ = 0;
    core::Chain partial_;
    bool discarding_ = false;  ///< inside a frame with too many chunks
    std::vector<core::ChunkId>
        in_flight_;  ///< FIFO, by index modulo its size (that of the tx ring)
    uint32_t in_flight_head_ = 0, in_flight_tail_ = 0;
    bool dead_ = false;
    PortStatistics statistics_;
};

}  // namespace pasta::io
