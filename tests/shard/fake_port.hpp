// A queue of a link whose other end is the test.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <deque>
#include <mutex>
#include <vector>

#include "dataplane/core/chain.hpp"
#include "dataplane/io/frame_port.hpp"
#include "dataplane/wire/checksum.hpp"

namespace pasta::test {

/// The test's end; it outlives the port, and may be used from any thread.
class FakeLink {
  public:
    using Frame = std::vector<uint8_t>;

    FakeLink() : arrived_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
    ~FakeLink() { close(arrived_fd_); }
    FakeLink(const FakeLink&) = delete;
    FakeLink& operator=(const FakeLink&) = delete;

    void send(Frame frame) {
        const std::lock_guard lock(mutex_);
        to_port_.push_back(std::move(frame));
        const uint64_t one = 1;
        if (write(arrived_fd_, &one, sizeof one) != sizeof one) std::abort();
    }
    /// What the port sent since the last call.
    std::vector<Frame> take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(from_port_, {});
    }

  private:
    friend class FakePort;
    std::mutex mutex_;
    std::deque<Frame> to_port_;
    std::vector<Frame> from_port_;
    int arrived_fd_;
};

class FakePort final : public io::FramePort {
  public:
    explicit FakePort(FakeLink& link) : link_(link) {}

    void bind_cache(core::ChunkCache& cache) override { cache_ = &cache; }
    size_t receive(std::span<core::Chain> frames) override {
        const std::lock_guard lock(link_.mutex_);
        size_t n = 0;
        for (; n < frames.size() && !link_.to_port_.empty(); ++n) {
            frames[n] = core::copy_in(*cache_, link_.to_port_.front(), core::rx_headroom);
            if (frames[n].empty()) break;
            link_.to_port_.pop_front();
        }
        uint64_t count;
        if (link_.to_port_.empty()) [[maybe_unused]]
            const ssize_t r = read(link_.arrived_fd_, &count, sizeof count);
        statistics_.rx_frames += n;
        return n;
    }
    size_t transmit(core::TxQueue& queue) override {
        const std::lock_guard lock(link_.mutex_);
        size_t n = 0;
        for (; !queue.empty(); ++n, queue.pop()) {
            const core::TxFrame info = queue.front();
            FakeLink::Frame frame;
            for (size_t i = 0; i < info.slices; ++i) {
                const auto part = cache_->arena().bytes(queue.front_slice(i));
                frame.insert(frame.end(), part.begin(), part.end());
                cache_->unref(queue.front_slice(i).chunk);
            }
            link_.from_port_.push_back(std::move(frame));
        }
        statistics_.tx_frames += n;
        return n;
    }
    void flush() override {}
    bool tx_pending() const override { return false; }
    bool starved() const override { return false; }
    int wait_fd() const override { return link_.arrived_fd_; }
    size_t chunks_in_rings() const override { return 0; }
    io::PortStatistics statistics() const override { return statistics_; }

  private:
    FakeLink& link_;
    core::ChunkCache* cache_ = nullptr;
    io::PortStatistics statistics_;
};

}  // namespace pasta::test
