// Heads and hidden states that look for trouble: ties, rows one unit in the last place apart,
// outliers, zeros, subnormal and huge numbers, infinities and NaN; in every stored type.
#ifndef TESTS_SUPPORT_HEADS_H
#define TESTS_SUPPORT_HEADS_H

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "compute/ops.h"

namespace bitnet::test {

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  int64_t up_to(int64_t last) { return std::uniform_int_distribution<int64_t>(0, last)(engine_); }
  int64_t from(int64_t first, int64_t last) { return first + up_to(last - first); }
  bool one_in(int64_t n) { return up_to(n - 1) == 0; }
  uint32_t bits() { return static_cast<uint32_t>(engine_()); }
  float normal() { return normal_(engine_); }
  template <class T>
  T one_of(std::initializer_list<T> list) {
    return list.begin()[up_to(static_cast<int64_t>(list.size()) - 1)];
  }

 private:
  std::mt19937 engine_;
  std::normal_distribution<float> normal_;
};

enum class Rows { kUsual, kAdversarial };

struct Head {
  std::vector<uint8_t> data;
  DenseMatrix matrix;

  // cols is rounded up to what the type can store.
  Head(Random& random, DenseType type, int64_t rows, int64_t cols, Rows kind) {
    const int64_t unit = type <= DenseType::kBF16 ? 1 : type < DenseType::kQ4_K ? 32 : 256;
    cols = (cols + unit - 1) / unit * unit;
    const int64_t row_bytes = dense_row_bytes(type, cols);
    data.resize(static_cast<size_t>(rows * row_bytes));
    matrix = {data.data(), type, rows, cols, row_bytes};
    std::vector<float> row(static_cast<size_t>(cols)), previous(row);
    for (int64_t r = 0; r < rows; ++r) {
      uint8_t* at = data.data() + r * row_bytes;
      if (type > DenseType::kBF16) {
        fill_blocks(random, at, type, row_bytes, kind);
        if (kind == Rows::kAdversarial && r > 0 && random.one_in(8)) {
          std::memcpy(at, at - row_bytes, static_cast<size_t>(row_bytes));
        }
        continue;
      }
      fill(random, row, previous, kind);
      store(at, type, row);
      previous = row;
    }
  }

 private:
  static void fill(Random& random, std::vector<float>& row, const std::vector<float>& previous,
                   Rows kind) {
    for (float& x : row) x = random.normal();
    if (kind == Rows::kUsual || !random.one_in(2)) return;
    const size_t at = static_cast<size_t>(random.up_to(static_cast<int64_t>(row.size()) - 1));
    switch (random.up_to(12)) {
      case 0:
        row = previous;
        break;
      case 1:
        row = previous;
        row[at] = std::nextafter(row[at], 1e30f);
        break;
      case 2:
        row.assign(row.size(), 0.0f);
        break;
      case 3:
        row[at] *= random.one_of({30.0f, 1e4f, -1e7f});
        break;
      case 4:
        for (float& x : row) x *= random.one_of({1e-30f, 1e-20f, 1e-6f});
        break;
      case 5:
        for (float& x : row) x *= 1e-40f;
        break;
      case 6:
        for (float& x : row) x *= 1e14f;
        break;
      case 7:
        for (float& x : row) x *= random.one_of({1e16f, 1e30f, 1e38f});
        break;
      case 8:
        row[at] = random.one_of({INFINITY, -INFINITY, NAN});
        break;
      case 9:
        for (float& x : row) x = std::round(x);
        break;
      case 10:
        row.assign(row.size(), 0.0f);
        row[at] = random.normal();
        break;
      case 11:
        for (float& x : row) x = std::fabs(x);
        break;
      default:
        for (size_t i = 0; i < row.size(); ++i) row[i] = -previous[i];
    }
  }

  static void store(uint8_t* at, DenseType type, const std::vector<float>& row) {
    if (type == DenseType::kF32) {
      std::memcpy(at, row.data(), row.size() * 4);
    } else if (type == DenseType::kF16) {
      std::vector<uint16_t> halves(row.size());
      reference_ops().to_half(halves.data(), row.data(), static_cast<int64_t>(row.size()));
      std::memcpy(at, halves.data(), row.size() * 2);
    } else {
      for (size_t i = 0; i < row.size(); ++i) {
        const uint16_t bits = static_cast<uint16_t>(std::bit_cast<uint32_t>(row[i]) >> 16);
        std::memcpy(at + 2 * i, &bits, 2);
      }
    }
  }

  // Random codes; the f16 scales ordinary ones, or any bits whatever.
  static void fill_blocks(Random& random, uint8_t* at, DenseType type, int64_t bytes, Rows kind) {
    for (int64_t i = 0; i < bytes; ++i) at[i] = static_cast<uint8_t>(random.bits());
    if (kind == Rows::kAdversarial && random.one_in(6)) return;
    const int64_t block = type == DenseType::kQ8_0   ? 34
                          : type == DenseType::kQ4_0 ? 18
                          : type == DenseType::kQ5_0 ? 22
                          : type == DenseType::kQ4_K ? 144
                                                     : 210;
    for (int64_t i = 0; i < bytes; i += block) {
      const auto scale = [&](int64_t offset) {
        const uint16_t half = static_cast<uint16_t>(0x1c00 + (random.bits() & 0x7ff));
        std::memcpy(at + i + offset, &half, 2);
      };
      scale(type == DenseType::kQ6_K ? 208 : 0);
      if (type == DenseType::kQ4_K) scale(2);
    }
  }
};

// A hidden state; kind 0 is what models give.
constexpr int64_t kHiddenKinds = 13;
inline std::vector<float> hidden_state(Random& random, int64_t cols, int64_t kind) {
  std::vector<float> h(static_cast<size_t>(cols));
  for (float& x : h) x = random.normal();
  const size_t at = static_cast<size_t>(random.up_to(cols - 1));
  const auto times = [&](float factor) {
    for (float& x : h) x *= factor;
  };
  switch (kind) {
    case 1:
      h[at] = 1e4f;
      break;
    case 2:
      h.assign(h.size(), 0.0f);
      break;
    case 3:
      times(1e-10f);
      break;
    case 4:
      times(1e-25f);
      break;
    case 5:
      times(1e15f);
      break;
    case 6:
      times(1e19f);
      break;
    case 7:
      h.assign(h.size(), 0.0f);
      h[at] = random.normal();
      break;
    case 8:
      h[at] = random.one_of({INFINITY, -INFINITY, NAN});
      break;
    case 9:
      h.assign(h.size(), random.normal());
      break;
    case 10:
      times(1e-40f);
      break;
    case 11:
      for (float& x : h) x = std::round(100 * x);
      break;
    case 12:
      h[at] = random.one_of({3e38f, 1.1e18f, 1.2e18f});
      break;
    default:
      break;
  }
  return h;
}

}  // namespace bitnet::test

#endif
