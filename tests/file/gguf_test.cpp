// What a good GGUF file gives, and the sentence each broken rule of formats.md 1.3 earns.
// Meant to find: a check left out, a size rule off by one, a message that names the wrong place.
#include "file/gguf.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>

#include "file/show.h"
#include "support/gguf_writer.h"

namespace bitnet {
namespace {

using test::ByteVector;
using test::GgufWriter;

// A file in a heap block of exactly its size, so that a sanitizer sees every byte read beyond it.
struct Parsed {
  explicit Parsed(const ByteVector& file)
      : copy(new uint8_t[file.size()]), result(parse(copy.get(), file)) {}
  explicit Parsed(const GgufWriter& writer) : Parsed(writer.bytes()) {}

  static Result<Gguf> parse(uint8_t* copy, const ByteVector& file) {
    if (!file.empty()) std::memcpy(copy, file.data(), file.size());
    return Gguf::parse({copy, file.size()});
  }
  const Gguf* operator->() const { return &result.value(); }

  std::unique_ptr<uint8_t[]> copy;
  Result<Gguf> result;
};

std::string error_of(const GgufWriter& writer) {
  return Parsed(writer).result.status().text();
}

ByteVector numbered(size_t bytes) {
  ByteVector data(bytes);
  for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<uint8_t>(i * 7 + bytes);
  return data;
}

GgufWriter one_tensor(uint32_t type, std::vector<uint64_t> shape, size_t bytes) {
  GgufWriter w;
  w.text("general.architecture", "llama");
  w.tensor("t", type, std::move(shape), numbered(bytes));
  return w;
}

TEST(Gguf, ReadsEveryScalarTypeThroughTypedReads) {
  GgufWriter w;
  w.u8("u8", 200);
  w.i8("i8", 100);
  w.u16("u16", 60000);
  w.i16("i16", 30000);
  w.u32("u32", 4000000000u);
  w.i32("i32", 2000000000);
  w.u64("u64", UINT64_MAX);
  w.i64("i64", INT64_MAX);
  w.f32("f32", 0.1f);
  w.f64("f64", 0.1);
  w.boolean("yes", true);
  w.boolean("no", false);
  w.text("text", "caf\xc3\xa9");
  w.text("empty", "");
  const Parsed p(w);
  ASSERT_TRUE(p.result.ok()) << p.result.status().text();
  EXPECT_EQ(p->version(), 3u);
  EXPECT_EQ(p->metadata().size(), 14u);
  EXPECT_EQ(p->metadata()[2].key, "u16") << "order of the file";
  EXPECT_EQ(p->integer("u8", UINT64_MAX).value(), 200u);
  EXPECT_EQ(p->integer("i8", UINT64_MAX).value(), 100u);
  EXPECT_EQ(p->integer("u16", UINT64_MAX).value(), 60000u);
  EXPECT_EQ(p->integer("i16", UINT64_MAX).value(), 30000u);
  EXPECT_EQ(p->integer("u32", UINT64_MAX).value(), 4000000000u);
  EXPECT_EQ(p->integer("i32", UINT64_MAX).value(), 2000000000u);
  EXPECT_EQ(p->integer("u64", UINT64_MAX).value(), UINT64_MAX);
  EXPECT_EQ(p->integer("i64", UINT64_MAX).value(), uint64_t{INT64_MAX});
  EXPECT_EQ(p->real("f32").value(), double{0.1f});
  EXPECT_EQ(p->real("f64").value(), 0.1);
  EXPECT_EQ(p->boolean("yes").value(), true);
  EXPECT_EQ(p->boolean("no").value(), false);
  EXPECT_EQ(p->text("text").value(), "caf\xc3\xa9");
  EXPECT_EQ(p->text("empty").value(), "");
}

TEST(Gguf, ReadsArrays) {
  GgufWriter w;
  w.texts("texts", {"a", "", std::string("nul\0inside", 10)});
  w.reals("reals", {1.5f, -2.0f});
  w.integers("signed", {-1, 7});
  w.array<uint32_t>("unsigned", 4, {1, 0x7fffffff});
  w.texts("none", {});
  const Parsed p(w);
  ASSERT_TRUE(p.result.ok()) << p.result.status().text();
  const auto texts = p->texts("texts");
  ASSERT_TRUE(texts.ok());
  ASSERT_EQ(texts.value().size(), 3u);
  EXPECT_EQ(texts.value()[0], "a");
  EXPECT_EQ(texts.value()[1], "");
  EXPECT_EQ(texts.value()[2], std::string_view("nul\0inside", 10));
  EXPECT_EQ(p->reals("reals").value(), (Vec<float>{1.5f, -2.0f}));
  EXPECT_EQ(p->integers("signed").value(), (Vec<int32_t>{-1, 7}));
  EXPECT_EQ(p->integers("unsigned").value(), (Vec<int32_t>{1, 0x7fffffff}));
  EXPECT_TRUE(p->texts("none").value().empty());
}

TEST(Gguf, AbsentKeysAreEmptyNotErrors) {
  const Parsed p{GgufWriter()};
  ASSERT_TRUE(p.result.ok());
  EXPECT_EQ(p->find("x"), nullptr);
  EXPECT_EQ(p->find_tensor("x"), nullptr);
  EXPECT_FALSE(p->integer("x", 1).value().has_value());
  EXPECT_FALSE(p->real("x").value().has_value());
  EXPECT_FALSE(p->boolean("x").value().has_value());
  EXPECT_FALSE(p->text("x").value().has_value());
  EXPECT_TRUE(p->texts("x").value().empty());
  EXPECT_TRUE(p->reals("x").value().empty());
  EXPECT_TRUE(p->integers("x").value().empty());
}

TEST(Gguf, TypedReadsNameTheKeyWhatTheFileHasAndWhatIsExpected) {
  GgufWriter w;
  w.u32("n", 9);
  w.i64("negative", -5);
  w.f32("f", 1.0f);
  w.text("s", "x");
  w.texts("list", {"x"});
  w.array<uint32_t>("large", 4, {1, 0x80000000u});
  w.scalar<uint8_t>("flag", 7, 2);
  const Parsed p(w);
  ASSERT_TRUE(p.result.ok()) << p.result.status().text();
  const auto text_of = [](const auto& result) {
    EXPECT_EQ(result.status().code(), BITNET_E_FORMAT);
    return std::string(result.status().text());
  };
  EXPECT_EQ(text_of(p->integer("n", 8)), "n: file has 9, expected 0 to 8");
  EXPECT_EQ(text_of(p->integer("negative", 8)), "negative: file has -5, expected 0 to 8");
  EXPECT_EQ(text_of(p->integer("f", 8)), "f: file has f32, expected an integer");
  EXPECT_EQ(text_of(p->integer("list", 8)),
            "list: file has an array of string, expected an integer");
  EXPECT_EQ(text_of(p->real("n")), "n: file has u32, expected f32 or f64");
  EXPECT_EQ(text_of(p->boolean("n")), "n: file has u32, expected bool");
  EXPECT_EQ(text_of(p->boolean("flag")), "flag: file has a bool of value 2, expected 0 or 1");
  EXPECT_EQ(text_of(p->text("n")), "n: file has u32, expected a string");
  EXPECT_EQ(text_of(p->texts("s")), "s: file has string, expected array of string");
  EXPECT_EQ(text_of(p->reals("list")), "list: file has an array of string, expected array of f32");
  EXPECT_EQ(text_of(p->integers("list")),
            "list: file has an array of string, expected array of i32 or u32");
  EXPECT_EQ(text_of(p->integers("large")),
            "large: element 1 is 2147483648, expected 0 to 2147483647");
}

TEST(Gguf, TensorsAreViewsOfTheFile) {
  GgufWriter w;
  w.tensor("b", 0, {3, 2}, numbered(24));
  w.tensor("a", 1, {5}, numbered(10));
  w.tensor("c", 24, {2, 3, 4, 5}, numbered(120));
  const Parsed p(w);
  ASSERT_TRUE(p.result.ok()) << p.result.status().text();
  ASSERT_EQ(p->tensors().size(), 3u);
  EXPECT_EQ(p->tensors()[0].name, "b") << "order of the file";
  const TensorInfo* b = p->find_tensor("b");
  ASSERT_EQ(b, &p->tensors()[0]);
  EXPECT_EQ(b->type, TensorType::kF32);
  EXPECT_EQ(b->dims, 2u);
  EXPECT_EQ(b->shape[0], 3u);
  EXPECT_EQ(b->rows(), 2u);
  EXPECT_EQ(b->offset, w.head().size());
  EXPECT_EQ(b->data.data(), p.copy.get() + b->offset);
  const TensorInfo* a = p->find_tensor("a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->rows(), 1u);
  EXPECT_EQ(a->offset, b->offset + 32);
  EXPECT_EQ(ByteVector(a->data.begin(), a->data.end()), numbered(10));
  const TensorInfo* c = p->find_tensor("c");
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(c->rows(), 60u);
  EXPECT_EQ(ByteVector(c->data.begin(), c->data.end()), numbered(120));
}

TEST(Gguf, AcceptsTensorsOutOfOrderWithGapsAndOtherAlignments) {
  GgufWriter w;
  w.alignment = 8;
  w.u32("general.alignment", 8);
  w.tensor("late", 24, {8}, numbered(8));
  w.tensor("early", 24, {8}, numbered(8));
  w.tensor("gap", 24, {8}, numbered(40));  // 40 bytes are written, the type's rule takes 8 of them
  w.tensors[0].offset = 8;
  w.tensors[1].offset = 0;
  const Parsed p(w);
  ASSERT_TRUE(p.result.ok()) << p.result.status().text();
  EXPECT_EQ(p->find_tensor("late")->offset, p->find_tensor("early")->offset + 8);
  EXPECT_EQ(p->find_tensor("gap")->data.size(), 8u);
}

TEST(Gguf, Version2ReadsLikeVersion3) {
  GgufWriter w = one_tensor(0, {2}, 8);
  w.version = 2;
  const Parsed p(w);
  ASSERT_TRUE(p.result.ok()) << p.result.status().text();
  EXPECT_EQ(p->version(), 2u);
}

TEST(Gguf, AVocabularyWithoutTensorsMayEndBeforeTheAlignedData) {
  GgufWriter w;
  w.text("x", "y");
  ASSERT_NE(w.bytes().size() % 32, 0u);
  EXPECT_TRUE(Parsed(w).result.ok());
}

struct SizeRule {
  uint32_t type;
  std::vector<uint64_t> shape;
  size_t bytes;
};

class GgufSize : public testing::TestWithParam<SizeRule> {};

// One byte less in the file must be refused, the exact size accepted and given as the view.
TEST_P(GgufSize, DataHasExactlyTheBytesOfTheTypesRule) {
  const SizeRule& rule = GetParam();
  const Parsed exact(one_tensor(rule.type, rule.shape, rule.bytes));
  ASSERT_TRUE(exact.result.ok()) << exact.result.status().text();
  EXPECT_EQ(exact->tensors()[0].data.size(), rule.bytes);
  EXPECT_FALSE(Parsed(one_tensor(rule.type, rule.shape, rule.bytes - 1)).result.ok());
}

INSTANTIATE_TEST_SUITE_P(
    Types, GgufSize,
    testing::Values(SizeRule{0, {3, 5}, 60}, SizeRule{1, {3, 5}, 30}, SizeRule{30, {7}, 14},
                    SizeRule{2, {64, 3}, 108}, SizeRule{3, {32}, 20}, SizeRule{6, {32, 2}, 44},
                    SizeRule{7, {32}, 24}, SizeRule{8, {32, 2}, 68}, SizeRule{9, {32}, 36},
                    SizeRule{10, {256}, 84}, SizeRule{11, {256}, 110}, SizeRule{12, {512, 2}, 576},
                    SizeRule{13, {256}, 176}, SizeRule{14, {256, 2}, 420}, SizeRule{15, {256}, 292},
                    SizeRule{16, {256}, 66}, SizeRule{17, {256}, 74}, SizeRule{18, {256}, 98},
                    SizeRule{19, {256}, 50}, SizeRule{20, {32}, 18}, SizeRule{21, {256}, 110},
                    SizeRule{22, {256}, 82}, SizeRule{23, {256}, 136}, SizeRule{24, {3}, 3},
                    SizeRule{25, {3}, 6}, SizeRule{26, {3}, 12}, SizeRule{27, {3}, 24},
                    SizeRule{28, {3}, 24}, SizeRule{29, {256}, 56}, SizeRule{34, {512, 2}, 216},
                    SizeRule{35, {256, 3}, 198}, SizeRule{36, {128, 2}, 96},
                    SizeRule{36, {64, 2}, 64}, SizeRule{36, {2560, 640}, 409632},
                    SizeRule{39, {64}, 34}, SizeRule{42, {128}, 36}, SizeRule{134, {128, 3}, 84},
                    SizeRule{135, {64, 2}, 40}, SizeRule{335, {64, 4}, 80}));

struct Rule {
  const char* name;
  std::function<void(GgufWriter&)> breakage;
  bitnet_status code;
  const char* expected;  // part of the sentence
};

void PrintTo(const Rule& rule, std::ostream* out) {
  *out << rule.name;
}

class GgufRule : public testing::TestWithParam<Rule> {};

// base: x = 1, tensors a [64] and b [4, 4] of F32.
TEST_P(GgufRule, IsRefusedWithItsSentence) {
  GgufWriter w;
  w.text("general.architecture", "llama");
  w.u32("x", 1);
  w.tensor("a", 0, {64}, numbered(256));
  w.tensor("b", 0, {4, 4}, numbered(64));
  ASSERT_EQ(error_of(w), "");
  GetParam().breakage(w);
  const Parsed p(w);
  ASSERT_FALSE(p.result.ok());
  EXPECT_EQ(p.result.status().code(), GetParam().code) << p.result.status().text();
  EXPECT_NE(std::string(p.result.status().text()).find(GetParam().expected), std::string::npos)
      << p.result.status().text() << "\nexpected: " << GetParam().expected;
}

const Rule kRules[] = {
    {"Version0", [](GgufWriter& w) { w.version = 0; }, BITNET_E_FORMAT,
     "GGUF version 0, expected 2 or 3"},
    {"Version1", [](GgufWriter& w) { w.version = 1; }, BITNET_E_UNSUPPORTED,
     "GGUF version 1 (2023) is no longer read, expected 2 or 3"},
    {"Version4", [](GgufWriter& w) { w.version = 4; }, BITNET_E_UNSUPPORTED,
     "GGUF version 4, expected 2 or 3"},
    {"BigEndian", [](GgufWriter& w) { w.version = 0x03000000; }, BITNET_E_UNSUPPORTED,
     "big-endian GGUF (the version field reads 0x03000000), expected little-endian"},
    {"ManyTensors", [](GgufWriter& w) { w.tensor_count = UINT64_MAX; }, BITNET_E_FORMAT,
     "header: 18446744073709551615 tensors announced, a file of "},
    {"ManyPairs", [](GgufWriter& w) { w.pair_count = uint64_t{1} << 40; }, BITNET_E_FORMAT,
     "header: 1099511627776 metadata entries announced, a file of "},
    {"TooManyPairs",
     [](GgufWriter& w) {
       w.text("padding", std::string(2 << 20, ' '));
       w.pair_count = 65537;
     },
     BITNET_E_FORMAT, "bytes can have 65536"},
    {"TooManyTensors",
     [](GgufWriter& w) {
       w.text("padding", std::string(4 << 20, ' '));
       w.tensor_count = 65537;
     },
     BITNET_E_FORMAT, "bytes can have 65536"},
    {"OnePairTooMany", [](GgufWriter& w) { w.pair_count = 3; }, BITNET_E_FORMAT, ""},
    {"OneTensorTooMany", [](GgufWriter& w) { w.tensor_count = 3; }, BITNET_E_FORMAT, ""},
    {"EmptyKey", [](GgufWriter& w) { w.u32("", 1); }, BITNET_E_FORMAT,
     "metadata entry 2: its key is empty"},
    {"LongKey", [](GgufWriter& w) { w.u32(std::string(65536, 'k'), 1); }, BITNET_E_FORMAT,
     "metadata entry 2: string of 65536 bytes at offset"},
    {"DuplicateKey", [](GgufWriter& w) { w.pairs.push_back(w.pairs[1]); }, BITNET_E_FORMAT,
     "metadata key x: occurs twice, expected once"},
    {"ValueType", [](GgufWriter& w) { w.pairs[1].type = 13; }, BITNET_E_FORMAT,
     "x: value type 13, expected 0 to 12"},
    {"ElementType", [](GgufWriter& w) { w.array<uint8_t>("y", 13, {1}); }, BITNET_E_FORMAT,
     "y: element type 13, expected 0 to 12"},
    {"ArrayOfArrays",
     [](GgufWriter& w) {
       w.array<uint64_t>("y", 9, {1, 2});
     },
     BITNET_E_FORMAT, "y: array of arrays, expected an array of scalars"},
    {"LongString",
     [](GgufWriter& w) {
       w.text("y", "z");
       const uint64_t length = uint64_t{1} << 63;
       std::memcpy(w.find("y")->value.data(), &length, 8);
     },
     BITNET_E_FORMAT, "y: string of 9223372036854775808 bytes at offset"},
    {"StringBeyondTheEnd",
     [](GgufWriter& w) {
       w.text("y", "z");
       const uint64_t length = 5000;
       std::memcpy(w.find("y")->value.data(), &length, 8);
     },
     BITNET_E_FORMAT, "y: needs 5000 bytes at offset"},
    {"LongArray",
     [](GgufWriter& w) {
       w.array<uint64_t>("y", 10, {1});
       const uint64_t count = (uint64_t{1} << 61) + 1;  // * 8 wraps to 8
       std::memcpy(w.find("y")->value.data() + 4, &count, 8);
     },
     BITNET_E_FORMAT, "y: array of 2305843009213693953 u64, the file has "},
    {"LongTextArray",
     [](GgufWriter& w) {
       w.texts("y", {"z"});
       const uint64_t count = 1000;
       std::memcpy(w.find("y")->value.data() + 4, &count, 8);
     },
     BITNET_E_FORMAT, "y: array of 1000 string, the file has "},
    {"SplitSet", [](GgufWriter& w) { w.u16("split.count", 3); }, BITNET_E_UNSUPPORTED,
     "this is one of 3 parts of a split GGUF, expected a whole file"},
    {"AlignmentType", [](GgufWriter& w) { w.u64("general.alignment", 32); }, BITNET_E_FORMAT,
     "general.alignment: file has u64, expected u32"},
    {"AlignmentZero", [](GgufWriter& w) { w.u32("general.alignment", 0); }, BITNET_E_FORMAT,
     "general.alignment: file has 0, expected a power of two of 8 or more"},
    {"AlignmentOdd", [](GgufWriter& w) { w.u32("general.alignment", 48); }, BITNET_E_FORMAT,
     "general.alignment: file has 48, expected a power of two"},
    {"AlignmentSmall", [](GgufWriter& w) { w.u32("general.alignment", 4); }, BITNET_E_FORMAT,
     "general.alignment: file has 4, expected a power of two of 8 or more"},
    {"AlignmentHuge", [](GgufWriter& w) { w.u32("general.alignment", 0x80000000u); },
     BITNET_E_FORMAT, "tensor data: starts at offset 2147483648 (alignment 2147483648), the file"},
    {"EmptyName", [](GgufWriter& w) { w.tensors[0].name.clear(); }, BITNET_E_FORMAT,
     "tensor entry 0: its name is empty"},
    {"LongName", [](GgufWriter& w) { w.tensors[0].name = std::string(64, 'n'); }, BITNET_E_FORMAT,
     "tensor entry 0: string of 64 bytes at offset"},
    {"DuplicateTensor", [](GgufWriter& w) { w.tensors[1].name = std::string(1, 'a'); },
     BITNET_E_FORMAT, "tensor a: occurs twice, expected once"},
    {"NoDimensions", [](GgufWriter& w) { w.tensors[0].shape = {}; }, BITNET_E_FORMAT,
     "tensor a: 0 dimensions, expected 1 to 4"},
    {"FiveDimensions",
     [](GgufWriter& w) {
       w.tensors[0].shape = {1, 1, 1, 1, 1};
     },
     BITNET_E_FORMAT, "tensor a: 5 dimensions, expected 1 to 4"},
    {"ExtentZero",
     [](GgufWriter& w) {
       w.tensors[1].shape = {4, 0};
     },
     BITNET_E_FORMAT,
     "tensor b: shape [4, 0], expected extents of 1 or more whose product is below 2^63"},
    {"ExtentNegative",
     [](GgufWriter& w) {
       w.tensors[1].shape = {UINT64_MAX, 1};
     },
     BITNET_E_FORMAT, "tensor b: shape [18446744073709551615], expected extents"},
    {"ProductWraps",
     [](GgufWriter& w) {
       w.tensors[1].shape = {1u << 31, 1u << 31, 4};
     },
     BITNET_E_FORMAT, "tensor b: shape [2147483648, 2147483648, 4], expected extents"},
    {"BytesWrap", [](GgufWriter& w) { w.tensors[1].shape = {uint64_t{1} << 62}; }, BITNET_E_FORMAT,
     "tensor b: shape [4611686018427387904] of F32 exceeds 2^64 bytes"},
    {"UnknownType", [](GgufWriter& w) { w.tensors[1].type = 31; }, BITNET_E_FORMAT,
     "tensor b: type 31 is unknown, so is the size of its data"},
    {"PartOfABlock", [](GgufWriter& w) { w.tensors[0].type = 12; }, BITNET_E_FORMAT,
     "tensor a: shape [64] does not divide into blocks of Q4_K (256 elements)"},
    {"R4Rows",
     [](GgufWriter& w) {
       w.tensors[0].type = 335;
       w.tensors[0].shape = {64, 2};
     },
     BITNET_E_FORMAT, "tensor a: shape [64, 2] does not divide into blocks of IQ2_BN_R4"},
    {"PartOfAnI2sBlock", [](GgufWriter& w) { w.tensors[0].type = 36; }, BITNET_E_FORMAT,
     "tensor a: I2_S of shape [64] has 64 elements, expected a multiple of 128"},
    {"Misaligned", [](GgufWriter& w) { w.tensors[1].offset = 264; }, BITNET_E_FORMAT,
     "tensor b: offset 264, expected a multiple of 32"},
    {"OffsetBeyondTheEnd", [](GgufWriter& w) { w.tensors[1].offset = 352; }, BITNET_E_FORMAT,
     "tensor b: F32 [4, 4] needs 64 bytes at offset 352 of the tensor data, which has 320"},
    {"OffsetWraps", [](GgufWriter& w) { w.tensors[1].offset = UINT64_MAX - 31; }, BITNET_E_FORMAT,
     "tensor b: F32 [4, 4] needs 64 bytes at offset 18446744073709551584"},
    {"DataBeyondTheEnd",
     [](GgufWriter& w) {
       w.tensors[1].shape = {4, 5};
     },
     BITNET_E_FORMAT,
     "tensor b: F32 [4, 5] needs 80 bytes at offset 256 of the tensor data, which has 320"},
    {"Overlap", [](GgufWriter& w) { w.tensors[1].offset = 224; }, BITNET_E_FORMAT,
     "tensor a: F32 [64] ends at offset "},
    {"SamePlace", [](GgufWriter& w) { w.tensors[1].offset = 0; }, BITNET_E_FORMAT, "where tensor "},
    {"Tl1", [](GgufWriter& w) { w.tensors[0].type = 38; }, BITNET_E_UNSUPPORTED,
     "tensor a: type 38 (TL1, the lookup-table layout of one machine) is not supported yet, use"},
    {"Tl2",
     [](GgufWriter& w) {
       w.text("general.architecture", "bitnet-b1.58");
       w.tensors[0].type = 39;
     },
     BITNET_E_UNSUPPORTED, "tensor a: type 39 (TL2, "},
    {"Tl2Of2026",
     [](GgufWriter& w) {
       w.text("general.architecture", "bitnet");
       w.tensors[0].type = 42;
     },
     BITNET_E_UNSUPPORTED, "tensor a: type 42 (TL2, "},
    {"NamesAreShownAsPlainAscii",
     [](GgufWriter& w) {
       w.tensors[1].name = std::string("\x1b[31m\xff");
       w.tensors[1].type = 31;
     },
     BITNET_E_FORMAT, "tensor ?[31m?: type 31"},
};

INSTANTIATE_TEST_SUITE_P(Rules, GgufRule, testing::ValuesIn(kRules),
                         [](const auto& rule) { return std::string(rule.param.name); });

TEST(Gguf, RefusesWhatIsNoGguf) {
  const auto text = [](const ByteVector& file) {
    return std::string(Parsed(file).result.status().text());
  };
  EXPECT_EQ(text({}), "the file has 0 bytes, a GGUF header needs 24");
  EXPECT_EQ(text(ByteVector(23, 'G')), "the file has 23 bytes, a GGUF header needs 24");
  EXPECT_EQ(text(ByteVector(24, 'G')),
            "not a GGUF file: it starts with 47 47 47 47, expected 47 47 55 46 (\"GGUF\")");
}

TEST(Gguf, ASplitCountOfOneIsAWholeFile) {
  GgufWriter w = one_tensor(0, {1}, 4);
  w.u16("split.count", 1);
  EXPECT_EQ(error_of(w), "");
}

TEST(Shown, NumbersDoNotFollowALocaleAndKeepTheirValue) {
  EXPECT_STREQ(shown_number(0.1f).text, "0.1");
  EXPECT_STREQ(shown_number(-1.5).text, "-1.5");
  EXPECT_STREQ(shown_number(std::numeric_limits<float>::quiet_NaN()).text, "nan");
  EXPECT_STREQ(shown_number(-std::numeric_limits<double>::infinity()).text, "-inf");
}

TEST(Shown, LongAndWideThingsFit) {
  EXPECT_EQ(std::string(shown(std::string(500, 'x')).text), std::string(92, 'x') + "...");
  EXPECT_EQ(std::string(shown(std::string(92, 'x')).text), std::string(92, 'x'));
  const uint64_t wide[4] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
  EXPECT_STREQ(shown_shape(wide, 4).text,
               "[18446744073709551615, 18446744073709551615, 18446744073709551615, "
               "18446744073709551615]");
  EXPECT_STREQ(shown_type(TensorType::kI2_S).text, "I2_S");
  EXPECT_STREQ(shown_type(static_cast<TensorType>(31)).text, "type 31");
}

// Vocabulary files of other projects, where this machine has them.
TEST(Gguf, ReadsPublishedVocabularies) {
  const char* shared = std::getenv("BITNET_SHARED");
  const std::filesystem::path folder =
      std::filesystem::path(shared ? shared : BITNET_SHARED_DEFAULT) / "data";
  const struct {
    const char* name;
    size_t tokens, merges;
  } files[] = {{"ggml-vocab-llama-spm.gguf", 32000, 0},
               {"ggml-vocab-phi-3.gguf", 32064, 0},
               {"ggml-vocab-gpt-2.gguf", 50257, 50000},
               {"ggml-vocab-falcon.gguf", 65024, 64784}};
  for (const auto& file : files) {
    std::ifstream in(folder / file.name, std::ios::binary);
    if (!in) GTEST_SKIP() << (folder / file.name) << " is not here";
    const ByteVector bytes{std::istreambuf_iterator<char>(in), {}};
    const Parsed p(bytes);
    ASSERT_TRUE(p.result.ok()) << file.name << ": " << p.result.status().text();
    EXPECT_TRUE(p->tensors().empty());
    EXPECT_EQ(p->texts("tokenizer.ggml.tokens").value().size(), file.tokens) << file.name;
    EXPECT_EQ(p->texts("tokenizer.ggml.merges").value().size(), file.merges) << file.name;
    EXPECT_EQ(p->integers("tokenizer.ggml.token_type").value().size(), file.tokens) << file.name;
  }
}

}  // namespace
}  // namespace bitnet
