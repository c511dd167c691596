// AVX2 and its 256-bit form of VNNI: processors with vpdpbusd but no AVX-512. Only the ternary
// product differs from avx2.cpp; it is that of avx512.cpp in halves of 8 rows.

#include "compute/cpu/x86/lanes_avx2.h"
// In terms of these lanes:
#include "compute/cpu/float_verbs.h"
#include "compute/cpu/x86/measure_avx2.h"
#include "compute/cpu/x86/tables.h"

namespace bitnet {
namespace {

// 8 rows with N tokens: planes in place, two and two sharing a sum. Plane 1 is four times too
// large; planes 2 and 3 come down to 0 and 1 by one shift.
template <int N>
struct EightRows {
  __m256i low[N], high[N];

  void clear() noexcept {
    for (int t = 0; t < N; ++t) low[t] = high[t] = _mm256_setzero_si256();
  }
  void add_group(const uint8_t* half_group, const int8_t* q, int64_t stride) noexcept {
    const __m256i mask = _mm256_set1_epi8(0x03), mask4 = _mm256_set1_epi8(0x0c);
    __m256i codes = _mm256_load_si256(reinterpret_cast<const __m256i*>(half_group));
#pragma GCC unroll 2
    for (int upper = 0; upper < 2; ++upper) {
      const __m256i even = _mm256_and_si256(codes, mask), odd = _mm256_and_si256(codes, mask4);
#pragma GCC unroll 4
      for (int t = 0; t < N; ++t) {
        int32_t fours[2];
        std::memcpy(fours, q + t * stride + 8 * upper, sizeof fours);
        low[t] = _mm256_dpbusd_avx_epi32(low[t], even, _mm256_set1_epi32(fours[0]));
        high[t] = _mm256_dpbusd_avx_epi32(high[t], odd, _mm256_set1_epi32(fours[1]));
      }
      codes = _mm256_srli_epi16(codes, 4);
    }
  }
  void store(float* y, int64_t rows, int t, int32_t q_sum, float factor) const noexcept {
    const __m256i codes_sum = _mm256_add_epi32(low[t], _mm256_srai_epi32(high[t], 2));
    const __m256i sum = _mm256_sub_epi32(codes_sum, _mm256_set1_epi32(q_sum));
    const __m256 result = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(factor));
    if (rows >= 8) {
      _mm256_storeu_ps(y, result);
    } else if (rows > 0) {
      float whole[8];
      _mm256_storeu_ps(whole, result);
      std::memcpy(y, whole, static_cast<size_t>(rows) * 4);
    }
  }
};

template <int N>
inline void tile(float* y, int64_t y_stride, int64_t rows, const uint8_t* groups_of_tile,
                 int64_t groups, float scale, const QuantizedRows& x, int64_t token) noexcept {
  const int8_t* q = x.q + token * x.stride;
  EightRows<N> upper, lower;
  upper.clear();
  lower.clear();
  for (int64_t g = 0; g < groups; ++g) {
    const uint8_t* group = groups_of_tile + 64 * g;
    prefetch_line(group);
    upper.add_group(group, q + 16 * g, x.stride);
    lower.add_group(group + 32, q + 16 * g, x.stride);
  }
  for (int t = 0; t < N; ++t) {
    const float factor = scale / x.scale[token + t];
    upper.store(y + t * y_stride, rows, t, x.sum[token + t], factor);
    lower.store(y + t * y_stride + 8, rows - 8, t, x.sum[token + t], factor);
  }
}

// 2 tokens x 2 halves x 2 sums are 8 of the 16 registers; 3 are 12 and leave none for the planes.
constexpr int64_t kTokensPerTile = 2;

void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens) noexcept {
  const int64_t groups = padded_cols(w.cols) / 16;
  for (int64_t r = first_row; r < last_row; r += kTileRows) {
    const uint8_t* groups_of_tile = w.tiles + r / kTileRows * groups * 64;
    const int64_t rows = at_most(last_row - r, kTileRows);
    int64_t t = 0;
    for (; t + kTokensPerTile <= tokens; t += kTokensPerTile) {
      tile<2>(y + t * y_stride + r, y_stride, rows, groups_of_tile, groups, w.scale, x, t);
    }
    if (t < tokens) {
      tile<1>(y + t * y_stride + r, y_stride, rows, groups_of_tile, groups, w.scale, x, t);
    }
  }
}

uint64_t int8_multiply_adds(uint64_t count) noexcept {
  constexpr int kChains = 12;
  __m256i sums[kChains];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  const __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(-1);
  uint64_t done = 0;
  for (; done < count; done += kChains * 32) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) {
      sums[c] = _mm256_dpbusd_avx_epi32(sums[c], a, b);
      asm volatile("" : "+x"(sums[c]));  // or the compiler would add up a product
    }
  }
  return done;
}

}  // namespace

constinit const Ops kAvxVnniOps = table("avxvnni");

}  // namespace bitnet
