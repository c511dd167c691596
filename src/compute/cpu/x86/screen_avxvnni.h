// screen_matmul's integer sums with AVX-VNNI: screen_avx512.h in halves of 8 rows.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "compute/cpu/screen_codes.h"

namespace bitnet {
namespace {

struct IntLanes {
  __m256i low, high;  // rows 0..7 and 8..15
};
typedef uint16_t ScreenWords __attribute__((vector_size(32)));
constexpr int kScreenTokens = 2;  // 2 x 4 sums are 8 of the 16 registers

inline Lanes to_lanes(IntLanes sums) noexcept {
  return {_mm256_cvtepi32_ps(sums.low), _mm256_cvtepi32_ps(sums.high)};
}

inline __m256i broadcast_dword(const int8_t* bytes) noexcept {
  int32_t dword;
  std::memcpy(&dword, bytes, sizeof dword);
  return _mm256_set1_epi32(dword);
}

// 256 * high + low - kScreenMiddle * sum of x.
inline __m256i joined_bytes(__m256i high, __m256i low, int32_t sum) noexcept {
  const __m256i both = _mm256_add_epi32(_mm256_slli_epi32(high, 8), low);
  return _mm256_sub_epi32(both, _mm256_set1_epi32(kScreenMiddle * sum));
}

template <int N, class Codes>
inline void block_sums(IntLanes (&sums)[N], const uint8_t* codes, const ScreenInput& x,
                       int64_t token, int64_t block) noexcept {
  const int8_t* high = x.high + token * x.stride + kScreenBlock * block;
  const int8_t* low = x.low + token * x.stride + kScreenBlock * block;
  IntLanes high_sums[N], low_sums[N];
#pragma GCC unroll 2
  for (int n = 0; n < N; ++n) {
    high_sums[n].low = high_sums[n].high = _mm256_setzero_si256();
    low_sums[n].low = low_sums[n].high = _mm256_setzero_si256();
  }
  for (int half = 0; half < 2; ++half) {
    each_group([&](auto group) __attribute__((always_inline)) {
      constexpr int kG = decltype(group)::kIndex;
      const __m256i first =
          reinterpret_cast<__m256i>(Codes::template group<ScreenWords, kG>(codes, 0));
      const __m256i second =
          reinterpret_cast<__m256i>(Codes::template group<ScreenWords, kG>(codes, 32));
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) {
        const int64_t at = n * x.stride + 4 * kG;
        const __m256i high4 = broadcast_dword(high + at), low4 = broadcast_dword(low + at);
        high_sums[n].low = _mm256_dpbusd_avx_epi32(high_sums[n].low, first, high4);
        high_sums[n].high = _mm256_dpbusd_avx_epi32(high_sums[n].high, second, high4);
        low_sums[n].low = _mm256_dpbusd_avx_epi32(low_sums[n].low, first, low4);
        low_sums[n].high = _mm256_dpbusd_avx_epi32(low_sums[n].high, second, low4);
      }
    });
    codes += Codes::kHalfBytes;
    high += kScreenHalfCols;
    low += kScreenHalfCols;
  }
#pragma GCC unroll 2
  for (int n = 0; n < N; ++n) {
    const int32_t sum = x.sum[(token + n) * (x.stride / kScreenBlock) + block];
    sums[n].low = joined_bytes(high_sums[n].low, low_sums[n].low, sum);
    sums[n].high = joined_bytes(high_sums[n].high, low_sums[n].high, sum);
  }
}

// 32 of a block's codes from its 16 bytes: those at bits `first` of every byte, and two bits
// further.
inline __m256i rest_codes(const uint8_t* codes, int first) noexcept {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
  const __m256i shifts = _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2);
  const __m256i both = _mm256_srlv_epi32(_mm256_broadcastsi128_si256(bytes), shifts);
  return _mm256_and_si256(_mm256_srli_epi32(both, first), _mm256_set1_epi8(3));
}

inline __m256i rest_products(__m256i codes, const int8_t* high, const int8_t* low) noexcept {
  const auto sums = [&](const int8_t* x) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
    return _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), codes, bytes);
  };
  return _mm256_add_epi32(_mm256_slli_epi32(sums(high), 8), sums(low));
}

inline IntLanes rest_sums(const uint8_t* codes, const int8_t* high, const int8_t* low) noexcept {
  return {rest_products(rest_codes(codes, 0), high, low),
          rest_products(rest_codes(codes, 4), high + 32, low + 32)};
}

}  // namespace
}  // namespace bitnet

#include "compute/cpu/screen.h"
