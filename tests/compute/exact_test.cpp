// Verbs against arithmetic that is exact or has a derived bound, for every table. identity_test.cpp
// says all tables agree; this says that what they agree on is right.

#include <cjson/cJSON.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

#include "buffers.h"
#include "compute/ternary_unpack.h"

namespace bitnet::compute_test {
namespace {

class Exact : public testing::TestWithParam<const Ops*> {
 protected:
  const Ops& ops() const { return *GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(EveryTable, Exact, testing::ValuesIn(usable_tables()),
                         [](const auto& test) { return std::string(test.param->name); });

constexpr double kUnit = 0x1p-24;  // half a unit in the last place of 1

// Roundings an element of a canonical dot of n goes through at most.
double roundings(int64_t n) {
  double joins = 0;
  for (int64_t blocks = (n + 255) / 256; blocks > 1; blocks = (blocks + 1) / 2) ++joins;
  return double(std::min<int64_t>(n, 256) + 15) / 16 + 4 + joins;
}

TEST_P(Exact, TernaryProductsOfExtremes) {
  // The largest sums there can be: int16 or int32 accumulators that overflow show here.
  struct Pattern {
    const char* name;
    int code;
    int even, odd;  // activations by column
  };
  const Pattern patterns[] = {{"2 x -128", 2, -128, -128}, {"2 x 127", 2, 127, 127},
                              {"0 x -128", 0, -128, -128}, {"0 x 127", 0, 127, 127},
                              {"2 x +-", 2, 127, -128},    {"0 x -+", 0, -128, 127}};
  constexpr int64_t kRows = 17, kTokens = 13;
  for (const Kind& kind : kPackings) {
    for (int64_t least_cols : {int64_t{64}, int64_t{20000}, kMaxTernaryCols}) {
      const int64_t cols = (least_cols + kind.unit() - 1) / kind.unit() * kind.unit();
      // The reference is slow, and adds up in plain int32.
      if (&ops() == &reference_ops() && cols == kMaxTernaryCols) continue;
      for (const Pattern& pattern : patterns) {
        Ternary w(kRows, cols, 1.0f, kind);
        w.fill(pattern.code);
        Activations x(kTokens, cols);
        for (int64_t t = 0; t < kTokens; ++t) {
          for (int64_t c = 0; c < cols; ++c) {
            x.q[t * x.rows.stride + c] = static_cast<int8_t>(c % 2 ? pattern.odd : pattern.even);
          }
          x.scale[t] = 1.0f;
        }
        x.add_up();
        const int64_t expected = (pattern.code - 1) * (int64_t{pattern.even} * ((cols + 1) / 2) +
                                                       int64_t{pattern.odd} * (cols / 2));
        for (int64_t tokens : {int64_t{1}, int64_t{4}, kTokens}) {
          Guarded<float> y(tokens * kRows);
          multiply(ops(), y.data(), kRows, w, 0, kRows, x, tokens);
          for (int64_t i = 0; i < y.size(); ++i) {
            ASSERT_EQ(int64_t(y[i]), expected)
                << kind.name << ", " << pattern.name << ", cols " << cols << ", " << i;
          }
        }
      }
    }
  }
}

TEST_P(Exact, TernaryProductsInInt64) {
  Source source(1);
  for (int round = 0; round < 60; ++round) {
    const Kind kind = kPackings[round % 4];
    const int64_t rows = source.from(1, 40), tokens = source.from(1, 9);
    const int64_t cols = source.from(1, 3000 / kind.unit()) * kind.unit();
    const float scale = source.usual();
    Ternary w(rows, cols, scale, kind);
    w.randomize(source);
    Activations x(tokens, cols);
    x.randomize(source);
    Guarded<float> y(tokens * rows);
    multiply(ops(), y.data(), rows, w, 0, rows, x, tokens);
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t r = 0; r < rows; ++r) {
        int64_t acc = 0;
        for (int64_t c = 0; c < cols; ++c) {
          acc += int64_t{w.codes[size_t(r * cols + c)] - 1} * x.q[t * x.rows.stride + c];
        }
        ASSERT_EQ(y[t * rows + r], static_cast<float>(acc) * (scale / x.scale[t]));
      }
    }
  }
}

TEST(Base3, PackingIsTheDefinitionAndComesBack) {
  Source source(8);
  for (int64_t groups = 1; groups <= 23; ++groups) {
    // One tile whose columns are not padded: groups of 4 only are in use, any number must pack.
    const int64_t bytes = (groups / 5 * 4 + groups % 5) * 64;
    Guarded<uint8_t> two_bit(64 * groups), base3(bytes), back(64 * groups);
    for (int64_t i = 0; i < two_bit.size(); ++i) {
      two_bit[i] = static_cast<uint8_t>(source.up_to(2) | source.up_to(2) << 2 |
                                        source.up_to(2) << 4 | source.up_to(2) << 6);
    }
    pack_base3(base3.data(), two_bit.data(), groups);
    if (groups % 4 == 0) {
      Ternary w(16, 16 * groups, 1.0f, kPackings[1]);
      for (int64_t r = 0; r < 16; ++r) {
        for (int64_t c = 0; c < 16 * groups; ++c) {
          w.set(r, c, two_bit[c / 16 * 64 + 4 * r + c % 4] >> (2 * (c % 16 / 4)) & 3);
        }
      }
      EXPECT_TRUE(base3.same_bits(w.tiles)) << groups;
    }
    expand_base3_tile(back.data(), base3.data(), groups, expand_base3_set);
    EXPECT_TRUE(two_bit.same_bits(back)) << groups;
  }
}

TEST_P(Exact, QuantizeAsTheFormatPageWorksItOut) {
  // formats.md 3.1: s = 63.5, x*s = 31.75, -63.5, 15.875, 127; half to even.
  Guarded<float> x(4), scale(1);
  Guarded<int8_t> q(64);
  Guarded<int32_t> sum(1);
  const float numbers[] = {0.5f, -1.0f, 0.25f, 2.0f};
  std::memcpy(x.data(), numbers, sizeof numbers);
  ops().quantize(q.data(), scale.data(), sum.data(), x.data(), 4);
  EXPECT_EQ(scale[0], 63.5f);
  EXPECT_EQ(sum[0], 111);
  const int expected[] = {32, -64, 16, 127};
  for (int i = 0; i < 64; ++i) EXPECT_EQ(q[i], i < 4 ? expected[i] : 0) << i;
}

TEST_P(Exact, QuantizeOfZerosInfinitiesAndNan) {
  Guarded<float> x(40), scale(1);
  Guarded<int8_t> q(64);
  Guarded<int32_t> sum(1);
  const auto run = [&](float everywhere, float first) {
    for (int i = 0; i < 40; ++i) x[i] = everywhere;
    x[0] = first;
    ops().quantize(q.data(), scale.data(), sum.data(), x.data(), 40);
  };
  run(0.0f, -0.0f);
  EXPECT_EQ(scale[0], 127.0f / 1e-5f);
  EXPECT_EQ(sum[0], 0);
  run(1.0f, NAN);
  EXPECT_EQ(scale[0], 127.0f);
  EXPECT_EQ(q[0], 0);
  EXPECT_EQ(sum[0], 39 * 127);
  run(NAN, NAN);
  EXPECT_EQ(scale[0], 127.0f / 1e-5f);
  EXPECT_EQ(sum[0], 0);
  run(1.0f, -INFINITY);
  EXPECT_EQ(scale[0], 0.0f);
  EXPECT_EQ(sum[0], 0);
}

TEST_P(Exact, DenseProductsWithinTheBoundOfTheirRoundings) {
  Source source(2);
  for (int64_t n : {1, 15, 16, 100, 256, 257, 1024, 2560, 6912, 30000}) {
    constexpr int64_t kTokens = 3;
    Guarded<float> w(n), x(kTokens * n), y(kTokens);
    source.fill(w, Numbers::kUsual);
    source.fill(x, Numbers::kUsual);
    const DenseMatrix matrix{reinterpret_cast<const uint8_t*>(w.data()), DenseType::kF32, 1, n,
                             4 * n};
    ops().dense_matmul(y.data(), 1, matrix, 0, 1, x.data(), n, kTokens);
    for (int64_t t = 0; t < kTokens; ++t) {
      long double exact = 0, size = 0;
      for (int64_t i = 0; i < n; ++i) {
        exact += static_cast<long double>(w[i]) * x[t * n + i];
        size += std::fabs(static_cast<long double>(w[i]) * x[t * n + i]);
      }
      ASSERT_LE(std::fabs(y[t] - exact), 1.01 * roundings(n) * kUnit * size) << n;
    }
  }
}

TEST_P(Exact, ProductsAreFusedIntoTheirLane) {
  // Element 0 leaves a little in lane 0; element 16 adds 2^24 + 1, a tie that the little decides.
  // Looks for a multiply and an add rounded apart, or a double rounding.
  for (float little : {0x1p-40f, -0x1p-40f}) {
    Guarded<float> w(17), x(17), y(1);
    for (int i = 0; i < 17; ++i) w[i] = x[i] = 0.0f;
    w[0] = 1.0f, x[0] = little;
    w[16] = 24929.0f, x[16] = 673.0f;
    const DenseMatrix matrix{reinterpret_cast<const uint8_t*>(w.data()), DenseType::kF32, 1, 17,
                             68};
    ops().dense_matmul(y.data(), 1, matrix, 0, 1, x.data(), 17, 1);
    EXPECT_EQ(y[0], little > 0 ? 16777218.0f : 16777216.0f);
  }
}

TEST_P(Exact, RmsnormWithinTheBoundOfItsRoundings) {
  Source source(3);
  for (int64_t n : {1, 7, 64, 2560, 6912}) {
    Guarded<float> x(n), gamma(n), y(n);
    source.fill(x, Numbers::kUsual);
    source.fill(gamma, Numbers::kUsual);
    ops().rmsnorm(y.data(), x.data(), gamma.data(), n, 1e-5f);
    long double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += static_cast<long double>(x[i]) * x[i];
    const long double r = 1 / std::sqrt(sum / n + static_cast<long double>(1e-5f));
    // The sum's error counts half under the root; mean, eps, root, reciprocal and two products
    // follow.
    const double bound = 1.01 * (roundings(n) / 2 + 1 + 1 + 1 + 2) * kUnit;
    for (int64_t i = 0; i < n; ++i) {
      const long double exact = x[i] * r * gamma[i];
      ASSERT_LE(std::fabs(y[i] - exact), bound * std::fabs(exact)) << n << " at " << i;
    }
  }
}

TEST_P(Exact, AttentionOverPagesIsSoftmax) {
  // Three pages joined as a tree of two and one, against one softmax in long double.
  Source source(4);
  constexpr int64_t kDim = 80, kQueries = 5, kPages = 3, kLast = 37;
  constexpr int64_t kPositions = (kPages - 1) * kPagePositions + kLast;
  const float scale = 0.111803399f;
  Guarded<float> q(kQueries * kDim);
  Guarded<uint16_t> k(kPages * kPagePositions * kDim), v(kPages * kPagePositions * kDim);
  std::vector<float> key(size_t(k.size())), val(size_t(v.size()));
  source.fill(q, Numbers::kUsual);
  for (int64_t i = 0; i < k.size(); ++i) {
    key[size_t(i)] = float(int(source.from(-128, 128))) / 64;  // halves exactly
    val[size_t(i)] = float(int(source.from(-128, 128))) / 64;
  }
  for (int64_t j = 0; j < kPages * kPagePositions; ++j) {
    for (int64_t i = 0; i < kDim; ++i) {
      const int64_t page = j / kPagePositions * kPagePositions * kDim;
      ops().to_half(&k[page + key_place(j % kPagePositions, i, kDim)], &key[size_t(j * kDim + i)],
                    1);
    }
  }
  ops().to_half(v.data(), val.data(), v.size());
  Guarded<float> maximum(kPages * kQueries), sum(kPages * kQueries),
      value(kPages * kQueries * kDim);
  for (int64_t page = 0; page < kPages; ++page) {
    ops().attend_page(&maximum[page * kQueries], &sum[page * kQueries],
                      &value[page * kQueries * kDim], q.data(), &k[page * kPagePositions * kDim],
                      &v[page * kPagePositions * kDim], kQueries, kDim,
                      page == kPages - 1 ? kLast : kPagePositions, scale, nullptr);
  }
  for (int64_t query = 0; query < kQueries; ++query) {
    const auto join = [&](int64_t a, int64_t b) {
      const int64_t i = a * kQueries + query, j = b * kQueries + query;
      ops().attend_join(&maximum[i], &sum[i], &value[i * kDim], &maximum[j], &sum[j],
                        &value[j * kDim], kDim);
    };
    join(0, 1);
    join(0, 2);
    Guarded<float> y(kDim);
    ops().attend_finish(y.data(), &sum[query], &value[query * kDim], kDim);

    std::vector<long double> p(kPositions);
    long double total = 0, score_size = 0;
    for (int64_t j = 0; j < kPositions; ++j) {
      long double score = 0, size = 0;
      for (int64_t i = 0; i < kDim; ++i) {
        const long double product =
            static_cast<long double>(q[query * kDim + i]) * key[size_t(j * kDim + i)];
        score += product * scale;
        size += std::fabs(product) * scale;
      }
      score_size = std::max(score_size, size);
      total += p[size_t(j)] = std::exp(score);
    }
    // Relative error of a weight: the score's absolute error, the maximum's the same, exp 1.1e-7,
    // and its argument's rounding; twice, for numerator and denominator; then the sums' own
    // roundings.
    const double weight =
        2 * (roundings(kDim) + 2) * kUnit * double(score_size) + 40 * kUnit + 3 * 1.1e-7;
    const double bound = 2 * weight + (kPagePositions + 8) * kUnit;
    for (int64_t i = 0; i < kDim; ++i) {
      long double exact = 0, size = 0;
      for (int64_t j = 0; j < kPositions; ++j) {
        exact += p[size_t(j)] / total * val[size_t(j * kDim + i)];
        size +=
            p[size_t(j)] / total * std::fabs(static_cast<long double>(val[size_t(j * kDim + i)]));
      }
      ASSERT_LE(std::fabs(y[i] - exact), bound * size) << query << " " << i;
    }
  }
}

TEST_P(Exact, RopeTurnsPairs) {
  // A quarter turn maps (a, b) to (-b, a); the rest of the head stays.
  for (RopeStyle style : {RopeStyle::kNeox, RopeStyle::kNorm}) {
    constexpr int64_t kPairs = 21, kDim = 45;
    Guarded<float> x(2 * kDim), cosine(kPairs), sine(kPairs);
    for (int64_t i = 0; i < 2 * kDim; ++i) x[i] = float(i + 1);
    for (int64_t i = 0; i < kPairs; ++i) cosine[i] = 0.0f, sine[i] = 1.0f;
    ops().rope(x.data(), 2, kDim, kPairs, style, cosine.data(), sine.data());
    for (int64_t h = 0; h < 2; ++h) {
      for (int64_t i = 0; i < kPairs; ++i) {
        const int64_t a = h * kDim + (style == RopeStyle::kNeox ? i : 2 * i);
        const int64_t b = style == RopeStyle::kNeox ? a + kPairs : a + 1;
        ASSERT_EQ(x[a], -float(b + 1));
        ASSERT_EQ(x[b], float(a + 1));
      }
      for (int64_t i = 2 * kPairs; i < kDim; ++i)
        ASSERT_EQ(x[h * kDim + i], float(h * kDim + i + 1));
    }
  }
}

TEST_P(Exact, GatesAreTheirFormulas) {
  Source source(5);
  constexpr int64_t kCount = 5000;
  Guarded<float> gate(kCount), up(kCount), relu2(kCount), silu(kCount);
  for (int64_t i = 0; i < kCount; ++i) gate[i] = source.usual() * 8, up[i] = source.usual();
  ops().relu2_gate(relu2.data(), gate.data(), up.data(), kCount);
  ops().silu_gate(silu.data(), gate.data(), up.data(), kCount);
  for (int64_t i = 0; i < kCount; ++i) {
    const double g = gate[i], positive = g > 0 ? g : 0;
    ASSERT_NEAR(relu2[i], positive * positive * up[i],
                2.1 * kUnit * positive * positive * std::fabs(up[i]));
    const double exact = g / (1 + std::exp(-g)) * up[i];
    // exp 1.1e-7 (less after adding 1), then three roundings.
    ASSERT_NEAR(silu[i], exact, (1.1e-7 + 3.1 * kUnit) * std::fabs(exact));
  }
}

// Independent of the bit tricks under test: arithmetic in double.
uint16_t half_of(double x) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const double size = std::fabs(x);
  if (size == 0) return sign;
  const int exponent = std::max(std::ilogb(size), -14);
  const double unit = std::ldexp(1.0, exponent - 10);
  const double rounded = std::nearbyint(size / unit) * unit;  // ties to even
  if (rounded >= 65536) return static_cast<uint16_t>(sign | 0x7c00);
  if (rounded < std::ldexp(1.0, -14))
    return static_cast<uint16_t>(sign | int(std::ldexp(rounded, 24)));
  const int e = std::ilogb(rounded);
  return static_cast<uint16_t>(sign | (e + 15) << 10 | (int(std::ldexp(rounded, 10 - e)) - 1024));
}

double value_of_half(uint16_t h) {
  const int exponent = h >> 10 & 31, mantissa = h & 1023;
  const double size =
      exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
  return h & 0x8000 ? -size : size;
}

TEST_P(Exact, EveryHalfAndItsNeighbourhood) {
  std::vector<float> x;
  for (int bits = 0; bits < 65536; ++bits) {
    const uint16_t h = static_cast<uint16_t>(bits);
    if ((h & 0x7c00) == 0x7c00) continue;
    const float v = static_cast<float>(value_of_half(h));
    // Half way to the next, where ties are decided; the last half's next would be 65536.
    const double next = (h & 0x7fff) == 0x7bff ? std::copysign(65536.0, v)
                                               : value_of_half(static_cast<uint16_t>(h + 1));
    const float middle = static_cast<float>((value_of_half(h) + next) / 2);
    for (float center : {v, middle}) {
      x.push_back(center);
      x.push_back(std::nextafter(center, 1e30f));
      x.push_back(std::nextafter(center, -1e30f));
    }
  }
  Source source(6);
  for (int i = 0; i < 300000; ++i) {
    const float f = std::bit_cast<float>(source.bits());
    if (!std::isnan(f)) x.push_back(std::isinf(f) ? 70000.0f : f);
  }
  std::vector<uint16_t> y(x.size());
  ops().to_half(y.data(), x.data(), int64_t(x.size()));
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i], half_of(x[i])) << x[i];

  const float special[] = {INFINITY, -INFINITY, NAN};
  uint16_t half[3];
  ops().to_half(half, special, 3);
  EXPECT_EQ(half[0], 0x7c00);
  EXPECT_EQ(half[1], 0xfc00);
  EXPECT_EQ(half[2] & 0x7c00, 0x7c00);
  EXPECT_NE(half[2] & 0x3ff, 0);
}

TEST_P(Exact, EveryHalfBecomesItsFloat) {
  std::vector<uint16_t> halves(65536);
  for (int i = 0; i < 65536; ++i) halves[size_t(i)] = static_cast<uint16_t>(i);
  const DenseMatrix w{reinterpret_cast<const uint8_t*>(halves.data()), DenseType::kF16, 1, 65536,
                      131072};
  std::vector<float> y(65536);
  ops().dense_row(y.data(), w, 0);
  for (int i = 0; i < 65536; ++i) {
    const float f = y[size_t(i)];
    if ((i & 0x7c00) != 0x7c00) {
      ASSERT_EQ(f, static_cast<float>(value_of_half(static_cast<uint16_t>(i))));
      ASSERT_EQ(std::signbit(f), (i & 0x8000) != 0);
    } else if (i & 0x3ff) {
      ASSERT_TRUE(std::isnan(f));
    } else {
      ASSERT_EQ(f, i & 0x8000 ? -INFINITY : INFINITY);
    }
  }
}

// The published vectors of the stored formats: decoded by ggml itself.
using Json = std::unique_ptr<cJSON, void (*)(cJSON*)>;

std::string vectors_path() {
  const char* shared = std::getenv("BITNET_SHARED");
  return std::string(shared ? shared : BITNET_SHARED_DEFAULT) + "/data/format-vectors.json";
}

Json format_vectors() {
  std::ifstream file(vectors_path());
  std::stringstream text;
  text << file.rdbuf();
  return Json(cJSON_Parse(text.str().c_str()), cJSON_Delete);
}

const cJSON* vector_of_type(const cJSON* all, const char* type) {
  const cJSON* vector = nullptr;
  cJSON_ArrayForEach(vector, cJSON_GetObjectItem(all, "vectors")) {
    if (std::string(cJSON_GetStringValue(cJSON_GetObjectItem(vector, "type"))) == type)
      return vector;
  }
  return nullptr;
}

std::vector<double> numbers(const cJSON* vector, const char* name) {
  std::vector<double> values;
  const cJSON* value = nullptr;
  cJSON_ArrayForEach(value, cJSON_GetObjectItem(vector, name)) values.push_back(value->valuedouble);
  return values;
}

TEST_P(Exact, StoredBlocksDecodeAsTheirFormatSays) {
  const Json all = format_vectors();
  if (!all) GTEST_SKIP() << "no " << vectors_path();
  const std::pair<const char*, DenseType> types[] = {{"Q8_0", DenseType::kQ8_0},
                                                     {"Q4_0", DenseType::kQ4_0},
                                                     {"Q5_0", DenseType::kQ5_0},
                                                     {"Q4_K", DenseType::kQ4_K},
                                                     {"Q6_K", DenseType::kQ6_K}};
  for (const auto& [name, type] : types) {
    const cJSON* vector = vector_of_type(all.get(), name);
    ASSERT_TRUE(vector) << name;
    const std::string hex = cJSON_GetStringValue(cJSON_GetObjectItem(vector, "hex"));
    const std::vector<double> values = numbers(vector, "values");
    const int64_t n = int64_t(values.size());
    Guarded<uint8_t> bytes(int64_t(hex.size() / 2), 1);
    for (int64_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<uint8_t>(std::stoi(hex.substr(size_t(2 * i), 2), nullptr, 16));
    }
    ASSERT_EQ(dense_row_bytes(type, n), bytes.size()) << name;
    const DenseMatrix w{bytes.data(), type, 1, n, bytes.size()};
    Guarded<float> row(n), x(n), y(1);
    ops().dense_row(row.data(), w, 0);
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(row[i], float(values[size_t(i)])) << name << " " << i;
    // One column at a time, the product shows the same numbers.
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) x[j] = i == j ? 1.0f : 0.0f;
      ops().dense_matmul(y.data(), 1, w, 0, 1, x.data(), n, 1);
      ASSERT_EQ(y[0], float(values[size_t(i)])) << name << " " << i;
    }
  }
}

TEST_P(Exact, BitLinearOfTheFormatPage) {
  const Json all = format_vectors();
  if (!all) GTEST_SKIP() << "no " << vectors_path();
  const cJSON* vector = vector_of_type(all.get(), "BITLINEAR");
  ASSERT_TRUE(vector);
  const std::vector<double> x_values = numbers(vector, "x"), q_values = numbers(vector, "q");
  const std::string trits = cJSON_GetStringValue(cJSON_GetObjectItem(vector, "ternary"));
  const auto number = [&](const char* name) {
    return cJSON_GetObjectItem(vector, name)->valuedouble;
  };
  const int64_t n = int64_t(x_values.size());

  Guarded<float> x(n), y(1);
  for (int64_t i = 0; i < n; ++i) x[i] = float(x_values[size_t(i)]);
  Activations quantized(1, n);
  ops().quantize(quantized.q.data(), quantized.scale.data(), quantized.sum.data(), x.data(), n);
  EXPECT_EQ(quantized.scale[0], float(number("act_scale")));
  EXPECT_EQ(quantized.sum[0], int(number("sum_q")));
  for (int64_t i = 0; i < n; ++i) ASSERT_EQ(quantized.q[i], int(q_values[size_t(i)])) << i;

  Ternary w(1, n, float(number("w_scale")));
  for (int64_t i = 0; i < n; ++i)
    w.set(0, i, trits[size_t(i)] == '+' ? 2 : trits[size_t(i)] == '-' ? 0 : 1);
  multiply(ops(), y.data(), 1, w, 0, 1, quantized, 1);
  // The page divides first and multiplies then: two roundings each way.
  EXPECT_NEAR(y[0], number("y"), 4 * kUnit * std::fabs(number("y")));
  EXPECT_EQ(y[0],
            float(number("acc_codes") - number("sum_q")) * (w.matrix.scale / quantized.scale[0]));
}

TEST(DenseRowBytes, KnowsEveryTypeAndRefusesPartsOfBlocks) {
  EXPECT_EQ(dense_row_bytes(DenseType::kF32, 7), 28);
  EXPECT_EQ(dense_row_bytes(DenseType::kF16, 7), 14);
  EXPECT_EQ(dense_row_bytes(DenseType::kBF16, 7), 14);
  EXPECT_EQ(dense_row_bytes(DenseType::kQ8_0, 64), 68);
  EXPECT_EQ(dense_row_bytes(DenseType::kQ4_0, 64), 36);
  EXPECT_EQ(dense_row_bytes(DenseType::kQ5_0, 64), 44);
  EXPECT_EQ(dense_row_bytes(DenseType::kQ4_K, 512), 288);
  EXPECT_EQ(dense_row_bytes(DenseType::kQ6_K, 2560), 2100);
  EXPECT_EQ(dense_row_bytes(DenseType::kQ8_0, 40), 0);
  EXPECT_EQ(dense_row_bytes(DenseType::kQ6_K, 128), 0);
}

}  // namespace
}  // namespace bitnet::compute_test
