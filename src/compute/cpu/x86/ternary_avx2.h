// The ternary product with 256-bit registers: shared by the tables that have those and compiled for
// each, with VNNI for the newer one. A tile is two halves of 8 rows.
//
// One or two tokens multiply codes where they lie in their bytes; more bring a tile to one byte a
// weight first (the panel), at the latest with the first tokens of many.
#pragma once

#include <immintrin.h>

#include "compute/cpu/float_verbs.h"
#include "compute/cpu/x86/base3_avx2.h"

// Sums must stay in registers: one function that takes them by reference and is not inlined has
// them all written to memory in every turn of a loop.
#define ALWAYS_INLINE inline __attribute__((always_inline))

namespace bitnet {
namespace {

inline __m256i broadcast_four(const int8_t* q) noexcept {
  int32_t four;
  std::memcpy(&four, q, sizeof four);
  return _mm256_set1_epi32(four);
}
inline __m256i load_half_group(const uint8_t* half) noexcept {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(half));
}

inline void store_eight(float* y, int64_t rows, __m256i codes_sum, int32_t q_sum,
                        float factor) noexcept {
  const __m256i sum = _mm256_sub_epi32(codes_sum, _mm256_set1_epi32(q_sum));
  const __m256 result = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(factor));
  if (rows >= 8) return _mm256_storeu_ps(y, result);
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i inside = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(rows)), lane);
  _mm256_maskstore_ps(y, inside, result);
}

// ---- Other packings to two bits -----------------------------------------------------------------

// 8 rows x 8 words of four bytes, transposed, twice.
inline void gather_block(uint8_t* groups, const FileTile& rows, int64_t offset) noexcept {
  for (int half = 0; half < 2; ++half, groups += 32) {
    const auto row = [&](int r) {
      const uint8_t* words = rows.row[8 * half + r] + offset;
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words));
    };
    // Words 0..3 of rows r and r + 4 side by side, then words 4..7.
    __m256i a[4], b[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      const __m256i upper = row(r), lower = row(r + 4);
      a[r] = _mm256_permute2x128_si256(upper, lower, 0x20);
      b[r] = _mm256_permute2x128_si256(upper, lower, 0x31);
    }
    const auto transpose = [](uint8_t* to, const __m256i(&v)[4]) {
      const __m256i v01l = _mm256_unpacklo_epi32(v[0], v[1]);
      const __m256i v01h = _mm256_unpackhi_epi32(v[0], v[1]);
      const __m256i v23l = _mm256_unpacklo_epi32(v[2], v[3]);
      const __m256i v23h = _mm256_unpackhi_epi32(v[2], v[3]);
      const auto put = [&](int group, __m256i words) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(to + kGroupBytes * group), words);
      };
      put(0, _mm256_unpacklo_epi64(v01l, v23l));
      put(1, _mm256_unpackhi_epi64(v01l, v23l));
      put(2, _mm256_unpacklo_epi64(v01h, v23h));
      put(3, _mm256_unpackhi_epi64(v01h, v23h));
    };
    transpose(groups, a);
    transpose(groups + 4 * kGroupBytes, b);
  }
}

// A tile in two bits. Where it was brought to two bits, `stream` is where it came from: the lines
// behind that are the ones to ask for.
struct Tile {
  const uint8_t *groups, *stream;
  int64_t count;  // of groups
  int64_t rows;
};

// ---- Products -----------------------------------------------------------------------------------

#ifdef __AVXVNNI__

// int32 sums of a half's 8 rows: no bound in sight.
static_assert(kMaxTernaryCols * 2 * 128 <= INT32_MAX);
constexpr int64_t kGroupsPerWiden = kMaxTernaryCols / kGroupCols;

inline __m256i multiply_add(__m256i sums, __m256i codes, __m256i four) noexcept {
  sums = _mm256_dpbusd_avx_epi32(sums, codes, four);
  asm("" : "+x"(sums));  // keeps the order: gcc would load far ahead, into registers it lacks
  return sums;
}
inline __m256i widened(__m256i sums) noexcept {
  return sums;
}

#else

// vpmaddubsw adds two products of a code (0..2) and an activation (-128..127) in int16: -512..508.
// So an int16 lane holds 64 of them, -32768..32512, and no more (performance.md C2: the bound that
// peers break): 16 groups, a group being 4 pairs of a lane. Then they are widened to int32.
constexpr int64_t kGroupsPerWiden = 16;
static_assert(kGroupsPerWiden * 4 * 2 * 2 * 128 <= 32768);
static_assert(kGroupsPerWiden * 4 * 2 * 2 * 127 <= 32767);

inline __m256i multiply_add(__m256i sums, __m256i codes, __m256i four) noexcept {
  sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(codes, four));
  asm("" : "+x"(sums));  // or gcc multiplies first and adds last, and has no registers for that
  return sums;
}
inline __m256i widened(__m256i sums) noexcept {
  return _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
}

#endif

// Sums of a tile's two halves with N tokens. A chain of named members and not an array: gcc keeps
// these in registers, an array's elements it also writes back in every turn of the loop.
template <int N>
struct HalfSums {
  __m256i upper = _mm256_setzero_si256(), lower = _mm256_setzero_si256();
  HalfSums<N - 1> others;

  // Codes of 4 columns of both halves; q: tokens `stride` apart.
  ALWAYS_INLINE void add(__m256i upper_codes, __m256i lower_codes, const int8_t* q,
                         int64_t stride) noexcept {
    const __m256i four = broadcast_four(q);
    upper = multiply_add(upper, upper_codes, four);
    lower = multiply_add(lower, lower_codes, four);
    others.add(upper_codes, lower_codes, q + stride, stride);
  }
  // Adds the widened sums to totals [N][2].
  ALWAYS_INLINE void add_to(__m256i* totals) const noexcept {
    totals[0] = _mm256_add_epi32(totals[0], widened(upper));
    totals[1] = _mm256_add_epi32(totals[1], widened(lower));
    others.add_to(totals + 2);
  }
};
template <>
struct HalfSums<0> {
  void add(__m256i, __m256i, const int8_t*, int64_t) noexcept {}
  void add_to(__m256i*) const noexcept {}
};

// With few tokens planes take turns between two sets of sums, or vpdpbusd would wait for its last.
#ifdef __AVXVNNI__
constexpr int kMostTokensInTurns = 3;
#else
constexpr int kMostTokensInTurns = 0;
#endif

template <int N>
ALWAYS_INLINE HalfSums<N>& sums_of_odd_planes(HalfSums<N>&, HalfSums<N>& odd) noexcept {
  return odd;
}
template <int N>
ALWAYS_INLINE HalfSums<N>& sums_of_odd_planes(HalfSums<N>& all, HalfSums<0>&) noexcept {
  return all;
}

// Where the codes of a part's tokens come from: the tile alone, the tile filling the panel on the
// way, or the panel.
enum class Source { kTile, kTileToPanel, kPanel };
constexpr int64_t kPanelStep = kGroupBytes;  // 4 columns of 16 rows, a byte each

template <int P, Source kSource, int N>
ALWAYS_INLINE void add_plane(HalfSums<N>& sums, __m256i upper, __m256i lower, uint8_t* panel,
                             const int8_t* q, int64_t stride) noexcept {
  uint8_t* step = panel + kPanelStep * P;
  if constexpr (kSource == Source::kPanel) {
    upper = load_half_group(step);
    lower = load_half_group(step + 32);
  } else {
    const __m256i mask = _mm256_set1_epi8(0x03);
    upper = _mm256_and_si256(_mm256_srli_epi16(upper, 2 * P), mask);
    lower = _mm256_and_si256(_mm256_srli_epi16(lower, 2 * P), mask);
  }
  if constexpr (kSource == Source::kTileToPanel) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(step), upper);
    _mm256_store_si256(reinterpret_cast<__m256i*>(step + 32), lower);
  }
  sums.add(upper, lower, q + 4 * P, stride);
}

// One tile with N tokens.
template <int N, Source kSource>
void tile_part(float* y, int64_t y_stride, const Tile& tile, uint8_t* panel, float scale,
               const QuantizedRows& x, int64_t token) noexcept {
  constexpr bool kTurns = N <= kMostTokensInTurns;
  const int64_t stride = x.stride;
  const int8_t* q = x.q + token * stride;
  __m256i totals[2 * N];
  for (__m256i& total : totals) total = _mm256_setzero_si256();
  for (int64_t first = 0; first < tile.count; first += kGroupsPerWiden) {
    const int64_t last = at_most(first + kGroupsPerWiden, tile.count);
    HalfSums<N> sums;
    HalfSums<kTurns ? N : 0> odd_planes;
    auto& other = sums_of_odd_planes(sums, odd_planes);
    for (int64_t g = first; g < last; ++g) {
      __m256i upper = _mm256_setzero_si256(), lower = upper;
      if constexpr (kSource != Source::kPanel) {
        prefetch_line(tile.stream + kGroupBytes * g);
        upper = load_half_group(tile.groups + kGroupBytes * g);
        lower = load_half_group(tile.groups + kGroupBytes * g + 32);
      }
      add_plane<0, kSource>(sums, upper, lower, panel, q, stride);
      add_plane<1, kSource>(other, upper, lower, panel, q, stride);
      add_plane<2, kSource>(sums, upper, lower, panel, q, stride);
      add_plane<3, kSource>(other, upper, lower, panel, q, stride);
      panel += 4 * kPanelStep;
      q += kGroupCols;
    }
    sums.add_to(totals);
    odd_planes.add_to(totals);
  }
  for (int t = 0; t < N; ++t) {
    const float factor = scale / x.scale[token + t];
    store_eight(y + t * y_stride, tile.rows, totals[2 * t], x.sum[token + t], factor);
    store_eight(y + t * y_stride + 8, tile.rows - 8, totals[2 * t + 1], x.sum[token + t], factor);
  }
}

// 6 tokens x 2 halves are 12 of the 16 registers; two of codes, one of activations and one product
// are the others.
constexpr int64_t kPartTokens = 6;

// Tokens of the next part when `left` are left. Four have sums too few to keep vpdpbusd busy and
// too many to take turns: rather five and five than six and four.
inline int64_t part_size(int64_t left) noexcept {
  if (left <= kPartTokens) return left;
  return left % kPartTokens == 4 ? kPartTokens - 1 : kPartTokens;
}

// The body for n <= N tokens.
template <int N, Source kSource>
inline void part_of(int64_t n, float* y, int64_t y_stride, const Tile& tile, uint8_t* panel,
                    float scale, const QuantizedRows& x, int64_t token) noexcept {
  if constexpr (N > 1) {
    if (n < N) return part_of<N - 1, kSource>(n, y, y_stride, tile, panel, scale, x, token);
  }
  tile_part<N, kSource>(y, y_stride, tile, panel, scale, x, token);
}

// ---- One token ----------------------------------------------------------------------------------

// Two planes of 8 rows with one token. The second stays where it lies in the byte: a quarter of a
// group's pairs, four times too large, which is the same bound.
struct EightRows {
  __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();

  ALWAYS_INLINE void add_two_planes(__m256i codes, __m256i low_q, __m256i high_q) noexcept {
    low = multiply_add(low, _mm256_and_si256(codes, _mm256_set1_epi8(0x03)), low_q);
    high = multiply_add(high, _mm256_and_si256(codes, _mm256_set1_epi8(0x0c)), high_q);
  }
  ALWAYS_INLINE __m256i widened_sum() const noexcept {
    return _mm256_add_epi32(widened(low), _mm256_srai_epi32(widened(high), 2));
  }
};

// A half; two sets of sums, or vpdpbusd would wait for its last.
struct OneTokenHalf {
  EightRows planes01, planes23;
  __m256i total = _mm256_setzero_si256();

  ALWAYS_INLINE void add_group(__m256i codes, const __m256i (&q)[4]) noexcept {
    planes01.add_two_planes(codes, q[0], q[1]);
    planes23.add_two_planes(_mm256_srli_epi16(codes, 4), q[2], q[3]);
  }
  ALWAYS_INLINE void widen() noexcept {
    total =
        _mm256_add_epi32(total, _mm256_add_epi32(planes01.widened_sum(), planes23.widened_sum()));
    planes01 = planes23 = EightRows();
  }
};

inline void tile_one(float* y, const Tile& tile, float scale, const QuantizedRows& x,
                     int64_t token) noexcept {
  const int8_t* q = x.q + token * x.stride;
  OneTokenHalf upper, lower;
  for (int64_t first = 0; first < tile.count; first += kGroupsPerWiden) {
    const int64_t last = at_most(first + kGroupsPerWiden, tile.count);
    for (int64_t g = first; g < last; ++g) {
      prefetch_line(tile.stream + kGroupBytes * g);
      const int8_t* columns = q + kGroupCols * g;
      const __m256i fours[4] = {broadcast_four(columns), broadcast_four(columns + 4),
                                broadcast_four(columns + 8), broadcast_four(columns + 12)};
      upper.add_group(load_half_group(tile.groups + kGroupBytes * g), fours);
      lower.add_group(load_half_group(tile.groups + kGroupBytes * g + 32), fours);
    }
    upper.widen();
    lower.widen();
  }
  const float factor = scale / x.scale[token];
  store_eight(y, tile.rows, upper.total, x.sum[token], factor);
  store_eight(y + 8, tile.rows - 8, lower.total, x.sum[token], factor);
}

// ---- All of them --------------------------------------------------------------------------------

void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens,
                    uint8_t* scratch) noexcept {
  uint8_t* panel = scratch + tile_bytes(Packing::kTwoBit, w.cols);
  for (int64_t r = first_row; r < last_row; r += kTileRows) {
    const Tile tile = {two_bit_tile(w, r / kTileRows, scratch, expand_set, gather_block),
                       tile_stream(w, r / kTileRows), padded_cols(w.cols) / kGroupCols,
                       at_most(last_row - r, kTileRows)};
    for (int64_t t = 0, n = 0; t < tokens; t += n) {
      n = part_size(tokens - t);
      float* out = y + t * y_stride + r;
      if (tokens == 1) {
        tile_one(out, tile, w.scale, x, t);
      } else if (n == tokens) {
        part_of<kPartTokens, Source::kTile>(n, out, y_stride, tile, panel, w.scale, x, t);
      } else if (t == 0) {
        part_of<kPartTokens, Source::kTileToPanel>(n, out, y_stride, tile, panel, w.scale, x, t);
      } else {
        part_of<kPartTokens, Source::kPanel>(n, out, y_stride, tile, panel, w.scale, x, t);
      }
    }
  }
}

}  // namespace
}  // namespace bitnet
