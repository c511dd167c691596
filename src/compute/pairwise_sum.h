// The fixed pairwise tree of the numeric contract (compute/ops.h), in one pass.
//
// Internal linkage: this is compiled for several processors.
#pragma once

#include <cstdint>

namespace bitnet {
namespace {

inline float add(float a, float b) noexcept {
  return a + b;
}

// Works like a binary counter: after `count` pushes, the set bits of `count`, high to low, are the
// sizes of the finished nodes on the stack. Items are numbers or registers of them, with add(); at
// most 2^31.
template <class Item>
class PairwiseTree {
 public:
  void push(Item item) noexcept {
    for (uint32_t carry = count_++; carry & 1; carry >>= 1) item = add(nodes_[--depth_], item);
    nodes_[depth_++] = item;
  }
  // Of one item or more.
  Item total() const noexcept {
    Item sum = nodes_[depth_ - 1];
    for (int i = depth_ - 2; i >= 0; --i) sum = add(nodes_[i], sum);
    return sum;
  }
  bool empty() const noexcept { return depth_ == 0; }

 private:
  uint32_t count_ = 0;
  int depth_ = 0;
  Item nodes_[32];
};

class PairwiseSum : public PairwiseTree<float> {
 public:
  float total() const noexcept { return empty() ? 0.0f : PairwiseTree<float>::total(); }
};

}  // namespace
}  // namespace bitnet
