// Round trips of one byte, one at a time.
//   pingpong tcp|udp serve ADDRESS PORT            until killed
//   pingpong tcp|udp ask ADDRESS PORT SECONDS      prints quantiles as JSON
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

#include "perf/tools/net.hpp"

namespace {

using namespace pasta::perf;

void set_no_delay(int fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void echo_stream(int fd) {
    set_no_delay(fd);
    char byte;
    while (recv(fd, &byte, 1, 0) == 1) {
        if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1) break;
    }
    close(fd);
}

[[noreturn]] void serve_tcp(const char* address, uint16_t port) {
    const int listener = serve_on(address, port, SOCK_STREAM);
    for (;;) {
        const int fd = accept(listener, nullptr, nullptr);
        if (fd < 0) fail("accept");
        std::thread(echo_stream, fd).detach();
    }
}

[[noreturn]] void serve_udp(const char* address, uint16_t port) {
    const int fd = serve_on(address, port, SOCK_DGRAM);
    for (;;) {
        char data[2048];
        sockaddr_storage peer;
        socklen_t length = sizeof peer;
        auto* name = reinterpret_cast<sockaddr*>(&peer);
        const ssize_t size = recvfrom(fd, data, sizeof data, 0, name, &length);
        if (size >= 0) sendto(fd, data, static_cast<size_t>(size), 0, name, length);
    }
}

// Warms up for a tenth of the time, which does not count. A lost datagram is counted, not timed.
void ask(const char* address, uint16_t port, int type, double seconds) {
    const int fd = connect_to(address, port, type);
    if (fd < 0) fail("connect");
    if (type == SOCK_STREAM) set_no_delay(fd);
    set_receive_timeout(fd, 1);
    std::vector<double> times;
    unsigned lost = 0;
    const double start = now();
    const double measure_from = start + seconds / 10;
    double sent = start;
    while (sent < start + seconds) {
        char byte = 'x';
        if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1) fail("send");
        if (recv(fd, &byte, 1, 0) != 1) {
            if (type == SOCK_STREAM || errno != EAGAIN) fail("recv");
            ++lost;
            sent = now();
            continue;
        }
        const double received = now();
        if (sent >= measure_from) times.push_back((received - sent) * 1e6);
        sent = received;
    }
    if (times.empty()) {
        std::fprintf(stderr, "no answer\n");
        std::exit(1);
    }
    std::sort(times.begin(), times.end());
    std::printf(
        "{\"count\": %zu, \"lost\": %u, \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f}\n",
        times.size(), lost, quantile(times, 0.5), quantile(times, 0.99), quantile(times, 0.999));
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view protocol = argc > 1 ? argv[1] : "";
    const std::string_view mode = argc > 2 ? argv[2] : "";
    const bool tcp = protocol == "tcp";
    const bool known = tcp || protocol == "udp";
    if (known && mode == "serve" && argc == 5) {
        const auto port = static_cast<uint16_t>(number(argv[4]));
        tcp ? serve_tcp(argv[3], port) : serve_udp(argv[3], port);
    }
    if (known && mode == "ask" && argc == 6) {
        ask(argv[3], static_cast<uint16_t>(number(argv[4])), tcp ? SOCK_STREAM : SOCK_DGRAM,
            number(argv[5]));
        return 0;
    }
    std::fprintf(stderr, "usage: pingpong tcp|udp serve ADDRESS PORT | ask ADDRESS PORT SECONDS\n");
    return 2;
}
