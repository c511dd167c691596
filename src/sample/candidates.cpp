// Which tokens a pick depends on, from intervals that hold the logits.
//
// Stages 1 and 2 are monotone in the logit and rounding is too, so adjusted ends hold adjusted
// logits. Let m be the largest low: the largest logit is m or more. Then
//   greedy     the pick has high >= m, and so has whatever ties with it
//   top_k      what is kept has high >= the k-th largest low, and what follows the cut (top_p,
//              min_p, the draw) sees nothing but what is kept
//   min_p      what is kept has high >= m + log(min_p), if the largest logit is among the
//              candidates
//   draw       the winner's score is at least that of every low that min_p surely keeps, so it has
//              high / T + g at least as large
// So the lows of very few tokens decide how many others can matter: these are settled first, which
// costs next to nothing and does as much as halving every interval.
//
// Tokens about which nothing is known have high = +infinity and pass all of these. The others have
// no NaN, so pick() sees every NaN there is.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>

#include "base/float4.h"
#include "base/float_mode.h"
#include "sample/contest.h"
#include "sample/exp_log.h"
#include "sample/gumbel.h"
#include "sample/sampler.h"

namespace bitnet {
namespace {

constexpr int64_t kBlock = 256;  // intervals whose largest ends are remembered together
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kManyTokens = 128;  // that it is cheaper to narrow first than to compute

// The largest of n numbers; NaN is passed over.
float largest_of(const float* x, int64_t n) noexcept {
  Float4 largest[4];
  for (Float4& l : largest) l = Float4{} - kInfinity;
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int j = 0; j < 4; ++j) {
      const Float4 v = load4<Float4>(x + i + 4 * j);
      largest[j] = v > largest[j] ? v : largest[j];
    }
  }
  const Float4 a = largest[0] > largest[1] ? largest[0] : largest[1];
  const Float4 b = largest[2] > largest[3] ? largest[2] : largest[3];
  const Float4 c = a > b ? a : b;
  float all = std::max(std::max(c[0], c[1]), std::max(c[2], c[3]));
  for (; i < n; ++i) all = std::max(all, x[i]);
  return all;
}

// Whether 16 numbers, none of which is NaN, are below a limit.
bool all_below(const float* x, float limit) noexcept {
  const auto below = [=](int i) { return load4<Float4>(x + 4 * i) < Float4{} + limit; };
  const Int4 all = below(0) & below(1) & below(2) & below(3);
  return (all[0] & all[1] & all[2] & all[3]) != 0;
}

}  // namespace

// n intervals after stages 1 and 2, block by block: blocks without a biased or penalized token are
// the caller's, the others copies.
class Sampler::Intervals {
 public:
  Intervals(Sampler& sampler, const LogitBounds& bounds, int64_t n) noexcept
      : sampler_(sampler), bounds_(bounds), low_(bounds.low), high_(bounds.high), n_(n) {}

  int64_t n() const noexcept { return n_; }
  int64_t blocks() const noexcept { return (n_ + kBlock - 1) / kBlock; }
  int64_t size(int64_t block) const noexcept { return std::min(kBlock, n_ - block * kBlock); }
  const float* low(int64_t block) const noexcept {
    return (is_copy(block) ? sampler_.adjusted_low_.data() : low_) + block * kBlock;
  }
  const float* high(int64_t block) const noexcept {
    return (is_copy(block) ? sampler_.adjusted_high_.data() : high_) + block * kBlock;
  }
  float low_of(int32_t token) const noexcept { return low(token / kBlock)[token % kBlock]; }
  float high_of(int32_t token) const noexcept { return high(token / kBlock)[token % kBlock]; }

  // Most tokens that are worth computing one by one, and most that are worth knowing more of; small
  // vocabularies have no need to be sparing.
  size_t limit() const noexcept { return static_cast<size_t>(std::max<int64_t>(n_ / 8, 64)); }
  size_t narrow_limit() const noexcept { return 2 * limit(); }

  float largest_low = -kInfinity, largest_high = -kInfinity;

 private:
  friend class Sampler;
  bool is_copy(int64_t block) const noexcept {
    return sampler_.block_adjusted_[static_cast<size_t>(block)] != 0;
  }
  Sampler& sampler_;
  const LogitBounds& bounds_;
  const float* low_;
  const float* high_;
  int64_t n_;
};

bool Sampler::needs_all_logits(int64_t n) const noexcept {
  return options_.temperature > 0 && options_.top_p < 1 && !cuts_by_k(n);
}

std::span<const int32_t> Sampler::candidates(const LogitBounds& bounds, int64_t n) {
  if (n < 1 || needs_all_logits(n)) return {};
  if (!bias_.empty() && bias_.back().token >= n) return {};  // pick() will say so
  const PlainFloatMode mode;
  prepare_intervals(n);
  Intervals in(*this, bounds, n);
  const bool draws = options_.temperature > 0;
  if (draws && cuts_by_k(n) && static_cast<size_t>(options_.top_k) > in.limit()) return {};

  std::fill(block_adjusted_.begin(), block_adjusted_.end(), uint8_t{0});
  for (const LogitBias& b : bias_) adjust_interval(in, b.token);
  for (const Count& c : counts_) {
    if (c.token < n) adjust_interval(in, c.token);
  }
  scan_intervals(in);
  if (in.largest_low == -kInfinity) return {};

  few_.clear();
  greedy_.clear();
  winners_.clear();
  bool few = false;
  if (!draws) {
    few = gather_first(in, 1, few_);
  } else if (cuts_by_k(n)) {
    few = gather_first(in, static_cast<size_t>(options_.top_k), few_);
  } else {
    settle_first(in, 1);
    // The largest logit is where min_p starts from: the tokens that can have it are settled too.
    few = options_.min_p == 0 || gather_first(in, 1, greedy_);
    if (few) settle_known(in, greedy_);
    few = few && gather_winners(in, winners_);
    few_.resize(greedy_.size() + winners_.size());
    few_.erase(std::set_union(greedy_.begin(), greedy_.end(), winners_.begin(), winners_.end(),
                              few_.begin()),
               few_.end());
  }
  if (!few || few_.size() > in.limit()) return {};
  return few_;
}

void Sampler::prepare_intervals(int64_t n) {
  if (n <= prepared_intervals_) return;
  const Intervals in(*this, LogitBounds{}, n);
  const size_t count = static_cast<size_t>(n), blocks = static_cast<size_t>(in.blocks());
  if (penalizes_ || !bias_.empty()) {
    adjusted_low_.resize(count);
    adjusted_high_.resize(count);
  }
  block_adjusted_.resize(blocks);
  block_low_.resize(blocks);
  block_high_.resize(blocks);
  lows_.reserve(count);
  leaders_.reserve(in.narrow_limit());
  greedy_.reserve(in.narrow_limit());
  winners_.reserve(in.narrow_limit());
  few_.reserve(2 * in.narrow_limit());
  prepared_intervals_ = n;
}

// Stages 1 and 2. What is unknown stays so: a ban does not hide a NaN.
void Sampler::adjust_interval(Intervals& in, int32_t token) noexcept {
  const int64_t block = token / kBlock, first = block * kBlock;
  if (!in.is_copy(block)) {
    std::copy_n(in.low_ + first, in.size(block), adjusted_low_.begin() + first);
    std::copy_n(in.high_ + first, in.size(block), adjusted_high_.begin() + first);
    block_adjusted_[static_cast<size_t>(block)] = 1;
  }
  if (in.high_[token] == kInfinity) return;
  adjusted_low_[static_cast<size_t>(token)] = adjusted(token, in.low_[token]);
  adjusted_high_[static_cast<size_t>(token)] = adjusted(token, in.high_[token]);
}

void Sampler::scan_block(const Intervals& in, int64_t block) noexcept {
  block_low_[static_cast<size_t>(block)] = largest_of(in.low(block), in.size(block));
  block_high_[static_cast<size_t>(block)] = largest_of(in.high(block), in.size(block));
}

void Sampler::scan_intervals(Intervals& in) noexcept {
  for (int64_t block = 0; block < in.blocks(); ++block) scan_block(in, block);
  in.largest_low = largest_of(block_low_.data(), in.blocks());
  in.largest_high = largest_of(block_high_.data(), in.blocks());
}

// After their intervals have changed.
void Sampler::adjust_again(Intervals& in, std::span<const int32_t> tokens) noexcept {
  for (int32_t token : tokens) {
    if (in.is_copy(token / kBlock)) adjust_interval(in, token);
  }
}

// Known tokens only.
void Sampler::settle(Intervals& in, std::span<const int32_t> tokens) {
  in.bounds_.settle(in.bounds_.user, tokens);
  adjust_again(in, tokens);
  int64_t scanned = -1;
  for (int32_t token : tokens) {
    const int64_t block = token / kBlock;
    if (block != scanned) scan_block(in, block);
    scanned = block;
  }
  in.largest_low = largest_of(block_low_.data(), in.blocks());
  in.largest_high = largest_of(block_high_.data(), in.blocks());
}

void Sampler::settle_known(Intervals& in, const Vec<int32_t>& tokens) {
  leaders_.clear();  // has room for as many as gather() finds
  std::copy_if(tokens.begin(), tokens.end(), std::back_inserter(leaders_),
               [&](int32_t token) { return in.low_of(token) > -kInfinity; });
  if (!leaders_.empty()) settle(in, leaders_);
}

// k tokens than which no other has a larger low; false if nothing is known of so many.
bool Sampler::settle_first(Intervals& in, size_t k) {
  const float least = kth_largest_low(in, k);
  if (least == -kInfinity) return false;
  const auto more = std::count_if(lows_.begin(), lows_.end(), [=](float x) { return x > least; });
  // Of the tokens whose low is the k-th, so many belong to the first k.
  int64_t equal = static_cast<int64_t>(k) - more;
  leaders_.clear();
  for (int64_t block = 0; block < in.blocks(); ++block) {
    if (block_low_[static_cast<size_t>(block)] < least) continue;
    const float* const low = in.low(block);
    for (int64_t i = 0; i < in.size(block); ++i) {
      if (low[i] < least || (low[i] == least && equal-- <= 0)) continue;
      leaders_.push_back(static_cast<int32_t>(block * kBlock + i));
    }
  }
  settle(in, leaders_);
  return true;
}

// Tokens that can be among the k with the largest logits; false if they are too many.
bool Sampler::gather_first(Intervals& in, size_t k, Vec<int32_t>& tokens) {
  if (!settle_first(in, k) || !gather(in, kth_largest_low(in, k), tokens)) return false;
  if (tokens.size() < k + kManyTokens) return true;
  narrow(in, tokens);
  lows_.clear();
  for (int32_t token : tokens) lows_.push_back(in.low_of(token));
  const float least = kth_of_lows(k);
  std::erase_if(tokens, [&](int32_t token) { return in.high_of(token) < least; });
  return true;
}

// The largest ends of blocks stay what they were, which is no less true.
void Sampler::narrow(Intervals& in, const Vec<int32_t>& tokens) {
  in.bounds_.narrow(in.bounds_.user, tokens);
  adjust_again(in, tokens);
}

float Sampler::kth_of_lows(size_t k) noexcept {
  const auto place = lows_.begin() + static_cast<std::ptrdiff_t>(k - 1);
  std::nth_element(lows_.begin(), place, lows_.end(), [](float a, float b) { return a > b; });
  return *place;
}

// Every block's largest is one of the lows, so the k-th largest of these is no larger than what is
// looked for: only blocks that reach it are looked into.
float Sampler::kth_largest_low(const Intervals& in, size_t k) {
  const size_t blocks = static_cast<size_t>(in.blocks());
  float least = -kInfinity;
  if (k <= blocks) {
    lows_.assign(block_low_.begin(), block_low_.begin() + static_cast<std::ptrdiff_t>(blocks));
    least = kth_of_lows(k);
  }
  lows_.clear();
  for (int64_t block = 0; block < in.blocks(); ++block) {
    if (block_low_[static_cast<size_t>(block)] < least) continue;
    const float* const low = in.low(block);
    std::copy_if(low, low + in.size(block), std::back_inserter(lows_),
                 [least](float x) { return x >= least; });
  }
  return lows_.size() < k ? -kInfinity : kth_of_lows(k);
}

// Tokens with high >= least; false if they are too many.
bool Sampler::gather(const Intervals& in, float least, Vec<int32_t>& tokens) const {
  for (int64_t block = 0; block < in.blocks(); ++block) {
    if (block_high_[static_cast<size_t>(block)] < least) continue;
    const float* const high = in.high(block);
    for (int64_t first = 0; first < in.size(block); first += 16) {
      const int64_t last = std::min(first + 16, in.size(block));
      if (last - first == 16 && all_below(high + first, least)) continue;
      for (int64_t i = first; i < last; ++i) {
        if (high[i] < least) continue;
        if (tokens.size() == in.narrow_limit()) return false;
        tokens.push_back(static_cast<int32_t>(block * kBlock + i));
      }
    }
  }
  return true;
}

// Stage 6 on the highs, against the best of the lows; the best is settled before the others are
// measured by it.
bool Sampler::gather_winners(Intervals& in, Vec<int32_t>& tokens) {
  // min_p keeps no token with high below surely_cut, and every one with low at or above
  // surely_kept.
  double surely_cut = -std::numeric_limits<double>::infinity(), surely_kept = surely_cut;
  if (options_.min_p > 0) {
    const double log_p = sample_log(static_cast<double>(options_.min_p));
    surely_cut = static_cast<double>(in.largest_low) + log_p;
    surely_kept = static_cast<double>(in.largest_high) + log_p;
  }
  float reference = in.largest_high;
  if (reference == kInfinity) {  // the known ones' then
    reference = -kInfinity;
    for (int64_t block = 0; block < in.blocks(); ++block) {
      const float* const high = in.high(block);
      for (int64_t i = 0; i < in.size(block); ++i) {
        if (high[i] < kInfinity) reference = std::max(reference, high[i]);
      }
    }
  }
  Contest contest(options_.seed, draw_, options_.temperature, reference);
  const auto enter = [&](int64_t block, int64_t i) {
    const float low = in.low(block)[i];
    if (low > -kInfinity && static_cast<double>(low) >= surely_kept) {
      contest.enter(static_cast<int32_t>(block * kBlock + i), low);
    }
  };
  for (int64_t block = 0; block < in.blocks(); ++block) {  // the largest low's first
    if (block_low_[static_cast<size_t>(block)] < in.largest_low) continue;
    const float* const low = in.low(block);
    const int64_t best = std::find(low, low + in.size(block), in.largest_low) - low;
    if (best < in.size(block)) enter(block, best);
    break;
  }

  for (int64_t block = 0; block < in.blocks(); ++block) {
    const float block_high = block_high_[static_cast<size_t>(block)];
    if (static_cast<double>(block_high) < surely_cut || !contest.any_can_win(block_high)) continue;
    const int64_t count = in.size(block);
    const float* const high = in.high(block);
    uint32_t words[kBlock];
    for (int64_t t = 0; t < count; t += 4) {
      const uint32_t group = static_cast<uint32_t>(block * kBlock + t) / 4;
      const PhiloxBlock four = noise_block(options_.seed, draw_, group, 0);
      std::memcpy(words + t, &four, sizeof four);
    }
    for (int64_t t = 0; t < count; t += 4) {
      if (t + 4 <= count && contest.none_can_win(words + t, high + t)) continue;
      for (int64_t i = t; i < std::min(t + 4, count); ++i) {
        if (static_cast<double>(high[i]) < surely_cut || high[i] == -kInfinity ||
            !contest.can_win(words[i], high[i])) {
          continue;
        }
        if (tokens.size() == in.narrow_limit()) return false;
        tokens.push_back(static_cast<int32_t>(block * kBlock + i));
        enter(block, i);
      }
    }
  }
  if (tokens.size() >= kManyTokens) {
    narrow(in, tokens);
    for (int32_t token : tokens) enter(token / kBlock, token % kBlock);
  }
  const int32_t winner = contest.winner();
  if (winner >= 0 && in.low_of(winner) < in.high_of(winner)) {
    settle(in, {&winner, 1});
    contest.enter(winner, in.low_of(winner));
  }
  std::erase_if(tokens, [&](int32_t t) { return !contest.reaches(t, in.high_of(t)); });
  return true;
}

}  // namespace bitnet
