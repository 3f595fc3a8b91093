// All workers of the process: threads, pinned, each running one shard.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "dataplane/core/counters.hpp"
#include "dataplane/io/chunk_ring.hpp"
#include "dataplane/io/frame_port.hpp"
#include "dataplane/io/unique_fd.hpp"
#include "dataplane/shard/shard.hpp"

namespace pasta::shard {

/// What a worker does when a turn of its loop found no work.
enum class IdlePolicy : uint8_t {
    spin,      ///< take the next turn at once
    adaptive,  ///< spin for spin_window after the last work, then sleep; rest between bulk turns
    sleep,     ///< sleep at once
};

struct DataplaneOptions {
    std::vector<int> cpus;  ///< one worker for each entry, pinned to it; -1 = not pinned
    IdlePolicy idle = IdlePolicy::adaptive;
    core::Time spin_window = 50 * core::microsecond;
    /// With IdlePolicy::adaptive: how long a worker sleeps after a turn in which it moved much and
    /// left nothing undone, as network cards moderate their interrupts. Frames gather meanwhile, so
    /// that a system call moves more of them, nobody has to wake the worker, and the CPU is free
    /// for those it works for. Less than a second.
    core::Time rest_window = 30 * core::microsecond;
    core::Secrets secrets;
};

/// Owns the workers. All functions are for one thread, the control thread; those that reach into
/// a shard wait until the shard has done it (one turn of its loop).
class Dataplane {
  public:
    /// Starts the workers in the caller's network namespace, where all host sockets will be made.
    /// `arena` and `chunks` outlive the object. Throws std::system_error.
    Dataplane(const DataplaneOptions& options, core::ChunkArena& arena, io::ChunkRing& chunks);
    /// Stops the workers. Namespaces that are still attached are detached.
    ~Dataplane();
    Dataplane(const Dataplane&) = delete;
    Dataplane& operator=(const Dataplane&) = delete;

    uint16_t workers() const { return static_cast<uint16_t>(workers_.size()); }
    /// Serves a namespace: queues[i] by worker (config.first_worker + i) modulo all; as many as
    /// config.workers.
    void attach(const core::PortConfig& config, std::vector<std::unique_ptr<io::FramePort>> queues);
    /// Stops serving it and closes its queues and listeners; returns the sum of their statistics.
    io::PortStatistics detach(core::PortId id);
    /// From now on loopback clients of the host's listeners can reach the namespace's loopback.
    /// `netns` is copied; the copies keep the namespace alive until detach(). Throws
    /// std::system_error.
    void join(core::PortId id, int netns);
    /// Serves the clients of a socket in the name of an attached namespace. The socket is bound,
    /// and non-blocking; TCP's listens, UDP's may not share its port (it will, with its flows).
    /// Throws std::system_error.
    host::ListenerId listen(const host::ListenerConfig& config, io::UniqueFd socket);
    /// Closes it. Flows that began there go on.
    void unlisten(host::ListenerId id);
    /// A new secret for the choice of flows' owners.
    void rekey(const core::SipKey& flow_hash);

    /// Sum over all workers.
    struct Totals {
        uint64_t tcp_flows = 0, udp_flows = 0, echo_flows = 0;
        uint64_t chunks_held = 0;  ///< by TCP flows
    };
    Totals totals();
    const core::Counters& counters(uint16_t worker) { return workers_[worker]->shard.counters(); }

  private:
    struct Worker {
        Worker(uint16_t index, core::ChunkArena& arena, io::ChunkRing& chunks, PostOffice& post,
               const core::Secrets& secrets)
            : shard(index, arena, chunks, post, secrets) {}
        Shard shard;
        bool stop = false;  ///< of its own thread
        std::thread thread;
    };

    void stop();
    void run(Worker& worker);
    /// Runs `work` in the worker's thread and waits for it.
    template <typename Work>
    void in_worker(Worker& worker, Work&& work);

    struct Listener {
        core::PortId port;
        io::UniqueFd socket;
    };

    const IdlePolicy idle_;
    const core::Time spin_window_;
    const core::Time rest_window_;
    PostOffice post_;
    std::map<host::ListenerId, Listener> listeners_;
    host::ListenerId next_listener_ = 1;
    std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace pasta::shard
