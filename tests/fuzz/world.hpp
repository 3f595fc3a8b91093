// One engine, two namespaces and a host, all of which do what a fuzzer's input says.
#pragma once

#include <vector>

#include "tests/fuzz/fake_host.hpp"
#include "tests/support/chunk_memory.hpp"
#include "tests/support/guest_packets.hpp"

namespace pasta::fuzz {

/// Runs one input from beginning to end. What the engine sends is verified frame by frame; at the
/// end, when both namespaces are gone, every socket is closed and every chunk is free.
class World {
  public:
    explicit World(Input& input);
    ~World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    void run();

  private:
    void step(uint8_t action);
    // From a namespace.
    void raw_frame();
    void segment();
    void datagram();
    void echo();
    void fragment();
    void frame(std::span<const uint8_t> bytes);
    test::GuestPackets packets(uint8_t choice) const;
    // Around the engine.
    void pass_time();
    void hoard_chunks();
    void give_back_chunks();
    void replace_port();
    void transmit(core::PortId id, size_t frames);
    void verify(std::vector<uint8_t>& frame, const core::TxFrame& info, const core::Port& port);
    void finish();

    core::Context& context() { return engine_.context(); }

    Input& input_;
    core::ChunkArena arena_;
    test::VectorChunkSource source_;
    core::ChunkCache cache_;
    const uint32_t mtu_;
    core::Engine engine_;
    FakeHost host_;
    std::vector<core::ChunkId> hoard_;
};

}  // namespace pasta::fuzz
