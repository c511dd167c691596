// Selections: with the logits that selection() is about, all others being -infinity, pick() is what
// it is with all of them; where that is not enough, there is no selection. Finds: a winner or the
// mark of min_p left out, noise of another draw, options that change logits before they are
// compared.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "sample/gumbel.h"
#include "sample/sampler.h"
#include "support/heads.h"

namespace bitnet {
namespace {

using test::Random;

using Floats = std::vector<float>;
using Selection = Sampler::Selection;
constexpr double kNoCut = -static_cast<double>(INFINITY);

float nth_largest(const Floats& logits, int32_t n) {
  Floats some;
  std::copy_if(logits.begin(), logits.end(), std::back_inserter(some),
               [](float l) { return !std::isnan(l); });
  if (static_cast<size_t>(n) > some.size()) return -INFINITY;
  std::nth_element(some.begin(), some.begin() + (n - 1), some.end(), std::greater<float>());
  return some[static_cast<size_t>(n - 1)];
}

// Every token's score, -infinity where min_p cuts it off.
std::vector<double> scores(const Floats& logits, const Selection& s) {
  const bool cuts = s.log_min_p > kNoCut;
  const double least = cuts ? static_cast<double>(nth_largest(logits, 1)) + s.log_min_p : kNoCut;
  std::vector<double> score(logits.size(), kNoCut);
  for (size_t i = 0; i < logits.size(); ++i) {
    const double logit = static_cast<double>(logits[i]);
    if (!(logit >= least)) continue;
    score[i] = logit / static_cast<double>(s.temperature) +
               gumbel_noise(s.seed, s.draw, static_cast<int32_t>(i));
  }
  return score;
}

// The fewest logits that a device may list.
std::vector<bool> fewest(const Floats& logits, const Selection& s) {
  std::vector<bool> listed(logits.size());
  if (s.first == 0) {
    const std::vector<double> score = scores(logits, s);
    const double best = *std::max_element(score.begin(), score.end());
    for (size_t i = 0; i < logits.size(); ++i) listed[i] = score[i] == best;
  }
  const bool largest_counts = s.first > 0 || s.log_min_p > kNoCut;
  const float least = nth_largest(logits, std::max(s.first, 1));
  for (size_t i = 0; i < logits.size(); ++i) {
    if ((largest_counts && logits[i] >= least) || std::isnan(logits[i])) listed[i] = true;
  }
  return listed;
}

Floats random_logits(Random& random, size_t n, bool broken) {
  Floats logits(n);
  const float spread = random.one_of({0.01f, 1.0f, 4.0f, 20.0f, 1000.0f});
  const bool coarse = random.one_in(3), few = random.one_in(8);
  for (float& l : logits) {
    l = random.normal() * spread;
    if (coarse) l = std::round(l);
    if (few && !random.one_in(20)) l = -INFINITY;
    if (broken && random.one_in(300)) l = random.one_of({INFINITY, -INFINITY, 0.0f, NAN});
  }
  if (broken && random.one_in(20)) logits.assign(n, -INFINITY);
  return logits;
}

SamplerOptions random_options(Random& random, std::vector<LogitBias>& bias) {
  SamplerOptions o;
  o.temperature = random.one_of({0.0f, 9e-5f, 1e-4f, 0.1f, 0.7f, 1.0f, 1.5f, 10.0f, 1e4f, 1.1e4f});
  o.top_k = random.one_of({0, 0, 0, 1, 2, 40, 128, 129, 2000});
  o.top_p = random.one_of({0.0f, 0.0f, 1.0f, 0.01f, 0.5f, 0.95f});
  o.min_p = random.one_of({0.0f, 0.0f, 0.9f, 0.1f, 0.01f, 1e-6f, 1e-42f});
  if (random.one_in(5)) {
    o.repeat_penalty = random.one_of({0.0f, 1.0f, 1.3f});
    o.frequency_penalty = random.one_of({0.0f, 0.3f});
    o.penalty_window = random.one_of({-1, 0, 1});
  }
  o.seed = random.bits() * uint64_t{0x100000001};
  if (random.one_in(10)) bias.push_back({0, random.one_of({-INFINITY, 2.0f})});
  o.bias = bias;
  return o;
}

bool penalizes(const SamplerOptions& o) {
  return (o.repeat_penalty != 0 && o.repeat_penalty != 1) || o.frequency_penalty != 0;
}

// Said in other words than the sampler says it.
bool few_matter(const SamplerOptions& o, int64_t n, bool accepted) {
  if (!o.bias.empty() || (penalizes(o) && accepted)) return false;
  if (o.temperature == 0) return true;
  if (o.top_k > 0 && o.top_k < n) return o.top_k <= 128;
  return (o.top_p == 0 || o.top_p == 1) && o.temperature >= 1e-4f && o.temperature <= 1e4f;
}

void expect_plain_fields(const Selection& s, const SamplerOptions& o, uint64_t draw) {
  const bool draws = s.first == 0;
  EXPECT_EQ(s.first, o.temperature == 0 ? 1 : draws ? 0 : o.top_k);
  EXPECT_EQ(s.temperature, draws ? o.temperature : 0);
  EXPECT_EQ(s.seed, draws ? o.seed : 0);
  EXPECT_EQ(s.draw, draws ? draw : 0);
  if (!draws || o.min_p == 0) {
    EXPECT_EQ(s.log_min_p, kNoCut);
  } else {
    EXPECT_NEAR(s.log_min_p, std::log(static_cast<double>(o.min_p)), 1e-12);
  }
}

struct Count {
  int64_t selections = 0, different = 0, errors = 0;
};

// Picks from the logits a device would list, that are listed by a selection as `bend` leaves it.
void pick_both_ways(Random& random, Sampler& sampler, const Floats& logits, Selection s,
                    void (*bend)(Selection&), Count& count) {
  if (bend) bend(s);
  std::vector<bool> listed = fewest(logits, s);
  const int64_t n = static_cast<int64_t>(logits.size());
  int32_t expected = -1;
  const Status all = sampler.pick(logits.data(), n, &expected);
  count.errors += !all.ok();
  for (const int64_t more : {0, 50, 2}) {  // one in so many is listed, too
    if (more > 0) {
      for (size_t i = 0; i < listed.size(); ++i) {
        if (random.one_in(more)) listed[i] = true;
      }
    }
    Floats few(logits);
    for (size_t i = 0; i < few.size(); ++i) {
      if (!listed[i]) few[i] = -INFINITY;
    }
    int32_t found = -1;
    const Status some = sampler.pick(few.data(), n, &found);
    count.selections += 1;
    count.different +=
        expected != found || all.code() != some.code() || std::string(all.text()) != some.text();
  }
}

Count count_of(uint32_t seed, int trials, bool broken, void (*bend)(Selection&) = nullptr) {
  Random random(seed);
  Count count;
  for (int trial = 0; trial < trials; ++trial) {
    const size_t n = random.one_of<size_t>({1, 2, 33, 255, 256, 257, 258, 1000, 3000});
    const int64_t vocabulary = static_cast<int64_t>(n);
    std::vector<LogitBias> bias;
    const SamplerOptions options = random_options(random, bias);
    auto sampler = Sampler::open(options);
    EXPECT_TRUE(sampler.ok());
    for (uint64_t step = 0; step < 4; ++step) {
      const auto selection = sampler.value()->selection(vocabulary);
      EXPECT_EQ(selection.has_value(), few_matter(options, vocabulary, step > 0));
      if (selection) {
        expect_plain_fields(*selection, options, step);
        pick_both_ways(random, *sampler.value(), random_logits(random, n, broken), *selection, bend,
                       count);
      }
      EXPECT_TRUE(sampler.value()->accept(static_cast<int32_t>(random.up_to(3))).ok());
    }
  }
  return count;
}

TEST(Selection, IsWhatAPickDependsOn) {
  const Count count = count_of(61, 1500, false);
  EXPECT_EQ(count.different, 0);
  EXPECT_GT(count.selections, 3000);
}

TEST(Selection, HoldsInfinitiesAndNumbersThatAreNone) {
  const Count count = count_of(62, 1500, true);
  EXPECT_EQ(count.different, 0);
  EXPECT_GT(count.errors, 100);
}

TEST(Selection, OfLessIsNotEnough) {
  const auto different = [](void (*bend)(Selection&)) {
    return count_of(63, 600, false, bend).different;
  };
  EXPECT_GT(different([](Selection& s) { s.draw += 1; }), 20);
  EXPECT_GT(different([](Selection& s) { s.seed ^= 1; }), 20);
  EXPECT_GT(different([](Selection& s) { s.first -= s.first > 1; }), 20);
  EXPECT_GT(different([](Selection& s) { s.temperature *= 0.5f; }), 20);
  EXPECT_GT(different([](Selection& s) { s.log_min_p = kNoCut; }), 5);
}

TEST(Selection, ThereIsNoneOfNoLogits) {
  auto sampler = Sampler::open({});
  ASSERT_TRUE(sampler.ok());
  EXPECT_FALSE(sampler.value()->selection(0).has_value());
  EXPECT_TRUE(sampler.value()->selection(1).has_value());
}

TEST(Selection, ComesBackWithAResetHistory) {
  SamplerOptions options;
  options.repeat_penalty = 1.1f;
  auto sampler = Sampler::open(options);
  ASSERT_TRUE(sampler.ok());
  EXPECT_TRUE(sampler.value()->selection(10).has_value()) << "nothing is penalized yet";
  ASSERT_TRUE(sampler.value()->accept(3).ok());
  EXPECT_FALSE(sampler.value()->selection(10).has_value());
  sampler.value()->reset();
  EXPECT_TRUE(sampler.value()->selection(10).has_value());
}

}  // namespace
}  // namespace bitnet
