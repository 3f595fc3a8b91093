#include "control/system.hpp"

#include <cap-ng.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>

namespace pasta::control {

namespace {

std::optional<rlim_t> descriptors_given;  ///< the soft limit before it was raised

std::vector<int> usable_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        throw std::system_error(errno, std::generic_category(), "sched_getaffinity");
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(static_cast<size_t>(cpu), &set)) cpus.push_back(cpu);
    return cpus;
}

std::vector<int> last_cpus(const std::vector<int>& cpus, size_t count) {
    if (count > cpus.size())
        throw std::runtime_error(
            fmt::format("dataplane.workers: {} workers need as many CPUs, and {} can be used",
                        count, cpus.size()));
    return {cpus.end() - static_cast<ptrdiff_t>(count), cpus.end()};
}

std::vector<int> listed_cpus(const std::vector<int>& usable, const std::vector<unsigned>& listed) {
    std::vector<int> cpus(listed.begin(), listed.end());
    for (const int cpu : cpus)
        if (std::find(usable.begin(), usable.end(), cpu) == usable.end())
            throw std::runtime_error(
                fmt::format("dataplane.workers: CPU {} cannot be used (allowed: {})", cpu,
                            fmt::join(usable, ", ")));
    return cpus;
}

}  // namespace

void require_capabilities() {
    // Namespaces; links and XDP; AF_XDP sockets; BPF (part of SYS_ADMIN before Linux 5.8).
    constexpr int needed[] = {CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW};
    std::string missing;
    capng_get_caps_process();
    for (const int capability : needed) {
        if (capng_have_capability(CAPNG_EFFECTIVE, static_cast<unsigned>(capability))) continue;
        missing += (missing.empty() ? "CAP_" : ", CAP_") +
                   std::string(capng_capability_to_name(static_cast<unsigned>(capability)));
    }
    if (missing.empty()) return;
    std::transform(missing.begin(), missing.end(), missing.begin(),
                   [](unsigned char c) { return std::toupper(c); });
    throw std::runtime_error("not enough privileges: " + missing + " missing (run it as root)");
}

std::vector<int> choose_cpus(const Workers& workers) {
    const std::vector<int> usable = usable_cpus();
    if (const auto* count = std::get_if<WorkerCount>(&workers))
        return last_cpus(usable, count->count);
    if (const auto* listed = std::get_if<WorkerCpus>(&workers))
        return listed_cpus(usable, listed->cpus);
    return last_cpus(usable, std::max<size_t>(usable.size() - 1, 1));
}

void raise_descriptor_limit() {
    rlimit limit;
    if (descriptors_given || getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    descriptors_given = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void restore_descriptor_limit() {
    rlimit limit;
    if (!descriptors_given || getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = *descriptors_given;
    setrlimit(RLIMIT_NOFILE, &limit);
}

core::Secrets random_secrets() {
    core::Secrets secrets;
    static_assert(std::is_trivially_copyable_v<core::Secrets>);
    if (getrandom(&secrets, sizeof secrets, 0) != sizeof secrets)
        throw std::system_error(errno, std::generic_category(), "getrandom");
    return secrets;
}

}  // namespace pasta::control
