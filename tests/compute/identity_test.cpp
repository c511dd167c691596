// Every table of verbs this processor can run gives the bits of the reference. Looks for: wrong
// order of a sum, forgotten tails, reads and writes outside, lost signs of zero, contraction by the
// compiler.

#include "buffers.h"

namespace bitnet::compute_test {
namespace {

class Identity : public testing::TestWithParam<const Ops*> {
 protected:
  const Ops& ops() const { return *GetParam(); }
  const Ops& reference() const { return reference_ops(); }
};
INSTANTIATE_TEST_SUITE_P(EveryTable, Identity, testing::ValuesIn(usable_tables()),
                         [](const auto& test) { return std::string(test.param->name); });

// Equal bits, where NaN equals NaN.
template <class Expected, class Actual>
void expect_same(Expected& expected, Actual& actual, const std::string& what) {
  ASSERT_EQ(expected.size(), actual.size());
  for (int64_t i = 0; i < expected.size(); ++i) {
    const float e = expected[i], a = actual[i];
    if (std::isnan(e) && std::isnan(a)) continue;
    ASSERT_EQ(std::bit_cast<uint32_t>(e), std::bit_cast<uint32_t>(a))
        << what << ", element " << i << ": " << e << " and " << a;
  }
}

// Lengths: everything small, blocks of 16 and 256 and four blocks with their neighbours.
std::vector<int64_t> lengths() {
  std::vector<int64_t> n;
  for (int64_t i = 1; i <= 70; ++i) n.push_back(i);
  for (int64_t block : {256, 512, 1024, 1280, 2048, 2560}) {
    for (int64_t d : {-17, -1, 0, 1, 15, 16}) n.push_back(block + d);
  }
  n.push_back(6912);
  n.push_back(20011);
  return n;
}

constexpr Numbers kKinds[] = {Numbers::kUsual, Numbers::kEdge, Numbers::kBroken};

TEST_P(Identity, TernaryMatmulAnyShape) {
  Source source(1);
  for (int round = 0; round < 400; ++round) {
    const Kind kind = kPackings[source.up_to(3)];
    const int64_t rows = source.from(1, 90);
    const int64_t tokens = round % 10 == 0 ? source.from(20, 130) : source.from(1, 20);
    const int64_t limit = round % 4 == 0 ? 40 : 700;
    const int64_t cols = source.from(1, (limit + kind.unit() - 1) / kind.unit()) * kind.unit();
    Ternary w(rows, cols, source.usual(), kind);
    w.randomize(source);
    Activations x(tokens, cols, 64 * source.up_to(1));
    x.randomize(source);
    const int64_t first = source.up_to((rows - 1) / 16) * 16, last = source.from(first, rows);
    const int64_t y_stride = rows + source.up_to(3);
    Guarded<float> expected(tokens * y_stride), actual(tokens * y_stride, source.up_to(3));
    multiply(reference(), expected.data(), y_stride, w, first, last, x, tokens);
    multiply(ops(), actual.data(), y_stride, w, first, last, x, tokens);
    // Poison included: what was not asked for is not written.
    ASSERT_TRUE(expected.same_bits(actual))
        << kind.name << ", " << rows << " x " << cols << ", rows " << first << ".." << last
        << ", tokens " << tokens;
  }
}

// Every count of tokens takes another path through a table's parts; rows that do not fill a tile or
// a pair of them, and columns that do not fill a set of five groups, are where a tail is forgotten.
TEST_P(Identity, TernaryMatmulEveryPackingAndCountOfTokens) {
  Source source(12);
  for (const Kind& kind : kPackings) {
    for (int64_t rows : {16, 32, 33, 47, 64}) {
      const int64_t cols = kind.unit() * (kind.unit() == 1 ? 16 * source.from(1, 40) : 3);
      Ternary w(rows, cols, 0.5f, kind), two_bit(rows, cols, 0.5f);
      w.randomize(source);
      for (int64_t i = 0; i < rows * cols; ++i) {
        two_bit.set(i / cols, i % cols, w.codes[size_t(i)]);
      }
      for (int64_t tokens : {1,  2,  3,  4,  5,  6,  7,  8,  9,  11, 12, 13,
                             16, 18, 23, 24, 25, 31, 36, 37, 48, 61, 64, 128}) {
        if (rows != 33 && tokens != 1 && tokens != 13 && tokens != 24) continue;
        Activations x(tokens, cols);
        x.randomize(source);
        Guarded<float> expected(tokens * rows), actual(tokens * rows);
        multiply(reference(), expected.data(), rows, two_bit, 0, rows, x, tokens);
        multiply(ops(), actual.data(), rows, w, 0, rows, x, tokens);
        ASSERT_TRUE(expected.same_bits(actual))
            << kind.name << ", " << rows << " x " << cols << ", tokens " << tokens;
      }
    }
  }
}

TEST_P(Identity, DenseMatmulEveryTypeAnyShape) {
  Source source(2);
  for (int type = 0; type < 8; ++type) {
    const DenseType dense = static_cast<DenseType>(type);
    const int64_t unit = type < 3 ? 1 : type < 6 ? 32 : 256;
    for (int round = 0; round < 120; ++round) {
      const int64_t limit = round % 8 == 0 ? 5000 : 700;
      const int64_t cols = source.from(1, (limit + unit - 1) / unit) * unit;
      const int64_t rows = source.from(1, 9), tokens = source.from(1, 20);
      const int64_t row_bytes = dense_row_bytes(dense, cols);
      ASSERT_GT(row_bytes, 0);
      Guarded<uint8_t> data(rows * row_bytes, source.up_to(3));
      for (int64_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(source.bits());
      const Numbers kind = kKinds[source.up_to(2)];
      if (dense == DenseType::kF32) {
        for (int64_t i = 0; i < rows * cols; ++i) {
          const float number = source.number(kind);
          std::memcpy(data.data() + 4 * i, &number, 4);
        }
      }
      const DenseMatrix w{data.data(), dense, rows, cols, row_bytes};
      const int64_t x_stride = cols + source.up_to(2), y_stride = rows + source.up_to(2);
      Guarded<float> x(tokens * x_stride, source.up_to(3));
      source.fill(x, kind);
      Guarded<float> expected(tokens * y_stride), actual(tokens * y_stride, 1);
      const int64_t first = source.up_to(rows - 1), last = source.from(first, rows);
      reference().dense_matmul(expected.data(), y_stride, w, first, last, x.data(), x_stride,
                               tokens);
      ops().dense_matmul(actual.data(), y_stride, w, first, last, x.data(), x_stride, tokens);
      expect_same(expected, actual,
                  "type " + std::to_string(type) + ", cols " + std::to_string(cols));
      if (HasFatalFailure()) return;

      Guarded<float> expected_row(cols), actual_row(cols, 3);
      reference().dense_row(expected_row.data(), w, rows - 1);
      ops().dense_row(actual_row.data(), w, rows - 1);
      expect_same(expected_row, actual_row, "row of type " + std::to_string(type));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(Identity, Rmsnorm) {
  Source source(3);
  for (Numbers kind : kKinds) {
    for (int64_t n : lengths()) {
      Guarded<float> x(n, 1), gamma(n, 2), expected(n), actual(n, 3);
      source.fill(x, kind);
      source.fill(gamma, Numbers::kUsual);
      reference().rmsnorm(expected.data(), x.data(), gamma.data(), n, 1e-5f);
      ops().rmsnorm(actual.data(), x.data(), gamma.data(), n, 1e-5f);
      expect_same(expected, actual, "n " + std::to_string(n));
      ops().rmsnorm(x.data(), x.data(), gamma.data(), n, 1e-5f);  // in place
      expect_same(expected, x, "in place, n " + std::to_string(n));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(Identity, Quantize) {
  Source source(4);
  for (Numbers kind : kKinds) {
    for (int64_t n : lengths()) {
      Guarded<float> x(n, 3), expected_scale(1), scale(1);
      Guarded<int8_t> expected(padded_cols(n)), actual(padded_cols(n));
      Guarded<int32_t> expected_sum(1), sum(1);
      source.fill(x, kind);
      if (n % 5 == 0) {  // many ties: s = 127 / 63.5 = 2
        for (int64_t i = 0; i < n; ++i) x[i] = float(source.from(-254, 254)) * 0.25f;
        x[0] = 63.5f;
      }
      reference().quantize(expected.data(), expected_scale.data(), expected_sum.data(), x.data(),
                           n);
      ops().quantize(actual.data(), scale.data(), sum.data(), x.data(), n);
      ASSERT_TRUE(expected.same_bits(actual)) << n;
      ASSERT_TRUE(expected_scale.same_bits(scale) && expected_sum.same_bits(sum)) << n;
    }
  }
}

TEST_P(Identity, Rope) {
  Source source(5);
  for (RopeStyle style : {RopeStyle::kNeox, RopeStyle::kNorm}) {
    for (Numbers kind : kKinds) {
      for (int64_t pairs = 1; pairs <= 70; ++pairs) {
        const int64_t head_dim = 2 * pairs + source.up_to(5), heads = source.from(1, 5);
        Guarded<float> expected(heads * head_dim), actual(heads * head_dim, 1);
        Guarded<float> cosine(pairs, 2), sine(pairs, 3);
        source.fill(expected, kind);
        std::memcpy(actual.data(), expected.data(), size_t(heads * head_dim) * 4);
        source.fill(cosine, Numbers::kUsual);
        source.fill(sine, Numbers::kUsual);
        reference().rope(expected.data(), heads, head_dim, pairs, style, cosine.data(),
                         sine.data());
        ops().rope(actual.data(), heads, head_dim, pairs, style, cosine.data(), sine.data());
        expect_same(expected, actual, "pairs " + std::to_string(pairs));
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(Identity, ToHalf) {
  Source source(6);
  for (int64_t n : lengths()) {
    Guarded<float> x(n, 1);
    for (int64_t i = 0; i < n; ++i) x[i] = std::bit_cast<float>(source.bits());  // NaN as well
    Guarded<uint16_t> expected(n), actual(n, 1);
    reference().to_half(expected.data(), x.data(), n);
    ops().to_half(actual.data(), x.data(), n);
    ASSERT_TRUE(expected.same_bits(actual)) << n;
  }
}

TEST_P(Identity, AttendPage) {
  Source source(7);
  for (int round = 0; round < 600; ++round) {
    const Numbers kind = kKinds[round % 3];
    static const int64_t kDims[] = {128, 64, 80, 96, 256};
    const int64_t dim = round % 2 ? source.from(1, 300) : kDims[source.up_to(4)];
    const int64_t queries = source.from(1, 9), positions = source.from(1, kPagePositions);
    Guarded<float> q(queries * dim, 1);
    Guarded<uint16_t> k(kPagePositions * dim, 1), v(kPagePositions * dim, 3);
    source.fill(q, kind);
    for (int64_t i = 0; i < k.size(); ++i) k[i] = source.half(kind), v[i] = source.half(kind);
    if (round % 11 == 0) std::memset(q.data(), 0, size_t(q.size()) * 4);  // all scores zero
    if (round % 13 == 0) {                                                // all scores -0
      for (int64_t i = 0; i < q.size(); ++i) q[i] = 1e-45f;
      for (int64_t i = 0; i < k.size(); ++i) k[i] = 0x8001;
    }
    Guarded<float> maximum(queries), sum(queries), value(queries * dim);
    Guarded<float> maximum2(queries, 1), sum2(queries, 1), value2(queries * dim, 1);
    reference().attend_page(maximum.data(), sum.data(), value.data(), q.data(), k.data(), v.data(),
                            queries, dim, positions, 0.08838835f, nullptr);
    ops().attend_page(maximum2.data(), sum2.data(), value2.data(), q.data(), k.data(), v.data(),
                      queries, dim, positions, 0.08838835f, round % 2 ? k.data() : nullptr);
    const std::string shape = std::to_string(queries) + " queries of " + std::to_string(dim) +
                              ", positions " + std::to_string(positions);
    expect_same(maximum, maximum2, "maximum, " + shape);
    expect_same(sum, sum2, "sum, " + shape);
    expect_same(value, value2, "value, " + shape);
    if (HasFatalFailure()) return;
  }
}

TEST_P(Identity, AttendJoinAndFinish) {
  Source source(8);
  for (Numbers kind : kKinds) {
    for (int64_t dim : lengths()) {
      Guarded<float> a(dim, 1), b(dim, 2), same_a(dim, 3), y(dim), same_y(dim, 1);
      Guarded<float> scalars(4), same_scalars(4);
      source.fill(a, kind);
      source.fill(b, kind);
      source.fill(scalars, kind);
      std::memcpy(same_a.data(), a.data(), size_t(dim) * 4);
      std::memcpy(same_scalars.data(), scalars.data(), 16);
      reference().attend_join(&scalars[0], &scalars[1], a.data(), &scalars[2], &scalars[3],
                              b.data(), dim);
      ops().attend_join(&same_scalars[0], &same_scalars[1], same_a.data(), &same_scalars[2],
                        &same_scalars[3], b.data(), dim);
      expect_same(scalars, same_scalars, "join");
      expect_same(a, same_a, "join");
      reference().attend_finish(y.data(), &scalars[1], a.data(), dim);
      ops().attend_finish(same_y.data(), &scalars[1], a.data(), dim);
      expect_same(y, same_y, "finish");
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(Identity, GatesAndSums) {
  Source source(9);
  for (Numbers kind : kKinds) {
    for (int64_t n : lengths()) {
      Guarded<float> a(n, 1), b(n, 2), expected(n), actual(n, 3);
      source.fill(a, kind);
      for (int64_t i = 0; i < n; ++i) {
        if (source.up_to(3) == 0) a[i] *= 40;  // both ends of exp
      }
      source.fill(b, kind);
      const auto check = [&](auto verb, const char* what) {
        verb(reference(), expected.data());
        verb(ops(), actual.data());
        expect_same(expected, actual, what);
      };
      check([&](const Ops& o, float* u) { o.relu2_gate(u, a.data(), b.data(), n); }, "relu2");
      check([&](const Ops& o, float* u) { o.silu_gate(u, a.data(), b.data(), n); }, "silu");
      const auto copied = [&](float* u) { std::memcpy(u, a.data(), size_t(n) * 4); };
      check([&](const Ops& o, float* u) { copied(u), o.relu2_gate(u, u, b.data(), n); }, "relu2");
      check([&](const Ops& o, float* u) { copied(u), o.silu_gate(u, u, b.data(), n); }, "silu");
      check([&](const Ops& o, float* u) { copied(u), o.add(u, b.data(), n); }, "add");
      check([&](const Ops& o, float* u) { copied(u), o.scale(u, b[0], n); }, "scale");
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(Identity, ExpOfEveryMagnitude) {
  // silu_gate(x, 1) = x / (1 + exp(-x)) shows exp; every 997th float of either sign.
  std::vector<float> x, ones;
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 9973) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  }
  const int64_t n = int64_t(x.size());
  ones.assign(size_t(n), 1.0f);
  Guarded<float> expected(n), actual(n);
  reference().silu_gate(expected.data(), x.data(), ones.data(), n);
  ops().silu_gate(actual.data(), x.data(), ones.data(), n);
  expect_same(expected, actual, "exp");
}

TEST_P(Identity, NothingToDoDoesNothing) {
  Source source(10);
  Ternary w(16, 64, 1.0f);
  Activations x(1, 64);
  Guarded<float> y(1), untouched(1), number(1);
  number[0] = 1.0f;
  Guarded<int8_t> q(0);
  Guarded<int32_t> sum(1);
  Guarded<uint16_t> half(0);
  multiply(ops(), y.data(), 16, w, 0, 0, x, 1);
  multiply(ops(), y.data(), 16, w, 0, 16, x, 0);
  const DenseMatrix dense{w.tiles.data(), DenseType::kF16, 1, 16, 32};
  ops().dense_matmul(y.data(), 1, dense, 0, 0, number.data(), 16, 1);
  ops().dense_matmul(y.data(), 1, dense, 0, 1, number.data(), 16, 0);
  ops().to_half(half.data(), number.data(), 0);
  ops().add(y.data(), number.data(), 0);
  ops().relu2_gate(y.data(), number.data(), number.data(), 0);
  EXPECT_TRUE(y.same_bits(untouched));
  ops().quantize(q.data(), y.data(), sum.data(), number.data(), 0);
  EXPECT_EQ(sum[0], 0);
}

TEST_P(Identity, ReadStreamAddsEveryByteOnce) {
  Source source(11);
  for (int64_t n : lengths()) {
    Guarded<uint8_t> data(n, source.up_to(7));
    for (int64_t i = 0; i < n; ++i) data[i] = static_cast<uint8_t>(source.bits());
    const uint64_t sum = reference().read_stream(data.data(), n, Reading::kPairs);
    ASSERT_EQ(sum, ops().read_stream(data.data(), n, Reading::kPairs)) << n;
    ASSERT_EQ(sum, ops().read_stream(data.data(), n, Reading::kSingles)) << n;
  }
  EXPECT_GE(ops().int8_multiply_adds(1000), 1000u);
}

}  // namespace
}  // namespace bitnet::compute_test
