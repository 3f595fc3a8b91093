#include "tests/sim/host_socket.hpp"

#include <cerrno>
#include <cstring>

namespace pasta::sim {

core::Readiness HostSocket::readiness() const {
    core::Readiness ready;
    if (!connected_) {
        ready.error = error_ != 0;
        ready.writable = ready.readable = error_ != 0;
        return ready;
    }
    ready.readable = arrived_ != received_ || fin_ || reset_;
    ready.writable = remote_unread() < buffers_.send * 2 / 3 || reset_;
    ready.error = reset_ || (fin_ && shut_);  // EPOLLHUP: both directions are over
    ready.hangup = fin_ || reset_;
    return ready;
}

int HostSocket::take_error() {
    return std::exchange(error_, 0);
}

ptrdiff_t HostSocket::send(std::span<const uint8_t> bytes) {
    check_open();
    if (shut_) complain("send after shutdown");
    if (bytes.empty()) complain("send of nothing");
    if (error_ != 0) return -take_error();
    if (reset_) return -EPIPE;
    const uint64_t room = buffers_.send - std::min(buffers_.send, remote_unread());
    const auto n = static_cast<size_t>(std::min<uint64_t>(room, bytes.size()));
    send_blocked_ = n < bytes.size();
    if (n == 0) return -EAGAIN;
    if (!from_guest_.matches(sent_, bytes.first(n))) complain("wrong bytes");
    sent_ += n;
    on_remote_news();
    return static_cast<ptrdiff_t>(n);
}

ptrdiff_t HostSocket::receive(std::span<uint8_t> bytes) {
    check_open();
    const size_t n = std::min<uint64_t>(bytes.size(), arrived_ - received_);
    for (size_t done = 0; done < n;) {
        const size_t piece = std::min(n - done, Pattern::max_piece);
        std::memcpy(&bytes[done], to_guest_.at(received_ + done, piece).data(), piece);
        done += piece;
    }
    received_ += n;
    if (n != 0) {
        on_remote_news();
        return static_cast<ptrdiff_t>(n);
    }
    if (error_ != 0) return -take_error();
    if (reset_ || fin_) return 0;
    return -EAGAIN;
}

void HostSocket::shutdown_write() {
    check_open();
    if (shut_) complain("shut down twice");
    shut_ = true;
    on_remote_news();
    on_edge_();
}

void HostSocket::close() {
    check_open();
    closed_ = true;
    shut_ = true;
    on_remote_news();
}

void HostSocket::abort() {
    check_open();
    closed_ = aborted_ = true;
    on_remote_news();
}

void HostSocket::finish_connect(int error) {
    if (closed_) return;
    connected_ = error == 0;
    error_ = error;
    on_edge_();
}

uint64_t HostSocket::remote_write(uint64_t bytes) {
    const uint64_t room = buffers_.receive - std::min(buffers_.receive, arrived_ - received_);
    const uint64_t n = std::min(room, bytes);
    arrived_ += n;
    if (n != 0) on_edge_();
    return n;
}

void HostSocket::remote_fin() {
    fin_ = true;
    on_edge_();
}

void HostSocket::remote_reset() {
    reset_ = true;
    error_ = ECONNRESET;
    on_edge_();
}

uint64_t HostSocket::remote_read(uint64_t bytes) {
    const uint64_t n = std::min(bytes, remote_unread());
    remote_read_ += n;
    if (send_blocked_ && readiness().writable) {
        send_blocked_ = false;
        on_edge_();
    }
    return n;
}

}  // namespace pasta::sim
