#include "dataplane/core/flow_table.hpp"

#include <cassert>

namespace pasta::core {

FlowId FlowTable::find(const FlowKey& key) const {
    for (size_t i = home(key); cells_[i].id; i = next(i))
        if (cells_[i].key == key) return cells_[i].id;
    return {};
}

void FlowTable::insert(const FlowKey& key, FlowId id) {
    assert(id && !find(key));
    if (++size_ * 2 > cells_.size()) grow();
    size_t i = home(key);
    while (cells_[i].id)
        i = next(i);
    cells_[i] = {key, id, epoch_};
    ++current_flows_;
}

void FlowTable::erase(const FlowKey& key) {
    size_t hole = home(key);
    while (!(cells_[hole].key == key && cells_[hole].id)) {
        assert(cells_[hole].id);
        hole = next(hole);
    }
    if (cells_[hole].epoch == epoch_) --current_flows_;
    // Move back every later cell of the run that its home allows to stand in the hole.
    const size_t mask = cells_.size() - 1;
    for (size_t i = next(hole); cells_[i].id; i = next(i)) {
        const size_t distance_from_home = (i - home(cells_[i].key)) & mask;
        if (distance_from_home >= ((i - hole) & mask)) {
            cells_[hole] = cells_[i];
            hole = i;
        }
    }
    cells_[hole].id = {};
    --size_;
}

void FlowTable::grow() {
    std::vector<Cell> old(cells_.size() * 2);
    old.swap(cells_);
    for (const Cell& cell : old) {
        if (!cell.id) continue;
        size_t i = home(cell.key);
        while (cells_[i].id)
            i = next(i);
        cells_[i] = cell;
    }
}

}  // namespace pasta::core
