// Model files bent at random, and every allocation refused: opening and packing survive and say
// why. This program has an allocator of its own, which counts and fails on demand.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>

#include "model/model.h"
#include "model/small_model.h"
#include "support/counting_memory.h"

namespace bitnet {
namespace {

using test::ByteVector;

// Opens, packs and unpacks; true if all of it went well.
bool survives(const ByteVector& file, I2sLayout layout) {
  const std::unique_ptr<uint8_t[]> copy(new uint8_t[file.size()]);
  std::memcpy(copy.get(), file.data(), file.size());
  test::allocated_bytes = 0;
  const auto gguf = Gguf::parse({copy.get(), file.size()});
  if (!gguf.ok()) return false;
  ModelDescription::Options options;
  options.i2s_layout = layout;
  const auto model = ModelDescription::open(gguf.value(), options);
  EXPECT_LE(test::allocated_bytes, 32 * file.size()) << "memory out of proportion to the file";
  if (!model.ok()) {
    EXPECT_GT(std::strlen(model.status().text()), 10u);
    return false;
  }
  bool all = true;
  for (const Layer& layer : model.value()->layers) {
    for (const auto member : kProjections) {
      const Projection& p = layer.*member;
      if (!p.ternary) continue;
      ByteVector tiles(static_cast<size_t>(packed_bytes(Packing::kTwoBit, p.rows, p.cols)));
      ByteVector codes(static_cast<size_t>(p.rows * p.cols));
      const Status packed = pack_tiles(p, 0, p.rows, tiles.data());
      const Status unpacked = unpack_codes(p, 0, p.rows, codes.data());
      EXPECT_EQ(packed.code(), unpacked.code());
      EXPECT_STREQ(packed.text(), unpacked.text());
      all = all && packed.ok();
    }
  }
  return all;
}

TEST(ModelHostile, RandomDamageIsSurvived) {
  std::mt19937 random(1958);
  for (const uint32_t type : {test::kI2_S, test::kTQ1_0, test::kTQ2_0, test::kF16}) {
    test::SmallModel small;
    small.projection_type = type;
    small.layers = small.heads = small.kv_heads = 1;
    small.width = small.ff_width = small.head_dim = 256;
    const auto writer = test::small_model(small);
    const ByteVector whole = writer.bytes();
    const size_t head = writer.head().size();
    ASSERT_TRUE(survives(whole, I2sLayout::k128));
    int refused = 0;
    for (int round = 0; round < 600; ++round) {
      ByteVector bent = whole;
      for (auto n = random() % 3 + 1; n > 0; --n) {
        const size_t at = random() % (random() % 4 ? head : bent.size());
        bent[at] = static_cast<uint8_t>(random() % 3 ? bent[at] ^ (1ul << random() % 8) : random());
      }
      refused += !survives(bent, static_cast<I2sLayout>(random() % 3));
    }
    EXPECT_GT(refused, 120);
    EXPECT_LT(refused, 600);
  }
}

TEST(ModelHostile, EveryFailedAllocationTravelsAsBadAlloc) {
  const ByteVector file = test::small_model().bytes();
  const auto gguf = Gguf::parse({file.data(), file.size()});
  ASSERT_TRUE(gguf.ok());
  const int64_t n = test::fail_each_allocation([&] {
    const auto model = ModelDescription::open(gguf.value(), {});
    ASSERT_TRUE(model.ok()) << model.status().text();
  });
  EXPECT_GT(n, 10);
}

}  // namespace
}  // namespace bitnet
