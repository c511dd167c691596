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

#include "sample/exp_log.h"
#include "sample/philox.h"

namespace bitnet {

// The blocks of tokens 4 * first .. 4 * (first + Lanes) - 1.
template <int Lanes>
inline PhiloxBlocks<Lanes> noise_blocks(uint64_t seed, uint64_t draw, uint32_t first,
                                        uint32_t stream) noexcept {
  PhiloxBlocks<Lanes> blocks;
  for (int j = 0; j < Lanes; ++j) {
    blocks.word[0][j] = static_cast<uint32_t>(draw);
    blocks.word[1][j] = static_cast<uint32_t>(draw >> 32);
    blocks.word[2][j] = first + static_cast<uint32_t>(j);
    blocks.word[3][j] = stream;
  }
  philox4x32_10(blocks, seed);
  return blocks;
}

inline double gumbel_noise(uint64_t seed, uint64_t draw, int32_t token) noexcept {
  const uint32_t id = static_cast<uint32_t>(token);
  const uint64_t high = noise_blocks<1>(seed, draw, id / 4, 0).word[id % 4][0];
  const uint64_t low = noise_blocks<1>(seed, draw, id / 4, 1).word[id % 4][0] >> 12;
  const double u = static_cast<double>(((high << 20 | low) << 1) + 1) * 0x1p-53;
  return -sample_log(-sample_log(u));
}

}  // namespace bitnet
