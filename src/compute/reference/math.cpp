#include "compute/math.h"

#include <bit>
#include <cstdint>
#include <limits>

namespace bitnet {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

using angles::nearest;

}  // namespace

double exact_exp(double x) noexcept {
  if (x != x) return x;
  if (x > 709.782712893384) return kInfinity;
  if (x < -707.0) return 0.0;
  // x = n ln 2 + r; the high part of ln 2 has 32 bits, its product with n is exact.
  const double n = nearest(x * 0x1.71547652b82fep+0);
  const double r = (x - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
  // Taylor series, |r| <= 0.347: the first term left out is r^14/14! < 5e-18.
  double p = 1.0 / 6227020800.0;  // 1/13!
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  const double e = 1.0 + (r + r * r * p);
  // 2^n as (2 e) * 2^(n-1): n reaches 1024, whose power is no double.
  const int64_t exponent = static_cast<int64_t>(n) - 1;
  return (e + e) * std::bit_cast<double>((exponent + 1023) << 52);
}

double exact_log(double x) noexcept {
  if (x != x || x == kInfinity) return x;
  if (x < 0.0) return kNaN;
  if (x == 0.0) return -kInfinity;
  int64_t exponent = 0;
  if (x < std::numeric_limits<double>::min()) {  // subnormal
    x *= 0x1p54;
    exponent = -54;
  }
  // x = m * 2^exponent with m in [sqrt(1/2), sqrt 2).
  const int64_t bits = std::bit_cast<int64_t>(x);
  exponent += (bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffff) | (int64_t{1023} << 52));
  if (m >= 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    exponent += 1;
  }
  // log m = log (1+s)/(1-s) = 2 (s + s^3/3 + s^5/5 + ...), |s| <= 0.1716: first term left out below
  // 1e-18 of the sum. Written around f = m - 1, which is exact, so that the leading term is too:
  // 2s = f - s f.
  const double f = m - 1.0;
  const double s = f / (2.0 + f);
  const double t = s * s;
  double p = 2.0 / 21.0;
  p = p * t + 2.0 / 19.0;
  p = p * t + 2.0 / 17.0;
  p = p * t + 2.0 / 15.0;
  p = p * t + 2.0 / 13.0;
  p = p * t + 2.0 / 11.0;
  p = p * t + 2.0 / 9.0;
  p = p * t + 2.0 / 7.0;
  p = p * t + 2.0 / 5.0;
  p = p * t + 2.0 / 3.0;
  const double n = static_cast<double>(exponent);
  return n * 0x1.62e42feep-1 + (f - (s * (f - t * p) - n * 0x1.a39ef35793c76p-33));
}

}  // namespace bitnet
