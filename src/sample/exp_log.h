// exp and log of doubles that give the same bits on every machine: IEEE + - * / and bit operations
// only, in the order written (contraction is off), never libm. Rounding must be to nearest
// (base/float_mode.h). Relative error below 4e-16 on the ranges below (tested: 1e-15).
#pragma once

#include <bit>
#include <cstdint>

namespace bitnet {

// ln 2 in two parts: kLn2High has 32 significant bits, so that its product with an exponent is
// exact.
inline constexpr double kLn2High = 0x1.62e42feep-1;
inline constexpr double kLn2Low = 0x1.a39ef35793c76p-33;

// x: finite, positive, normal.
//
// x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m-1)/(m+1), |s| <= 0.1716.
// The series s^(2k)/(2k+1) is cut after k = 10: what is left is below 3e-19. m - 1 is exact, so
// the relative error stays small next to x = 1.
inline double sample_log(double x) noexcept {
  constexpr uint64_t kMantissa = (uint64_t{1} << 52) - 1;
  constexpr uint64_t kOne = uint64_t{1023} << 52;
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  int64_t exponent = static_cast<int64_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & kMantissa) | kOne);
  if (m >= 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    ++exponent;
  }
  const double f = m - 1;
  const double s = f / (2 + f);
  const double z = s * s;
  double p = 1.0 / 21;
  for (int k = 9; k >= 1; --k) p = p * z + 1.0 / (2 * k + 1);
  const double e = static_cast<double>(exponent);
  return e * kLn2High + (2 * s + (2 * s * (z * p) + e * kLn2Low));
}

// x: not NaN. Below -708 the result is 0, above 709 it is +infinity.
//
// x = (k / 16) ln 2 + r, |r| <= 0.0217; exp r by its Taylor series to r^7 (what is left is below
// 2e-18). Adding 1.5 2^52 rounds to the nearest integer, which is then in the low bits.
inline double sample_exp(double x) noexcept {
  // 2^(j / 16)
  static constexpr double kPower[16] = {
      0x1.0000000000000p+0, 0x1.0b5586cf9890fp+0, 0x1.172b83c7d517bp+0, 0x1.2387a6e756238p+0,
      0x1.306fe0a31b715p+0, 0x1.3dea64c123422p+0, 0x1.4bfdad5362a27p+0, 0x1.5ab07dd485429p+0,
      0x1.6a09e667f3bcdp+0, 0x1.7a11473eb0187p+0, 0x1.8ace5422aa0dbp+0, 0x1.9c49182a3f090p+0,
      0x1.ae89f995ad3adp+0, 0x1.c199bdd85529cp+0, 0x1.d5818dcfba487p+0, 0x1.ea4afa2a490dap+0};
  constexpr double kRound = 0x1.8p+52;
  if (x < -708) return 0;
  if (x > 709) return std::bit_cast<double>(uint64_t{0x7ff} << 52);
  const double shifted = x * 0x1.71547652b82fep+4 + kRound;  // 16 / ln 2
  const double steps = shifted - kRound;
  const int32_t k = static_cast<int32_t>(static_cast<uint32_t>(std::bit_cast<uint64_t>(shifted)));
  const double r = (x - steps * (kLn2High / 16)) - steps * (kLn2Low / 16);
  double p = 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1;
  p = p * r + 1;
  const uint64_t power = std::bit_cast<uint64_t>(kPower[k & 15]);
  return p * std::bit_cast<double>(power + (static_cast<uint64_t>(int64_t{k >> 4}) << 52));
}

}  // namespace bitnet
