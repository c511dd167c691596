// Stored numbers to floats and back, one short loop per type (formats.md 2.6). Compiled once for
// each processor, which lets the compiler vectorize it: every step is exact or a single rounding,
// so the result does not depend on how.
//
// Internal linkage, for the same reason.
#pragma once

#include <cstdint>
#include <cstring>

#include "compute/ops.h"

namespace bitnet {
namespace {

inline float half_to_float(uint16_t half) noexcept {
  const uint32_t magnitude = half & 0x7fffu;
  uint32_t bits = magnitude << 13;
  if (magnitude < 0x7c00) {
    // Moves the exponent's bias from 15 to 127; makes subnormal halves normal.
    float x;
    std::memcpy(&x, &bits, sizeof x);
    x *= 0x1p112f;
    std::memcpy(&bits, &x, sizeof bits);
  } else {
    bits |= 0x7f800000u;
    if (magnitude > 0x7c00) bits |= 0x00400000u;  // a quiet NaN
  }
  bits |= (half & 0x8000u) << 16;
  float y;
  std::memcpy(&y, &bits, sizeof y);
  return y;
}

inline uint16_t float_to_half(float x) noexcept {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000u;
  uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | (magnitude >> 13 & 0x3ffu);  // a quiet NaN, as vcvtps2ph makes it
  } else if (magnitude >= 0x47800000u) {
    half = 0x7c00u;  // 65536 and more
  } else if (magnitude < 0x38800000u) {
    // Below 2^-14: 0.5 has a last place of 2^-24, the unit of subnormal halves, and rounds for us.
    float y;
    std::memcpy(&y, &magnitude, sizeof y);
    y += 0.5f;
    std::memcpy(&half, &y, sizeof half);
    half -= 0x3f000000u;
  } else {
    half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

inline uint16_t load_u16(const uint8_t* p) noexcept {
  uint16_t x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
inline float stored_half(const uint8_t* p) noexcept {
  return half_to_float(load_u16(p));
}

inline void decode_f32(float* y, const uint8_t* p, int64_t n) noexcept {
  std::memcpy(y, p, static_cast<size_t>(n) * 4);
}
inline void decode_f16(float* y, const uint8_t* p, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) y[i] = stored_half(p + 2 * i);
}
inline void decode_bf16(float* y, const uint8_t* p, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = static_cast<uint32_t>(load_u16(p + 2 * i)) << 16;
    std::memcpy(y + i, &bits, sizeof bits);
  }
}

// [f16 d][i8 q x 32]
inline void decode_q8_0(float* y, const uint8_t* p) noexcept {
  const float d = stored_half(p);
  for (int i = 0; i < 32; ++i) y[i] = d * static_cast<float>(static_cast<int8_t>(p[2 + i]));
}

// [f16 d][16 bytes: element j in the low half of byte j, element j + 16 in the high]
inline void decode_q4_0(float* y, const uint8_t* p) noexcept {
  const float d = stored_half(p);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>((p[2 + j] & 15) - 8);
    y[j + 16] = d * static_cast<float>((p[2 + j] >> 4) - 8);
  }
}

// [f16 d][u32: bit 4 of element j in bit j][16 bytes as Q4_0]
inline void decode_q5_0(float* y, const uint8_t* p) noexcept {
  const float d = stored_half(p);
  uint32_t high;
  std::memcpy(&high, p + 2, sizeof high);
  for (int j = 0; j < 16; ++j) {
    const int low_bit = static_cast<int>(high >> j & 1),
              high_bit = static_cast<int>(high >> (j + 16) & 1);
    y[j] = d * static_cast<float>(((p[6 + j] & 15) | low_bit << 4) - 16);
    y[j + 16] = d * static_cast<float>(((p[6 + j] >> 4) | high_bit << 4) - 16);
  }
}

// [f16 d][f16 dmin][12 bytes: eight 6-bit scales and minima][128 bytes: pairs of 32 halves]
inline void decode_q4_k(float* y, const uint8_t* p) noexcept {
  const float d = stored_half(p), dmin = stored_half(p + 2);
  const uint8_t* s = p + 4;
  for (int j = 0; j < 8; ++j) {
    const int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    const int minimum = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
    const float step = d * static_cast<float>(scale), offset = dmin * static_cast<float>(minimum);
    const uint8_t* q = p + 16 + 32 * (j / 2);
    const int shift = 4 * (j & 1);
    for (int i = 0; i < 32; ++i) {
      y[32 * j + i] = step * static_cast<float>(q[i] >> shift & 15) - offset;
    }
  }
}

// [128 bytes: low 4 bits][64 bytes: high 2 bits][i8 scale x 16][f16 d]
inline void decode_q6_k(float* y, const uint8_t* p) noexcept {
  const float d = stored_half(p + 208);
  for (int part = 0; part < 8; ++part) {  // 32 elements each, four to a half
    const int half = part / 4, k = part % 4;
    const uint8_t* low = p + 64 * half + 32 * (k & 1);
    const uint8_t* high = p + 128 + 32 * half;
    for (int sixteen = 0; sixteen < 2; ++sixteen) {
      const float step = d * static_cast<float>(static_cast<int8_t>(p[192 + 2 * part + sixteen]));
      for (int i = 16 * sixteen; i < 16 * sixteen + 16; ++i) {
        const int q = (low[i] >> (k & 2 ? 4 : 0) & 15) | (high[i] >> (2 * k) & 3) << 4;
        y[32 * part + i] = step * static_cast<float>(q - 32);
      }
    }
  }
}

// Elements and bytes of one block.
struct Block {
  int64_t elements, bytes;
};
inline Block block_of(DenseType type) noexcept {
  switch (type) {
    case DenseType::kF32:
      return {1, 4};
    case DenseType::kF16:
    case DenseType::kBF16:
      return {1, 2};
    case DenseType::kQ8_0:
      return {32, 34};
    case DenseType::kQ4_0:
      return {32, 18};
    case DenseType::kQ5_0:
      return {32, 22};
    case DenseType::kQ4_K:
      return {256, 144};
    case DenseType::kQ6_K:
      return {256, 210};
  }
  return {1, 0};
}

// Elements [first, first + n) of a row, both multiples of the type's block.
inline void decode(float* y, DenseType type, const uint8_t* row, int64_t first,
                   int64_t n) noexcept {
  const Block block = block_of(type);
  const uint8_t* p = row + first / block.elements * block.bytes;
  const auto each = [&](void (*decode_block)(float*, const uint8_t*) noexcept) {
    for (int64_t i = 0; i < n; i += block.elements, p += block.bytes) decode_block(y + i, p);
  };
  switch (type) {
    case DenseType::kF32:
      return decode_f32(y, p, n);
    case DenseType::kF16:
      return decode_f16(y, p, n);
    case DenseType::kBF16:
      return decode_bf16(y, p, n);
    case DenseType::kQ8_0:
      return each(decode_q8_0);
    case DenseType::kQ4_0:
      return each(decode_q4_0);
    case DenseType::kQ5_0:
      return each(decode_q5_0);
    case DenseType::kQ4_K:
      return each(decode_q4_k);
    case DenseType::kQ6_K:
      return each(decode_q6_k);
  }
}

}  // namespace
}  // namespace bitnet
