// Frames that the engine made and the port has not taken yet.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/core/chunk.hpp"

namespace pasta::core {

/// What the sender asks to be completed in a frame: the checksum field, which holds the folded,
/// not inverted pseudo-header sum, is at csum_start + csum_offset; the sum runs from csum_start to
/// the end of the frame (as struct virtio_net_hdr and xsk_tx_metadata have it).
struct TxFrame {
    uint16_t slices = 0;
    uint16_t csum_start = 0;   ///< bytes from the start of the frame; 0 = nothing to complete
    uint16_t csum_offset = 0;  ///< bytes from csum_start
};

/// A bounded FIFO of frames for one port on one shard. It owns one reference per slice; the port
/// takes frames from the front together with those references. Bounded so that a port that does
/// not drain makes the engine stop reading sockets (see room()) instead of growing memory.
class TxQueue {
  public:
    /// Capacity in slices (and frames); a power of two.
    explicit TxQueue(size_t capacity = 4096) : slices_(capacity), frames_(capacity) {
        assert((capacity & (capacity - 1)) == 0);
    }

    bool empty() const { return frame_head_ == frame_tail_; }
    size_t frames() const { return frame_tail_ - frame_head_; }
    /// Slices that still fit.
    size_t room() const { return slices_.size() - (slice_tail_ - slice_head_); }

    /// Takes over one reference per slice. False, and nothing taken, when there is no room.
    bool push(std::span<const Slice> slices, uint16_t csum_start, uint16_t csum_offset) {
        assert(!slices.empty() && slices.size() <= max_tx_slices);
        if (slices.size() > room()) return false;
        for (const Slice& slice : slices)
            slices_[slice_tail_++ & mask()] = slice;
        frames_[frame_tail_++ & mask()] = {static_cast<uint16_t>(slices.size()), csum_start,
                                           csum_offset};
        return true;
    }
    /// The first frame; only if not empty.
    const TxFrame& front() const { return frames_[frame_head_ & mask()]; }
    /// The i-th slice of the first frame.
    const Slice& front_slice(size_t i) const { return slices_[(slice_head_ + i) & mask()]; }
    /// Removes the first frame; the caller has its references now.
    void pop() {
        slice_head_ += front().slices;
        ++frame_head_;
    }

  private:
    size_t mask() const { return slices_.size() - 1; }

    std::vector<Slice> slices_;
    std::vector<TxFrame> frames_;
    size_t slice_head_ = 0, slice_tail_ = 0;
    size_t frame_head_ = 0, frame_tail_ = 0;
};

}  // namespace pasta::core
