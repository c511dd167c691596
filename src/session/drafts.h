// Guesses at how a text goes on: where its end occurred before, it may go on as it did there.
//
// Right guesses let one pass over the weights yield several tokens; wrong ones cost a wider pass.
// Nothing here can change what is generated, only how long it takes.
#pragma once

#include <span>

#include "base/memory.h"
#include "forward/pass_costs.h"

namespace bitnet {

// The longest recent earlier occurrence of the end of a growing text. O(1) a token: positions that
// follow the same two tokens are chained, the newest first, and only the newest few are looked at.
class Drafts {
 public:
  // Makes room for a text of so many tokens: follow() allocates nothing up to there. May throw
  // std::bad_alloc, having changed nothing.
  void reserve(size_t tokens);
  // The text has grown to this. What it had before must be the same.
  void follow(std::span<const int32_t> text) noexcept;

  // How many tokens the end of the text shares with its earlier occurrence, at most kLongest; 0: it
  // has none.
  int32_t matched() const noexcept { return matched_; }
  // The token guessed for text.size() + ahead. The occurrence may overlap the end of the text,
  // which then goes on in circles. matched() must not be 0.
  int32_t guess(std::span<const int32_t> text, size_t ahead) const noexcept {
    return text[source_ + ahead % (text.size() - source_)];
  }
  // The running share of right guesses for a token that follows a match of this length.
  double hit_rate(int32_t matched) const noexcept { return hit_rates_[bucket_of(matched)]; }

  static constexpr int32_t kLongest = 32;

 private:
  static constexpr int32_t kShortest = 2;  // tokens that a slot is made of
  static constexpr int kCandidates = 16;
  static constexpr size_t kBuckets = 5;

  static size_t bucket_of(int32_t matched) noexcept;
  size_t slot_of(int32_t before_last, int32_t last) const noexcept;
  void link(std::span<const int32_t> text) noexcept;
  void look_up(std::span<const int32_t> text) noexcept;

  // Positions are numbers of tokens before them; 0 ends a chain.
  Vec<uint32_t> newest_;    // [2^n] by slot_of() the two tokens before a position
  Vec<uint32_t> previous_;  // [position] the next older one of the same slot
  size_t size_ = 0;         // of the text
  size_t source_ = 0;       // the position after the earlier occurrence
  int32_t matched_ = 0;
  double hit_rates_[kBuckets] = {0.3, 0.5, 0.7, 0.8, 0.9};  // where experience starts from
};

// How many drafts, at most `most`, give the most tokens per second.
int64_t best_draft_count(const Drafts& drafts, const PassCosts& costs, int64_t most) noexcept;

}  // namespace bitnet
