// screen_matmul's integer sums without dot products: codes less 16 and activations as int16, four
// columns of a row at a time.
#pragma once

#include "compute/cpu/arm/screen_neon.h"

namespace bitnet {
namespace {

constexpr int kScreenTokens = 1;  // a register a row: 16 of the 32
constexpr int kPairScreenTokens = 0;

// x of 16 columns; the four of a group twice, for the rows in either half of a register.
struct ScreenColumns {
  int16x8_t x[2];

  void load(const int8_t* high, const int8_t* low) noexcept {
    const int8x16_t h = vld1q_s8(high), l = vld1q_s8(low);
    x[0] = vaddw_s8(vshll_n_s8(vget_low_s8(h), 8), vget_low_s8(l));
    x[1] = vaddw_high_s8(vshll_high_n_s8(h, 8), l);
  }
  int16x8_t of_group(int g) const noexcept {
    const int64x2_t fours = vreinterpretq_s64_s16(x[g / 2]);
    const int64x2_t four = g % 2 ? vdupq_laneq_s64(fours, 1) : vdupq_laneq_s64(fours, 0);
    return opaque(vreinterpretq_s16_s64(four));
  }
};

// A lane a column, of every fourth.
struct ScreenRows {
  int32x4_t rows[kTileRows];

  ScreenRows() noexcept {
    for (int32x4_t& row : rows) row = vdupq_n_s32(0);
  }
  template <class Codes, int G>
  void add_group(const uint8_t* half, int16x8_t x) noexcept {
    const uint8x16_t middle = opaque(vdupq_n_u8(kScreenMiddle));
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const uint8x16_t codes =
          reinterpret_cast<uint8x16_t>(Codes::template group<ScreenWords, G>(half, 16 * i));
      const auto words = [](uint16x8_t w) { return vreinterpretq_s16_u16(w); };  // modulo 2^16
      const int16x8_t upper = words(vsubl_u8(vget_low_u8(codes), vget_low_u8(middle)));
      const int16x8_t lower = words(vsubl_high_u8(codes, middle));
      rows[4 * i] = vmlal_s16(rows[4 * i], vget_low_s16(upper), vget_low_s16(x));
      rows[4 * i + 1] = vmlal_high_s16(rows[4 * i + 1], upper, x);
      rows[4 * i + 2] = vmlal_s16(rows[4 * i + 2], vget_low_s16(lower), vget_low_s16(x));
      rows[4 * i + 3] = vmlal_high_s16(rows[4 * i + 3], lower, x);
    }
  }
  int32x4_t total(int i) const noexcept {
    const int32x4_t* four = rows + 4 * i;
    return vpaddq_s32(vpaddq_s32(four[0], four[1]), vpaddq_s32(four[2], four[3]));
  }
};

template <int N, class Codes>
inline void block_sums(IntLanes (&sums)[N], const uint8_t* codes, const ScreenInput& x,
                       int64_t token, int64_t block) noexcept {
  static_assert(N == 1);
  const int64_t start = token * x.stride + kScreenBlock * block;
  ScreenRows rows;
  const int8_t *high = x.high + start, *low = x.low + start;
  for (int half = 0; half < 2; ++half) {
    ScreenColumns columns;
    each_group([&](auto group) __attribute__((always_inline)) {
      constexpr int kG = decltype(group)::kIndex;
      if (kG % 4 == 0) columns.load(high + 4 * kG, low + 4 * kG);
      rows.add_group<Codes, kG>(codes, columns.of_group(kG % 4));
    });
    codes += Codes::kHalfBytes;
    high += kScreenHalfCols;
    low += kScreenHalfCols;
  }
  for (int i = 0; i < 4; ++i) sums[0].v[i] = rows.total(i);
}

inline IntLanes rest_sums(const uint8_t* codes, const int8_t* high, const int8_t* low) noexcept {
  const auto products = [](int8x16_t columns, int8x16_t x) {
    return vpaddq_s32(vpaddlq_s16(vmull_s8(vget_low_s8(columns), vget_low_s8(x))),
                      vpaddlq_s16(vmull_high_s8(columns, x)));
  };
  return rest_sums_by(products, codes, high, low);
}

}  // namespace
}  // namespace bitnet

#include "compute/cpu/screen.h"
