// What the ternary products of AArch64 share: the walk over tiles and tokens. A processor's file
// brings two bodies: one token straight from the packed tile (it waits for memory), and several
// from codes expanded to a byte each.
#pragma once

#include <arm_neon.h>

#include "compute/cpu/float_verbs.h"

namespace bitnet {
namespace {

// The 16 rows of a tile with one token.
struct TileSums {
  int32x4_t rows[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
};

inline void store_rows(float* y, int64_t rows, const TileSums& codes_sums, int32_t q_sum,
                       float factor) noexcept {
  float results[kTileRows];
  for (int i = 0; i < 4; ++i) {
    const int32x4_t sum = vsubq_s32(codes_sums.rows[i], vdupq_n_s32(q_sum));
    vst1q_f32(results + 4 * i, vmulq_n_f32(vcvtq_f32_s32(sum), factor));
  }
  std::memcpy(y, results, static_cast<size_t>(rows) * 4);
}

// 4 rows x 16 columns; plane p is columns 4p..4p+3, codes 0..2 in every byte.
struct Planes {
  int8x16_t p0, p1, p2, p3;

  explicit Planes(const uint8_t* bytes) noexcept {
    const uint8x16_t mask = vdupq_n_u8(3), codes = vld1q_u8(bytes);
    p0 = vreinterpretq_s8_u8(vandq_u8(codes, mask));
    p1 = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(codes, 2), mask));
    p2 = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(codes, 4), mask));
    p3 = vreinterpretq_s8_u8(vshrq_n_u8(codes, 6));
  }
};

// One group expanded: plane p of rows 4i..4i+3 at 64*p + 16*i.
constexpr int64_t kGroupCodes = 256;
inline void expand_planes(int8_t* codes, const uint8_t* group) noexcept {
  for (int i = 0; i < 4; ++i) {
    const Planes planes(group + 16 * i);
    vst1q_s8(codes + 16 * i, planes.p0);
    vst1q_s8(codes + 64 + 16 * i, planes.p1);
    vst1q_s8(codes + 128 + 16 * i, planes.p2);
    vst1q_s8(codes + 192 + 16 * i, planes.p3);
  }
}

// Up to four tokens; those that are missing repeat the last.
constexpr int64_t kQuad = 4;
struct Quad {
  const int8_t* q[kQuad];

  Quad(const QuantizedRows& x, int64_t token, int64_t tokens, int64_t column) noexcept {
    for (int64_t t = 0; t < kQuad; ++t) {
      q[t] = x.q + (token + (t < tokens ? t : tokens - 1)) * x.stride + column;
    }
  }
};

// One tile with n <= kManyTokens tokens, n >= 1. A piece of 256 columns is expanded once and serves
// them all: 4 KB of codes and 2 KB of sums stay in the first-level cache. Products offers
//   expand(codes, group)                     one group to kGroupCodes bytes
//   Sums                                     of a quad, zero at first; tile(t): those of token t
//   add(sums, codes, groups, quad, tokens)   the expanded groups with the first 1..4 of a quad
constexpr int64_t kPieceGroups = 16;
constexpr int64_t kManyTokens = 32;
template <class Products>
inline void tile_several(float* y, int64_t y_stride, int64_t rows, const uint8_t* tile,
                         int64_t groups, float scale, const QuantizedRows& x, int64_t token,
                         int64_t n) noexcept {
  alignas(64) int8_t codes[kPieceGroups * kGroupCodes];
  typename Products::Sums sums[kManyTokens / kQuad];
  for (int64_t first = 0; first < groups; first += kPieceGroups) {
    const int64_t count = at_most(groups - first, kPieceGroups);
    for (int64_t g = 0; g < count; ++g) {
      prefetch_line(tile + 64 * (first + g));
      Products::expand(codes + kGroupCodes * g, tile + 64 * (first + g));
    }
    for (int64_t t = 0; t < n; t += kQuad) {
      const Quad quad(x, token + t, n - t, 16 * first);
      Products::add(sums[t / kQuad], codes, count, quad, at_most(n - t, kQuad));
    }
  }
  for (int64_t t = 0; t < n; ++t) {
    store_rows(y + t * y_stride, rows, sums[t / kQuad].tile(t % kQuad), x.sum[token + t],
               scale / x.scale[token + t]);
  }
}

// tile_one(tile, groups, q): the sums of a tile's rows with one token.
template <class Products, class TileOne>
inline void ternary_tiles(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                          int64_t last_row, const QuantizedRows& x, int64_t tokens,
                          uint8_t* scratch, const TileOne& tile_one) noexcept {
  const int64_t groups = padded_cols(w.cols) / 16;
  const int64_t parts = (tokens + kManyTokens - 1) / kManyTokens;  // of nearly equal size
  for (int64_t r = first_row; r < last_row; r += kTileRows) {
    const uint8_t* tile = two_bit_tile(w, r / kTileRows, scratch);
    const int64_t rows = at_most(last_row - r, kTileRows);
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t t = tokens * part / parts, n = tokens * (part + 1) / parts - t;
      float* out = y + t * y_stride + r;
      if (n == 1) {
        store_rows(out, rows, tile_one(tile, groups, x.q + t * x.stride), x.sum[t],
                   w.scale / x.scale[t]);
      } else {
        tile_several<Products>(out, y_stride, rows, tile, groups, w.scale, x, t, n);
      }
    }
  }
}

}  // namespace
}  // namespace bitnet
