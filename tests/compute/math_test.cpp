// The scalar functions under the verbs: what their comments claim, measured. Looks for: wrong
// constants, double rounding, errors at the ends of ranges.

#include "compute/math.h"
#include "buffers.h"
#include "compute/pairwise_sum.h"
#include "compute/reference/math.h"

namespace bitnet::compute_test {
namespace {

TEST(Fused, RoundsOnceLikeTheInstruction) {
  // libm's fmaf is exact; a processor without the instruction runs the code below.
  Source source(1);
  for (int i = 0; i < 3000000; ++i) {
    float a = std::bit_cast<float>(source.bits()), b = std::bit_cast<float>(source.bits());
    float c = std::bit_cast<float>(source.bits());
    if (i % 3 == 0) a = source.usual(), b = source.usual(), c = source.usual();
    if (i % 5 == 0) c = -a * b;                                        // what is left of a rounding
    if (i % 7 == 0) c = std::ldexp(a * b, int(source.from(-30, 30)));  // near ties
    const float expected = std::fmaf(a, b, c), actual = fused(a, b, c);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(actual)) << a << " " << b << " " << c;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(expected), std::bit_cast<uint32_t>(actual))
          << a << " * " << b << " + " << c;
    }
  }
}

TEST(Fused, TiesThatDoubleRoundingLoses) {
  // 24929 * 673 = 2^24 + 1 is half way between two floats. A little more or less decides, but is
  // lost in a double unless it is rounded to odd.
  for (float sign : {1.0f, -1.0f}) {
    const float a = 24929.0f * sign, b = 673.0f, tie = 16777216.0f * sign;
    EXPECT_EQ(fused(a, b, 0.0f), tie);
    EXPECT_EQ(fused(a, b, 0x1p-40f * sign), tie + 2 * sign);
    EXPECT_EQ(fused(a, b, -0x1p-40f * sign), tie);
    EXPECT_EQ(fused(a, b, 0x1p-149f * sign), tie + 2 * sign);
    EXPECT_EQ(fused(a, b, -0x1p-149f * sign), tie);
  }
  Source source(5);
  for (int i = 0; i < 300000; ++i) {
    // Odd products of 25 bits are such ties, at any scale.
    const float a = float(source.from(2048, 4095) | 1), b = float(source.from(8192, 8700) | 1);
    const float c = std::ldexp(source.usual(), int(source.from(-120, -20)));
    ASSERT_EQ(fused(a, b, c), std::fmaf(a, b, c)) << a << " * " << b << " + " << c;
  }
}

TEST(ContractExp, RelativeErrorBelowItsClaim) {
  long double worst = 0;
  for (double x = -86.5; x < 88.72; x += 0.00003) {
    const float f = static_cast<float>(x);
    const long double exact = std::exp(static_cast<long double>(f));
    worst = std::max(worst, std::fabs(contract_exp(f) - exact) / exact);
  }
  EXPECT_LT(worst, 1.1e-7L) << static_cast<double>(worst);
  EXPECT_GT(worst, 1e-9L);  // or nothing was measured
  RecordProperty("worst_relative_error", std::to_string(static_cast<double>(worst)));
}

TEST(ContractExp, EndsOfTheRange) {
  EXPECT_EQ(contract_exp(0.0f), 1.0f);
  EXPECT_EQ(contract_exp(-0.0f), 1.0f);
  EXPECT_EQ(std::bit_cast<uint32_t>(contract_exp(-87.0f)), 0u);
  EXPECT_EQ(std::bit_cast<uint32_t>(contract_exp(-INFINITY)), 0u);
  EXPECT_EQ(std::bit_cast<uint32_t>(contract_exp(-3e38f)), 0u);
  EXPECT_TRUE(std::isnormal(contract_exp(kExpLowest)));
  EXPECT_TRUE(std::isnormal(contract_exp(88.7227f)));
  EXPECT_EQ(contract_exp(88.7229f), INFINITY);
  EXPECT_EQ(contract_exp(3e38f), INFINITY);
  EXPECT_EQ(contract_exp(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(contract_exp(NAN)));
}

TEST(ExactMath, SineAndCosineUpToPositionsOf2To24) {
  Source source(2);
  double worst = 0;
  const auto check = [&](double x) {
    worst = std::max(worst, double(std::fabs(exact_sin(x) - sinl(x))));
    worst = std::max(worst, double(std::fabs(exact_cos(x) - cosl(x))));
  };
  for (double x = -10; x < 10; x += 0.00011) check(x);
  for (int i = 0; i < 300000; ++i) check(double(source.bits()) * (16777216.0 / 4294967296.0));
  for (int i = 1; i < 10680000; i += 37) {  // around multiples of pi/2, where most of x cancels
    check(i * 1.5707963267948966);
    check(std::nextafter(i * 1.5707963267948966, 0.0));
  }
  for (int64_t i = 0; i <= 16777216; i += 51) check(double(i));
  check(16777216.0);
  EXPECT_LT(worst, 4e-16);
}

TEST(ExactMath, FloatsOfSineAreGoodToTheirLastPlace) {
  // What the rope tables keep.
  for (int64_t position = 1; position < (1 << 24); position = position * 3 / 2 + 1) {
    for (int pair = 0; pair < 64; ++pair) {
      const double angle = double(position) * exact_exp(-exact_log(500000.0) * pair / 64);
      const float s = static_cast<float>(exact_sin(angle)),
                  c = static_cast<float>(exact_cos(angle));
      ASSERT_NEAR(s, double(sinl(angle)), 6.1e-8) << angle;
      ASSERT_NEAR(c, double(cosl(angle)), 6.1e-8) << angle;
    }
  }
}

TEST(ExactMath, SineOutsideItsRangeIsNotANumber) {
  for (double x : {16777217.0, -16777217.0, 1e300, double(INFINITY), double(NAN)}) {
    EXPECT_TRUE(std::isnan(exact_sin(x))) << x;
    EXPECT_TRUE(std::isnan(exact_cos(x))) << x;
  }
  EXPECT_EQ(exact_sin(0.0), 0.0);
  EXPECT_EQ(exact_cos(0.0), 1.0);
}

TEST(ExactMath, Exp) {
  long double worst = 0;
  for (double x = -707; x < 709.78; x += 0.00137) {
    const long double exact = expl(x);
    worst = std::max(worst, std::fabs(exact_exp(x) - exact) / exact);
  }
  EXPECT_LT(double(worst), 4e-16);
  EXPECT_EQ(exact_exp(0.0), 1.0);
  EXPECT_EQ(exact_exp(709.79), double(INFINITY));
  EXPECT_EQ(exact_exp(double(INFINITY)), double(INFINITY));
  EXPECT_EQ(exact_exp(-708.0), 0.0);
  EXPECT_EQ(exact_exp(-double(INFINITY)), 0.0);
  EXPECT_TRUE(std::isnan(exact_exp(double(NAN))));
}

TEST(ExactMath, Log) {
  Source source(3);
  long double worst = 0;
  const auto check = [&](double x) {
    const long double exact = logl(x);
    if (exact != 0) worst = std::max(worst, std::fabs((exact_log(x) - exact) / exact));
  };
  for (double x = 0.25; x < 4; x += 0.00001) check(x);
  for (int i = 0; i < 300000; ++i) {  // every exponent, subnormal ones too
    const uint64_t bits = (uint64_t{source.bits()} << 32 | source.bits()) >> 1;
    const double x = std::bit_cast<double>(bits);
    if (std::isfinite(x) && x > 0) check(x);
  }
  for (double x : {10000.0, 500000.0, 1e6, 5e-324, 1.7e308}) check(x);
  EXPECT_LT(double(worst), 4e-16);
  EXPECT_EQ(exact_log(1.0), 0.0);
  EXPECT_EQ(exact_log(0.0), -double(INFINITY));
  EXPECT_EQ(exact_log(double(INFINITY)), double(INFINITY));
  EXPECT_TRUE(std::isnan(exact_log(-1.0)));
  EXPECT_TRUE(std::isnan(exact_log(double(NAN))));
}

// The tree as the contract words it: node of size 2^k at a multiple of 2^k.
float tree(const std::vector<float>& items, size_t start, size_t size) {
  if (size == 1) return items[start];
  const float left = tree(items, start, size / 2);
  if (start + size / 2 >= items.size()) return left;
  return left + tree(items, start + size / 2, size / 2);
}

TEST(PairwiseSum, IsTheTreeOfTheContract) {
  Source source(4);
  for (size_t n = 1; n <= 700; ++n) {
    std::vector<float> items(n);
    PairwiseSum sum;
    for (float& item : items) sum.push(item = source.usual());
    ASSERT_EQ(std::bit_cast<uint32_t>(sum.total()),
              std::bit_cast<uint32_t>(tree(items, 0, std::bit_ceil(n))))
        << n;
  }
  EXPECT_EQ(std::bit_cast<uint32_t>(PairwiseSum().total()), 0u);
}

}  // namespace
}  // namespace bitnet::compute_test
