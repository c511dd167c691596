// The float verbs of every processor, written once in terms of 16 lanes.
//
// A processor's file includes its lanes (x86/lanes_*.h) and then this; so the canonical order of
// the numeric contract (compute/ops.h) is stated here once, and only the width differs. Lanes
// offers:
//   zero all(x) load(p) load_part(p, n)       n < 16 numbers, the rest +0; the same for half and
//   bfloat store store_part store_half store_int8    store_int8 rounds ties to even, NaN to 0 add
//   subtract multiply divide fused(a, b, c) negate magnitude larger(a, b) smaller(a, b) a > b ? a :
//   b and a < b ? a : b, so b if either is NaN zero_where_less(x, limit, a)               x < limit
//   ? +0 : a shifted_bits(a, bias)                      (bits of a + bias) << 23, as float
//   swap_pairs negate_even load_twice(p)       for interleaved pairs; load_twice: p0 p0 p1 p1 ...
//   p7 p7 fold(a) fold4(sums, a, b, c, d)            lanes folded 8-4-2-1
//   largest(a)                                 of 16 numbers, none NaN; of two zeros either
//
// Internal linkage throughout, and nothing from the C++ library: this is compiled for newer
// processors.
#pragma once

#include <cstdint>
#include <cstring>

#include "compute/dense_blocks.h"
#include "compute/ops.h"
#include "compute/pairwise_sum.h"
#include "compute/reference/math.h"
#include "compute/ternary_unpack.h"

namespace bitnet {
namespace {

constexpr int64_t kBlock = 256;

inline int64_t at_most(int64_t n, int64_t limit) noexcept {
  return n < limit ? n : limit;
}

// Asks for the cache line at `stream` of a forward stream ahead of time: into the second-level
// cache 16 KB ahead (the processor's own prefetchers stop at each 4 KB page), into the first 4 KB
// ahead. Measured on Sapphire Rapids, ternary weights from memory: none 9.4, one level 14.1,
// both 16.5 GB/s, where a plain read has 17.5. Hints only: the addresses may lie behind the end.
inline void prefetch_line(const uint8_t* stream) noexcept {
  const uintptr_t address = reinterpret_cast<uintptr_t>(stream);
  __builtin_prefetch(reinterpret_cast<const void*>(address + 16384), 0, 2);
  __builtin_prefetch(reinterpret_cast<const void*>(address + 4096), 0, 3);
}

// The same for any distance, into the second level only.
inline void prefetch_far(const uint8_t* p, int64_t ahead) noexcept {
  const uintptr_t address = reinterpret_cast<uintptr_t>(p) + static_cast<uintptr_t>(ahead);
  __builtin_prefetch(reinterpret_cast<const void*>(address), 0, 2);
}
// And into the first.
inline void prefetch_near(const uint8_t* p, int64_t ahead) noexcept {
  const uintptr_t address = reinterpret_cast<uintptr_t>(p) + static_cast<uintptr_t>(ahead);
  __builtin_prefetch(reinterpret_cast<const void*>(address), 0, 3);
}

// exp of the contract, step by step contract_exp() of compute/reference/math.h.
inline Lanes exp(Lanes exponent) noexcept {
  const Lanes x = smaller(all(89.0f), exponent);
  const Lanes shifted = fused(x, all(kExpLog2E), all(kExpRounder));
  const Lanes n = subtract(shifted, all(kExpRounder));
  Lanes r = fused(n, all(kExpMinusLn2High), x);
  r = fused(n, all(kExpMinusLn2Low), r);
  Lanes c = fused(all(kExpC4), r, all(kExpC3));
  c = fused(c, r, all(kExpC2));
  c = fused(c, r, all(kExpC1));
  c = fused(c, r, all(kExpC0));
  const Lanes e = add(fused(c, multiply(r, r), r), all(1.0f));
  const Lanes y = multiply(add(e, e), shifted_bits(shifted, 126));
  return zero_where_less(exponent, all(kExpLowest), y);
}
inline float exp(float x) noexcept {
  float y[16];
  store(y, exp(all(x)));
  return y[0];
}

// Stored rows: 16 numbers from element i on, as floats.
struct FloatRow {
  static constexpr int64_t kBytes = 4;
  const uint8_t* data;
  Lanes at(int64_t i) const noexcept { return load(reinterpret_cast<const float*>(data + 4 * i)); }
  Lanes part(int64_t i, int64_t n) const noexcept {
    return load_part(reinterpret_cast<const float*>(data + 4 * i), n);
  }
};
struct HalfRow {
  static constexpr int64_t kBytes = 2;
  const uint8_t* data;
  Lanes at(int64_t i) const noexcept { return load_half(data + 2 * i); }
  Lanes part(int64_t i, int64_t n) const noexcept { return load_half_part(data + 2 * i, n); }
};
struct BfloatRow {
  static constexpr int64_t kBytes = 2;
  const uint8_t* data;
  Lanes at(int64_t i) const noexcept { return load_bfloat(data + 2 * i); }
  Lanes part(int64_t i, int64_t n) const noexcept { return load_bfloat_part(data + 2 * i, n); }
};

template <int N>
inline void fold_all(float* sums, const Lanes* lanes) noexcept {
  int i = 0;
  for (; i + 4 <= N; i += 4) fold4(sums + i, lanes[i], lanes[i + 1], lanes[i + 2], lanes[i + 3]);
  for (; i < N; ++i) sums[i] = fold(lanes[i]);
}

// Pushes the block results of elements [first, n) of R rows with N vectors x + t*x_stride; row r
// with vector t to sums[r*N + t]. A row's numbers are converted once for N vectors, a vector's
// loaded once for R rows. While a block is read, the next R rows' is asked for: `ahead` bytes
// further, 0 for none.
template <int R, int N, class Row>
inline void push_tile(PairwiseSum* sums, const Row* rows, const float* x, int64_t x_stride,
                      int64_t first, int64_t n, int64_t ahead) noexcept {
  for (int64_t i = first; i < n; i += kBlock) {
    const int64_t end = i + at_most(n - i, kBlock);
    Lanes lanes[R * N];
    for (Lanes& lane : lanes) lane = zero();
    int64_t j = i;
    for (; j + 16 <= end; j += 16) {
      Lanes w[R];
      for (int r = 0; r < R; ++r) {
        w[r] = rows[r].at(j);
        if (R > 1 && Row::kBytes > 0) prefetch_far(rows[r].data + Row::kBytes * j, ahead);
      }
      for (int t = 0; t < N; ++t) {
        const Lanes v = load(x + t * x_stride + j);
        for (int r = 0; r < R; ++r) lanes[r * N + t] = fused(w[r], v, lanes[r * N + t]);
      }
    }
    if (j < end) {
      for (int r = 0; r < R; ++r) {
        const Lanes w = rows[r].part(j, end - j);
        for (int t = 0; t < N; ++t) {
          const Lanes v = load_part(x + t * x_stride + j, end - j);
          lanes[r * N + t] = fused(w, v, lanes[r * N + t]);
        }
      }
    }
    float results[R * N];
    fold_all<R * N>(results, lanes);
    for (int k = 0; k < R * N; ++k) sums[k].push(results[k]);
  }
}

// One row with one vector: four blocks under way at once, or the chain of fused multiply-adds would
// wait for itself.
template <class Row>
inline void push_blocks(PairwiseSum& sum, const Row& row, const float* x, int64_t n) noexcept {
  int64_t i = 0;
  for (; i + 4 * kBlock <= n; i += 4 * kBlock) {
    Lanes a = zero(), b = zero(), c = zero(), d = zero();
    for (int64_t j = i; j < i + kBlock; j += 16) {
      // 64 elements a step: the 4 blocks together are one forward stream.
      const uint8_t* stream = row.data + Row::kBytes * (i + 4 * (j - i));
      for (int64_t line = 0; line < Row::kBytes; ++line) prefetch_line(stream + 64 * line);
      a = fused(row.at(j), load(x + j), a);
      b = fused(row.at(j + kBlock), load(x + j + kBlock), b);
      c = fused(row.at(j + 2 * kBlock), load(x + j + 2 * kBlock), c);
      d = fused(row.at(j + 3 * kBlock), load(x + j + 3 * kBlock), d);
    }
    float results[4];
    fold4(results, a, b, c, d);
    for (float result : results) sum.push(result);
  }
  push_tile<1, 1>(&sum, &row, x, 0, i, n, 0);
}

float dot(const float* a, const float* b, int64_t n) noexcept {
  PairwiseSum sum;
  push_blocks(sum, FloatRow{reinterpret_cast<const uint8_t*>(a)}, b, n);
  return sum.total();
}

// y[t*y_stride + r] = dot(rows[r], x + t*x_stride) for R rows and N vectors.
template <int R, int N, class Row>
inline void dots(float* y, int64_t y_stride, const Row* rows, const float* x, int64_t x_stride,
                 int64_t n) noexcept {
  PairwiseSum sums[R * N];
  if constexpr (R * N == 1) {
    push_blocks(sums[0], rows[0], x, n);
  } else {
    const int64_t ahead = R * (rows[R - 1].data - rows[0].data) / (R > 1 ? R - 1 : 1);
    push_tile<R, N>(sums, rows, x, x_stride, 0, n, ahead);
  }
  for (int t = 0; t < N; ++t) {
    for (int r = 0; r < R; ++r) y[t * y_stride + r] = sums[r * N + t].total();
  }
}

// The same for block types, unpacked to the stack piece by piece.
struct EncodedRow {
  const uint8_t* data;
  DenseType type;
};
struct UnpackedRow {
  static constexpr int64_t kBytes = 0;  // nothing to ask for ahead of time
  const Unpacked* codes;
  const uint8_t* data = nullptr;
  Lanes at(int64_t i) const noexcept {
    const Lanes scaled = multiply(all(codes->step[i / kCodesPerStep]), load_int8(codes->q + i));
    return subtract(scaled, all(codes->offset[i / kCodesPerStep]));
  }
  // Never called: blocks are of 32 or more.
  Lanes part(int64_t i, int64_t) const noexcept { return at(i); }
};
template <int R, int N>
inline void dots(float* y, int64_t y_stride, const EncodedRow* rows, const float* x,
                 int64_t x_stride, int64_t n) noexcept {
  PairwiseSum sums[R * N];
  Unpacked codes[R];
  UnpackedRow unpacked[R];
  for (int r = 0; r < R; ++r) unpacked[r].codes = codes + r;
  for (int64_t i = 0; i < n; i += kUnpacked) {
    const int64_t count = at_most(n - i, kUnpacked);
    for (int r = 0; r < R; ++r) unpack(codes[r], rows[r].type, rows[r].data, i, count);
    if constexpr (R * N == 1) {
      push_blocks(sums[0], unpacked[0], x + i, count);
    } else {
      push_tile<R, N>(sums, unpacked, x + i, x_stride, 0, count, 0);
    }
  }
  for (int t = 0; t < N; ++t) {
    for (int r = 0; r < R; ++r) y[t * y_stride + r] = sums[r * N + t].total();
  }
}

// R rows with any number of tokens.
template <int R, class Row>
inline void dots_of_tokens(float* y, int64_t y_stride, const Row* rows, const float* x,
                           int64_t x_stride, int64_t n, int64_t tokens) noexcept {
  int64_t t = 0;
  for (; t + kDenseTokens <= tokens; t += kDenseTokens) {
    dots<R, kDenseTokens>(y + t * y_stride, y_stride, rows, x + t * x_stride, x_stride, n);
  }
  y += t * y_stride;
  x += t * x_stride;
  static_assert(kDenseTokens == 4);
  if (tokens - t == 3) return dots<R, 3>(y, y_stride, rows, x, x_stride, n);
  if (tokens - t == 2) return dots<R, 2>(y, y_stride, rows, x, x_stride, n);
  if (tokens - t == 1) dots<R, 1>(y, y_stride, rows, x, x_stride, n);
}

// row_at(r) is row r. One token takes row by row, as one stream.
template <class RowAt>
inline void dense_rows(float* y, int64_t y_stride, const RowAt& row_at, int64_t first_row,
                       int64_t last_row, int64_t n, const float* x, int64_t x_stride,
                       int64_t tokens) noexcept {
  int64_t r = first_row;
  for (; tokens > 1 && r + kDenseRows <= last_row; r += kDenseRows) {
    decltype(row_at(r)) rows[kDenseRows];
    for (int i = 0; i < kDenseRows; ++i) rows[i] = row_at(r + i);
    dots_of_tokens<kDenseRows>(y + r, y_stride, rows, x, x_stride, n, tokens);
  }
  for (; r < last_row; ++r) {
    const auto row = row_at(r);
    dots_of_tokens<1>(y + r, y_stride, &row, x, x_stride, n, tokens);
  }
}

void dense_matmul(float* y, int64_t y_stride, const DenseMatrix& w, int64_t first_row,
                  int64_t last_row, const float* x, int64_t x_stride, int64_t tokens) noexcept {
  const auto run = [&](const auto& row_of) {
    const auto row_at = [&](int64_t r) { return row_of(w.data + r * w.row_bytes); };
    dense_rows(y, y_stride, row_at, first_row, last_row, w.cols, x, x_stride, tokens);
  };
  switch (w.type) {
    case DenseType::kF32:
      return run([](const uint8_t* data) { return FloatRow{data}; });
    case DenseType::kF16:
      return run([](const uint8_t* data) { return HalfRow{data}; });
    case DenseType::kBF16:
      return run([](const uint8_t* data) { return BfloatRow{data}; });
    default:
      return run([&](const uint8_t* data) { return EncodedRow{data, w.type}; });
  }
}

template <class Row>
inline void store_row(float* y, const Row& row, int64_t n) noexcept {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(y + i, row.at(i));
  if (i < n) store_part(y + i, row.part(i, n - i), n - i);
}

void dense_row(float* y, const DenseMatrix& w, int64_t row) noexcept {
  const uint8_t* data = w.data + row * w.row_bytes;
  switch (w.type) {
    case DenseType::kF32:
      std::memcpy(y, data, static_cast<size_t>(w.cols) * 4);
      return;
    case DenseType::kF16:
      return store_row(y, HalfRow{data}, w.cols);
    case DenseType::kBF16:
      return store_row(y, BfloatRow{data}, w.cols);
    default:
      break;
  }
  Unpacked codes;
  for (int64_t c = 0; c < w.cols; c += kUnpacked) {
    const int64_t n = at_most(w.cols - c, kUnpacked);
    unpack(codes, w.type, data, c, n);
    store_row(y + c, UnpackedRow{&codes}, n);
  }
}

void rmsnorm(float* y, const float* x, const float* gamma, int64_t n, float eps) noexcept {
  const float r = 1.0f / __builtin_sqrtf(dot(x, x, n) / static_cast<float>(n) + eps);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    store(y + i, multiply(multiply(load(x + i), all(r)), load(gamma + i)));
  }
  for (; i < n; ++i) y[i] = (x[i] * r) * gamma[i];
}

void quantize(int8_t* q, float* scale, int32_t* sum, const float* x, int64_t n) noexcept {
  Lanes maxima = zero();
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) maxima = larger(magnitude(load(x + i)), maxima);
  maxima = larger(magnitude(load_part(x + i, n - i)), maxima);
  const float maximum = largest(maxima);
  const float s = 127.0f / (maximum > 1e-5f ? maximum : 1e-5f);

  for (i = 0; i + 16 <= n; i += 16) store_int8(q + i, multiply(load(x + i), all(s)));
  int8_t last[16];
  store_int8(last, multiply(load_part(x + i, n - i), all(s)));
  std::memcpy(q + i, last, static_cast<size_t>(n - i));
  std::memset(q + n, 0, static_cast<size_t>(padded_cols(n) - n));

  int32_t total = 0;
  for (i = 0; i < n; ++i) total += q[i];
  *scale = s;
  *sum = total;
}

// Pairs (i, i + pairs) of one head.
inline void rotate_halves(float* x, int64_t pairs, const float* cosine,
                          const float* sine) noexcept {
  for (int64_t i = 0; i < pairs; i += 16) {
    const int64_t n = at_most(pairs - i, 16);
    float* first = x + i;
    float* second = x + pairs + i;
    const bool whole = n == 16;
    const Lanes a = whole ? load(first) : load_part(first, n);
    const Lanes b = whole ? load(second) : load_part(second, n);
    const Lanes c = whole ? load(cosine + i) : load_part(cosine + i, n);
    const Lanes s = whole ? load(sine + i) : load_part(sine + i, n);
    const Lanes rotated_a = fused(a, c, negate(multiply(b, s)));
    const Lanes rotated_b = fused(b, c, multiply(a, s));
    if (whole) {
      store(first, rotated_a);
      store(second, rotated_b);
    } else {
      store_part(first, rotated_a, n);
      store_part(second, rotated_b, n);
    }
  }
}

// Pairs (2i, 2i + 1) of one head.
inline void rotate_neighbours(float* x, int64_t pairs, const float* cosine,
                              const float* sine) noexcept {
  const auto rotated = [](Lanes ab, Lanes c, Lanes s) {
    return fused(ab, c, negate_even(multiply(swap_pairs(ab), s)));
  };
  int64_t i = 0;
  for (; i + 8 <= pairs; i += 8) {
    store(x + 2 * i, rotated(load(x + 2 * i), load_twice(cosine + i), load_twice(sine + i)));
  }
  const int64_t n = pairs - i;
  if (n == 0) return;
  float c[8] = {}, s[8] = {};
  std::memcpy(c, cosine + i, static_cast<size_t>(n) * 4);
  std::memcpy(s, sine + i, static_cast<size_t>(n) * 4);
  store_part(x + 2 * i, rotated(load_part(x + 2 * i, 2 * n), load_twice(c), load_twice(s)), 2 * n);
}

void rope(float* x, int64_t heads, int64_t head_dim, int64_t pairs, RopeStyle style,
          const float* cosine, const float* sine) noexcept {
  for (int64_t h = 0; h < heads; ++h) {
    if (style == RopeStyle::kNeox) {
      rotate_halves(x + h * head_dim, pairs, cosine, sine);
    } else {
      rotate_neighbours(x + h * head_dim, pairs, cosine, sine);
    }
  }
}

void to_half(uint16_t* y, const float* x, int64_t n) noexcept {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store_half(y + i, load(x + i));
  uint16_t last[16];
  store_half(last, load_part(x + i, n - i));
  std::memcpy(y + i, last, static_cast<size_t>(n - i) * 2);
}

// Numbers of a head: D, where the compiler shall know it (addresses of several queries are then one
// register and constants), or 0 for any.
template <int D>
struct HeadDim {
  explicit HeadDim(int64_t) noexcept {}
  constexpr operator int64_t() const noexcept { return D; }
};
template <>
struct HeadDim<0> {
  int64_t n;
  explicit HeadDim(int64_t of) noexcept : n(of) {}
  operator int64_t() const noexcept { return n; }
};

// Attention of N queries at once: their scores, then weights. More than 4 would load less for a
// product, but the products are what keeps the processor busy.
template <int N>
struct PageWeights {
  alignas(64) float p[N][kPagePositions];
};

// A register holds one number of 16 keys (key_place), so the 16 lanes of the contract's dot are 16
// registers a query, and folding them is plain addition. `keys`: where B such sixteens begin.
template <int B, int D>
struct Keys {
  const uint16_t* keys;
  HeadDim<D> head_dim;
  const uint16_t* meanwhile;  // as many numbers that are wanted afterwards

  Lanes at(int64_t element, int sixteen) const noexcept {
    return load_half(keys + 16 * (element + sixteen * head_dim));
  }
  // Lines of the next keys and of what is wanted afterwards, for two elements of these.
  void bring(int64_t pair) const noexcept;
};

// A page is two streams, keys and values, and the next page lies elsewhere: while keys are read,
// the values are asked for, while values are read, the next page's keys. Line by line in ascending
// order, as the processor's own prefetcher likes it (the two share what a core can have under way).
inline void bring_line(const uint16_t* stream, int64_t line) noexcept {
  prefetch_far(reinterpret_cast<const uint8_t*>(stream), 64 * line);
}

template <int B, int D>
inline void Keys<B, D>::bring(int64_t pair) const noexcept {
  const uint8_t* next = reinterpret_cast<const uint8_t*>(keys + 16 * B * head_dim);
#pragma GCC unroll 4
  for (int b = 0; b < B; ++b) {
    prefetch_near(next, 64 * (B * pair + b));
    bring_line(meanwhile, B * pair + b);
  }
}

// Of the lanes l = first + k * 16/S, k < S, folded into one, for elements [begin, end) of N
// queries; folded[b * N + n] with keys 16b and on. The lanes of a fold's node lie 16/S apart, so S
// of them fold among themselves.
template <int N, int S, int B, int D>
inline void fold_some_lanes(Lanes* folded, const Keys<B, D>& block, const float* q, int64_t begin,
                            int64_t end, int first) noexcept {
  Lanes lanes[S * B * N];
  for (Lanes& lane : lanes) lane = zero();
  // Of the lines to bring, each of the 16/S turns asks for its share.
  int64_t pair = (begin + (end - begin) / (16 / S) * first) / 2;
  const auto turn = [&](int64_t i) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int s = 0; s < S; ++s) {
      Lanes* sums = lanes + s * B * N;
      const int64_t at = i + 16 / S * s;
      if (at >= end) {  // +0 completes the last sixteen
        for (int k = 0; k < B * N; ++k) sums[k] = fused(zero(), zero(), sums[k]);
        continue;
      }
      if (s % 2 == 0 && (S > 1 || i % 32 < 16)) block.bring(pair++);
      Lanes keys[B];
#pragma GCC unroll 4
      for (int b = 0; b < B; ++b) keys[b] = block.at(at, b);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        const Lanes x = all(q[n * block.head_dim + at]);
#pragma GCC unroll 4
        for (int b = 0; b < B; ++b) sums[b * N + n] = fused(x, keys[b], sums[b * N + n]);
      }
    }
  };
  if constexpr (kScoreSixteens > 1 && D == 128) {
#pragma GCC unroll 8
    for (int64_t i = begin + first; i - first < end; i += 16) turn(i);
  } else {
    for (int64_t i = begin + first; i - first < end; i += 16) turn(i);
  }
  for (int half = S / 2; half > 0; half /= 2) {
    for (int k = 0; k < half * B * N; ++k) lanes[k] = add(lanes[k], lanes[half * B * N + k]);
  }
  for (int k = 0; k < B * N; ++k) folded[k] = lanes[k];
}

// Sums of so many kinds that fit the registers: a power of two of them each, at most so many.
constexpr int sums_of(int kinds, int most) noexcept {
  int sums = 1;
  while (2 * sums <= most && 2 * sums * kinds <= kAttendSums) sums *= 2;
  return sums;
}

// The block result (at most 256 elements) of N queries with B times 16 keys.
template <int N, int B, int D>
inline void dot_of_keys(Lanes* dots, const Keys<B, D>& block, const float* q, int64_t begin,
                        int64_t end) noexcept {
  constexpr int kDots = B * N, kAtOnce = sums_of(kDots, 16), kParts = 16 / kAtOnce;
  Lanes parts[kParts * kDots];
  for (int part = 0; part < kParts; ++part) {
    fold_some_lanes<N, kAtOnce>(parts + part * kDots, block, q, begin, end, part);
  }
  for (int half = kParts / 2; half > 0; half /= 2) {
    for (int k = 0; k < half * kDots; ++k) parts[k] = add(parts[k], parts[half * kDots + k]);
  }
  for (int k = 0; k < kDots; ++k) dots[k] = parts[k];
}

// Scores of N queries with B times 16 keys, the first of which is number j of the page.
template <int N, int B, int D>
inline void score_keys(PageWeights<N>& scores, int64_t j, const Keys<B, D>& block, const float* q,
                       float scale) noexcept {
  const int64_t head_dim = block.head_dim;
  Lanes dots[B * N];
  if (head_dim <= kBlock) {
    dot_of_keys<N>(dots, block, q, 0, head_dim);
  } else {
    PairwiseTree<Lanes> trees[B * N];
    for (int64_t i = 0; i < head_dim; i += kBlock) {
      dot_of_keys<N>(dots, block, q, i, i + at_most(head_dim - i, kBlock));
      for (int k = 0; k < B * N; ++k) trees[k].push(dots[k]);
    }
    for (int k = 0; k < B * N; ++k) dots[k] = trees[k].total();
  }
  for (int b = 0; b < B; ++b) {
    for (int n = 0; n < N; ++n) {
      store(scores.p[n] + j + 16 * b, multiply(dots[b * N + n], all(scale)));
    }
  }
}

template <int N, int D>
inline void score_page(PageWeights<N>& scores, const float* q, const uint16_t* k, const uint16_t* v,
                       HeadDim<D> head_dim, int64_t positions, float scale) noexcept {
  constexpr int B = kScoreSixteens;
  int64_t j = 0;
  for (; B > 1 && j + 16 * (B - 1) < positions; j += 16 * B) {
    const int64_t at = key_place(j, 0, head_dim);
    score_keys(scores, j, Keys<B, D>{k + at, head_dim, v + at}, q, scale);
  }
  for (; j < positions; j += 16) {
    const int64_t at = key_place(j, 0, head_dim);
    score_keys(scores, j, Keys<1, D>{k + at, head_dim, v + at}, q, scale);
  }
}

// Scores to weights, and what they sum up to. From `positions` to the next multiple of 16, where
// there were scores of keys nobody has written yet, the weights become the +0 that completes a dot.
template <int N>
inline void weigh_page(PageWeights<N>& weights, float* maximum, float* sum,
                       int64_t positions) noexcept {
  const int64_t padded = (positions + 15) / 16 * 16;
  for (int query = 0; query < N; ++query) {
    float* p = weights.p[query];
    for (int64_t j = positions; j < padded; ++j) p[j] = -__builtin_inff();
    Lanes maxima = all(-__builtin_inff());
    for (int64_t j = 0; j < padded; j += 16) maxima = larger(load(p + j), maxima);
    maximum[query] = largest(maxima) + 0.0f;
  }
  Lanes sums[N];
  for (int query = 0; query < N; ++query) {  // none of which waits for another's maximum
    float* p = weights.p[query];
    sums[query] = zero();
    for (int64_t j = 0; j < padded; j += 16) {
      const Lanes e = exp(subtract(load(p + j), all(maximum[query])));
      store(p + j, e);
      sums[query] = add(sums[query], e);
    }
  }
  fold_all<N>(sum, sums);
}

// Columns [first, first + 16*C) of the weighted values.
template <int N, int C, int D>
inline void value_columns(float* value, const PageWeights<N>& weights, const uint16_t* v,
                          const uint16_t* next, HeadDim<D> head_dim, int64_t positions,
                          int64_t first) noexcept {
  Lanes sums[N][C];
  for (auto& row : sums) {
    for (Lanes& sum : row) sum = zero();
  }
  for (int64_t j = 0; j < positions; ++j) {
    Lanes values[C];
    for (int c = 0; c < C; ++c) {
      const int64_t at = j * head_dim + first + 16 * c;
      values[c] = load_half(v + at);
      if (c % 2 == 0) {
        bring_line(next, first * kPagePositions / 32 + j * (C + 1) / 2 + c / 2);
      }
    }
    for (int query = 0; query < N; ++query) {
      const Lanes weight = all(weights.p[query][j]);
      for (int c = 0; c < C; ++c) sums[query][c] = fused(weight, values[c], sums[query][c]);
    }
  }
  for (int query = 0; query < N; ++query) {
    for (int c = 0; c < C; ++c) store(value + query * head_dim + first + 16 * c, sums[query][c]);
  }
}

// The last n < 16 columns.
template <int N>
inline void last_value_columns(float* value, const PageWeights<N>& weights, const uint16_t* v,
                               int64_t head_dim, int64_t positions, int64_t first) noexcept {
  const int64_t n = head_dim - first;
  for (int query = 0; query < N; ++query) {
    Lanes sum = zero();
    for (int64_t j = 0; j < positions; ++j) {
      const Lanes values = load_half_part(v + j * head_dim + first, n);
      sum = fused(all(weights.p[query][j]), values, sum);
    }
    store_part(value + query * head_dim + first, sum, n);
  }
}

template <int N, int D>
inline void value_page(float* value, const PageWeights<N>& weights, const uint16_t* v,
                       const uint16_t* next, HeadDim<D> head_dim, int64_t positions) noexcept {
  constexpr int kColumns = sums_of(N, 8);  // 8 are a head of 128
  int64_t i = 0;
  for (; i + 16 * kColumns <= head_dim; i += 16 * kColumns) {
    value_columns<N, kColumns>(value, weights, v, next, head_dim, positions, i);
  }
  for (; i + 16 <= head_dim; i += 16) {
    value_columns<N, 1>(value, weights, v, next, head_dim, positions, i);
  }
  if (i < head_dim) last_value_columns(value, weights, v, head_dim, positions, i);
}

struct PageOfHead {
  const uint16_t *k, *v, *next;
  int64_t head_dim, positions;
  float scale;
};

// As many groups of N queries as there are; how many queries that was.
template <int N, int D>
inline int64_t attend_groups(float* maximum, float* sum, float* value, const float* q,
                             const PageOfHead& page, int64_t queries) noexcept {
  const HeadDim<D> head_dim(page.head_dim);
  int64_t i = 0;
  for (; i + N <= queries; i += N) {
    PageWeights<N> weights;
    score_page(weights, q + i * head_dim, page.k, page.v, head_dim, page.positions, page.scale);
    weigh_page(weights, maximum + i, sum + i, page.positions);
    value_page(value + i * head_dim, weights, page.v, page.next, head_dim, page.positions);
  }
  return i;
}

template <int D>
inline void attend_queries(float* maximum, float* sum, float* value, const float* q,
                           const PageOfHead& page, int64_t queries) noexcept {
  int64_t i = 0;
  const auto groups = [&](auto attend_some) {
    i += attend_some(maximum + i, sum + i, value + i * page.head_dim, q + i * page.head_dim, page,
                     queries - i);
  };
  groups(attend_groups<4, D>);
  groups(attend_groups<2, D>);
  groups(attend_groups<1, D>);
}

void attend_page(float* maximum, float* sum, float* value, const float* q, const uint16_t* k,
                 const uint16_t* v, int64_t queries, int64_t head_dim, int64_t positions,
                 float scale, const uint16_t* next) noexcept {
  const PageOfHead page = {k, v, next ? next : v, head_dim, positions, scale};
  (head_dim == 128 ? attend_queries<128> : attend_queries<0>)(maximum, sum, value, q, page,
                                                              queries);
}

// f(i, n) handles elements [i, i + n), n = 16 but for the last.
template <class F>
inline void each_sixteen(int64_t n, const F& f) noexcept {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    f([](const float* p) { return load(p); }, i, [](float* p, Lanes a) { store(p, a); });
  const int64_t rest = n - i;
  if (rest == 0) return;
  f([=](const float* p) { return load_part(p, rest); }, i,
    [=](float* p, Lanes a) { store_part(p, a, rest); });
}

void attend_join(float* a_maximum, float* a_sum, float* a_value, const float* b_maximum,
                 const float* b_sum, const float* b_value, int64_t head_dim) noexcept {
  const float m = *a_maximum > *b_maximum ? *a_maximum : *b_maximum;
  const float x = exp(*a_maximum - m), y = exp(*b_maximum - m);
  *a_maximum = m;
  float joined[16];
  store(joined, fused(all(*a_sum), all(x), all(*b_sum * y)));
  *a_sum = joined[0];
  each_sixteen(head_dim, [=](auto get, int64_t i, auto put) {
    put(a_value + i, fused(get(a_value + i), all(x), multiply(get(b_value + i), all(y))));
  });
}

void attend_finish(float* y, const float* sum, const float* value, int64_t head_dim) noexcept {
  const Lanes divisor = all(*sum);
  each_sixteen(head_dim,
               [=](auto get, int64_t i, auto put) { put(y + i, divide(get(value + i), divisor)); });
}

void relu2_gate(float* u, const float* gate, const float* up, int64_t n) noexcept {
  each_sixteen(n, [=](auto get, int64_t i, auto put) {
    const Lanes g = larger(get(gate + i), zero());
    put(u + i, multiply(multiply(g, g), get(up + i)));
  });
}

void silu_gate(float* u, const float* gate, const float* up, int64_t n) noexcept {
  each_sixteen(n, [=](auto get, int64_t i, auto put) {
    const Lanes g = get(gate + i);
    const Lanes sigmoid_divisor = add(all(1.0f), exp(negate(g)));
    put(u + i, multiply(divide(g, sigmoid_divisor), get(up + i)));
  });
}

void add(float* x, const float* d, int64_t n) noexcept {
  each_sixteen(n, [=](auto get, int64_t i, auto put) { put(x + i, add(get(x + i), get(d + i))); });
}

void scale(float* x, float factor, int64_t n) noexcept {
  each_sixteen(
      n, [=](auto get, int64_t i, auto put) { put(x + i, multiply(get(x + i), all(factor))); });
}

// The end of a stream: sum of little-endian words, the last one completed with zero bytes.
inline uint64_t sum_words(const uint8_t* data, int64_t bytes) noexcept {
  uint64_t sum = 0;
  for (int64_t i = 0; i < bytes; i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, data + i, static_cast<size_t>(at_most(bytes - i, 8)));
    sum += word;
  }
  return sum;
}

// These each processor's file defines for itself.
void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens,
                    uint8_t* scratch) noexcept;
void screen_matmul(float* y, int64_t y_stride, const ScreenMatrix& w, int64_t first_row,
                   int64_t last_row, const ScreenInput& x, int64_t tokens) noexcept;
void screen_rest(float* y, const ScreenRest& w, const int32_t* rows, int64_t count,
                 const ScreenInput& x, int64_t token) noexcept;
uint64_t read_stream(const uint8_t* data, int64_t bytes, Reading reading) noexcept;
uint64_t int8_multiply_adds(uint64_t count) noexcept;

constexpr Ops table(const char* name) noexcept {
  return {
      .name = name,
      .rmsnorm = rmsnorm,
      .quantize = quantize,
      .ternary_matmul = ternary_matmul,
      .dense_matmul = dense_matmul,
      .screen_matmul = screen_matmul,
      .screen_rest = screen_rest,
      .dense_row = dense_row,
      .rope = rope,
      .to_half = to_half,
      .attend_page = attend_page,
      .attend_join = attend_join,
      .attend_finish = attend_finish,
      .relu2_gate = relu2_gate,
      .silu_gate = silu_gate,
      .add = add,
      .scale = scale,
      .read_stream = read_stream,
      .int8_multiply_adds = int8_multiply_adds,
  };
}

}  // namespace
}  // namespace bitnet
