// Files made to hurt: cut at every byte, every field bent, every allocation refused.
// Meant to find: reads beyond the file (each copy has exactly its size, for the sanitizer),
// allocations that trust a number of the file, crashes, failures that say nothing.
//
// This program has an allocator of its own, which counts and fails on demand.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>

#include "file/gguf.h"
#include "support/counting_memory.h"
#include "support/gguf_writer.h"

namespace bitnet {
namespace {

using test::ByteVector;
using test::GgufWriter;

GgufWriter sample() {
  GgufWriter w;
  w.text("general.architecture", "llama");
  w.u32("general.alignment", 32);
  w.u8("a", 1);
  w.i64("b", -1);
  w.boolean("c", true);
  w.f64("d", 0.5);
  w.texts("e", {"one", "", "three"});
  w.reals("f", {1, 2, 3});
  w.integers("g", {1, -2});
  w.tensor("t.f32", 0, {4, 2}, ByteVector(32, 1));
  w.tensor("t.i2_s", 36, {128}, ByteVector(64, 2));
  w.tensor("t.tq2", 35, {256}, ByteVector(66, 3));
  w.tensor("t.q8", 8, {32, 1, 2}, ByteVector(68, 4));
  return w;
}

// Reads everything a parsed file offers.
uint64_t walk(const Gguf& file) {
  uint64_t sum = file.version();
  for (const KeyValue& pair : file.metadata()) {
    if (!file.find(pair.key)) ADD_FAILURE() << "a key of the file is not found";
    for (const uint8_t byte : pair.value.data) sum += byte;
    const auto integer = file.integer(pair.key, 1000);
    const auto real = file.real(pair.key);
    const auto boolean = file.boolean(pair.key);
    const auto text = file.text(pair.key);
    const auto texts = file.texts(pair.key);
    const auto reals = file.reals(pair.key);
    const auto integers = file.integers(pair.key);
    sum += integer.ok() + real.ok() + boolean.ok() + text.ok();
    if (texts.ok()) {
      for (const std::string_view t : texts.value()) sum += t.size();
    }
    if (reals.ok()) sum += reals.value().size();
    if (integers.ok()) sum += integers.value().size();
  }
  for (const TensorInfo& tensor : file.tensors()) {
    if (file.find_tensor(tensor.name) != &tensor) ADD_FAILURE() << "a tensor is not found";
    for (const uint8_t byte : tensor.data) sum += byte;
  }
  return sum;
}

// True if the file parses. Checks that a failure is told and that memory stays in proportion.
bool survives(const ByteVector& file) {
  const std::unique_ptr<uint8_t[]> copy(new uint8_t[file.size()]);
  std::copy(file.begin(), file.end(), copy.get());
  test::allocated_bytes = 0;
  const auto result = Gguf::parse({copy.get(), file.size()});
  EXPECT_LE(test::allocated_bytes, 16 * file.size()) << "memory out of proportion to the file";
  if (result.ok()) {
    walk(result.value());
  } else {
    EXPECT_GT(std::strlen(result.status().text()), 10u);
  }
  return result.ok();
}

TEST(GgufHostile, EveryTruncationIsRefused) {
  const ByteVector whole = sample().bytes();
  ASSERT_TRUE(survives(whole));
  for (size_t n = 0; n < whole.size(); ++n) {
    ASSERT_FALSE(survives({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n)})) << n;
  }
}

TEST(GgufHostile, EveryTruncationOfAVocabularyIsRefused) {
  GgufWriter w = sample();
  w.tensors.clear();
  const ByteVector whole = w.bytes();
  ASSERT_TRUE(survives(whole));
  for (size_t n = 0; n < whole.size(); ++n) {
    ASSERT_FALSE(survives({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n)})) << n;
  }
}

TEST(GgufHostile, EveryByteBentIsSurvived) {
  const ByteVector whole = sample().bytes();
  const size_t head = sample().head().size();
  size_t refused = 0;
  for (size_t i = 0; i < head; ++i) {
    const uint8_t byte = whole[i];
    for (const int value : {0x00, 0x7f, 0x80, 0xff, byte + 1, byte - 1}) {
      ByteVector bent = whole;
      bent[i] = static_cast<uint8_t>(value);
      refused += !survives(bent);
    }
  }
  EXPECT_GT(refused, head) << "most bytes of the head matter";
}

TEST(GgufHostile, EveryFieldMadeHugeIsSurvived) {
  const ByteVector whole = sample().bytes();
  const size_t head = sample().head().size();
  const uint64_t values[] = {UINT64_MAX,        uint64_t{1} << 63,   (uint64_t{1} << 63) - 1,
                             uint64_t{1} << 61, uint64_t{1} << 32,   uint64_t{1} << 31,
                             whole.size(),      whole.size() - head, uint64_t{1} << 30,
                             UINT64_MAX - 31,   UINT64_MAX / 3};
  for (size_t i = 0; i + 8 <= head; ++i) {
    for (const uint64_t value : values) {
      ByteVector bent = whole;
      std::memcpy(bent.data() + i, &value, 8);
      survives(bent);
      bent = whole;
      std::memcpy(bent.data() + i, &value, 4);
      survives(bent);
    }
  }
}

TEST(GgufHostile, RandomDamageIsSurvived) {
  const ByteVector whole = sample().bytes();
  std::mt19937 random(20240227);
  for (int round = 0; round < 20000; ++round) {
    ByteVector bent = whole;
    for (unsigned n = random() % 8 + 1; n > 0; --n) {
      bent[random() % bent.size()] = static_cast<uint8_t>(random() % 4 ? random() % 5 : random());
    }
    if (random() % 4 == 0) bent.resize(random() % bent.size());
    survives(bent);
  }
}

TEST(GgufHostile, EveryFailedAllocationTravelsAsBadAlloc) {
  const ByteVector whole = sample().bytes();
  const int64_t n = test::fail_each_allocation([&] {
    const auto result = Gguf::parse({whole.data(), whole.size()});
    ASSERT_TRUE(result.ok());
  });
  EXPECT_GT(n, 3) << "some allocation was refused";
}

// As many keys as are allowed, alike in their first 35 bytes: each is found, in no time worth
// noting.
TEST(GgufHostile, TheMostKeysAllowedAreAllFound) {
  GgufWriter w;
  for (int i = 0; i < 65536; ++i) {
    std::string key = std::to_string(i);
    w.pairs.push_back({std::string(40 - key.size(), 'x') + key, 0, {1}});
  }
  const ByteVector file = w.bytes();
  const auto result = Gguf::parse({file.data(), file.size()});
  ASSERT_TRUE(result.ok()) << result.status().text();
  for (const KeyValue& pair : result.value().metadata()) {
    ASSERT_EQ(result.value().find(pair.key), &pair.value);
  }
}

}  // namespace
}  // namespace bitnet
