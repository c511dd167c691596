// screen_matmul's integer sums by sdot: 16 bytes are 4 rows x 4 columns, multiplied with the four
// activations' high and low bytes, by lane.
#pragma once

#include "compute/cpu/arm/screen_neon.h"

namespace bitnet {
namespace {

constexpr int kScreenTokens = 2;  // 2 x 4 high and 2 x 4 low sums are 16 of the 32 registers

// sums += codes times the Lane-th four of q. usdot takes codes as they are, kCodeOffset more than
// meant; sdot takes code - 128, which is the code with its top bit flipped.
#ifdef __ARM_FEATURE_MATMUL_INT8
constexpr int32_t kCodeOffset = 128;
template <int Lane>
inline int32x4_t add_products(int32x4_t sums, uint8x16_t codes, int8x16_t q) noexcept {
  return vusdotq_laneq_s32(sums, codes, q, Lane);
}
#else
constexpr int32_t kCodeOffset = 0;
template <int Lane>
inline int32x4_t add_products(int32x4_t sums, uint8x16_t codes, int8x16_t q) noexcept {
  const int8x16_t flipped = vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(0x80)));
  return vdotq_laneq_s32(sums, flipped, q, Lane);
}
#endif

// High and low bytes of 16 columns of a token.
struct ScreenColumns {
  int8x16_t high, low;
};
struct ScreenSums {
  int32x4_t high[4], low[4];

  void start(int32_t x_sum) noexcept {
    for (int32x4_t& sum : high) sum = vdupq_n_s32(0);
    for (int32x4_t& sum : low) sum = vdupq_n_s32(-kCodeOffset * x_sum);
  }
  // Rows 4i..4i+3 of one group.
  template <int Lane>
  void add(int i, uint8x16_t codes, const ScreenColumns& x) noexcept {
    high[i] = add_products<Lane>(high[i], codes, x.high);
    low[i] = add_products<Lane>(low[i], codes, x.low);
  }
  int32x4_t total(int i) const noexcept { return vaddq_s32(vshlq_n_s32(high[i], 8), low[i]); }
};

// x: the sixteen columns that this group's are the Lane-th four of.
template <int Lane, int N>
inline void add_screen_group(ScreenSums (&sums)[N], const uint8_t* group,
                             const ScreenColumns (&x)[N]) noexcept {
  prefetch_line(group);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const uint8x16_t codes = vld1q_u8(group + 16 * i);
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) sums[n].template add<Lane>(i, codes, x[n]);
  }
}

template <int N>
inline void block_sums(IntLanes (&sums)[N], const uint8_t* codes, const ScreenInput& x,
                       int64_t token, int64_t block) noexcept {
  const int64_t start = token * x.stride + kScreenBlock * block;
  ScreenSums parts[N];
  for (int n = 0; n < N; ++n) {
    parts[n].start(x.sum[(token + n) * (x.stride / kScreenBlock) + block]);
  }
  for (int64_t c = 0; c < kScreenBlock; c += 16) {
    ScreenColumns columns[N];
    for (int n = 0; n < N; ++n) {
      const int64_t at = start + n * x.stride + c;
      columns[n] = {vld1q_s8(x.high + at), vld1q_s8(x.low + at)};
    }
    const uint8_t* groups = codes + kTileRows * c;
    add_screen_group<0>(parts, groups, columns);
    add_screen_group<1>(parts, groups + 64, columns);
    add_screen_group<2>(parts, groups + 128, columns);
    add_screen_group<3>(parts, groups + 192, columns);
  }
  for (int n = 0; n < N; ++n) {
    for (int i = 0; i < 4; ++i) sums[n].v[i] = parts[n].total(i);
  }
}

}  // namespace
}  // namespace bitnet

#include "compute/cpu/screen.h"
