// The number functions below the sampler: Philox against its authors' known answers, exp and log
// against long double, the noise against its definition and its distribution.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/philox.h"
#include "sample/exp_log.h"
#include "sample/gumbel.h"

namespace bitnet {
namespace {

// kat_vectors of Random123, the authors' implementation: counter, key, output.
TEST(Philox, GivesTheAuthorsKnownAnswers) {
  struct {
    uint32_t counter[4], key[2], output[4];
  } const known[] = {{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
                     {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                      {0xffffffff, 0xffffffff},
                      {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
                     {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                      {0xa4093822, 0x299f31d0},
                      {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
  for (const auto& k : known) {
    const PhiloxBlock block =
        philox4x32_10({{k.counter[0], k.counter[1], k.counter[2], k.counter[3]}},
                      uint64_t{k.key[1]} << 32 | k.key[0]);
    for (int w = 0; w < 4; ++w) EXPECT_EQ(block.word[w], k.output[w]);
  }
}

double relative_error(double found, long double expected) {
  return static_cast<double>(std::fabs((found - expected) / expected));
}

TEST(Log, IsAccurateFromTheSmallestUniformToTheLargest) {
  double worst = 0;
  const auto check = [&](double x) {
    worst = std::max(worst, relative_error(sample_log(x), std::log(static_cast<long double>(x))));
  };
  for (int e = -1022; e <= 1023; ++e) {
    for (int i = 0; i < 200; ++i) check(std::ldexp(1 + (i + 0.37) / 200, e));
  }
  for (int i = 1; i < 60000; ++i) {
    check(i / 60000.0);                     // uniforms
    check(1 - std::ldexp(2 * i - 1, -53));  // the largest uniforms
    check(1 + std::ldexp(i, -52));
    check(i / 1600.0);  // -log of uniforms
  }
  EXPECT_LT(worst, 1e-15);
  EXPECT_EQ(sample_log(1), 0);
}

TEST(Exp, IsAccurateOverItsRange) {
  double worst = 0;
  for (int i = 0; i < 400000; ++i) {
    const double x = -700 + i * (1400.0 / 400000);
    worst = std::max(worst, relative_error(sample_exp(x), std::exp(static_cast<long double>(x))));
  }
  for (int i = 0; i < 100000; ++i) {
    const double x = -i * 28.0 / 100000;  // top-p
    worst = std::max(worst, relative_error(sample_exp(x), std::exp(static_cast<long double>(x))));
  }
  EXPECT_LT(worst, 1e-15);
  EXPECT_EQ(sample_exp(0), 1);
  EXPECT_EQ(sample_exp(-1000), 0);
  EXPECT_EQ(sample_exp(-std::numeric_limits<double>::infinity()), 0);
  EXPECT_EQ(sample_exp(1000), std::numeric_limits<double>::infinity());
}

// Bits, not values: another machine or compiler must give exactly these.
TEST(ExpLog, GiveTheSameBitsEverywhere) {
  EXPECT_EQ(sample_log(0x1p-53), -0x1.25e4f7b2737fap+5);
  EXPECT_EQ(sample_log(1 - 0x1p-53), -0x1.0000000000000p-53);
  uint64_t log_bits = 0, exp_bits = 0;
  for (int i = 1; i < 100000; ++i) {
    log_bits = log_bits * 31 + std::bit_cast<uint64_t>(sample_log(i * 0.000123456789));
    exp_bits = exp_bits * 31 + std::bit_cast<uint64_t>(sample_exp(-i * 0.000287654321));
  }
  EXPECT_EQ(log_bits, 0x90f0c770390e1bbbu);
  EXPECT_EQ(exp_bits, 0xd302aacbc32277ddu);
}

// The definition in gumbel.h, spelled out with libm.
TEST(Gumbel, FollowsItsDefinition) {
  for (const uint64_t draw : {uint64_t{0}, uint64_t{3}, uint64_t{1} << 40}) {
    for (int32_t token = 0; token < 1000; ++token) {
      PhiloxBlock block[2];
      for (uint32_t s = 0; s < 2; ++s) {
        block[s] = philox4x32_10({{static_cast<uint32_t>(draw), static_cast<uint32_t>(draw >> 32),
                                   static_cast<uint32_t>(token) / 4, s}},
                                 0x123456789abcdef);
      }
      const uint64_t h = block[0].word[token % 4], l = block[1].word[token % 4] >> 12;
      const long double u =
          (2 * (static_cast<long double>(h) * 1048576 + l) + 1) / 9007199254740992.0L;
      EXPECT_NEAR(gumbel_noise(0x123456789abcdef, draw, token),
                  static_cast<double>(-std::log(-std::log(u))), 1e-13);
    }
  }
}

// Kolmogorov-Smirnov against exp(-exp(-g)); 1.95 / sqrt(n) is passed by chance once in a thousand
// seeds.
TEST(Gumbel, HasTheGumbelDistribution) {
  constexpr int kCount = 200000;
  for (const bool over_tokens : {true, false}) {
    std::vector<double> g(kCount);
    for (int i = 0; i < kCount; ++i) {
      g[i] = over_tokens ? gumbel_noise(1, 0, i) : gumbel_noise(1, static_cast<uint64_t>(i), 17);
    }
    std::sort(g.begin(), g.end());
    double distance = 0;
    for (int i = 0; i < kCount; ++i) {
      const double p = std::exp(-std::exp(-g[i]));
      distance = std::max(
          {distance, std::fabs(p - i / double{kCount}), std::fabs(p - (i + 1) / double{kCount})});
    }
    EXPECT_LT(distance, 1.95 / std::sqrt(kCount));
  }
}

}  // namespace
}  // namespace bitnet
