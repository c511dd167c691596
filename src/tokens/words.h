// What encoding one text needs besides the tokenizer: working memory, used again from word to word.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/memory.h"
#include "tokens/split.h"
#include "tokens/symbols.h"

namespace bitnet {

// Remembers the tokens of words seen earlier in the same text. An entry only says where: the word
// in the text and its tokens in the output, both of which must stay while the cache is in use.
class WordCache {
 public:
  // A short text repeats too little to pay for the table.
  explicit WordCache(size_t text_bytes) : entries_(text_bytes < 1024 ? 0 : kEntries) {}

  // Appends the tokens of a word seen before, or returns false.
  bool repeat(std::string_view word, uint32_t hash, Vec<int32_t>& out) const {
    if (entries_.empty()) return false;
    const Entry& entry = entries_[hash % kEntries];
    if (entry.hash != hash || entry.word != word) return false;
    const size_t end = out.size();
    out.resize(end + entry.tokens);
    for (size_t i = 0; i < entry.tokens; ++i) out[end + i] = out[entry.first + i];
    return true;
  }
  // The tokens of word are those of out from first on. Takes the place of any other word.
  void remember(std::string_view word, uint32_t hash, const Vec<int32_t>& out, size_t first) {
    if (entries_.empty() || word.size() > kLongest) return;
    entries_[hash % kEntries] = {word, first, static_cast<uint32_t>(out.size() - first), hash};
  }

 private:
  static constexpr size_t kEntries = 4096;
  static constexpr size_t kLongest = 64;
  struct Entry {
    std::string_view word;  // never empty once set
    size_t first;
    uint32_t tokens, hash;
  };
  Vec<Entry> entries_;
};

struct Workspace {
  explicit Workspace(size_t text_bytes) : cache(text_bytes) {}
  Words words;
  Vec<Part> parts;
  Merger merger;
  WordCache cache;
};

}  // namespace bitnet
