// One-way datagrams, as fast as one thread can send or at a fixed rate. Both print JSON.
//   udpflood sink ADDRESS PORT                         until SIGTERM
//   udpflood flood ADDRESS PORT SIZE SECONDS [RATE]    RATE in datagrams per second
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string_view>
#include <vector>

#include "perf/tools/net.hpp"

namespace {

using namespace pasta::perf;

constexpr unsigned kBatch = 64;
constexpr size_t kLargest = 65536;
constexpr double kPace = 250e-6;    // seconds between the small batches of a fixed rate
constexpr double kMostBehind = 16;  // batches sent at once after a delay; more are left out

volatile std::sig_atomic_t stopped = 0;

// Counts from the first datagram to the last, so that the time around them does not matter.
void sink(const char* address, uint16_t port) {
    std::signal(SIGTERM, [](int) { stopped = 1; });
    const int fd = serve_on(address, port, SOCK_DGRAM);
    const int buffer = 16 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    std::vector<char> data(kBatch * kLargest);
    std::array<iovec, kBatch> parts;
    std::array<mmsghdr, kBatch> messages{};
    for (size_t i = 0; i < kBatch; ++i) {
        parts[i] = {data.data() + i * kLargest, kLargest};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    uint64_t received = 0, bytes = 0;
    double first = 0, last = 0;
    set_receive_timeout(fd, 0.05);  // how long SIGTERM may go unnoticed
    while (stopped == 0) {
        const int count = recvmmsg(fd, messages.data(), kBatch, MSG_WAITFORONE, nullptr);
        if (count <= 0) continue;
        last = now();
        if (received == 0) first = last;
        received += static_cast<unsigned>(count);
        for (int i = 0; i < count; ++i)
            bytes += messages[static_cast<size_t>(i)].msg_len;
    }
    std::printf("{\"received\": %llu, \"bytes\": %llu, \"seconds\": %.4f}\n",
                static_cast<unsigned long long>(received), static_cast<unsigned long long>(bytes),
                last - first);
}

class Sender {
  public:
    Sender(const char* address, uint16_t port, size_t size)
        : fd_(connect_to(address, port, SOCK_DGRAM)), data_(size, 'x') {
        if (fd_ < 0) fail("connect");
    }
    ~Sender() { close(fd_); }
    Sender(const Sender&) = delete;
    Sender& operator=(const Sender&) = delete;

    void send_one() {
        const ssize_t count = send(fd_, data_.data(), data_.size(), MSG_NOSIGNAL);
        ++(count == static_cast<ssize_t>(data_.size()) ? sent : refused);
    }

    uint64_t sent = 0, refused = 0;

  private:
    int fd_;
    std::vector<char> data_;
};

void send_always(Sender& sender, double start, double seconds) {
    while (now() < start + seconds)
        sender.send_one();
}

void sleep_until(double when) {
    const auto whole = static_cast<time_t>(when);
    const timespec deadline{whole, static_cast<long>((when - static_cast<double>(whole)) * 1e9)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, nullptr);
}

// What the clock says is due, in small batches. A sender that the machine held up does not make up
// for it in one burst, which would lose datagrams that the rate alone would not.
void send_at_rate(Sender& sender, double start, double seconds, double rate) {
    prctl(PR_SET_TIMERSLACK, 1);  // nanoseconds
    const auto most = static_cast<uint64_t>(std::max(1.0, rate * kPace * kMostBehind));
    uint64_t done = 0;  // datagrams of the schedule that were sent or left out
    double wake = start;
    while (wake < start + seconds) {
        sleep_until(wake);
        const auto due = static_cast<uint64_t>((now() - start) * rate);
        if (due > done + most) done = due - most;
        for (; done < due; ++done)
            sender.send_one();
        wake = std::max(wake + kPace, now());
    }
}

void flood(const char* address, uint16_t port, size_t size, double seconds, double rate) {
    Sender sender(address, port, size);
    const double start = now();
    if (rate > 0) {
        send_at_rate(sender, start, seconds, rate);
    } else {
        send_always(sender, start, seconds);
    }
    std::printf("{\"sent\": %llu, \"refused\": %llu, \"seconds\": %.4f}\n",
                static_cast<unsigned long long>(sender.sent),
                static_cast<unsigned long long>(sender.refused), now() - start);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view mode = argc > 1 ? argv[1] : "";
    if (mode == "sink" && argc == 4) {
        sink(argv[2], static_cast<uint16_t>(number(argv[3])));
        return 0;
    }
    if (mode == "flood" && (argc == 6 || argc == 7)) {
        flood(argv[2], static_cast<uint16_t>(number(argv[3])), static_cast<size_t>(number(argv[4])),
              number(argv[5]), argc == 7 ? number(argv[6]) : 0);
        return 0;
    }
    std::fprintf(stderr,
                 "usage: udpflood sink ADDRESS PORT | flood ADDRESS PORT SIZE SECONDS [RATE]\n");
    return 2;
}
