// exp and log of doubles that give the same bits on every machine: IEEE + - * / and bit operations
// only, in the order written (contraction is off), never libm. Relative error below 4e-16 on the
// ranges below (tested: 1e-15).
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
// x = k ln 2 + r, |r| <= 0.3466; exp r by its Taylor series to r^13 (what is left is below 5e-18).
inline double sample_exp(double x) noexcept {
  if (x < -708) return 0;
  if (x > 709) return std::bit_cast<double>(uint64_t{0x7ff} << 52);
  const double shifted = x * 0x1.71547652b82fep+0 + 0.5;  // 1 / ln 2
  int32_t k = static_cast<int32_t>(shifted);
  if (static_cast<double>(k) > shifted) --k;  // rounded down
  const double r = (x - k * kLn2High) - k * kLn2Low;
  double p = 1.0 / 6227020800;  // 1 / 13!
  constexpr double kFactorial[] = {1,    1,     2,      6,       24,       120,      720,
                                   5040, 40320, 362880, 3628800, 39916800, 479001600};
  for (int i = 12; i >= 0; --i) p = p * r + 1 / kFactorial[i];
  return p * std::bit_cast<double>(static_cast<uint64_t>(k + 1023) << 52);
}

}  // namespace bitnet
