// The memory of all frames, registered with the kernel once for the whole process.
#pragma once

#include <cstddef>
#include <span>

#include "dataplane/core/chunk.hpp"
#include "dataplane/io/unique_fd.hpp"

namespace pasta::io {

/// An anonymous, page-aligned mapping.
class Mapping {
  public:
    /// Throws std::system_error.
    explicit Mapping(size_t bytes);
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping();

    std::span<uint8_t> bytes() const { return bytes_; }

  private:
    std::span<uint8_t> bytes_;
};

/// One UMEM of 4096-byte chunks. It is registered on a socket of its own, bound to `lo`, which
/// never goes away; every XskPort shares it (XDP_SHARED_UMEM) and must be closed before it.
/// Registration pins the memory, so all of it is resident from the start.
class Umem {
  public:
    enum class TxMetadata { if_supported, never };

    /// `bytes` is rounded down to whole chunks. Call in a thread of the network namespace whose
    /// links will be served, with its `lo` up. Throws std::system_error naming the step.
    explicit Umem(size_t bytes, TxMetadata tx_metadata = TxMetadata::if_supported);

    /// The socket that ports name in sxdp_shared_umem_fd.
    int fd() const { return socket_.get(); }
    core::ChunkArena& arena() { return arena_; }
    /// Number of chunks.
    size_t size() const { return arena_.size(); }
    /// True when the kernel takes no transmit metadata: ports then compute checksums themselves.
    bool software_checksums() const { return software_checksums_; }

  private:
    bool register_memory(bool tx_metadata);
    void bind_to_loopback();

    Mapping memory_;
    core::ChunkArena arena_;
    UniqueFd socket_;
    bool software_checksums_ = false;
};

}  // namespace pasta::io
