// A sequence of a context as bytes, and back: all or nothing, with a checksum.
//
//   u64 magic | u64 model fingerprint | u64 layers | u64 kv heads | u64 head dim | u64 n tokens |
//   i32 tokens[n], padded to 8 bytes |
//   for each page, layer, kv head:  f16 keys[m][head_dim], f16 values[m][head_dim]   (m positions)
//   | u64 checksum of all before.                                             Little-endian.
#pragma once

#include "base/status.h"
#include "forward/cache.h"

namespace bitnet {

// Query-then-fill.
Status save_sequence(const KvCache& cache, const HyperParameters& hyper, uint64_t fingerprint,
                     int64_t sequence, uint8_t* buffer, uint64_t capacity, uint64_t* bytes);
Status load_sequence(KvCache& cache, const HyperParameters& hyper, uint64_t fingerprint,
                     int64_t sequence, std::span<const uint8_t> data);

}  // namespace bitnet
