// What screen_matmul's integer sums (compute/cpu/screen.h) look like in NEON registers.
#pragma once

#include <arm_neon.h>

#include "compute/cpu/screen_codes.h"

namespace bitnet {
namespace {

struct IntLanes {
  int32x4_t v[4];  // rows 0..3, 4..7, 8..11, 12..15
};
typedef uint16_t ScreenWords __attribute__((vector_size(16)));

inline Lanes to_lanes(const IntLanes& sums) noexcept {
  return each([&](int i) { return vcvtq_f32_s32(sums.v[i]); });
}

// lane l: the sum of products(codes, 16 bytes of x), both signed bytes, over columns 4l..4l+3.
template <class Products>
inline IntLanes rest_sums_by(const Products& products, const uint8_t* codes, const int8_t* high,
                             const int8_t* low) noexcept {
  typedef uint8_t Bytes __attribute__((vector_size(16)));
  const Bytes bytes = reinterpret_cast<Bytes>(vld1q_u8(codes));
  IntLanes sums;
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const int8x16_t columns = reinterpret_cast<int8x16_t>((bytes >> (2 * j)) & 3);
    const int32x4_t upper = products(columns, vld1q_s8(high + 16 * j));
    const int32x4_t lower = products(columns, vld1q_s8(low + 16 * j));
    sums.v[j] = vaddq_s32(vshlq_n_s32(upper, 8), lower);
  }
  return sums;
}

}  // namespace
}  // namespace bitnet
