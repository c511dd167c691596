// Finds: a page tree of the wrong shape, or one that depends on where threads split it.
#include "forward/attention.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

namespace bitnet {
namespace {

constexpr int64_t kQueries = 3, kHeadDim = 20;

std::vector<float> random_part(std::mt19937& random) {
  std::uniform_real_distribution<float> value(-3, 3), positive(0.5f, 30);
  std::vector<float> part(static_cast<size_t>(AttentionPart::floats(kQueries, kHeadDim)));
  for (float& f : part) f = value(random);
  for (int64_t i = 0; i < kQueries; ++i) part[static_cast<size_t>(kQueries + i)] = positive(random);
  return part;
}

// The contract's words: a node of 2^k leaves joins its halves, a missing right half is the
// identity.
std::vector<float> recursive(const std::vector<std::vector<float>>& leaves, size_t first,
                             size_t size) {
  if (size == 1) return leaves[first];
  std::vector<float> left = recursive(leaves, first, size / 2);
  if (first + size / 2 >= leaves.size()) return left;
  std::vector<float> right = recursive(leaves, first + size / 2, size / 2);
  const AttentionPart a = AttentionPart::at(left.data(), kQueries);
  const AttentionPart b = AttentionPart::at(right.data(), kQueries);
  for (int64_t i = 0; i < kQueries; ++i) {
    reference_ops().attend_join(a.maximum + i, a.sum + i, a.value + i * kHeadDim, b.maximum + i,
                                b.sum + i, b.value + i * kHeadDim, kHeadDim);
  }
  return left;
}

std::vector<float> folded(const std::vector<std::vector<float>>& leaves) {
  std::vector<float> memory(
      static_cast<size_t>(AttentionTree::floats(kQueries, kHeadDim, int64_t(leaves.size()))));
  AttentionTree tree(reference_ops(), memory.data(), kQueries, kHeadDim);
  for (const auto& leaf : leaves) {
    std::memcpy(tree.next_leaf().maximum, leaf.data(), leaf.size() * sizeof(float));
    tree.leaf_filled();
  }
  const float* result = tree.result().maximum;
  return {result, result + AttentionPart::floats(kQueries, kHeadDim)};
}

TEST(AttentionTree, IsThePairwiseTreeOfTheContract) {
  std::mt19937 random(1);
  std::vector<std::vector<float>> leaves;
  for (size_t n = 1; n <= 70; ++n) {
    leaves.push_back(random_part(random));
    const std::vector<float> expected = recursive(leaves, 0, 128);
    const std::vector<float> got = folded(leaves);
    ASSERT_EQ(std::memcmp(expected.data(), got.data(), got.size() * sizeof(float)), 0)
        << n << " leaves";
  }
}

TEST(AttentionTree, SplittingAtGroupsChangesNoBit) {
  std::mt19937 random(2);
  std::vector<std::vector<float>> leaves;
  for (size_t n = 1; n <= 70; ++n) {
    leaves.push_back(random_part(random));
    for (size_t group : {1u, 2u, 8u, 32u}) {
      std::vector<std::vector<float>> parts;
      for (size_t first = 0; first < n; first += group) {
        const auto begin = leaves.begin() + static_cast<ptrdiff_t>(first);
        parts.push_back(
            folded({begin, begin + static_cast<ptrdiff_t>(std::min(group, n - first))}));
      }
      const std::vector<float> expected = folded(leaves), got = folded(parts);
      ASSERT_EQ(std::memcmp(expected.data(), got.data(), got.size() * sizeof(float)), 0)
          << n << " leaves in groups of " << group;
    }
  }
}

}  // namespace
}  // namespace bitnet
