// Attention over the paged cache on the device, by the contract of compute/ops.h: pages of 64
// positions, joined by the fixed pairwise tree over page numbers.
//
// The cache is [pages][layers][kv_heads] blocks of [K | V], K placed by key_place(), V
// [kPagePositions][head_dim], all f16: as pages travel between the library and the device.
#pragma once

#include "compute/cuda/launch.h"
#include "compute/cuda/numbers.h"
#include "compute/ops.h"

namespace bitnet::cuda {

constexpr int kMostHeadDim = 256;

// Tokens that attend together: neighbours of one sequence whose positions lie on one page.
struct QueryBlock {
  int32_t row;        // of the first in the batch
  int32_t tokens;     // at most AttentionShape::tokens
  int32_t page;       // in the sequence
  int32_t page_list;  // where the sequence's pages begin
};

struct AttentionJob {
  // Before rotation: [tokens][heads * head_dim], and [tokens][kv_heads * head_dim] twice.
  const float *q, *k, *v;
  float* attended;  // [tokens][heads * head_dim]
  uint16_t* cache;
  const int32_t* position;   // [tokens]
  const int32_t* page_list;  // [tokens]
  const int32_t* pages;
  const QueryBlock* blocks;    // [block_count]
  const float *cosine, *sine;  // [tokens][rope_pairs]
  int32_t tokens, block_count;
  int32_t heads, kv_heads, head_dim, rope_pairs;
  int32_t layers, layer;
  RopeStyle rope;
  float scale;
  // Pages of one sequence are computed in groups of group_pages (1, 2 or 4); groups: how many the
  // longest sequence of the batch has, at least.
  int32_t groups, group_pages;
  float* parts;  // room for the partial results of part_groups groups, at least `groups`
  int64_t part_groups;
  uint32_t* arrived;  // [block_count * kv_heads * slices]: zero, and zero again afterwards
};

// Query heads of one KV head are computed in so many slices of so many heads, for so many tokens at
// once.
struct AttentionShape {
  int64_t slices, slice_heads, tokens;
  AttentionShape(int64_t heads, int64_t kv_heads, int64_t head_dim) noexcept;
};
// Floats of one group's partial result of a block of queries, all heads.
int64_t attention_part_floats(int64_t heads, int64_t kv_heads, int64_t head_dim) noexcept;

// Writes keys and values of the tokens to their places, then attends.
void attend(Stream& stream, const AttentionJob& job);

// Shared memory that such heads need, at most.
int64_t attention_shared_bytes(int64_t heads, int64_t kv_heads, int64_t head_dim);
cudaError_t prepare_attention_kernels(int shared_bytes);

}  // namespace bitnet::cuda
