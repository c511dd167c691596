// screen_matmul's integer sums by sdot: 16 bytes are 4 rows x 4 columns, multiplied with the four
// activations' high and low bytes, by lane. Codes are small enough to be signed bytes as well.
#pragma once

#include "compute/cpu/arm/screen_neon.h"

namespace bitnet {
namespace {

constexpr int kScreenTokens = 2;  // 2 x 4 high and 2 x 4 low sums are 16 of the 32 registers
constexpr int kPairScreenTokens = 0;
static_assert(kScreenCodes <= 128);

template <int N, class Codes>
inline void block_sums(IntLanes (&sums)[N], const uint8_t* codes, const ScreenInput& x,
                       int64_t token, int64_t block) noexcept {
  const int8_t* high = x.high + token * x.stride + kScreenBlock * block;
  const int8_t* low = x.low + token * x.stride + kScreenBlock * block;
  IntLanes high_sums[N], low_sums[N];
  for (int n = 0; n < N; ++n) {
    const int32_t sum = x.sum[(token + n) * (x.stride / kScreenBlock) + block];
    for (int32x4_t& four : high_sums[n].v) four = vdupq_n_s32(0);
    for (int32x4_t& four : low_sums[n].v) four = vdupq_n_s32(-kScreenMiddle * sum);
  }
  for (int half = 0; half < 2; ++half) {
    int8x16_t high16[N], low16[N];
    each_group([&](auto group) __attribute__((always_inline)) {
      constexpr int kG = decltype(group)::kIndex;
      for (int n = 0; n < N && kG % 4 == 0; ++n) {
        high16[n] = vld1q_s8(high + n * x.stride + 4 * kG);
        low16[n] = vld1q_s8(low + n * x.stride + 4 * kG);
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const int8x16_t rows =
            reinterpret_cast<int8x16_t>(Codes::template group<ScreenWords, kG>(codes, 16 * i));
#pragma GCC unroll 2
        for (int n = 0; n < N; ++n) {
          int32x4_t &high_sum = high_sums[n].v[i], &low_sum = low_sums[n].v[i];
          high_sum = vdotq_laneq_s32(high_sum, rows, high16[n], kG % 4);
          low_sum = vdotq_laneq_s32(low_sum, rows, low16[n], kG % 4);
        }
      }
    });
    codes += Codes::kHalfBytes;
    high += kScreenHalfCols;
    low += kScreenHalfCols;
  }
  for (int n = 0; n < N; ++n) {
    for (int i = 0; i < 4; ++i) {
      sums[n].v[i] = vaddq_s32(vshlq_n_s32(high_sums[n].v[i], 8), low_sums[n].v[i]);
    }
  }
}

inline IntLanes rest_sums(const uint8_t* codes, const int8_t* high, const int8_t* low) noexcept {
  const auto products = [](int8x16_t columns, int8x16_t x) {
    return vdotq_s32(vdupq_n_s32(0), columns, x);
  };
  return rest_sums_by(products, codes, high, low);
}

}  // namespace
}  // namespace bitnet

#include "compute/cpu/screen.h"
