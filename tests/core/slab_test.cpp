#include "dataplane/core/slab.hpp"

#include <gtest/gtest.h>

#include <set>

namespace pasta::core {
namespace {

struct Record {
    FlowId id;
    int value = 7;
};
using RecordSlab = Slab<Record>;

TEST(Slab, create_gives_fresh_records_with_ids_that_find_them) {
    RecordSlab slab{FlowKind::udp, 10};
    Record* a = slab.create();
    Record* b = slab.create();
    EXPECT_EQ(a->value, 7);
    EXPECT_EQ(a->id.kind(), FlowKind::udp);
    EXPECT_FALSE(a->id == b->id);
    EXPECT_EQ(slab.find(a->id), a);
    EXPECT_EQ(slab.find(b->id), b);
    EXPECT_EQ(slab.size(), 2u);
}

TEST(Slab, destroyed_record_is_not_found_even_when_its_place_is_used_again) {
    RecordSlab slab{FlowKind::udp, 1};
    Record* first = slab.create();
    first->value = 1;
    const FlowId stale = first->id;
    slab.destroy(*first);
    EXPECT_EQ(slab.find(stale), nullptr);
    Record* second = slab.create();
    EXPECT_EQ(second->id.index, stale.index);
    EXPECT_EQ(second->value, 7);
    EXPECT_EQ(slab.find(stale), nullptr);
    EXPECT_EQ(slab.find(second->id), second);
}

TEST(Slab, limit_is_exact) {
    for (const size_t limit : {1, 100, 256, 300, 1024}) {
        RecordSlab slab{FlowKind::udp, limit};
        for (size_t i = 0; i < limit; ++i)
            ASSERT_NE(slab.create(), nullptr) << i << " of " << limit;
        EXPECT_EQ(slab.create(), nullptr) << limit;
        EXPECT_EQ(slab.size(), limit);
    }
}

TEST(Slab, addresses_stay_while_it_grows) {
    RecordSlab slab{FlowKind::udp, 2000};
    Record* first = slab.create();
    const FlowId id = first->id;
    for (int i = 0; i < 1500; ++i)
        slab.create();
    EXPECT_EQ(slab.find(id), first);
}

TEST(Slab, find_of_unknown_ids_is_null) {
    RecordSlab slab{FlowKind::udp, 10};
    EXPECT_EQ(slab.find({}), nullptr);
    EXPECT_EQ(slab.find(FlowId(FlowKind::udp, 5000, 0)), nullptr);
    Record* record = slab.create();
    EXPECT_EQ(slab.find(FlowId(FlowKind::tcp, record->id.index, record->id.generation)), nullptr);
}

TEST(Slab, for_each_visits_live_records_and_may_destroy_them) {
    RecordSlab slab{FlowKind::udp, 600};
    std::vector<Record*> records;
    for (int i = 0; i < 600; ++i)
        records.push_back(slab.create());
    for (size_t i = 0; i < records.size(); i += 2)
        slab.destroy(*records[i]);
    size_t visited = 0;
    slab.for_each([&](Record& record) {
        ++visited;
        slab.destroy(record);
    });
    EXPECT_EQ(visited, 300u);
    EXPECT_EQ(slab.size(), 0u);
}

TEST(Slab, generations_wrap_without_an_id_of_kind_none) {
    RecordSlab slab{FlowKind::udp, 1};
    std::set<uint64_t> ids;
    for (int i = 0; i < 1000; ++i) {
        Record* record = slab.create();
        EXPECT_TRUE(record->id);
        EXPECT_TRUE(ids.insert(record->id.packed()).second);
        slab.destroy(*record);
    }
}

TEST(FlowIdTest, packed_and_unpacked_is_the_same) {
    const FlowId id(FlowKind::echo, 0xfedcba98, 0x123456);
    EXPECT_EQ(FlowId::unpack(id.packed()), id);
    EXPECT_EQ(FlowId::unpack(id.packed()).kind(), FlowKind::echo);
    EXPECT_FALSE(FlowId{});
}

}  // namespace
}  // namespace pasta::core
