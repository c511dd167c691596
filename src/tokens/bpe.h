// Byte-level BPE: a word starts as its bytes, pairs merge by rank. Source: design/formats.md 5.2.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/memory.h"
#include "base/status.h"
#include "tokens/char_class.h"
#include "tokens/split.h"
#include "tokens/symbols.h"
#include "tokens/vocabulary.h"
#include "tokens/words.h"

namespace bitnet {

// Immutable once built; safe to share between threads.
class Bpe {
 public:
  struct Rules {
    Splitter splitter;
    bool ignore_merges;  // a word that is a token is that token, however it would merge
  };
  // Also writes what each token stands for: pieces [tokens], views of arena or of the file.
  static Result<Bpe> build(const Vocabulary& vocabulary, Rules rules, TextArena& arena,
                           Vec<std::string_view>& pieces);

  // Appends the tokens of text, whose views must stay as long as work is in use.
  void encode(std::string_view text, Workspace& work, Vec<int32_t>& out) const;

 private:
  Bpe(size_t tokens, size_t merges, Rules rules)
      : rules_(rules), tokens_(tokens), symbols_(tokens), merges_(merges) {}
  Status enter_tokens(const Vocabulary& vocabulary, TextArena& arena,
                      Vec<std::string_view>& pieces);
  Status enter_bytes(TextArena& arena);
  Status enter_merges(const Vocabulary& vocabulary, TextArena& arena);
  Result<uint32_t> symbol_of(std::string_view text, TextArena& arena);
  void encode_word(std::string_view word, Workspace& work, Vec<int32_t>& out) const;
  void emit(uint32_t symbol, Vec<int32_t>& out) const;

  Rules rules_;
  size_t tokens_;
  CharClasses classes_;
  SymbolTable symbols_;  // by the bytes they stand for
  MergeTable merges_;
  uint32_t byte_symbols_[256] = {};
};

}  // namespace bitnet
