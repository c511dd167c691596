// Ternary products by sdot: four int8 products added to an int32 lane, the activations by lane.
// Shared by the tables that have it.
#pragma once

#include "compute/cpu/arm/ternary_tiles.h"

namespace bitnet {
namespace {

// Codes stay in their place in the byte where that fits int8: plane 1 is four times too large,
// plane 2 sixteen times. So a product is at most 32 * 128 and int32 holds all of 2 million columns.
struct PackedRows {
  int32x4_t low = vdupq_n_s32(0), times4 = vdupq_n_s32(0), times16 = vdupq_n_s32(0);

  // 4 rows x 16 columns.
  void add(const uint8_t* bytes, int8x16_t q, const uint8x16_t (&masks)[3]) noexcept {
    const uint8x16_t codes = vld1q_u8(bytes);
    const auto plane = [&](int p) { return vreinterpretq_s8_u8(vandq_u8(codes, masks[p])); };
    low = vdotq_laneq_s32(low, plane(0), q, 0);
    times4 = vdotq_laneq_s32(times4, plane(1), q, 1);
    times16 = vdotq_laneq_s32(times16, plane(2), q, 2);
    low = vdotq_laneq_s32(low, vreinterpretq_s8_u8(vshrq_n_u8(codes, 6)), q, 3);
  }
  int32x4_t total() const noexcept {  // exact: multiples of 4 and 16
    return vsraq_n_s32(vsraq_n_s32(low, times4, 2), times16, 4);
  }
};

inline TileSums tile_one(const uint8_t* tile, int64_t groups, const int8_t* q) noexcept {
  const uint8x16_t masks[3] = {opaque(vdupq_n_u8(0x03)), opaque(vdupq_n_u8(0x0c)),
                               opaque(vdupq_n_u8(0x30))};
  PackedRows a, b, c, d;
  for (int64_t g = 0; g < groups; ++g) {
    const uint8_t* group = tile + 64 * g;
    prefetch_line(group);
    const int8x16_t columns = vld1q_s8(q + 16 * g);
    a.add(group, columns, masks);
    b.add(group + 16, columns, masks);
    c.add(group + 32, columns, masks);
    d.add(group + 48, columns, masks);
  }
  return {{a.total(), b.total(), c.total(), d.total()}};
}

}  // namespace
}  // namespace bitnet
