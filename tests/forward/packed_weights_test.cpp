// Finds: an opening trial that writes where it may not (run by the sanitizers), leaves a model that
// is not packed as it says, or reports damage in its own words. Which packing it picks is the
// machine's.
#include "forward/packed_weights.h"

#include <gtest/gtest.h>

#include <cstring>

#include "file/gguf.h"
#include "model/small_model.h"

namespace bitnet {
namespace {

struct Prepared {
  explicit Prepared(const test::GgufWriter& writer, Weights::Options options)
      : bytes(writer.bytes()), gguf(Gguf::parse({bytes.data(), bytes.size()})) {
    EXPECT_TRUE(gguf.ok()) << gguf.status().text();
    model = ModelDescription::open(gguf.value(), {});
    EXPECT_TRUE(model.ok()) << model.status().text();
    weights = Weights::prepare(*model.value(), *select_ops(nullptr), options);
  }

  test::ByteVector bytes;
  Result<Gguf> gguf;
  Result<Ptr<const ModelDescription>> model = Status::error(BITNET_E_STATE, "not opened");
  Result<Ptr<const Weights>> weights = Status::error(BITNET_E_STATE, "not prepared");
};

Weights::Options tried(int threads) {
  Weights::Options options;
  options.threads = threads;
  options.trial_from = 1;
  return options;
}

Weights::Options packed(bitnet_weights kind) {
  Weights::Options options;
  options.weights = kind;
  return options;
}

TEST(PackedWeights, AfterATrialAreThoseOfThePackingItPicked) {
  for (int threads : {1, 2, 5}) {
    const Prepared after(test::small_model(), tried(threads));
    ASSERT_TRUE(after.weights.ok()) << after.weights.status().text();
    const Weights& picked = *after.weights.value();
    ASSERT_TRUE(picked.kind() == BITNET_WEIGHTS_2BIT || picked.kind() == BITNET_WEIGHTS_BASE3);

    const Prepared asked(test::small_model(), packed(picked.kind()));
    ASSERT_TRUE(asked.weights.ok()) << asked.weights.status().text();
    const Weights& same = *asked.weights.value();
    ASSERT_EQ(picked.bytes(), same.bytes());
    const auto begin = [](const Weights& w) { return w.layers[0].q.tiles.tiles; };
    EXPECT_EQ(std::memcmp(begin(picked), begin(same), picked.bytes()), 0) << threads << " threads";
  }
}

TEST(PackedWeights, OfADamagedFileAreRefusedWithAndWithoutATrialAlike) {
  test::GgufWriter damaged = test::small_model();
  for (test::GgufWriter::Tensor& t : damaged.tensors) {
    if (t.name == "blk.0.attn_q.weight") t.data[5] = 0xff;  // four times the code 3
  }
  const Prepared after(damaged, tried(2)), asked(damaged, packed(BITNET_WEIGHTS_2BIT));
  ASSERT_FALSE(after.weights.ok());
  EXPECT_EQ(after.weights.status().code(), BITNET_E_FORMAT);
  EXPECT_STREQ(after.weights.status().text(), asked.weights.status().text());
}

}  // namespace
}  // namespace bitnet
