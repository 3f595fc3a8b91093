// The BPF programs of PortGate: loads bpf/gate.bpf.c and shares its memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

struct gate_bpf;
struct ring_buffer;

namespace pasta::control {

/// Slots are numbered from 0 to `slots`; whose each is, the user of this class decides. Nothing is
/// left in the kernel when the object ends or the process dies, except that sockets which are still
/// open keep the program, which then lets all clients in.
class GateProgram {
  public:
    static const uint32_t slots;

    /// Loads the programs and begins to see sockets. Throws std::system_error when the kernel does
    /// not take them.
    GateProgram();
    ~GateProgram();
    GateProgram(const GateProgram&) = delete;
    GateProgram& operator=(const GateProgram&) = delete;

    /// Makes a slot that of a port (host byte order) of the network namespace with this
    /// SO_NETNS_COOKIE. The port is open. False when the kernel refuses.
    bool assign(uint32_t slot, uint64_t netns, uint16_t port);
    void release(uint64_t netns, uint16_t port);
    /// Clients of a TCP socket that listens, and had SO_REUSEPORT before, are let in while the port
    /// of the slot is open. `cookie` is the socket's SO_COOKIE. False when the kernel refuses.
    bool guard(int socket, uint64_t cookie, uint32_t slot);
    /// The socket is closed.
    void forget(uint64_t cookie);

    /// Sockets that began to listen on the port, so far.
    uint32_t listens(uint32_t slot) const;
    /// Nobody listened when listens() was this: the port is closed until that changes.
    void close(uint32_t slot, uint32_t listens);
    void open(uint32_t slot);
    uint32_t refused(uint32_t slot) const;

    /// Readable when there are notes; for poll.
    int fd() const;
    /// Calls `each` with the slots of whose ports there are notes: something that listened has
    /// ended, or a client was refused. There is no other note of a slot until hear_again().
    void read_notes(const std::function<void(uint32_t slot)>& each);
    void hear_again(uint32_t slot);

  private:
    struct Unload {
        void operator()(gate_bpf* programs) const;
        void operator()(ring_buffer* notes) const;
    };

    std::unique_ptr<gate_bpf, Unload> programs_;
    std::unique_ptr<ring_buffer, Unload> notes_;
    const std::function<void(uint32_t)>* each_ = nullptr;  ///< during read_notes()
};

}  // namespace pasta::control
