// Which shard owns a flow.
#pragma once

#include "dataplane/core/flow.hpp"

namespace pasta::core {

/// A shard's view of the keyed choice of owners. All shards agree on the answer, since they have
/// the same secret, but for the moments in which a new secret is on its way to them.
///
/// Flows that exist when the secret changes keep their owner. A frame of such a flow may then reach
/// a shard that does not know it, and so may the new owner's: while any shard has flows of an
/// older secret (`search`), a frame that its owner does not know is shown to the other shards
/// first, one after the other, and comes back to the owner if none knows it.
struct Steering {
    uint16_t self = 0;
    uint16_t shards = 1;
    SipKey secret;
    bool search = false;

    uint16_t owner(const PortConfig& config, const FlowKey& key) const {
        if (config.workers <= 1) return config.first_worker % shards;
        return static_cast<uint16_t>((config.first_worker + hash(secret, key) % config.workers) %
                                     shards);
    }
    /// Where a frame of an unknown flow goes that was passed on `hops` times already; self to
    /// handle it here.
    uint16_t next_stop(const PortConfig& config, const FlowKey& key, unsigned hops) const {
        const uint16_t home = owner(config, key);
        if (undecided(hops)) return self;
        if (!search || hops >= config.workers || (hops == 0 && home != self)) return home;
        return successor(config);
    }
    /// Shards that have different secrets, while a new one is on its way, send such a frame round
    /// and round. None of them may begin a flow with it, that others would not look for there.
    bool undecided(unsigned hops) const { return hops > 2u * shards; }

  private:
    /// The next of the port's workers; flows are at no other shard.
    uint16_t successor(const PortConfig& config) const {
        const unsigned place = (self + shards - config.first_worker % shards) % shards;
        return static_cast<uint16_t>((config.first_worker + (place + 1) % config.workers) % shards);
    }
};

}  // namespace pasta::core
