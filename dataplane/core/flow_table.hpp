// From a flow's key to its id: one per shard, for all protocols.
#pragma once

#include <vector>

#include "dataplane/core/flow.hpp"

namespace pasta::core {

/// Open addressing with linear probing and backward-shift deletion; at most half full, so probes
/// stay short whatever a namespace sends, because the hash is keyed. Doubles up to the limit that
/// its user keeps (the slabs' limits).
class FlowTable {
  public:
    explicit FlowTable(const SipKey& secret) : secret_(secret), cells_(1024) {}

    size_t size() const { return size_; }
    /// Flows inserted before the last new_epoch(): their owner was chosen with an older secret.
    size_t old_flows() const { return size_ - current_flows_; }
    /// The secret that chooses owners changed; flows that exist keep theirs.
    void new_epoch() {
        ++epoch_;
        current_flows_ = 0;
    }
    /// The flow's id, or a false one.
    FlowId find(const FlowKey& key) const;
    /// Precondition: the key is not in the table.
    void insert(const FlowKey& key, FlowId id);
    /// Precondition: the key is in the table.
    void erase(const FlowKey& key);

  private:
    struct Cell {
        FlowKey key;
        FlowId id;
        uint32_t epoch = 0;
    };

    size_t home(const FlowKey& key) const { return hash(secret_, key) & (cells_.size() - 1); }
    size_t next(size_t i) const { return (i + 1) & (cells_.size() - 1); }
    void grow();

    SipKey secret_;
    std::vector<Cell> cells_;
    size_t size_ = 0;
    size_t current_flows_ = 0;  ///< of this epoch
    uint32_t epoch_ = 0;
};

}  // namespace pasta::core
