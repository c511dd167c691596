// Partial attention joined by the contract's fixed pairwise tree (compute/ops.h).
#pragma once

#include <bit>

#include "compute/ops.h"

namespace bitnet {

// Partial results of queries that share a KV head (its query heads, of one or several tokens):
// [queries] maxima, [queries] sums,
// [queries][head_dim] values, one after the other.
struct AttentionPart {
  float *maximum, *sum, *value;

  static int64_t floats(int64_t queries, int64_t head_dim) noexcept {
    return queries * (2 + head_dim);
  }
  static AttentionPart at(float* memory, int64_t queries) noexcept {
    return {memory, memory + queries, memory + 2 * queries};
  }
};

// Computes the tree over leaves pushed in index order, as a stack that counts in binary: after n
// pushes it holds one finished node for each set bit of n.
class AttentionTree {
 public:
  // Memory for so many leaves: a node for each of their number's bits, and the next leaf.
  static int64_t floats(int64_t queries, int64_t head_dim, int64_t leaves) noexcept {
    return (std::bit_width(static_cast<uint64_t>(leaves)) + 1) *
           AttentionPart::floats(queries, head_dim);
  }

  AttentionTree(const Ops& ops, float* memory, int64_t queries, int64_t head_dim) noexcept
      : ops_(ops), memory_(memory), queries_(queries), head_dim_(head_dim) {}

  // The place for the next leaf; fill it, then call leaf_filled().
  AttentionPart next_leaf() noexcept { return node(nodes_); }
  void leaf_filled() noexcept {
    ++nodes_;
    ++leaves_;
    for (uint32_t finished = static_cast<uint32_t>(std::countr_zero(leaves_)); finished > 0;
         --finished) {
      join_top();
    }
  }
  // The whole tree's result; at least one leaf was filled.
  AttentionPart result() noexcept {
    while (nodes_ > 1) join_top();
    return node(0);
  }

 private:
  AttentionPart node(int64_t index) noexcept {
    return AttentionPart::at(memory_ + index * AttentionPart::floats(queries_, head_dim_),
                             queries_);
  }
  void join_top() noexcept {
    const AttentionPart left = node(nodes_ - 2), right = node(nodes_ - 1);
    for (int64_t i = 0; i < queries_; ++i) {
      ops_.attend_join(left.maximum + i, left.sum + i, left.value + i * head_dim_,
                       right.maximum + i, right.sum + i, right.value + i * head_dim_, head_dim_);
    }
    --nodes_;
  }

  const Ops& ops_;
  float* memory_;
  int64_t queries_, head_dim_;
  int64_t nodes_ = 0;
  uint64_t leaves_ = 0;
};

}  // namespace bitnet
