// The sampler and memory: none is asked for once it runs, and running out of it breaks nothing.
#include <gtest/gtest.h>

#include <vector>

#include "sample/sampler.h"
#include "support/counting_memory.h"

namespace bitnet {
namespace {

SamplerOptions everything(std::span<const LogitBias> bias, int32_t top_k, int32_t window) {
  SamplerOptions o;
  o.temperature = 0.8f;
  o.top_k = top_k;
  o.top_p = 0.9f;
  o.min_p = 0.01f;
  o.repeat_penalty = 1.1f;
  o.penalty_window = window;
  o.bias = bias;
  return o;
}

constexpr LogitBias kBias[] = {{3, 1.5f}, {17, -2}};

std::vector<float> logits_of(size_t n) {
  std::vector<float> logits(n);
  for (size_t i = 0; i < n; ++i) logits[i] = static_cast<float>(i * 37 % 101) / 16;
  return logits;
}

void step(Sampler& sampler, const std::vector<float>& logits) {
  int32_t token = -1;
  ASSERT_TRUE(sampler.pick(logits.data(), static_cast<int64_t>(logits.size()), &token).ok());
  ASSERT_TRUE(sampler.accept(token).ok());
}

TEST(SamplerMemory, IsAskedForByTheFirstPickOnly) {
  const auto logits = logits_of(5000), fewer = logits_of(60);
  for (const int32_t top_k : {0, 40}) {
    auto sampler = Sampler::open(everything(kBias, top_k, 16));
    ASSERT_TRUE(sampler.ok());
    step(*sampler.value(), logits);
    test::allocated_bytes = 0;
    for (int i = 0; i < 300; ++i) step(*sampler.value(), i % 7 == 0 ? fewer : logits);
    sampler.value()->reset();
    for (int i = 0; i < 50; ++i) step(*sampler.value(), logits);
    EXPECT_EQ(test::allocated_bytes, 0u) << top_k;
  }
}

TEST(SamplerMemory, IsAskedForByTheFirstCandidatesOnly) {
  const auto logits = logits_of(5000);
  for (const int32_t top_k : {0, 40}) {
    SamplerOptions options = everything(kBias, top_k, 16);
    if (top_k == 0) options.top_p = 1;
    auto sampler = Sampler::open(options);
    ASSERT_TRUE(sampler.ok());
    std::vector<float> low(logits), high(logits);
    const auto nothing = [](void*, std::span<const int32_t>) {};
    const auto settle = [](void* user, std::span<const int32_t> some) {
      auto& ends = *static_cast<std::vector<float>*>(user);
      for (int32_t token : some) ends[static_cast<size_t>(token)] -= 0.5f;
    };
    std::span<const int32_t> tokens;
    const auto candidates = [&] {
      std::transform(logits.begin(), logits.end(), high.begin(), [](float x) { return x + 0.5f; });
      const size_t before = test::allocated_bytes;
      tokens = sampler.value()->candidates({low.data(), high.data(), nothing, settle, &high}, 5000);
      return test::allocated_bytes - before;
    };
    EXPECT_GT(test::fail_each_allocation([&] { candidates(); }), 0);
    const std::vector<int32_t> first(tokens.begin(), tokens.end());
    EXPECT_FALSE(first.empty());
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(candidates(), 0u) << top_k;
      EXPECT_TRUE(std::equal(first.begin(), first.end(), tokens.begin(), tokens.end()));
      ASSERT_TRUE(sampler.value()->accept(4999).ok());
      sampler.value()->reset();
    }
  }
}

TEST(SamplerMemory, RunningOutLeavesTheSamplerAsItWas) {
  const auto logits = logits_of(5000);
  for (const int32_t window : {16, -1}) {
    const SamplerOptions options = everything(kBias, 0, window);
    auto expected = Sampler::open(options);
    ASSERT_TRUE(expected.ok());
    std::vector<int32_t> want;
    for (int i = 0; i < 40; ++i) {
      int32_t token = -1;
      ASSERT_TRUE(expected.value()->pick(logits.data(), 5000, &token).ok());
      ASSERT_TRUE(expected.value()->accept(token).ok());
      want.push_back(token);
    }
    EXPECT_GT(test::fail_each_allocation([&] { (void)Sampler::open(options).ok(); }), 0);
    auto sampler = Sampler::open(options);
    ASSERT_TRUE(sampler.ok());
    for (const int32_t token : want) {
      int32_t found = -1;
      test::fail_each_allocation(
          [&] { EXPECT_TRUE(sampler.value()->pick(logits.data(), 5000, &found).ok()); });
      EXPECT_EQ(found, token);
      test::fail_each_allocation([&] { EXPECT_TRUE(sampler.value()->accept(token).ok()); });
    }
    EXPECT_EQ(sampler.value()->draw(), want.size()) << "a failed accept is not counted";
  }
}

}  // namespace
}  // namespace bitnet
