// screen_matmul's integer sums with AVX-512 VNNI: a group of 64 bytes is a register of 16 rows x 4
// columns, multiplied with the four activations' high and low bytes, broadcast.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "compute/ops.h"

namespace bitnet {
namespace {

using IntLanes = __m512i;
constexpr int kScreenTokens = 8;  // a high and a low sum each, and acc: 24 of the 32 registers

inline Lanes to_lanes(IntLanes sums) noexcept {
  return {_mm512_cvtepi32_ps(sums)};
}

inline __m512i broadcast_dword(const int8_t* bytes) noexcept {
  int32_t dword;
  std::memcpy(&dword, bytes, sizeof dword);
  return _mm512_set1_epi32(dword);
}

template <int N>
inline void block_sums(IntLanes (&sums)[N], const uint8_t* codes, const ScreenInput& x,
                       int64_t token, int64_t block) noexcept {
  const int8_t* high = x.high + token * x.stride + kScreenBlock * block;
  const int8_t* low = x.low + token * x.stride + kScreenBlock * block;
  __m512i high_sums[N], low_sums[N];
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) high_sums[n] = low_sums[n] = _mm512_setzero_si512();
#pragma GCC unroll 16
  for (int g = 0; g < 16; ++g) {
    prefetch_line(codes + 64 * g);
    const __m512i group = _mm512_load_si512(codes + 64 * g);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      const int64_t at = n * x.stride + 4 * g;
      high_sums[n] = _mm512_dpbusd_epi32(high_sums[n], group, broadcast_dword(high + at));
      low_sums[n] = _mm512_dpbusd_epi32(low_sums[n], group, broadcast_dword(low + at));
    }
  }
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) {
    const int32_t sum = x.sum[(token + n) * (x.stride / kScreenBlock) + block];
    const __m512i both = _mm512_add_epi32(_mm512_slli_epi32(high_sums[n], 8), low_sums[n]);
    sums[n] = _mm512_sub_epi32(both, _mm512_set1_epi32(128 * sum));
  }
}

}  // namespace
}  // namespace bitnet

#include "compute/cpu/screen.h"
