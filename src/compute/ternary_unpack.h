// Ternary matrices in other packings (compute/ops.h) to two-bit tiles: what every processor does
// alike. Short loops over bytes, compiled once for each processor, which lets the compiler
// vectorize them; a processor's file may bring a faster body of its own.
//
// Base 3. Of every 5 groups g0..g4 of a two-bit tile the first four keep their place and take in
// the planes of the fifth: byte i of vector k (k = 0..3) is
//   84*f + 28*d + 9*c + 3*b + a,    a, b, c, d: planes 0..3 of byte i of group gk,
//                                   f: plane k of byte i of group g4.
// 84 and 28 and not 81 and 27, because multiples of 4 let a table of 64 entries tell d and f from
// the upper six bits (VBMI), and because bits 2k..2k+1 of 84*f are f for k = 1, 2, 3.
//
// Internal linkage throughout, and nothing from the C++ library: this is compiled for newer
// processors.
#pragma once

#include <cstdint>
#include <cstring>

#include "compute/ops.h"

namespace bitnet {
namespace {

constexpr uint8_t kFifthStep = 84, kFourthStep = 28;
static_assert(2 * (kFifthStep + kFourthStep + 9 + 3 + 1) <= 255);
static_assert(kFourthStep >= 27 && kFifthStep >= 3 * kFourthStep && kFifthStep % 4 == 0);
static_assert(kFifthStep == 0x54 && 2 * kFifthStep == 0xa8);  // f in bits 2-3, 4-5 and 6-7

// 16 bytes, in a register of any processor.
typedef uint8_t Bytes16 __attribute__((vector_size(16)));

inline Bytes16 load16(const uint8_t* from) noexcept {
  Bytes16 v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
inline void store16(uint8_t* to, Bytes16 v) noexcept {
  std::memcpy(to, &v, sizeof v);
}
inline Bytes16 smaller(Bytes16 a, Bytes16 b) noexcept {
  return a < b ? a : b;
}
// v mod step, v < 3 * step: where step does not go into v, v - step wraps around and is larger.
inline Bytes16 modulo(Bytes16 v, uint8_t step) noexcept {
  v = smaller(v, v - step);
  return smaller(v, v - step);
}

// Four vectors of base 3 to five groups.
inline void expand_base3_set(uint8_t* groups, const uint8_t* vectors) noexcept {
  for (int i = 0; i < kGroupBytes; i += 16) {
    Bytes16 fifth_group = {};
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const Bytes16 v = load16(vectors + kGroupBytes * k + i);
      const Bytes16 four_digits = modulo(v, kFifthStep), three = modulo(four_digits, kFourthStep);
      const Bytes16 two = modulo(three, 9), one = modulo(two, 3);
      // 84 f has f in bits 2-3, 4-5 and 6-7, 18 c has c in bits 4-5; 28 d is 0, 0x1c or 0x38, and
      // 3 b is 0, 3 or 6: each has a bit for 1 and another for 2.
      const Bytes16 f = v - four_digits, d = four_digits - three, c = three - two, b = two - one;
      const uint8_t place_of_f = static_cast<uint8_t>(3 << 2 * k);
      fifth_group |= (k == 0 ? f >> 2 : f) & place_of_f;
      const Bytes16 fourth = ((d << 4) & 0x40) | ((d << 2) & 0x80);
      const Bytes16 second = ((b << 2) & 0x04) | ((b << 1) & 0x08);
      store16(groups + kGroupBytes * k + i, one | second | ((c + c) & 0x30) | fourth);
    }
    store16(groups + kGroupBytes * 4 + i, fifth_group);
  }
}

// One tile of base 3 to two bits, by whatever expands a set.
template <class ExpandSet>
inline void expand_base3_tile(uint8_t* groups, const uint8_t* tile, int64_t count,
                              const ExpandSet& expand_set) noexcept {
  for (; count >= 5; count -= 5) {
    expand_set(groups, tile);
    groups += 5 * kGroupBytes;
    tile += 4 * kGroupBytes;
  }
  std::memcpy(groups, tile, static_cast<size_t>(count * kGroupBytes));
}

// Where blocks of a file's row are: 66 bytes for every two of them, or 64.
inline int64_t file_block_offset(const TernaryMatrix& w, int64_t block) noexcept {
  const bool gaps = 4 * w.row_bytes != w.cols;
  return kFileBlockBytes * block + (gaps ? block / 2 * 2 : 0);
}

// The rows of tile t where a file keeps them; the last one again for those that are missing.
struct FileTile {
  const uint8_t* row[kTileRows];

  FileTile(const TernaryMatrix& w, int64_t t) noexcept {
    for (int64_t r = 0; r < kTileRows; ++r) {
      const int64_t at = kTileRows * t + r;
      row[r] = w.tiles + (at < w.rows ? at : w.rows - 1) * w.row_bytes;
    }
  }
};

// The block at `offset` of 16 rows to 8 groups: a transposition of 16 x 8 words of four bytes.
inline void gather_file_block(uint8_t* groups, const FileTile& rows, int64_t offset) noexcept {
  for (int64_t r = 0; r < kTileRows; ++r) {
    uint32_t words[kFileBlockBytes / 4];
    std::memcpy(words, rows.row[r] + offset, sizeof words);
    for (int64_t i = 0; i < kFileBlockBytes / 4; ++i) {
      std::memcpy(groups + kGroupBytes * i + 4 * r, &words[i], 4);
    }
  }
}

// Tile t of a kFileRows matrix to two bits, by whatever gathers a block.
template <class GatherBlock>
inline void gather_file_tile(uint8_t* groups, const TernaryMatrix& w, int64_t t,
                             const GatherBlock& gather_block) noexcept {
  const FileTile rows(w, t);
  for (int64_t block = 0; block < w.cols / kFileBlockCols; ++block) {
    gather_block(groups + 8 * kGroupBytes * block, rows, file_block_offset(w, block));
  }
}

// Tile t as two bits: where it lies, or brought into scratch (tile_bytes(kTwoBit, w.cols)).
template <class ExpandSet, class GatherBlock>
inline const uint8_t* two_bit_tile(const TernaryMatrix& w, int64_t t, uint8_t* scratch,
                                   const ExpandSet& expand_set,
                                   const GatherBlock& gather_block) noexcept {
  switch (w.packing) {
    case Packing::kTwoBit:
      break;
    case Packing::kBase3:
      expand_base3_tile(scratch, tile_stream(w, t), padded_cols(w.cols) / kGroupCols, expand_set);
      return scratch;
    case Packing::kFileRows:
      gather_file_tile(scratch, w, t, gather_block);
      return scratch;
  }
  return tile_stream(w, t);
}
inline const uint8_t* two_bit_tile(const TernaryMatrix& w, int64_t t, uint8_t* scratch) noexcept {
  return two_bit_tile(w, t, scratch, expand_base3_set, gather_file_block);
}

}  // namespace
}  // namespace bitnet
