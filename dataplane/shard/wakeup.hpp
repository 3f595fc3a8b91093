// Waking a shard that sleeps in epoll.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <system_error>

namespace pasta::shard {

/// An eventfd that is only written when its shard sleeps, or is about to. The sleeper announces
/// itself, then looks once more for mail, then sleeps; the sender posts, then looks for a sleeper.
/// Both looks at the announcement are read-modify-writes, so one comes first: either the sender
/// sees the sleeper, or the sleeper's announcement is ordered after the post and it sees the mail.
class Wakeup {
  public:
    /// Throws std::system_error.
    Wakeup() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    }
    ~Wakeup() { close(fd_); }
    Wakeup(const Wakeup&) = delete;
    Wakeup& operator=(const Wakeup&) = delete;

    /// Readable once the shard has been woken; for its epoll set.
    int fd() const { return fd_; }

    // By the shard.
    void going_to_sleep() { asleep_.exchange(1, std::memory_order_acq_rel); }
    void awake() {
        if (asleep_.load(std::memory_order_relaxed) == 0) return;
        asleep_.store(0, std::memory_order_release);
        uint64_t count;
        [[maybe_unused]] const ssize_t n = read(fd_, &count, sizeof count);
    }

    // By senders, after they posted.
    void notify() {
        if (asleep_.fetch_add(0, std::memory_order_acq_rel) == 0) return;
        const uint64_t one = 1;
        [[maybe_unused]] const ssize_t n = write(fd_, &one, sizeof one);
    }

  private:
    int fd_;
    std::atomic<uint32_t> asleep_{0};
};

}  // namespace pasta::shard
