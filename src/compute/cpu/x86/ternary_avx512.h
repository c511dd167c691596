// The ternary product with AVX-512, and measuring the machine: shared by the tables that have it,
// compiled for each; the newer one has VBMI and GFNI.
//
// One token multiplies codes where they lie in their bytes. Several bring two tiles to one byte a
// weight, in registers; of many, the first leave that for the others (the panel, in the
// second-level cache), who have nothing but products left to do.
#pragma once

#include <immintrin.h>

#include "compute/cpu/float_verbs.h"
#ifndef __AVX512VBMI__
#include "compute/cpu/x86/base3_avx2.h"
#endif

// Sums must stay in registers: one function that takes them by reference and is not inlined has
// them all written to memory in every turn of a loop.
#define ALWAYS_INLINE inline __attribute__((always_inline))

namespace bitnet {
namespace {

inline __m512i broadcast_four(const int8_t* q) noexcept {
  int32_t four;
  std::memcpy(&four, q, sizeof four);
  return _mm512_set1_epi32(four);
}

inline void store_rows(float* y, __mmask16 rows, __m512i codes_sum, int32_t q_sum,
                       float factor) noexcept {
  const __m512i sum = _mm512_sub_epi32(codes_sum, _mm512_set1_epi32(q_sum));
  _mm512_mask_storeu_ps(y, rows, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(factor)));
}

// ---- Other packings to two bits -----------------------------------------------------------------

#ifdef __AVX512VBMI__

// Tables by the upper six bits of a byte of base 3 (ternary_unpack.h), and by its rest below 28.
struct Base3Tables {
  alignas(64) uint8_t below[64];        // what the two upper digits stand for
  alignas(64) uint8_t fourth[64];       // the fourth digit, in plane 3
  alignas(64) uint8_t fifth[4][64];     // the fifth digit, in plane k
  alignas(64) uint8_t first_three[64];  // three digits, in planes 0 to 2
  alignas(64) uint8_t digit[4][64];     // each of the first four by itself
};
constexpr Base3Tables make_base3_tables() noexcept {
  Base3Tables t{};
  for (int i = 0; i < 64; ++i) {
    const int fifth = 4 * i / kFifthStep, fourth = 4 * i % kFifthStep / kFourthStep;
    t.below[i] = static_cast<uint8_t>(kFifthStep * fifth + kFourthStep * fourth);
    t.fourth[i] = static_cast<uint8_t>(fourth << 6);
    for (int k = 0; k < 4; ++k) t.fifth[k][i] = static_cast<uint8_t>(fifth << 2 * k);
    t.first_three[i] = static_cast<uint8_t>(i % 3 | i / 3 % 3 << 2 | i / 9 % 3 << 4);
    const int digits[4] = {i % 3, i / 3 % 3, i / 9 % 3, fourth};
    for (int k = 0; k < 4; ++k) t.digit[k][i] = static_cast<uint8_t>(digits[k]);
  }
  return t;
}
constexpr Base3Tables kBase3Tables = make_base3_tables();

struct Base3Vector {
  __m512i bytes, upper;  // of `upper` only six bits of a byte are looked at

  ALWAYS_INLINE explicit Base3Vector(const uint8_t* from) noexcept
      : bytes(_mm512_load_si512(from)), upper(_mm512_srli_epi16(bytes, 2)) {}

  ALWAYS_INLINE __m512i looked_up(const uint8_t (&table)[64]) const noexcept {
    return looked_up(table, upper);
  }
  ALWAYS_INLINE static __m512i looked_up(const uint8_t (&table)[64], __m512i index) noexcept {
    return _mm512_permutexvar_epi8(index, _mm512_load_si512(table));
  }
  // Below 28, as the index of a table.
  ALWAYS_INLINE __m512i rest() const noexcept {
    return _mm512_sub_epi8(bytes, looked_up(kBase3Tables.below));
  }
};

// Four vectors of base 3 to five groups.
inline void expand_set(uint8_t* groups, const uint8_t* vectors) noexcept {
  __m512i fifth_group = _mm512_setzero_si512();
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const Base3Vector v(vectors + kGroupBytes * k);
    _mm512_store_si512(groups + kGroupBytes * k,
                       _mm512_or_si512(v.looked_up(kBase3Tables.first_three, v.rest()),
                                       v.looked_up(kBase3Tables.fourth)));
    fifth_group = _mm512_or_si512(fifth_group, v.looked_up(kBase3Tables.fifth[k]));
  }
  _mm512_store_si512(groups + kGroupBytes * 4, fifth_group);
}

#endif

// A block of 16 rows as 8 groups in registers: 16 x 8 words of four bytes, transposed.
struct EightGroups {
  __m512i group[8];

  ALWAYS_INLINE EightGroups(const FileTile& rows, int64_t offset) noexcept {
    const auto words_of = [&](int r) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows.row[r] + offset));
    };
    // Rows r, r + 4, r + 8, r + 12 end up in the four quarters of a register; their words 0..3 are
    // in a[r], 4..7 in b[r].
    __m512i a[4], b[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      const __m512i low =
          _mm512_inserti64x4(_mm512_castsi256_si512(words_of(r)), words_of(r + 4), 1);
      const __m512i high =
          _mm512_inserti64x4(_mm512_castsi256_si512(words_of(r + 8)), words_of(r + 12), 1);
      a[r] = _mm512_shuffle_i64x2(low, high, 0x88);
      b[r] = _mm512_shuffle_i64x2(low, high, 0xdd);
    }
    transpose(group, a);
    transpose(group + 4, b);
  }
  ALWAYS_INLINE static void transpose(__m512i* to, const __m512i (&v)[4]) noexcept {
    const __m512i v01l = _mm512_unpacklo_epi32(v[0], v[1]);
    const __m512i v01h = _mm512_unpackhi_epi32(v[0], v[1]);
    const __m512i v23l = _mm512_unpacklo_epi32(v[2], v[3]);
    const __m512i v23h = _mm512_unpackhi_epi32(v[2], v[3]);
    to[0] = _mm512_unpacklo_epi64(v01l, v23l);
    to[1] = _mm512_unpackhi_epi64(v01l, v23l);
    to[2] = _mm512_unpacklo_epi64(v01h, v23h);
    to[3] = _mm512_unpackhi_epi64(v01h, v23h);
  }
};

inline void gather_block(uint8_t* groups, const FileTile& rows, int64_t offset) noexcept {
  const EightGroups eight(rows, offset);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) _mm512_store_si512(groups + kGroupBytes * i, eight.group[i]);
}

// ---- Few tokens ---------------------------------------------------------------------------------

// int32 sums of 16 rows with N tokens. A chain of named members and not an array: gcc keeps these
// in registers, an array's elements it also writes back in every turn of the loop.
template <int N>
struct RowSums {
  __m512i first = _mm512_setzero_si512();
  RowSums<N - 1> others;

  // codes: 4 columns of 16 rows; q: the activations of those columns, tokens `stride` apart.
  ALWAYS_INLINE void add(__m512i codes, const int8_t* q, int64_t stride) noexcept {
    first = _mm512_dpbusd_epi32(first, codes, broadcast_four(q));
    others.add(codes, q + stride, stride);
  }
};
template <>
struct RowSums<0> {
  void add(__m512i, const int8_t*, int64_t) noexcept {}
};

// Deferred shift (performance.md C2): a plane's codes stay where they lie in the byte, 4^p too
// large, so that taking a plane out costs one AND; the sums are shifted once at the end, exactly,
// since all of a plane's products are multiples of 4^p. The top plane has a quarter of the columns,
// and its products are at most 128 * 128.
static_assert(kMaxTernaryCols / 4 * 128 * 128 <= INT32_MAX);
template <int N>
struct TileSums {
  RowSums<N> plane0, plane1, plane2, plane3;

  // 16 rows x 16 columns.
  ALWAYS_INLINE void add_group(__m512i codes, const int8_t* q, int64_t stride) noexcept {
    plane0.add(_mm512_and_si512(codes, _mm512_set1_epi8(0x03)), q, stride);
    plane1.add(_mm512_and_si512(codes, _mm512_set1_epi8(0x0c)), q + 4, stride);
    plane2.add(_mm512_and_si512(codes, _mm512_set1_epi8(0x30)), q + 8, stride);
    plane3.add(_mm512_and_si512(codes, _mm512_set1_epi8(-0x40)), q + 12, stride);
  }
};

inline __m512i joined_planes(__m512i p0, __m512i p1, __m512i p2, __m512i p3) noexcept {
  return _mm512_add_epi32(_mm512_add_epi32(p0, _mm512_srai_epi32(p1, 2)),
                          _mm512_add_epi32(_mm512_srai_epi32(p2, 4), _mm512_srai_epi32(p3, 6)));
}

// Rows of one tile for N tokens, from the sums of their planes.
template <int N>
ALWAYS_INLINE void store_tokens(float* y, int64_t y_stride, __mmask16 rows, const RowSums<N>& p0,
                                const RowSums<N>& p1, const RowSums<N>& p2, const RowSums<N>& p3,
                                float scale, const QuantizedRows& x, int64_t token) noexcept {
  if constexpr (N > 0) {
    store_rows(y, rows, joined_planes(p0.first, p1.first, p2.first, p3.first), x.sum[token],
               scale / x.scale[token]);
    store_tokens(y + y_stride, y_stride, rows, p0.others, p1.others, p2.others, p3.others, scale, x,
                 token + 1);
  }
}

// A tile in two bits. Where it was brought to two bits, `stream` is where it came from: the lines
// behind that are the ones to ask for.
struct Tile {
  const uint8_t *groups, *stream;
  int64_t count;  // of groups; a multiple of 4, as columns are padded to 64
  __mmask16 rows;
};

// Two tiles are read abreast, which loads activations for both: `offset` bytes of each are read,
// the next pair of tiles is asked for.
inline void prefetch_pair(const uint8_t* upper, const uint8_t* lower, int64_t offset) noexcept {
  const int64_t next_pair = 2 * (lower - upper);
  prefetch_far(upper + offset, next_pair);
  prefetch_far(lower + offset, next_pair);
  prefetch_near(upper + offset, 2048);
  prefetch_near(lower + offset, 2048);
}
// Reading::kSingles.
constexpr int64_t kSingleAhead = 16384;

inline void store_one(float* y, __mmask16 rows, const TileSums<1>& sums, float scale,
                      const QuantizedRows& x) noexcept {
  store_tokens(y, 0, rows, sums.plane0, sums.plane1, sums.plane2, sums.plane3, scale, x, 0);
}

inline void tiles_one(float* y, const Tile& upper, const Tile& lower, float scale,
                      const QuantizedRows& x) noexcept {
  TileSums<1> upper_sums, lower_sums;
  for (int64_t g = 0; g < upper.count; ++g) {
    prefetch_pair(upper.stream, lower.stream, kGroupBytes * g);
    upper_sums.add_group(_mm512_load_si512(upper.groups + kGroupBytes * g), x.q + kGroupCols * g,
                         0);
    lower_sums.add_group(_mm512_load_si512(lower.groups + kGroupBytes * g), x.q + kGroupCols * g,
                         0);
  }
  store_one(y, upper.rows, upper_sums, scale, x);
  store_one(y + kTileRows, lower.rows, lower_sums, scale, x);
}

inline void tile_one(float* y, const Tile& tile, float scale, const QuantizedRows& x) noexcept {
  TileSums<1> sums;
  for (int64_t g = 0; g < tile.count; ++g) {
    prefetch_far(tile.stream + kGroupBytes * g, kSingleAhead);
    sums.add_group(_mm512_load_si512(tile.groups + kGroupBytes * g), x.q + kGroupCols * g, 0);
  }
  store_one(y, tile.rows, sums, scale, x);
}

// One tile from the rows of a file. While it is read all over, the next is asked for line by line.
inline void tile_one_rows(float* y, const TernaryMatrix& w, int64_t t, __mmask16 rows,
                          const QuantizedRows& x) noexcept {
  const FileTile file(w, t);
  const int64_t next_tile = kTileRows * w.row_bytes;
  const uint8_t* stream = tile_stream(w, t);
  const int8_t* q = x.q;
  TileSums<1> sums;
  for (int64_t block = 0; block < w.cols / kFileBlockCols; ++block) {
    for (int64_t i = 0; i < 8; ++i) {
      prefetch_far(stream + 64 * (8 * block + i), next_tile + 8192);
      prefetch_near(stream + 64 * (8 * block + i), next_tile);
    }
    const EightGroups eight(file, file_block_offset(w, block));
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) sums.add_group(eight.group[i], q + kGroupCols * i, 0);
    q += kFileBlockCols;
  }
  store_one(y, rows, sums, w.scale, x);
}

#ifdef __AVX512VBMI__

// The digits of base 3, each looked up by itself: no masks, no shifts.
struct Base3Sums {
  RowSums<1> a, b, c, d, f;

  // q: the activations of the group whose place the vector has; q_fifth: those of its fifth digits.
  ALWAYS_INLINE void add_vector(const uint8_t* vector, const int8_t* q,
                                const int8_t* q_fifth) noexcept {
    const Base3Vector v(vector);
    const __m512i rest = v.rest();
    a.add(v.looked_up(kBase3Tables.digit[0], rest), q, 0);
    b.add(v.looked_up(kBase3Tables.digit[1], rest), q + 4, 0);
    c.add(v.looked_up(kBase3Tables.digit[2], rest), q + 8, 0);
    d.add(v.looked_up(kBase3Tables.digit[3]), q + 12, 0);
    f.add(v.looked_up(kBase3Tables.fifth[0]), q_fifth, 0);
  }
  // As sums in two bits, to which the groups that make no set of five are added.
  TileSums<1> in_two_bits() const noexcept {
    TileSums<1> sums;
    const __m512i ab = _mm512_add_epi32(a.first, b.first), cd = _mm512_add_epi32(c.first, d.first);
    sums.plane0.first = _mm512_add_epi32(_mm512_add_epi32(ab, cd), f.first);
    return sums;
  }
};

inline void tiles_one_base3(float* y, const TernaryMatrix& w, int64_t t, __mmask16 lower_rows,
                            const QuantizedRows& x) noexcept {
  const uint8_t *upper = tile_stream(w, t), *lower = tile_stream(w, t + 1);
  int64_t count = padded_cols(w.cols) / kGroupCols, at = 0;
  const int8_t* q = x.q;
  Base3Sums upper_digits, lower_digits;
  for (; count >= 5; count -= 5) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const int8_t *columns = q + kGroupCols * k, *fifth = q + kGroupCols * 4 + 4 * k;
      prefetch_pair(upper, lower, at);
      upper_digits.add_vector(upper + at, columns, fifth);
      lower_digits.add_vector(lower + at, columns, fifth);
      at += kGroupBytes;
    }
    q += 5 * kGroupCols;
  }
  TileSums<1> upper_sums = upper_digits.in_two_bits(), lower_sums = lower_digits.in_two_bits();
  for (; count > 0; --count) {
    prefetch_pair(upper, lower, at);
    upper_sums.add_group(_mm512_load_si512(upper + at), q, 0);
    lower_sums.add_group(_mm512_load_si512(lower + at), q, 0);
    at += kGroupBytes;
    q += kGroupCols;
  }
  store_one(y, first_lanes(kTileRows), upper_sums, w.scale, x);
  store_one(y + kTileRows, lower_rows, lower_sums, w.scale, x);
}

inline void tile_one_base3(float* y, const TernaryMatrix& w, int64_t t, __mmask16 rows,
                           const QuantizedRows& x) noexcept {
  const uint8_t* tile = tile_stream(w, t);
  int64_t count = padded_cols(w.cols) / kGroupCols;
  const int8_t* q = x.q;
  Base3Sums digits;
  for (; count >= 5; count -= 5) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      prefetch_far(tile, kSingleAhead);
      digits.add_vector(tile, q + kGroupCols * k, q + kGroupCols * 4 + 4 * k);
      tile += kGroupBytes;
    }
    q += 5 * kGroupCols;
  }
  TileSums<1> sums = digits.in_two_bits();
  for (; count > 0; --count) {
    prefetch_far(tile, kSingleAhead);
    sums.add_group(_mm512_load_si512(tile), q, 0);
    tile += kGroupBytes;
    q += kGroupCols;
  }
  store_one(y, rows, sums, w.scale, x);
}
#endif

// One tile with N tokens; every load and AND of the weights serves them all.
template <int N>
inline void tile_several(float* y, int64_t y_stride, const Tile& tile, float scale,
                         const QuantizedRows& x, int64_t token) noexcept {
  const int8_t* q = x.q + token * x.stride;
  const int64_t stride = x.stride;
  TileSums<N> sums;
  for (int64_t g = 0; g < tile.count; ++g) {
    prefetch_line(tile.stream + kGroupBytes * g);
    sums.add_group(_mm512_load_si512(tile.groups + kGroupBytes * g), q + kGroupCols * g, stride);
  }
  store_tokens(y, y_stride, tile.rows, sums.plane0, sums.plane1, sums.plane2, sums.plane3, scale, x,
               token);
}

// 6 tokens x 4 planes are 24 of the 32 registers.
constexpr int64_t kFewTokens = 6;

inline void few_tokens(float* y, int64_t y_stride, const Tile& tile, float scale,
                       const QuantizedRows& x, int64_t token, int64_t n) noexcept {
  switch (n) {
    case 2:
      return tile_several<2>(y, y_stride, tile, scale, x, token);
    case 3:
      return tile_several<3>(y, y_stride, tile, scale, x, token);
    case 4:
      return tile_several<4>(y, y_stride, tile, scale, x, token);
    case 5:
      return tile_several<5>(y, y_stride, tile, scale, x, token);
    default:
      return tile_several<6>(y, y_stride, tile, scale, x, token);
  }
}

// ---- Several tokens -----------------------------------------------------------------------------

// Plane P of a group as bytes 0, 1, 2.
template <int P>
inline __m512i plane(__m512i codes) noexcept {
  const __m512i mask = _mm512_set1_epi8(0x03);
  if constexpr (P == 0) return _mm512_and_si512(codes, mask);
#ifdef __GFNI__
  // The rows of a bit matrix, last one first: bit 0 of a byte is its bit 2P, bit 1 its bit 2P + 1.
  constexpr uint64_t kRows = uint64_t{1 << 2 * P} << 56 | uint64_t{2 << 2 * P} << 48;
  return _mm512_gf2p8affine_epi64_epi8(codes, _mm512_set1_epi64(static_cast<int64_t>(kRows)), 0);
#else
  return _mm512_and_si512(_mm512_srli_epi16(codes, 2 * P), mask);
#endif
}

// The activations of a part's tokens, as three addresses that are that many fours of tokens ahead:
// with small multiples of the stride they reach 12 tokens without arithmetic.
struct TokenColumns {
  const int8_t *q0, *q1, *q2;  // q0: the first N % 4 tokens, or 4
  int64_t stride;

  template <int N>
  static TokenColumns of(const QuantizedRows& x, int64_t token) noexcept {
    const int8_t* q0 = x.q + token * x.stride;
    const int8_t* q1 = q0 + (N > 4 ? (N - 1) % 4 + 1 : 0) * x.stride;
    return {q0, q1, q1 + (N > 8 ? 4 : 0) * x.stride, x.stride};
  }
  ALWAYS_INLINE TokenColumns at(int64_t column) const noexcept {
    return {q0 + column, q1 + column, q2 + column, stride};
  }
};

// Sums of 32 rows with N tokens, in members by name for the reason RowSums has.
static_assert(kMaxTernaryCols * 2 * 128 <= INT32_MAX);
template <int N>
struct PairSums {
  __m512i upper = _mm512_setzero_si512(), lower = _mm512_setzero_si512();
  PairSums<N - 1> others;

  // Codes of 4 columns of the upper and the lower tile.
  ALWAYS_INLINE void add(__m512i upper_codes, __m512i lower_codes, const TokenColumns& q) noexcept {
    const __m512i four = broadcast_four(q.q0);
    upper = _mm512_dpbusd_epi32(upper, upper_codes, four);
    lower = _mm512_dpbusd_epi32(lower, lower_codes, four);
    if constexpr (N % 4 == 1) {
      others.add(upper_codes, lower_codes, {q.q1, q.q2, q.q2, q.stride});
    } else {
      others.add(upper_codes, lower_codes, {q.q0 + q.stride, q.q1, q.q2, q.stride});
    }
  }
  ALWAYS_INLINE void add_sums(const PairSums& b) noexcept {
    upper = _mm512_add_epi32(upper, b.upper);
    lower = _mm512_add_epi32(lower, b.lower);
    others.add_sums(b.others);
  }
};
template <>
struct PairSums<0> {
  void add(__m512i, __m512i, const TokenColumns&) noexcept {}
  void add_sums(const PairSums&) noexcept {}
};

// A few tokens have too few sums to hide how long a product takes: theirs are kept twice, for
// products in turns.
template <int N, bool kTwice = (N <= 4)>
struct PartSums {
  PairSums<N> even, odd;

  template <int I>
  ALWAYS_INLINE void add(__m512i upper, __m512i lower, const TokenColumns& q) noexcept {
    (I % 2 == 0 ? even : odd).add(upper, lower, q);
  }
  ALWAYS_INLINE const PairSums<N>& total() noexcept {
    even.add_sums(odd);
    return even;
  }
};
template <int N>
struct PartSums<N, false> {
  PairSums<N> sums;

  template <int I>
  ALWAYS_INLINE void add(__m512i upper, __m512i lower, const TokenColumns& q) noexcept {
    sums.add(upper, lower, q);
  }
  ALWAYS_INLINE const PairSums<N>& total() noexcept { return sums; }
};

template <int N>
ALWAYS_INLINE void store_pair(float* y, int64_t y_stride, __mmask16 upper_rows,
                              __mmask16 lower_rows, const PairSums<N>& sums, float scale,
                              const QuantizedRows& x, int64_t token) noexcept {
  if constexpr (N > 0) {
    const float factor = scale / x.scale[token];
    store_rows(y, upper_rows, sums.upper, x.sum[token], factor);
    store_rows(y + kTileRows, lower_rows, sums.lower, x.sum[token], factor);
    store_pair(y + y_stride, y_stride, upper_rows, lower_rows, sums.others, scale, x, token + 1);
  }
}

// 12 tokens x 2 tiles are 24 of the 32 registers.
constexpr int kPairTokens = 12;

// Where the codes of a part's tokens come from: the tiles alone, the tiles filling the panel on the
// way, or the panel.
enum class Source { kTiles, kTilesToPanel, kPanel };

// The panel: of each 4 columns a step, a byte for each of 32 rows.
constexpr int64_t kPanelStep = 2 * kGroupBytes;

// Codes of the columns of step kStep, the I-th that are added; to the panel on the way if it is to
// be filled.
template <int I, int kStep, Source kSource, int N>
ALWAYS_INLINE void add_codes(PartSums<N>& sums, __m512i upper, __m512i lower, uint8_t* panel,
                             const TokenColumns& q) noexcept {
  if constexpr (kSource == Source::kTilesToPanel) {
    _mm512_store_si512(panel + kPanelStep * kStep, upper);
    _mm512_store_si512(panel + kPanelStep * kStep + kGroupBytes, lower);
  }
  sums.template add<I>(upper, lower, q.at(4 * kStep));
}

template <int kStep, int N>
ALWAYS_INLINE void add_step(PartSums<N>& sums, uint8_t* panel, const TokenColumns& q) noexcept {
  add_codes<kStep, kStep, Source::kPanel>(
      sums, _mm512_load_si512(panel + kPanelStep * kStep),
      _mm512_load_si512(panel + kPanelStep * kStep + kGroupBytes), panel, q);
}

// A group of two bits.
template <Source kSource, int N>
ALWAYS_INLINE void add_group(PartSums<N>& sums, const uint8_t* upper, const uint8_t* lower,
                             uint8_t* panel, const TokenColumns& q) noexcept {
  const __m512i u = _mm512_load_si512(upper), l = _mm512_load_si512(lower);
  add_codes<0, 0, kSource>(sums, plane<0>(u), plane<0>(l), panel, q);
  add_codes<1, 1, kSource>(sums, plane<1>(u), plane<1>(l), panel, q);
  add_codes<2, 2, kSource>(sums, plane<2>(u), plane<2>(l), panel, q);
  add_codes<3, 3, kSource>(sums, plane<3>(u), plane<3>(l), panel, q);
}

#ifdef __AVX512VBMI__

// Vector K of a set of base 3: the planes of group K, and plane K of the fifth group.
template <int K, Source kSource, int N>
ALWAYS_INLINE void add_vector(PartSums<N>& sums, const uint8_t* upper, const uint8_t* lower,
                              uint8_t* panel, const TokenColumns& q) noexcept {
  const Base3Vector u(upper + kGroupBytes * K), l(lower + kGroupBytes * K);
  const __m512i u_rest = u.rest(), l_rest = l.rest();
  const auto& digit = kBase3Tables.digit;
  const auto& fifth = kBase3Tables.fifth[0];
  add_codes<5 * K, 4 * K, kSource>(sums, u.looked_up(digit[0], u_rest),
                                   l.looked_up(digit[0], l_rest), panel, q);
  add_codes<5 * K + 1, 4 * K + 1, kSource>(sums, u.looked_up(digit[1], u_rest),
                                           l.looked_up(digit[1], l_rest), panel, q);
  add_codes<5 * K + 2, 4 * K + 2, kSource>(sums, u.looked_up(digit[2], u_rest),
                                           l.looked_up(digit[2], l_rest), panel, q);
  add_codes<5 * K + 3, 4 * K + 3, kSource>(sums, u.looked_up(digit[3]), l.looked_up(digit[3]),
                                           panel, q);
  add_codes<5 * K + 4, 16 + K, kSource>(sums, u.looked_up(fifth), l.looked_up(fifth), panel, q);
}

#endif

// Two tiles with N tokens. kPacking: that of the tiles, kTwoBit or kBase3.
template <int N, Source kSource, Packing kPacking>
void pair_part(float* y, int64_t y_stride, const Tile& upper, const Tile& lower, uint8_t* panel,
               float scale, const QuantizedRows& x, int64_t token) noexcept {
  TokenColumns q = TokenColumns::of<N>(x, token);
  int64_t count = upper.count, at = 0;  // groups left; where in the tiles
  PartSums<N> sums;
#ifdef __AVX512VBMI__
  if constexpr (kSource != Source::kPanel && kPacking == Packing::kBase3) {
    for (; count >= 5; count -= 5) {
      for (int64_t k = 0; k < 4; ++k) {
        prefetch_pair(upper.stream, lower.stream, at + kGroupBytes * k);
      }
      const uint8_t *u = upper.groups + at, *l = lower.groups + at;
      add_vector<0, kSource>(sums, u, l, panel, q);
      add_vector<1, kSource>(sums, u, l, panel, q);
      add_vector<2, kSource>(sums, u, l, panel, q);
      add_vector<3, kSource>(sums, u, l, panel, q);
      at += 4 * kGroupBytes;
      panel += 20 * kPanelStep;
      q = q.at(5 * kGroupCols);
    }
  }
#endif
  for (; count > 0; --count) {
    if constexpr (kSource == Source::kPanel) {
      add_step<0>(sums, panel, q);
      add_step<1>(sums, panel, q);
      add_step<2>(sums, panel, q);
      add_step<3>(sums, panel, q);
    } else {
      prefetch_pair(upper.stream, lower.stream, at);
      add_group<kSource>(sums, upper.groups + at, lower.groups + at, panel, q);
      at += kGroupBytes;
    }
    panel += 4 * kPanelStep;
    q = q.at(kGroupCols);
  }
  store_pair(y, y_stride, upper.rows, lower.rows, sums.total(), scale, x, token);
}

// n tokens, kLeast <= n <= N.
template <int N, int kLeast, Source kSource, Packing kPacking>
inline void pair_of(int64_t n, float* y, int64_t y_stride, const Tile& upper, const Tile& lower,
                    uint8_t* panel, float scale, const QuantizedRows& x, int64_t token) noexcept {
  if constexpr (N > kLeast) {
    if (n < N) {
      return pair_of<N - 1, kLeast, kSource, kPacking>(n, y, y_stride, upper, lower, panel, scale,
                                                       x, token);
    }
  }
  pair_part<N, kSource, kPacking>(y, y_stride, upper, lower, panel, scale, x, token);
}

// Two tiles with two or more tokens, in parts of nearly equal size.
template <Packing kPacking>
inline void pair_tokens(float* y, int64_t y_stride, const Tile& upper, const Tile& lower,
                        uint8_t* panel, float scale, const QuantizedRows& x,
                        int64_t tokens) noexcept {
  constexpr int kHalf = kPairTokens / 2;  // 13 tokens are 6 and 7
  const int64_t parts = (tokens + kPairTokens - 1) / kPairTokens;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t t = tokens * part / parts, n = tokens * (part + 1) / parts - t;
    float* out = y + t * y_stride;
    if (parts == 1) {
      pair_of<kPairTokens, 2, Source::kTiles, kPacking>(n, out, y_stride, upper, lower, panel,
                                                        scale, x, t);
    } else if (part == 0) {
      pair_of<kPairTokens, kHalf, Source::kTilesToPanel, kPacking>(n, out, y_stride, upper, lower,
                                                                   panel, scale, x, t);
    } else {  // whatever the tiles' packing is: compiled once
      pair_of<kPairTokens, kHalf, Source::kPanel, Packing::kTwoBit>(n, out, y_stride, upper, lower,
                                                                    panel, scale, x, t);
    }
  }
}

// ---- All of them --------------------------------------------------------------------------------

inline Tile tile_of_row(const TernaryMatrix& w, int64_t row, int64_t last_row,
                        uint8_t* scratch) noexcept {
  const int64_t t = row / kTileRows;
  return {two_bit_tile(w, t, scratch, expand_set, gather_block), tile_stream(w, t),
          padded_cols(w.cols) / kGroupCols, first_lanes(at_most(last_row - row, kTileRows))};
}

// Base 3 where it lies.
inline Tile base3_tile_of_row(const TernaryMatrix& w, int64_t row, int64_t last_row) noexcept {
  const uint8_t* stream = tile_stream(w, row / kTileRows);
  return {stream, stream, padded_cols(w.cols) / kGroupCols,
          first_lanes(at_most(last_row - row, kTileRows))};
}

// Rows r.. of a pair of tiles with any number of tokens.
inline void pair_of_rows(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t r,
                         int64_t last_row, const QuantizedRows& x, int64_t tokens,
                         uint8_t* scratch) noexcept {
  const int64_t two_bit_bytes = tile_bytes(Packing::kTwoBit, w.cols);
  uint8_t* panel = scratch + 2 * two_bit_bytes;
#ifdef __AVX512VBMI__
  if (w.packing == Packing::kBase3) {
    const Tile upper = base3_tile_of_row(w, r, last_row);
    const Tile lower = base3_tile_of_row(w, r + kTileRows, last_row);
    if (tokens == 1) return tiles_one_base3(y + r, w, r / kTileRows, lower.rows, x);
    return pair_tokens<Packing::kBase3>(y + r, y_stride, upper, lower, panel, w.scale, x, tokens);
  }
#endif
  const Tile upper = tile_of_row(w, r, last_row, scratch);
  const Tile lower = tile_of_row(w, r + kTileRows, last_row, scratch + two_bit_bytes);
  if (tokens == 1) return tiles_one(y + r, upper, lower, w.scale, x);
  pair_tokens<Packing::kTwoBit>(y + r, y_stride, upper, lower, panel, w.scale, x, tokens);
}

// Rows r.. of one tile.
inline void tile_of_rows(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t r,
                         int64_t last_row, const QuantizedRows& x, int64_t tokens,
                         uint8_t* scratch) noexcept {
  const __mmask16 rows = first_lanes(at_most(last_row - r, kTileRows));
  if (tokens == 1 && w.packing == Packing::kFileRows) {
    return tile_one_rows(y + r, w, r / kTileRows, rows, x);
  }
#ifdef __AVX512VBMI__
  if (tokens == 1 && w.packing == Packing::kBase3) {
    return tile_one_base3(y + r, w, r / kTileRows, rows, x);
  }
#endif
  const Tile tile = tile_of_row(w, r, last_row, scratch);
  if (tokens == 1) return tile_one(y + r, tile, w.scale, x);
  const int64_t parts = (tokens + kFewTokens - 1) / kFewTokens;  // of nearly equal size
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t t = tokens * part / parts, n = tokens * (part + 1) / parts - t;
    few_tokens(y + t * y_stride + r, y_stride, tile, w.scale, x, t, n);
  }
}

void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens,
                    uint8_t* scratch) noexcept {
  if (tokens == 0) return;
  const bool pairs =
      tokens > 1 || (w.reading == Reading::kPairs && w.packing != Packing::kFileRows);
  int64_t r = first_row;
  for (; pairs && r + kTileRows < last_row; r += 2 * kTileRows) {
    pair_of_rows(y, y_stride, w, r, last_row, x, tokens, scratch);
  }
  for (; r < last_row; r += kTileRows) {
    tile_of_rows(y, y_stride, w, r, last_row, x, tokens, scratch);
  }
}

// ---- Measuring the machine ----------------------------------------------------------------------

uint64_t read_stream(const uint8_t* data, int64_t bytes, Reading reading) noexcept {
  __m512i sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                     _mm512_setzero_si512()};
  int64_t i = 0;
  for (; i + 256 <= bytes; i += 256) {
    for (int s = 0; s < 4; ++s) {
      if (reading == Reading::kPairs) prefetch_line(data + i + 64 * s);
      sums[s] = _mm512_add_epi64(sums[s], _mm512_loadu_si512(data + i + 64 * s));
    }
  }
  uint64_t words[8];
  _mm512_storeu_si512(words, _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]),
                                              _mm512_add_epi64(sums[2], sums[3])));
  uint64_t sum = sum_words(data + i, bytes - i);
  for (uint64_t word : words) sum += word;
  return sum;
}

uint64_t int8_multiply_adds(uint64_t count) noexcept {
  constexpr uint64_t kStep = 2 * 24 * 64;  // chains hide the latency of 5 at two a cycle
  const __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(-1);
  uint64_t done = 0;
  for (; done < count; done += kStep) {
    // Sums nobody needs, in registers of the assembler's choice: nothing to optimize away.
    asm volatile(
        "vpdpbusd %1, %0, %%zmm8\n vpdpbusd %1, %0, %%zmm9\n vpdpbusd %1, %0, %%zmm10\n"
        "vpdpbusd %1, %0, %%zmm11\n vpdpbusd %1, %0, %%zmm12\n vpdpbusd %1, %0, %%zmm13\n"
        "vpdpbusd %1, %0, %%zmm14\n vpdpbusd %1, %0, %%zmm15\n vpdpbusd %1, %0, %%zmm16\n"
        "vpdpbusd %1, %0, %%zmm17\n vpdpbusd %1, %0, %%zmm18\n vpdpbusd %1, %0, %%zmm19\n"
        "vpdpbusd %1, %0, %%zmm20\n vpdpbusd %1, %0, %%zmm21\n vpdpbusd %1, %0, %%zmm22\n"
        "vpdpbusd %1, %0, %%zmm23\n vpdpbusd %1, %0, %%zmm24\n vpdpbusd %1, %0, %%zmm25\n"
        "vpdpbusd %1, %0, %%zmm26\n vpdpbusd %1, %0, %%zmm27\n vpdpbusd %1, %0, %%zmm28\n"
        "vpdpbusd %1, %0, %%zmm29\n vpdpbusd %1, %0, %%zmm30\n vpdpbusd %1, %0, %%zmm31\n"
        "vpdpbusd %1, %0, %%zmm8\n vpdpbusd %1, %0, %%zmm9\n vpdpbusd %1, %0, %%zmm10\n"
        "vpdpbusd %1, %0, %%zmm11\n vpdpbusd %1, %0, %%zmm12\n vpdpbusd %1, %0, %%zmm13\n"
        "vpdpbusd %1, %0, %%zmm14\n vpdpbusd %1, %0, %%zmm15\n vpdpbusd %1, %0, %%zmm16\n"
        "vpdpbusd %1, %0, %%zmm17\n vpdpbusd %1, %0, %%zmm18\n vpdpbusd %1, %0, %%zmm19\n"
        "vpdpbusd %1, %0, %%zmm20\n vpdpbusd %1, %0, %%zmm21\n vpdpbusd %1, %0, %%zmm22\n"
        "vpdpbusd %1, %0, %%zmm23\n vpdpbusd %1, %0, %%zmm24\n vpdpbusd %1, %0, %%zmm25\n"
        "vpdpbusd %1, %0, %%zmm26\n vpdpbusd %1, %0, %%zmm27\n vpdpbusd %1, %0, %%zmm28\n"
        "vpdpbusd %1, %0, %%zmm29\n vpdpbusd %1, %0, %%zmm30\n vpdpbusd %1, %0, %%zmm31\n"
        :
        : "x"(a), "x"(b)
        : "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17",
          "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27",
          "xmm28", "xmm29", "xmm30", "xmm31");
  }
  return done;
}

}  // namespace
}  // namespace bitnet
