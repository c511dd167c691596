// The two scalar functions of the numeric contract (compute/ops.h): fma and exp.
//
// Everything here has internal linkage, so that no copy compiled for a newer processor reaches
// older code.
#pragma once

#include <cstdint>
#include <cstring>

namespace bitnet {
namespace {

inline uint32_t bits_of(float x) noexcept {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float float_of(uint32_t bits) noexcept {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// a*b + c rounded once. Without the instruction: the product is exact in double; the sum is rounded
// to odd (truncated, lowest bit set if anything was lost), and 53 bits are enough for the second
// rounding to give what a single one would have (Boldo and Melquiond, 2008).
inline float fused(float a, float b, float c) noexcept {
#if defined(__FP_FAST_FMAF) || defined(__ARM_FEATURE_FMA)  // the latter by clang
  return __builtin_fmaf(a, b, c);
#else
  const double product = static_cast<double>(a) * static_cast<double>(b), addend = c;
  double sum = product + addend;
  // What the sum lost, exactly (Knuth). Not a number if the sum is not finite: then nothing is
  // done.
  const double back = sum - product;
  const double lost = (product - (sum - back)) + (addend - back);
  const int64_t inexact = (lost < 0) | (lost > 0);
  const int64_t away = (lost < 0) != (sum < 0);  // rounded away from zero: one step back
  int64_t bits;
  std::memcpy(&bits, &sum, sizeof bits);
  bits = (bits - (inexact & away)) | inexact;
  std::memcpy(&sum, &bits, sizeof bits);
  return static_cast<float>(sum);
#endif
}

// exp(x) = 2^n * e^r with n = rint(x / ln 2), e^r = 1 + r + r^2 c(r), c near-minimax of degree 4 on
// |r| <= ln(2)/2. Relative error below 1.1e-7 (0.9 units in the last place). +0 below kExpLowest,
// so that no subnormal number ever appears; +infinity from 88.7229 on.
constexpr float kExpLowest = -86.5f;
constexpr float kExpRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
constexpr float kExpLog2E = 0x1.715476p+0f;
constexpr float kExpMinusLn2High = -0x1.62e4p-1f, kExpMinusLn2Low = -0x1.7f7d1cp-20f;
constexpr float kExpC4 = 0x1.6d10fcp-10f, kExpC3 = 0x1.120b62p-7f, kExpC2 = 0x1.55551ap-5f,
                kExpC1 = 0x1.5554dep-3f, kExpC0 = 0x1.0p-1f;

inline float contract_exp(float x) noexcept {
  if (x < kExpLowest) return 0.0f;
  if (x > 89.0f) x = 89.0f;                                // keeps n below 2^23
  const float shifted = fused(x, kExpLog2E, kExpRounder);  // n in its low bits
  const float n = shifted - kExpRounder;
  float r = fused(n, kExpMinusLn2High, x);
  r = fused(n, kExpMinusLn2Low, r);
  float c = fused(kExpC4, r, kExpC3);
  c = fused(c, r, kExpC2);
  c = fused(c, r, kExpC1);
  c = fused(c, r, kExpC0);
  const float e = fused(c, r * r, r) + 1.0f;
  // 2^n as (2 e) * 2^(n-1): n reaches 128, whose power is no float. The rounder's own bits fall out
  // of the shift.
  return (e + e) * float_of((bits_of(shifted) + 126) << 23);
}

}  // namespace
}  // namespace bitnet
