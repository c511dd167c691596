// The screened head keeps its promise for every row: low <= logit <= high, narrowed or not, where
// the logit is the canonical one, bit for bit. Looks for: a term forgotten in the bound, a row of
// another tile, a scale that rounds the wrong way, NaN that compares its way through.
#include "forward/screened_head.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "support/heads.h"

namespace bitnet {
namespace {

using test::Head;
using test::hidden_state;
using test::kHiddenKinds;
using test::Random;
using test::Rows;

constexpr DenseType kTypes[] = {DenseType::kF32,  DenseType::kF16,  DenseType::kBF16,
                                DenseType::kQ8_0, DenseType::kQ4_0, DenseType::kQ5_0,
                                DenseType::kQ4_K, DenseType::kQ6_K};

Ptr<ThreadPool> pool_of(int threads) {
  auto pool = ThreadPool::open(threads);
  EXPECT_TRUE(pool.ok());
  return std::move(pool.value());
}

Ptr<const ScreenedHead> screened(const DenseMatrix& head, ThreadPool& pool) {
  auto made = ScreenedHead::prepare(head, *select_ops(nullptr), pool, {});
  EXPECT_TRUE(made.ok());
  return std::move(made.value());
}

// The screen of some hidden states beside their logits.
struct Screened {
  Screened(const ScreenedHead& screen, const std::vector<float>& h, int64_t tokens,
           int64_t vocabulary, ThreadPool& pool, bool narrowed = false)
      : low(static_cast<size_t>(tokens * vocabulary), NAN), high(low), logits(low) {
    const DenseMatrix& head = screen.head();
    ScreenScratch scratch;
    scratch.reserve(tokens, head.cols, pool.size());
    widest = screen.screen(low.data(), high.data(), vocabulary, h.data(), head.cols, tokens,
                           vocabulary, scratch, pool);
    wide_low = low, wide_high = high;
    std::vector<int32_t> rows(static_cast<size_t>(vocabulary));
    std::iota(rows.begin(), rows.end(), 0);
    for (int64_t t = 0; t < tokens; ++t) {
      screen.full_pass(logits.data() + t * vocabulary, vocabulary, h.data() + t * head.cols, pool);
    }
    if (!narrowed) return;
    for (int64_t t = 0; t < tokens; ++t) {
      screen.narrow(low.data() + t * vocabulary, high.data() + t * vocabulary, rows,
                    h.data() + t * head.cols, scratch, pool);
    }
  }
  // Rows whose ends narrowing has moved outwards, or by less than a quarter of the interval.
  int64_t wider() const {
    int64_t count = 0;
    for (size_t i = 0; i < low.size(); ++i) {
      if (low[i] == wide_low[i] && high[i] == wide_high[i]) continue;
      const double width = double(high[i]) - double(low[i]);
      count += low[i] < wide_low[i] || high[i] > wide_high[i] ||
               width > 0.76 * (double(wide_high[i]) - double(wide_low[i]));
    }
    return count;
  }
  // Rows whose logit lies outside its interval, shrunk to `share` of itself around its middle.
  int64_t violations(double share = 1) const {
    int64_t count = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      if (low[i] == -INFINITY && high[i] == INFINITY) continue;
      const double l = double(low[i]), h = double(high[i]);
      const double middle = (l + h) / 2, half = (h - l) / 2 * share;
      const double inside = share == 1 ? l : middle - half, top = share == 1 ? h : middle + half;
      count += !(double(logits[i]) >= inside && double(logits[i]) <= top);  // NaN is a violation
    }
    return count;
  }
  int64_t unknown() const {
    int64_t count = 0;
    for (size_t i = 0; i < low.size(); ++i) count += high[i] == INFINITY;
    return count;
  }
  std::vector<float> low, high, logits, wide_low, wide_high;
  double widest;
};

TEST(ScreenedHead, HoldsEveryLogitOfAdversarialHeadsAndHiddenStates) {
  Random random(31);
  const Ptr<ThreadPool> pool = pool_of(2);
  int64_t rows_seen = 0, unknown = 0;
  for (int round = 0; round < 400; ++round) {
    const DenseType type = kTypes[round % 8];
    const int64_t cols = random.one_of<int64_t>({1, 3, 63, 64, 65, 100, 200, 257, 320, 640});
    const Head head(random, type, random.from(1, 700), cols,
                    round % 3 ? Rows::kAdversarial : Rows::kUsual);
    const Ptr<const ScreenedHead> screen = screened(head.matrix, *pool);
    EXPECT_EQ(screen->bytes(), ScreenedHead::bytes_of(head.matrix.rows, head.matrix.cols));
    const int64_t tokens = random.from(1, 9);
    const int64_t vocabulary = std::max<int64_t>(1, head.matrix.rows - random.up_to(20));
    std::vector<float> h;
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t kind = random.one_in(2) ? 0 : random.up_to(kHiddenKinds - 1);
      const std::vector<float> one = hidden_state(random, head.matrix.cols, kind);
      h.insert(h.end(), one.begin(), one.end());
    }
    for (const bool narrowed : {false, true}) {
      const Screened s(*screen, h, tokens, vocabulary, *pool, narrowed);
      ASSERT_EQ(s.violations(), 0)
          << "round " << round << ", type " << int(type) << ", " << head.matrix.rows << " x "
          << head.matrix.cols << (narrowed ? ", narrowed" : "");
      ASSERT_EQ(s.wider(), 0);
      rows_seen += tokens * vocabulary;
      unknown += s.unknown();
    }
  }
  EXPECT_LT(unknown, rows_seen / 2);
  std::printf("%lld rows, %lld of them unknown\n", static_cast<long long>(rows_seen),
              static_cast<long long>(unknown));
}

TEST(ScreenedHead, HoldsTwoMillionOrdinaryLogits) {
  Random random(32);
  const Ptr<ThreadPool> pool = pool_of(2);
  for (const DenseType type : {DenseType::kF16, DenseType::kBF16, DenseType::kQ6_K}) {
    const Head head(random, type, 8200, 256, Rows::kUsual);
    const Ptr<const ScreenedHead> screen = screened(head.matrix, *pool);
    constexpr int64_t kTokens = 82;
    std::vector<float> h;
    for (int64_t t = 0; t < kTokens; ++t) {
      const std::vector<float> one = hidden_state(random, 256, 0);
      h.insert(h.end(), one.begin(), one.end());
    }
    for (const bool narrowed : {false, true}) {
      const Screened s(*screen, h, kTokens, 8200, *pool, narrowed);
      EXPECT_EQ(s.violations(), 0);
      EXPECT_EQ(s.unknown(), 0);
      // So near to the truth are the middles: the test above would see bounds far too small.
      EXPECT_GT(s.violations(0.03), 0);
      EXPECT_LT(s.widest, 1.5);
      double widths = 0;
      for (size_t i = 0; i < s.low.size(); ++i) {
        widths += (double(s.high[i]) - double(s.low[i])) /
                  (double(s.wide_high[i]) - double(s.wide_low[i])) / double(s.low.size());
      }
      EXPECT_LT(widths, narrowed ? 0.3 : 1.01);
      std::printf("type %d: widest bound %.3f standard deviations; narrowed to %.2f\n", int(type),
                  s.widest, widths);
    }
  }
}

// A hidden state along a row's own residual reaches the bound (Cauchy and Schwarz with equality):
// nothing to spare, and a bound smaller by a few hundredths is caught.
TEST(ScreenedHead, IsReachedByAHiddenStateAlongTheResidual) {
  Random random(33);
  const Ptr<ThreadPool> pool = pool_of(1);
  constexpr int64_t kCols = 192;
  const Head head(random, DenseType::kF32, 48, kCols, Rows::kUsual);
  const Ptr<const ScreenedHead> screen = screened(head.matrix, *pool);
  std::vector<float> units(kCols * kCols);
  for (size_t c = 0; c < kCols; ++c) units[c * kCols + c] = 1.0f;
  for (const bool narrowed : {false, true}) {
    // Unit vectors read the copy: the middle of the interval is the row's number, unless a narrowed
    // interval is what it has in common with a wide one that lies aside.
    const Screened copy(*screen, units, kCols, 48, *pool, narrowed);
    int64_t outside = 0, caught = 0;
    for (size_t r = 0; r < 48; ++r) {
      std::vector<float> h(kCols);
      for (size_t c = 0; c < kCols; ++c) {
        const size_t at = c * 48 + r;
        const double q = (double(copy.low[at]) + double(copy.high[at])) / 2;
        h[c] = static_cast<float>(double(copy.logits[at]) - q);
      }
      const Screened s(*screen, h, 1, 48, *pool, narrowed);
      outside += s.violations();
      caught += s.violations(narrowed ? 0.9 : 0.97) > 0;
    }
    EXPECT_EQ(outside, 0);
    EXPECT_EQ(caught, 48) << (narrowed ? "narrowed" : "wide");
  }
}

// Nothing is lost in the copy, so that only the terms for rounding are left.
TEST(ScreenedHead, HoldsLogitsThatDifferByRoundingAlone) {
  Random random(34);
  const Ptr<ThreadPool> pool = pool_of(1);
  constexpr int64_t kCols = 2560, kRows = 300;
  Head head(random, DenseType::kF32, kRows, kCols, Rows::kUsual);
  for (int64_t i = 0; i < kRows * kCols; ++i) {
    // Whole steps; the block's largest number is 16 of them.
    const float x = i % 64 == 0 ? -16.0f : float(random.from(-15, 15));
    std::memcpy(head.data.data() + 4 * i, &x, 4);
  }
  const Ptr<const ScreenedHead> screen = screened(head.matrix, *pool);
  std::vector<float> h;
  for (int64_t t = 0; t < 20; ++t) {
    for (int64_t c = 0; c < kCols; ++c) {
      h.push_back(c == 0 ? 32639.0f : float(random.from(-32639, 32639)));
    }
  }
  const Screened s(*screen, h, 20, kRows, *pool);
  EXPECT_EQ(s.violations(), 0);
  EXPECT_GT(s.violations(1e-4), 0);
  EXPECT_LT(s.widest, 2e-3);
  std::printf("rounding alone: %.2g standard deviations\n", s.widest);
}

// What a second call finds is not the screen's any more: it changes nothing.
TEST(ScreenedHead, NarrowsOnce) {
  Random random(38);
  const Ptr<ThreadPool> pool = pool_of(2);
  const Head head(random, DenseType::kF16, 400, 320, Rows::kAdversarial);
  const Ptr<const ScreenedHead> screen = screened(head.matrix, *pool);
  const std::vector<float> h = hidden_state(random, 320, 0);
  Screened once(*screen, h, 1, 400, *pool, true);
  const std::vector<float> low = once.low, high = once.high;
  once.low[7] = once.high[7] = once.logits[7];  // settled meanwhile
  std::vector<int32_t> rows(400);
  std::iota(rows.begin(), rows.end(), 0);
  ScreenScratch scratch;
  scratch.reserve(1, 320, pool->size());
  screen->narrow(once.low.data(), once.high.data(), rows, h.data(), scratch, *pool);
  EXPECT_EQ(once.low[7], once.logits[7]);
  EXPECT_EQ(once.high[7], once.logits[7]);
  once.low[7] = low[7], once.high[7] = high[7];
  EXPECT_EQ(std::memcmp(low.data(), once.low.data(), 1600), 0);
  EXPECT_EQ(std::memcmp(high.data(), once.high.data(), 1600), 0);
}

TEST(ScreenedHead, GivesTheSameBitsOnEveryTableAndAnyNumberOfThreads) {
  Random random(35);
  const Head head(random, DenseType::kF16, 333, 640, Rows::kAdversarial);
  std::vector<float> h;
  for (int64_t t = 0; t < 5; ++t) {
    const std::vector<float> one = hidden_state(random, 640, t);
    h.insert(h.end(), one.begin(), one.end());
  }
  std::vector<float> low, high;
  int count = 0;
  const char* const* names = usable_isas(&count);
  for (int i = 0; i < count; ++i) {
    for (int threads : {1, 3}) {
      const Ptr<ThreadPool> pool = pool_of(threads);
      auto made = ScreenedHead::prepare(head.matrix, *select_ops(names[i]), *pool, {});
      ASSERT_TRUE(made.ok());
      const Screened s(*made.value(), h, 5, 333, *pool, true);
      if (low.empty()) low = s.low, high = s.high;
      EXPECT_EQ(std::memcmp(low.data(), s.low.data(), low.size() * 4), 0) << names[i];
      EXPECT_EQ(std::memcmp(high.data(), s.high.data(), high.size() * 4), 0) << names[i];
    }
  }
}

TEST(ScreenedHead, RescoresExactlyTheRowsAskedFor) {
  Random random(36);
  const Ptr<ThreadPool> pool = pool_of(2);
  const Head head(random, DenseType::kQ6_K, 500, 512, Rows::kUsual);
  const Ptr<const ScreenedHead> screen = screened(head.matrix, *pool);
  const std::vector<float> h = hidden_state(random, 512, 0);
  std::vector<float> all(500);
  reference_ops().dense_matmul(all.data(), 0, head.matrix, 0, 500, h.data(), 0, 1);
  for (int64_t step : {1, 7, 499}) {
    std::vector<int32_t> rows;
    std::vector<float> expected(500, -7.0f), found(expected);
    for (int64_t r = 0; r < 500; r += step) {
      rows.push_back(static_cast<int32_t>(r));
      expected[static_cast<size_t>(r)] = all[static_cast<size_t>(r)];
    }
    screen->rescore(found.data(), rows, h.data(), *pool);
    EXPECT_EQ(std::memcmp(expected.data(), found.data(), 2000), 0) << step;
  }
}

TEST(ScreenedHead, CanBeCancelledWhileItIsMade) {
  Random random(37);
  const Ptr<ThreadPool> pool = pool_of(1);
  const Head head(random, DenseType::kF16, 4000, 64, Rows::kUsual);
  struct Calls {
    int left, made;
  };
  for (int allowed : {0, 1}) {
    Calls calls{allowed, 0};
    const Progress progress{[](void* user, double done) {
                              EXPECT_TRUE(done >= 0 && done <= 1);
                              auto* c = static_cast<Calls*>(user);
                              ++c->made;
                              return c->left-- > 0 ? 0 : 1;
                            },
                            &calls};
    const auto made = ScreenedHead::prepare(head.matrix, *select_ops(nullptr), *pool, progress);
    EXPECT_EQ(made.status().code(), BITNET_E_CANCELLED);
    EXPECT_GT(calls.made, 0);
  }
}

}  // namespace
}  // namespace bitnet
