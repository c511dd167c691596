// Symbols and the pairs of them that merge: what BPE and SPM vocabularies have in common.
//
// A symbol is a text with a number. Numbers below the vocabulary's size are token ids; texts that
// only occur on the way to a token, or as single characters, get numbers from there on.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/memory.h"
#include "base/status.h"

namespace bitnet {

inline constexpr uint32_t kNoSymbol = UINT32_MAX;

inline uint32_t hash_text(std::string_view text) noexcept {
  const auto mix = [](uint64_t x) {
    x *= 0x9E3779B97F4A7C15u;
    return x ^ x >> 32;
  };
  const char* p = text.data();
  size_t n = text.size();
  uint64_t h = mix(n), word;
  for (; n > 8; n -= 8, p += 8) {
    std::memcpy(&word, p, 8);
    h = mix(h ^ word);
  }
  if (n >= 4) {
    uint32_t first, last;
    std::memcpy(&first, p, 4);
    std::memcpy(&last, p + n - 4, 4);
    word = uint64_t{last} << 32 | first;
  } else {
    word = 0;
    for (size_t i = 0; i < n; ++i) word = word << 8 | static_cast<uint8_t>(p[i]);
  }
  return static_cast<uint32_t>(mix(h ^ word) * 0xBF58476D1CE4E5B9u >> 32);
}

// Texts made while loading, at addresses that stay.
class TextArena {
 public:
  // A copy of left + right.
  std::string_view join(std::string_view left, std::string_view right);
  std::string_view copy(std::string_view text) { return join(text, {}); }

 private:
  Vec<Vec<char>> blocks_;  // no block grows beyond the capacity it was made with
};

// Texts to symbols. A file can hold texts whose hashes were chosen to be alike; then enter() fails
// rather than let loading take time that grows with the square of the vocabulary.
class SymbolTable {
 public:
  // Symbols 0..tokens-1 exist, without text and not to be found.
  explicit SymbolTable(size_t tokens);

  // Gives token its text. Of tokens with one text the first is found.
  Status enter(uint32_t token, std::string_view text);
  // The symbol of text, a new one if there is none. text must outlive the table.
  Result<uint32_t> intern(std::string_view text);

  uint32_t find(std::string_view text) const noexcept { return find(text, hash_text(text)); }
  uint32_t find(std::string_view text, uint32_t hash) const noexcept;
  std::string_view text(uint32_t symbol) const noexcept { return texts_[symbol]; }
  size_t size() const noexcept { return texts_.size(); }

 private:
  struct Slot {
    uint32_t symbol = kNoSymbol, hash = 0;
  };
  void grow();
  // The slot of text, or the free one where it belongs; nullptr: too many alike.
  Slot* place(std::string_view text, uint32_t hash) noexcept;

  Vec<std::string_view> texts_;  // by symbol
  Vec<Slot> slots_;              // open addressing, a power of two, at most half full
  size_t used_ = 0;
};

// A pair that merges into a symbol; of several pairs the one with the lowest rank goes first.
struct Merge {
  uint32_t rank, symbol;
};
inline constexpr Merge kNoMerge = {UINT32_MAX, kNoSymbol};

class MergeTable {
 public:
  MergeTable() : MergeTable(0) {}
  // Room for this many pairs without growing.
  explicit MergeTable(size_t pairs);

  // rank < UINT32_MAX. The first entry for a pair stands. Fails like SymbolTable::enter.
  Status enter(uint32_t left, uint32_t right, Merge merge);
  Merge find(uint32_t left, uint32_t right) const noexcept;
  size_t size() const noexcept { return used_; }

 private:
  struct Slot {
    uint32_t left = kNoSymbol, right = kNoSymbol;
    Merge merge = kNoMerge;
  };
  void grow();
  Slot* place(uint32_t left, uint32_t right) noexcept;
  size_t home(uint32_t left, uint32_t right) const noexcept {
    const uint64_t x = (uint64_t{left} << 32 | right) * 0x9E3779B97F4A7C15u;
    return (x ^ x >> 29) * 0xBF58476D1CE4E5B9u >> 32 & (slots_.size() - 1);
  }

  Vec<Slot> slots_;  // as above
  size_t used_ = 0;
};

// One symbol of a word and where its text starts in it.
struct Part {
  uint32_t symbol, start;
};

// Merges the parts of a word until no pair has a rank: always the lowest rank, then the leftmost.
// Time grows as n log n. Keeps its working memory for the next word; one per thread.
class Merger {
 public:
  // parts has room to be overwritten; returns how many of them are left, in front.
  size_t run(const MergeTable& merges, std::span<Part> parts);

 private:
  static size_t run_short(const MergeTable& merges, std::span<Part> parts) noexcept;
  size_t run_long(const MergeTable& merges, std::span<Part> parts);

  struct Link {
    uint32_t previous, next;
    Merge merge;  // of this part with the next one
  };
  Vec<Link> links_;
  Vec<uint64_t> queue_;  // heap of rank << 32 | position
};

}  // namespace bitnet
