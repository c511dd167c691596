// Ternary tensors of files to codes, one by one, and to the tiles of compute/ops.h, sixteen at a
// time.
//
// Every 2-bit file type keeps, at 16 consecutive bytes, 4 x 16 codes: byte n holds code n of four
// runs of 16 codes, one run in each of its 2-bit fields. A tile wants the 16 codes of a run in one
// 32-bit word, four to a byte. So packing is a transposition of 4 words x 4 fields (transpose), the
// same one for all of them; only the runs' places differ:
//
//   I2_S "128"   32 bytes are 128 columns of a row; field at bits 6-2k: columns 32k..32k+31
//   I2_S "64"    16 bytes are  64 columns of a row; field at bits 6-2k: columns 16k..16k+15
//   I2_S "4-row" 16 bytes are 16 columns of 4 rows; field at bits 6-2k: row k
//   TQ2_0        32 bytes are 128 columns of a row; field at bits   2k: columns 32k..32k+31
//
// TQ1_0 stores five codes a byte in base 3 and is unpacked first. Source: formats.md 2.1, 2.4.
#include <algorithm>
#include <cinttypes>
#include <cstring>

#include "file/load.h"
#include "file/show.h"
#include "model/model.h"

namespace bitnet {
namespace {

constexpr int64_t kGroup = kGroupCols;  // codes of one row in one word of a tile
constexpr int64_t kTqBlock = 256;
constexpr int64_t kTq1Bytes = 54, kTq2Bytes = 66;  // the last two are d
constexpr uint32_t kZeros = 0x55555555;            // sixteen codes 1
constexpr uint64_t kLowBits = 0x5555555555555555;  // of each 2-bit field

void store(uint8_t* to, uint32_t word) noexcept {
  std::memcpy(to, &word, sizeof word);
}

// Nonzero if one of the 64 fields of 16 bytes is 3.
uint64_t invalid_fields(const uint8_t* bytes) noexcept {
  const auto low = load<uint64_t>(bytes), high = load<uint64_t>(bytes + 8);
  return ((low & (low >> 1)) | (high & (high >> 1))) & kLowBits;
}

struct Runs {
  uint32_t word[4];  // word[k]: byte b, bits 2i..2i+1 = bits 2k..2k+1 of bytes[4i + b]
};

// Two rounds of swaps: fields between neighbouring words, then pairs of fields between pairs of
// words.
Runs transpose(const uint8_t* bytes) noexcept {
  const auto a = load<uint32_t>(bytes), b = load<uint32_t>(bytes + 4);
  const auto c = load<uint32_t>(bytes + 8), d = load<uint32_t>(bytes + 12);
  constexpr uint32_t kEven = 0x33333333, kLow = 0x0f0f0f0f;
  const uint32_t ab0 = (a & kEven) | ((b & kEven) << 2);
  const uint32_t ab1 = ((a >> 2) & kEven) | (b & ~kEven);
  const uint32_t cd0 = (c & kEven) | ((d & kEven) << 2);
  const uint32_t cd1 = ((c >> 2) & kEven) | (d & ~kEven);
  return {{(ab0 & kLow) | ((cd0 & kLow) << 4), (ab1 & kLow) | ((cd1 & kLow) << 4),
           ((ab0 >> 4) & kLow) | (cd0 & ~kLow), ((ab1 >> 4) & kLow) | (cd1 & ~kLow)}};
}

bool is_zero_block(const uint8_t* d) noexcept {
  return (load<uint16_t>(d) & 0x7fff) == 0;
}

int64_t i2s_code(const Projection& p, int64_t row, int64_t col) noexcept {
  const int64_t e = row * p.cols + col;  // blocks run over the flat tensor
  switch (p.layout) {
    case I2sLayout::k128:
      return p.data[static_cast<size_t>(e / 128 * 32 + e % 32)] >> (6 - e % 128 / 32 * 2) & 3;
    case I2sLayout::k64:
      return p.data[static_cast<size_t>(e / 64 * 16 + e % 16)] >> (6 - e % 64 / 16 * 2) & 3;
    case I2sLayout::k4Row:
      return p.data[static_cast<size_t>(row / 4 * p.cols + col)] >> (6 - row % 4 * 2) & 3;
  }
  return 3;
}

int64_t tq2_code(const uint8_t* block, int64_t i) noexcept {
  if (is_zero_block(block + kTq2Bytes - 2)) return 1;
  return block[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
}

// Digit n of a byte that is a fraction of 256 in base 3, most significant first.
int64_t base3_digit(uint8_t byte, int64_t n) noexcept {
  constexpr uint32_t kPowers[] = {1, 3, 9, 27, 81};
  return (byte * kPowers[n] & 0xff) * 3 >> 8;
}

int64_t tq1_code(const uint8_t* block, int64_t i) noexcept {
  if (is_zero_block(block + kTq1Bytes - 2)) return 1;
  if (i < 160) return base3_digit(block[i % 32], i / 32);
  if (i < 240) return base3_digit(block[32 + i % 16], (i - 160) / 16);
  return base3_digit(block[48 + i % 4], (i - 240) / 4);
}

// The definition all of the packing below is tested against.
int64_t code_at(const Projection& p, int64_t row, int64_t col) noexcept {
  if (p.type == TensorType::kI2_S) return i2s_code(p, row, col);
  const int64_t block = (row * p.cols + col) / kTqBlock;
  if (p.type == TensorType::kTQ1_0) {
    return tq1_code(p.data.data() + block * kTq1Bytes, col % kTqBlock);
  }
  return tq2_code(p.data.data() + block * kTq2Bytes, col % kTqBlock);
}

Status invalid_code(const Projection& p, int64_t row, int64_t col) noexcept {
  return Status::error(BITNET_E_FORMAT,
                       "%s: row %" PRId64 ", column %" PRId64 " has code 3, expected 0, 1 or 2",
                       shown(p.name).text, row, col);
}

// Where the code 3 is that packing rows [first, last) came upon.
Status find_invalid_code(const Projection& p, int64_t first, int64_t last) noexcept {
  for (int64_t row = first; row < last; ++row) {
    for (int64_t col = 0; col < p.cols; ++col) {
      if (code_at(p, row, col) == 3) return invalid_code(p, row, col);
    }
  }
  return Status::error(BITNET_E_INTERNAL, "%s: packing and unpacking disagree", shown(p.name).text);
}

// One row of a tile: words of its groups, kGroupBytes apart.
struct TileRow {
  uint8_t* to;
  void put(int64_t group, uint32_t word) const noexcept { store(to + group * kGroupBytes, word); }
};

// Packers of one row (of four for k4Row). They return nonzero if a code is 3.

uint64_t pack_i2s_128(const uint8_t* from, int64_t cols, TileRow row) noexcept {
  uint64_t invalid = 0;
  for (int64_t group = 0; group < cols / kGroup; group += 8, from += 32) {
    for (int64_t half = 0; half < 2; ++half) {
      invalid |= invalid_fields(from + 16 * half);
      const Runs runs = transpose(from + 16 * half);
      for (int64_t k = 0; k < 4; ++k) row.put(group + 2 * k + half, runs.word[3 - k]);
    }
  }
  return invalid;
}

uint64_t pack_i2s_64(const uint8_t* from, int64_t cols, TileRow row) noexcept {
  uint64_t invalid = 0;
  for (int64_t group = 0; group < cols / kGroup; group += 4, from += 16) {
    invalid |= invalid_fields(from);
    const Runs runs = transpose(from);
    for (int64_t k = 0; k < 4; ++k) row.put(group + k, runs.word[3 - k]);
  }
  return invalid;
}

uint64_t pack_i2s_4row(const uint8_t* from, int64_t cols, TileRow row) noexcept {
  uint64_t invalid = 0;
  for (int64_t group = 0; group < cols / kGroup; ++group, from += 16) {
    invalid |= invalid_fields(from);
    const Runs runs = transpose(from);
    for (int64_t k = 0; k < 4; ++k) {
      TileRow{row.to + 4 * k}.put(group, runs.word[3 - k]);
    }
  }
  return invalid;
}

void put_zeros(TileRow row, int64_t first_group, int64_t last_group) noexcept {
  for (int64_t group = first_group; group < last_group; ++group) row.put(group, kZeros);
}

uint64_t pack_tq2(const uint8_t* from, int64_t cols, TileRow row) noexcept {
  uint64_t invalid = 0;
  for (int64_t group = 0; group < cols / kGroup; group += 16, from += kTq2Bytes) {
    if (is_zero_block(from + kTq2Bytes - 2)) {
      put_zeros(row, group, group + 16);
      continue;
    }
    for (int64_t part = 0; part < 4; ++part) {  // 16 bytes each, two a half
      invalid |= invalid_fields(from + 16 * part);
      const Runs runs = transpose(from + 16 * part);
      const int64_t first = group + part / 2 * 8 + part % 2;
      for (int64_t k = 0; k < 4; ++k) row.put(first + 2 * k, runs.word[k]);
    }
  }
  return invalid;
}

// The word of a group from its codes, one a byte.
uint32_t group_word(const uint8_t* codes) noexcept {
  return load<uint32_t>(codes) | load<uint32_t>(codes + 4) << 2 | load<uint32_t>(codes + 8) << 4 |
         load<uint32_t>(codes + 12) << 6;
}

// n bytes of five digits each to codes: digit k of byte b to codes[k * n + b].
template <int kBytes, int kDigits>
void unpack_base3(const uint8_t* from, uint8_t* codes) noexcept {
  uint8_t fraction[kBytes];
  std::memcpy(fraction, from, kBytes);
  for (int k = 0; k < kDigits; ++k, codes += kBytes) {
    for (int b = 0; b < kBytes; ++b) {
      // (u * 3) >> 8, without leaving the byte: 1 from 86 = ceil(256 / 3), 2 from 171 on
      codes[b] = static_cast<uint8_t>((fraction[b] >= 86) + (fraction[b] >= 171));
      fraction[b] = static_cast<uint8_t>(fraction[b] * 3);
    }
  }
}

uint64_t pack_tq1(const uint8_t* from, int64_t cols, TileRow row) noexcept {
  for (int64_t group = 0; group < cols / kGroup; group += 16, from += kTq1Bytes) {
    if (is_zero_block(from + kTq1Bytes - 2)) {
      put_zeros(row, group, group + 16);
      continue;
    }
    uint8_t codes[kTqBlock];
    unpack_base3<32, 5>(from, codes);
    unpack_base3<16, 5>(from + 32, codes + 160);
    unpack_base3<4, 4>(from + 48, codes + 240);
    for (int64_t g = 0; g < 16; ++g) row.put(group + g, group_word(codes + kGroup * g));
  }
  return 0;
}

// Any shape, one code at a time: rows that do not start at a block.
uint64_t pack_by_code(const Projection& p, int64_t r, TileRow row) noexcept {
  uint64_t invalid = 0;
  for (int64_t first = 0; first < p.cols; first += kGroup) {
    uint8_t codes[kGroup];
    for (int64_t i = 0; i < kGroup; ++i) {
      const int64_t code = first + i < p.cols ? code_at(p, r, first + i) : 1;
      invalid |= code == 3;
      codes[i] = static_cast<uint8_t>(code);
    }
    row.put(first / kGroup, group_word(codes));
  }
  return invalid;
}

enum class Packer { kI2s128, kI2s64, kI2s4Row, kTq1, kTq2, kByCode };

Packer choose_packer(const Projection& p) noexcept {
  if (p.type == TensorType::kTQ1_0) return Packer::kTq1;
  if (p.type == TensorType::kTQ2_0) return Packer::kTq2;
  if (p.layout == I2sLayout::k128 && p.cols % 128 == 0) return Packer::kI2s128;
  if (p.layout == I2sLayout::k64 && p.cols % 64 == 0) return Packer::kI2s64;
  if (p.layout == I2sLayout::k4Row && p.cols % kGroup == 0) return Packer::kI2s4Row;
  return Packer::kByCode;
}

uint64_t pack_row(const Projection& p, Packer packer, int64_t r, TileRow row) noexcept {
  const uint8_t* data = p.data.data();
  switch (packer) {
    case Packer::kI2s128:
      return pack_i2s_128(data + r * p.cols / 4, p.cols, row);
    case Packer::kI2s64:
      return pack_i2s_64(data + r * p.cols / 4, p.cols, row);
    case Packer::kI2s4Row:  // rows come in fours, the first packs all of them
      return r % 4 == 0 ? pack_i2s_4row(data + r * p.cols / 4, p.cols, row) : 0;
    case Packer::kTq1:
      return pack_tq1(data + r * (p.cols / kTqBlock) * kTq1Bytes, p.cols, row);
    case Packer::kTq2:
      return pack_tq2(data + r * (p.cols / kTqBlock) * kTq2Bytes, p.cols, row);
    case Packer::kByCode:
      return pack_by_code(p, r, row);
  }
  return 1;
}

}  // namespace

Status unpack_codes(const Projection& p, int64_t first_row, int64_t count, uint8_t* codes) {
  for (int64_t row = first_row; row < first_row + count; ++row) {
    for (int64_t col = 0; col < p.cols; ++col) {
      const int64_t code = code_at(p, row, col);
      if (code == 3) return invalid_code(p, row, col);
      *codes++ = static_cast<uint8_t>(code);
    }
  }
  return {};
}

Status pack_tiles(const Projection& p, int64_t first_row, int64_t last_row, uint8_t* tiles) {
  const Packer packer = choose_packer(p);
  const int64_t used = (p.cols + kGroup - 1) / kGroup, groups = padded_cols(p.cols) / kGroup;
  for (int64_t first = first_row; first < last_row; first += kTileRows) {
    uint8_t* tile = tiles + (first - first_row) / kTileRows * groups * kGroupBytes;
    uint64_t invalid = 0;
    for (int64_t r = 0; r < kTileRows; ++r) {
      const TileRow row{tile + 4 * r};
      if (first + r >= p.rows) {
        put_zeros(row, 0, groups);
        continue;
      }
      invalid |= pack_row(p, packer, first + r, row);
      put_zeros(row, used, groups);
    }
    if (invalid) return find_invalid_code(p, first, std::min(first + kTileRows, p.rows));
  }
  return {};
}

bool has_file_rows(const Projection& p) noexcept {
  if (!p.ternary) return false;
  if (p.type == TensorType::kTQ2_0) return p.cols % kTqBlock == 0;
  return p.type == TensorType::kI2_S && p.layout == I2sLayout::k128 && p.cols % kFileBlockCols == 0;
}

FileOrder file_order(const Projection& p) noexcept {
  return p.type == TensorType::kTQ2_0 ? FileOrder::kBottomUp : FileOrder::kTopDown;
}

TernaryMatrix file_rows(const Projection& p) noexcept {
  const bool tq2 = p.type == TensorType::kTQ2_0;
  const int64_t row_bytes = tq2 ? p.cols / kTqBlock * kTq2Bytes : p.cols / 4;
  return {p.data.data(), p.rows, p.cols, p.scale, Packing::kFileRows, row_bytes};
}

Status check_file_rows(const Projection& p, int64_t first_row, int64_t last_row) noexcept {
  const TernaryMatrix w = file_rows(p);
  if (p.type != TensorType::kTQ2_0) {
    uint64_t invalid = 0;
    const uint8_t *at = w.tiles + first_row * w.row_bytes, *end = w.tiles + last_row * w.row_bytes;
    for (; at < end; at += 16) invalid |= invalid_fields(at);
    return invalid ? find_invalid_code(p, first_row, last_row) : Status();
  }
  for (int64_t row = first_row; row < last_row; ++row) {
    const uint8_t* block = w.tiles + row * w.row_bytes;
    for (int64_t col = 0; col < p.cols; col += kTqBlock, block += kTq2Bytes) {
      uint64_t invalid = 0, not_zero = 0;
      for (int i = 0; i < 64; i += 16) invalid |= invalid_fields(block + i);
      if (is_zero_block(block + kTq2Bytes - 2)) {
        for (int i = 0; i < 64; ++i) not_zero |= block[i] ^ (kZeros & 0xff);
        if (not_zero) {
          return Status::error(BITNET_E_UNSUPPORTED,
                               "%s: row %" PRId64 ", column %" PRId64
                               " begins a block of scale 0 with other codes than 1, which only "
                               "packed weights can be without",
                               shown(p.name).text, row, col);
        }
      } else if (invalid) {
        return find_invalid_code(p, row, row + 1);
      }
    }
  }
  return {};
}

}  // namespace bitnet
