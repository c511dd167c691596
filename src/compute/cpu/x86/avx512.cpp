// AVX-512 with BW, VL, DQ and VNNI.

#include "compute/cpu/x86/lanes_avx512.h"
// In terms of these lanes:
#include "compute/cpu/float_verbs.h"
#include "compute/cpu/x86/tables.h"

namespace bitnet {
namespace {

// int32 sums of 16 rows with N tokens. A chain of named members and not an array: gcc keeps these
// in registers, an array's elements it also writes back in every turn of the loop.
template <int N>
struct RowSums {
  __m512i first = _mm512_setzero_si512();
  RowSums<N - 1> others;

  // codes: 4 columns of 16 rows; q: the activations of those columns, tokens `stride` apart.
  void add(__m512i codes, const int8_t* q, int64_t stride) noexcept {
    int32_t four;
    std::memcpy(&four, q, sizeof four);
    first = _mm512_dpbusd_epi32(first, codes, _mm512_set1_epi32(four));
    others.add(codes, q + stride, stride);
  }
};
template <>
struct RowSums<0> {
  void add(__m512i, const int8_t*, int64_t) noexcept {}
};

// Deferred shift (performance.md C2): a plane's codes stay where they lie in the byte, 4^p too
// large, so that taking a plane out costs one AND; the sums are shifted once at the end, exactly,
// since all of a plane's products are multiples of 4^p. The top plane's products are at most
// 128 * 128 and four meet in one lane per 16 columns, so int32 holds 524,288 columns.
template <int N>
struct TileSums {
  RowSums<N> plane0, plane1, plane2, plane3;

  // 16 rows x 16 columns.
  void add_group(const uint8_t* group, const int8_t* q, int64_t stride) noexcept {
    const __m512i codes = _mm512_load_si512(group);
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

inline void store_rows(float* y, __mmask16 rows, __m512i codes_sum, int32_t q_sum,
                       float factor) noexcept {
  const __m512i sum = _mm512_sub_epi32(codes_sum, _mm512_set1_epi32(q_sum));
  _mm512_mask_storeu_ps(y, rows, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(factor)));
}

// Rows of one tile for N tokens, from the sums of their planes.
template <int N>
inline void store_tokens(float* y, int64_t y_stride, __mmask16 rows, const RowSums<N>& p0,
                         const RowSums<N>& p1, const RowSums<N>& p2, const RowSums<N>& p3,
                         float scale, const QuantizedRows& x, int64_t token) noexcept {
  if constexpr (N > 0) {
    store_rows(y, rows, joined_planes(p0.first, p1.first, p2.first, p3.first), x.sum[token],
               scale / x.scale[token]);
    store_tokens(y + y_stride, y_stride, rows, p0.others, p1.others, p2.others, p3.others, scale, x,
                 token + 1);
  }
}

// One tile with one token: two groups under way, or the sums would wait for each other.
inline void tile_one(float* y, __mmask16 rows, const uint8_t* tile, int64_t groups, float scale,
                     const QuantizedRows& x, int64_t token) noexcept {
  const int8_t* q = x.q + token * x.stride;
  TileSums<1> a, b;
  for (int64_t g = 0; g < groups; g += 2) {  // groups is a multiple of 4: columns are padded to 64
    prefetch_line(tile + 64 * g);
    prefetch_line(tile + 64 * g + 64);
    a.add_group(tile + 64 * g, q + 16 * g, 0);
    b.add_group(tile + 64 * g + 64, q + 16 * g + 16, 0);
  }
  const auto both = [](const RowSums<1>& even, const RowSums<1>& odd) {
    return _mm512_add_epi32(even.first, odd.first);
  };
  store_rows(y, rows,
             joined_planes(both(a.plane0, b.plane0), both(a.plane1, b.plane1),
                           both(a.plane2, b.plane2), both(a.plane3, b.plane3)),
             x.sum[token], scale / x.scale[token]);
}

// One tile with N tokens; every load and AND of the weights serves them all.
template <int N>
inline void tile_several(float* y, int64_t y_stride, __mmask16 rows, const uint8_t* tile,
                         int64_t groups, float scale, const QuantizedRows& x,
                         int64_t token) noexcept {
  const int8_t* q = x.q + token * x.stride;
  const int64_t stride = x.stride;
  TileSums<N> sums;
  for (int64_t g = 0; g < groups; ++g) {
    prefetch_line(tile + 64 * g);
    sums.add_group(tile + 64 * g, q + 16 * g, stride);
  }
  store_tokens(y, y_stride, rows, sums.plane0, sums.plane1, sums.plane2, sums.plane3, scale, x,
               token);
}

// 6 tokens x 4 planes are 24 of the 32 registers.
constexpr int64_t kTokensPerTile = 6;

void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens,
                    uint8_t* scratch) noexcept {
  const int64_t groups = padded_cols(w.cols) / 16;
  const int64_t parts = (tokens + kTokensPerTile - 1) / kTokensPerTile;  // of nearly equal size
  for (int64_t r = first_row; r < last_row; r += kTileRows) {
    const uint8_t* tile = two_bit_tile(w, r / kTileRows, scratch);
    const __mmask16 rows = first_lanes(at_most(last_row - r, kTileRows));
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t t = tokens * part / parts, n = tokens * (part + 1) / parts - t;
      float* out = y + t * y_stride + r;
      switch (n) {
        case 1:
          tile_one(out, rows, tile, groups, w.scale, x, t);
          break;
        case 2:
          tile_several<2>(out, y_stride, rows, tile, groups, w.scale, x, t);
          break;
        case 3:
          tile_several<3>(out, y_stride, rows, tile, groups, w.scale, x, t);
          break;
        case 4:
          tile_several<4>(out, y_stride, rows, tile, groups, w.scale, x, t);
          break;
        case 5:
          tile_several<5>(out, y_stride, rows, tile, groups, w.scale, x, t);
          break;
        default:
          tile_several<6>(out, y_stride, rows, tile, groups, w.scale, x, t);
      }
    }
  }
}

uint64_t read_stream(const uint8_t* data, int64_t bytes) noexcept {
  __m512i sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                     _mm512_setzero_si512()};
  int64_t i = 0;
  for (; i + 256 <= bytes; i += 256) {
    for (int s = 0; s < 4; ++s) {
      prefetch_line(data + i + 64 * s);
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
  constexpr uint64_t kStep = 16 * 64;  // 16 chains hide the latency of 5 at two a cycle
  const __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(-1);
  uint64_t done = 0;
  for (; done < count; done += kStep) {
    // Sums nobody needs, in registers of the assembler's choice: nothing to optimize away.
    asm volatile(
        "vpdpbusd %1, %0, %%zmm16\n vpdpbusd %1, %0, %%zmm17\n vpdpbusd %1, %0, %%zmm18\n"
        "vpdpbusd %1, %0, %%zmm19\n vpdpbusd %1, %0, %%zmm20\n vpdpbusd %1, %0, %%zmm21\n"
        "vpdpbusd %1, %0, %%zmm22\n vpdpbusd %1, %0, %%zmm23\n vpdpbusd %1, %0, %%zmm24\n"
        "vpdpbusd %1, %0, %%zmm25\n vpdpbusd %1, %0, %%zmm26\n vpdpbusd %1, %0, %%zmm27\n"
        "vpdpbusd %1, %0, %%zmm28\n vpdpbusd %1, %0, %%zmm29\n vpdpbusd %1, %0, %%zmm30\n"
        "vpdpbusd %1, %0, %%zmm31"
        :
        : "x"(a), "x"(b)
        : "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",
          "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
  }
  return done;
}

}  // namespace

constinit const Ops kAvx512Ops = table("avx512");

}  // namespace bitnet
