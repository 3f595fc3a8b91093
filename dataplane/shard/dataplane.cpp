#include "dataplane/shard/dataplane.hpp"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include <ctime>
#include <future>
#include <string>
#include <system_error>

#include "dataplane/shard/clock.hpp"
#include "dataplane/splice/socket_open.hpp"

namespace pasta::shard {

namespace {

void pin(std::thread& thread, int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(cpu), &set);
    const int error = pthread_setaffinity_np(thread.native_handle(), sizeof set, &set);
    if (error != 0)
        throw std::system_error(error, std::generic_category(),
                                "cannot pin a worker to CPU " + std::to_string(cpu));
}

io::PortStatistics& operator+=(io::PortStatistics& a, const io::PortStatistics& b) {
    a.rx_frames += b.rx_frames, a.rx_bytes += b.rx_bytes, a.rx_chunks += b.rx_chunks;
    a.tx_frames += b.tx_frames, a.tx_bytes += b.tx_bytes, a.tx_chunks += b.tx_chunks;
    a.tx_kicks += b.tx_kicks, a.tx_kick_busy += b.tx_kick_busy;
    a.rx_oversize += b.rx_oversize, a.fill_starved += b.fill_starved;
    a.kernel_rx_dropped += b.kernel_rx_dropped, a.kernel_rx_invalid += b.kernel_rx_invalid;
    a.kernel_tx_invalid += b.kernel_tx_invalid, a.kernel_rx_ring_full += b.kernel_rx_ring_full;
    a.kernel_fill_ring_empty += b.kernel_fill_ring_empty;
    a.kernel_tx_ring_empty += b.kernel_tx_ring_empty;
    return a;
}

void rest(core::Time duration) {
    const timespec ts{0, static_cast<long>(duration)};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, nullptr);
}

}  // namespace

Dataplane::Dataplane(const DataplaneOptions& options, core::ChunkArena& arena,
                     io::ChunkRing& chunks)
    : idle_(options.idle),
      spin_window_(options.spin_window),
      rest_window_(options.rest_window),
      post_(static_cast<uint16_t>(options.cpus.size())) {
    for (uint16_t i = 0; i < post_.shards(); ++i)
        workers_.push_back(std::make_unique<Worker>(i, arena, chunks, post_, options.secrets));
    try {
        for (uint16_t i = 0; i < workers(); ++i) {
            Worker& worker = *workers_[i];
            worker.thread = std::thread([this, &worker] { run(worker); });
            pthread_setname_np(worker.thread.native_handle(),
                               ("worker-" + std::to_string(i)).c_str());
            if (options.cpus[i] >= 0) pin(worker.thread, options.cpus[i]);
        }
    } catch (...) {
        stop();
        throw;
    }
}

Dataplane::~Dataplane() {
    stop();
}

void Dataplane::stop() {
    for (auto& worker : workers_) {
        if (!worker->thread.joinable()) continue;
        in_worker(*worker, [&](Shard&) { worker->stop = true; });
        worker->thread.join();
    }
}

void Dataplane::run(Worker& worker) {
    // Of this thread alone: rest() shall not take the 50 microseconds longer that are the default.
    prctl(PR_SET_TIMERSLACK, 1);
    core::Time last_work = monotonic_now();
    while (!worker.stop) {
        const core::Time now = monotonic_now();
        core::Time patience = 0;
        if (idle_ == IdlePolicy::sleep ||
            (idle_ == IdlePolicy::adaptive && now - last_work > spin_window_))
            patience = core::never;
        const Turn turn = worker.shard.run_once(now, patience);
        if (turn != Turn::idle) last_work = now;
        if (turn == Turn::bulk && idle_ == IdlePolicy::adaptive) rest(rest_window_);
    }
}

// Exceptions of the work (the kernel refused a descriptor) come back to the caller.
template <typename Work>
void Dataplane::in_worker(Worker& worker, Work&& work) {
    std::promise<void> promise;
    std::future<void> future = promise.get_future();
    Command command{[&](Shard& shard) {
        // The caller's ends as soon as it has the result.
        std::promise<void> done = std::move(promise);
        try {
            work(shard);
            done.set_value();
        } catch (...) {
            done.set_exception(std::current_exception());
        }
    }};
    // Only this thread sends, one command at a time: there is always room.
    [[maybe_unused]] const bool posted = worker.shard.post(command);
    assert(posted);
    future.get();
}

void Dataplane::attach(const core::PortConfig& config,
                       std::vector<std::unique_ptr<io::FramePort>> queues) {
    assert(queues.size() == config.workers && queues.size() <= workers_.size());
    for (size_t i = 0; i < queues.size(); ++i) {
        Worker& worker = *workers_[(config.first_worker + i) % workers_.size()];
        in_worker(worker, [&](Shard& shard) { shard.attach(config, std::move(queues[i])); });
    }
}

io::PortStatistics Dataplane::detach(core::PortId id) {
    for (auto next = listeners_.begin(); next != listeners_.end();) {
        const auto listener = next++;
        if (listener->second.port == id) unlisten(listener->first);
    }
    io::PortStatistics sum;
    for (auto& worker : workers_)
        in_worker(*worker, [&](Shard& shard) { sum += shard.detach(id); });
    return sum;
}

void Dataplane::join(core::PortId id, int netns) {
    for (auto& worker : workers_)
        in_worker(*worker, [&](Shard& shard) { shard.join(id, netns); });
}

host::ListenerId Dataplane::listen(const host::ListenerConfig& config, io::UniqueFd socket) {
    if (config.protocol == wire::protocol_tcp) splice::set_up_tcp_listener(socket.get());
    if (!host::prepare_listener(socket.get(), config))
        throw std::system_error(errno, std::generic_category(), "cannot set up a listener");
    const host::ListenerId id = next_listener_++;
    const int fd = socket.get();
    listeners_.emplace(id, Listener{config.port, std::move(socket)});
    try {
        for (auto& worker : workers_)
            in_worker(*worker, [&](Shard& shard) { shard.listen(id, config, fd); });
    } catch (...) {
        unlisten(id);
        throw;
    }
    return id;
}

void Dataplane::unlisten(host::ListenerId id) {
    for (auto& worker : workers_)
        in_worker(*worker,
                  [&](Shard& shard) { shard.unlisten(id, listeners_.at(id).socket.get()); });
    listeners_.erase(id);
}

void Dataplane::rekey(const core::SipKey& flow_hash) {
    // Every shard searches before the first one has the new secret, and until the last one has it:
    // a turn of the loop in between sees to that.
    post_.rekeying().store(true);
    for (auto& worker : workers_)
        in_worker(*worker, [](Shard&) {});
    for (auto& worker : workers_)
        in_worker(*worker, [&](Shard& shard) { shard.rekey(flow_hash); });
    post_.rekeying().store(false);
}

Dataplane::Totals Dataplane::totals() {
    Totals sum;
    for (auto& worker : workers_) {
        in_worker(*worker, [&](Shard& shard) {
            core::Engine& engine = shard.engine();
            sum.tcp_flows += engine.tcp().flows();
            sum.udp_flows += engine.udp().flows();
            sum.echo_flows += engine.echo().flows();
            sum.chunks_held += engine.tcp().chunks_held();
        });
    }
    return sum;
}

}  // namespace pasta::shard
