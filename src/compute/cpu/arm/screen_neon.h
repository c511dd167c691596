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

}  // namespace
}  // namespace bitnet
