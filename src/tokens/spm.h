// SPM (SentencePiece BPE with byte fallback): characters merge into tokens by score.
// Source: design/formats.md 5.3.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/memory.h"
#include "base/status.h"
#include "tokens/symbols.h"
#include "tokens/vocabulary.h"
#include "tokens/words.h"

namespace bitnet {

// Immutable once built; safe to share between threads.
class Spm {
 public:
  // unknown: the token for what has no other; -1: such text is dropped.
  // Also writes what each token stands for: pieces [tokens], views of arena or of the file.
  static Result<Spm> build(const Vocabulary& vocabulary, int32_t unknown, TextArena& arena,
                           Vec<std::string_view>& pieces);

  // Appends the tokens of text, whose views must stay as long as work is in use. prefix_space: as
  // if one space came before it.
  void encode(std::string_view text, bool prefix_space, Workspace& work, Vec<int32_t>& out) const;

 private:
  Spm(size_t tokens, int32_t unknown) : tokens_(tokens), unknown_(unknown), symbols_(tokens) {}
  Status enter_tokens(const Vocabulary& vocabulary, TextArena& arena,
                      Vec<std::string_view>& pieces);
  Status enter_byte_token(int32_t token, std::string_view text, TextArena& arena,
                          std::string_view& piece);
  Status enter_characters(const Vocabulary& vocabulary);
  Status enter_merges(const Vocabulary& vocabulary);
  bool merges(const Vocabulary& vocabulary, size_t token) const noexcept;
  uint32_t symbol_at(std::string_view text) const noexcept;
  size_t segment_end(std::string_view text) const noexcept;
  bool may_cut_before(std::string_view text, size_t space) const noexcept;
  void encode_segment(std::string_view segment, bool prefix_space, Workspace& work,
                      Vec<int32_t>& out) const;
  void emit(uint32_t symbol, std::string_view character, Vec<int32_t>& out) const;

  size_t tokens_;
  int32_t unknown_;
  SymbolTable symbols_;  // by their text as the vocabulary writes it
  MergeTable merges_;    // rank: falls as the score rises
  uint32_t space_ = 0;   // the symbol of U+2581
  uint32_t ascii_[128] = {};
  int32_t byte_tokens_[256];
  Vec<bool> joins_space_;  // by symbol: some token has U+2581 right behind this character
};

}  // namespace bitnet
