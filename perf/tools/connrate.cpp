// Connections per second: connect, one byte there, one byte back, close. The server closes first,
// so that ports in TIME_WAIT gather on its side and the client can use them again.
//   connrate serve ADDRESS PORT                    on 8 ports from PORT on, until killed
//   connrate ask ADDRESS PORT SECONDS THREADS      prints how many as JSON
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

#include "perf/tools/net.hpp"

namespace {

using namespace pasta::perf;

constexpr unsigned kPorts = 8;

void answer(int fd) {
    char byte;
    if (recv(fd, &byte, 1, MSG_DONTWAIT) == 1) send(fd, &byte, 1, MSG_NOSIGNAL);
    close(fd);
}

[[noreturn]] void serve(const char* address, uint16_t port) {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    std::set<int> listeners;
    for (unsigned i = 0; i < kPorts; ++i) {
        const int fd = serve_on(address, static_cast<uint16_t>(port + i), SOCK_STREAM);
        listeners.insert(fd);
        watch(epoll, fd);
    }
    for (;;) {
        std::array<epoll_event, 64> events;
        const int count = epoll_wait(epoll, events.data(), events.size(), -1);
        for (int i = 0; i < count; ++i) {
            const int fd = events[static_cast<size_t>(i)].data.fd;
            if (!listeners.contains(fd)) {
                answer(fd);
            } else if (const int client = accept(fd, nullptr, nullptr); client >= 0) {
                watch(epoll, client);
            }
        }
    }
}

bool one_connection(const char* address, uint16_t port) {
    const int fd = connect_to(address, port, SOCK_STREAM);
    if (fd < 0) return false;
    set_receive_timeout(fd, 5);
    char byte = 'x';
    const bool good = send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1 &&
                      recv(fd, &byte, 1, 0) == 0;
    close(fd);
    return good;
}

void ask(const char* address, uint16_t port, double seconds, unsigned threads) {
    std::atomic<unsigned> done{0}, failed{0};
    const double start = now();
    std::vector<std::thread> workers;
    for (unsigned i = 0; i < threads; ++i) {
        workers.emplace_back([&, to = static_cast<uint16_t>(port + i % kPorts)] {
            while (now() < start + seconds) {
                ++(one_connection(address, to) ? done : failed);
            }
        });
    }
    for (auto& worker : workers)
        worker.join();
    std::printf("{\"done\": %u, \"failed\": %u, \"seconds\": %.4f}\n", done.load(), failed.load(),
                now() - start);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view mode = argc > 1 ? argv[1] : "";
    if (mode == "serve" && argc == 4) serve(argv[2], static_cast<uint16_t>(number(argv[3])));
    if (mode == "ask" && argc == 6) {
        ask(argv[2], static_cast<uint16_t>(number(argv[3])), number(argv[4]),
            static_cast<unsigned>(number(argv[5])));
        return 0;
    }
    std::fprintf(stderr, "usage: connrate serve ADDRESS PORT | ask ADDRESS PORT SECONDS THREADS\n");
    return 2;
}
