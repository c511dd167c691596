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

inline void decode_f32(float* __restrict y, const uint8_t* __restrict p, int64_t n) noexcept {
  std::memcpy(y, p, static_cast<size_t>(n) * 4);
}
inline void decode_f16(float* __restrict y, const uint8_t* __restrict p, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) y[i] = stored_half(p + 2 * i);
}
inline void decode_bf16(float* __restrict y, const uint8_t* __restrict p, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = static_cast<uint32_t>(load_u16(p + 2 * i)) << 16;
    std::memcpy(y + i, &bits, sizeof bits);
  }
}

// Block types come apart into small integers, which differ by type, and their scaling, which does
// not: element i of a block is step[i/16] * q[i] - offset[i/16], each operation rounded by itself.
// Only Q4_K has offsets; taking +0 away changes nothing.
constexpr int64_t kCodesPerStep = 16;

// [f16 d][i8 q x 32]
inline void unpack_q8_0(int8_t* __restrict q, float* __restrict step,
                        const uint8_t* __restrict p) noexcept {
  std::memcpy(q, p + 2, 32);
  step[0] = step[1] = stored_half(p);
}

// Element j in the low half of byte j, element j + 16 in the high. Eight bytes at a time: gcc
// unrolls a loop of 16 before it could vectorize it.
inline void unpack_halves(uint8_t* __restrict q, const uint8_t* __restrict p) noexcept {
  constexpr uint64_t kLowHalves = 0x0f0f0f0f0f0f0f0fu;
  for (int j = 0; j < 16; j += 8) {
    uint64_t bytes;
    std::memcpy(&bytes, p + j, 8);
    const uint64_t low = bytes & kLowHalves, high = bytes >> 4 & kLowHalves;
    std::memcpy(q + j, &low, 8);
    std::memcpy(q + j + 16, &high, 8);
  }
}

// [f16 d][16 bytes of halves]
inline void unpack_q4_0(int8_t* __restrict q, float* __restrict step,
                        const uint8_t* __restrict p) noexcept {
  uint8_t codes[32];
  unpack_halves(codes, p + 2);
  for (int j = 0; j < 32; ++j) q[j] = static_cast<int8_t>(codes[j] - 8);
  step[0] = step[1] = stored_half(p);
}

// [f16 d][u32: bit 4 of element j in bit j][16 bytes of halves]
inline void unpack_q5_0(int8_t* __restrict q, float* __restrict step,
                        const uint8_t* __restrict p) noexcept {
  uint8_t codes[32], fifths[32];
  unpack_halves(codes, p + 6);
  for (int byte = 0; byte < 4; ++byte) {
    // Bit k to byte k: eight copies, bit k kept in copy k, any bit made the top one, moved to
    // bit 4.
    const uint64_t kept = p[2 + byte] * 0x0101010101010101u & 0x8040201008040201u;
    const uint64_t fifth = (kept + 0x7f7f7f7f7f7f7f7fu) >> 3 & 0x1010101010101010u;
    std::memcpy(fifths + 8 * byte, &fifth, 8);
  }
  for (int j = 0; j < 32; ++j) q[j] = static_cast<int8_t>((codes[j] | fifths[j]) - 16);
  step[0] = step[1] = stored_half(p);
}

// [f16 d][f16 dmin][12 bytes: eight 6-bit scales and minima][128 bytes: pairs of 32 halves]
inline void unpack_q4_k(int8_t* __restrict q, float* __restrict step, float* __restrict offset,
                        const uint8_t* __restrict p) noexcept {
  const float d = stored_half(p), dmin = stored_half(p + 2);
  const uint8_t* s = p + 4;
  for (int j = 0; j < 8; ++j) {
    const int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    const int minimum = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
    step[2 * j] = step[2 * j + 1] = d * static_cast<float>(scale);
    offset[2 * j] = offset[2 * j + 1] = dmin * static_cast<float>(minimum);
  }
  for (int pair = 0; pair < 4; ++pair) {
    const uint8_t* halves = p + 16 + 32 * pair;
    for (int i = 0; i < 32; ++i) {
      q[64 * pair + i] = static_cast<int8_t>(halves[i] & 15);
      q[64 * pair + 32 + i] = static_cast<int8_t>(halves[i] >> 4);
    }
  }
}

// [128 bytes: low 4 bits][64 bytes: high 2 bits][i8 scale x 16][f16 d]
inline void unpack_q6_k(int8_t* __restrict q, float* __restrict step,
                        const uint8_t* __restrict p) noexcept {
  const float d = stored_half(p + 208);
  for (int i = 0; i < 16; ++i) {
    step[i] = d * static_cast<float>(static_cast<int8_t>(p[192 + i]));
  }
  for (int half = 0; half < 2; ++half) {  // 128 elements, four 32s sharing their high bits' bytes
    const uint8_t* low = p + 64 * half;
    const uint8_t* high = p + 128 + 32 * half;
    int8_t* out = q + 128 * half;
    for (int i = 0; i < 32; ++i) {
      out[i] = static_cast<int8_t>(((low[i] & 15) | (high[i] & 3) << 4) - 32);
      out[i + 32] = static_cast<int8_t>(((low[i + 32] & 15) | (high[i] >> 2 & 3) << 4) - 32);
      out[i + 64] = static_cast<int8_t>(((low[i] >> 4) | (high[i] >> 4 & 3) << 4) - 32);
      out[i + 96] = static_cast<int8_t>(((low[i + 32] >> 4) | (high[i] >> 6) << 4) - 32);
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

// Some consecutive elements of a row of a block type, apart.
constexpr int64_t kUnpacked = 1024;
struct Unpacked {
  int8_t q[kUnpacked];
  float step[kUnpacked / kCodesPerStep];
  float offset[kUnpacked / kCodesPerStep];
};

// Elements [first, first + n) of a row, both multiples of the type's block, n <= kUnpacked.
inline void unpack(Unpacked& u, DenseType type, const uint8_t* row, int64_t first,
                   int64_t n) noexcept {
  const Block block = block_of(type);
  const uint8_t* p = row + first / block.elements * block.bytes;
  const auto each = [&](const auto& unpack_block) {
    for (int64_t i = 0; i < n; i += block.elements, p += block.bytes) {
      unpack_block(u.q + i, u.step + i / kCodesPerStep, u.offset + i / kCodesPerStep);
    }
  };
  if (type != DenseType::kQ4_K) {
    for (float& offset : u.offset) offset = 0.0f;
  }
  switch (type) {
    case DenseType::kQ8_0:
      return each([&](int8_t* q, float* step, float*) { unpack_q8_0(q, step, p); });
    case DenseType::kQ4_0:
      return each([&](int8_t* q, float* step, float*) { unpack_q4_0(q, step, p); });
    case DenseType::kQ5_0:
      return each([&](int8_t* q, float* step, float*) { unpack_q5_0(q, step, p); });
    case DenseType::kQ4_K:
      return each([&](int8_t* q, float* step, float* offset) { unpack_q4_k(q, step, offset, p); });
    case DenseType::kQ6_K:
      return each([&](int8_t* q, float* step, float*) { unpack_q6_k(q, step, p); });
    default:
      return;  // no block type
  }
}

}  // namespace
}  // namespace bitnet
