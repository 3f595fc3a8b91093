// What crosses threads: frames and clients from shard to shard, commands from control to shard.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>
#include <type_traits>

#include "dataplane/core/chunk.hpp"
#include "dataplane/core/port_config.hpp"

struct rte_ring;

namespace pasta::shard {

/// A bounded lock-free ring for one sending and one receiving thread: DPDK's rte_ring with elements
/// of `element_size` bytes (a multiple of 4), copied in and out.
class Ring {
  public:
    /// Holds `capacity` elements at least. Throws std::bad_alloc or std::invalid_argument.
    Ring(size_t element_size, size_t capacity);

    /// False when full.
    bool push(const void* element);
    /// Takes up to `n` elements; returns how many.
    size_t pop(void* elements, size_t n);
    bool empty() const;

  private:
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    std::unique_ptr<rte_ring, Free> ring_;
    unsigned element_size_;
};

/// A Ring of trivially copyable messages.
template <typename Message>
class Mailbox {
    static_assert(std::is_trivially_copyable_v<Message> && sizeof(Message) % 4 == 0);

  public:
    explicit Mailbox(size_t capacity) : ring_(sizeof(Message), capacity) {}

    bool push(const Message& message) { return ring_.push(&message); }
    size_t pop(std::span<Message> messages) { return ring_.pop(messages.data(), messages.size()); }
    bool empty() const { return ring_.empty(); }

  private:
    Ring ring_;
};

/// A frame for the shard that owns its flow. Its chunks belong to the receiver from the push on.
struct Handover {
    core::Chain frame;
    core::PortId port = 0;
    uint16_t hops = 0;  ///< shards that passed it on
};

}  // namespace pasta::shard
