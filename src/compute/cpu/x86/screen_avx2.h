// screen_matmul's integer sums with AVX2: 8 rows x 4 columns of bytes are seen as words, low bytes
// the even columns, high bytes the odd, and multiplied with pairs of activations.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "compute/ops.h"

namespace bitnet {
namespace {

struct IntLanes {
  __m256i low, high;  // rows 0..7 and 8..15
};
constexpr int kScreenTokens = 4;  // 4 x 2 sums are 8 of the 16 registers

inline Lanes to_lanes(IntLanes sums) noexcept {
  return {_mm256_cvtepi32_ps(sums.low), _mm256_cvtepi32_ps(sums.high)};
}

inline __m256i broadcast_pair(const int16_t* words) noexcept {
  int32_t pair;
  std::memcpy(&pair, words, sizeof pair);
  return _mm256_set1_epi32(pair);
}

template <int N>
inline void block_sums(IntLanes (&sums)[N], const uint8_t* codes, const ScreenInput& x,
                       int64_t token, int64_t block) noexcept {
  const int16_t* pairs = x.pairs + token * x.stride + kScreenBlock * block;
  const __m256i mask = _mm256_set1_epi16(0xff);
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) {
    const int32_t sum = x.sum[(token + n) * (x.stride / kScreenBlock) + block];
    sums[n].low = sums[n].high = _mm256_set1_epi32(-128 * sum);
  }
#pragma GCC unroll 4
  for (int g = 0; g < 16; ++g) {
    prefetch_line(codes + 64 * g);
    const __m256i* halves = reinterpret_cast<const __m256i*>(codes + 64 * g);
    const __m256i upper = _mm256_load_si256(halves), lower = _mm256_load_si256(halves + 1);
    const __m256i upper_even = _mm256_and_si256(upper, mask);
    const __m256i lower_even = _mm256_and_si256(lower, mask);
    const __m256i upper_odd = _mm256_srli_epi16(upper, 8);
    const __m256i lower_odd = _mm256_srli_epi16(lower, 8);
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      const __m256i even = broadcast_pair(pairs + n * x.stride + 4 * g);
      const __m256i odd = broadcast_pair(pairs + n * x.stride + 4 * g + 2);
      const auto added = [&](__m256i to, __m256i even_codes, __m256i odd_codes) {
        to = _mm256_add_epi32(to, _mm256_madd_epi16(even_codes, even));
        return _mm256_add_epi32(to, _mm256_madd_epi16(odd_codes, odd));
      };
      sums[n].low = added(sums[n].low, upper_even, upper_odd);
      sums[n].high = added(sums[n].high, lower_even, lower_odd);
    }
  }
}

}  // namespace
}  // namespace bitnet

#include "compute/cpu/screen.h"
