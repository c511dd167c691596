// The noise that turns sampling into an argmax: the token with the largest logit / temperature + g
// is a draw from the softmax of logit / temperature when the g are independent standard Gumbel
// numbers (the Gumbel-max trick). g depends on (seed, draw, token) alone, so a draw needs no order,
// no sums and no state, and any subset of the vocabulary that holds the winner gives the same pick.
//
//   block(s) = Philox4x32-10, key = seed, counter words = {draw low, draw high, token / 4, s}
//   h = word (token mod 4) of block(0)                       the high 32 bits
//   l = word (token mod 4) of block(1), its upper 20 bits    the low 20 bits
//   u = (2 (2^20 h + l) + 1) / 2^53                          an odd multiple of 2^-53 in (0, 1)
//   g = -log(-log(u))                                        log: sample_log, so -3.61 < g < 36.74
//
// The low bits have a block of their own because almost no token needs them: h alone proves that
// all but a few cannot win (sampler.cpp), and one block gives four h.
#pragma once

#include <cstdint>

#include "base/philox.h"
#include "sample/exp_log.h"

namespace bitnet {

// The block of tokens 4 * group .. 4 * group + 3.
constexpr PhiloxBlock noise_block(uint64_t seed, uint64_t draw, uint32_t group,
                                  uint32_t stream) noexcept {
  return philox4x32_10(
      {{static_cast<uint32_t>(draw), static_cast<uint32_t>(draw >> 32), group, stream}}, seed);
}
constexpr uint32_t noise_high_word(uint64_t seed, uint64_t draw, int32_t token) noexcept {
  return noise_block(seed, draw, static_cast<uint32_t>(token) / 4, 0).word[token % 4];
}

// token >= 0
inline double gumbel_noise(uint64_t seed, uint64_t draw, int32_t token) noexcept {
  const uint64_t high = noise_high_word(seed, draw, token);
  const uint64_t low =
      noise_block(seed, draw, static_cast<uint32_t>(token) / 4, 1).word[token % 4] >> 12;
  const double u = static_cast<double>(((high << 20 | low) << 1) + 1) * 0x1p-53;
  return -sample_log(-sample_log(u));
}

}  // namespace bitnet
