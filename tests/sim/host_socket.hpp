// A TCP socket of the simulated host with the peer behind it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "dataplane/core/socket_op.hpp"
#include "tests/sim/pattern.hpp"

namespace pasta::sim {

/// Has two faces: the kernel's, with results as of the system calls (a negative result is -errno),
/// and the remote application's. Every change that epoll would report as an edge calls `on_edge`.
class HostSocket {
  public:
    struct Buffers {
        uint64_t receive = 128u << 10, send = 128u << 10;
    };

    HostSocket(const Buffers& buffers, Pattern from_guest, Pattern to_guest,
               std::function<void()> on_edge)
        : buffers_(buffers),
          from_guest_(from_guest),
          to_guest_(to_guest),
          on_edge_(std::move(on_edge)) {}

    // The kernel.
    core::Readiness readiness() const;
    bool connected() const { return connected_; }
    /// SO_ERROR: reading it clears it.
    int take_error();
    ptrdiff_t send(std::span<const uint8_t> bytes);
    ptrdiff_t receive(std::span<uint8_t> bytes);
    void shutdown_write();
    void close();
    void abort();

    /// Bytes that went through send() and receive().
    uint64_t sent() const { return sent_; }
    uint64_t received() const { return received_; }

    // The remote application.
    void finish_connect(int error);
    /// Adds up to `bytes` to what can be received; returns how many fitted in.
    uint64_t remote_write(uint64_t bytes);
    void remote_fin();
    void remote_reset();
    /// Takes up to `bytes` of what was sent; returns how many.
    uint64_t remote_read(uint64_t bytes);
    uint64_t remote_received() const { return remote_read_; }
    uint64_t remote_unread() const { return sent_ - remote_read_; }
    bool remote_saw_eof() const { return shut_ && remote_unread() == 0; }
    bool remote_saw_reset() const { return aborted_; }
    bool open() const { return !closed_; }
    /// Something that no caller may do, or a wrong byte; empty = nothing.
    const std::string& complaint() const { return complaint_; }
    /// Called when there is news for the remote application.
    std::function<void()> on_remote_news = [] {};

  private:
    void complain(const char* what) {
        if (complaint_.empty()) complaint_ = what;
    }
    void check_open() {
        if (closed_) complain("use of a closed socket");
    }

    const Buffers buffers_;
    Pattern from_guest_, to_guest_;
    std::function<void()> on_edge_;
    std::string complaint_;
    bool connected_ = false, closed_ = false, aborted_ = false;
    bool shut_ = false, fin_ = false, reset_ = false;
    bool send_blocked_ = false;
    int error_ = 0;
    uint64_t sent_ = 0, remote_read_ = 0;  // from the guest
    uint64_t arrived_ = 0, received_ = 0;  // to the guest
};

}  // namespace pasta::sim
