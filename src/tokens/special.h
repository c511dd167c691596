// Finds the texts of special tokens in a text. Source: design/formats.md 5.4.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/memory.h"
#include "base/status.h"
#include "tokens/symbols.h"

namespace bitnet {

// A piece of a text: one special token, or raw text between them.
struct Fragment {
  uint32_t start, end;
  int32_t token;  // -1: raw
};

class SpecialTexts {
 public:
  // Of tokens with one text the first counts; empty texts are never found.
  Status add(int32_t token, std::string_view text);
  // After the last add().
  void finish();

  // Cuts text into fragments, none of them empty: longer special texts first, then the leftmost.
  void partition(std::string_view text, Vec<Fragment>& fragments) const;

 private:
  bool may_start(std::string_view text) const noexcept;
  void cut(std::string_view text, uint32_t length, std::span<const uint32_t> candidates,
           const Vec<Fragment>& from, Vec<Fragment>& to) const;

  SymbolTable texts_{0};
  Vec<int32_t> tokens_;    // by symbol of texts_
  Vec<uint32_t> lengths_;  // that occur, longest first
  Vec<bool> starts_;       // [first byte][second byte]
};

}  // namespace bitnet
