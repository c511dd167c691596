// What the tests of compute/ share: buffers with guard zones, numbers that look for trouble,
// ternary matrices packed from codes.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "compute/ops.h"

namespace bitnet::compute_test {

// n elements, `offset` elements off a 64-byte boundary, poisoned, between guard zones that must
// stay.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t n, int64_t offset = 0)
      : n_(n), bytes_((n + offset) * int64_t(sizeof(T)) + 3 * kGuard, kPoison) {
    const auto address = reinterpret_cast<uintptr_t>(bytes_.data());
    start_ = int64_t((address + kGuard + 63) / 64 * 64 - address) + offset * int64_t(sizeof(T));
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { EXPECT_TRUE(intact()) << "written outside " << n_ << " elements"; }

  T* data() { return reinterpret_cast<T*>(bytes_.data() + start_); }
  T& operator[](int64_t i) { return data()[i]; }
  int64_t size() const { return n_; }
  bool same_bits(Guarded& other) {
    return n_ == other.n_ && std::memcmp(data(), other.data(), size_t(n_) * sizeof(T)) == 0;
  }

 private:
  static constexpr int64_t kGuard = 128;
  static constexpr uint8_t kPoison = 0xa5;
  bool intact() const {
    for (int64_t i = 0; i < int64_t(bytes_.size()); ++i) {
      const bool inside = i >= start_ && i < start_ + n_ * int64_t(sizeof(T));
      if (!inside && bytes_[size_t(i)] != kPoison) return false;
    }
    return true;
  }
  int64_t n_;
  std::vector<uint8_t> bytes_;
  int64_t start_;
};

enum class Numbers {
  kUsual,  // what activations look like
  kEdge,   // zeros of both signs, subnormal, huge and tiny numbers among them; sums may overflow
  kBroken  // infinities and NaN as well
};

class Source {
 public:
  explicit Source(uint32_t seed) : engine_(seed) {}
  int64_t up_to(int64_t last) { return std::uniform_int_distribution<int64_t>(0, last)(engine_); }
  int64_t from(int64_t first, int64_t last) { return first + up_to(last - first); }
  uint32_t bits() { return static_cast<uint32_t>(engine_()); }
  float usual() { return std::normal_distribution<float>()(engine_); }

  float number(Numbers kind) {
    if (kind == Numbers::kUsual || up_to(3) != 0) return usual();
    static const float kEdges[] = {0.0f,   -0.0f,   1e-40f, -1e-42f, 1e-38f, -3e-30f, 1e18f,
                                   -2e17f, 65504.f, 1e-6f,  -1e-7f,  127.5f, -0.5f,   3e38f};
    if (kind == Numbers::kBroken && up_to(7) == 0) {
      static const float kBad[] = {INFINITY, -INFINITY, NAN, -NAN};
      return kBad[up_to(3)];
    }
    return kEdges[up_to(13)];
  }
  template <class Buffer>
  void fill(Buffer& x, Numbers kind) {
    for (int64_t i = 0; i < x.size(); ++i) x[i] = number(kind);
  }
  // Halves: finite ones of every size unless broken.
  uint16_t half(Numbers kind) {
    const auto h = static_cast<uint16_t>(bits());
    if (kind == Numbers::kUsual)
      return static_cast<uint16_t>((h & 0x83ff) | 0x3800 | (h >> 3 & 0x400));
    if (kind == Numbers::kEdge && (h & 0x7c00) == 0x7c00) return static_cast<uint16_t>(h & 0x8fff);
    return h;
  }

 private:
  std::mt19937 engine_;
};

// A way to keep the codes of a ternary matrix and to read them; gaps: as TQ2_0 has them.
struct Kind {
  const char* name;
  Packing packing;
  FileOrder order = FileOrder::kTopDown;
  bool gaps = false;
  Reading reading = Reading::kPairs;

  int64_t unit() const {  // of columns
    return packing != Packing::kFileRows ? 1 : gaps ? 256 : kFileBlockCols;
  }
};
constexpr Kind kPackings[] = {
    {"two bits", Packing::kTwoBit},
    {"base 3", Packing::kBase3},
    {"two bits, singly", Packing::kTwoBit, FileOrder::kTopDown, false, Reading::kSingles},
    {"base 3, singly", Packing::kBase3, FileOrder::kTopDown, false, Reading::kSingles},
    {"I2_S rows", Packing::kFileRows},
    {"TQ2_0 rows", Packing::kFileRows, FileOrder::kBottomUp, true},
};

// A ternary matrix [rows][cols] of codes, packed as compute/ops.h and ternary_unpack.h draw it, one
// code at a time. All codes are 1 at first. File rows start at an odd address and are exactly as
// long as they must be.
struct Ternary {
  Ternary(int64_t rows, int64_t cols, float scale, Kind kind_ = kPackings[0])
      : kind(kind_),
        codes(size_t(rows * cols), 1),
        row_bytes(kind_.gaps ? cols / 256 * 66 : cols / 4),
        tiles(kind_.packing == Packing::kFileRows ? 0 : packed_bytes(kind_.packing, rows, cols)),
        file(kind_.packing == Packing::kFileRows ? new uint8_t[size_t(rows * row_bytes + 1)]
                                                 : nullptr),
        matrix{file ? file.get() + 1 : tiles.data(),
               rows,
               cols,
               scale,
               kind.packing,
               row_bytes,
               kind.reading} {
    fill(1);
  }
  void set(int64_t r, int64_t c, int code) {
    const int change = code - codes[size_t(r * matrix.cols + c)];
    codes[size_t(r * matrix.cols + c)] = static_cast<uint8_t>(code);
    const auto [byte, weight] = place(r, c);
    *byte = static_cast<uint8_t>(*byte + weight * change);
  }
  void randomize(Source& source) {
    for (int64_t r = 0; r < matrix.rows; ++r) {
      for (int64_t c = 0; c < matrix.cols; ++c) set(r, c, int(source.up_to(2)));
    }
  }
  void fill(int code) {  // padding included
    std::fill(codes.begin(), codes.end(), static_cast<uint8_t>(code));
    const auto two_bits = static_cast<uint8_t>(0x55 * code);
    if (file) return void(std::memset(file.get(), two_bits, size_t(matrix.rows * row_bytes + 1)));
    for (int64_t i = 0; i < tiles.size(); ++i) {
      const bool base3 =
          kind.packing == Packing::kBase3 && digits(i % tile_bytes(kind.packing, matrix.cols) / 64);
      tiles[i] = base3 ? static_cast<uint8_t>((84 + 28 + 9 + 3 + 1) * code) : two_bits;
    }
  }

  Kind kind;
  std::vector<uint8_t> codes;  // [rows][cols]
  int64_t row_bytes;
  Guarded<uint8_t> tiles;
  std::unique_ptr<uint8_t[]> file;
  TernaryMatrix matrix;

 private:
  bool digits(int64_t vector) const { return vector < padded_cols(matrix.cols) / 16 / 5 * 4; }
  // Where a code is, and what one more of it adds to the byte.
  std::pair<uint8_t*, int> place(int64_t r, int64_t c) {
    if (kind.packing == Packing::kFileRows) {
      const int64_t at = kind.gaps ? c / 256 * 66 + c % 256 / 128 * 32 : c / 128 * 32;
      const int64_t quarter = c % 128 / 32;
      const int64_t field = kind.order == FileOrder::kTopDown ? 3 - quarter : quarter;
      return {file.get() + 1 + r * row_bytes + at + c % 32, 1 << (2 * field)};
    }
    uint8_t* tile = tiles.data() + r / 16 * tile_bytes(kind.packing, matrix.cols);
    const int64_t group = c / 16, i = 4 * (r % 16) + c % 4, plane = c % 16 / 4;
    if (kind.packing == Packing::kTwoBit) return {tile + 64 * group + i, 1 << (2 * plane)};
    constexpr int kDigit[] = {1, 3, 9, 28, 84};
    const int64_t set = group / 5, in_set = group % 5;
    if (!digits(4 * set)) return {tile + 64 * (4 * set + in_set) + i, 1 << (2 * plane)};
    if (in_set == 4) return {tile + 64 * (4 * set + plane) + i, kDigit[4]};
    return {tile + 64 * (4 * set + in_set) + i, kDigit[plane]};
  }
};

// Quantized activations of some tokens, filled at random or by the caller.
struct Activations {
  Activations(int64_t tokens, int64_t columns, int64_t extra_stride = 0)
      : q(tokens * (padded_cols(columns) + extra_stride)),
        scale(tokens),
        sum(tokens),
        cols(columns),
        rows{q.data(), padded_cols(columns) + extra_stride, scale.data(), sum.data()} {
    std::memset(q.data(), 0, size_t(q.size()));
  }
  void randomize(Source& source) {
    for (int64_t t = 0; t < scale.size(); ++t) {
      for (int64_t c = 0; c < cols; ++c)
        q[t * rows.stride + c] = static_cast<int8_t>(source.bits());
      scale[t] = 1.0f + float(source.up_to(1000));
    }
    add_up();
  }
  void add_up() {
    for (int64_t t = 0; t < scale.size(); ++t) {
      sum[t] = 0;
      for (int64_t c = 0; c < cols; ++c) sum[t] += q[t * rows.stride + c];
    }
  }
  Guarded<int8_t> q;
  Guarded<float> scale;
  Guarded<int32_t> sum;
  int64_t cols;
  QuantizedRows rows;
};

// ops.ternary_matmul with scratch of its own, and activations in the order the matrix wants.
inline void multiply(const Ops& ops, float* y, int64_t y_stride, const Ternary& w,
                     int64_t first_row, int64_t last_row, Activations& x, int64_t tokens) {
  Guarded<uint8_t> scratch(ternary_scratch_bytes(w.matrix.cols));
  QuantizedRows rows = x.rows;
  Guarded<int8_t> permuted(w.matrix.packing == Packing::kFileRows ? tokens * rows.stride : 0);
  if (w.matrix.packing == Packing::kFileRows) {
    for (int64_t t = 0; t < tokens; ++t) {
      permute_for_file_rows(permuted.data() + t * rows.stride, rows.q + t * rows.stride,
                            w.matrix.cols, w.kind.order);
    }
    rows.q = permuted.data();
  }
  ops.ternary_matmul(y, y_stride, w.matrix, first_row, last_row, rows, tokens, scratch.data());
}

inline std::vector<const Ops*> usable_tables() {
  std::vector<const Ops*> tables;
  int count = 0;
  const char* const* names = usable_isas(&count);
  for (int i = 0; i < count; ++i) tables.push_back(select_ops(names[i]));
  return tables;
}

}  // namespace bitnet::compute_test
