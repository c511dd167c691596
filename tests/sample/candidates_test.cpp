// Candidates: whatever the logits inside their intervals are, pick() on the candidates' logits
// alone is pick() on all of them, and few logits are settled to find out which.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "sample/sampler.h"
#include "support/heads.h"

namespace bitnet {
namespace {

using test::Random;

struct Case {
  std::vector<float> logits, low, high;
  size_t narrowed = 0, settled = 0;

  // Narrows as far as to a fifth; some ends stay where they are.
  static void narrow(void* user, std::span<const int32_t> tokens) {
    Case& c = *static_cast<Case*>(user);
    for (size_t i = 0; i < tokens.size(); ++i) {
      const size_t token = static_cast<size_t>(tokens[i]);
      EXPECT_TRUE(i == 0 || tokens[i - 1] < tokens[i]);
      if (c.low[token] == -INFINITY || token % 5 == 0) continue;
      c.low[token] += (c.logits[token] - c.low[token]) * 0.8f;
      c.high[token] += (c.logits[token] - c.high[token]) * 0.8f;
      // Rounding must not take the logit out.
      if (c.low[token] > c.logits[token]) c.low[token] = c.logits[token];
      if (c.high[token] < c.logits[token]) c.high[token] = c.logits[token];
    }
    c.narrowed += tokens.size();
  }
  // Settles by the logits. Only tokens about which something is known are worth it.
  static void settle(void* user, std::span<const int32_t> tokens) {
    Case& c = *static_cast<Case*>(user);
    EXPECT_FALSE(tokens.empty());
    for (size_t i = 0; i < tokens.size(); ++i) {
      const size_t token = static_cast<size_t>(tokens[i]);
      EXPECT_TRUE(i == 0 || tokens[i - 1] < tokens[i]);
      EXPECT_GT(c.low[token], -INFINITY);
      c.low[token] = c.high[token] = c.logits[token];
    }
    c.settled += tokens.size();
  }
  LogitBounds bounds() { return {low.data(), high.data(), narrow, settle, this}; }
};

// Logits in intervals about `width` wide. shrink < 1: the intervals lie, on purpose.
Case random_case(Random& random, size_t n, float spread, float width, bool broken, float shrink) {
  Case c{std::vector<float>(n), std::vector<float>(n), std::vector<float>(n)};
  const bool coarse = random.one_in(3);  // many equal logits
  for (size_t i = 0; i < n; ++i) {
    float l = random.normal() * spread;
    if (coarse) l = std::round(l);
    // The logit at either end as often as anywhere inside.
    const float share = random.one_of({0.0f, 1.0f, 0.5f, 0.1f, 0.9f});
    c.logits[i] = l;
    c.low[i] = l - share * width;
    c.high[i] = l + (1 - share) * width;
    if (shrink < 1) {
      const float middle = (c.low[i] + c.high[i]) / 2;
      c.low[i] = middle - width * shrink / 2;
      c.high[i] = middle + width * shrink / 2;
    }
    if (broken && random.one_in(400)) {
      c.logits[i] = random.one_of({-INFINITY, 3.0f * spread, INFINITY, random.one_in(9) ? 0 : NAN});
      c.low[i] = -INFINITY;
      c.high[i] = INFINITY;
    }
  }
  return c;
}

SamplerOptions random_options(Random& random, size_t n, std::vector<LogitBias>& bias) {
  SamplerOptions o;
  o.temperature = random.one_of({0.0f, 1e-6f, 0.1f, 0.7f, 1.0f, 1.5f, 10.0f, 1e6f});
  o.top_k = random.one_of({0, 0, 1, 2, 7, 40, 300, 2000});
  o.top_p = random.one_of({0.0f, 0.0f, 1.0f, 0.01f, 0.5f, 0.95f});
  o.min_p = random.one_of({0.0f, 0.0f, 0.9f, 0.1f, 0.01f, 1e-6f});
  o.repeat_penalty = random.one_of({0.0f, 1.0f, 1.1f, 1.3f, 0.8f});
  o.frequency_penalty = random.one_of({0.0f, 0.0f, 0.3f, -0.2f});
  o.presence_penalty = random.one_of({0.0f, 0.0f, 0.5f, -0.1f});
  o.penalty_window = random.one_of({-1, 0, 1, 3, 16});
  o.seed = random.bits() * uint64_t{0x100000001};
  if (random.one_in(2)) {
    for (size_t t = random.bits() % 30; t < n; t += 1 + random.bits() % 400) {
      bias.push_back({static_cast<int32_t>(t), random.one_of({-INFINITY, 2.0f, -1.0f, 3e38f})});
    }
  }
  o.bias = bias;
  return o;
}

// Picks that differ, of `trials` samplers with some picks each.
int64_t differences(uint32_t seed, int trials, bool broken, float shrink, int64_t* by_candidates) {
  Random random(seed);
  int64_t different = 0;
  for (int trial = 0; trial < trials; ++trial) {
    const size_t n = random.one_of<size_t>({1, 2, 15, 33, 255, 256, 257, 1000, 3000, 20000});
    std::vector<LogitBias> bias;
    const SamplerOptions options = random_options(random, n, bias);
    auto full = Sampler::open(options), screened = Sampler::open(options);
    EXPECT_TRUE(full.ok() && screened.ok());
    const float spread = random.one_of({0.01f, 1.0f, 4.0f, 20.0f, 1000.0f});
    const float width = spread * random.one_of({0.0f, 1e-3f, 0.1f, 0.6f, 3.0f});
    for (int step = 0; step < 5; ++step) {
      Case c = random_case(random, n, spread, width, broken && random.one_in(2), shrink);
      if (broken && !bias.empty() && random.one_in(3)) {  // a ban must not hide it
        const size_t at = static_cast<size_t>(bias[random.bits() % bias.size()].token);
        c.logits[at] = NAN;
        c.low[at] = -INFINITY;
        c.high[at] = INFINITY;
      }
      int32_t expected = -1, found = -1;
      const int64_t count = static_cast<int64_t>(n);
      const Status all = full.value()->pick(c.logits.data(), count, &expected);
      const auto tokens = screened.value()->candidates(c.bounds(), count);
      if (!tokens.empty()) {
        *by_candidates += 1;
        std::vector<float> few(n, -INFINITY);
        for (size_t i = 0; i < tokens.size(); ++i) {
          EXPECT_TRUE(i == 0 || tokens[i - 1] < tokens[i]);
          few[static_cast<size_t>(tokens[i])] = c.logits[static_cast<size_t>(tokens[i])];
        }
        const Status some = screened.value()->pick(few.data(), count, &found);
        different += expected != found || all.code() != some.code() ||
                     std::string(all.text()) != some.text();
      }
      const int32_t token = expected >= 0 ? expected : 0;
      EXPECT_TRUE(full.value()->accept(token).ok() && screened.value()->accept(token).ok());
    }
  }
  return different;
}

TEST(Candidates, HoldWhateverAPickDependsOn) {
  int64_t by_candidates = 0;
  EXPECT_EQ(differences(51, 2500, false, 1, &by_candidates), 0);
  EXPECT_GT(by_candidates, 5000);
  std::printf("%lld picks by candidates\n", static_cast<long long>(by_candidates));
}

TEST(Candidates, HoldInfinitiesAndNumbersThatAreNone) {
  int64_t by_candidates = 0;
  EXPECT_EQ(differences(52, 2500, true, 1, &by_candidates), 0);
  EXPECT_GT(by_candidates, 2500);
}

TEST(Candidates, OfIntervalsThatLieAreNotEnough) {
  int64_t by_candidates = 0;
  EXPECT_GT(differences(53, 500, false, 0.01f, &by_candidates), 50);
}

TEST(Candidates, AreFewWhereFewCanMatter) {
  Random random(54);
  const Case exact = random_case(random, 128256, 1, 0.0f, false, 1);
  size_t settled = 0, narrowed = 0;
  const auto count = [&](SamplerOptions o) {
    auto sampler = Sampler::open(o);
    EXPECT_TRUE(sampler.ok());
    Case c = exact;
    for (size_t i = 0; i < c.low.size(); ++i) c.low[i] -= 0.6f, c.high[i] += 0.6f;
    const size_t found = sampler.value()->candidates(c.bounds(), 128256).size();
    settled = c.settled;
    narrowed = c.narrowed;
    return found;
  };
  SamplerOptions o;
  EXPECT_LT(count(o), 200u);
  EXPECT_GE(count(o), 1u);
  EXPECT_EQ(settled, 1u);
  o.temperature = 1;
  std::printf("temperature 1: %zu candidates\n", count(o));
  EXPECT_LT(count(o), 30u);
  EXPECT_GE(count(o), 1u);
  EXPECT_LE(settled, 2u);
  o.top_k = 40;
  EXPECT_LT(count(o), 1500u);
  EXPECT_GE(count(o), 40u);
  EXPECT_EQ(settled, 40u);
  const size_t left = count(o);
  std::printf("top_k 40: %zu intervals narrowed, %zu candidates\n", narrowed, left);
  EXPECT_GT(narrowed, 2 * left) << "narrowing is what makes them few";
  // The intervals reach far beyond what min_p leaves, and the largest logit's bound with them.
  o.top_k = 0;
  o.min_p = 0.5f;
  EXPECT_LT(count(o), 300u);
  EXPECT_GE(count(o), 1u);
}

TEST(Candidates, NeedAllLogitsWhereTheNormalizerIsNeeded) {
  SamplerOptions o;
  o.temperature = 1;
  o.top_p = 0.9f;
  const auto needs_all = [&] {
    auto sampler = Sampler::open(o);
    EXPECT_TRUE(sampler.ok());
    std::vector<float> low(100, 1.0f), high(100, 1.0f);
    low[3] = high[3] = 2.0f;
    const auto nothing = [](void*, std::span<const int32_t>) {};
    const LogitBounds bounds = {low.data(), high.data(), nothing, nothing, nullptr};
    const bool all = sampler.value()->candidates(bounds, 100).empty();
    EXPECT_EQ(all, sampler.value()->needs_all_logits(100));
    return sampler.value()->needs_all_logits(100);
  };
  EXPECT_TRUE(needs_all());
  o.top_k = 100;
  EXPECT_TRUE(needs_all());
  o.top_k = 1;
  EXPECT_FALSE(needs_all());
  o.top_k = 0;
  o.temperature = 0;
  EXPECT_FALSE(needs_all());
  o.temperature = 1;
  o.top_p = 1;
  EXPECT_FALSE(needs_all());
}

}  // namespace
}  // namespace bitnet
