// A namespace on fake links and a server on the host's loopback, for tests of shards.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>

#include "dataplane/io/unique_fd.hpp"
#include "dataplane/shard/clock.hpp"
#include "dataplane/shard/dataplane.hpp"
#include "dataplane/wire/ip.hpp"
#include "tests/shard/fake_port.hpp"
#include "tests/sim/guest_tcp.hpp"
#include "tests/support/core_fixture.hpp"
#include "tests/support/guest_packets.hpp"

namespace pasta::test {

inline constexpr wire::IpAddress lab_guest = wire::IpAddress::v4(198, 51, 100, 10);
inline constexpr wire::IpAddress lab_gateway = wire::IpAddress::v4(198, 51, 100, 1);

/// The gateway's address reaches the host's loopback.
inline core::PortConfig lab_config(uint16_t workers) {
    core::PortConfig config;
    config.name = "lab";
    config.our_mac = {{0x02, 0, 0, 0, 0, 1}};
    config.guest_mac = {{0x02, 0, 0, 0, 0, 2}};
    config.mtu = 1500;
    config.workers = workers;
    config.address4 = core::Prefix{lab_guest, 24};
    config.gateway4 = lab_gateway;
    config.host_loopback4 = lab_gateway;
    config.router_advertisements = false;
    return config;
}

/// "Who has the gateway's address?"
inline std::vector<uint8_t> arp_request() {
    std::vector<uint8_t> frame = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 2, 8, 6,
                                  0,    1,    8,    0,    6,    4,    0,    1, 2, 0, 0, 0, 0, 2};
    for (const uint8_t octet : {198, 51, 100, 10, 0, 0, 0, 0, 0, 0, 198, 51, 100, 1})
        frame.push_back(octet);
    return frame;
}

/// A TCP server on 127.0.0.1 that takes one connection and sends back what comes.
class LoopbackServer {
  public:
    LoopbackServer() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        EXPECT_EQ(bind(listener_.get(), generic, size), 0);
        EXPECT_EQ(listen(listener_.get(), 16), 0);
        EXPECT_EQ(getsockname(listener_.get(), generic, &size), 0);
        port_ = ntohs(address.sin_port);
    }
    uint16_t port() const { return port_; }
    /// Takes the connection when it is there.
    bool accepted() {
        if (!connection_)
            connection_.reset(
                accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        return static_cast<bool>(connection_);
    }
    /// Sends back what came, as far as the socket takes it; returns how much came.
    size_t echo() {
        std::array<uint8_t, 4096> bytes;
        const ssize_t n = recv(connection_.get(), bytes.data(), bytes.size(), 0);
        if (n > 0) pending_.insert(pending_.end(), bytes.begin(), bytes.begin() + n);
        const ssize_t sent =
            send(connection_.get(), pending_.data(), pending_.size(), MSG_NOSIGNAL);
        if (sent > 0) pending_.erase(pending_.begin(), pending_.begin() + sent);
        return n > 0 ? static_cast<size_t>(n) : 0;
    }
    /// True when the other end reset the connection.
    bool was_reset() {
        char byte;
        return recv(connection_.get(), &byte, 1, 0) < 0 && errno == ECONNRESET;
    }

  private:
    io::UniqueFd listener_, connection_;
    uint16_t port_ = 0;
    std::vector<uint8_t> pending_;
};

/// A TCP connection of the namespace, whose segments arrive at a queue that chance picks each time.
class LabGuest {
  public:
    LabGuest(std::vector<FakeLink*> links, uint16_t guest_port, uint16_t peer_port)
        : links_(std::move(links)),
          guest_port_(guest_port),
          tcp_(options(guest_port, peer_port), random_) {}

    LabGuest(const LabGuest&) = delete;  // tcp_ refers to random_
    LabGuest& operator=(const LabGuest&) = delete;

    sim::GuestTcp& tcp() { return tcp_; }
    /// Exchanges what there is to exchange.
    void pump() {
        const core::Time now = shard::monotonic_now();
        for (FakeLink* link : links_)
            for (const FakeLink::Frame& frame : link->take())
                receive(frame, now);
        if (tcp_.next_deadline() <= now) tcp_.on_time(now);
        for (const sim::GuestSegment& segment : tcp_.take_segments())
            links_[random_.below(links_.size())]->send(frame_of(segment));
    }

  private:
    static sim::GuestTcpOptions options(uint16_t guest_port, uint16_t peer_port) {
        sim::GuestTcpOptions o;
        o.guest_port = guest_port;
        o.peer_port = peer_port;
        o.iss = 1000;
        o.mss = 1460;
        o.window_scale = 4;
        o.sent = o.expected = sim::Pattern(1);
        return o;
    }
    std::vector<uint8_t> frame_of(const sim::GuestSegment& segment) const {
        std::vector<uint8_t> upper(wire::tcp_header_size(segment.header));
        segment.header.emit(upper);
        const auto payload = sim::Pattern(1).at(segment.offset, segment.length);
        if (segment.length != 0) upper.insert(upper.end(), payload.begin(), payload.end());
        GuestPackets packets;
        packets.src = lab_guest;
        packets.dst = lab_gateway;
        return packets.ip(wire::protocol_tcp, upper);
    }
    void receive(const FakeLink::Frame& frame, core::Time now) {
        const auto ip =
            wire::parse_ip(wire::ethertype_ipv4, wire::Bytes{frame}.subspan(14), frame.size() - 14);
        if (!ip || ip->protocol != wire::protocol_tcp) return;
        const wire::Bytes upper =
            wire::Bytes{frame}.subspan(14u + ip->header_length, ip->payload_length);
        const auto header = wire::TcpHeader::parse(upper);
        ASSERT_TRUE(header);
        if (header->dst_port != guest_port_) return;  // of an earlier guest
        tcp_.on_segment(*header, upper.subspan(header->header_length), now);
    }

    std::vector<FakeLink*> links_;
    uint16_t guest_port_;
    sim::Random random_{1};
    sim::GuestTcp tcp_;
};

/// Plays guests against what serves them.
class GuestPlayer {
  public:
    virtual ~GuestPlayer() = default;

  protected:
    /// What lets the other side get on.
    virtual void turn() = 0;

    /// Plays until `done`; false when that takes very long.
    template <typename Done>
    bool run_until(LabGuest& guest, Done&& done) {
        const core::Time limit = shard::monotonic_now() + 60 * core::second;
        while (!done()) {
            guest.pump();
            turn();
            if (shard::monotonic_now() > limit) return false;
        }
        return true;
    }
    bool connect(LabGuest& guest, LoopbackServer& server) {
        guest.tcp().connect(shard::monotonic_now());
        return run_until(guest, [&] {
            return guest.tcp().state() == sim::GuestTcp::State::established && server.accepted();
        });
    }
    /// Sends bytes and waits for their echo.
    bool ping_pong(LabGuest& guest, LoopbackServer& server, uint64_t bytes) {
        const uint64_t target = guest.tcp().received() + bytes;
        guest.tcp().write(bytes, shard::monotonic_now());
        return run_until(guest, [&] {
            server.echo();
            guest.tcp().read(UINT64_MAX, shard::monotonic_now());
            return guest.tcp().received() == target;
        });
    }
};

}  // namespace pasta::test
