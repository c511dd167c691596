// Philox4x32-10: a counter-based random generator. Word w of counter c under key k is a pure
// function of (k, c, w): no state, any part of the stream can be computed anywhere in any order.
// Source: Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <cstdint>

namespace bitnet {

// `Lanes` independent counters side by side: word w of lane j is word[w][j].
template <int Lanes>
struct PhiloxBlocks {
  uint32_t word[4][Lanes];
};

// Encrypts the counters in place. key: low and high half of 64 bits.
template <int Lanes>
inline void philox4x32_10(PhiloxBlocks<Lanes>& blocks, uint64_t key) noexcept {
  auto& c = blocks.word;
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int j = 0; j < Lanes; ++j) {
      const uint64_t a = uint64_t{0xD2511F53} * c[0][j];
      const uint64_t b = uint64_t{0xCD9E8D57} * c[2][j];
      c[0][j] = static_cast<uint32_t>(b >> 32) ^ c[1][j] ^ k0;
      c[1][j] = static_cast<uint32_t>(b);
      c[2][j] = static_cast<uint32_t>(a >> 32) ^ c[3][j] ^ k1;
      c[3][j] = static_cast<uint32_t>(a);
    }
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
}

}  // namespace bitnet
