// screen_matmul's integer sums with SSE2: 4 rows x 4 columns of bytes are seen as words, low bytes
// the even columns, high bytes the odd, and multiplied with pairs of activations.
#pragma once

#include <emmintrin.h>

#include <cstring>

#include "compute/cpu/screen_codes.h"

namespace bitnet {
namespace {

struct IntLanes {
  __m128i v[4];  // rows 0..3, 4..7, 8..11, 12..15
};
typedef uint16_t ScreenWords __attribute__((vector_size(16)));
constexpr int kScreenTokens = 2;  // 2 x 4 sums are 8 of the 16 registers
constexpr int kPairScreenTokens = 0;

inline Lanes to_lanes(const IntLanes& sums) noexcept {
  return each([&](int i) { return _mm_cvtepi32_ps(sums.v[i]); });
}

inline __m128i broadcast_pair(const int16_t* words) noexcept {
  int32_t pair;
  std::memcpy(&pair, words, sizeof pair);
  return _mm_set1_epi32(pair);
}

template <int N, class Codes>
inline void block_sums(IntLanes (&sums)[N], const uint8_t* codes, const ScreenInput& x,
                       int64_t token, int64_t block) noexcept {
  const int16_t* pairs = x.pairs + token * x.stride + kScreenBlock * block;
  const __m128i mask = _mm_set1_epi16(0xff);
  for (int n = 0; n < N; ++n) {
    const int32_t sum = x.sum[(token + n) * (x.stride / kScreenBlock) + block];
    for (__m128i& quarter : sums[n].v) quarter = _mm_set1_epi32(-kScreenMiddle * sum);
  }
  for (int half = 0; half < 2; ++half) {
    each_group([&](auto group) __attribute__((always_inline)) {
      constexpr int kG = decltype(group)::kIndex;
      __m128i even[N], odd[N];
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) {
        even[n] = broadcast_pair(pairs + n * x.stride + 4 * kG);
        odd[n] = broadcast_pair(pairs + n * x.stride + 4 * kG + 2);
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const __m128i quarter =
            reinterpret_cast<__m128i>(Codes::template group<ScreenWords, kG>(codes, 16 * i));
        const __m128i even_codes = _mm_and_si128(quarter, mask);
        const __m128i odd_codes = _mm_srli_epi16(quarter, 8);
#pragma GCC unroll 2
        for (int n = 0; n < N; ++n) {
          __m128i& sum = sums[n].v[i];
          sum = _mm_add_epi32(sum, _mm_madd_epi16(even_codes, even[n]));
          sum = _mm_add_epi32(sum, _mm_madd_epi16(odd_codes, odd[n]));
        }
      }
    });
    codes += Codes::kHalfBytes;
    pairs += kScreenHalfCols;
  }
}

// Products of 16 codes with x in 16 bits, summed by fours.
inline __m128i rest_products(__m128i codes, const int8_t* high, const int8_t* low) noexcept {
  const __m128i zeros = _mm_setzero_si128();
  const __m128i upper = _mm_loadu_si128(reinterpret_cast<const __m128i*>(high));
  const __m128i lower = _mm_loadu_si128(reinterpret_cast<const __m128i*>(low));
  const __m128i signs = _mm_cmplt_epi8(lower, zeros);
  const auto twos = [](__m128i words, __m128i upper_words, __m128i lower_words) {
    return _mm_madd_epi16(words, _mm_add_epi16(_mm_slli_epi16(upper_words, 8), lower_words));
  };
  const __m128i first = twos(_mm_unpacklo_epi8(codes, zeros), _mm_unpacklo_epi8(upper, zeros),
                             _mm_unpacklo_epi8(lower, signs));
  const __m128i second = twos(_mm_unpackhi_epi8(codes, zeros), _mm_unpackhi_epi8(upper, zeros),
                              _mm_unpackhi_epi8(lower, signs));
  const __m128 a = _mm_castsi128_ps(first), b = _mm_castsi128_ps(second);
  return _mm_add_epi32(_mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0))),
                       _mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1))));
}

inline IntLanes rest_sums(const uint8_t* codes, const int8_t* high, const int8_t* low) noexcept {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
  IntLanes sums;
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m128i columns = _mm_and_si128(_mm_srli_epi16(bytes, 2 * j), _mm_set1_epi8(3));
    sums.v[j] = rest_products(columns, high + 16 * j, low + 16 * j);
  }
  return sums;
}

}  // namespace
}  // namespace bitnet

#include "compute/cpu/screen.h"
