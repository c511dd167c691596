#include "tokens/vocabulary.h"

#include <cinttypes>
#include <cmath>

#include "file/show.h"
#include "tokens/symbols.h"

namespace bitnet {
namespace {

constexpr const char* kIdKeys[kSpecialIds] = {
    "tokenizer.ggml.bos_token_id",       "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.eot_token_id",       "tokenizer.ggml.eom_token_id",
    "tokenizer.ggml.unknown_token_id",   "tokenizer.ggml.padding_token_id",
    "tokenizer.ggml.seperator_token_id",  // so in the format
    "tokenizer.ggml.cls_token_id",       "tokenizer.ggml.mask_token_id",
};
constexpr uint64_t kNoId = UINT32_MAX;

Status check_length(const char* key, size_t found, size_t tokens) noexcept {
  if (found == tokens) return Status();
  return Status::error(BITNET_E_FORMAT,
                       "%s: %zu elements, expected %zu as in tokenizer.ggml.tokens", key, found,
                       tokens);
}

Status check_kinds(Vocabulary& v) {
  if (v.kinds.empty()) v.kinds.assign(v.tokens.size(), kUndefinedToken);
  BITNET_TRY(check_length("tokenizer.ggml.token_type", v.kinds.size(), v.tokens.size()));
  for (size_t i = 0; i < v.kinds.size(); ++i) {
    if (v.kinds[i] < kUndefinedToken || v.kinds[i] > kByteToken) {
      return Status::error(BITNET_E_FORMAT,
                           "tokenizer.ggml.token_type: element %zu is %" PRId32
                           ", expected 1 (normal) to 6 (byte)",
                           i, v.kinds[i]);
    }
  }
  return Status();
}

Status check_scores(Vocabulary& v) {
  if (v.scores.empty()) v.scores.assign(v.tokens.size(), 0.0f);
  BITNET_TRY(check_length("tokenizer.ggml.scores", v.scores.size(), v.tokens.size()));
  for (size_t i = 0; i < v.scores.size(); ++i) {
    if (std::isnan(v.scores[i])) {
      return Status::error(BITNET_E_FORMAT,
                           "tokenizer.ggml.scores: element %zu is not a number, expected one", i);
    }
  }
  return Status();
}

Status check_merges(const Vocabulary& v) noexcept {
  for (size_t i = 0; i < v.merges.size(); ++i) {
    const size_t space = v.merges[i].find(' ', 1);
    if (space == std::string_view::npos || space + 1 == v.merges[i].size()) {
      return Status::error(
          BITNET_E_FORMAT,
          "tokenizer.ggml.merges: element %zu is \"%s\", expected two texts with a "
          "space between them",
          i, shown(v.merges[i]).text);
    }
  }
  return Status();
}

Status check_ids(const Vocabulary& v) noexcept {
  for (int i = 0; i < kSpecialIds; ++i) {
    if (v.ids[i].value_or(kNoId) != kNoId && *v.ids[i] >= v.tokens.size()) {
      return Status::error(BITNET_E_FORMAT,
                           "%s: file has %" PRIu64 ", expected less than the %zu tokens there are",
                           kIdKeys[i], *v.ids[i], v.tokens.size());
    }
  }
  return Status();
}

// An array that is there but empty would otherwise pass for an absent one.
Status check_not_empty(const Gguf& file, const char* key, size_t found) noexcept {
  if (found > 0 || !file.find(key)) return Status();
  return Status::error(BITNET_E_FORMAT, "%s: 0 elements, expected one a token or no such key", key);
}

}  // namespace

Result<Vocabulary> read_vocabulary(const Gguf& file) {
  Vocabulary v;
  BITNET_LET(const auto architecture, file.text("general.architecture"));
  v.architecture = architecture.value_or(std::string_view());
  BITNET_LET(const auto model, file.text("tokenizer.ggml.model"));
  if (!model) {
    return Status::error(BITNET_E_FORMAT,
                         "tokenizer.ggml.model: absent, expected \"llama\" or \"gpt2\"");
  }
  v.model = *model;
  BITNET_LET(v.pre, file.text("tokenizer.ggml.pre"));
  BITNET_LET(const auto chat_template, file.text("tokenizer.chat_template"));
  v.chat_template = chat_template.value_or(std::string_view());
  BITNET_LET(v.tokens, file.texts("tokenizer.ggml.tokens"));
  BITNET_LET(v.scores, file.reals("tokenizer.ggml.scores"));
  BITNET_TRY(check_not_empty(file, "tokenizer.ggml.scores", v.scores.size()));
  BITNET_LET(v.kinds, file.integers("tokenizer.ggml.token_type"));
  BITNET_TRY(check_not_empty(file, "tokenizer.ggml.token_type", v.kinds.size()));
  BITNET_LET(v.merges, file.texts("tokenizer.ggml.merges"));
  if (v.model == "gpt2" && !file.find("tokenizer.ggml.merges")) {
    return Status::error(BITNET_E_FORMAT,
                         "tokenizer.ggml.merges: absent, expected the merges of a gpt2 tokenizer");
  }
  for (int i = 0; i < kSpecialIds; ++i) {
    BITNET_LET(v.ids[i], file.integer(kIdKeys[i], UINT32_MAX));
  }
  BITNET_LET(v.add_bos, file.boolean("tokenizer.ggml.add_bos_token"));
  BITNET_LET(v.add_eos, file.boolean("tokenizer.ggml.add_eos_token"));
  BITNET_LET(v.add_space_prefix, file.boolean("tokenizer.ggml.add_space_prefix"));
  return v;
}

Status check_vocabulary(Vocabulary& v) {
  if (v.model != "llama" && v.model != "gpt2") {
    return Status::error(BITNET_E_UNSUPPORTED,
                         "tokenizer.ggml.model: file has \"%s\", expected \"llama\" or \"gpt2\"",
                         shown(v.model).text);
  }
  if (v.tokens.empty() || v.tokens.size() > kMaxTokens) {
    return Status::error(BITNET_E_FORMAT,
                         "tokenizer.ggml.tokens: %zu elements, expected 1 to %" PRIu64,
                         v.tokens.size(), kMaxTokens);
  }
  BITNET_TRY(check_kinds(v));
  BITNET_TRY(check_scores(v));
  BITNET_TRY(check_merges(v));
  return check_ids(v);
}

}  // namespace bitnet
