// Reading a stream with NEON registers: shared by all tables of AArch64.
#pragma once

#include <arm_neon.h>

#include "compute/cpu/float_verbs.h"

namespace bitnet {
namespace {

uint64_t read_stream(const uint8_t* data, int64_t bytes, Reading reading) noexcept {
  uint64x2_t sums[4];
  for (uint64x2_t& sum : sums) sum = vdupq_n_u64(0);
  int64_t i = 0;
  for (; i + 64 <= bytes; i += 64) {
    if (reading == Reading::kPairs) prefetch_line(data + i);
    for (int s = 0; s < 4; ++s) {
      sums[s] = vaddq_u64(sums[s], vreinterpretq_u64_u8(vld1q_u8(data + i + 16 * s)));
    }
  }
  const uint64x2_t sum = vaddq_u64(vaddq_u64(sums[0], sums[1]), vaddq_u64(sums[2], sums[3]));
  return vaddvq_u64(sum) + sum_words(data + i, bytes - i);
}

}  // namespace
}  // namespace bitnet
