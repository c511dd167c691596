// Descriptions of models: what each family's file becomes, and the sentence for everything that is
// missing, misshapen, of a type or a family we cannot compute (formats.md 1.3, 4).
// Meant to find: a weight under the wrong role, a bound left out, a rule of the activation
// forgotten, a file that opens although its result would be wrong.
#include "model/model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>

#include "model/small_model.h"

namespace bitnet {
namespace {

using test::ByteVector;
using test::GgufWriter;
using test::small_model;
using test::SmallModel;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Messages {
  std::vector<std::string> texts;
  static void add(void* user, bitnet_log_level level, const char* text) {
    EXPECT_EQ(level, BITNET_LOG_WARNING);
    static_cast<Messages*>(user)->texts.emplace_back(text);
  }
};

// A file, its parse and its description, in the order they must live.
struct Opened {
  explicit Opened(const GgufWriter& writer, ModelDescription::Options options = {})
      : bytes(writer.bytes()), gguf(Gguf::parse({bytes.data(), bytes.size()})) {
    options.log = {Messages::add, &messages};
    if (gguf.ok()) model = ModelDescription::open(gguf.value(), options);
  }
  bool ok() const { return gguf.ok() && model.ok(); }
  const Status& status() const { return gguf.ok() ? model.status() : gguf.status(); }
  std::string text() const { return status().text(); }
  const ModelDescription* operator->() const { return model.value().get(); }

  ByteVector bytes;
  Result<Gguf> gguf;
  Messages messages;
  Result<Ptr<const ModelDescription>> model = Status();
};

template <class T>
void poke(GgufWriter& w, const std::string& tensor, size_t at, T value) {
  std::memcpy(w.find_tensor(tensor)->data.data() + at, &value, sizeof value);
}

// Gives a tensor another type or shape, with data to match.
void remake(GgufWriter& w, const std::string& name, uint32_t type, std::vector<uint64_t> shape) {
  GgufWriter::Tensor& t = *w.find_tensor(name);
  t.type = type;
  t.data = test::data_for(type, shape);
  t.shape = std::move(shape);
}

TEST(Model, A2B4TLikeFile) {
  const Opened m(small_model());
  ASSERT_TRUE(m.ok()) << m.text();
  EXPECT_EQ(m->family, "bitnet-b1.58");
  EXPECT_EQ(m->name, "small");
  const HyperParameters& h = m->hyper;
  EXPECT_EQ(h.layers, 2);
  EXPECT_EQ(h.context, 512);
  EXPECT_EQ(h.width, 256);
  EXPECT_EQ(h.ff_width, 512);
  EXPECT_EQ(h.heads, 4);
  EXPECT_EQ(h.kv_heads, 2);
  EXPECT_EQ(h.head_dim, 64);
  EXPECT_EQ(h.rope_dims, 64);
  EXPECT_EQ(h.rope_base, 500000.0);
  EXPECT_EQ(h.norm_eps, 1e-5f);
  EXPECT_EQ(h.vocab, 24);
  EXPECT_EQ(m->plan.gate, GateFunction::kRelu2);
  EXPECT_EQ(m->plan.rope, RopeStyle::kNeox);
  EXPECT_TRUE(m->plan.attn_sub_norm);
  EXPECT_TRUE(m->plan.ffn_sub_norm);
  EXPECT_TRUE(m->tied_head);
  EXPECT_EQ(m->head.data, m->embeddings.data);
  EXPECT_EQ(m->embeddings.type, DenseType::kF16);
  EXPECT_EQ(m->embeddings.rows, 24);
  EXPECT_EQ(m->embeddings.row_bytes, 512);
  EXPECT_EQ(m->rope_divisor, Vec<float>(32, 1.0f));
  EXPECT_TRUE(m.messages.texts.empty());
}

// Each weight gets the data of its own tensor: found by name, told apart by scale.
TEST(Model, EveryRoleHoldsItsTensor) {
  GgufWriter w = small_model();
  float mark = 1;
  for (GgufWriter::Tensor& t : w.tensors) {
    const size_t at = t.type == test::kI2_S ? t.data.size() - 32 : 0;
    if (t.type == test::kF16) continue;
    poke(w, t.name, at, mark++);
  }
  const Opened m(w);
  ASSERT_TRUE(m.ok()) << m.text();
  mark = 1;
  ASSERT_EQ(m->layers.size(), 2u);
  for (const Layer& layer : m->layers) {
    const auto is_next_norm = [&](const Vec<float>& norm, size_t size) {
      EXPECT_EQ(norm.size(), size);
      EXPECT_EQ(norm[0], mark++);
      EXPECT_EQ(norm[1], 1.0f);
    };
    const auto is_next = [&](const Projection& p, const char* stem, int64_t rows, int64_t cols) {
      EXPECT_NE(p.name.find(stem), std::string_view::npos) << p.name;
      EXPECT_EQ(p.rows, rows) << p.name;
      EXPECT_EQ(p.cols, cols) << p.name;
      EXPECT_EQ(p.scale, mark++) << p.name;
      EXPECT_TRUE(p.ternary);
      EXPECT_EQ(p.output_scale, 1.0f);
      EXPECT_EQ(p.data.data(), m.gguf.value().find_tensor(p.name)->data.data());
    };
    is_next_norm(layer.attn_norm, 256);
    is_next(layer.q, "attn_q", 256, 256);
    is_next(layer.k, "attn_k", 128, 256);
    is_next(layer.v, "attn_v", 128, 256);
    is_next_norm(layer.attn_sub_norm, 256);
    is_next(layer.o, "attn_output", 256, 256);
    is_next_norm(layer.ffn_norm, 256);
    is_next(layer.gate, "ffn_gate", 512, 256);
    is_next(layer.up, "ffn_up", 512, 256);
    is_next_norm(layer.ffn_sub_norm, 512);
    is_next(layer.down, "ffn_down", 256, 512);
  }
  EXPECT_EQ(m->output_norm[0], mark);
}

TEST(Model, FamiliesDifferInPlan) {
  for (const char* family : {"bitnet-b1.58", "bitnet-25", "bitnet", "llama"}) {
    SmallModel small;
    small.family = family;
    const Opened m(small_model(small));
    ASSERT_TRUE(m.ok()) << family << ": " << m.text();
    const bool llama = small.family == "llama";
    EXPECT_EQ(m->family, family);
    EXPECT_EQ(m->plan.rope, llama ? RopeStyle::kNorm : RopeStyle::kNeox);
    EXPECT_EQ(m->plan.attn_sub_norm, !llama);
    EXPECT_EQ(m->plan.ffn_sub_norm, !llama);
    EXPECT_EQ(m->layers[0].attn_sub_norm.empty(), llama);
    EXPECT_EQ(m->layers[0].ffn_sub_norm.empty(), llama);
  }
}

TEST(Model, HeadsMayBeWiderThanTheModel) {
  SmallModel small;
  small.heads = 8;
  small.kv_heads = 1;
  const Opened m(small_model(small));
  ASSERT_TRUE(m.ok()) << m.text();
  EXPECT_EQ(m->hyper.head_dim, 64);
  EXPECT_EQ(m->layers[1].q.rows, 512);
  EXPECT_EQ(m->layers[1].k.rows, 64);
  EXPECT_EQ(m->layers[1].o.cols, 512);
  EXPECT_EQ(m->layers[1].attn_sub_norm.size(), 512u);
}

TEST(Model, AnOwnHeadIsNotTied) {
  SmallModel small;
  small.tied = false;
  const Opened m(small_model(small));
  ASSERT_TRUE(m.ok()) << m.text();
  EXPECT_FALSE(m->tied_head);
  EXPECT_EQ(m->head.data, m.gguf.value().find_tensor("output.weight")->data.data());
  EXPECT_NE(m->head.data, m->embeddings.data);
}

TEST(Model, AbsentKeysHaveTheirDefaults) {
  GgufWriter w = small_model();
  for (const char* key : {"attention.head_count_kv", "rope.freq_base", "vocab_size"}) {
    w.erase(std::string("bitnet-b1.58.") + key);
  }
  w.erase("general.name");
  w.texts("tokenizer.ggml.tokens", std::vector<std::string>(24, "t"));
  for (const char* layer : {"blk.0.", "blk.1."}) {
    for (const char* stem : {"attn_k.weight", "attn_v.weight"}) {
      remake(w, std::string(layer) + stem, test::kI2_S, {256, 256});
    }
  }
  const Opened m(w);
  ASSERT_TRUE(m.ok()) << m.text();
  EXPECT_EQ(m->hyper.kv_heads, 4);
  EXPECT_EQ(m->hyper.rope_base, 10000.0);
  EXPECT_EQ(m->hyper.vocab, 24);
  EXPECT_EQ(m->name, "");
}

// ---- The activation rule, formats.md 4.1

struct Activation {
  const char* family;
  const char* key;        // <family>.hidden_activation, or nullptr
  const char* tokenizer;  // tokenizer.ggml.model
  uint64_t tokens;        // of the vocabulary
  int override_gate;
  GateFunction expected;
};

TEST(Model, TheGateFollowsTheActivationRule) {
  constexpr auto kRelu2 = GateFunction::kRelu2, kSilu = GateFunction::kSilu;
  const Activation table[] = {
      {"bitnet-25", nullptr, "gpt2", 24, -1, kRelu2},
      {"bitnet-25", nullptr, "llama", 32002, -1, kRelu2},
      {"bitnet-b1.58", nullptr, "gpt2", 24, -1, kRelu2},
      {"bitnet-b1.58", nullptr, "gpt2", 32002, -1, kRelu2},
      {"bitnet-b1.58", nullptr, "llama", 32000, -1, kRelu2},
      {"bitnet-b1.58", nullptr, "llama", 32002, -1, kSilu},
      {"bitnet", nullptr, "gpt2", 24, -1, kSilu},
      {"bitnet", nullptr, "llama", 32002, -1, kSilu},
      {"llama", nullptr, "gpt2", 24, -1, kSilu},
      {"llama", "relu2", "gpt2", 24, -1, kRelu2},
      {"bitnet", "relu2", "gpt2", 24, -1, kRelu2},
      {"bitnet-b1.58", "silu", "gpt2", 24, -1, kSilu},
      {"bitnet-b1.58", "relu2", "llama", 32002, -1, kRelu2},
      {"bitnet-25", "silu", "gpt2", 24, -1, kSilu},
      {"bitnet-25", "silu", "gpt2", 24, 0, kRelu2},
      {"bitnet-b1.58", nullptr, "gpt2", 24, 1, kSilu},
      {"llama", nullptr, "gpt2", 24, 0, kRelu2},
  };
  for (const Activation& row : table) {
    SmallModel small;
    small.family = row.family;
    small.vocab = row.tokens;
    small.layers = 1;
    small.width = 32;
    GgufWriter w = small_model(small);
    if (row.key) w.text(small.family + ".hidden_activation", row.key);
    w.text("tokenizer.ggml.model", row.tokenizer);
    w.texts("tokenizer.ggml.tokens", std::vector<std::string>(row.tokens));
    ModelDescription::Options options;
    options.gate = row.override_gate;
    const Opened m(w, options);
    ASSERT_TRUE(m.ok()) << m.text();
    EXPECT_EQ(m->plan.gate, row.expected)
        << row.family << " " << (row.key ? row.key : "no key") << " " << row.tokenizer << " "
        << row.tokens << " override " << row.override_gate;
  }
}

TEST(Model, UnknownActivationsAreRefused) {
  GgufWriter w = small_model();
  w.text("bitnet-b1.58.hidden_activation", "gelu");
  const Opened m(w);
  EXPECT_EQ(m.status().code(), BITNET_E_UNSUPPORTED);
  EXPECT_EQ(m.text(), "bitnet-b1.58.hidden_activation: file has \"gelu\", expected relu2 or silu");
  ModelDescription::Options options;
  options.gate = 2;
  const Opened n(small_model(), options);
  EXPECT_EQ(n.status().code(), BITNET_E_ARGUMENT);
  EXPECT_EQ(n.text(), "activation: 2, expected -1, 0 or 1");
}

// ---- Everything that is refused or tolerated because of metadata

struct Bend {
  const char* name;
  std::function<void(GgufWriter&)> bend;
  bitnet_status code;
  const char* sentence;  // whole; empty: it opens
};
void PrintTo(const Bend& bend, std::ostream* out) {
  *out << bend.name;
}

class ModelBent : public testing::TestWithParam<Bend> {};

TEST_P(ModelBent, GivesItsSentence) {
  GgufWriter w = small_model();
  GetParam().bend(w);
  const Opened m(w);
  EXPECT_EQ(m.text(), GetParam().sentence);
  EXPECT_EQ(m.status().code(), GetParam().code);
}

std::function<void(GgufWriter&)> set_u32(const char* key, uint32_t value) {
  return [=](GgufWriter& w) { w.u32(std::string("bitnet-b1.58.") + key, value); };
}
std::function<void(GgufWriter&)> set_f32(const char* key, float value) {
  return [=](GgufWriter& w) { w.f32(std::string("bitnet-b1.58.") + key, value); };
}
std::function<void(GgufWriter&)> without(const char* key) {
  return [=](GgufWriter& w) { w.erase(std::string("bitnet-b1.58.") + key); };
}
std::function<void(GgufWriter&)> rope_scaling(const char* type, float factor) {
  return [=](GgufWriter& w) {
    if (type) w.text("bitnet-b1.58.rope.scaling.type", type);
    w.f32("bitnet-b1.58.rope.scaling.factor", factor);
  };
}
std::function<void(GgufWriter&)> add_tensor(const char* name, std::vector<uint64_t> shape) {
  return [=](GgufWriter& w) { w.tensor(name, 0, shape, test::data_for(0, shape)); };
}

constexpr auto kFormat = BITNET_E_FORMAT, kUnsupported = BITNET_E_UNSUPPORTED;

const Bend kBends[] = {
    {"NoFamily", [](GgufWriter& w) { w.erase("general.architecture"); }, kFormat,
     "general.architecture: missing, expected a name"},
    {"OtherFamily", [](GgufWriter& w) { w.text("general.architecture", "qwen3"); }, kUnsupported,
     "general.architecture: file has \"qwen3\", expected bitnet-b1.58, bitnet-25, bitnet or llama"},
    {"FamilyIsANumber", [](GgufWriter& w) { w.u32("general.architecture", 1); }, kFormat,
     "general.architecture: file has u32, expected a string"},
    {"NameIsANumber", [](GgufWriter& w) { w.u32("general.name", 1); }, kFormat,
     "general.name: file has u32, expected a string"},
    {"OnlyAVocabulary", [](GgufWriter& w) { w.tensors.clear(); }, kFormat,
     "the file has a vocabulary at most and no weights"},

    {"NoLayers", without("block_count"), kFormat,
     "bitnet-b1.58.block_count: missing, expected 1 to 1024"},
    {"ZeroLayers", set_u32("block_count", 0), kFormat,
     "bitnet-b1.58.block_count: file has 0, expected 1 to 1024"},
    {"ManyLayers", set_u32("block_count", 1025), kFormat,
     "bitnet-b1.58.block_count: file has 1025, expected 0 to 1024"},
    {"LayersOfEveryIntegerType", [](GgufWriter& w) { w.i64("bitnet-b1.58.block_count", 2); },
     BITNET_OK, ""},
    {"NegativeLayers", [](GgufWriter& w) { w.i32("bitnet-b1.58.block_count", -2); }, kFormat,
     "bitnet-b1.58.block_count: file has -2, expected 0 to 1024"},
    {"NoContext", without("context_length"), kFormat,
     "bitnet-b1.58.context_length: missing, expected 1 to 16777216"},
    {"LongContext", set_u32("context_length", (1 << 24) + 1), kFormat,
     "bitnet-b1.58.context_length: file has 16777217, expected 0 to 16777216"},
    {"NoWidth", without("embedding_length"), kFormat,
     "bitnet-b1.58.embedding_length: missing, expected 1 to 131072"},
    {"Wide", set_u32("embedding_length", 131073), kFormat,
     "bitnet-b1.58.embedding_length: file has 131073, expected 0 to 131072"},
    {"NoFfWidth", without("feed_forward_length"), kFormat,
     "bitnet-b1.58.feed_forward_length: missing, expected 1 to 131072"},
    {"FfWidthPerLayer",
     [](GgufWriter& w) {
       w.integers("bitnet-b1.58.feed_forward_length", {512, 512});
     },
     kFormat, "bitnet-b1.58.feed_forward_length: file has an array of i32, expected an integer"},
    {"NoHeads", without("attention.head_count"), kFormat,
     "bitnet-b1.58.attention.head_count: missing, expected 1 to 1024"},
    {"ManyHeads", set_u32("attention.head_count", 1025), kFormat,
     "bitnet-b1.58.attention.head_count: file has 1025, expected 0 to 1024"},
    {"ZeroKvHeads", set_u32("attention.head_count_kv", 0), kFormat,
     "bitnet-b1.58.attention.head_count_kv: file has 0, expected 1 to 1024"},
    {"KvHeadsDoNotDivide", set_u32("attention.head_count_kv", 3), kFormat,
     "bitnet-b1.58.attention.head_count_kv: file has 3, expected a divisor of the 4 heads"},
    {"MoreKvHeadsThanHeads", set_u32("attention.head_count_kv", 8), kFormat,
     "bitnet-b1.58.attention.head_count_kv: file has 8, expected a divisor of the 4 heads"},
    {"HeadsDoNotDivideTheWidth",
     [](GgufWriter& w) {
       set_u32("attention.head_count", 3)(w);
       set_u32("attention.head_count_kv", 3)(w);
     },
     kFormat, "bitnet-b1.58.attention.key_length: missing, expected 1 to 1024"},
    {"OddHeads", set_u32("attention.key_length", 63), kFormat,
     "bitnet-b1.58.attention.key_length: heads have 63 numbers, expected an even number up to "
     "1024"},
    {"HugeHeads", set_u32("attention.key_length", 1026), kFormat,
     "bitnet-b1.58.attention.key_length: file has 1026, expected 0 to 1024"},
    {"OtherValueLength", set_u32("attention.value_length", 32), kUnsupported,
     "bitnet-b1.58.attention.value_length: file has 32, expected 64 as in attention.key_length"},
    {"OddRopeDims", set_u32("rope.dimension_count", 31), kFormat,
     "bitnet-b1.58.rope.dimension_count: file has 31, expected an even number"},
    {"RopeDimsBeyondTheHead", set_u32("rope.dimension_count", 66), kFormat,
     "bitnet-b1.58.rope.dimension_count: file has 66, expected 0 to 64"},
    {"PartialRope", set_u32("rope.dimension_count", 32), BITNET_OK, ""},
    {"RopeBaseZero", set_f32("rope.freq_base", 0), kFormat,
     "bitnet-b1.58.rope.freq_base: file has 0, expected a finite number above 0"},
    {"RopeBaseNegative", set_f32("rope.freq_base", -1), kFormat,
     "bitnet-b1.58.rope.freq_base: file has -1, expected a finite number above 0"},
    {"RopeBaseNan", set_f32("rope.freq_base", kNan), kFormat,
     "bitnet-b1.58.rope.freq_base: file has nan, expected a finite number above 0"},
    {"RopeBaseInfinite", set_f32("rope.freq_base", kInfinity), kFormat,
     "bitnet-b1.58.rope.freq_base: file has inf, expected a finite number above 0"},
    {"RopeBaseOfF64", [](GgufWriter& w) { w.f64("bitnet-b1.58.rope.freq_base", 1e6); }, BITNET_OK,
     ""},
    {"NoEps", without("attention.layer_norm_rms_epsilon"), kFormat,
     "bitnet-b1.58.attention.layer_norm_rms_epsilon: missing, expected 0 to 1"},
    {"EpsNan", set_f32("attention.layer_norm_rms_epsilon", kNan), kFormat,
     "bitnet-b1.58.attention.layer_norm_rms_epsilon: file has nan, expected 0 to 1"},
    {"EpsNegative", set_f32("attention.layer_norm_rms_epsilon", -0.5f), kFormat,
     "bitnet-b1.58.attention.layer_norm_rms_epsilon: file has -0.5, expected 0 to 1"},
    {"EpsHuge",
     [](GgufWriter& w) { w.f64("bitnet-b1.58.attention.layer_norm_rms_epsilon", 1e300); }, kFormat,
     "bitnet-b1.58.attention.layer_norm_rms_epsilon: file has 1e+300, expected 0 to 1"},
    {"NoVocab", without("vocab_size"), kFormat,
     "bitnet-b1.58.vocab_size: missing, expected 1 to 8388608"},
    {"HugeVocab", set_u32("vocab_size", (1 << 23) + 1), kFormat,
     "bitnet-b1.58.vocab_size: file has 8388609, expected 0 to 8388608"},
    {"MoreTokensThanVocab",
     [](GgufWriter& w) { w.texts("tokenizer.ggml.tokens", std::vector<std::string>(25)); }, kFormat,
     "bitnet-b1.58.vocab_size: file has 24, expected 25 or more as tokenizer.ggml.tokens has"},
    {"VocabBeyondTheTable", set_u32("vocab_size", 25), kFormat,
     "token_embd.weight: file has [256, 24], model needs [256, 25]"},

    {"RopeLinear1", rope_scaling("linear", 1), BITNET_OK, ""},
    {"RopeLinear0", rope_scaling("linear", 0), BITNET_OK, ""},
    {"RopeNone", rope_scaling("none", 4), BITNET_OK, ""},
    {"RopeLinear4", rope_scaling("linear", 4), kUnsupported,
     "bitnet-b1.58.rope.scaling.factor: file has 4, expected 1"},
    {"RopeFactorWithoutType", rope_scaling(nullptr, 2), kUnsupported,
     "bitnet-b1.58.rope.scaling.factor: file has 2, expected 1"},
    {"RopeFactorNan", rope_scaling("linear", kNan), kUnsupported,
     "bitnet-b1.58.rope.scaling.factor: file has nan, expected 1"},
    {"RopeScaleLinear", set_f32("rope.scale_linear", 0.25f), kUnsupported,
     "bitnet-b1.58.rope.scale_linear: file has 0.25, expected 1"},
    {"RopeYarn", rope_scaling("yarn", 1), kUnsupported,
     "bitnet-b1.58.rope.scaling.type: file has \"yarn\", expected none, linear of factor 1, or "
     "llama3 "
     "with rope_freqs.weight"},
    {"RopeLlama3WithoutFrequencies", rope_scaling("llama3", 8), kUnsupported,
     "bitnet-b1.58.rope.scaling.type: file has \"llama3\", expected none, linear of factor 1, or "
     "llama3 with rope_freqs.weight"},
    {"RopeLlama3",
     [](GgufWriter& w) {
       rope_scaling("llama3", 8)(w);
       add_tensor("rope_freqs.weight", {32})(w);
     },
     BITNET_OK, ""},
    {"RopeFrequenciesShape", add_tensor("rope_freqs.weight", {64}), kFormat,
     "rope_freqs.weight: file has [64], model needs [32]"},
    {"RopeFrequencyZero",
     [](GgufWriter& w) {
       add_tensor("rope_freqs.weight", {32})(w);
       poke(w, "rope_freqs.weight", 4 * 7, 0.0f);
     },
     kFormat, "rope_freqs.weight: element 7 is 0, expected a number above 0"},

    {"Bias", add_tensor("blk.1.attn_q.bias", {256}), kUnsupported,
     "blk.1.attn_q.bias: this family of models is computed without it, so the result would be "
     "wrong"},
    {"HeadNorm", add_tensor("blk.0.attn_q_norm.weight", {64}), kUnsupported,
     "blk.0.attn_q_norm.weight: this family of models is computed without it, so the result would "
     "be "
     "wrong"},
    {"ScaleOfNoProjection", add_tensor("output.scale", {1}), kUnsupported,
     "output.scale: this family of models is computed without it, so the result would be wrong"},
    {"ScaleShape", add_tensor("blk.0.attn_q.scale", {2}), kFormat,
     "blk.0.attn_q.scale: file has [2], model needs [1]"},
    {"ScaleInfinite",
     [](GgufWriter& w) {
       add_tensor("blk.0.ffn_up.scale", {1})(w);
       poke(w, "blk.0.ffn_up.scale", 0, -kInfinity);
     },
     kFormat, "blk.0.ffn_up.scale: element 0 is -inf, expected a finite number"},
    {"NormNan", [](GgufWriter& w) { poke(w, "blk.1.ffn_norm.weight", 4 * 200, kNan); }, kFormat,
     "blk.1.ffn_norm.weight: element 200 is nan, expected a finite number"},
    {"TernaryScaleNan", [](GgufWriter& w) { poke(w, "blk.0.attn_k.weight", 128 * 256 / 4, kNan); },
     kFormat, "blk.0.attn_k.weight: its scale is nan, expected a finite number"},
    {"TernaryScaleInfinite",
     [](GgufWriter& w) { poke(w, "blk.0.attn_k.weight", 128 * 256 / 4, kInfinity); }, kFormat,
     "blk.0.attn_k.weight: its scale is inf, expected a finite number"},
    {"BytesAfterTheScaleMeanNothing",
     [](GgufWriter& w) { poke(w, "blk.0.attn_k.weight", 128 * 256 / 4 + 4, kNan); }, BITNET_OK, ""},
    {"ProjectionType",
     [](GgufWriter& w) {
       remake(w, "blk.1.ffn_up.weight", test::kQ5_1, {256, 512});
     },
     kUnsupported,
     "blk.1.ffn_up.weight: type Q5_1 cannot be used here, expected I2_S, TQ1_0, TQ2_0, F32, F16, "
     "BF16, "
     "Q8_0, Q6_K, Q5_0, Q4_0, Q4_K"},
    {"NormType", [](GgufWriter& w) { remake(w, "output_norm.weight", test::kQ8_0, {256}); },
     kUnsupported, "output_norm.weight: type Q8_0 cannot be used here, expected F32, F16 or BF16"},
    {"TernaryEmbeddings",
     [](GgufWriter& w) {
       remake(w, "token_embd.weight", test::kTQ1_0, {256, 24});
     },
     kUnsupported,
     "token_embd.weight: type TQ1_0 cannot be used here, expected F32, F16, BF16, Q8_0, Q6_K, "
     "Q5_0, "
     "Q4_0 or Q4_K"},
};

INSTANTIATE_TEST_SUITE_P(Bends, ModelBent, testing::ValuesIn(kBends),
                         [](const auto& bend) { return std::string(bend.param.name); });

// ---- Every tensor

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::string text = "[";
  for (const uint64_t extent : shape)
    text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

TEST(Model, EveryMissingTensorIsNamed) {
  const GgufWriter whole = small_model();
  for (const GgufWriter::Tensor& t : whole.tensors) {
    GgufWriter w = whole;
    w.erase_tensor(t.name);
    const Opened m(w);
    EXPECT_EQ(m.text(), t.name + ": missing, model needs " + shape_text(t.shape));
    EXPECT_EQ(m.status().code(), BITNET_E_FORMAT);
  }
}

TEST(Model, EveryWrongShapeIsToldWithBothSides) {
  SmallModel small;
  small.tied = false;
  const GgufWriter whole = small_model(small);
  for (const GgufWriter::Tensor& t : whole.tensors) {
    std::vector<std::vector<uint64_t>> wrong;
    for (size_t d = 0; d < t.shape.size(); ++d) {
      const uint64_t step = t.type == test::kI2_S ? 64 : 1;
      wrong.push_back(t.shape);
      wrong.back()[d] -= step;
      if (d == 1 && t.type == test::kF16) continue;  // more rows of a table are tolerated
      wrong.push_back(t.shape);
      wrong.back()[d] += step;
    }
    wrong.push_back({t.shape[0], t.shape.size() > 1 ? t.shape[1] : 1, 2});
    if (t.shape.size() == 2) wrong.push_back({t.shape[0] * t.shape[1]});
    for (const auto& shape : wrong) {
      GgufWriter w = whole;
      remake(w, t.name, t.type, shape);
      const Opened m(w);
      EXPECT_EQ(m.text(), t.name + ": file has " + shape_text(shape) + ", model needs " +
                              shape_text(t.shape));
    }
  }
}

TEST(Model, EveryTensorOfAnUnusableTypeIsNamed) {
  SmallModel small;
  small.tied = false;
  const GgufWriter whole = small_model(small);
  for (const GgufWriter::Tensor& t : whole.tensors) {
    GgufWriter w = whole;
    remake(w, t.name, test::kQ5_1, t.shape);
    const Opened m(w);
    EXPECT_EQ(m.status().code(), BITNET_E_UNSUPPORTED);
    EXPECT_TRUE(m.text().starts_with(t.name + ": type Q5_1 cannot be used here, expected "))
        << m.text();
  }
}

TEST(Model, ALlamaFileWithSubNormsIsRefused) {
  SmallModel small;
  small.family = "llama";
  GgufWriter w = small_model(small);
  add_tensor("blk.1.attn_sub_norm.weight", {256})(w);
  EXPECT_EQ(Opened(w).status().code(), BITNET_E_UNSUPPORTED);
}

TEST(Model, MoreRowsThanVocabularyAreToleratedUnlessStrict) {
  GgufWriter w = small_model();
  remake(w, "token_embd.weight", test::kF16, {256, 32});
  const Opened m(w);
  ASSERT_TRUE(m.ok()) << m.text();
  EXPECT_EQ(m->embeddings.rows, 24);
  EXPECT_EQ(m->embeddings.row_bytes, 512);
  const std::string sentence =
      "token_embd.weight: file has 32 rows, the vocabulary has 24: the rest is not used";
  ASSERT_EQ(m.messages.texts, std::vector<std::string>{sentence});
  ModelDescription::Options strict;
  strict.strict = true;
  EXPECT_EQ(Opened(w, strict).text(), sentence);
}

TEST(Model, UnusedTensorsAreToleratedUnlessStrict) {
  GgufWriter w = small_model();
  add_tensor("blk.2.extra.weight", {8})(w);
  add_tensor("more", {8})(w);
  const Opened m(w);
  ASSERT_TRUE(m.ok()) << m.text();
  const std::string sentence =
      "blk.2.extra.weight: not a tensor of this family of models, it is not used (2 such tensors)";
  ASSERT_EQ(m.messages.texts, std::vector<std::string>{sentence});
  ModelDescription::Options strict;
  strict.strict = true;
  const Opened n(w, strict);
  EXPECT_EQ(n.text(), sentence);
  EXPECT_EQ(n.status().code(), BITNET_E_FORMAT);
}

TEST(Model, LeftoversOfConvertersAreIgnoredEvenWhenStrict) {
  GgufWriter w = small_model();
  add_tensor("blk.0.attn_rot_embd.weight", {32})(w);
  add_tensor("model.layers.0.self_attn.rotary_emb.inv_freq", {32})(w);
  ModelDescription::Options strict;
  strict.strict = true;
  const Opened m(w, strict);
  EXPECT_TRUE(m.ok()) << m.text();
  EXPECT_TRUE(m.messages.texts.empty());
}

// ---- Values

TEST(Model, NormsOfEveryFloatTypeBecomeTheSameFloats) {
  const std::vector<float> values = {
      1.0f, -0.5f, 65504.0f, 6.103515625e-5f, 5.9604644775390625e-8f, 0.0f, 0.333251953125f};
  const std::vector<uint16_t> halves = {0x3c00, 0xb800, 0x7bff, 0x0400, 0x0001, 0x0000, 0x3555};
  GgufWriter w = small_model();
  remake(w, "output_norm.weight", test::kF16, {256});
  remake(w, "blk.0.attn_norm.weight", test::kBF16, {256});
  for (size_t i = 0; i < values.size(); ++i) {
    poke(w, "output_norm.weight", 2 * i, halves[i]);
    uint32_t bits;
    std::memcpy(&bits, &values[i], 4);
    poke(w, "blk.0.attn_norm.weight", 2 * i, static_cast<uint16_t>(bits >> 16));
  }
  const Opened m(w);
  ASSERT_TRUE(m.ok()) << m.text();
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(m->output_norm[i], values[i]) << i;
    float truncated = m->layers[0].attn_norm[i];
    EXPECT_LE(std::abs(truncated - values[i]), std::abs(values[i]) / 128) << i;
  }
  poke(w, "output_norm.weight", 6, uint16_t{0xfc00});
  EXPECT_EQ(Opened(w).text(), "output_norm.weight: element 3 is -inf, expected a finite number");
  poke(w, "output_norm.weight", 6, uint16_t{0x7c01});
  EXPECT_EQ(Opened(w).text(), "output_norm.weight: element 3 is nan, expected a finite number");
}

TEST(Model, ScalesMayBeNegative) {
  GgufWriter w = small_model();
  poke(w, "blk.0.attn_q.weight", 256 * 256 / 4, -1.5f);
  add_tensor("blk.0.attn_q.scale", {1})(w);
  poke(w, "blk.0.attn_q.scale", 0, 0.25f);
  const Opened m(w);
  ASSERT_TRUE(m.ok()) << m.text();
  EXPECT_EQ(m->layers[0].q.scale, -1.5f);
  EXPECT_EQ(m->layers[0].q.output_scale, 0.25f);
  EXPECT_EQ(m->layers[1].q.output_scale, 1.0f);
}

TEST(Model, RopeFrequenciesDivide) {
  GgufWriter w = small_model();
  add_tensor("rope_freqs.weight", {32})(w);
  poke(w, "rope_freqs.weight", 4 * 31, 8.0f);
  const Opened m(w);
  ASSERT_TRUE(m.ok()) << m.text();
  ASSERT_EQ(m->rope_divisor.size(), 32u);
  EXPECT_EQ(m->rope_divisor[30], 1.0f);
  EXPECT_EQ(m->rope_divisor[31], 8.0f);
}

class ModelTq : public testing::TestWithParam<uint32_t> {
 protected:
  ModelTq() {
    SmallModel small;
    small.projection_type = GetParam();
    small.layers = 1;
    writer = small_model(small);
  }
  // Sets d of a block of ffn_down, 512 blocks.
  void set(size_t block, uint16_t d) {
    test::set_tq_scale(writer.find_tensor("blk.0.ffn_down.weight")->data,
                       GetParam() == test::kTQ1_0 ? 54 : 66, block, d);
  }
  GgufWriter writer;
};

TEST_P(ModelTq, TheScaleIsTheOneOfItsBlocks) {
  for (size_t b = 0; b < 512; ++b) set(b, 0xb800);  // -0.5
  const Opened m(writer);
  ASSERT_TRUE(m.ok()) << m.text();
  EXPECT_EQ(m->layers[0].down.scale, -0.5f);
  EXPECT_EQ(m->layers[0].q.scale, 1.0f);
  EXPECT_TRUE(m->layers[0].q.ternary);
}

TEST_P(ModelTq, ZeroBlocksHaveNoScale) {
  set(0, 0);
  set(17, 0x8000);
  set(511, 0);
  const Opened m(writer);
  ASSERT_TRUE(m.ok()) << m.text();
  EXPECT_EQ(m->layers[0].down.scale, 1.0f);
  for (size_t b = 0; b < 512; ++b) set(b, 0);
  EXPECT_EQ(Opened(writer)->layers[0].down.scale, 0.0f);
}

TEST_P(ModelTq, SeveralScalesAreRefusedWithBoth) {
  set(511, test::kHalfThreeQuarters);
  const Opened m(writer);
  EXPECT_EQ(m.status().code(), BITNET_E_UNSUPPORTED);
  EXPECT_EQ(
      m.text(),
      "blk.0.ffn_down.weight: block 511 has scale 0.75 and earlier ones 1, expected one scale "
      "for the tensor");
}

TEST_P(ModelTq, NonFiniteScalesAreRefused) {
  for (const size_t block : {size_t{0}, size_t{511}}) {
    GgufWriter good = writer;
    set(block, test::kHalfInfinity);
    EXPECT_EQ(Opened(writer).text(),
              "blk.0.ffn_down.weight: the scale of a block is inf, expected a finite number");
    set(block, 0xfe00);
    EXPECT_TRUE(Opened(writer).text().ends_with("nan, expected a finite number"));
    writer = good;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, ModelTq, testing::Values(test::kTQ1_0, test::kTQ2_0));

TEST(Model, DenseProjectionsAreMatrices) {
  for (const uint32_t type : {test::kF32, test::kF16, test::kBF16, test::kQ8_0, test::kQ4_0}) {
    SmallModel small;
    small.projection_type = type;
    const Opened m(small_model(small));
    ASSERT_TRUE(m.ok()) << m.text();
    const Projection& p = m->layers[1].down;
    EXPECT_FALSE(p.ternary);
    EXPECT_EQ(p.scale, 1.0f);
    const DenseMatrix d = dense_matrix(p);
    EXPECT_EQ(d.data, p.data.data());
    EXPECT_EQ(d.rows, 256);
    EXPECT_EQ(d.cols, 512);
    EXPECT_EQ(static_cast<size_t>(d.row_bytes * d.rows), p.data.size());
  }
  SmallModel small;
  small.projection_type = test::kQ4_0;
  const Opened m(small_model(small));
  EXPECT_EQ(dense_matrix(m->layers[0].q).type, DenseType::kQ4_0);
  EXPECT_EQ(dense_matrix(m->layers[0].q).row_bytes, 256 / 32 * 18);
}

TEST(Model, TheLayoutOptionReachesTheProjections) {
  ModelDescription::Options options;
  options.i2s_layout = I2sLayout::k4Row;
  const Opened m(small_model(), options);
  ASSERT_TRUE(m.ok()) << m.text();
  EXPECT_EQ(m->layers[1].up.layout, I2sLayout::k4Row);
}

TEST(Model, The4RowLayoutNeedsRowsInFours) {
  SmallModel small;
  small.kv_heads = 1;
  small.heads = 3;
  small.head_dim = 10;  // k and v: 10 rows
  small.width = 128;
  GgufWriter w = small_model(small);
  EXPECT_TRUE(Opened(w).ok()) << Opened(w).text();
  ModelDescription::Options options;
  options.i2s_layout = I2sLayout::k4Row;
  EXPECT_EQ(Opened(w, options).text(),
            "blk.0.attn_q.weight: 30 rows, the 4-row layout of I2_S needs a multiple of 4");
}

TEST(Model, TernaryRowsTooLongToSumExactlyAreRefused) {
  SmallModel small;
  small.width = 16;
  small.heads = 1024;
  small.kv_heads = 1;
  small.head_dim = 256;
  small.ff_width = 32;
  small.layers = 1;
  const Opened m(small_model(small));
  EXPECT_EQ(m.status().code(), BITNET_E_UNSUPPORTED);
  EXPECT_EQ(m.text(),
            "blk.0.attn_output.weight: rows of 262144 ternary weights, at most 131072 are summed "
            "exactly");
}

TEST(Model, SizesAreExact) {
  SmallModel small;
  small.tied = false;
  GgufWriter w = small_model(small);
  remake(w, "blk.1.ffn_up.weight", test::kQ8_0, {256, 512});
  const Opened m(w);
  ASSERT_TRUE(m.ok()) << m.text();
  const uint64_t layer = 2 * 256 * 256 + 2 * 128 * 256 + 3 * 512 * 256;
  const WeightBytes bytes = weight_bytes(*m.model.value());
  EXPECT_EQ(bytes.tiles, (2 * layer - 512 * 256) / 4);
  EXPECT_EQ(bytes.largest, 512u * 256 / 4);
  EXPECT_EQ(bytes.dense, 2u * 24 * 256 * 2 + 512 * 256 / 32 * 34);
  EXPECT_EQ(bytes.norms, 4u * (2 * (3 * 256 + 512) + 256 + 32));
  EXPECT_EQ(m->parameters, 2 * layer + 2 * 24 * 256 + 2 * (3 * 256 + 512) + 256);
}

}  // namespace
}  // namespace bitnet
