#include "tokens/tokenizer.h"

#include <algorithm>
#include <cinttypes>
#include <optional>
#include <utility>

#include "file/show.h"
#include "tokens/bpe.h"
#include "tokens/special.h"
#include "tokens/spm.h"
#include "tokens/vocabulary.h"
#include "tokens/words.h"

namespace bitnet {

struct Tokenizer::Impl {
  Vocabulary vocabulary;  // without scores and merges once the tables are built
  TextArena arena;
  Vec<std::string_view> pieces;  // by token
  std::optional<Bpe> bpe;        // one of the two
  std::optional<Spm> spm;
  SpecialTexts user_defined;  // found in any text
  SpecialTexts all;           // with control and unknown tokens
  Vec<bool> ends;             // by token
  int32_t bos = -1, eos = -1, eot = -1;
  bool add_bos = false, add_eos = false, add_space_prefix = false;
};

namespace {

constexpr size_t kLlama3Tokens = 128256, kLlama3Specials = 256;
constexpr uint64_t kNoId = UINT32_MAX;

// formats.md 5.5
constexpr std::string_view kEndTexts[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>",    "<end_of_turn>",   "<|endoftext|>", "</s>",
    "<|eom_id|>", "<EOT>",      "_<EOT>",     "<|end_of_text|>", "<eos>",         "<turn|>",
    "[EOT]",      "[EOS]",      "<|return|>", "<|call|>"};
// Those that close a turn rather than a text, in order of preference.
constexpr std::string_view kTurnEndTexts[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<turn|>", "<EOT>", "_<EOT>", "[EOT]"};

// A defect that can be lived with: a warning, or the error itself when strict.
Status tolerate(Status defect, const Log& log, bool strict) {
  if (strict) return defect;
  log(BITNET_LOG_WARNING, "%s", defect.text());
  return Status();
}

bool is_control_kind(int32_t kind) noexcept {
  return kind == kControlToken || kind == kUnknownToken;
}

bool is_end_text(std::string_view text) noexcept {
  return std::find(std::begin(kEndTexts), std::end(kEndTexts), text) != std::end(kEndTexts);
}

bool is_special_text(std::string_view text) noexcept {
  return text.size() > 4 && text.substr(0, 2) == "<|" && text.substr(text.size() - 2) == "|>";
}

bool is_bitnet(std::string_view architecture) noexcept {
  return architecture == "bitnet" || architecture == "bitnet-25" || architecture == "bitnet-b1.58";
}

// The splitter of a pre-tokenizer's name; formats.md 5.2.
std::optional<Splitter> splitter_named(std::string_view pre) noexcept {
  struct Name {
    std::string_view pre;
    Splitter splitter;
  };
  static constexpr Name kNames[] = {
      {"llama-bpe", Splitter::kLlama3}, {"llama3", Splitter::kLlama3},
      {"llama-v3", Splitter::kLlama3},  {"falcon3", Splitter::kLlama3},
      {"falcon-h1", Splitter::kLlama3}, {"falcon_e", Splitter::kLlama3},
      {"qwen2", Splitter::kQwen2},      {"gpt-2", Splitter::kGpt2},
      {"phi-2", Splitter::kGpt2},       {"mpt", Splitter::kGpt2},
      {"falcon", Splitter::kFalcon},
  };
  for (const Name& name : kNames) {
    if (pre == name.pre) return name.splitter;
  }
  if (pre.substr(0, 5) == "jina-") return Splitter::kGpt2;
  return std::nullopt;
}

// The published 2B-4T file has no tokenizer.ggml.pre; its tokens are Llama 3's.
bool is_llama3_without_pre(const Vocabulary& v) noexcept {
  return !v.pre && is_bitnet(v.architecture) && v.tokens.size() == kLlama3Tokens;
}

Result<Splitter> choose_splitter(const Vocabulary& v, const Log& log, bool strict) {
  if (is_llama3_without_pre(v)) return Splitter::kLlama3;
  if (v.pre) {
    if (const auto splitter = splitter_named(*v.pre)) return *splitter;
  }
  const Shown found = shown(v.pre.value_or("no such key"));
  BITNET_TRY(tolerate(
      Status::error(BITNET_E_UNSUPPORTED,
                    "tokenizer.ggml.pre: file has %s%s%s, expected the name of a known splitter; "
                    "\"default\" may cut words otherwise than the model has learned",
                    v.pre ? "\"" : "", found.text, v.pre ? "\"" : ""),
      log, strict));
  return Splitter::kDefault;
}

// Converters have marked special tokens as ordinary ones, which would let text be cut inside them
// and print them. Their texts leave no doubt.
Status mark_control_tokens(Vocabulary& v, bool llama3, const Log& log, bool strict) {
  size_t marked = 0, first = 0;
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    if (is_control_kind(v.kinds[i])) continue;
    const bool in_specials = llama3 && i >= kLlama3Tokens - kLlama3Specials;
    if (!is_end_text(v.tokens[i]) && !(in_specials && is_special_text(v.tokens[i]))) continue;
    if (marked++ == 0) first = i;
    v.kinds[i] = kControlToken;
  }
  if (marked == 0) return Status();
  return tolerate(Status::error(BITNET_E_FORMAT,
                                "tokenizer.ggml.token_type: token %zu \"%s\" is not marked as "
                                "control, expected type 3 (%zu such tokens)",
                                first, shown(v.tokens[first]).text, marked),
                  log, strict);
}

int32_t id_or(const std::optional<uint64_t>& id, int32_t otherwise) noexcept {
  if (!id) return otherwise;
  return *id == kNoId ? -1 : static_cast<int32_t>(*id);
}

// The id a family of files means by leaving the key out, unless the file marks that token as
// ordinary: a word must not end texts.
int32_t customary(const Vocabulary& v, int32_t id) noexcept {
  const auto index = static_cast<size_t>(id);
  if (index >= v.tokens.size()) return -1;
  const bool unmarked = v.model == "llama" && v.kinds[index] == kUndefinedToken;
  return unmarked || is_control_kind(v.kinds[index]) ? id : -1;
}

int32_t find_token(const Vocabulary& v, std::string_view text) noexcept {
  const auto it = std::find(v.tokens.begin(), v.tokens.end(), text);
  return it == v.tokens.end() ? -1 : static_cast<int32_t>(it - v.tokens.begin());
}

int32_t find_turn_end(const Vocabulary& v) noexcept {
  for (const std::string_view text : kTurnEndTexts) {
    const int32_t token = find_token(v, text);
    if (token >= 0) return token;
  }
  return -1;
}

void mark_ends(Tokenizer::Impl& t) {
  const Vocabulary& v = t.vocabulary;
  t.ends.assign(v.tokens.size(), false);
  for (const int32_t token : {t.eos, t.eot, id_or(v.ids[kEom], -1)}) {
    if (token >= 0) t.ends[static_cast<size_t>(token)] = true;
  }
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    if (is_end_text(v.tokens[i])) t.ends[i] = true;
  }
}

Status find_specials(Tokenizer::Impl& t) {
  const Vocabulary& v = t.vocabulary;
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    const auto token = static_cast<int32_t>(i);
    const bool user_defined = v.kinds[i] == kUserDefinedToken;
    if (!user_defined && !is_control_kind(v.kinds[i])) continue;
    if (user_defined) BITNET_TRY(t.user_defined.add(token, v.tokens[i]));
    BITNET_TRY(t.all.add(token, v.tokens[i]));
  }
  t.user_defined.finish();
  t.all.finish();
  return Status();
}

Status build_bpe(Tokenizer::Impl& t, const Log& log, bool strict) {
  Vocabulary& v = t.vocabulary;
  BITNET_LET(const Splitter splitter, choose_splitter(v, log, strict));
  const bool llama3 = splitter == Splitter::kLlama3;
  BITNET_TRY(mark_control_tokens(v, llama3 && v.tokens.size() == kLlama3Tokens, log, strict));
  BITNET_LET(t.bpe, Bpe::build(v, {splitter, llama3}, t.arena, t.pieces));
  t.bos = id_or(v.ids[kBos], customary(v, 11));
  t.eos = id_or(v.ids[kEos], customary(v, 11));
  t.add_bos = v.add_bos.value_or(llama3);
  return Status();
}

Status build_spm(Tokenizer::Impl& t, const Log& log, bool strict) {
  Vocabulary& v = t.vocabulary;
  BITNET_TRY(mark_control_tokens(v, false, log, strict));
  const int32_t unknown = id_or(v.ids[kUnknown], customary(v, 0));
  BITNET_LET(t.spm, Spm::build(v, unknown, t.arena, t.pieces));
  t.bos = id_or(v.ids[kBos], customary(v, 1));
  t.eos = id_or(v.ids[kEos], customary(v, 2));
  t.add_bos = v.add_bos.value_or(true);
  t.add_space_prefix = v.add_space_prefix.value_or(true);
  return Status();
}

}  // namespace

Result<Ptr<const Tokenizer>> open_vocabulary(Vocabulary vocabulary, const Log& log, bool strict) {
  BITNET_TRY(check_vocabulary(vocabulary));
  Ptr<Tokenizer::Impl> impl = make<Tokenizer::Impl>();
  Tokenizer::Impl& t = *impl;
  t.vocabulary = std::move(vocabulary);
  Vocabulary& v = t.vocabulary;
  BITNET_TRY(v.model == "gpt2" ? build_bpe(t, log, strict) : build_spm(t, log, strict));
  t.add_eos = v.add_eos.value_or(false);
  t.eot = id_or(v.ids[kEot], find_turn_end(v));
  mark_ends(t);
  BITNET_TRY(find_specials(t));
  v.scores = {};
  v.merges = {};
  return Ptr<const Tokenizer>(make<Tokenizer>(std::move(impl)));
}

Result<Ptr<const Tokenizer>> Tokenizer::open(const Gguf& file, const Log& log, bool strict) {
  BITNET_LET(Vocabulary vocabulary, read_vocabulary(file));
  return open_vocabulary(std::move(vocabulary), log, strict);
}

Tokenizer::Tokenizer(Ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

int32_t Tokenizer::size() const noexcept {
  return static_cast<int32_t>(impl_->pieces.size());
}
int32_t Tokenizer::bos() const noexcept {
  return impl_->bos;
}
int32_t Tokenizer::eos() const noexcept {
  return impl_->eos;
}
int32_t Tokenizer::eot() const noexcept {
  return impl_->eot;
}
bool Tokenizer::add_bos() const noexcept {
  return impl_->add_bos;
}
bool Tokenizer::add_eos() const noexcept {
  return impl_->add_eos;
}

bool Tokenizer::is_end(int32_t token) const noexcept {
  return token >= 0 && token < size() && impl_->ends[static_cast<size_t>(token)];
}

bool Tokenizer::is_control(int32_t token) const noexcept {
  return token >= 0 && token < size() &&
         is_control_kind(impl_->vocabulary.kinds[static_cast<size_t>(token)]);
}

int32_t Tokenizer::find(std::string_view text) const noexcept {
  return find_token(impl_->vocabulary, text);
}

std::string_view Tokenizer::chat_template() const noexcept {
  return impl_->vocabulary.chat_template;
}

// SPM puts a space before a text and before what follows a special token.
Status Tokenizer::tokenize(std::string_view text, bool add_special, bool parse_special,
                           Vec<int32_t>& out) const {
  if (text.size() >= UINT32_MAX) {
    return Status::error(BITNET_E_ARGUMENT, "text has %zu bytes, expected less than %" PRIu32,
                         text.size(), UINT32_MAX);
  }
  const Impl& t = *impl_;
  Vec<Fragment> fragments;
  (parse_special ? t.all : t.user_defined).partition(text, fragments);
  const auto begins_with = [&](int32_t token) {
    return !fragments.empty() && fragments.front().token == token;
  };
  const auto ends_with = [&](int32_t token) {
    return !fragments.empty() && fragments.back().token == token;
  };

  // Once each: a chat template may have written them already.
  if (add_special && t.add_bos && t.bos >= 0 && !begins_with(t.bos)) out.push_back(t.bos);
  Workspace work(text.size());
  bool after_special = true;
  for (const Fragment& fragment : fragments) {
    const std::string_view raw = text.substr(fragment.start, fragment.end - fragment.start);
    if (fragment.token >= 0) {
      out.push_back(fragment.token);
    } else if (t.bpe) {
      t.bpe->encode(raw, work, out);
    } else {
      t.spm->encode(raw, t.add_space_prefix && after_special, work, out);
    }
    after_special = fragment.token >= 0;
  }
  if (add_special && t.add_eos && t.eos >= 0 && !ends_with(t.eos)) out.push_back(t.eos);
  return Status();
}

Result<std::string_view> Tokenizer::piece(int32_t token, bool show_special) const {
  if (token < 0 || token >= size()) {
    return Status::error(BITNET_E_ARGUMENT,
                         "token %" PRId32 " is not in the vocabulary, expected 0 to %" PRId32,
                         token, size() - 1);
  }
  if (is_control(token) && !show_special) return std::string_view();
  return impl_->pieces[static_cast<size_t>(token)];
}

Result<std::string_view> Tokenizer::piece_at(int32_t token, bool show_special,
                                             bool& at_start) const {
  BITNET_LET(std::string_view text, piece(token, show_special));
  if (text.empty()) return text;
  if (at_start && impl_->add_space_prefix && text[0] == ' ' && !is_control(token)) {
    text.remove_prefix(1);
  }
  at_start = false;
  return text;
}

Status Tokenizer::detokenize(std::span<const int32_t> tokens, bool show_special,
                             String& out) const {
  bool at_start = true;
  for (const int32_t token : tokens) {
    BITNET_LET(const std::string_view text, piece_at(token, show_special, at_start));
    out.append(text);
  }
  return Status();
}

}  // namespace bitnet
