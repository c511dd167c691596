#include "session/drafts.h"

#include <algorithm>

namespace bitnet {

size_t Drafts::bucket_of(int32_t matched) noexcept {
  return matched < 3 ? 0 : matched < 4 ? 1 : matched < 8 ? 2 : matched < 16 ? 3 : 4;
}

size_t Drafts::slot_of(int32_t before_last, int32_t last) const noexcept {
  const uint64_t pair =
      static_cast<uint64_t>(static_cast<uint32_t>(before_last)) << 32 | static_cast<uint32_t>(last);
  return (pair * 0x9e3779b97f4a7c15u >> 32) & (newest_.size() - 1);
}

void Drafts::reserve(size_t tokens) {
  if (tokens < previous_.size()) return;
  tokens = std::max(tokens, 2 * previous_.size());
  size_t slots = 1024;
  while (slots < tokens) slots *= 2;
  Vec<uint32_t> newest(slots), previous(tokens + 1);
  newest_.swap(newest);
  previous_.swap(previous);
  size_ = 0;  // the next follow() links all again
}

// Of the end of the text itself there is nothing to be found yet, so it is linked after looking up.
void Drafts::follow(std::span<const int32_t> text) noexcept {
  if (text.size() >= previous_.size()) return;
  while (size_ < text.size()) {
    ++size_;
    const std::span<const int32_t> begun = text.first(size_);
    if (size_ == text.size()) look_up(begun);
    link(begun);
  }
}

void Drafts::link(std::span<const int32_t> text) noexcept {
  const size_t n = text.size();
  if (n < size_t{kShortest}) return;
  uint32_t& newest = newest_[slot_of(text[n - 2], text[n - 1])];
  previous_[n] = newest;
  newest = static_cast<uint32_t>(n);
}

void Drafts::look_up(std::span<const int32_t> text) noexcept {
  const size_t n = text.size();
  if (matched_ > 0) {
    const bool hit = text[source_] == text[n - 1];
    double& rate = hit_rates_[bucket_of(matched_)];
    rate += ((hit ? 1.0 : 0.0) - rate) / 16;
    matched_ = hit ? std::min(matched_ + 1, kLongest) : 0;
    source_ += 1;
  }
  if (n < size_t{kShortest} || matched_ == kLongest) return;
  uint32_t candidate = newest_[slot_of(text[n - 2], text[n - 1])];
  for (int i = 0; i < kCandidates && candidate > 0; ++i, candidate = previous_[candidate]) {
    int32_t shared = 0;
    while (shared < kLongest && static_cast<uint32_t>(shared) < candidate &&
           text[candidate - 1 - shared] == text[n - 1 - shared]) {
      ++shared;
    }
    if (shared < kShortest || shared <= matched_) continue;
    matched_ = shared;
    source_ = candidate;
  }
}

int64_t best_draft_count(const Drafts& drafts, const PassCosts& costs, int64_t most) noexcept {
  constexpr double kMargin = 1.1;  // what must be gained, since all of this is an estimate
  most = std::min(most, costs.widest_to_try() - 1);
  if (drafts.matched() == 0 || most < 1) return 0;
  int64_t best = 0;
  double tokens = 1, all_right = 1, best_speed = kMargin / costs.seconds(1);
  for (int64_t count = 1; count <= most; ++count) {
    const int64_t shared = std::min<int64_t>(drafts.matched() + count - 1, Drafts::kLongest);
    all_right *= drafts.hit_rate(static_cast<int32_t>(shared));
    tokens += all_right;
    const double speed = tokens / costs.seconds(count + 1);
    if (speed <= best_speed) continue;
    best_speed = speed;
    best = count;
  }
  return best;
}

}  // namespace bitnet
