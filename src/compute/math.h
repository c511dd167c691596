// Elementary functions in double that give the same bits on every machine (libm does not): for
// tables computed once, such as the cosines of rotary positions. Only +, -, *, / and bit
// operations. exact_sin() and exact_cos() are in angles.h.
//
// Errors are those of the double result before any rounding to float, checked in
// tests/compute/math_test.cpp against long double.
#pragma once

#include "compute/angles.h"

namespace bitnet {

// Relative error below 4e-16; +infinity above 709.78, +0 below -707.
double exact_exp(double x) noexcept;
// Relative error below 4e-16, absolute near 1. log(0) = -infinity, of a negative number NaN.
double exact_log(double x) noexcept;

}  // namespace bitnet
