// What chance decides before a simulation begins.
#pragma once

#include "tests/sim/link.hpp"
#include "tests/sim/tcp_conversation.hpp"

namespace pasta::sim {

enum class Scenario : uint8_t {
    mixed,         ///< anything
    slow_readers,  ///< some stop for minutes, chunks and descriptors run out; others may not wait
};

/// From one virtual time to another.
struct Period {
    core::Time from = core::never, until = core::never;
    bool contains(core::Time now) const { return now >= from && now < until; }
};

struct Setup {
    Scenario scenario = Scenario::mixed;
    uint16_t shards = 1;
    uint32_t mtu = 1500;
    size_t chunks = 0;
    double scarcity = 0;  ///< probability that no chunk is to be had
    LinkFaults from_guest, to_guest;
    uint16_t tcp = 0, datagram = 0;  ///< conversations
    unsigned rekeys = 0;
    Period no_chunks, no_descriptors;  ///< when none at all is to be had
};

Setup choose_setup(Random& random, uint16_t shards, Scenario scenario);
TcpScript choose_tcp(Random& random, const Setup& setup, uint16_t number);

wire::IpAddress guest_address(bool v6);
wire::IpAddress peer_address(bool v6);

}  // namespace pasta::sim
