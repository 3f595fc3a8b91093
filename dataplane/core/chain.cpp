#include "dataplane/core/chain.hpp"

#include <algorithm>
#include <cstring>

namespace pasta::core {

void trim_front(ChunkCache& chunks, Chain& chain, uint32_t n) {
    ChunkArena& arena = chunks.arena();
    while (n > 0 && !chain.empty()) {
        ChunkMeta& first = arena.meta(chain.head);
        if (first.len > n) {
            first.offset = static_cast<uint16_t>(first.offset + n);
            first.len = static_cast<uint16_t>(first.len - n);
            chain.bytes -= n;
            return;
        }
        n -= first.len;
        chunks.unref(chain.pop(arena));
    }
    while (!chain.empty() && arena.meta(chain.head).len == 0)
        chunks.unref(chain.pop(arena));
}

void truncate(ChunkCache& chunks, Chain& chain, uint32_t n) {
    if (n >= chain.bytes) return;
    ChunkArena& arena = chunks.arena();
    Chain rest = chain;
    Chain kept;
    while (n > 0) {
        const ChunkId id = rest.pop(arena);
        ChunkMeta& meta = arena.meta(id);
        meta.len = static_cast<uint16_t>(std::min<uint32_t>(meta.len, n));
        n -= meta.len;
        kept.append(arena, id);
    }
    chunks.unref(rest);
    chain = kept;
}

size_t copy_out(ChunkArena& arena, const Chain& chain, std::span<uint8_t> out) {
    size_t done = 0;
    for (ChunkId id = chain.head; id != no_chunk && done < out.size(); id = arena.meta(id).next) {
        const std::span<uint8_t> bytes = arena.bytes(id);
        const size_t n = std::min(bytes.size(), out.size() - done);
        if (n != 0) std::memcpy(out.data() + done, bytes.data(), n);
        done += n;
    }
    return done;
}

Chain copy_in(ChunkCache& chunks, std::span<const uint8_t> bytes, size_t offset) {
    ChunkArena& arena = chunks.arena();
    Chain chain;
    while (!bytes.empty()) {
        const ChunkId id = chunks.alloc();
        if (id == no_chunk) {
            chunks.unref(chain);
            return {};
        }
        const size_t n = std::min(bytes.size(), chunk_size - offset);
        ChunkMeta& meta = arena.meta(id);
        meta.offset = static_cast<uint16_t>(offset);
        meta.len = static_cast<uint16_t>(n);
        std::memcpy(arena.data(id) + offset, bytes.data(), n);
        chain.append(arena, id);
        bytes = bytes.subspan(n);
    }
    return chain;
}

}  // namespace pasta::core
