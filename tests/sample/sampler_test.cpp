// The sampler against its documented stages: by hand, against a brute force that takes the
// documentation literally, and statistically. All seeds are fixed, so nothing here can flicker.
#include "sample/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <limits>
#include <map>
#include <new>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "sample/exp_log.h"
#include "sample/gumbel.h"

namespace bitnet {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

SamplerOptions with_temperature(float temperature, uint64_t seed = 1) {
  SamplerOptions o;
  o.temperature = temperature;
  o.seed = seed;
  return o;
}

Ptr<Sampler> opened(const SamplerOptions& options) {
  auto sampler = Sampler::open(options);
  EXPECT_TRUE(sampler.ok()) << sampler.status().text();
  return std::move(sampler.value());
}

int32_t picked(Sampler& sampler, const std::vector<float>& logits) {
  int32_t token = -1;
  const Status s = sampler.pick(logits.data(), static_cast<int64_t>(logits.size()), &token);
  EXPECT_TRUE(s.ok()) << s.text();
  return token;
}

void accepted(Sampler& sampler, int32_t token) {
  const Status s = sampler.accept(token);
  EXPECT_TRUE(s.ok()) << s.text();
}

// Every token that `draws` draws give, with its count. The history is not touched by penalties
// here.
std::map<int32_t, int> picks(Sampler& sampler, const std::vector<float>& logits, int draws) {
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i) {
    const int32_t token = picked(sampler, logits);
    ++counts[token];
    accepted(sampler, token);
  }
  return counts;
}

std::set<int32_t> support(const SamplerOptions& options, const std::vector<float>& logits) {
  const Ptr<Sampler> sampler = opened(options);
  std::set<int32_t> tokens;
  for (const auto& [token, count] : picks(*sampler, logits, 4000)) tokens.insert(token);
  return tokens;
}

std::vector<float> logs(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

// --- the documentation, taken literally
// ------------------------------------------------------------

class BruteForce {
 public:
  explicit BruteForce(const SamplerOptions& o) : o_(o), bias_(o.bias.begin(), o.bias.end()) {}

  int32_t pick(const std::vector<float>& logits) const {
    std::vector<float> l = logits;
    for (size_t i = 0; i < l.size(); ++i) l[i] = adjusted(static_cast<int32_t>(i), l[i]);
    std::vector<int32_t> order(l.size());
    for (size_t i = 0; i < l.size(); ++i) order[i] = static_cast<int32_t>(i);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return l[a] > l[b]; });
    while (l[order.back()] == -kInf) order.pop_back();
    if (o_.temperature == 0 || l[order[0]] == kInf) return order[0];
    if (o_.top_k > 0 && order.size() > static_cast<size_t>(o_.top_k)) order.resize(o_.top_k);
    const double top = l[order[0]];
    if (o_.top_p > 0 && o_.top_p < 1) {
      uint64_t total = 0, sum = 0;
      for (const int32_t t : order) total += weight(l[t] - top);
      size_t kept = 0;
      do {
        sum += weight(l[order[kept++]] - top);
      } while (static_cast<double>(sum) < o_.top_p * static_cast<double>(total));
      order.resize(kept);
    }
    int32_t best = -1;
    double best_score = 0;
    std::sort(order.begin(), order.end());
    for (const int32_t t : order) {
      if (o_.min_p > 0 && l[t] < top + sample_log(o_.min_p)) continue;
      const double score =
          l[t] / static_cast<double>(o_.temperature) + gumbel_noise(o_.seed, history_.size(), t);
      if (best < 0 || score > best_score) best = t, best_score = score;
    }
    return best;
  }
  void accept(int32_t token) { history_.push_back(token); }

 private:
  static uint64_t weight(double x) { return static_cast<uint64_t>(sample_exp(x) * 0x1p40); }
  float adjusted(int32_t token, float logit) const {
    double l = logit;
    for (const LogitBias& b : bias_) {
      if (b.token == token) l = b.bias == -kInf ? -kInf : l + b.bias;
    }
    size_t window = o_.penalty_window == 0 ? 64 : static_cast<size_t>(o_.penalty_window);
    if (o_.penalty_window < 0 || window > history_.size()) window = history_.size();
    const auto count =
        std::count(history_.end() - static_cast<int64_t>(window), history_.end(), token);
    if (count > 0) {
      const double repeat = o_.repeat_penalty == 0 ? 1 : o_.repeat_penalty;
      l = l > 0 ? l / repeat : l * repeat;
      l -= static_cast<double>(count) * o_.frequency_penalty + o_.presence_penalty;
    }
    return static_cast<float>(l);
  }
  SamplerOptions o_;
  std::vector<LogitBias> bias_;
  std::vector<int32_t> history_;
};

TEST(Sampler, EqualsABruteForceOverRandomOptionsAndLogits) {
  std::mt19937 random(11);
  const auto one_of = [&](auto... values) {
    const std::vector<double> list = {static_cast<double>(values)...};
    return list[random() % list.size()];
  };
  std::normal_distribution<float> normal;
  for (int trial = 0; trial < 1000; ++trial) {
    SamplerOptions o;
    o.temperature = static_cast<float>(one_of(0, 1e-6, 0.1, 0.7, 1, 1.5, 30, 1e6));
    o.top_k = static_cast<int32_t>(one_of(0, 0, 1, 2, 7, 40, 300));
    o.top_p = static_cast<float>(one_of(0, 0, 1, 0.01, 0.5, 0.9, 0.95, 0.999999));
    o.min_p = static_cast<float>(one_of(0, 0, 0.9, 0.1, 0.01, 1e-6));
    o.repeat_penalty = static_cast<float>(one_of(0, 1, 1.1, 1.3, 0.8));
    o.frequency_penalty = static_cast<float>(one_of(0, 0, 0.3, -0.2));
    o.presence_penalty = static_cast<float>(one_of(0, 0, 0.5, -0.1));
    o.penalty_window = static_cast<int32_t>(one_of(-1, 0, 1, 3, 16));
    o.seed = random() * uint64_t{0x100000001};
    const size_t n = static_cast<size_t>(one_of(1, 2, 3, 15, 33, 255, 256, 257, 1000, 3000));
    std::vector<LogitBias> bias;
    for (int32_t t = 0; t < static_cast<int32_t>(n);
         t += 1 + static_cast<int32_t>(random() % 400)) {
      bias.push_back({t, t == 0 ? 0.25f : static_cast<float>(one_of(-kInf, 2, -1))});
    }
    if (trial % 2 == 0) o.bias = bias;
    const float spread = static_cast<float>(one_of(0, 0.01, 1, 4, 20, 1000));
    const bool coarse = trial % 3 == 0;  // many equal logits
    const Ptr<Sampler> sampler = opened(o);
    BruteForce brute(o);
    for (int step = 0; step < 8; ++step) {
      std::vector<float> logits(n);
      for (float& l : logits) {
        l = normal(random) * spread + static_cast<float>(trial % 7 == 0 ? 100 : 0);
        if (coarse) l = std::round(l);
        if (random() % 50 == 0) l = -kInf;
      }
      logits[0] = 0;
      const int32_t token = picked(*sampler, logits);
      ASSERT_EQ(token, brute.pick(logits))
          << "trial " << trial << " step " << step << " T " << o.temperature << " k " << o.top_k
          << " p " << o.top_p << " min_p " << o.min_p << " n " << n;
      accepted(*sampler, token);
      brute.accept(token);
    }
  }
}

// The skipping of hopeless tokens must be a proof, not a heuristic: full vocabularies, many draws.
TEST(Sampler, EqualsTheFullArgmaxOnALargeVocabulary) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (const float spread : {0.0f, 0.3f, 2.0f, 6.0f}) {
    std::vector<float> logits(128256);
    for (float& l : logits) l = normal(random) * spread;
    const Ptr<Sampler> sampler = opened(with_temperature(0.9f, 99));
    BruteForce brute(with_temperature(0.9f, 99));
    for (int draw = 0; draw < 6; ++draw) {
      const int32_t token = picked(*sampler, logits);
      ASSERT_EQ(token, brute.pick(logits)) << "spread " << spread << " draw " << draw;
      accepted(*sampler, token);
      brute.accept(token);
    }
  }
}

// --- greedy, ties, infinities
// ----------------------------------------------------------------------

TEST(Sampler, GreedyPicksTheLargestAndOfEqualOnesTheLowestId) {
  const Ptr<Sampler> sampler = opened({});
  EXPECT_EQ(picked(*sampler, {1, 3, 2}), 1);
  EXPECT_EQ(picked(*sampler, {1, 3, 2, 3, 3}), 1);
  EXPECT_EQ(picked(*sampler, {-0.0f, 0.0f}), 0);
  EXPECT_EQ(picked(*sampler, {0.0f, -0.0f}), 0);
  std::vector<float> logits(1000, -1);
  for (const size_t at : {999u, 768u, 767u, 256u, 255u, 16u, 15u, 0u}) {
    logits[at] = 5;
    EXPECT_EQ(picked(*sampler, logits), static_cast<int32_t>(at));
  }
}

TEST(Sampler, PlusInfinityWinsAndMinusInfinityNeverDoes) {
  for (const float temperature : {0.0f, 5.0f}) {
    const Ptr<Sampler> sampler = opened(with_temperature(temperature));
    EXPECT_EQ(picked(*sampler, {1, kInf, 2, kInf}), 1);
    for (int i = 0; i < 200; ++i) {
      EXPECT_EQ(picked(*sampler, {-kInf, -kInf, -100, -kInf}), 2);
      accepted(*sampler, 2);
    }
  }
  EXPECT_EQ(support(with_temperature(1e30f), {-kInf, 3, -kInf, 4}), (std::set<int32_t>{1, 3}));
}

TEST(Sampler, NamesTheTokenOfALogitThatIsNotANumber) {
  for (const size_t at : {0u, 5u, 16u, 300u, 511u}) {
    std::vector<float> logits(512, 1);
    logits[at] = kNan;
    if (at < 511) logits[511] = kNan;
    SamplerOptions o;
    const LogitBias ban = {static_cast<int32_t>(at), -kInf};
    o.bias = {&ban, 1};
    int32_t token = 77;
    const Status s = opened(o)->pick(logits.data(), 512, &token);
    EXPECT_EQ(s.code(), BITNET_E_ARGUMENT);
    EXPECT_NE(std::string(s.text()).find("token " + std::to_string(at) + " "), std::string::npos)
        << s.text();
    EXPECT_EQ(token, 77);
  }
}

TEST(Sampler, RefusesPicksWithoutAnAnswer) {
  const Ptr<Sampler> sampler = opened({});
  const std::vector<float> banned(300, -kInf);
  int32_t token = 77;
  EXPECT_EQ(sampler->pick(banned.data(), 300, &token).code(), BITNET_E_ARGUMENT);
  EXPECT_EQ(sampler->pick(banned.data(), 0, &token).code(), BITNET_E_ARGUMENT);
  EXPECT_EQ(sampler->pick(banned.data(), -1, &token).code(), BITNET_E_ARGUMENT);
  EXPECT_EQ(sampler->pick(banned.data(), (1 << 23) + 1, &token).code(), BITNET_E_ARGUMENT);
  EXPECT_EQ(sampler->pick(nullptr, 300, &token).code(), BITNET_E_ARGUMENT);
  EXPECT_EQ(sampler->accept(-1).code(), BITNET_E_ARGUMENT);
  EXPECT_EQ(token, 77);
  EXPECT_EQ(picked(*sampler, {1, 2}), 1) << "usable after failures";
}

TEST(Sampler, RefusesOptionsOutOfRangeAndNamesThem) {
  const auto refused = [](const SamplerOptions& o, const char* name) {
    const auto sampler = Sampler::open(o);
    ASSERT_FALSE(sampler.ok()) << name;
    EXPECT_EQ(sampler.status().code(), BITNET_E_ARGUMENT);
    EXPECT_NE(std::string(sampler.status().text()).find(name), std::string::npos)
        << sampler.status().text();
  };
  for (const float bad : {-1.0f, kNan, kInf, -kInf}) {
    SamplerOptions o;
    o.temperature = bad;
    refused(o, "temperature");
    o = {};
    o.repeat_penalty = bad;
    refused(o, "repeat_penalty");
    o = {};
    o.top_p = bad;
    refused(o, "top_p");
    o = {};
    o.min_p = bad;
    refused(o, "min_p");
    if (bad == -1.0f) continue;
    o = {};
    o.frequency_penalty = bad;
    refused(o, "frequency_penalty");
    o = {};
    o.presence_penalty = bad;
    refused(o, "presence_penalty");
  }
  SamplerOptions o;
  o.top_p = 1.01f;
  refused(o, "top_p");
  o = {};
  o.min_p = 1;
  refused(o, "min_p");
  o = {};
  o.top_k = -1;
  refused(o, "top_k");
  o = {};
  o.penalty_window = -2;
  refused(o, "penalty_window");
  o.penalty_window = (1 << 20) + 1;
  refused(o, "penalty_window");
  o = {};
  for (const LogitBias bad : {LogitBias{-1, 0}, LogitBias{3, kNan}, LogitBias{3, kInf}}) {
    o.bias = {&bad, 1};
    refused(o, "logit bias");
  }
  const LogitBias twice[] = {{3, 1}, {4, 1}, {3, 2}};
  o.bias = twice;
  refused(o, "token 3");
}

// --- bias and penalties
// ----------------------------------------------------------------------------

TEST(Sampler, BiasIsAddedAndBansTokens) {
  const LogitBias bias[] = {{2, -kInf}, {0, 1.5f}};
  SamplerOptions o;
  o.bias = bias;
  const Ptr<Sampler> sampler = opened(o);
  EXPECT_EQ(picked(*sampler, {1, 2, 100}), 0);
  EXPECT_EQ(picked(*sampler, {1, 3, kInf}), 1);
  int32_t token;
  const float two[] = {1, 2};
  EXPECT_EQ(sampler->pick(two, 2, &token).code(), BITNET_E_ARGUMENT) << "token 2 of 2";
}

// The winner of two tokens shows on which side of a known value an adjusted logit lies.
void expect_adjusted(Sampler& sampler, float logit, float expected) {
  EXPECT_EQ(picked(sampler, {logit, std::nextafter(expected, -kInf)}), 0) << expected;
  EXPECT_EQ(picked(sampler, {logit, std::nextafter(expected, kInf)}), 1) << expected;
}

TEST(Sampler, RepeatPenaltyDividesPositiveAndMultipliesNegativeLogits) {
  SamplerOptions o;
  o.repeat_penalty = 1.25f;
  const Ptr<Sampler> sampler = opened(o);
  expect_adjusted(*sampler, 5, 5);
  accepted(*sampler, 0);
  expect_adjusted(*sampler, 5, 4);
  expect_adjusted(*sampler, -4, -5);
  accepted(*sampler, 0);
  expect_adjusted(*sampler, 5, 4);
}

TEST(Sampler, FrequencyPenaltyCountsAndPresencePenaltyDoesNot) {
  SamplerOptions o;
  o.frequency_penalty = 0.5f;
  o.presence_penalty = 0.25f;
  const Ptr<Sampler> sampler = opened(o);
  expect_adjusted(*sampler, 3, 3);
  accepted(*sampler, 0);
  expect_adjusted(*sampler, 3, 2.25f);
  accepted(*sampler, 0);
  accepted(*sampler, 7);  // beyond the vocabulary: counts as an accepted token, changes no logit
  expect_adjusted(*sampler, 3, 1.75f);
  sampler->reset();
  expect_adjusted(*sampler, 3, 3);
}

TEST(Sampler, PenaltiesFollowBiasAndRepeatComesFirst) {
  const LogitBias bias = {0, 4};
  SamplerOptions o;
  o.bias = {&bias, 1};
  o.repeat_penalty = 2;
  o.frequency_penalty = 0.5f;
  const Ptr<Sampler> sampler = opened(o);
  accepted(*sampler, 0);
  expect_adjusted(*sampler, -1, (-1 + 4) / 2.0f - 0.5f);
}

TEST(Sampler, OnlyTheWindowCounts) {
  SamplerOptions o;
  o.presence_penalty = 1;
  for (const int32_t window : {1, 2, 5, 0, -1}) {
    o.penalty_window = window;
    const Ptr<Sampler> sampler = opened(o);
    accepted(*sampler, 0);
    const int length = window == 0 ? 64 : window == -1 ? 1000 : window;
    for (int i = 1; i < length; ++i) accepted(*sampler, 2 + i % 3);
    expect_adjusted(*sampler, 3, 2);
    accepted(*sampler, 5);
    expect_adjusted(*sampler, 3, window == -1 ? 2.0f : 3.0f);
  }
}

// --- cut-offs by hand
// ------------------------------------------------------------------------------

TEST(Sampler, TopKKeepsTheKLargestAndTheLowestIdsOfEqualOnes) {
  SamplerOptions o = with_temperature(3);
  const std::vector<float> logits = {1, 2, 1, 2, 0, 2, 1};
  const std::set<int32_t> kept[] = {{1}, {1, 3}, {1, 3, 5}, {0, 1, 3, 5}, {0, 1, 2, 3, 5}};
  for (int32_t k = 1; k <= 5; ++k) {
    o.top_k = k;
    EXPECT_EQ(support(o, logits), kept[k - 1]) << k;
  }
  o.top_k = 7;
  EXPECT_EQ(support(o, logits).size(), 7u);
  o.top_k = 1000;
  EXPECT_EQ(support(o, logits).size(), 7u);
}

TEST(Sampler, TopPKeepsTheShortestBeginningThatReachesP) {
  const std::vector<float> logits = logs({0.1, 0.4, 0.05, 0.3, 0.15});
  SamplerOptions o = with_temperature(4);
  o.top_p = 0.39f;
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{1}));
  o.top_p = 0.41f;
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{1, 3}));
  o.top_p = 0.69f;
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{1, 3}));
  o.top_p = 0.71f;
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{1, 3, 4}));
  o.top_p = 0.96f;
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{0, 1, 2, 3, 4}));
  o.top_p = 1;
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{0, 1, 2, 3, 4}));
  o.top_p = 1e-9f;
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{1}));
}

TEST(Sampler, TopPCutsEqualLogitsByIdExactlyAtP) {
  SamplerOptions o = with_temperature(1);
  const std::vector<float> equal(8, -3);
  for (int kept = 1; kept < 8; ++kept) {
    o.top_p = static_cast<float>(kept) / 8;  // exact: reaching p is enough
    const auto tokens = support(o, equal);
    EXPECT_EQ(tokens.size(), static_cast<size_t>(kept));
    EXPECT_EQ(*tokens.rbegin(), kept - 1);
  }
}

TEST(Sampler, TopPCountsOnlyWhatTopKKept) {
  SamplerOptions o = with_temperature(2);
  o.top_k = 2;  // leaves 4/7 and 3/7
  o.top_p = 0.56f;
  const std::vector<float> logits = logs({0.1, 0.4, 0.05, 0.3, 0.15});
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{1}));
  o.top_p = 0.58f;
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{1, 3}));
}

TEST(Sampler, MinPIsAShareOfTheLargestProbabilityBeforeTemperature) {
  const std::vector<float> logits = logs({0.1, 0.4, 0.05, 0.3, 0.15});
  SamplerOptions o = with_temperature(10);  // the cut must not see the temperature
  o.min_p = 0.76f;
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{1}));
  o.min_p = 0.74f;
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{1, 3}));
  o.min_p = 0.3f;
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{1, 3, 4}));
  o.min_p = 0.2f;
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{0, 1, 3, 4}));
  o.top_p = 0.5f;  // 1 and 3
  o.min_p = 0.1f;
  EXPECT_EQ(support(o, logits), (std::set<int32_t>{1, 3}));
}

// Independent of the sampler's weights: long double softmax, sets compared away from the borders.
TEST(Sampler, TopPMatchesALongDoubleSoftmax) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(2000);
  for (float& l : logits) l = normal(random);
  std::vector<int32_t> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  std::sort(order.begin(), order.end(),
            [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  long double total = 0;
  for (const float l : logits) total += std::exp(static_cast<long double>(l));
  for (const float p : {0.1f, 0.3f, 0.6f}) {
    std::set<int32_t> nucleus;
    long double sum = 0;
    for (const int32_t t : order) {
      nucleus.insert(t);
      sum += std::exp(static_cast<long double>(logits[t])) / total;
      if (sum >= p) break;
    }
    SamplerOptions o = with_temperature(50);  // nearly uniform over the nucleus: every member shows
    o.top_p = p;
    const Ptr<Sampler> sampler = opened(o);
    std::set<int32_t> seen;
    for (const auto& [token, count] : picks(*sampler, logits, 6000)) seen.insert(token);
    EXPECT_EQ(seen, nucleus) << p << ": " << nucleus.size();
  }
}

// --- the draw
// --------------------------------------------------------------------------------------

// Pearson's statistic of the counts against probabilities.
double chi_square(const std::map<int32_t, int>& counts, const std::vector<double>& probabilities) {
  int draws = 0;
  for (const auto& [token, count] : counts) draws += count;
  double sum = 0;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    const auto found = counts.find(static_cast<int32_t>(i));
    const double expected = probabilities[i] * draws;
    const double difference = (found == counts.end() ? 0 : found->second) - expected;
    sum += difference * difference / expected;
  }
  return sum;
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature) {
  std::vector<double> p;
  double total = 0;
  for (const float l : logits) {
    p.push_back(std::exp(l / temperature));
    total += p.back();
  }
  for (double& x : p) x /= total;
  return p;
}

// The thresholds are the 0.999 quantiles of chi-square with 15 (37.7), 63 (103.4) degrees of
// freedom.
TEST(Sampler, DrawsFromTheSoftmaxAtEveryTemperature) {
  const std::vector<float> logits = {0.3f, -1,   2,     0.5f, 1,    1,     -2,   0,
                                     0.7f, 1.5f, -0.5f, 0.2f, 1.2f, -1.5f, 0.9f, 1.8f};
  for (const float temperature : {0.5f, 1.0f, 2.0f}) {
    for (const uint64_t seed : {1, 2, 3}) {
      const Ptr<Sampler> sampler = opened(with_temperature(temperature, seed));
      EXPECT_LT(chi_square(picks(*sampler, logits, 100000), softmax(logits, temperature)), 37.7)
          << temperature << " seed " << seed;
    }
  }
}

TEST(Sampler, CutOffsRenormalizeTheRest) {
  const std::vector<float> logits = logs({0.1, 0.4, 0.05, 0.3, 0.15});
  for (const int which : {0, 1, 2}) {
    SamplerOptions o = with_temperature(1, 9);
    if (which == 0) o.top_k = 3;
    if (which == 1) o.top_p = 0.8f;
    if (which == 2) o.min_p = 0.3f;
    const Ptr<Sampler> sampler = opened(o);
    auto counts = picks(*sampler, logits, 100000);
    const std::map<int32_t, int> kept = {{0, counts[1]}, {1, counts[3]}, {2, counts[4]}};
    EXPECT_EQ(counts[1] + counts[3] + counts[4], 100000) << which;
    EXPECT_LT(chi_square(kept, {0.4 / 0.85, 0.3 / 0.85, 0.15 / 0.85}), 13.8) << which;  // 2 degrees
  }
}

TEST(Sampler, SuccessiveDrawsAreIndependent) {
  const std::vector<float> logits(8, 0);
  const Ptr<Sampler> sampler = opened(with_temperature(1, 4));
  std::map<int32_t, int> pairs;
  int32_t before = 0;
  for (int i = 0; i <= 64000; ++i) {
    const int32_t token = picked(*sampler, logits);
    if (i > 0) ++pairs[before * 8 + token];
    before = token;
    accepted(*sampler, token);
  }
  EXPECT_LT(chi_square(pairs, std::vector<double>(64, 1.0 / 64)), 103.4);
}

TEST(Sampler, NeighbouringSeedsAreIndependent) {
  const std::vector<float> logits(8, 0);
  std::map<int32_t, int> pairs;
  for (uint64_t seed = 0; seed < 32000; ++seed) {
    const Ptr<Sampler> a = opened(with_temperature(1, seed)),
                       b = opened(with_temperature(1, seed + 1));
    ++pairs[picked(*a, logits) * 8 + picked(*b, logits)];
  }
  EXPECT_LT(chi_square(pairs, std::vector<double>(64, 1.0 / 64)), 103.4);
}

// --- reproducibility
// -------------------------------------------------------------------------------

std::vector<float> plain_logits() {
  std::vector<float> logits(5000);
  for (uint32_t i = 0; i < logits.size(); ++i) {
    logits[i] = static_cast<float>(i * 7919 % 5003) / 512 + (i % 997 == 0 ? 6.0f : 0.0f);
  }
  return logits;
}

// Found once and written down: another machine, compiler or release must give the same.
TEST(Sampler, GivesTheFrozenAnswers) {
  const std::vector<float> logits = plain_logits();
  SamplerOptions plain, chain;
  plain.temperature = 0.9f;
  chain = plain;
  chain.top_k = 200;
  chain.top_p = 0.95f;
  chain.min_p = 0.02f;
  chain.repeat_penalty = 1.1f;
  const struct {
    SamplerOptions options;
    uint64_t seed;
    std::vector<int32_t> tokens;
  } frozen[] = {
      {plain, 1, {434, 1071, 691, 1913, 3330, 2002, 3093, 2494, 204, 2987, 362, 3807}},
      {plain, 2, {1626, 2866, 480, 3862, 1779, 2148, 4447, 4725, 1098, 1460, 4677, 4948}},
      {plain, 3, {4951, 4109, 2951, 4759, 458, 2841, 3474, 2951, 1225, 2472, 410, 1024}},
      {chain, 1, {2462, 362, 2812, 1913, 887, 3452, 1213, 4526, 1786, 2987, 3289, 3126}},
      {chain, 2, {4212, 3838, 899, 3862, 4514, 2148, 573, 4725, 1098, 1460, 4677, 2124}},
      {chain, 3, {24, 3989, 2951, 3464, 863, 875, 199, 4665, 1225, 1412, 410, 1750}},
  };
  for (const auto& f : frozen) {
    SamplerOptions o = f.options;
    o.seed = f.seed;
    const Ptr<Sampler> sampler = opened(o);
    std::vector<int32_t> tokens;
    for (int i = 0; i < 12; ++i) {
      tokens.push_back(picked(*sampler, logits));
      accepted(*sampler, tokens.back());
    }
    EXPECT_EQ(tokens, f.tokens) << "top_k " << o.top_k << " seed " << f.seed;
  }
}

TEST(Sampler, PicksTheSameUntilATokenIsAcceptedAndAfterAReset) {
  const std::vector<float> logits = plain_logits();
  SamplerOptions o = with_temperature(1, 77);
  o.presence_penalty = 2;
  const Ptr<Sampler> sampler = opened(o);
  std::vector<int32_t> first, second;
  for (int i = 0; i < 30; ++i) {
    first.push_back(picked(*sampler, logits));
    EXPECT_EQ(picked(*sampler, logits), first.back());
    picked(*sampler, {1, 2, 3});  // another vocabulary in between leaves no trace
    accepted(*sampler, first.back());
    EXPECT_EQ(sampler->draw(), static_cast<uint64_t>(i) + 1);
  }
  EXPECT_GT(std::set<int32_t>(first.begin(), first.end()).size(), 10u);
  sampler->reset();
  for (int i = 0; i < 30; ++i) {
    second.push_back(picked(*sampler, logits));
    accepted(*sampler, second.back());
  }
  EXPECT_EQ(first, second);
}

TEST(Sampler, ADifferentSeedGivesADifferentText) {
  const std::vector<float> logits = plain_logits();
  std::set<std::vector<int32_t>> texts;
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32, uint64_t{1} << 63}) {
    const Ptr<Sampler> sampler = opened(with_temperature(1, seed));
    std::vector<int32_t> text;
    for (int i = 0; i < 8; ++i) {
      text.push_back(picked(*sampler, logits));
      accepted(*sampler, text.back());
    }
    texts.insert(text);
  }
  EXPECT_EQ(texts.size(), 4u);
}

// A draw by argmax: leaving out tokens that lose changes nothing, which is what allows a screened
// output head.
TEST(Sampler, BanningALoserDoesNotChangeThePick) {
  const std::vector<float> logits = plain_logits();
  const Ptr<Sampler> sampler = opened(with_temperature(1, 3));
  for (int i = 0; i < 50; ++i) {
    const int32_t winner = picked(*sampler, logits);
    std::vector<float> fewer = logits;
    for (size_t t = static_cast<size_t>(i) % 3; t < fewer.size(); t += 3) {
      if (static_cast<int32_t>(t) != winner) fewer[t] = -kInf;
    }
    EXPECT_EQ(picked(*sampler, fewer), winner);
    accepted(*sampler, winner);
  }
}

}  // namespace
}  // namespace bitnet
