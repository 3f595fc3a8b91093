#include "dataplane/io/xsk_port.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "dataplane/io/xdp_uapi.hpp"
#include "dataplane/wire/bytes.hpp"
#include "dataplane/wire/checksum.hpp"

namespace pasta::io {

namespace {

/// The longest frame of a link with the largest MTU, as the kernel cuts it into chunks.
constexpr uint32_t max_rx_chunks = 18;
static_assert(max_rx_chunks * (core::chunk_size - core::rx_headroom) >= 65535);

/// A kick sends at most one ring, and an EBUSY costs one frame each: this ends a flush() that a
/// dropping device would keep busy.
constexpr int max_kicks = 64;

[[noreturn]] void fail(const char* doing) {
    throw std::system_error(errno, std::generic_category(), doing);
}

core::ChunkId chunk_of(uint64_t address) {
    return static_cast<core::ChunkId>(address / core::chunk_size);
}

uint64_t address_of(core::ChunkId chunk, uint16_t offset = 0) {
    return uint64_t{chunk} * core::chunk_size + offset;
}

UniqueFd open_socket() {
    UniqueFd fd(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!fd) fail("cannot create an AF_XDP socket");
    return fd;
}

XskPortOptions checked(const XskPortOptions& options) {
    if (!std::has_single_bit(options.rx_ring) || !std::has_single_bit(options.tx_ring) ||
        !std::has_single_bit(options.max_fill) || options.tx_ring < 32 ||
        options.idle_fill > options.max_fill || options.idle_fill == 0)
        throw std::invalid_argument("AF_XDP ring sizes must be powers of two, from 32");
    return options;
}

}  // namespace

XskPort::XskPort(Umem& umem, int ifindex, uint32_t queue, const XskPortOptions& options)
    : umem_(umem),
      arena_(umem.arena()),
      options_(checked(options)),
      socket_(open_socket()),
      offsets_(ring_offsets(socket_.get())),
      fill_map_(socket_.get(), XDP_UMEM_FILL_RING, XDP_UMEM_PGOFF_FILL_RING, offsets_.fr,
                options_.max_fill, sizeof(uint64_t)),
      completion_map_(socket_.get(), XDP_UMEM_COMPLETION_RING, XDP_UMEM_PGOFF_COMPLETION_RING,
                      offsets_.cr, options_.tx_ring, sizeof(uint64_t)),
      rx_map_(socket_.get(), XDP_RX_RING, XDP_PGOFF_RX_RING, offsets_.rx, options_.rx_ring,
              sizeof(xdp_desc)),
      tx_map_(socket_.get(), XDP_TX_RING, XDP_PGOFF_TX_RING, offsets_.tx, options_.tx_ring,
              sizeof(xdp_desc)),
      fill_(fill_map_.producer()),
      tx_(tx_map_.producer()),
      completion_(completion_map_.consumer()),
      rx_(rx_map_.consumer()),
      filled_(umem.size()),
      fill_target_(options_.idle_fill),
      in_flight_(options_.tx_ring) {
    bind_socket(ifindex, queue);
}

void XskPort::bind_socket(int ifindex, uint32_t queue) {
    sockaddr_xdp address{};
    address.sxdp_family = AF_XDP;
    // Nothing else: copy mode, multi-buffer and need-wakeup come from the UMEM's own socket.
    address.sxdp_flags = XDP_SHARED_UMEM;
    address.sxdp_ifindex = static_cast<uint32_t>(ifindex);
    address.sxdp_queue_id = queue;
    address.sxdp_shared_umem_fd = static_cast<uint32_t>(umem_.fd());
    if (bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        fail("cannot bind an AF_XDP socket to the link");
    // Older kernels have no such option: then a kick sends 32 descriptors and flush() kicks again.
    setsockopt(socket_.get(), SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &options_.tx_ring,
               sizeof(options_.tx_ring));
}

XskPort::~XskPort() {
    socket_.reset();
    if (cache_ == nullptr) return;
    for (core::ChunkId chunk = 0; filled_count_ != 0; ++chunk) {
        if (!filled_[chunk]) continue;
        cache_->unref(chunk);
        --filled_count_;
    }
    cache_->unref(partial_);
    for (; in_flight_head_ != in_flight_tail_; ++in_flight_head_)
        cache_->unref(in_flight_[in_flight_head_ & tx_.mask]);
}

void XskPort::bind_cache(core::ChunkCache& cache) {
    assert(cache_ == nullptr);
    cache_ = &cache;
    refill();
}

/// Brings the fill level up to its target.
void XskPort::refill() {
    if (filled_count_ >= fill_target_ || dead_) return;
    // Chunks in the rx ring count as filled too, so that there is always room in the fill ring.
    const size_t missing = fill_target_ - filled_count_;
    const uint32_t start = fill_.cached_prod;
    uint32_t added = 0;
    while (added < missing) {
        const core::ChunkId chunk = cache_->alloc();
        if (chunk == core::no_chunk) {
            ++statistics_.fill_starved;
            fill_target_ = std::max<size_t>(fill_target_ / 2, options_.idle_fill);
            break;
        }
        *xsk_ring_prod__fill_addr(&fill_, start + added++) = address_of(chunk);
        filled_[chunk] = true;
        ++filled_count_;
    }
    fill_.cached_prod += added;
    xsk_ring_prod__submit(&fill_, added);
    // Copy mode looks at the ring with every frame; drivers that do not ask for this.
    if (xsk_ring_prod__needs_wakeup(&fill_)) recv(socket_.get(), nullptr, 0, MSG_DONTWAIT);
}

/// `used` chunks had arrived since the last look. More than half of the level: the next burst may
/// be larger, so double it. Under an eighth for many looks in a row: halve it. Chunks in the fill
/// ring cannot be taken back, so a level that fell is reached by not replacing what is received.
void XskPort::adapt_fill(size_t used) {
    if (used > fill_target_ / 2) {
        fill_target_ = std::min<size_t>(fill_target_ * 2, options_.max_fill);
        quiet_bursts_ = 0;
    } else if (used > fill_target_ / 8) {
        quiet_bursts_ = 0;
    } else if (++quiet_bursts_ >= options_.shrink_after) {
        fill_target_ = std::max<size_t>(fill_target_ / 2, options_.idle_fill);
        quiet_bursts_ = 0;
    }
}

size_t XskPort::receive(std::span<core::Chain> frames) {
    size_t count = 0;
    uint32_t used = 0;
    const uint32_t start = rx_.cached_cons;
    const uint32_t ready = __atomic_load_n(rx_.producer, __ATOMIC_ACQUIRE) - start;
    for (; used < ready && count < frames.size(); ++used)
        if (take_descriptor(*xsk_ring_cons__rx_desc(&rx_, start + used), frames[count])) ++count;
    if (used != 0) {
        rx_.cached_cons += used;
        xsk_ring_cons__release(&rx_, used);
        statistics_.rx_frames += count;
        statistics_.rx_chunks += used;
        adapt_fill(ready);
    }
    refill();  // in any case: a port that was starved has nothing to receive
    return count;
}

/// Adds the chunk to the frame being put together; true when that completes it into `frame`.
bool XskPort::take_descriptor(const xdp_desc& desc, core::Chain& frame) {
    const core::ChunkId chunk = chunk_of(desc.addr);
    assert(filled_[chunk]);
    filled_[chunk] = false;
    --filled_count_;
    core::ChunkMeta& meta = arena_.meta(chunk);
    meta.offset = static_cast<uint16_t>(desc.addr % core::chunk_size);
    meta.len = static_cast<uint16_t>(desc.len);
    const bool last = (desc.options & XDP_PKT_CONTD) == 0;
    if (partial_.count == max_rx_chunks && !discarding_) {
        discarding_ = true;
        cache_->unref(partial_);
        ++statistics_.rx_oversize;
    }
    if (discarding_) {
        cache_->unref(chunk);
        discarding_ = !last;
        return false;
    }
    partial_.append(arena_, chunk);
    if (!last) return false;
    statistics_.rx_bytes += partial_.bytes;
    frame = std::exchange(partial_, {});
    return true;
}

size_t XskPort::transmit(core::TxQueue& queue) {
    reap_completions();
    size_t moved = 0;
    uint32_t slices = 0;
    // in_flight_ is as large as the tx ring, which therefore has room when it does.
    while (!queue.empty() && !dead_ &&
           in_flight_tail_ - in_flight_head_ + queue.front().slices <= tx_.size) {
        slices += queue.front().slices;
        put_frame(queue);
        queue.pop();
        ++moved;
    }
    if (moved != 0) xsk_ring_prod__submit(&tx_, slices);
    statistics_.tx_frames += moved;
    statistics_.tx_chunks += slices;
    return moved;
}

/// Writes the descriptors of the queue's first frame.
void XskPort::put_frame(const core::TxQueue& queue) {
    const core::TxFrame& frame = queue.front();
    for (size_t i = 0; i < frame.slices; ++i) {
        const core::Slice& slice = queue.front_slice(i);
        // The kernel would drop the frame without completing it: its chunks would be lost.
        assert(slice.len != 0 && slice.offset >= core::tx_metadata_size);
        assert(size_t{slice.offset} + slice.len <= core::chunk_size);
        xdp_desc* desc = xsk_ring_prod__tx_desc(&tx_, tx_.cached_prod++);
        desc->addr = address_of(slice.chunk, slice.offset);
        desc->len = slice.len;
        desc->options = i + 1U < frame.slices ? XDP_PKT_CONTD : 0;
        if (i == 0 && frame.csum_start != 0 && !umem_.software_checksums()) {
            request_checksum(frame, slice);
            desc->options |= XDP_TX_METADATA;
        }
        in_flight_[in_flight_tail_++ & tx_.mask] = slice.chunk;
        statistics_.tx_bytes += slice.len;
    }
    if (frame.csum_start != 0 && umem_.software_checksums()) complete_checksum(queue);
}

/// Leaves the sum to whoever verifies it: a namespace on this host never does.
void XskPort::request_checksum(const core::TxFrame& frame, const core::Slice& first) {
    assert(frame.csum_start + frame.csum_offset + 2 <= first.len);
    XskTxMetadata metadata{};
    metadata.flags = XDP_TXMD_FLAGS_CHECKSUM;
    metadata.csum_start = frame.csum_start;
    metadata.csum_offset = frame.csum_offset;
    uint8_t* data = arena_.data(first.chunk) + first.offset;
    std::memcpy(data - sizeof(metadata), &metadata, sizeof(metadata));
}

/// Sums the frame from csum_start; the pseudo-header's sum is in the field already.
void XskPort::complete_checksum(const core::TxQueue& queue) {
    const core::TxFrame& frame = queue.front();
    wire::ChecksumAccumulator sum;
    for (size_t i = 0; i < frame.slices; ++i) {
        wire::Bytes piece = arena_.bytes(queue.front_slice(i));
        sum.add(i == 0 ? piece.subspan(frame.csum_start) : piece);
    }
    const uint16_t checksum = sum.finish();
    const std::span<uint8_t> first = arena_.bytes(queue.front_slice(0));
    // Zero means "no checksum" in UDP and is the same number as 0xffff everywhere (RFC 768).
    wire::store_be16(&first[frame.csum_start + frame.csum_offset],
                     checksum == 0 ? uint16_t{0xffff} : checksum);
}

void XskPort::flush() {
    for (int kick = 0; kick < max_kicks && tx_pending(); ++kick) {
        if (!xsk_ring_prod__needs_wakeup(&tx_)) break;
        ++statistics_.tx_kicks;
        if (sendto(socket_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0) continue;
        // EBUSY: the device dropped one frame, the others wait for the next kick.
        // EAGAIN and ENOBUFS: no budget or no memory now; later kicks take up from there.
        if (errno != EAGAIN && errno != EBUSY && errno != ENOBUFS && errno != EINTR) {
            dead_ = true;
            break;
        }
        ++statistics_.tx_kick_busy;
        if (errno == ENOBUFS) break;
        reap_completions();
    }
    reap_completions();
}

bool XskPort::tx_pending() const {
    return !dead_ && __atomic_load_n(tx_.consumer, __ATOMIC_ACQUIRE) != tx_.cached_prod;
}

void XskPort::reap_completions() {
    const uint32_t ready = xsk_cons_nb_avail(&completion_, completion_.size);
    if (ready == 0) return;
    for (uint32_t i = 0; i < ready; ++i)
        complete(chunk_of(*xsk_ring_cons__comp_addr(&completion_, completion_.cached_cons + i)));
    completion_.cached_cons += ready;
    xsk_ring_cons__release(&completion_, ready);
}

/// Completions come in the order of the descriptors where the device hands frames on at once, as
/// veth does; a device with a queue may overtake. Either way the FIFO's head leaves.
void XskPort::complete(core::ChunkId chunk) {
    uint32_t at = in_flight_head_;
    while (in_flight_[at & tx_.mask] != chunk) {
        ++at;
        assert(at != in_flight_tail_);
    }
    in_flight_[at & tx_.mask] = in_flight_[in_flight_head_++ & tx_.mask];
    cache_->unref(chunk);
}

size_t XskPort::chunks_in_rings() const {
    return filled_count_ + partial_.count + (in_flight_tail_ - in_flight_head_);
}

PortStatistics XskPort::statistics() const {
    PortStatistics all = statistics_;
    xdp_statistics kernel{};
    socklen_t length = sizeof(kernel);
    if (getsockopt(socket_.get(), SOL_XDP, XDP_STATISTICS, &kernel, &length) == 0) {
        all.kernel_rx_dropped = kernel.rx_dropped;
        all.kernel_rx_invalid = kernel.rx_invalid_descs;
        all.kernel_tx_invalid = kernel.tx_invalid_descs;
        all.kernel_rx_ring_full = kernel.rx_ring_full;
        all.kernel_fill_ring_empty = kernel.rx_fill_ring_empty_descs;
        all.kernel_tx_ring_empty = kernel.tx_ring_empty_descs;
    }
    return all;
}

}  // namespace pasta::io
