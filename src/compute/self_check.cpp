#include "compute/self_check.h"

#include <cstring>

#include "base/memory.h"

namespace bitnet {
namespace {

constexpr int64_t kCols = 336;  // a block of 256 and a part of one; not a multiple of kColumnPad
constexpr int64_t kStride = padded_cols(kCols);
constexpr int64_t kRows = 37;  // two tiles and a part of one
constexpr int64_t kTokens = 5;
constexpr int64_t kHeadDim = 48, kQueries = 3, kPositions = 39;

// Fixed numbers that look random: the outputs of a linear congruential generator.
class Inputs {
 public:
  uint32_t bits() noexcept { return (state_ = state_ * 1664525u + 1013904223u) >> 8; }
  float number() noexcept { return (static_cast<float>(bits() & 0xffff) - 32768.0f) / 4096.0f; }
  Vec<float> numbers(int64_t n) {
    Vec<float> v(static_cast<size_t>(n));
    for (float& f : v) f = number();
    return v;
  }

 private:
  uint32_t state_ = 2402;
};

// One verb's inputs, and its outputs by one table, all as bytes.
class Output {
 public:
  template <class T>
  void add(const T* data, int64_t count) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(data);
    bytes_.insert(bytes_.end(), bytes, bytes + static_cast<size_t>(count) * sizeof(T));
  }
  bool operator==(const Output& other) const noexcept { return bytes_ == other.bytes_; }

 private:
  Vec<uint8_t> bytes_;
};

Output run_rmsnorm(const Ops& ops) {
  Inputs in;
  const Vec<float> x = in.numbers(kCols), gamma = in.numbers(kCols);
  Vec<float> y(kCols);
  ops.rmsnorm(y.data(), x.data(), gamma.data(), kCols, 1e-5f);
  Output out;
  out.add(y.data(), kCols);
  return out;
}

// Quantized rows of some tokens.
struct Quantized {
  Buffer q;
  Vec<float> scale;
  Vec<int32_t> sum;

  Quantized(const Ops& ops, int64_t tokens)
      : q(static_cast<size_t>(tokens * kStride)),
        scale(static_cast<size_t>(tokens)),
        sum(static_cast<size_t>(tokens)) {
    Inputs in;
    for (int64_t t = 0; t < tokens; ++t) {
      const Vec<float> x = in.numbers(kCols);
      ops.quantize(q.as<int8_t>() + t * kStride, scale.data() + t, sum.data() + t, x.data(), kCols);
    }
  }
  QuantizedRows rows() const noexcept {
    return {q.as<int8_t>(), kStride, scale.data(), sum.data()};
  }
};

Output run_quantize(const Ops& ops) {
  const Quantized quantized(ops, kTokens);
  Output out;
  out.add(quantized.q.data(), kTokens * kStride);
  out.add(quantized.scale.data(), kTokens);
  out.add(quantized.sum.data(), kTokens);
  return out;
}

// Random codes 0, 1, 2, four a byte.
void fill_with_codes(Buffer& bytes) {
  Inputs in;
  for (size_t i = 0; i < bytes.bytes(); ++i) {
    uint8_t codes = 0;
    for (int p = 0; p < 4; ++p) codes = static_cast<uint8_t>(codes | in.bits() % 3 << 2 * p);
    bytes.data()[i] = codes;
  }
}

// Every packing and reading, for the counts of tokens that have bodies of their own.
Output run_ternary_matmul(const Ops& ops) {
  constexpr int64_t kTiles = (kRows + kTileRows - 1) / kTileRows, kFileCols = 256;
  constexpr int64_t kManyTokens = 27;
  Buffer tiles(static_cast<size_t>(packed_bytes(Packing::kTwoBit, kRows, kCols)));
  fill_with_codes(tiles);
  constexpr int64_t kBase3Bytes = tile_bytes(Packing::kBase3, kCols);
  Buffer base3(kTiles * kBase3Bytes);
  for (int64_t t = 0; t < kTiles; ++t) {
    pack_base3(base3.data() + t * kBase3Bytes,
               tiles.data() + t * tile_bytes(Packing::kTwoBit, kCols), kStride / kGroupCols);
  }
  const TernaryMatrix matrices[] = {
      {tiles.data(), kRows, kCols, 0.75f, Packing::kTwoBit, 0, Reading::kPairs},
      {tiles.data(), kRows, kCols, 0.75f, Packing::kTwoBit, 0, Reading::kSingles},
      {base3.data(), kRows, kCols, 0.75f, Packing::kBase3, 0, Reading::kPairs},
      {base3.data(), kRows, kCols, 0.75f, Packing::kBase3, 0, Reading::kSingles},
      {tiles.data(), kRows, kFileCols, 0.75f, Packing::kFileRows, 64},
      {tiles.data(), kRows, kFileCols, 0.75f, Packing::kFileRows, 66},
  };
  static_assert(kRows * 66 <= packed_bytes(Packing::kTwoBit, kRows, kCols));

  const Quantized x(reference_ops(), kManyTokens);
  Buffer scratch(static_cast<size_t>(ternary_scratch_bytes(kCols)));
  Vec<float> y(kManyTokens * kRows);
  Output out;
  for (const TernaryMatrix& w : matrices) {
    for (int64_t tokens : {int64_t{1}, int64_t{3}, kTokens, kManyTokens}) {
      ops.ternary_matmul(y.data(), kRows, w, 0, kRows, x.rows(), tokens, scratch.data());
      out.add(y.data(), tokens * kRows);
    }
  }
  return out;
}

Output run_screen(const Ops& ops) {
  // More than any body serves from registers.
  constexpr int64_t kMostTokens = 13;
  Inputs in;
  Buffer tiles(static_cast<size_t>(screen_bytes(kRows, kCols)));
  // No byte reaches the exponents of infinities.
  for (size_t i = 0; i < tiles.bytes(); ++i)
    tiles.data()[i] = static_cast<uint8_t>(in.bits() & 0x7e);
  Buffer rest(static_cast<size_t>(kRows * screen_rest_row_bytes(kCols)));
  for (size_t i = 0; i < rest.bytes(); ++i) rest.data()[i] = static_cast<uint8_t>(in.bits() & 0x7e);
  constexpr int64_t kBlocks = kStride / kScreenBlock;
  Buffer high(kMostTokens * kStride), low(kMostTokens * kStride);
  Buffer pairs(kMostTokens * kStride * 2);
  Buffer sum(kMostTokens * kBlocks * 4), offsets(kMostTokens * kBlocks * 4);
  std::memset(sum.data(), 0, sum.bytes());
  std::memset(offsets.data(), 0, offsets.bytes());
  float scale[kMostTokens];
  for (int64_t t = 0; t < kMostTokens; ++t) scale[t] = in.number();
  for (int64_t i = 0; i < kMostTokens * kStride; ++i) {
    const int32_t x = static_cast<int32_t>(in.bits() % (2 * kScreenLargest + 1)) - kScreenLargest;
    const int32_t upper = (x + 128) >> 8;
    high.as<int8_t>()[i] = static_cast<int8_t>(upper);
    low.as<int8_t>()[i] = static_cast<int8_t>(x - 256 * upper);
    constexpr int64_t kPlace[4] = {0, 2, 1, 3};
    pairs.as<int16_t>()[i / 4 * 4 + kPlace[i % 4]] = static_cast<int16_t>(x);
    offsets.as<float>()[i / kScreenBlock] -= static_cast<float>(3 * x);
    sum.as<int32_t>()[i / kScreenBlock] += x;
  }
  Vec<float> y(kMostTokens * kRows);
  Output out;
  const ScreenInput x = {high.as<int8_t>(),
                         low.as<int8_t>(),
                         pairs.as<int16_t>(),
                         sum.as<int32_t>(),
                         offsets.as<float>(),
                         scale,
                         kStride};
  for (int64_t tokens : {int64_t{1}, kTokens, kMostTokens}) {
    ops.screen_matmul(y.data(), kRows, {tiles.data(), kRows, kCols}, 0, kRows, x, tokens);
    out.add(y.data(), tokens * kRows);
  }
  int32_t rows[kRows];
  for (int32_t& row : rows) row = static_cast<int32_t>(in.bits() % kRows);
  ops.screen_rest(y.data(), {rest.data(), kCols}, rows, kRows, x, kTokens - 1);
  out.add(y.data(), kRows);
  return out;
}

// A table of bytes read as every type of a dense matrix. Exponents of the f16 scales are cleared to
// ordinary ones, so that all numbers are finite.
Output run_dense(const Ops& ops) {
  constexpr DenseType kTypes[] = {DenseType::kF32,  DenseType::kF16,  DenseType::kBF16,
                                  DenseType::kQ8_0, DenseType::kQ4_0, DenseType::kQ5_0,
                                  DenseType::kQ4_K, DenseType::kQ6_K};
  constexpr int64_t kDenseCols = 512, kDenseRows = 19;
  Output out;
  for (DenseType type : kTypes) {
    Inputs in;
    const int64_t row_bytes = dense_row_bytes(type, kDenseCols);
    Vec<uint8_t> data(static_cast<size_t>(kDenseRows * row_bytes));
    // No byte reaches the exponents of infinities: 0x3b at most, in every type.
    for (uint8_t& byte : data) byte = static_cast<uint8_t>(in.bits() % 0x3c);
    const DenseMatrix w = {data.data(), type, kDenseRows, kDenseCols, row_bytes};
    const Vec<float> x = in.numbers(kTokens * kDenseCols);
    Vec<float> y(kTokens * kDenseRows), row(kDenseCols);
    for (int64_t tokens : {int64_t{1}, kTokens}) {
      ops.dense_matmul(y.data(), kDenseRows, w, 0, kDenseRows, x.data(), kDenseCols, tokens);
      out.add(y.data(), tokens * kDenseRows);
    }
    ops.dense_row(row.data(), w, 7);
    out.add(row.data(), kDenseCols);
  }
  return out;
}

Output run_rope(const Ops& ops) {
  Output out;
  for (RopeStyle style : {RopeStyle::kNeox, RopeStyle::kNorm}) {
    Inputs in;
    Vec<float> x = in.numbers(kQueries * kHeadDim);
    const Vec<float> cosine = in.numbers(kHeadDim / 2), sine = in.numbers(kHeadDim / 2);
    ops.rope(x.data(), kQueries, kHeadDim, kHeadDim / 2, style, cosine.data(), sine.data());
    out.add(x.data(), kQueries * kHeadDim);
  }
  return out;
}

Output run_to_half(const Ops& ops) {
  Inputs in;
  const Vec<float> x = in.numbers(kCols);
  Vec<uint16_t> y(kCols);
  ops.to_half(y.data(), x.data(), kCols);
  Output out;
  out.add(y.data(), kCols);
  return out;
}

Output run_attention(const Ops& ops) {
  Inputs in;
  const Vec<float> q = in.numbers(kQueries * kHeadDim);
  Vec<uint16_t> k(kPagePositions * kHeadDim), v(kPagePositions * kHeadDim);
  for (Vec<uint16_t>* page : {&k, &v}) {
    const Vec<float> numbers = in.numbers(kPagePositions * kHeadDim);
    reference_ops().to_half(page->data(), numbers.data(), kPagePositions * kHeadDim);
  }
  Output out;
  Vec<float> maximum[2], sum[2], value[2];
  for (int part : {0, 1}) {
    maximum[part].resize(kQueries);
    sum[part].resize(kQueries);
    value[part].resize(kQueries * kHeadDim);
    ops.attend_page(maximum[part].data(), sum[part].data(), value[part].data(), q.data(), k.data(),
                    v.data(), kQueries, kHeadDim, part == 0 ? kPagePositions : kPositions, 0.004f,
                    part == 0 ? k.data() : nullptr);
    out.add(maximum[part].data(), kQueries);
    out.add(sum[part].data(), kQueries);
    out.add(value[part].data(), kQueries * kHeadDim);
  }
  ops.attend_join(maximum[0].data(), sum[0].data(), value[0].data(), maximum[1].data() + 1,
                  sum[1].data() + 1, value[1].data() + kHeadDim, kHeadDim);
  out.add(maximum[0].data(), 1);
  out.add(sum[0].data(), 1);
  Vec<float> y(kHeadDim);
  ops.attend_finish(y.data(), sum[0].data(), value[0].data(), kHeadDim);
  out.add(y.data(), kHeadDim);
  return out;
}

Output run_elementwise(const Ops& ops) {
  Inputs in;
  const Vec<float> gate = in.numbers(kCols), up = in.numbers(kCols);
  Vec<float> y(kCols);
  Output out;
  ops.relu2_gate(y.data(), gate.data(), up.data(), kCols);
  out.add(y.data(), kCols);
  ops.silu_gate(y.data(), gate.data(), up.data(), kCols);
  out.add(y.data(), kCols);
  ops.add(y.data(), up.data(), kCols);
  out.add(y.data(), kCols);
  ops.scale(y.data(), 0.3f, kCols);
  out.add(y.data(), kCols);
  return out;
}

}  // namespace

Status check_against_reference(const Ops& ops) {
  struct Check {
    const char* verb;
    Output (*run)(const Ops&);
  };
  constexpr Check kChecks[] = {
      {"rmsnorm", run_rmsnorm},
      {"quantize", run_quantize},
      {"ternary_matmul", run_ternary_matmul},
      {"screen_matmul or screen_rest", run_screen},
      {"dense_matmul or dense_row", run_dense},
      {"rope", run_rope},
      {"to_half", run_to_half},
      {"attend_page, _join or _finish", run_attention},
      {"relu2_gate, silu_gate, add or scale", run_elementwise},
  };
  for (const Check& check : kChecks) {
    if (check.run(ops) == check.run(reference_ops())) continue;
    return Status::error(BITNET_E_INTERNAL,
                         "kernel %s of \"%s\" does not compute what the reference computes on this "
                         "machine",
                         check.verb, ops.name);
  }
  return {};
}

}  // namespace bitnet
