// screen_matmul and screen_rest: every table against the reference, and the reference against
// arithmetic by hand.

#include "buffers.h"

namespace bitnet::compute_test {
namespace {

class Screen : public testing::TestWithParam<const Ops*> {};
INSTANTIATE_TEST_SUITE_P(EveryTable, Screen, testing::ValuesIn(usable_tables()),
                         [](const auto& test) { return std::string(test.param->name); });

float bfloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

struct Matrix {
  Matrix(int64_t rows, int64_t cols)
      : tiles(screen_bytes(rows, cols)), matrix{tiles.data(), rows, cols} {
    for (int64_t r = 0; r < (rows + 15) / 16 * 16; ++r) {
      for (int64_t c = 0; c < padded_cols(cols); ++c) set_code(r, c, 16);
      for (int64_t block = 0; block < padded_cols(cols) / 64; ++block) set_scale(r, block, 0);
    }
  }
  uint8_t* tile(int64_t r) { return tiles.data() + r / 16 * screen_tile_bytes(matrix.cols); }
  // Bit 4 of the code, and bits 0..3 in one half of their byte.
  struct Place {
    uint8_t &upper, &lower;
    int64_t bit, shift;
  };
  Place place(int64_t r, int64_t c) {
    uint8_t* half = tile(r) + screen_scale_bytes(matrix.cols) + c / 32 * 320;
    const int64_t group = c % 32 / 4, byte = r % 16 * 4 + c % 4;
    return {half[byte], half[64 + 64 * (group / 2) + byte], group, group % 2 * 4};
  }
  void set_code(int64_t r, int64_t c, unsigned code) {
    const Place p = place(r, c);
    p.upper = static_cast<uint8_t>((p.upper & ~(1u << p.bit)) | (code >> 4 & 1) << p.bit);
    p.lower = static_cast<uint8_t>((p.lower & ~(15u << p.shift)) | (code & 15) << p.shift);
  }
  int code(int64_t r, int64_t c) {
    const Place p = place(r, c);
    return (p.upper >> p.bit & 1) * 16 + (p.lower >> p.shift & 15);
  }
  void set_scale(int64_t r, int64_t block, uint16_t bits) {
    std::memcpy(tile(r) + 2 * (16 * block + r % 16), &bits, 2);
  }
  uint16_t scale(int64_t r, int64_t block) {
    uint16_t bits;
    std::memcpy(&bits, tile(r) + 2 * (16 * block + r % 16), 2);
    return bits;
  }
  Guarded<uint8_t> tiles;
  ScreenMatrix matrix;
};

struct Input {
  Input(int64_t tokens, int64_t cols, int64_t extra_stride)
      : stride(padded_cols(cols) + extra_stride),
        high(tokens * stride),
        low(tokens * stride),
        pairs(tokens * stride),
        sum(tokens * stride / 64),
        offsets(tokens * stride / 64),
        scale(tokens),
        input{high.data(),    low.data(),   pairs.data(), sum.data(),
              offsets.data(), scale.data(), stride} {
    for (int64_t i = 0; i < sum.size(); ++i) sum[i] = 0;
    for (int64_t i = 0; i < offsets.size(); ++i) offsets[i] = 0;
    for (int64_t i = 0; i < high.size(); ++i) high[i] = low[i] = 0, pairs[i] = 0;
  }
  void set(int64_t t, int64_t c, int32_t x) {
    const int64_t at = t * stride + c;
    sum[at / 64] += x - at_token(t, c);
    offsets[at / 64] -= static_cast<float>(3 * (x - at_token(t, c)));
    high[at] = static_cast<int8_t>((x + 128) >> 8);
    low[at] = static_cast<int8_t>(x - 256 * high[at]);
    const int64_t place[4] = {0, 2, 1, 3};
    pairs[at / 4 * 4 + place[at % 4]] = static_cast<int16_t>(x);
  }
  int32_t at_token(int64_t t, int64_t c) {
    return 256 * high[t * stride + c] + low[t * stride + c];
  }
  int64_t stride;
  Guarded<int8_t> high, low;
  Guarded<int16_t> pairs;
  Guarded<int32_t> sum;
  Guarded<float> offsets, scale;
  ScreenInput input;
};

void expect_identical(const Ops& ops, Matrix& w, Input& x, int64_t first, int64_t last,
                      int64_t tokens, Source& source) {
  const int64_t y_stride = w.matrix.rows + source.up_to(3);
  Guarded<float> expected(tokens * y_stride), actual(tokens * y_stride, source.up_to(3));
  reference_ops().screen_matmul(expected.data(), y_stride, w.matrix, first, last, x.input, tokens);
  ops.screen_matmul(actual.data(), y_stride, w.matrix, first, last, x.input, tokens);
  // Poison included: what was not asked for is not written.
  ASSERT_TRUE(expected.same_bits(actual)) << w.matrix.rows << " x " << w.matrix.cols << ", rows "
                                          << first << ".." << last << ", tokens " << tokens;
}

TEST_P(Screen, GivesTheBitsOfTheReferenceForAnyShape) {
  Source source(21);
  for (int round = 0; round < 300; ++round) {
    const int64_t rows = source.from(1, 70), tokens = source.from(1, round % 10 ? 19 : 150);
    const int64_t cols = round % 4 == 0 ? source.from(1, 70) : source.from(1, 700);
    Matrix w(rows, cols);
    Input x(tokens, cols, 64 * source.up_to(1));
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) w.set_code(r, c, source.bits());
      // Scales of every size a float has, subnormal ones and either sign among them.
      for (int64_t block = 0; block < padded_cols(cols) / 64; ++block) {
        const uint32_t bits = source.bits();
        w.set_scale(
            r, block,
            static_cast<uint16_t>(bits % 5 ? 0x3c00 + (bits & 0xff) : (bits >> 8) % 0x7000));
      }
    }
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t c = 0; c < cols; ++c) {
        x.set(t, c, static_cast<int32_t>(source.from(-kScreenLargest, kScreenLargest)));
      }
      x.scale[t] = source.usual();
    }
    const int64_t first = source.up_to((rows - 1) / 16) * 16, last = source.from(first, rows);
    expect_identical(*GetParam(), w, x, first, last, tokens, source);
    if (HasFatalFailure()) return;
  }
}

// Every mixture of the largest codes and activations a block can hold: no sum may wrap around.
TEST_P(Screen, HoldsTheLargestNumbers) {
  Source source(22);
  const int64_t cols = 192, rows = 32;
  const int32_t extremes[] = {kScreenLargest, -kScreenLargest, 127, -128, 128, -129, 32512};
  const unsigned codes[] = {0, 31, 15, 16};
  for (int round = 0; round < 64; ++round) {
    Matrix w(rows, cols);
    Input x(8, cols, 0);
    for (int64_t t = 0; t < 8; ++t) {
      const int32_t a = extremes[(round + t) % 7], b = extremes[round / 8 % 7];
      for (int64_t c = 0; c < cols; ++c) x.set(t, c, round % 3 && c % 2 ? b : a);
      x.scale[t] = 1.0f;
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        w.set_code(r, c, codes[(r + (r % 3 ? c % 2 : 0)) % 4]);
      }
      for (int64_t block = 0; block < 3; ++block) w.set_scale(r, block, 0x3f80);
    }
    expect_identical(*GetParam(), w, x, 0, rows, 8, source);
    if (HasFatalFailure()) return;
  }
}

struct Rest {
  Rest(int64_t rows, int64_t cols)
      : blocks(padded_cols(cols) / 64), bytes(rows * row_bytes(cols)), rest{bytes.data(), cols} {
    for (int64_t i = 0; i < bytes.size(); ++i) bytes[i] = 0;
  }
  static int64_t row_bytes(int64_t cols) { return screen_rest_row_bytes(cols); }
  uint8_t* row(int64_t r) { return bytes.data() + r * row_bytes(rest.cols); }
  void set_code(int64_t r, int64_t c, unsigned code) {
    uint8_t& byte = row(r)[c / 64 * 16 + c % 16];
    const int64_t shift = c % 64 / 16 * 2;
    byte = static_cast<uint8_t>((byte & ~(3u << shift)) | (code & 3) << shift);
  }
  int code(int64_t r, int64_t c) { return row(r)[c / 64 * 16 + c % 16] >> c % 64 / 16 * 2 & 3; }
  void set_step(int64_t r, int64_t block, uint16_t bits) {
    std::memcpy(row(r) + 16 * blocks + 2 * block, &bits, 2);
  }
  uint16_t step(int64_t r, int64_t block) {
    uint16_t bits;
    std::memcpy(&bits, row(r) + 16 * blocks + 2 * block, 2);
    return bits;
  }
  int64_t blocks;
  Guarded<uint8_t> bytes;
  ScreenRest rest;
};

TEST_P(Screen, GivesTheRestsBitsOfTheReference) {
  Source source(24);
  for (int round = 0; round < 200; ++round) {
    const int64_t rows = source.from(1, 30), tokens = source.from(1, 3);
    const int64_t cols = round % 4 == 0 ? source.from(1, 70) : source.from(1, 3000);
    Rest w(rows, cols);
    Input x(tokens, cols, 64 * source.up_to(1));
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) w.set_code(r, c, round % 9 ? source.bits() : 3);
      for (int64_t block = 0; block < w.blocks; ++block) {
        w.set_step(r, block, static_cast<uint16_t>(0x3c00 + (source.bits() & 0x80ff)));
      }
    }
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t c = 0; c < cols; ++c) {
        const int64_t any = source.from(-kScreenLargest, kScreenLargest);
        x.set(t, c, static_cast<int32_t>(round % 9 ? any : kScreenLargest));
      }
      x.scale[t] = source.usual();
    }
    std::vector<int32_t> some(static_cast<size_t>(source.up_to(12)));
    for (int32_t& row : some) row = static_cast<int32_t>(source.up_to(rows - 1));
    const int64_t count = static_cast<int64_t>(some.size()), token = source.up_to(tokens - 1);
    Guarded<float> expected(count + 1), actual(count + 1, source.up_to(3));
    reference_ops().screen_rest(expected.data(), w.rest, some.data(), count, x.input, token);
    GetParam()->screen_rest(actual.data(), w.rest, some.data(), count, x.input, token);
    ASSERT_TRUE(expected.same_bits(actual)) << rows << " x " << cols << ", " << count << " rows";
  }
}

TEST_P(Screen, NothingToDoDoesNothing) {
  Matrix w(16, 64);
  Input x(1, 64, 0);
  Guarded<float> y(16), untouched(16);
  GetParam()->screen_matmul(y.data(), 16, w.matrix, 0, 0, x.input, 1);
  GetParam()->screen_matmul(y.data(), 16, w.matrix, 0, 16, x.input, 0);
  Rest rest(16, 64);
  GetParam()->screen_rest(y.data(), rest.rest, nullptr, 0, x.input, 0);
  EXPECT_TRUE(y.same_bits(untouched));
}

TEST(ScreenReference, IsTheSumOfItsProducts) {
  Source source(23);
  const int64_t rows = 21, cols = 150, tokens = 3;
  Matrix w(rows, cols);
  Input x(tokens, cols, 64);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) w.set_code(r, c, source.bits());
    for (int64_t b = 0; b < 3; ++b) w.set_scale(r, b, static_cast<uint16_t>(0x3f00 + 32 * b));
  }
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t c = 0; c < cols; ++c) x.set(t, c, static_cast<int32_t>(source.from(-999, 999)));
    x.scale[t] = 0.5f;
  }
  Guarded<float> y(tokens * rows);
  reference_ops().screen_matmul(y.data(), rows, w.matrix, 0, rows, x.input, tokens);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (int64_t c = 0; c < cols; ++c) {
        sum += 0.5 * double(bfloat(w.scale(r, c / 64))) * (w.code(r, c) - 16) * x.at_token(t, c);
      }
      EXPECT_NEAR(y[t * rows + r], sum, 1e-2) << r;  // the sums are in the thousands
    }
  }
}

TEST(ScreenReference, RestIsTheSumOfItsProducts) {
  Source source(25);
  const int64_t rows = 5, cols = 200;
  Rest w(rows, cols);
  Input x(2, cols, 0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) w.set_code(r, c, source.bits());
    for (int64_t b = 0; b < w.blocks; ++b) w.set_step(r, b, static_cast<uint16_t>(0x3f00 + 32 * b));
  }
  for (int64_t c = 0; c < cols; ++c) x.set(1, c, static_cast<int32_t>(source.from(-999, 999)));
  x.scale[1] = 0.25f;
  const int32_t some[] = {4, 0, 4, 2};
  Guarded<float> y(4);
  reference_ops().screen_rest(y.data(), w.rest, some, 4, x.input, 1);
  for (int64_t i = 0; i < 4; ++i) {
    double sum = 0;
    for (int64_t c = 0; c < cols; ++c) {
      const int number = 2 * w.code(some[i], c) - 3;
      sum += 0.25 * double(bfloat(w.step(some[i], c / 64))) * number * x.at_token(1, c);
    }
    EXPECT_NEAR(y[i], sum, 1e-2) << i;
  }
}

}  // namespace
}  // namespace bitnet::compute_test
