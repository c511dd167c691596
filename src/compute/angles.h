// Sine and cosine in double that give the same bits on every machine, and on devices, whose
// compilers take constexpr functions. Only +, -, * and comparisons; checked against long double in
// tests/compute/math_test.cpp.
#pragma once

#include <cstdint>
#include <limits>

namespace bitnet {
namespace angles {

// Adding and taking away 1.5 * 2^52 rounds to the nearest integer, ties to even, for |x| < 2^51.
constexpr double nearest(double x) noexcept {
  constexpr double kRounder = 6755399441055744.0;
  return (x + kRounder) - kRounder;
}

// Taylor series, |x| <= pi/4: the first term left out is x^17/17! < 5e-17.
constexpr double sine_near_zero(double x) noexcept {
  const double s = x * x;
  double p = -1.0 / 1307674368000.0;  // -1/15!
  p = p * s + 1.0 / 6227020800.0;
  p = p * s - 1.0 / 39916800.0;
  p = p * s + 1.0 / 362880.0;
  p = p * s - 1.0 / 5040.0;
  p = p * s + 1.0 / 120.0;
  p = p * s - 1.0 / 6.0;
  return x + x * s * p;
}

// The same, first term left out x^18/18! < 3e-18.
constexpr double cosine_near_zero(double x) noexcept {
  const double s = x * x;
  double p = 1.0 / 20922789888000.0;  // 1/16!
  p = p * s - 1.0 / 87178291200.0;
  p = p * s + 1.0 / 479001600.0;
  p = p * s - 1.0 / 3628800.0;
  p = p * s + 1.0 / 40320.0;
  p = p * s - 1.0 / 720.0;
  p = p * s + 1.0 / 24.0;
  return 1.0 - (0.5 * s - s * s * p);
}

// x = quadrant * pi/2 + rest, |rest| <= pi/4 (and a rounding).
struct Reduced {
  double rest;
  int quadrant;  // modulo 4
};

// pi/2 in three parts (Cody and Waite). The first two have 28 and 27 bits, so their products with
// n < 2^24 are exact, and so is the first difference; what is left is about one rounding of a
// number below 1.
constexpr Reduced reduce(double x) noexcept {
  constexpr double kFirst = 0x1.921fb54p+0, kSecond = 0x1.10b461p-30,
                   kThird = 0x1.a62633145c06ep-58;
  const double n = nearest(x * 0x1.45f306dc9c883p-1);
  const double rest = ((x - n * kFirst) - n * kSecond) - n * kThird;
  return {rest, static_cast<int>(static_cast<int64_t>(n) & 3)};
}

constexpr bool out_of_range(double x) noexcept {
  return !(x >= -16777216.0 && x <= 16777216.0);
}

}  // namespace angles

// |x| <= 2^24: absolute error below 4e-16. Beyond 2^24, infinite or NaN: NaN.
constexpr double exact_sin(double x) noexcept {
  if (angles::out_of_range(x)) return std::numeric_limits<double>::quiet_NaN();
  const angles::Reduced r = angles::reduce(x);
  const double y =
      r.quadrant & 1 ? angles::cosine_near_zero(r.rest) : angles::sine_near_zero(r.rest);
  return r.quadrant & 2 ? -y : y;
}

constexpr double exact_cos(double x) noexcept {
  if (angles::out_of_range(x)) return std::numeric_limits<double>::quiet_NaN();
  const angles::Reduced r = angles::reduce(x);
  const double y =
      r.quadrant & 1 ? angles::sine_near_zero(r.rest) : angles::cosine_near_zero(r.rest);
  return (r.quadrant + 1) & 2 ? -y : y;
}

}  // namespace bitnet
