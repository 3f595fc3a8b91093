// Cutting chains: headers off the front, padding off the end.
#pragma once

#include "dataplane/core/chunk.hpp"

namespace pasta::core {

/// Removes the first n bytes (at most all); chunks that become empty are given back.
void trim_front(ChunkCache& chunks, Chain& chain, uint32_t n);
/// Keeps the first n bytes (at most all there are); the chunks after them are given back.
void truncate(ChunkCache& chunks, Chain& chain, uint32_t n);
/// Copies up to out.size() bytes from the front; returns how many. The chain stays as it is.
size_t copy_out(ChunkArena& arena, const Chain& chain, std::span<uint8_t> out);
/// Makes a chain of new chunks that holds a copy of `bytes`, each chunk's data at `offset` at
/// least; empty when bytes are empty or chunks ran out.
Chain copy_in(ChunkCache& chunks, std::span<const uint8_t> bytes, size_t offset = tx_metadata_size);

}  // namespace pasta::core
