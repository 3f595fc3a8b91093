#include "control/xdp_attach.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include <cerrno>
#include <system_error>
#include <vector>

#include "bpf/steer.skel.h"
#include "bpf/steer_maps.h"

namespace pasta::control {

namespace {

[[noreturn]] void fail(int error, const char* what) {
    throw std::system_error(error < 0 ? -error : error, std::generic_category(), what);
}

}  // namespace

void SteerProgram::Destroy::operator()(steer_bpf* program) const {
    steer_bpf__destroy(program);
}

SteerProgram::SteerProgram() : program_(steer_bpf__open_and_load()) {
    if (!program_) fail(errno, "cannot load the XDP program");
}

SteerProgram::~SteerProgram() = default;

void SteerProgram::attach(int ifindex) {
    // A BPF link of our own, not libxdp's dispatcher: that one pins its programs in /sys/fs/bpf,
    // where they would outlive a killed process and which need not be mounted. We share our links
    // with nobody, so there is nothing to dispatch. (bpf_program__attach_xdp() of libbpf takes no
    // flags, and native mode is to be insisted on.)
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
    const int fd = bpf_link_create(program_fd(), ifindex, BPF_XDP, &options);
    if (fd < 0) fail(errno, "cannot attach the XDP program in native mode");
    attachment_.reset(fd);
}

void SteerProgram::set_socket(uint32_t queue, int xsk_fd) {
    const int error = bpf_map__update_elem(program_->maps.xsks, &queue, sizeof(queue), &xsk_fd,
                                           sizeof(xsk_fd), BPF_ANY);
    if (error != 0) fail(error, "cannot enter a socket in the XSKMAP");
}

SteerCounters SteerProgram::counters() const {
    const int cpus = libbpf_num_possible_cpus();
    std::vector<uint64_t> per_cpu(cpus > 0 ? static_cast<size_t>(cpus) : 0);
    const auto sum = [&](uint32_t counter) {
        uint64_t total = 0;
        if (bpf_map__lookup_elem(program_->maps.counters, &counter, sizeof(counter), per_cpu.data(),
                                 per_cpu.size() * sizeof(uint64_t), 0) == 0)
            for (const uint64_t value : per_cpu)
                total += value;
        return total;
    };
    return {sum(STEER_REDIRECTED), sum(STEER_NO_SOCKET), sum(STEER_RUNT)};
}

int SteerProgram::program_fd() const {
    return bpf_program__fd(program_->progs.steer);
}

}  // namespace pasta::control
