// screen_matmul and screen_rest (compute/ops.h), written once in terms of 16 lanes and of what a
// processor's file offers besides (x86/screen_*.h):
//   IntLanes            16 int32, one per row of a tile
//   to_lanes(sums)      converted, ties to even
//   block_sums<N>(sums, codes, x, token, block)
//                       sums[n] = sum_c (code - 16) * x[token + n][c] over the block whose two
//                       halves start at codes, exact
//   kScreenTokens       the most tokens block_sums can serve from its registers
//   rest_sums(codes, high, low)
//                       lane l: the sum of code * x over columns 4l..4l+3 of a block, from 16 bytes
//                       of a rest's codes and the bytes of x
//
// Internal linkage, and nothing from the C++ library: this is compiled for newer processors.
#pragma once

#include "compute/cpu/float_verbs.h"

namespace bitnet {
namespace {

// One tile with N tokens, one forward stream; rows of them are stored.
template <int N>
inline void screen_tile(float* y, int64_t y_stride, int64_t rows, const uint8_t* tile, int64_t cols,
                        const ScreenInput& x, int64_t token) noexcept {
  const uint8_t* codes = tile + screen_scale_bytes(cols);
  const int64_t blocks = padded_cols(cols) / kScreenBlock;
  Lanes acc[N];
  for (Lanes& a : acc) a = zero();
  for (int64_t block = 0; block < blocks; ++block) {
    // Two blocks' scales are one line; the codes' lines block_sums asks for.
    if (block % 2 == 0) prefetch_line(tile + 32 * block);
    IntLanes sums[N];
    block_sums<N>(sums, codes + 2 * kScreenHalfBytes * block, x, token, block);
    const Lanes scale = load_bfloat(tile + 32 * block);
    for (int n = 0; n < N; ++n) acc[n] = fused(to_lanes(sums[n]), scale, acc[n]);
  }
  for (int n = 0; n < N; ++n) {
    const Lanes scores = multiply(all(x.scale[token + n]), acc[n]);
    if (rows >= kTileRows) {
      store(y + n * y_stride, scores);
    } else {
      store_part(y + n * y_stride, scores, rows);
    }
  }
}

// n <= N tokens.
template <int N>
inline void screen_tile_any(int64_t n, float* y, int64_t y_stride, int64_t rows,
                            const uint8_t* tile, int64_t cols, const ScreenInput& x,
                            int64_t token) noexcept {
  if constexpr (N > 1) {
    if (n < N) return screen_tile_any<N - 1>(n, y, y_stride, rows, tile, cols, x, token);
  }
  screen_tile<N>(y, y_stride, rows, tile, cols, x, token);
}

// Tokens beyond kScreenTokens find the tile in the second-level cache.
void screen_matmul(float* y, int64_t y_stride, const ScreenMatrix& w, int64_t first_row,
                   int64_t last_row, const ScreenInput& x, int64_t tokens) noexcept {
  const int64_t parts = (tokens + kScreenTokens - 1) / kScreenTokens;  // of nearly equal size
  for (int64_t r = first_row; r < last_row; r += kTileRows) {
    const uint8_t* tile = w.tiles + r / kTileRows * screen_tile_bytes(w.cols);
    const int64_t rows = at_most(last_row - r, kTileRows);
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t t = tokens * part / parts, n = tokens * (part + 1) / parts - t;
      screen_tile_any<kScreenTokens>(n, y + t * y_stride + r, y_stride, rows, tile, w.cols, x, t);
    }
  }
}

void screen_rest(float* y, const ScreenRest& w, const int32_t* rows, int64_t count,
                 const ScreenInput& x, int64_t token) noexcept {
  const int64_t row_bytes = screen_rest_row_bytes(w.cols);
  const int64_t blocks = padded_cols(w.cols) / kScreenBlock;
  const int8_t* high = x.high + token * x.stride;
  const int8_t* low = x.low + token * x.stride;
  const float* fours = x.fours + token * x.stride / 4;
  constexpr int64_t kAhead = 6;  // rows
  for (int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count) {
      const uint8_t* next = w.rows + rows[i + kAhead] * row_bytes;
      for (int64_t b = 0; b < row_bytes; b += 64) __builtin_prefetch(next + b, 0, 3);
    }
    const uint8_t* row = w.rows + rows[i] * row_bytes;
    const uint8_t* steps = row + kScreenBlock / 4 * blocks;
    Lanes acc = zero();
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t c = kScreenBlock * block;
      // Integers below 2^24 in every step: nothing is rounded.
      const Lanes sums = to_lanes(rest_sums(row + c / 4, high + c, low + c));
      const Lanes exact = add(add(sums, sums), load(fours + c / 4));
      float step;
      decode_bf16(&step, steps + 2 * block, 1);
      acc = fused(exact, all(step), acc);
    }
    y[i] = x.scale[token] * fold(acc);
  }
}

}  // namespace
}  // namespace bitnet
