// screen_matmul's integer sums with AVX-512 VNNI: a group's codes are a register of 16 rows x 4
// columns, multiplied with the four activations' high and low bytes, broadcast.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "compute/cpu/screen_codes.h"

namespace bitnet {
namespace {

using IntLanes = __m512i;
typedef uint16_t ScreenWords __attribute__((vector_size(64)));
constexpr int kScreenTokens = 8;      // a high and a low sum each, and acc: 24 of the 32 registers
constexpr int kPairScreenTokens = 6;  // of two tiles: as many

inline Lanes to_lanes(IntLanes sums) noexcept {
  return {_mm512_cvtepi32_ps(sums)};
}

inline __m512i broadcast_dword(const int8_t* bytes) noexcept {
  int32_t dword;
  std::memcpy(&dword, bytes, sizeof dword);
  return _mm512_set1_epi32(dword);
}

template <int N, class Codes>
inline void block_sums(IntLanes (&sums)[N], const uint8_t* codes, const ScreenInput& x,
                       int64_t token, int64_t block) noexcept {
  const int8_t* high = x.high + token * x.stride + kScreenBlock * block;
  const int8_t* low = x.low + token * x.stride + kScreenBlock * block;
  // A token or two have too few sums to hide how long a product takes: each half has its own.
  constexpr int kHalves = N <= 2 ? 2 : 1;
  __m512i high_sums[kHalves * N], low_sums[kHalves * N];
#pragma GCC unroll 8
  for (int n = 0; n < kHalves * N; ++n) high_sums[n] = low_sums[n] = _mm512_setzero_si512();
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const int first = half % kHalves * N;
    each_group([&](auto group) __attribute__((always_inline)) {
      constexpr int kG = decltype(group)::kIndex;
      const __m512i rows =
          reinterpret_cast<__m512i>(Codes::template group<ScreenWords, kG>(codes, 0));
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        const int64_t at = n * x.stride + 4 * kG;
        __m512i &h = high_sums[first + n], &l = low_sums[first + n];
        h = _mm512_dpbusd_epi32(h, rows, broadcast_dword(high + at));
        l = _mm512_dpbusd_epi32(l, rows, broadcast_dword(low + at));
      }
    });
    codes += Codes::kHalfBytes;
    high += kScreenHalfCols;
    low += kScreenHalfCols;
  }
  for (int n = 0; kHalves == 2 && n < N; ++n) {
    high_sums[n] = _mm512_add_epi32(high_sums[n], high_sums[N + n]);
    low_sums[n] = _mm512_add_epi32(low_sums[n], low_sums[N + n]);
  }
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) {
    const int32_t sum = x.sum[(token + n) * (x.stride / kScreenBlock) + block];
    const __m512i both = _mm512_add_epi32(_mm512_slli_epi32(high_sums[n], 8), low_sums[n]);
    sums[n] = _mm512_sub_epi32(both, _mm512_set1_epi32(kScreenMiddle * sum));
  }
}

template <int N>
inline void pair_sums(IntLanes (&sums)[2][N], const uint8_t* codes, const ScreenInput& x,
                      int64_t token, int64_t block) noexcept {
  const int8_t* high = x.high + token * x.stride + kScreenBlock * block;
  const int8_t* low = x.low + token * x.stride + kScreenBlock * block;
  __m512i upper_high[N], upper_low[N], lower_high[N], lower_low[N];
#pragma GCC unroll 6
  for (int n = 0; n < N; ++n) {
    const int32_t sum = x.sum[(token + n) * (x.stride / kScreenBlock) + block];
    upper_low[n] = lower_low[n] = _mm512_set1_epi32(-kScreenMiddle * sum);
    upper_high[n] = lower_high[n] = _mm512_setzero_si512();
  }
  for (int g = 0; g < 2 * kScreenHalfGroups; ++g) {
    const __m512i upper = _mm512_load_si512(codes + 64 * g);
    const __m512i lower = _mm512_load_si512(codes + kUnpackedBytes + 64 * g);
#pragma GCC unroll 6
    for (int n = 0; n < N; ++n) {
      const __m512i h = broadcast_dword(high + n * x.stride + 4 * g);
      const __m512i l = broadcast_dword(low + n * x.stride + 4 * g);
      upper_high[n] = _mm512_dpbusd_epi32(upper_high[n], upper, h);
      lower_high[n] = _mm512_dpbusd_epi32(lower_high[n], lower, h);
      upper_low[n] = _mm512_dpbusd_epi32(upper_low[n], upper, l);
      lower_low[n] = _mm512_dpbusd_epi32(lower_low[n], lower, l);
    }
  }
#pragma GCC unroll 6
  for (int n = 0; n < N; ++n) {
    sums[0][n] = _mm512_add_epi32(_mm512_slli_epi32(upper_high[n], 8), upper_low[n]);
    sums[1][n] = _mm512_add_epi32(_mm512_slli_epi32(lower_high[n], 8), lower_low[n]);
  }
}

inline IntLanes rest_sums(const uint8_t* codes, const int8_t* high, const int8_t* low) noexcept {
  // Of a byte of four codes, its first in the first 16 bytes, and so on: the columns in order.
  const __m512i shifts = _mm512_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4, 6, 6, 6, 6);
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
  const __m512i columns = _mm512_and_si512(_mm512_srlv_epi32(_mm512_broadcast_i32x4(bytes), shifts),
                                           _mm512_set1_epi8(3));
  const __m512i zeros = _mm512_setzero_si512();
  const __m512i high_sums = _mm512_dpbusd_epi32(zeros, columns, _mm512_loadu_si512(high));
  const __m512i low_sums = _mm512_dpbusd_epi32(zeros, columns, _mm512_loadu_si512(low));
  return _mm512_add_epi32(_mm512_slli_epi32(high_sums, 8), low_sums);
}

}  // namespace
}  // namespace bitnet

#include "compute/cpu/screen.h"
