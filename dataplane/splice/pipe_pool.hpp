// Pipes that spliced connections borrow while data is on its way.
#pragma once

#include <cstddef>
#include <vector>

namespace pasta::splice {

/// One pipe, non-blocking at both ends; none when `read_end` is -1. Owned by who took it.
struct Pipe {
    int read_end = -1, write_end = -1;
    size_t capacity = 0;  ///< bytes, in whole pages: pages that are not full make it less

    explicit operator bool() const { return read_end >= 0; }
};

/// Makes pipes, and keeps some that are empty for whoever needs one next: a pipe costs 7 us, which
/// a flow would pay each time that it wakes up.
///
/// Larger is not better: from 64 KiB to 256 KiB throughput grows by half because a splice moves
/// more pages, from there to 1 MiB it stays, and all that lies in a pipe leaves the cache before it
/// is copied out.
class PipePool {
  public:
    static constexpr size_t preferred_size = 512 << 10;
    static constexpr size_t max_pipes = 8192;
    static constexpr size_t max_spare = 64;

    /// `size` in bytes, a power of two. A pipe may get less: fs.pipe-max-size and, without
    /// CAP_SYS_RESOURCE, fs.pipe-user-pages-soft bound it (pipe(7)).
    explicit PipePool(size_t size = preferred_size) : size_(size) {}
    ~PipePool();
    PipePool(const PipePool&) = delete;
    PipePool& operator=(const PipePool&) = delete;

    /// An empty pipe; none when descriptors, memory or max_pipes are used up.
    Pipe take();
    /// Takes a pipe back, and leaves none in `pipe`. It is kept only if `empty`.
    void give(Pipe& pipe, bool empty);
    /// Pipes taken and not given back.
    size_t taken() const { return taken_; }

  private:
    Pipe make() const;

    size_t size_;
    size_t taken_ = 0;
    std::vector<Pipe> spare_;
};

}  // namespace pasta::splice
