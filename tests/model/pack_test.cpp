// Codes out of files and into tiles. unpack_codes is held to published vectors and to encoders
// written apart from it; pack_tiles to the byte formula of compute/ops.h, for every file type over
// many shapes. Meant to find: a swapped field, a forgotten tail, a code 3 that slips through.
#include <cjson/cJSON.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "model/model.h"
#include "model/ternary_encoders.h"

namespace bitnet {
namespace {

using test::ByteVector;
using test::Codes;

struct Format {
  const char* name;
  TensorType type;
  I2sLayout layout;
};
constexpr Format kFormats[] = {
    {"I2_S 128", TensorType::kI2_S, I2sLayout::k128},
    {"I2_S 64", TensorType::kI2_S, I2sLayout::k64},
    {"I2_S 4-row", TensorType::kI2_S, I2sLayout::k4Row},
    {"TQ1_0", TensorType::kTQ1_0, I2sLayout::k128},
    {"TQ2_0", TensorType::kTQ2_0, I2sLayout::k128},
};

ByteVector encode(const Format& format, const Codes& codes, int64_t cols) {
  if (format.type == TensorType::kTQ1_0) return test::encode_tq1(codes, test::kHalfOne);
  if (format.type == TensorType::kTQ2_0) return test::encode_tq2(codes, test::kHalfOne);
  return test::encode_i2s(codes, cols, format.layout, 1.0f);
}

bool can_hold(const Format& format, int64_t rows, int64_t cols) {
  if (format.type != TensorType::kI2_S) return cols % 256 == 0;
  return rows * cols % 128 == 0 && (format.layout != I2sLayout::k4Row || rows % 4 == 0);
}

// The projection and the bytes it views, in a block of exactly their size.
struct Encoded {
  Encoded(const Format& format, int64_t rows, int64_t cols, const ByteVector& bytes)
      : copy(new uint8_t[bytes.size()]) {
    std::copy(bytes.begin(), bytes.end(), copy.get());
    p = {"w", format.type, {copy.get(), bytes.size()}, rows, cols, true, 1.0f, format.layout, 1.0f};
  }
  std::unique_ptr<uint8_t[]> copy;
  Projection p;
};

Codes unpacked(const Projection& p) {
  Codes codes(static_cast<size_t>(p.rows * p.cols), 9);
  const Status status = unpack_codes(p, 0, p.rows, codes.data());
  EXPECT_TRUE(status.ok()) << status.text();
  return codes;
}

// The definition in compute/ops.h, byte by byte.
ByteVector tiles_of(const Codes& codes, int64_t rows, int64_t cols) {
  ByteVector tiles(static_cast<size_t>(packed_bytes(Packing::kTwoBit, rows, cols)), 0);
  const int64_t groups = padded_cols(cols) / 16;
  for (size_t at = 0; at < tiles.size(); ++at) {
    const auto i = static_cast<int64_t>(at);
    const int64_t row = i / (groups * 64) * 16 + i % 64 / 4, first = i / 64 % groups * 16 + i % 4;
    for (int64_t p = 0; p < 4; ++p) {
      const int64_t col = first + 4 * p;
      const bool inside = row < rows && col < cols;
      const int code = inside ? codes[static_cast<size_t>(row * cols + col)] : 1;
      tiles[at] = static_cast<uint8_t>(tiles[at] | code << (2 * p));
    }
  }
  return tiles;
}

ByteVector packed(const Projection& p) {
  ByteVector tiles(static_cast<size_t>(packed_bytes(Packing::kTwoBit, p.rows, p.cols)), 0xee);
  const Status status = pack_tiles(p, 0, p.rows, tiles.data());
  EXPECT_TRUE(status.ok()) << status.text();
  return tiles;
}

ByteVector from_hex(const std::string& hex) {
  ByteVector bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

TEST(Pack, EveryFormatAndShapeUnpacksAndPacksByDefinition) {
  const int64_t shapes[][2] = {{16, 256},  {1, 256},   {17, 256}, {32, 512},  {48, 768}, {15, 128},
                               {20, 384},  {64, 640},  {5, 2560}, {33, 1280}, {4, 32},   {8, 80},
                               {12, 224},  {128, 1},   {128, 3},  {16, 8},    {4, 8640}, {6, 8640},
                               {40, 1600}, {100, 192}, {2, 64},   {28, 96},   {3, 6912}, {36, 16}};
  int tried = 0;
  for (const Format& format : kFormats) {
    for (const auto& [rows, cols] : shapes) {
      if (!can_hold(format, rows, cols)) continue;
      ++tried;
      const Codes codes = test::random_codes(rows, cols, static_cast<uint32_t>(rows * 31 + cols));
      const Encoded e(format, rows, cols, encode(format, codes, cols));
      ASSERT_EQ(unpacked(e.p), codes) << format.name << " " << rows << " x " << cols;
      ASSERT_EQ(packed(e.p), tiles_of(codes, rows, cols))
          << format.name << " " << rows << " x " << cols;
    }
  }
  EXPECT_GT(tried, 60);
}

TEST(Pack, PartsOfRowsWriteTheirTilesOnly) {
  const int64_t rows = 70, cols = 256;
  const Codes codes = test::random_codes(rows, cols, 1);
  for (const Format& format : kFormats) {
    const int64_t whole = format.layout == I2sLayout::k4Row ? 68 : rows;
    const Codes part(codes.begin(), codes.begin() + static_cast<ptrdiff_t>(whole * cols));
    const Encoded e(format, whole, cols, encode(format, part, cols));
    const ByteVector expected = tiles_of(part, whole, cols);
    ByteVector tiles(expected.size(), 0xee);
    const auto tile_bytes = static_cast<ptrdiff_t>(packed_bytes(Packing::kTwoBit, 16, cols));
    ASSERT_TRUE(pack_tiles(e.p, 16, 48, tiles.data() + tile_bytes).ok());
    EXPECT_TRUE(std::all_of(tiles.begin(), tiles.begin() + tile_bytes,
                            [](uint8_t byte) { return byte == 0xee; }));
    EXPECT_TRUE(std::equal(tiles.begin() + tile_bytes, tiles.begin() + 3 * tile_bytes,
                           expected.begin() + tile_bytes));
    EXPECT_TRUE(std::all_of(tiles.begin() + 3 * tile_bytes, tiles.end(),
                            [](uint8_t byte) { return byte == 0xee; }));
    ASSERT_TRUE(pack_tiles(e.p, 0, 16, tiles.data()).ok());
    ASSERT_TRUE(pack_tiles(e.p, 48, whole, tiles.data() + 3 * tile_bytes).ok());
    EXPECT_EQ(tiles, expected) << format.name;
  }
}

TEST(Pack, UnpacksRowsFromTheMiddle) {
  const Codes codes = test::random_codes(12, 256, 2);
  for (const Format& format : kFormats) {
    const Encoded e(format, 12, 256, encode(format, codes, 256));
    Codes rows(3 * 256);
    ASSERT_TRUE(unpack_codes(e.p, 5, 3, rows.data()).ok());
    EXPECT_TRUE(std::equal(rows.begin(), rows.end(), codes.begin() + 5 * 256)) << format.name;
  }
}

TEST(Pack, ACode3IsRefusedWithItsPlaceWhereverItStands) {
  const int64_t shapes[][2] = {{20, 256}, {8, 80}, {8, 192}};
  for (const Format& format : kFormats) {
    if (format.type == TensorType::kTQ1_0) continue;  // base 3 has no fourth digit
    for (const auto& [rows, cols] : shapes) {
      if (!can_hold(format, rows, cols)) continue;
      const Codes codes = test::random_codes(rows, cols, 3);
      for (size_t at = 0; at < codes.size(); at += at % 2 ? 6 : 7) {
        Codes bad = codes;
        bad[at] = 3;
        const Encoded e(format, rows, cols, encode(format, bad, cols));
        const std::string expected = "w: row " + std::to_string(static_cast<int64_t>(at) / cols) +
                                     ", column " + std::to_string(static_cast<int64_t>(at) % cols) +
                                     " has code 3, expected 0, 1 or 2";
        ByteVector tiles(static_cast<size_t>(packed_bytes(Packing::kTwoBit, rows, cols)));
        Codes out(codes.size());
        const Status packing = pack_tiles(e.p, 0, rows, tiles.data());
        const Status unpacking = unpack_codes(e.p, 0, rows, out.data());
        ASSERT_EQ(packing.code(), BITNET_E_FORMAT) << format.name << " " << expected;
        ASSERT_EQ(packing.text(), expected) << format.name;
        ASSERT_EQ(unpacking.text(), expected) << format.name;
      }
    }
  }
}

// Where a file's rows can be used in place, each code is where Packing::kFileRows looks for it.
TEST(FileRows, AreTheCodesInTheOrderOfTheActivations) {
  int tried = 0;
  for (const Format& format : kFormats) {
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{5, 256}, {17, 768}, {4, 128}}) {
      if (!can_hold(format, rows, cols)) continue;
      const Codes codes = test::random_codes(rows, cols, 7);
      const Encoded e(format, rows, cols, encode(format, codes, cols));
      const bool expected = format.type == TensorType::kTQ2_0 ||
                            (format.type == TensorType::kI2_S && format.layout == I2sLayout::k128);
      ASSERT_EQ(has_file_rows(e.p), expected) << format.name;
      if (!expected) continue;
      ++tried;
      EXPECT_TRUE(check_file_rows(e.p, 0, rows).ok());
      const TernaryMatrix w = file_rows(e.p);
      ASSERT_EQ(w.packing, Packing::kFileRows);
      // Which column is read at each place, in two numbers that fit a byte.
      std::vector<int8_t> columns(static_cast<size_t>(cols)), low(columns), high(columns);
      for (size_t c = 0; c < columns.size(); ++c) columns[c] = static_cast<int8_t>(c % 128);
      permute_for_file_rows(low.data(), columns.data(), cols, file_order(e.p));
      for (size_t c = 0; c < columns.size(); ++c) columns[c] = static_cast<int8_t>(c / 128);
      permute_for_file_rows(high.data(), columns.data(), cols, file_order(e.p));
      const int64_t block_bytes = format.type == TensorType::kTQ2_0 ? 33 : 32;  // with their gap
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t at = 0; at < cols; ++at) {
          const int64_t block = at / 128;
          const uint8_t byte = w.tiles[r * w.row_bytes + block / 2 * 2 * block_bytes +
                                       block % 2 * 32 + at % 128 / 16 * 4 + at % 4];
          const int64_t column = 128 * high[static_cast<size_t>(at)] + low[static_cast<size_t>(at)];
          ASSERT_EQ(byte >> (at % 16 / 4 * 2) & 3, codes[static_cast<size_t>(r * cols + column)])
              << format.name << " row " << r << " at " << at;
        }
      }
    }
  }
  EXPECT_EQ(tried, 5);
}

TEST(FileRows, WithoutWholeBlocksAreNotOffered) {
  const Codes codes = test::random_codes(2, 192, 1);
  const Encoded e(kFormats[0], 2, 192, encode(kFormats[0], codes, 192));
  EXPECT_FALSE(has_file_rows(e.p));
}

TEST(FileRows, ACode3IsRefusedAsPackingRefusesIt) {
  for (const Format& format : {kFormats[0], kFormats[4]}) {
    const int64_t rows = 20, cols = 512;
    const Codes codes = test::random_codes(rows, cols, 3);
    for (size_t at = 0; at < codes.size(); at += at % 2 ? 60 : 71) {
      Codes bad = codes;
      bad[at] = 3;
      const Encoded e(format, rows, cols, encode(format, bad, cols));
      ByteVector tiles(static_cast<size_t>(packed_bytes(Packing::kTwoBit, rows, cols)));
      ASSERT_STREQ(check_file_rows(e.p, 0, rows).text(),
                   pack_tiles(e.p, 0, rows, tiles.data()).text())
          << format.name << " " << at;
      const auto row = static_cast<int64_t>(at) / cols;
      ASSERT_TRUE(check_file_rows(e.p, 0, row).ok());
      ASSERT_TRUE(check_file_rows(e.p, row + 1, rows).ok());
    }
  }
}

TEST(FileRows, ABlockOfScaleZeroMustHaveTheCodesItMeans) {
  ByteVector data = encode(kFormats[4], Codes(3 * 512, 1), 512);
  test::set_tq_scale(data, 66, 3, 0x8000);
  const Encoded zeros(kFormats[4], 3, 512, data);
  EXPECT_TRUE(check_file_rows(zeros.p, 0, 3).ok());
  for (const uint8_t byte : {uint8_t{0x54}, uint8_t{0xff}}) {
    data[3 * 66 + 17] = byte;
    const Encoded e(kFormats[4], 3, 512, data);
    const Status status = check_file_rows(e.p, 0, 3);
    EXPECT_EQ(status.code(), BITNET_E_UNSUPPORTED);
    EXPECT_NE(std::string(status.text()).find("row 1, column 256"), std::string::npos)
        << status.text();
    EXPECT_TRUE(check_file_rows(e.p, 2, 3).ok());
  }
}

// All 256 bytes at every position of a TQ1_0 block hold trits, whatever an encoder would write.
TEST(Pack, EveryByteOfTq1IsFiveTrits) {
  ByteVector block(54);
  const uint16_t one = test::kHalfOne;
  for (int byte = 0; byte < 256; ++byte) {
    std::fill(block.begin(), block.end() - 2, static_cast<uint8_t>(byte));
    std::memcpy(block.data() + 52, &one, 2);
    const Encoded e(kFormats[3], 1, 256, block);
    const Codes codes = unpacked(e.p);
    EXPECT_EQ(packed(e.p), tiles_of(codes, 1, 256));
    int u = byte;
    for (size_t n = 0; n < 5; ++n, u = u * 3 % 256) {
      EXPECT_EQ(codes[32 * n], u * 3 / 256);
      EXPECT_EQ(codes[160 + 16 * n], u * 3 / 256);
      EXPECT_EQ(codes[n < 4 ? 240 + 4 * n : 128], u * 3 / 256);
    }
  }
}

TEST(Pack, ZeroBlocksOfTqHoldZerosWhateverTheirCodes) {
  const Codes codes = test::random_codes(3, 512, 4);
  for (const size_t bytes : {size_t{54}, size_t{66}}) {
    for (const uint16_t zero : {uint16_t{0}, uint16_t{0x8000}}) {
      const Format& format = bytes == 54 ? kFormats[3] : kFormats[4];
      ByteVector data = encode(format, codes, 512);
      std::fill_n(data.begin() + static_cast<ptrdiff_t>(3 * bytes), bytes - 2, uint8_t{0xff});
      test::set_tq_scale(data, bytes, 3, zero);
      Codes expected = codes;
      std::fill_n(expected.begin() + 3 * 256, 256, uint8_t{1});
      const Encoded e(format, 3, 512, data);
      EXPECT_EQ(unpacked(e.p), expected) << format.name;
      EXPECT_EQ(packed(e.p), tiles_of(expected, 3, 512)) << format.name;
    }
  }
}

// formats.md 2.1, "Worked example": +1 when i % 5 == 0, else -1 when i % 7 == 0, else 0.
TEST(Pack, TheWorkedExampleOfI2s) {
  Codes codes(128);
  for (size_t i = 0; i < 128; ++i) codes[i] = i % 5 == 0 ? 2 : i % 7 == 0 ? 0 : 1;
  const std::string tail = "0000c03f" + std::string(56, '0');
  const Encoded by128(kFormats[0], 1, 128,
                      from_hex("95595465569559156556855955611695"
                               "58456556911955644695595125569449" +
                               tail));
  const Encoded by64(kFormats[1], 1, 128,
                     from_hex("95545659658555165865915546592594"
                              "64955156496595545659658555165865" +
                              tail));
  EXPECT_EQ(unpacked(by128.p), codes);
  EXPECT_EQ(unpacked(by64.p), codes);
  EXPECT_EQ(packed(by128.p), tiles_of(codes, 1, 128));
  EXPECT_EQ(packed(by64.p), tiles_of(codes, 1, 128));
}

// formats.md 2.4: 00 is -----, 80 is 00000, FF is +++++, CD is +0-0+.
TEST(Pack, TheByteExamplesOfTq1) {
  ByteVector block(54, 0x80);
  block[0] = 0x00;
  block[1] = 0xff;
  block[2] = 0xcd;
  const Encoded e(kFormats[3], 1, 256, block);
  const Codes codes = unpacked(e.p);
  const uint8_t cd[] = {2, 1, 0, 1, 2};
  for (size_t n = 0; n < 5; ++n) {
    EXPECT_EQ(codes[32 * n], 0);
    EXPECT_EQ(codes[32 * n + 1], 2);
    EXPECT_EQ(codes[32 * n + 2], cd[n]);
    EXPECT_EQ(codes[32 * n + 3], 1);
  }
}

// The vectors made beside the fact sheet, where this machine has them.
class PackVectors : public testing::Test {
 protected:
  void SetUp() override {
    const char* shared = std::getenv("BITNET_SHARED");
    const auto path = std::filesystem::path(shared ? shared : BITNET_SHARED_DEFAULT) / "data" /
                      "format-vectors.json";
    std::ifstream in(path, std::ios::binary);
    if (!in) GTEST_SKIP() << path << " is not here";
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    json_.reset(cJSON_ParseWithLength(text.data(), text.size()));
    ASSERT_NE(json_, nullptr);
    vectors_ = cJSON_GetObjectItemCaseSensitive(json_.get(), "vectors");
  }

  static std::string text(const cJSON* vector, const char* key) {
    const cJSON* item = cJSON_GetObjectItemCaseSensitive(vector, key);
    return cJSON_IsString(item) ? item->valuestring : "";
  }

  struct Free {
    void operator()(cJSON* json) const { cJSON_Delete(json); }
  };
  std::unique_ptr<cJSON, Free> json_;
  const cJSON* vectors_ = nullptr;
};

TEST_F(PackVectors, I2sInThreeLayouts) {
  int seen = 0;
  const cJSON* vector;
  cJSON_ArrayForEach(vector, vectors_) {
    if (text(vector, "type") != "I2_S") continue;
    const std::string layout = text(vector, "layout");
    const Format& format = kFormats[layout == "128" ? 0 : layout == "64" ? 1 : 2];
    const cJSON* ne = cJSON_GetObjectItemCaseSensitive(vector, "ne");
    const int64_t cols = cJSON_GetArrayItem(ne, 0)->valueint;
    const int64_t rows = cJSON_GetArrayItem(ne, 1)->valueint;
    const Encoded e(format, rows, cols, from_hex(text(vector, "hex")));
    const std::string ternary = text(vector, "ternary");
    Codes codes;
    for (const char c : ternary) codes.push_back(c == '-' ? 0 : c == '0' ? 1 : 2);
    EXPECT_EQ(unpacked(e.p), codes) << layout;
    EXPECT_EQ(packed(e.p), tiles_of(codes, rows, cols)) << layout;
    float scale;
    std::memcpy(&scale, e.p.data.data() + codes.size() / 4, 4);
    EXPECT_EQ(scale, cJSON_GetObjectItemCaseSensitive(vector, "scale")->valuedouble);
    ++seen;
  }
  EXPECT_EQ(seen, 3);
}

TEST_F(PackVectors, TqBlocks) {
  int seen = 0;
  const cJSON* vector;
  cJSON_ArrayForEach(vector, vectors_) {
    const bool tq1 = text(vector, "type") == "TQ1_0";
    if (!tq1 && text(vector, "type") != "TQ2_0") continue;
    ByteVector bytes = from_hex(text(vector, "hex"));
    std::vector<double> values;
    double d = INFINITY;
    const cJSON* number;
    cJSON_ArrayForEach(number, cJSON_GetObjectItemCaseSensitive(vector, "values")) {
      values.push_back(number->valuedouble);
      if (number->valuedouble != 0) d = std::min(d, std::abs(number->valuedouble));
    }
    if (!tq1) {
      // Random bytes: codes 3 are refused as they stand, then made 2.
      ByteVector tiles(static_cast<size_t>(packed_bytes(Packing::kTwoBit, 1, 256)));
      EXPECT_FALSE(pack_tiles(Encoded(kFormats[4], 1, 256, bytes).p, 0, 1, tiles.data()).ok());
      for (size_t i = 0; i < 64; ++i) {
        bytes[i] = static_cast<uint8_t>(bytes[i] & ~((bytes[i] & (bytes[i] >> 1)) & 0x55));
      }
    }
    Codes codes;
    for (const double value : values) {
      codes.push_back(static_cast<uint8_t>(std::min(std::lround(value / d), 1l) + 1));
    }
    const Encoded e(tq1 ? kFormats[3] : kFormats[4], 1, 256, bytes);
    EXPECT_EQ(unpacked(e.p), codes);
    EXPECT_EQ(packed(e.p), tiles_of(codes, 1, 256));
    ++seen;
  }
  EXPECT_EQ(seen, 2);
}

}  // namespace
}  // namespace bitnet
