#include "tests/sim/tcp_conversation.hpp"

#include <cerrno>

namespace pasta::sim {

TcpConversation::TcpConversation(const TcpScript& script, EventQueue& events, Random& random,
                                 Network& network)
    : script_(script),
      events_(events),
      random_(random),
      network_(network),
      guest_(script.guest, random),
      start_of_time_(events.now()) {
    events_.after(script.start, [this] { start(); });
    if (script.guest_app.reset_at != core::never)
        events_.after(script.start + script.guest_app.reset_at, [this] { guest_reset(); });
    if (script.remote_app.reset_at != core::never)
        events_.after(script.start + script.remote_app.reset_at, [this] { remote_reset(); });
}

void TcpConversation::start() {
    started_ = true;
    if (!script_.inbound)
        guest_.connect(events_.now());
    else if (script_.listening == Listening::accepts)
        guest_.listen();
    if (script_.inbound) network_.connect_to_host(script_);
    pump();
}

// The guest.

// Sends what the guest has to send, and sees to its application and its timers.
void TcpConversation::pump() {
    for (const GuestSegment& segment : guest_.take_segments())
        network_.send_segment(script_, segment);
    const bool open = !guest_.opening();
    if (open && guest_written_ < script_.guest_app.bytes)
        after_pause(script_.guest_app.write_pause, guest_writing_, &TcpConversation::guest_write);
    if (guest_.unread() != 0)
        read_soon(script_.guest_app, guest_reading_, &TcpConversation::guest_read);
    guest_close_if_done();
    const core::Time deadline = guest_.next_deadline();
    if (deadline >= wake_at_) return;
    wake_at_ = deadline;
    events_.after(deadline - std::min(deadline, events_.now()), [this, deadline] {
        if (wake_at_ != deadline) return;
        wake_at_ = core::never;
        if (guest_.state() != GuestTcp::State::closed) guest_.on_time(events_.now());
        pump();
    });
}

void TcpConversation::after(core::Time delay, bool& scheduled, void (TcpConversation::*step)()) {
    if (scheduled) return;
    scheduled = true;
    events_.after(delay, [this, &scheduled, step] {
        scheduled = false;
        (this->*step)();
    });
}

void TcpConversation::after_pause(core::Time pause, bool& scheduled,
                                  void (TcpConversation::*step)()) {
    if (!scheduled) after(random_.below(pause + 1), scheduled, step);
}

// At the application's pace; not before the end of its stop.
void TcpConversation::read_soon(const AppScript& app, bool& scheduled,
                                void (TcpConversation::*step)()) {
    const core::Time now = elapsed();
    if (now >= app.stop_at && now - app.stop_at < app.stop_for)
        return after(app.stop_at + app.stop_for - now, scheduled, step);
    after_pause(now < app.change_at ? app.read_pause : app.later_read_pause, scheduled, step);
}

uint64_t TcpConversation::read_amount(const AppScript& app) {
    return random_.between(1, elapsed() < app.change_at ? app.read_piece : app.later_read_piece);
}

void TcpConversation::guest_reset() {
    if (guest_.end() != GuestTcp::End::none) return;
    guest_.abort();
    if (script_.guest_app.silently) {
        gone_ = true;
        guest_.take_segments();
    }
    pump();
}

void TcpConversation::guest_write() {
    if (guest_.state() == GuestTcp::State::closed) return;
    const uint64_t n = std::min(script_.guest_app.bytes - guest_written_,
                                random_.between(1, script_.guest_app.write_piece));
    guest_written_ += n;
    guest_.write(n, events_.now());
    pump();
}

void TcpConversation::guest_read() {
    guest_.read(read_amount(script_.guest_app), events_.now());
    pump();
}

void TcpConversation::guest_close_if_done() {
    const AppScript& app = script_.guest_app;
    if (guest_closed_ || guest_.opening() || guest_.state() == GuestTcp::State::closed ||
        guest_written_ < app.bytes)
        return;
    if (app.closes_after_eof && (!guest_.eof() || guest_.unread() != 0)) return;
    guest_closed_ = true;
    guest_.close_write(events_.now());
    pump();
}

void TcpConversation::on_segment(const wire::TcpHeader& header, std::span<const uint8_t> payload) {
    if (guest_.state() != GuestTcp::State::closed) {
        guest_.on_segment(header, payload, events_.now());
    } else if (started_ && !gone_ && !header.has(wire::tcp_rst)) {
        on_unserved(header);
    }
    pump();
}

// A segment of no connection.
void TcpConversation::on_unserved(const wire::TcpHeader& header) {
    if (script_.listening == Listening::silent) return;
    if (script_.listening == Listening::unreachable)
        return network_.send_unreachable(script_, header);
    GuestSegment reset;
    reset.header.src_port = header.dst_port;
    reset.header.dst_port = header.src_port;
    reset.header.seq = header.ack;
    reset.header.flags = wire::tcp_rst;
    if (!header.has(wire::tcp_ack)) {
        reset.header.ack = header.seq + 1;
        reset.header.flags = wire::tcp_rst | wire::tcp_ack;
    }
    network_.send_segment(script_, reset);
}

void TcpConversation::on_unreachable() {
    guest_.on_unreachable();
    pump();
}

// The host's side.

std::pair<HostSocket*, int> TcpConversation::open(std::function<void()> on_edge) {
    if (attempts_++ < script_.exhausted) return {nullptr, EMFILE};
    if (script_.connect_error != 0 && script_.fails_at_once)
        return {nullptr, script_.connect_error};
    HostSocket* socket = make_socket(std::move(on_edge));
    events_.after(script_.connect_delay, [this, socket] {
        socket->finish_connect(script_.connect_error);
        if (!socket->connected()) return;
        if (socket_ == nullptr) socket_ = socket;  // not that of a duplicate SYN
        remote_news();
    });
    return {socket, 0};
}

HostSocket* TcpConversation::accepted(std::function<void()> on_edge) {
    socket_ = make_socket(std::move(on_edge));
    socket_->finish_connect(0);
    remote_news();
    return socket_;
}

HostSocket* TcpConversation::make_socket(std::function<void()> on_edge) {
    sockets_.push_back(std::make_unique<HostSocket>(script_.buffers, script_.guest.sent,
                                                    script_.guest.expected, std::move(on_edge)));
    HostSocket* socket = sockets_.back().get();
    socket->on_remote_news = [this, socket] {
        if (socket == socket_) remote_news();
    };
    return socket;
}

void TcpConversation::remote_news() {
    if (remote_reset_) return;
    if (remote_written_ < script_.remote_app.bytes)
        after_pause(script_.remote_app.write_pause, remote_writing_,
                    &TcpConversation::remote_write);
    if (socket_->remote_unread() != 0)
        read_soon(script_.remote_app, remote_reading_, &TcpConversation::remote_read);
    remote_close_if_done();
}

void TcpConversation::remote_write() {
    if (remote_reset_ || !socket_->open()) return;
    const uint64_t n = std::min(script_.remote_app.bytes - remote_written_,
                                random_.between(1, script_.remote_app.write_piece));
    const uint64_t done = socket_->remote_write(n);
    remote_written_ += done;
    if (done != 0) remote_news();  // a full socket tells when there is room
}

void TcpConversation::remote_read() {
    if (remote_reset_) return;
    socket_->remote_read(read_amount(script_.remote_app));
    remote_news();
}

void TcpConversation::remote_close_if_done() {
    const AppScript& app = script_.remote_app;
    if (remote_closed_ || remote_reset_ || remote_written_ < app.bytes || !socket_->open()) return;
    if (app.closes_after_eof && !socket_->remote_saw_eof()) return;
    remote_closed_ = true;
    socket_->remote_fin();
}

void TcpConversation::remote_reset() {
    if (socket_ == nullptr || !socket_->open()) return;
    remote_reset_ = true;
    socket_->remote_reset();
}

uint64_t TcpConversation::host_took() const {
    uint64_t sum = 0;
    for (const auto& socket : sockets_)
        sum += socket->sent();
    return sum;
}

uint64_t TcpConversation::host_gave() const {
    uint64_t sum = 0;
    for (const auto& socket : sockets_)
        sum += socket->received();
    return sum;
}

// The judgement.

bool TcpConversation::over() const {
    if (!started_) return false;
    if (script_.inbound && socket_ == nullptr && !turned_away_) return false;
    // Whoever listens may never have heard of a client that gave up, or was turned away.
    if (guest_.state() != GuestTcp::State::closed && guest_.state() != GuestTcp::State::listen)
        return false;
    for (const auto& socket : sockets_)
        if (socket->open()) return false;
    return true;
}

std::string TcpConversation::verdict() const {
    if (!guest_.complaint().empty()) return guest_.complaint();
    for (const auto& socket : sockets_)
        if (!socket->complaint().empty()) return describe() + ": host: " + socket->complaint();
    const GuestTcp::End end = guest_.end();
    using enum GuestTcp::End;
    if (script_.connect_error != 0) {
        // A timeout stays silent, as the network would.
        const bool silent = script_.connect_error == ETIMEDOUT;
        const bool fine = end == aborted || end == timed_out || (!silent && end == refused);
        return fine ? "" : describe() + ": the failed connect was not passed on";
    }
    if (turned_away_) return "";
    if (script_.inbound && script_.listening != Listening::accepts)
        return remote_reset_ || socket_->remote_saw_reset() ? "" : describe() + ": not refused";
    const bool remote_knows = socket_ == nullptr || remote_reset_ || socket_->remote_saw_reset() ||
                              (remote_closed_ && socket_->remote_saw_eof());
    if (end == aborted) return remote_knows ? "" : describe() + ": the peer saw no end";
    if (remote_reset_) return "";  // both ends are closed, and over() saw it
    return verdict_in_order();
}

std::string TcpConversation::verdict_in_order() const {
    if (guest_.end() != GuestTcp::End::in_order || socket_ == nullptr)
        return describe() + ": did not end in order";
    if (guest_.received() != script_.remote_app.bytes || !guest_.eof())
        return describe() + ": bytes to the guest are missing";
    if (socket_->remote_received() + socket_->remote_unread() != script_.guest_app.bytes)
        return describe() + ": bytes from the guest are missing";
    if (socket_->remote_saw_reset()) return describe() + ": reset at the end";
    return "";
}

std::string TcpConversation::describe() const {
    std::string text = "TCP port " + std::to_string(script_.key.guest_port) + ": guest state " +
                       std::to_string(static_cast<int>(guest_.state())) + " end " +
                       std::to_string(static_cast<int>(guest_.end())) + ", received " +
                       std::to_string(guest_.received()) + " of " +
                       std::to_string(script_.remote_app.bytes) + ", wrote " +
                       std::to_string(guest_written_) + " of " +
                       std::to_string(script_.guest_app.bytes);
    if (socket_ != nullptr)
        text += "; host " + std::string(socket_->open() ? "open" : "closed") + ", wrote " +
                std::to_string(remote_written_) + ", received " +
                std::to_string(socket_->remote_received()) +
                (socket_->remote_saw_eof() ? " to the end" : "") +
                (socket_->remote_saw_reset() ? ", saw a reset" : "") +
                (remote_reset_ ? ", has reset" : "");
    return text;
}

}  // namespace pasta::sim
