// What the tests of compute/ share: buffers with guard zones, numbers that look for trouble,
// ternary matrices packed from codes.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
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

// A ternary matrix [rows][cols] of codes, packed as compute/ops.h draws it.
struct Ternary {
  Ternary(int64_t rows, int64_t cols, float scale)
      : tiles(packed_bytes(rows, cols)), matrix{tiles.data(), rows, cols, scale} {
    std::memset(tiles.data(), 0x55, size_t(tiles.size()));  // code 1 everywhere
  }
  void set(int64_t r, int64_t c, int code) {
    uint8_t& byte =
        tiles[r / 16 * 16 * padded_cols(matrix.cols) / 4 + c / 16 * 64 + 4 * (r % 16) + c % 4];
    const int shift = 2 * int(c % 16 / 4);
    byte = static_cast<uint8_t>((byte & ~(3 << shift)) | code << shift);
  }
  void randomize(Source& source) {
    for (int64_t r = 0; r < matrix.rows; ++r) {
      for (int64_t c = 0; c < matrix.cols; ++c) set(r, c, int(source.up_to(2)));
    }
  }
  Guarded<uint8_t> tiles;
  TernaryMatrix matrix;
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

inline std::vector<const Ops*> usable_tables() {
  std::vector<const Ops*> tables;
  int count = 0;
  const char* const* names = usable_isas(&count);
  for (int i = 0; i < count; ++i) tables.push_back(select_ops(names[i]));
  return tables;
}

}  // namespace bitnet::compute_test
