// Many connections that are open at a time.
//   manyconns serve ADDRESS PORT                    echoes, until killed
//   manyconns hold ADDRESS PORT COUNT SECONDS       opens COUNT connections and prints how fast;
//       when a line arrives on standard input, sends one request on each and prints how long they
//       took. Both as a line of JSON, and each is given up after SECONDS.
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

#include "perf/tools/net.hpp"

namespace {

using namespace pasta::perf;

constexpr unsigned kThreads = 8;    // that open connections
constexpr double kPatience = 5;     // seconds for one connection or answer
constexpr rlim_t kSpareFiles = 64;  // descriptors for what is no connection

// As many descriptors as are allowed; where the limit is the process's own to raise, `count` more
// than it needs otherwise.
void allow_files(rlim_t count) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("getrlimit");
    const rlim_t needed = count + kSpareFiles;
    rlimit wanted{std::max(limit.rlim_max, needed), std::max(limit.rlim_max, needed)};
    if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) return;
    wanted = {limit.rlim_max, limit.rlim_max};
    if (limit.rlim_max < needed || setrlimit(RLIMIT_NOFILE, &wanted) != 0) {
        std::fprintf(stderr, "needs %llu descriptors, may have %llu (ulimit -n)\n",
                     static_cast<unsigned long long>(needed),
                     static_cast<unsigned long long>(limit.rlim_max));
        std::exit(1);
    }
}

[[noreturn]] void serve(const char* address, uint16_t port) {
    allow_files(0);
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    const int listener = serve_on(address, port, SOCK_STREAM);
    watch(epoll, listener);
    for (;;) {
        std::array<epoll_event, 64> events;
        const int count = epoll_wait(epoll, events.data(), events.size(), -1);
        for (int i = 0; i < count; ++i) {
            const int fd = events[static_cast<size_t>(i)].data.fd;
            char byte;
            if (fd == listener) {
                const int client = accept(fd, nullptr, nullptr);
                if (client < 0) fail("accept");
                watch(epoll, client);
            } else if (recv(fd, &byte, 1, MSG_DONTWAIT) == 1) {
                send(fd, &byte, 1, MSG_NOSIGNAL);
            } else {
                close(fd);
            }
        }
    }
}

// Opens connections until there are `count`, or the time is over. In the order of threads.
std::vector<int> open_many(const char* address, uint16_t port, unsigned count, double seconds) {
    std::atomic<unsigned> begun{0}, failed{0};
    std::array<std::vector<int>, kThreads> opened;
    const double start = now();
    std::vector<std::thread> workers;
    workers.reserve(kThreads);
    for (auto& mine : opened) {
        workers.emplace_back([&] {
            while (now() < start + seconds && begun++ < count) {
                const int fd = connect_to(address, port, SOCK_STREAM, kPatience);
                if (fd >= 0) {
                    mine.push_back(fd);
                } else {
                    ++failed;
                }
            }
        });
    }
    for (auto& worker : workers)
        worker.join();
    const double took = now() - start;
    std::vector<int> all;
    for (const auto& some : opened)
        all.insert(all.end(), some.begin(), some.end());
    std::printf("{\"opened\": %zu, \"failed\": %u, \"seconds\": %.4f}\n", all.size(), failed.load(),
                took);
    std::fflush(stdout);
    return all;
}

void ask_each(const std::vector<int>& connections, double seconds) {
    std::vector<double> times;
    unsigned lost = 0;
    const double start = now();
    for (const int fd : connections) {
        const double sent = now();
        if (sent > start + seconds) break;
        set_receive_timeout(fd, kPatience);
        char byte = 'x';
        if (send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1) {
            times.push_back((now() - sent) * 1e6);
        } else {
            ++lost;
        }
    }
    if (times.empty()) {
        std::fprintf(stderr, "no answer\n");
        std::exit(1);
    }
    std::sort(times.begin(), times.end());
    std::printf("{\"answered\": %zu, \"lost\": %u, \"p50_us\": %.2f, \"p99_us\": %.2f}\n",
                times.size(), lost, quantile(times, 0.5), quantile(times, 0.99));
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view mode = argc > 1 ? argv[1] : "";
    if (mode == "serve" && argc == 4) serve(argv[2], static_cast<uint16_t>(number(argv[3])));
    if (mode == "hold" && argc == 6) {
        const auto count = static_cast<unsigned>(number(argv[4]));
        allow_files(count);
        const auto connections =
            open_many(argv[2], static_cast<uint16_t>(number(argv[3])), count, number(argv[5]));
        if (std::getchar() != EOF) ask_each(connections, number(argv[5]));
        return 0;
    }
    std::fprintf(stderr, "usage: manyconns serve ADDRESS PORT | hold ADDRESS PORT COUNT SECONDS\n");
    return 2;
}
