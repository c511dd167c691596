// A pick by candidates is the pick of the full pass: same token, same error, for every sampler,
// head and hidden state. Looks for: a candidate left out, a tie broken otherwise, an error hidden.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "session/pick.h"
#include "support/heads.h"

namespace bitnet {
namespace {

using test::Head;
using test::hidden_state;
using test::kHiddenKinds;
using test::Random;
using test::Rows;

Ptr<ThreadPool> pool_of(int threads) {
  auto pool = ThreadPool::open(threads);
  EXPECT_TRUE(pool.ok());
  return std::move(pool.value());
}

SamplerOptions random_options(Random& random, int64_t vocabulary, std::vector<LogitBias>& bias) {
  SamplerOptions o;
  o.temperature = random.one_of({0.0f, 0.0f, 0.1f, 0.7f, 1.0f, 3.0f, 10.0f});
  o.top_k = random.one_of({0, 0, 1, 2, 40, 100});
  o.top_p = random.one_of({0.0f, 0.0f, 1.0f, 0.5f, 0.95f});
  o.min_p = random.one_of({0.0f, 0.0f, 0.3f, 0.05f, 1e-4f});
  if (random.one_in(2)) {
    o.repeat_penalty = random.one_of({0.0f, 1.1f, 1.5f, 0.8f});
    o.frequency_penalty = random.one_of({0.0f, 0.3f, -0.2f});
    o.presence_penalty = random.one_of({0.0f, 0.5f, -0.5f});
    o.penalty_window = random.one_of({-1, 0, 3});
  }
  o.seed = random.bits();
  if (random.one_in(2)) {
    const int64_t step = random.one_of<int64_t>({1, 7, 100});
    for (int64_t t = random.up_to(step); t < vocabulary; t += step) {
      bias.push_back({static_cast<int32_t>(t), random.one_of({-INFINITY, 5.0f, -3.0f, 1e30f})});
    }
    if (step == 1) bias.resize(std::min<size_t>(bias.size(), random.bits() % 50));
  }
  o.bias = bias;
  return o;
}

struct Count {
  int64_t picks = 0, by_candidates = 0, errors = 0;
};

// Weights of a model that is nothing but a head. The hidden state goes in as the output norm's
// gain: the norm of ones, with eps 0, is that gain to the bit.
struct OnlyHead {
  ModelDescription model;
  Weights weights{model, *select_ops(nullptr)};

  OnlyHead(const DenseMatrix& head, ThreadPool& pool) {
    model.hyper = {};
    model.hyper.width = head.cols;
    model.hyper.vocab = head.rows;
    model.head = head;
    auto screen = ScreenedHead::prepare(head, weights.ops, pool, {});
    EXPECT_TRUE(screen.ok());
    weights.screen = std::move(screen.value());
  }
};

// The same sampler twice, one with all logits, one with the screen; a few tokens in a row.
void expect_same_picks(Random& random, OnlyHead& head, const SamplerOptions& options,
                       int64_t vocabulary, ThreadPool& pool, bool ordinary, Count& count) {
  auto full = Sampler::open(options), screened = Sampler::open(options);
  ASSERT_TRUE(full.ok() && screened.ok());
  ReadOut read_out(head.weights, pool, 2);
  const int64_t width = head.model.hyper.width;
  const std::vector<float> ones(static_cast<size_t>(2 * width), 1.0f);
  const bitnet_batch_entry entries[] = {{0, 0, 0, BITNET_WANT_LOGITS},
                                        {0, 0, 1, BITNET_WANT_SAMPLE}};
  for (int step = 0; step < 4; ++step) {
    const int64_t kind = ordinary || random.one_in(2) ? 0 : random.up_to(kHiddenKinds - 1);
    const std::vector<float> h = hidden_state(random, width, kind);
    head.model.output_norm.assign(h.begin(), h.end());
    ASSERT_TRUE(read_out.assign(entries).ok());
    read_out.run(entries, 0, ones.data());
    ASSERT_TRUE(read_out.logits(0) && !read_out.logits(1) && read_out.bounds(1));
    int32_t expected = -1;
    const Status a = full.value()->pick(read_out.logits(0), vocabulary, &expected);
    for (int again = 0; again < 2; ++again) {  // a pick leaves everything as it was
      int32_t found = -1;
      const Status b = pick_token(read_out, 1, vocabulary, *screened.value(), &found);
      ASSERT_EQ(expected, found) << "T " << options.temperature << " k " << options.top_k << " p "
                                 << options.top_p << " min_p " << options.min_p;
      ASSERT_EQ(a.code(), b.code());
      ASSERT_EQ(std::string(a.text()), b.text());
    }
    count.errors += !a.ok();
    const int32_t token = expected >= 0 ? expected : static_cast<int32_t>(step);
    ASSERT_TRUE(full.value()->accept(token).ok() && screened.value()->accept(token).ok());
  }
  const ReadOut::Counts& counts = read_out.counts();
  count.picks += static_cast<int64_t>(2 * counts.screened);
  count.by_candidates += static_cast<int64_t>(2 * counts.screened - counts.full);
}

TEST(ScreenedPick, IsTheFullPassesPickForAdversarialHeads) {
  constexpr DenseType kTypes[] = {DenseType::kF32, DenseType::kF16, DenseType::kBF16,
                                  DenseType::kQ8_0, DenseType::kQ6_K};
  Random random(41);
  const Ptr<ThreadPool> pool = pool_of(2);
  Count count;
  for (int round = 0; round < 240; ++round) {
    const Head head(random, kTypes[round % 5], random.from(1, 900),
                    random.one_of<int64_t>({1, 30, 64, 100, 257}),
                    round % 2 ? Rows::kAdversarial : Rows::kUsual);
    OnlyHead only(head.matrix, *pool);
    const int64_t vocabulary = std::max<int64_t>(1, head.matrix.rows - random.up_to(20));
    for (int i = 0; i < 6; ++i) {
      std::vector<LogitBias> bias;
      const SamplerOptions options = random_options(random, vocabulary, bias);
      expect_same_picks(random, only, options, vocabulary, *pool, false, count);
      if (HasFatalFailure()) return;
    }
  }
  std::printf("%lld picks, %lld by candidates, %lld errors\n", static_cast<long long>(count.picks),
              static_cast<long long>(count.by_candidates), static_cast<long long>(count.errors));
  EXPECT_GT(count.errors, 50);
  EXPECT_GT(count.by_candidates, count.picks / 4);
}

TEST(ScreenedPick, IsTheFullPassesPickForOrdinaryHeads) {
  Random random(42);
  const Ptr<ThreadPool> pool = pool_of(2);
  Count count;
  for (const DenseType type : {DenseType::kF16, DenseType::kF32}) {
    const Head head(random, type, 20000, 320, Rows::kUsual);
    OnlyHead only(head.matrix, *pool);
    for (int i = 0; i < 40; ++i) {
      std::vector<LogitBias> bias;
      const SamplerOptions options = random_options(random, 20000, bias);
      expect_same_picks(random, only, options, 20000, *pool, true, count);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_EQ(count.errors, 0);
  std::printf("%lld picks, %lld by candidates\n", static_cast<long long>(count.picks),
              static_cast<long long>(count.by_candidates));
}

}  // namespace
}  // namespace bitnet
