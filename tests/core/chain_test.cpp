// Chains of chunks, and the cache where their references end.

#include "dataplane/core/chain.hpp"

#include "tests/support/core_fixture.hpp"
#include "tests/support/guest_packets.hpp"

namespace pasta::core {
namespace {

using test::ByteVector;
using test::pattern;

class ChainTest : public test::CoreFixture {
  protected:
    /// A chain of chunks of these lengths with consecutive bytes of the pattern.
    Chain chain_of(std::initializer_list<size_t> lengths) {
        Chain chain;
        size_t position = 0;
        for (const size_t length : lengths) {
            const ChunkId id = cache.alloc();
            arena.meta(id).offset = 100;
            arena.meta(id).len = static_cast<uint16_t>(length);
            for (size_t i = 0; i < length; ++i)
                arena.bytes(id)[i] = static_cast<uint8_t>((position + i) % 251);
            position += length;
            chain.append(arena, id);
        }
        return chain;
    }
    ByteVector content(const Chain& chain) {
        ByteVector bytes(chain.bytes);
        EXPECT_EQ(copy_out(arena, chain, bytes), bytes.size());
        return bytes;
    }
    static ByteVector slice(size_t from, size_t to) {
        const ByteVector all = pattern(to);
        return {all.begin() + static_cast<std::ptrdiff_t>(from), all.end()};
    }
    /// Walks the links and checks the sums.
    void check(const Chain& chain) {
        uint32_t count = 0, bytes = 0;
        ChunkId last = no_chunk;
        for (ChunkId id = chain.head; id != no_chunk; id = arena.meta(id).next) {
            ++count, bytes += arena.meta(id).len, last = id;
            EXPECT_NE(arena.meta(id).len, 0);
        }
        EXPECT_EQ(chain.count, count);
        EXPECT_EQ(chain.bytes, bytes);
        EXPECT_EQ(chain.tail, last);
        EXPECT_EQ(chain.empty(), count == 0);
    }
};

TEST_F(ChainTest, trim_front_at_every_position_keeps_the_rest) {
    for (uint32_t n = 0; n <= 70; ++n) {
        Chain chain = chain_of({10, 30, 1, 19});
        trim_front(cache, chain, n);
        check(chain);
        EXPECT_EQ(content(chain), slice(std::min(n, 60u), 60)) << n;
        cache.unref(chain);
    }
}

TEST_F(ChainTest, truncate_at_every_position_keeps_the_front) {
    for (uint32_t n = 0; n <= 70; ++n) {
        Chain chain = chain_of({10, 30, 1, 19});
        truncate(cache, chain, n);
        check(chain);
        EXPECT_EQ(content(chain), pattern(std::min(n, 60u))) << n;
        cache.unref(chain);
    }
}

TEST_F(ChainTest, append_chain_moves_all_and_empties_the_other) {
    Chain first = chain_of({10, 20}), second = chain_of({5}), nothing;
    first.append(arena, second);
    check(first);
    check(second);
    EXPECT_EQ(first.count, 3u);
    EXPECT_TRUE(second.empty());
    first.append(arena, nothing);
    nothing.append(arena, first);
    check(nothing);
    EXPECT_EQ(nothing.bytes, 35u);
    EXPECT_TRUE(first.empty());
    cache.unref(nothing);
}

TEST_F(ChainTest, pop_takes_from_the_front_until_empty) {
    Chain chain = chain_of({1, 2, 3});
    for (uint32_t left = 3; left > 0; --left) {
        EXPECT_EQ(chain.count, left);
        cache.unref(chain.pop(arena));
        check(chain);
    }
}

TEST_F(ChainTest, copy_in_fills_chunks_from_the_offset) {
    const ByteVector bytes = pattern(10000);
    Chain chain = copy_in(cache, bytes, 256);
    check(chain);
    EXPECT_EQ(chain.count, 3u);
    EXPECT_EQ(arena.meta(chain.head).offset, 256);
    EXPECT_EQ(content(chain), bytes);
    ByteVector part(5000);
    EXPECT_EQ(copy_out(arena, chain, part), 5000u);
    EXPECT_EQ(part, pattern(5000));
    cache.unref(chain);
    EXPECT_TRUE(copy_in(cache, {}).empty());
}

TEST_F(ChainTest, copy_in_without_enough_chunks_gives_all_back) {
    const ByteVector bytes = pattern(chunk_size * (chunk_count + 1));
    EXPECT_TRUE(copy_in(cache, bytes).empty());
    cache.flush();
    EXPECT_EQ(source.size(), chunk_count);
}

TEST_F(ChainTest, cache_alloc_hands_out_every_chunk_once_then_none) {
    std::vector<bool> seen(chunk_count);
    Chain all;
    for (size_t i = 0; i < chunk_count; ++i) {
        const ChunkId id = cache.alloc();
        ASSERT_LT(id, chunk_count);
        EXPECT_FALSE(seen[id]);
        seen[id] = true;
        arena.meta(id).len = 1;
        all.append(arena, id);
    }
    EXPECT_EQ(cache.alloc(), no_chunk);
    cache.unref(all);
    EXPECT_LE(cache.stock(), 512u);  // the rest went back to the source
    EXPECT_EQ(cache.stock() + source.size(), chunk_count);
}

TEST_F(ChainTest, cache_chunk_with_two_references_is_free_after_the_second) {
    const ChunkId id = cache.alloc();
    const size_t stock = cache.stock();
    cache.ref(id);
    cache.unref(id);
    EXPECT_EQ(cache.stock(), stock);
    cache.unref(id);
    EXPECT_EQ(cache.stock(), stock + 1);
}

TEST_F(ChainTest, cache_alloc_forgets_the_flags_of_the_last_user) {
    const ChunkId id = cache.alloc();
    arena.meta(id).flags = 0xff;
    cache.unref(id);
    const ChunkId again = cache.alloc();
    EXPECT_EQ(arena.meta(again).flags, 0);
    EXPECT_EQ(arena.meta(again).refs, 1);
    cache.unref(again);
}

TEST_F(ChainTest, tx_queue_is_first_in_first_out_and_bounded_by_slices) {
    TxQueue queue(8);
    const std::array<Slice, 3> slices{{{1, 30, 10}, {2, 40, 20}, {3, 50, 30}}};
    for (uint16_t round = 0; round < 20; ++round) {  // around the ring several times
        EXPECT_TRUE(queue.empty());
        EXPECT_TRUE(queue.push(slices, round, 16));
        EXPECT_TRUE(queue.push(std::span{slices}.first(2), 0, 0));
        EXPECT_TRUE(queue.push(slices, 0, 0));
        EXPECT_EQ(queue.room(), 0u);
        EXPECT_FALSE(queue.push(std::span{slices}.first(1), 0, 0));
        EXPECT_EQ(queue.frames(), 3u);
        EXPECT_EQ(queue.front().slices, 3);
        EXPECT_EQ(queue.front().csum_start, round);
        EXPECT_EQ(queue.front_slice(2).chunk, 3u);
        queue.pop();
        EXPECT_EQ(queue.front().slices, 2);
        EXPECT_EQ(queue.front_slice(0).offset, 30);
        EXPECT_EQ(queue.room(), 3u);
        queue.pop();
        queue.pop();
    }
}

}  // namespace
}  // namespace pasta::core
