// screen_matmul's integer sums with AVX2: the codes of 8 rows x 4 columns are multiplied with the
// four activations' high and low bytes, broadcast, to sums of two in 16 bits.
#pragma once

#include "compute/cpu/x86/screen_avx.h"

namespace bitnet {
namespace {

constexpr int kScreenTokens = 4;  // 4 x 2 sums and the codes are 12 of the 16 registers
constexpr int kPairScreenTokens = 0;

// The products of groups G..G+3 of half a block with bytes of their columns, from the first of them
// on: sums of two in 16 bits, which hold four groups, and of four added to `sum`.
static_assert(4 * 2 * (kScreenCodes - 1) * 128 <= INT16_MAX);
struct FourGroups {
  __m256i codes[4];

  template <class Codes, int G>
  static inline __attribute__((always_inline)) FourGroups of(const uint8_t* half,
                                                             int offset) noexcept {
    return {{reinterpret_cast<__m256i>(Codes::template group<ScreenWords, G>(half, offset)),
             reinterpret_cast<__m256i>(Codes::template group<ScreenWords, G + 1>(half, offset)),
             reinterpret_cast<__m256i>(Codes::template group<ScreenWords, G + 2>(half, offset)),
             reinterpret_cast<__m256i>(Codes::template group<ScreenWords, G + 3>(half, offset))}};
  }
  inline __attribute__((always_inline)) __m256i add_to(__m256i sum,
                                                       const int8_t* bytes) const noexcept {
    const __m256i a = _mm256_maddubs_epi16(codes[0], broadcast_dword(bytes));
    const __m256i b = _mm256_maddubs_epi16(codes[1], broadcast_dword(bytes + 4));
    const __m256i c = _mm256_maddubs_epi16(codes[2], broadcast_dword(bytes + 8));
    const __m256i d = _mm256_maddubs_epi16(codes[3], broadcast_dword(bytes + 12));
    const __m256i twos = _mm256_add_epi16(_mm256_add_epi16(a, b), _mm256_add_epi16(c, d));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(twos, _mm256_set1_epi16(1)));
  }
};

// sums[n] = what IntLanes holds of the 8 rows that are `offset` bytes into a group.
template <int N, class Codes>
inline void rows_sums(__m256i (&sums)[N], const uint8_t* codes, int offset, const ScreenInput& x,
                      int64_t token, int64_t block) noexcept {
  const int64_t start = token * x.stride + kScreenBlock * block;
  const int8_t *high = x.high + start, *low = x.low + start;
  __m256i high_sums[N], low_sums[N];
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) high_sums[n] = low_sums[n] = _mm256_setzero_si256();
  const auto add = [&](const FourGroups& groups) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      high_sums[n] = groups.add_to(high_sums[n], high + n * x.stride);
      low_sums[n] = groups.add_to(low_sums[n], low + n * x.stride);
    }
    high += kScreenHalfCols / 2;
    low += kScreenHalfCols / 2;
  };
  for (int half = 0; half < 2; ++half) {
    add(FourGroups::of<Codes, 0>(codes + half * Codes::kHalfBytes, offset));
    add(FourGroups::of<Codes, 4>(codes + half * Codes::kHalfBytes, offset));
  }
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) {
    const int32_t sum = x.sum[(token + n) * (x.stride / kScreenBlock) + block];
    const __m256i both = _mm256_add_epi32(_mm256_slli_epi32(high_sums[n], 8), low_sums[n]);
    sums[n] = _mm256_sub_epi32(both, _mm256_set1_epi32(kScreenMiddle * sum));
  }
}

template <int N, class Codes>
inline void block_sums(IntLanes (&sums)[N], const uint8_t* codes, const ScreenInput& x,
                       int64_t token, int64_t block) noexcept {
  __m256i low[N], high[N];
  rows_sums<N, Codes>(low, codes, 0, x, token, block);
  rows_sums<N, Codes>(high, codes, 32, x, token, block);
  for (int n = 0; n < N; ++n) sums[n] = {low[n], high[n]};
}

inline __m256i rest_products(__m256i codes, const int8_t* high, const int8_t* low) noexcept {
  const auto sums = [&](const int8_t* x) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(codes, bytes), _mm256_set1_epi16(1));
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
