// The fixed pairwise tree of the numeric contract (compute/ops.h), in one pass.
//
// Internal linkage: this is compiled for several processors.
#pragma once

#include <cstdint>

namespace bitnet {
namespace {

// Works like a binary counter: after `count` pushes, the set bits of `count`, high to low, are the
// sizes of the finished nodes on the stack.
class PairwiseSum {
 public:
  void push(float item) noexcept {
    for (uint64_t carry = count_++; carry & 1; carry >>= 1) item = nodes_[--depth_] + item;
    nodes_[depth_++] = item;
  }
  float total() const noexcept {
    if (depth_ == 0) return 0.0f;
    float sum = nodes_[depth_ - 1];
    for (int i = depth_ - 2; i >= 0; --i) sum = nodes_[i] + sum;
    return sum;
  }

 private:
  uint64_t count_ = 0;
  int depth_ = 0;
  float nodes_[64];
};

}  // namespace
}  // namespace bitnet
