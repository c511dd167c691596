// screen_matmul and screen_rest (compute/ops.h), written once in terms of 16 lanes and of what a
// processor's file offers besides (x86/screen_*.h):
//   IntLanes            16 int32, one per row of a tile
//   to_lanes(sums)      converted, ties to even
//   block_sums<N, Codes>(sums, codes, x, token, block)
//                       sums[n] = sum_c (code - 16) * x[token + n][c] over the block whose two
//                       halves start at codes, exact
//   ScreenWords         a vector of 16-bit words
//   kScreenTokens       the most tokens block_sums can serve from its registers
//   pair_sums<N>(sums, codes, x, token, block)
//                       the same for the unpacked codes of two tiles, one behind the other
//   kPairScreenTokens   the most tokens pair_sums can serve; 0: there is none
//   rest_sums(codes, high, low)
//                       lane l: the sum of code * x over columns 4l..4l+3 of a block, from 16 bytes
//                       of a rest's codes and the bytes of x
//
// Internal linkage, and nothing from the C++ library: this is compiled for newer processors.
#pragma once

#include "compute/cpu/float_verbs.h"

namespace bitnet {
namespace {

inline void store_scores(float* y, Lanes acc, int64_t rows, float scale) noexcept {
  const Lanes scores = multiply(all(scale), acc);
  if (rows >= kTileRows) {
    store(y, scores);
  } else {
    store_part(y, scores, rows);
  }
}

// A block's lines, and at every second block those of two blocks' scales.
inline void prefetch_block(const uint8_t* tile, const uint8_t* codes, int64_t block) noexcept {
  if (block % 2 == 0) prefetch_line(tile + 32 * block);
#pragma GCC unroll 10
  for (int64_t b = 0; b < 2 * kScreenHalfBytes; b += 64) prefetch_line(codes + b);
}

// One tile with N tokens, one forward stream; rows of them are stored.
template <int N>
inline void screen_tile(float* y, int64_t y_stride, int64_t rows, const uint8_t* tile, int64_t cols,
                        const ScreenInput& x, int64_t token) noexcept {
  const uint8_t* codes = tile + screen_scale_bytes(cols);
  const int64_t blocks = padded_cols(cols) / kScreenBlock;
  Lanes acc[N];
  for (Lanes& a : acc) a = zero();
  for (int64_t block = 0; block < blocks; ++block) {
    prefetch_block(tile, codes, block);
    IntLanes sums[N];
    block_sums<N, PackedCodes>(sums, codes, x, token, block);
    const Lanes scale = load_bfloat(tile + 32 * block);
    for (int n = 0; n < N; ++n) acc[n] = fused(to_lanes(sums[n]), scale, acc[n]);
    codes += 2 * kScreenHalfBytes;
  }
  for (int n = 0; n < N; ++n) store_scores(y + n * y_stride, acc[n], rows, x.scale[token + n]);
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

// Many tokens, more than registers serve: every block is unpacked once for all of them.
constexpr int64_t kManyScreenTokens = 64;
struct ManySums {
  Lanes of[kManyScreenTokens];
};

// The sums of T tiles with N tokens go on by one unpacked block. A function each, that they stay in
// registers.
template <int T, int N>
__attribute__((noinline)) void add_block(ManySums* acc, const uint8_t* codes,
                                         const uint8_t* const* scales, const ScreenInput& x,
                                         int64_t first_token, int64_t token,
                                         int64_t block) noexcept {
  IntLanes sums[T][N];
  if constexpr (T == 1) {
    block_sums<N, ByteCodes>(sums[0], codes, x, first_token + token, block);
  } else {
    pair_sums(sums, codes, x, first_token + token, block);
  }
  for (int tile = 0; tile < T; ++tile) {
    const Lanes scale = load_bfloat(scales[tile] + 32 * block);
    for (int i = 0; i < N; ++i) {
      Lanes& a = acc[tile].of[token + i];
      a = fused(to_lanes(sums[tile][i]), scale, a);
    }
  }
}

// n <= N tokens.
template <int T, int N>
inline void add_block_any(int64_t n, ManySums* acc, const uint8_t* codes,
                          const uint8_t* const* scales, const ScreenInput& x, int64_t first_token,
                          int64_t token, int64_t block) noexcept {
  if constexpr (N > 1) {
    if (n < N) {
      return add_block_any<T, N - 1>(n, acc, codes, scales, x, first_token, token, block);
    }
  }
  add_block<T, N>(acc, codes, scales, x, first_token, token, block);
}

// T tiles with at most kManyScreenTokens tokens. Two tiles load the tokens for both.
template <int T>
inline void screen_tiles_many(float* y, int64_t y_stride, int64_t rows, const uint8_t* tiles,
                              int64_t cols, const ScreenInput& x, int64_t token,
                              int64_t tokens) noexcept {
  constexpr int kTokens = T == 1 ? kScreenTokens : kPairScreenTokens;
  const int64_t blocks = padded_cols(cols) / kScreenBlock;
  const int64_t parts = (tokens + kTokens - 1) / kTokens;  // of nearly equal size
  const uint8_t *scales[T], *codes[T];
  ManySums acc[T];
  for (int tile = 0; tile < T; ++tile) {
    scales[tile] = tiles + tile * screen_tile_bytes(cols);
    codes[tile] = scales[tile] + screen_scale_bytes(cols);
    for (int64_t n = 0; n < tokens; ++n) acc[tile].of[n] = zero();
  }
  for (int64_t block = 0; block < blocks; ++block) {
    alignas(64) uint8_t bytes[T * kUnpackedBytes];
    for (int tile = 0; tile < T; ++tile) {
      prefetch_block(scales[tile], codes[tile], block);
      unpack_block<ScreenWords>(bytes + kUnpackedBytes * tile, codes[tile]);
      codes[tile] += 2 * kScreenHalfBytes;
    }
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t t = tokens * part / parts, n = tokens * (part + 1) / parts - t;
      add_block_any<T, kTokens>(n, acc, bytes, scales, x, token, t, block);
    }
  }
  for (int tile = 0; tile < T; ++tile) {
    for (int64_t n = 0; n < tokens; ++n) {
      store_scores(y + n * y_stride + kTileRows * tile, acc[tile].of[n], rows - kTileRows * tile,
                   x.scale[token + n]);
    }
  }
}

void screen_matmul(float* y, int64_t y_stride, const ScreenMatrix& w, int64_t first_row,
                   int64_t last_row, const ScreenInput& x, int64_t tokens) noexcept {
  constexpr int kTilesOfMany = kPairScreenTokens > 0 ? 2 : 1;
  int64_t step = kTileRows;
  for (int64_t r = first_row; r < last_row && tokens > 0; r += step) {
    const uint8_t* tile = w.tiles + r / kTileRows * screen_tile_bytes(w.cols);
    const int64_t rows = last_row - r;
    if (tokens <= kScreenTokens) {
      screen_tile_any<kScreenTokens>(tokens, y + r, y_stride, rows, tile, w.cols, x, 0);
      continue;
    }
    const bool last_tile = rows <= kTileRows;
    for (int64_t t = 0; t < tokens; t += kManyScreenTokens) {
      (last_tile ? screen_tiles_many<1>
                 : screen_tiles_many<kTilesOfMany>)(y + t * y_stride + r, y_stride, rows, tile,
                                                    w.cols, x, t,
                                                    at_most(tokens - t, kManyScreenTokens));
    }
    step = kTilesOfMany * kTileRows;
  }
}

void screen_rest(float* y, const ScreenRest& w, const int32_t* rows, int64_t count,
                 const ScreenInput& x, int64_t token) noexcept {
  const int64_t row_bytes = screen_rest_row_bytes(w.cols);
  const int64_t blocks = padded_cols(w.cols) / kScreenBlock;
  const int8_t* high = x.high + token * x.stride;
  const int8_t* low = x.low + token * x.stride;
  const float* offsets = x.offsets + token * (x.stride / kScreenBlock);
  constexpr int64_t kAhead = 6;  // rows
  for (int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count) {
      const uint8_t* next = w.rows + rows[i + kAhead] * row_bytes;
      for (int64_t b = 0; b < row_bytes; b += 64) __builtin_prefetch(next + b, 0, 3);
    }
    const uint8_t* row = w.rows + rows[i] * row_bytes;
    const uint8_t* steps = row + kScreenBlock / 4 * blocks;
    Lanes acc = zero(), rest = zero();
    for (int64_t first = 0; first < blocks; first += 16) {
      const int64_t n = at_most(blocks - first, 16);
      const Lanes step =
          n == 16 ? load_bfloat(steps + 2 * first) : load_bfloat_part(steps + 2 * first, n);
      const Lanes offset = n == 16 ? load(offsets + first) : load_part(offsets + first, n);
      rest = fused(step, offset, rest);
      float each_step[16];
      store(each_step, step);
      for (int64_t block = 0; block < n; ++block) {
        const int64_t c = kScreenBlock * (first + block);
        const Lanes sums = to_lanes(rest_sums(row + c / 4, high + c, low + c));
        acc = fused(sums, all(each_step[block]), acc);
      }
    }
    y[i] = x.scale[token] * (2 * fold(acc) + fold(rest));
  }
}

}  // namespace
}  // namespace bitnet
