// What a file says about its tokenizer, read and checked, before tables are built from it.
//
// Texts are views of the file's bytes. Source: design/formats.md 5.1 and 1.3 (point 12).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "file/gguf.h"
#include "tokens/tokenizer.h"

namespace bitnet {

// tokenizer.ggml.token_type
enum TokenKind : int32_t {
  kUndefinedToken,  // written by some converters for ordinary ones
  kNormalToken,
  kUnknownToken,
  kControlToken,
  kUserDefinedToken,
  kUnusedToken,
  kByteToken,
};

enum SpecialId : int {
  kBos,
  kEos,
  kEot,
  kEom,
  kUnknown,
  kPadding,
  kSeparator,
  kClass,
  kMask,
  kSpecialIds
};

struct Vocabulary {
  std::string_view architecture;  // general.architecture
  std::string_view model;         // "llama" (SPM) or "gpt2" (byte-level BPE)
  std::optional<std::string_view> pre;
  std::string_view chat_template;
  Vec<std::string_view> tokens;
  Vec<float> scores;                         // empty or one a token
  Vec<int32_t> kinds;                        // TokenKind; empty or one a token
  Vec<std::string_view> merges;              // "left right"
  std::optional<uint64_t> ids[kSpecialIds];  // as written, 0xFFFFFFFF for none
  std::optional<bool> add_bos, add_eos, add_space_prefix;
};

// Longest text of a token that is searched for in texts or made by SPM merges: what bounds the cost
// of both. Published vocabularies stay below 400.
inline constexpr size_t kMaxTokenBytes = 1024;
inline constexpr uint64_t kMaxTokens = 1 << 24;

Result<Vocabulary> read_vocabulary(const Gguf& file);

// Lengths, kinds and ids; errors name the key. Afterwards every token has a kind and a score.
Status check_vocabulary(Vocabulary& vocabulary);

// Tokenizer::open() is read_vocabulary() and this.
Result<Ptr<const Tokenizer>> open_vocabulary(Vocabulary vocabulary, const Log& log, bool strict);

}  // namespace bitnet
