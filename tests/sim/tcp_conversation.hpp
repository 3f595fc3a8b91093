// One TCP connection of a simulation: an application in the namespace, one on the host's side, and
// the judgement of what both saw.
#pragma once

#include <memory>
#include <vector>

#include "dataplane/core/flow.hpp"
#include "tests/sim/event_queue.hpp"
#include "tests/sim/guest_tcp.hpp"
#include "tests/sim/host_socket.hpp"

namespace pasta::sim {

/// What one application does: writes `bytes` in pieces, then closes, and reads at its own pace.
struct AppScript {
    uint64_t bytes = 0;
    uint64_t write_piece = 1, read_piece = 1;
    core::Time write_pause = 0, read_pause = 0;  ///< at most
    core::Time stop_at = core::never;            ///< after the start: reads nothing from then on
    core::Time stop_for = 0;                     ///< for so long
    core::Time change_at = core::never;          ///< after the start: reads at another pace
    uint64_t later_read_piece = 1;
    core::Time later_read_pause = 0;
    bool closes_after_eof = false;      ///< does not close before the other side did
    core::Time reset_at = core::never;  ///< after the start
    bool silently = false;              ///< as if switched off: nobody is told
};

/// What becomes of a client's SYN in the namespace.
enum class Listening : uint8_t { accepts, refuses, unreachable, silent };

struct TcpScript {
    core::FlowKey key;
    bool inbound = false;                      ///< the remote application connects
    Listening listening = Listening::accepts;  ///< of inbound ones
    core::Time start = 0;
    GuestTcpOptions guest;
    HostSocket::Buffers buffers;
    AppScript guest_app, remote_app;
    int connect_error = 0;       ///< 0: it succeeds
    bool fails_at_once = false;  ///< else after connect_delay
    core::Time connect_delay = 0;
    unsigned exhausted = 0;        ///< so many attempts fail with EMFILE first
    core::Time due = core::never;  ///< virtual time at which it has to be over
};

class TcpConversation {
  public:
    /// The network of a conversation.
    struct Network {
        virtual ~Network() = default;
        virtual void send_segment(const TcpScript& script, const GuestSegment& segment) = 0;
        virtual void send_unreachable(const TcpScript& script, const wire::TcpHeader& header) = 0;
        /// The remote application connects to the host; open() follows, or turn_away().
        virtual void connect_to_host(const TcpScript& script) = 0;
    };

    TcpConversation(const TcpScript& script, EventQueue& events, Random& random, Network& network);

    const TcpScript& script() const { return script_; }
    // For the network.
    void on_segment(const wire::TcpHeader& header, std::span<const uint8_t> payload);
    void on_unreachable();
    /// socket(2) and connect(2), as SimHost::open_tcp.
    std::pair<HostSocket*, int> open(std::function<void()> on_edge);
    /// A client's connection, as accept(2) gives it.
    HostSocket* accepted(std::function<void()> on_edge);
    /// The host could not serve the client.
    void turn_away() { turned_away_ = true; }

    /// Bytes that all of the host's sockets accepted and handed out.
    uint64_t host_took() const;
    uint64_t host_gave() const;
    /// Nothing happens on either side any more.
    bool over() const;
    /// What went wrong; empty = nothing. Once it is over.
    std::string verdict() const;
    /// For the message about a conversation that never ends.
    std::string describe() const;

  private:
    void after(core::Time delay, bool& scheduled, void (TcpConversation::*step)());
    void after_pause(core::Time pause, bool& scheduled, void (TcpConversation::*step)());
    void start();
    HostSocket* make_socket(std::function<void()> on_edge);
    void on_unserved(const wire::TcpHeader& header);
    void read_soon(const AppScript& app, bool& scheduled, void (TcpConversation::*step)());
    core::Time elapsed() const { return events_.now() - script_.start - start_of_time_; }
    uint64_t read_amount(const AppScript& app);
    void pump();
    void guest_reset();
    void guest_write();
    void guest_read();
    void guest_close_if_done();
    void remote_news();
    void remote_write();
    void remote_read();
    void remote_close_if_done();
    void remote_reset();
    std::string verdict_in_order() const;

    const TcpScript script_;
    EventQueue& events_;
    Random& random_;
    Network& network_;
    GuestTcp guest_;
    std::vector<std::unique_ptr<HostSocket>> sockets_;
    HostSocket* socket_ = nullptr;  ///< the connection's, once there is one

    const core::Time start_of_time_;
    bool started_ = false, gone_ = false, turned_away_ = false;
    uint64_t guest_written_ = 0, remote_written_ = 0;
    bool guest_closed_ = false, remote_closed_ = false, remote_reset_ = false;
    unsigned attempts_ = 0;
    core::Time wake_at_ = core::never;
    bool guest_writing_ = false, guest_reading_ = false;
    bool remote_writing_ = false, remote_reading_ = false;
};

}  // namespace pasta::sim
