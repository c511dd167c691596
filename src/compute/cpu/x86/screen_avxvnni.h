// screen_matmul's integer sums with AVX-VNNI: screen_avx512.h in halves of 8 rows.
#pragma once

#include "compute/cpu/x86/screen_avx.h"

namespace bitnet {
namespace {

constexpr int kScreenTokens = 2;  // 2 x 4 sums are 8 of the 16 registers
constexpr int kPairScreenTokens = 0;

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
