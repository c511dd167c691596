// Codes (0, 1, 2; 3 to do harm) to the bytes of each ternary file type, one element at a time,
// straight from the formulas of formats.md 2.1 and 2.4. Written apart from src/model on purpose.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "model/model.h"
#include "support/gguf_writer.h"

namespace bitnet::test {

using Codes = std::vector<uint8_t>;  // [rows][cols]

constexpr uint16_t kHalfOne = 0x3c00, kHalfThreeQuarters = 0x3a00, kHalfInfinity = 0x7c00;

inline Codes random_codes(int64_t rows, int64_t cols, uint32_t seed) {
  std::mt19937 random(seed);
  Codes codes(static_cast<size_t>(rows * cols));
  for (uint8_t& code : codes) code = static_cast<uint8_t>(random() % 3);
  return codes;
}

inline ByteVector encode_i2s(const Codes& codes, int64_t cols, I2sLayout layout, float scale) {
  ByteVector bytes(codes.size() / 4 + 32, 0);
  for (size_t e = 0; e < codes.size(); ++e) {
    const size_t k = static_cast<size_t>(cols), row = e / k, col = e % k;
    size_t at = row / 4 * k + col, shift = 6 - 2 * (row % 4);
    if (layout == I2sLayout::k128) at = 32 * (e / 128) + e % 32, shift = 6 - 2 * (e % 128 / 32);
    if (layout == I2sLayout::k64) at = 16 * (e / 64) + e % 16, shift = 6 - 2 * (e % 64 / 16);
    bytes[at] = static_cast<uint8_t>(bytes[at] | codes[e] << shift);
  }
  std::memcpy(bytes.data() + codes.size() / 4, &scale, 4);
  return bytes;
}

inline void set_tq_scale(ByteVector& bytes, size_t block_bytes, size_t block, uint16_t d) {
  std::memcpy(bytes.data() + (block + 1) * block_bytes - 2, &d, 2);
}

inline ByteVector encode_tq2(const Codes& codes, uint16_t d) {
  ByteVector bytes(codes.size() / 256 * 66, 0);
  for (size_t e = 0; e < codes.size(); ++e) {
    const size_t i = e % 256, h = i / 128, l = i % 128 / 32, m = i % 32;
    uint8_t& byte = bytes[e / 256 * 66 + 32 * h + m];
    byte = static_cast<uint8_t>(byte | codes[e] << (2 * l));
  }
  for (size_t b = 0; b < codes.size() / 256; ++b) set_tq_scale(bytes, 66, b, d);
  return bytes;
}

inline uint8_t tq1_byte(const uint8_t* digits, size_t step, size_t count) {
  unsigned x = 0;
  for (size_t n = 0; n < 5; ++n) x = 3 * x + (n < count ? digits[n * step] : 0u);
  return static_cast<uint8_t>((256 * x + 242) / 243);
}

inline ByteVector encode_tq1(const Codes& codes, uint16_t d) {
  ByteVector bytes(codes.size() / 256 * 54, 0);
  for (size_t b = 0; b < codes.size() / 256; ++b) {
    const uint8_t* block = codes.data() + 256 * b;
    uint8_t* out = bytes.data() + 54 * b;
    for (size_t m = 0; m < 32; ++m) out[m] = tq1_byte(block + m, 32, 5);
    for (size_t m = 0; m < 16; ++m) out[32 + m] = tq1_byte(block + 160 + m, 16, 5);
    for (size_t m = 0; m < 4; ++m) out[48 + m] = tq1_byte(block + 240 + m, 4, 4);
    set_tq_scale(bytes, 54, b, d);
  }
  return bytes;
}

}  // namespace bitnet::test
