// AVX-512 with BW, VL, DQ and VNNI.

#include "compute/cpu/x86/lanes_avx512.h"
// In terms of these lanes:
#include "compute/cpu/float_verbs.h"
#include "compute/cpu/x86/tables.h"

namespace bitnet {
namespace {

// Deferred shift (performance.md C2): a plane's codes stay where they lie in the byte, 4^p too
// large, so that taking a plane out costs one AND; the sums are shifted once at the end, exactly,
// since all of a plane's products are multiples of 4^p. The top plane's products are at most 128 *
// 128 and four meet in one lane per 16 columns, so int32 holds 524,288 columns.
template <int N>
struct PlaneSums {
  __m512i v[N][4];

  void clear() noexcept {
    for (auto& token : v) {
      for (__m512i& plane : token) plane = _mm512_setzero_si512();
    }
  }
  // 16 rows x 16 columns with N tokens.
  void add_group(const uint8_t* group, const int8_t* q, int64_t stride) noexcept {
    const __m512i codes = _mm512_load_si512(group);
#pragma GCC unroll 4
    for (int p = 0; p < 4; ++p) {
      const __m512i plane =
          _mm512_and_si512(codes, _mm512_set1_epi8(static_cast<char>(3 << 2 * p)));
#pragma GCC unroll 8
      for (int t = 0; t < N; ++t) {
        int32_t four;
        std::memcpy(&four, q + t * stride + 4 * p, sizeof four);
        v[t][p] = _mm512_dpbusd_epi32(v[t][p], plane, _mm512_set1_epi32(four));
      }
    }
  }
  __m512i total(int t) const noexcept {
    const __m512i low = _mm512_add_epi32(v[t][0], _mm512_srai_epi32(v[t][1], 2));
    const __m512i high =
        _mm512_add_epi32(_mm512_srai_epi32(v[t][2], 4), _mm512_srai_epi32(v[t][3], 6));
    return _mm512_add_epi32(low, high);
  }
};

inline void store_rows(float* y, __mmask16 rows, __m512i codes_sum, int32_t q_sum,
                       float factor) noexcept {
  const __m512i sum = _mm512_sub_epi32(codes_sum, _mm512_set1_epi32(q_sum));
  _mm512_mask_storeu_ps(y, rows, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(factor)));
}

// One tile with one token: two groups under way, or the sums would wait for each other.
inline void tile_one(float* y, __mmask16 rows, const uint8_t* tile, int64_t groups, float scale,
                     const QuantizedRows& x, int64_t token) noexcept {
  const int8_t* q = x.q + token * x.stride;
  PlaneSums<1> even, odd;
  even.clear();
  odd.clear();
  for (int64_t g = 0; g < groups; g += 2) {  // groups is a multiple of 4: columns are padded to 64
    prefetch(tile + 64 * g, kPrefetchBytes);
    prefetch(tile + 64 * g, kPrefetchBytes + 64);
    even.add_group(tile + 64 * g, q + 16 * g, 0);
    odd.add_group(tile + 64 * g + 64, q + 16 * g + 16, 0);
  }
  store_rows(y, rows, _mm512_add_epi32(even.total(0), odd.total(0)), x.sum[token],
             scale / x.scale[token]);
}

// One tile with N tokens; every load and AND of the weights serves them all.
template <int N>
inline void tile_several(float* y, int64_t y_stride, __mmask16 rows, const uint8_t* tile,
                         int64_t groups, float scale, const QuantizedRows& x,
                         int64_t token) noexcept {
  const int8_t* q = x.q + token * x.stride;
  PlaneSums<N> sums;
  sums.clear();
  for (int64_t g = 0; g < groups; ++g) {
    prefetch(tile + 64 * g, kPrefetchBytes);
    sums.add_group(tile + 64 * g, q + 16 * g, x.stride);
  }
  for (int t = 0; t < N; ++t) {
    store_rows(y + t * y_stride, rows, sums.total(t), x.sum[token + t], scale / x.scale[token + t]);
  }
}

// 6 tokens x 4 planes are 24 of the 32 registers.
constexpr int64_t kTokensPerTile = 6;

void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens) noexcept {
  const int64_t groups = padded_cols(w.cols) / 16;
  const int64_t parts = (tokens + kTokensPerTile - 1) / kTokensPerTile;  // of nearly equal size
  for (int64_t r = first_row; r < last_row; r += kTileRows) {
    const uint8_t* tile = w.tiles + r / kTileRows * groups * 64;
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
      prefetch(data + i, kPrefetchBytes + 64 * s);
      sums[s] = _mm512_add_epi64(sums[s], _mm512_loadu_si512(data + i + 64 * s));
    }
  }
  const __m512i both =
      _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3]));
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(both)) + sum_words(data + i, bytes - i);
}

uint64_t int8_multiply_adds(uint64_t count) noexcept {
  constexpr int kChains = 16;
  __m512i sums[kChains];
  for (int c = 0; c < kChains; ++c) sums[c] = _mm512_set1_epi32(c);
  const __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(-1);
  constexpr uint64_t kStep = kChains * 64;
  uint64_t done = 0;
  for (; done < count; done += kStep) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) {
      sums[c] = _mm512_dpbusd_epi32(sums[c], a, b);
    }
    // The compiler must not see through the loop.
    asm volatile("" : "+v"(sums[0]), "+v"(sums[1]), "+v"(sums[2]), "+v"(sums[3]));
    asm volatile("" : "+v"(sums[4]), "+v"(sums[5]), "+v"(sums[6]), "+v"(sums[7]));
    asm volatile("" : "+v"(sums[8]), "+v"(sums[9]), "+v"(sums[10]), "+v"(sums[11]));
    asm volatile("" : "+v"(sums[12]), "+v"(sums[13]), "+v"(sums[14]), "+v"(sums[15]));
  }
  return done;
}

}  // namespace

constinit const Ops kAvx512Ops = table("avx512");

}  // namespace bitnet
