// Which tokens a pick depends on, from intervals that hold the logits.
//
// Stages 1 and 2 are monotone in the logit and rounding is too, so adjusted ends hold adjusted
// logits. Let m be the largest low: the largest logit is m or more. Then
//   greedy     the pick has high >= m, and so has whatever ties with it
//   top_k      what is kept has high >= the k-th largest low, and what follows the cut (top_p,
//   min_p,
//              the draw) sees nothing but what is kept
//   min_p      what is kept has high >= m + log(min_p), if the largest logit is among the
//   candidates draw       the winner's score is at least that of every low that min_p surely keeps,
//   so it has
//              high / T + g at least as large
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

}  // namespace

// n intervals after stages 1 and 2, block by block: blocks without a biased or penalized token are
// the caller's, the others copies.
class Sampler::Intervals {
 public:
  Intervals(Sampler& sampler, const float* low, const float* high, int64_t n) noexcept
      : sampler_(sampler), low_(low), high_(high), n_(n) {}

  int64_t n() const noexcept { return n_; }
  int64_t blocks() const noexcept { return (n_ + kBlock - 1) / kBlock; }
  int64_t size(int64_t block) const noexcept { return std::min(kBlock, n_ - block * kBlock); }
  const float* low(int64_t block) const noexcept {
    return (is_copy(block) ? sampler_.adjusted_low_.data() : low_) + block * kBlock;
  }
  const float* high(int64_t block) const noexcept {
    return (is_copy(block) ? sampler_.adjusted_high_.data() : high_) + block * kBlock;
  }
  float high_of(int32_t token) const noexcept { return high(token / kBlock)[token % kBlock]; }

  // Most tokens that are worth computing one by one; small vocabularies have no need to be sparing.
  size_t limit() const noexcept { return static_cast<size_t>(std::max<int64_t>(n_ / 8, 64)); }

  float largest_low = -kInfinity, largest_high = -kInfinity;

 private:
  friend class Sampler;
  bool is_copy(int64_t block) const noexcept {
    return sampler_.block_adjusted_[static_cast<size_t>(block)] != 0;
  }
  Sampler& sampler_;
  const float* low_;
  const float* high_;
  int64_t n_;
};

bool Sampler::needs_all_logits(int64_t n) const noexcept {
  return options_.temperature > 0 && options_.top_p < 1 && !cuts_by_k(n);
}

std::span<const int32_t> Sampler::candidates(const float* low, const float* high, int64_t n) {
  if (!low || !high || n < 1 || needs_all_logits(n)) return {};
  if (!bias_.empty() && bias_.back().token >= n) return {};  // pick() will say so
  const PlainFloatMode mode;
  prepare_intervals(n);
  Intervals in(*this, low, high, n);
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
    few = gather(in, in.largest_low, few_);
  } else if (cuts_by_k(n)) {
    const float least = kth_largest_low(in);
    few = least > -kInfinity && gather(in, least, few_);
  } else {
    // The largest logit is where min_p starts from.
    few = (options_.min_p == 0 || gather(in, in.largest_low, greedy_)) &&
          gather_winners(in, winners_);
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
  const Intervals in(*this, nullptr, nullptr, n);
  const size_t count = static_cast<size_t>(n), blocks = static_cast<size_t>(in.blocks());
  if (penalizes_ || !bias_.empty()) {
    adjusted_low_.resize(count);
    adjusted_high_.resize(count);
  }
  block_adjusted_.resize(blocks);
  block_low_.resize(blocks);
  block_high_.resize(blocks);
  if (options_.top_k > 0) lows_.reserve(count);
  greedy_.reserve(in.limit());
  winners_.reserve(in.limit());
  few_.reserve(2 * in.limit());
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

void Sampler::scan_intervals(Intervals& in) noexcept {
  for (int64_t block = 0; block < in.blocks(); ++block) {
    const float low = largest_of(in.low(block), in.size(block));
    const float high = largest_of(in.high(block), in.size(block));
    block_low_[static_cast<size_t>(block)] = low;
    block_high_[static_cast<size_t>(block)] = high;
    in.largest_low = std::max(in.largest_low, low);
    in.largest_high = std::max(in.largest_high, high);
  }
}

// Every block's largest is one of the lows, so the k-th largest of these is no larger than what is
// looked for: only blocks that reach it are looked into.
float Sampler::kth_largest_low(const Intervals& in) {
  const size_t k = static_cast<size_t>(options_.top_k), blocks = static_cast<size_t>(in.blocks());
  const auto kth = [this, k] {
    const auto place = lows_.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(lows_.begin(), place, lows_.end(), [](float a, float b) { return a > b; });
    return *place;
  };
  float least = -kInfinity;
  if (k <= blocks) {
    lows_.assign(block_low_.begin(), block_low_.begin() + static_cast<std::ptrdiff_t>(blocks));
    least = kth();
  }
  lows_.clear();
  for (int64_t block = 0; block < in.blocks(); ++block) {
    if (block_low_[static_cast<size_t>(block)] < least) continue;
    const float* const low = in.low(block);
    std::copy_if(low, low + in.size(block), std::back_inserter(lows_),
                 [least](float x) { return x >= least; });
  }
  return lows_.size() < k ? -kInfinity : kth();
}

// Tokens with high >= least; false if they are too many.
bool Sampler::gather(const Intervals& in, float least, Vec<int32_t>& tokens) const {
  for (int64_t block = 0; block < in.blocks(); ++block) {
    if (block_high_[static_cast<size_t>(block)] < least) continue;
    const float* const high = in.high(block);
    for (int64_t i = 0; i < in.size(block); ++i) {
      if (high[i] < least) continue;
      if (tokens.size() == in.limit()) return false;
      tokens.push_back(static_cast<int32_t>(block * kBlock + i));
    }
  }
  return true;
}

// Stage 6 on the highs, against the best of the lows.
bool Sampler::gather_winners(const Intervals& in, Vec<int32_t>& tokens) const {
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
  const int64_t best =
      std::find(block_low_.begin(), block_low_.end(), in.largest_low) - block_low_.begin();
  enter(best, std::find(in.low(best), in.low(best) + in.size(best), in.largest_low) - in.low(best));

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
        if (tokens.size() == in.limit()) return false;
        tokens.push_back(static_cast<int32_t>(block * kBlock + i));
        enter(block, i);
      }
    }
  }
  std::erase_if(tokens, [&](int32_t t) { return !contest.reaches(t, in.high_of(t)); });
  return true;
}

}  // namespace bitnet
