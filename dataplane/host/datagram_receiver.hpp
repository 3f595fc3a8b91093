// Receiving datagrams and errors from the sockets of flows.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <memory>
#include <vector>

#include "dataplane/core/datagram_engine.hpp"
#include "dataplane/host/arrival.hpp"
#include "dataplane/host/socket_address.hpp"

namespace pasta::host {

/// Receives with recvmmsg(2) straight into chunks, behind room for the headers. How many chunks
/// each datagram gets follows from what the flow's last ones needed; bytes beyond them land in an
/// overflow area, from which they are copied, so that a datagram is never cut.
class DatagramReceiver {
  public:
    /// Datagrams that came into a client's flow before it was connected, from other clients, go to
    /// `arrivals`.
    DatagramReceiver(core::ChunkCache& chunks, std::vector<Arrival>& arrivals);

    /// Executes a read operation of `flow`, whose socket is open.
    void read(core::DatagramEngine& engine, core::DatagramFlow& flow);

  private:
    static constexpr size_t max_slots = 32;
    static constexpr size_t max_chunks = 64;
    static constexpr size_t overflow_size = 65536;

    struct alignas(cmsghdr) Control {
        std::array<uint8_t, 2 * CMSG_SPACE(sizeof(int))> bytes;
    };
    /// Chunks of one datagram to be.
    struct Slot {
        size_t first = 0, count = 0;  ///< in chunk_ids_
        SocketAddress source;
        Control control;
    };

    size_t prepare(const core::ReadPlan& plan);
    void deliver(core::DatagramEngine& engine, core::DatagramFlow& flow, size_t slot,
                 core::Chain datagram);
    int receive(core::DatagramEngine& engine, core::DatagramFlow& flow, size_t slots);
    core::Chain assemble(size_t slot, size_t length);
    bool drain_errors(core::DatagramEngine& engine, core::DatagramFlow& flow);
    void release();

    core::ChunkCache& chunks_;
    std::vector<Arrival>& arrivals_;
    std::array<core::ChunkId, max_chunks> chunk_ids_;
    size_t chunk_count_ = 0;
    std::array<Slot, max_slots> slots_;
    std::array<iovec, max_chunks + max_slots> iov_{};
    std::array<mmsghdr, max_slots> headers_{};
    /// Pages that no datagram reached cost no memory.
    std::unique_ptr<uint8_t[]> overflow_;
};

}  // namespace pasta::host
