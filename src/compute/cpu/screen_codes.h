// The 5-bit codes of a screen's tiles (compute/ops.h), in registers of any processor.
//
// Internal linkage, and nothing from the C++ library: this is compiled for newer processors.
#pragma once

#include "compute/cpu/float_verbs.h"

namespace bitnet {
namespace {

template <class Words>
inline Words load_words(const uint8_t* bytes) noexcept {
  Words words;
  std::memcpy(&words, bytes, sizeof words);
  return words;
}

// Codes of group G, a byte each, from the half of a block at `half`; `offset` bytes into the group,
// as many as a vector of 16-bit words has. What the shifts of words bring over from a neighbouring
// byte is not among the bits that are kept.
struct PackedCodes {
  static constexpr int64_t kHalfBytes = kScreenHalfBytes;

  template <class Words, int G>
  static inline __attribute__((always_inline)) Words group(const uint8_t* half,
                                                           int offset) noexcept {
    const Words upper = load_words<Words>(half + offset);
    const Words lower = load_words<Words>(half + 64 * (1 + G / 2) + offset);
    const Words bits = G < 4 ? upper << (G < 4 ? 4 - G : 0) : upper >> (G < 4 ? 0 : G - 4);
    return ((G % 2 ? lower >> 4 : lower) & 0x0f0f) | (bits & 0x1010);
  }
};
// The same where they have been unpacked.
struct ByteCodes {
  static constexpr int64_t kHalfBytes = 64 * kScreenHalfGroups;

  template <class Words, int G>
  static inline __attribute__((always_inline)) Words group(const uint8_t* half,
                                                           int offset) noexcept {
    return load_words<Words>(half + 64 * G + offset);
  }
};

template <int G>
struct Group {
  static constexpr int kIndex = G;
};
// body(Group<g>) for the groups of a half.
template <class Body>
inline __attribute__((always_inline)) void each_group(const Body& body) noexcept {
  static_assert(kScreenHalfGroups == 8);
  body(Group<0>{});
  body(Group<1>{});
  body(Group<2>{});
  body(Group<3>{});
  body(Group<4>{});
  body(Group<5>{});
  body(Group<6>{});
  body(Group<7>{});
}
constexpr int kScreenHalfCols = 4 * kScreenHalfGroups;

constexpr int64_t kUnpackedBytes = 2 * ByteCodes::kHalfBytes;  // of a tile and block

// In registers as wide as those the bytes are read with, or reading would wait for the writes.
template <class Words>
inline void unpack_block(uint8_t* bytes, const uint8_t* codes) noexcept {
  for (int half = 0; half < 2; ++half) {
    each_group([&](auto group) __attribute__((always_inline)) {
      constexpr int kG = decltype(group)::kIndex;
#pragma GCC unroll 4
      for (int offset = 0; offset < 64; offset += static_cast<int>(sizeof(Words))) {
        const Words words = PackedCodes::group<Words, kG>(codes, offset);
        std::memcpy(bytes + 64 * kG + offset, &words, sizeof words);
      }
    });
    codes += PackedCodes::kHalfBytes;
    bytes += ByteCodes::kHalfBytes;
  }
}

}  // namespace
}  // namespace bitnet
