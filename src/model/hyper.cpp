#include "model/hyper.h"

#include <cinttypes>
#include <cmath>

#include "file/show.h"

namespace bitnet {
namespace {

constexpr Family kFamilies[] = {
    {"bitnet-b1.58", RopeStyle::kNeox, true},
    {"bitnet-25", RopeStyle::kNeox, true},
    {"bitnet", RopeStyle::kNeox, true},
    {"llama", RopeStyle::kNorm, false},
};

// Bounds of formats.md 1.3 (11). They keep every product of two of them far inside int64.
constexpr uint64_t kMaxLayers = 1024, kMaxHeads = 1024, kMaxHeadDim = 1024;
constexpr uint64_t kMaxVocab = 1 << 23, kMaxContext = 1 << 24, kMaxWidth = kMaxTernaryCols;
constexpr double kDefaultRopeBase = 10000;

// Metadata of one family: keys are "<family>.<name>".
class FamilyKeys {
 public:
  FamilyKeys(const Gguf& file, const Family& family) noexcept : file_(file), family_(family) {}

  struct Key {
    char text[96];
  };
  Key key(const char* name) const noexcept {
    Key k;
    std::snprintf(k.text, sizeof k.text, "%.*s.%s", static_cast<int>(family_.name.size()),
                  family_.name.data(), name);
    return k;
  }

  Result<std::optional<std::string_view>> text(const char* name) const {
    return file_.text(key(name).text);
  }
  Result<std::optional<double>> real(const char* name) const { return file_.real(key(name).text); }

  // fallback 0: the key must be there.
  Result<int64_t> integer(const char* name, uint64_t max, int64_t fallback = 0) const {
    const Key k = key(name);
    BITNET_LET(const auto number, file_.integer(k.text, max));
    if (number && *number == 0) {
      return Status::error(BITNET_E_FORMAT, "%s: file has 0, expected 1 to %" PRIu64, k.text, max);
    }
    if (number) return static_cast<int64_t>(*number);
    if (fallback == 0) {
      return Status::error(BITNET_E_FORMAT, "%s: missing, expected 1 to %" PRIu64, k.text, max);
    }
    return fallback;
  }

 private:
  const Gguf& file_;
  const Family& family_;
};

uint64_t token_count(const Gguf& file) noexcept {
  const Value* tokens = file.find("tokenizer.ggml.tokens");
  return tokens && tokens->type == ValueType::kArray ? tokens->count : 0;
}

Result<int64_t> read_head_dim(const FamilyKeys& keys, int64_t width, int64_t heads) {
  const int64_t quotient = width % heads == 0 ? width / heads : 0;
  BITNET_LET(const int64_t dim, keys.integer("attention.key_length", kMaxHeadDim, quotient));
  BITNET_LET(const int64_t value, keys.integer("attention.value_length", kMaxHeadDim, dim));
  if (dim % 2 != 0 || dim > static_cast<int64_t>(kMaxHeadDim)) {
    return Status::error(BITNET_E_FORMAT,
                         "%s: heads have %" PRId64
                         " numbers, expected an even number up to %" PRIu64,
                         keys.key("attention.key_length").text, dim, kMaxHeadDim);
  }
  if (value != dim) {
    return Status::error(BITNET_E_UNSUPPORTED,
                         "%s: file has %" PRId64 ", expected %" PRId64
                         " as in attention.key_length",
                         keys.key("attention.value_length").text, value, dim);
  }
  return dim;
}

Result<int64_t> read_rope_dims(const FamilyKeys& keys, int64_t head_dim) {
  BITNET_LET(const int64_t dims,
             keys.integer("rope.dimension_count", static_cast<uint64_t>(head_dim), head_dim));
  if (dims % 2 != 0) {
    return Status::error(BITNET_E_FORMAT, "%s: file has %" PRId64 ", expected an even number",
                         keys.key("rope.dimension_count").text, dims);
  }
  return dims;
}

Result<double> read_rope_base(const FamilyKeys& keys) {
  BITNET_LET(const auto base, keys.real("rope.freq_base"));
  if (!base) return kDefaultRopeBase;
  if (!std::isfinite(*base) || *base <= 0) {
    return Status::error(BITNET_E_FORMAT, "%s: file has %s, expected a finite number above 0",
                         keys.key("rope.freq_base").text, shown_number(*base).text);
  }
  return *base;
}

Result<float> read_norm_eps(const FamilyKeys& keys) {
  constexpr const char* kName = "attention.layer_norm_rms_epsilon";
  BITNET_LET(const auto eps, keys.real(kName));
  if (!eps) {
    return Status::error(BITNET_E_FORMAT, "%s: missing, expected 0 to 1", keys.key(kName).text);
  }
  if (!(*eps >= 0 && *eps <= 1)) {  // false for NaN
    return Status::error(BITNET_E_FORMAT, "%s: file has %s, expected 0 to 1", keys.key(kName).text,
                         shown_number(*eps).text);
  }
  return static_cast<float>(*eps);
}

Result<int64_t> read_vocab(const Gguf& file, const FamilyKeys& keys) {
  const uint64_t tokens = token_count(file);
  if (tokens > kMaxVocab) {
    return Status::error(BITNET_E_FORMAT,
                         "tokenizer.ggml.tokens: file has %" PRIu64 ", expected 1 to %" PRIu64,
                         tokens, kMaxVocab);
  }
  BITNET_LET(const int64_t vocab,
             keys.integer("vocab_size", kMaxVocab, static_cast<int64_t>(tokens)));
  if (tokens > static_cast<uint64_t>(vocab)) {
    return Status::error(BITNET_E_FORMAT,
                         "%s: file has %" PRId64 ", expected %" PRIu64
                         " or more as tokenizer.ggml.tokens has",
                         keys.key("vocab_size").text, vocab, tokens);
  }
  return vocab;
}

// BitNet-b1.58-2B-4T, whatever its converter called the family.
bool is_2b_4t(const HyperParameters& h) noexcept {
  return h.vocab == 128256 && h.layers == 30 && h.width == 2560 && h.ff_width == 6912;
}

// bitnet_b1_58-large and -3B: the SPM vocabulary of Llama with two tokens more.
bool has_1bitllm_vocabulary(const Gguf& file) {
  const auto model = file.text("tokenizer.ggml.model");
  return model.ok() && model.value() == "llama" && token_count(file) == 32002;
}

GateFunction gate_of_family(const Gguf& file, const Family& family, const HyperParameters& hyper) {
  if (family.name == "bitnet-25") return GateFunction::kRelu2;
  if (family.name == "bitnet-b1.58") {
    return has_1bitllm_vocabulary(file) ? GateFunction::kSilu : GateFunction::kRelu2;
  }
  if (family.name == "bitnet" && is_2b_4t(hyper)) return GateFunction::kRelu2;
  return GateFunction::kSilu;
}

}  // namespace

Result<const Family*> read_family(const Gguf& file) {
  BITNET_LET(const auto name, file.text("general.architecture"));
  if (!name)
    return Status::error(BITNET_E_FORMAT, "general.architecture: missing, expected a name");
  for (const Family& family : kFamilies) {
    if (family.name == *name) return &family;
  }
  return Status::error(BITNET_E_UNSUPPORTED,
                       "general.architecture: file has \"%s\", expected bitnet-b1.58, bitnet-25, "
                       "bitnet or llama",
                       shown(*name).text);
}

Result<HyperParameters> read_hyper_parameters(const Gguf& file, const Family& family) {
  const FamilyKeys keys(file, family);
  HyperParameters h;
  BITNET_LET(h.layers, keys.integer("block_count", kMaxLayers));
  BITNET_LET(h.context, keys.integer("context_length", kMaxContext));
  BITNET_LET(h.width, keys.integer("embedding_length", kMaxWidth));
  BITNET_LET(h.ff_width, keys.integer("feed_forward_length", kMaxWidth));
  BITNET_LET(h.heads, keys.integer("attention.head_count", kMaxHeads));
  BITNET_LET(h.kv_heads, keys.integer("attention.head_count_kv", kMaxHeads, h.heads));
  if (h.heads % h.kv_heads != 0) {
    return Status::error(BITNET_E_FORMAT,
                         "%s: file has %" PRId64 ", expected a divisor of the %" PRId64 " heads",
                         keys.key("attention.head_count_kv").text, h.kv_heads, h.heads);
  }
  BITNET_LET(h.head_dim, read_head_dim(keys, h.width, h.heads));
  BITNET_LET(h.rope_dims, read_rope_dims(keys, h.head_dim));
  BITNET_LET(h.rope_base, read_rope_base(keys));
  BITNET_LET(h.norm_eps, read_norm_eps(keys));
  BITNET_LET(h.vocab, read_vocab(file, keys));
  return h;
}

Result<GateFunction> choose_gate(const Gguf& file, const Family& family,
                                 const HyperParameters& hyper, int gate) {
  if (gate != -1) {
    if (gate != static_cast<int>(GateFunction::kRelu2) &&
        gate != static_cast<int>(GateFunction::kSilu)) {
      return Status::error(BITNET_E_ARGUMENT, "activation: %d, expected -1, 0 or 1", gate);
    }
    return static_cast<GateFunction>(gate);
  }
  const FamilyKeys keys(file, family);
  BITNET_LET(const auto named, keys.text("hidden_activation"));
  if (!named) return gate_of_family(file, family, hyper);
  if (*named == "relu2") return GateFunction::kRelu2;
  if (*named == "silu") return GateFunction::kSilu;
  return Status::error(BITNET_E_UNSUPPORTED, "%s: file has \"%s\", expected relu2 or silu",
                       keys.key("hidden_activation").text, shown(*named).text);
}

Status check_rope_scaling(const Gguf& file, const Family& family) {
  const FamilyKeys keys(file, family);
  BITNET_LET(const auto type, keys.text("rope.scaling.type"));
  if (type == "none") return {};
  if (type == "llama3" && file.find_tensor("rope_freqs.weight")) return {};
  if (type && type != "linear") {
    return Status::error(BITNET_E_UNSUPPORTED,
                         "%s: file has \"%s\", expected none, linear of factor 1, or llama3 with "
                         "rope_freqs.weight",
                         keys.key("rope.scaling.type").text, shown(*type).text);
  }
  // Without a type a factor means linear. 0 stands for "not set" in files of llama.cpp.
  for (const char* name : {"rope.scaling.factor", "rope.scale_linear"}) {
    BITNET_LET(const auto factor, keys.real(name));
    if (factor && *factor != 1 && *factor != 0) {
      return Status::error(BITNET_E_UNSUPPORTED, "%s: file has %s, expected 1", keys.key(name).text,
                           shown_number(*factor).text);
    }
  }
  return {};
}

}  // namespace bitnet
