// The XDP program of one link: loads bpf/steer.bpf.c and attaches it.
#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/io/unique_fd.hpp"

struct steer_bpf;

namespace pasta::control {

/// What the program did with frames, summed over CPUs.
struct SteerCounters {
    uint64_t redirected = 0;
    uint64_t no_socket = 0;  ///< dropped: no socket bound to the queue
    uint64_t runt = 0;       ///< dropped: shorter than an Ethernet header
};

/// Every link has its own instance of the program, because the map of sockets is indexed by queue.
/// Detached when this object ends, the process dies or the link is removed, whichever is first.
class SteerProgram {
  public:
    /// Loads, not attached yet. Throws std::system_error.
    SteerProgram();
    ~SteerProgram();
    SteerProgram(const SteerProgram&) = delete;
    SteerProgram& operator=(const SteerProgram&) = delete;

    /// Attaches in native mode. Call in a thread of the link's namespace. Throws std::system_error.
    void attach(int ifindex);
    /// Frames of this receive queue go to the AF_XDP socket from now on. Throws std::system_error.
    void set_socket(uint32_t queue, int xsk_fd);
    SteerCounters counters() const;
    /// For BPF_PROG_TEST_RUN.
    int program_fd() const;

  private:
    struct Destroy {
        void operator()(steer_bpf* program) const;
    };
    std::unique_ptr<steer_bpf, Destroy> program_;
    io::UniqueFd attachment_;  ///< a BPF link: closing it detaches
};

}  // namespace pasta::control
