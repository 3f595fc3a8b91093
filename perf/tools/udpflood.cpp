// One-way datagrams, as fast as one thread can send or at a fixed rate.
//   udpflood sink ADDRESS PORT                         until a second passes without any; prints
//   JSON udpflood flood ADDRESS PORT SIZE SECONDS [RATE]    RATE in datagrams per second; prints
//   JSON
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

#include "perf/tools/net.hpp"

namespace {

using namespace pasta::perf;

constexpr unsigned kBatch = 64;
constexpr size_t kLargest = 65536;
constexpr double kPatience = 20;  // seconds that the sink waits for the first datagram

// Counts from the first datagram to the last, so that the time around them does not matter.
void sink(const char* address, uint16_t port) {
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
    set_receive_timeout(fd, kPatience);
    for (;;) {
        const int count = recvmmsg(fd, messages.data(), kBatch, MSG_WAITFORONE, nullptr);
        if (count <= 0) break;
        last = now();
        if (received == 0) {
            first = last;
            set_receive_timeout(fd, 1);
        }
        received += static_cast<unsigned>(count);
        for (int i = 0; i < count; ++i)
            bytes += messages[static_cast<size_t>(i)].msg_len;
    }
    std::printf("{\"received\": %llu, \"bytes\": %llu, \"seconds\": %.4f}\n",
                static_cast<unsigned long long>(received), static_cast<unsigned long long>(bytes),
                last - first);
}

void flood(const char* address, uint16_t port, size_t size, double seconds, double rate) {
    const int fd = connect_to(address, port, SOCK_DGRAM);
    if (fd < 0) fail("connect");
    const std::vector<char> data(size, 'x');
    uint64_t sent = 0, refused = 0;
    const double start = now();
    for (;;) {
        const double elapsed = now() - start;
        if (elapsed >= seconds) break;
        if (rate > 0 && static_cast<double>(sent) >= elapsed * rate) continue;
        const bool accepted =
            send(fd, data.data(), size, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
        ++(accepted ? sent : refused);
    }
    std::printf("{\"sent\": %llu, \"refused\": %llu, \"seconds\": %.4f}\n",
                static_cast<unsigned long long>(sent), static_cast<unsigned long long>(refused),
                now() - start);
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
