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

struct Sampler::Intervals {
  const float* low;
  const float* high;
  int64_t n;
  float largest_low, largest_high;

  int64_t block_end(int64_t first) const noexcept { return std::min(n, first + kBlock); }
};

bool Sampler::needs_all_logits(int64_t n) const noexcept {
  return options_.temperature > 0 && options_.top_p < 1 && !cuts_by_k(n);
}

Sampler::Screening Sampler::candidates(float* low, float* high, int64_t n, int64_t limit,
                                       Vec<int32_t>* tokens) {
  if (!low || !high || !tokens || n < 1 || limit < 1 || needs_all_logits(n)) {
    return Screening::kNeedsAll;
  }
  if (!bias_.empty() && bias_.back().token >= n) return Screening::kNeedsAll;  // an error there
  const bool draws = options_.temperature > 0;
  if (draws && cuts_by_k(n) && options_.top_k > limit) return Screening::kNeedsAll;
  const PlainFloatMode mode;
  prepare_intervals(n);
  const size_t room = static_cast<size_t>(limit) + 1;
  greedy_.reserve(room);
  winners_.reserve(room);
  tokens->reserve(2 * room);

  for (const LogitBias& b : bias_) adjust_interval(b.token, low, high);
  for (const Count& c : counts_) {
    const auto biased = std::lower_bound(bias_.begin(), bias_.end(), c.token,
                                         [](const LogitBias& b, int32_t t) { return b.token < t; });
    if (c.token < n && (biased == bias_.end() || biased->token != c.token)) {
      adjust_interval(c.token, low, high);
    }
  }
  Intervals in = {low, high, n, 0, 0};
  scan_intervals(in);
  if (in.largest_low == -kInfinity) return Screening::kNeedsAll;

  tokens->clear();
  bool few;
  if (!draws) {
    few = gather(in, in.largest_low, limit, *tokens);
  } else if (cuts_by_k(n)) {
    const float least = kth_largest_low(in);
    few = least > -kInfinity && gather(in, least, limit, *tokens);
  } else {
    // The largest logit is where min_p starts from.
    greedy_.clear();
    few = (options_.min_p == 0 || gather(in, in.largest_low, limit, greedy_)) &&
          gather_winners(in, limit, winners_);
    if (few) {
      tokens->resize(greedy_.size() + winners_.size());
      tokens->erase(std::set_union(greedy_.begin(), greedy_.end(), winners_.begin(), winners_.end(),
                                   tokens->begin()),
                    tokens->end());
    }
  }
  return few && static_cast<int64_t>(tokens->size()) <= limit ? Screening::kCandidates
                                                              : Screening::kNeedsAll;
}

void Sampler::prepare_intervals(int64_t n) {
  if (n <= prepared_intervals_) return;
  const size_t blocks = static_cast<size_t>((n + kBlock - 1) / kBlock);
  block_low_.resize(blocks);
  block_high_.resize(blocks);
  if (cuts_by_k(n)) lows_.reserve(static_cast<size_t>(n));
  prepared_intervals_ = n;
}

// Stages 1 and 2. Nothing known stays so: a ban does not hide a NaN.
void Sampler::adjust_interval(int32_t token, float* low, float* high) const noexcept {
  if (high[token] == kInfinity) return;
  low[token] = adjusted(token, low[token]);
  high[token] = adjusted(token, high[token]);
}

void Sampler::scan_intervals(Intervals& in) noexcept {
  in.largest_low = in.largest_high = -kInfinity;
  for (int64_t first = 0; first < in.n; first += kBlock) {
    const int64_t count = in.block_end(first) - first;
    const size_t block = static_cast<size_t>(first / kBlock);
    block_low_[block] = largest_of(in.low + first, count);
    block_high_[block] = largest_of(in.high + first, count);
    in.largest_low = std::max(in.largest_low, block_low_[block]);
    in.largest_high = std::max(in.largest_high, block_high_[block]);
  }
}

// Every block's largest is one of the lows, so the k-th largest of these is no larger than what is
// looked for: only blocks that reach it are looked into.
float Sampler::kth_largest_low(const Intervals& in) {
  const size_t k = static_cast<size_t>(options_.top_k);
  const size_t blocks = static_cast<size_t>((in.n + kBlock - 1) / kBlock);
  float least = -kInfinity;
  const auto kth = [k](Vec<float>& x) {
    std::nth_element(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(k) - 1, x.end(),
                     [](float a, float b) { return a > b; });
    return x[k - 1];
  };
  if (k <= blocks) {
    lows_.assign(block_low_.begin(), block_low_.begin() + static_cast<std::ptrdiff_t>(blocks));
    least = kth(lows_);
  }
  lows_.clear();
  for (int64_t first = 0; first < in.n; first += kBlock) {
    if (block_low_[static_cast<size_t>(first / kBlock)] < least) continue;
    for (int64_t i = first; i < in.block_end(first); ++i) {
      if (in.low[i] >= least) lows_.push_back(in.low[i]);
    }
  }
  return lows_.size() < k ? -kInfinity : kth(lows_);
}

// Tokens with high >= least.
bool Sampler::gather(const Intervals& in, float least, int64_t limit, Vec<int32_t>& tokens) const {
  for (int64_t first = 0; first < in.n; first += kBlock) {
    if (block_high_[static_cast<size_t>(first / kBlock)] < least) continue;
    for (int64_t i = first; i < in.block_end(first); ++i) {
      if (in.high[i] < least) continue;
      if (static_cast<int64_t>(tokens.size()) == limit) return false;
      tokens.push_back(static_cast<int32_t>(i));
    }
  }
  return true;
}

// Stage 6 on the highs, against the best of the lows.
bool Sampler::gather_winners(const Intervals& in, int64_t limit, Vec<int32_t>& tokens) const {
  // min_p keeps no token with high below surely_cut, and every one with low at or above
  // surely_kept.
  const double all = -std::numeric_limits<double>::infinity();
  const double log_p = options_.min_p > 0 ? sample_log(static_cast<double>(options_.min_p)) : 0;
  const double surely_cut = options_.min_p > 0 ? static_cast<double>(in.largest_low) + log_p : all;
  const double surely_kept =
      options_.min_p > 0 ? static_cast<double>(in.largest_high) + log_p : all;

  float reference = in.largest_high;
  if (reference == kInfinity) {  // the known ones'
    reference = -kInfinity;
    for (int64_t i = 0; i < in.n; ++i) {
      if (in.high[i] < kInfinity) reference = std::max(reference, in.high[i]);
    }
  }
  Contest contest(options_.seed, draw_, options_.temperature, reference);
  const auto enter = [&](int64_t i) {
    const float low = in.low[i];
    if (low > -kInfinity && static_cast<double>(low) >= surely_kept) {
      contest.enter(static_cast<int32_t>(i), low);
    }
  };
  size_t best = 0;
  while (block_low_[best] != in.largest_low) ++best;
  const float* const from = in.low + static_cast<int64_t>(best) * kBlock;
  enter(std::find(from, in.low + in.n, in.largest_low) - in.low);

  tokens.clear();
  for (int64_t first = 0; first < in.n; first += kBlock) {
    const float block_high = block_high_[static_cast<size_t>(first / kBlock)];
    if (static_cast<double>(block_high) < surely_cut || !contest.any_can_win(block_high)) continue;
    const int64_t count = in.block_end(first) - first;
    uint32_t words[kBlock];
    for (int64_t t = 0; t < count; t += 4) {
      const uint32_t group = static_cast<uint32_t>(first + t) / 4;
      const PhiloxBlock block = noise_block(options_.seed, draw_, group, 0);
      std::memcpy(words + t, &block, sizeof block);
    }
    for (int64_t t = 0; t < count; t += 4) {
      if (t + 4 <= count && contest.none_can_win(words + t, in.high + first + t)) continue;
      for (int64_t i = first + t; i < first + std::min(t + 4, count); ++i) {
        const float high = in.high[i];
        if (static_cast<double>(high) < surely_cut || high == -kInfinity ||
            !contest.can_win(words[i - first], high)) {
          continue;
        }
        if (static_cast<int64_t>(tokens.size()) == limit) return false;
        tokens.push_back(static_cast<int32_t>(i));
        enter(i);
      }
    }
  }
  std::erase_if(tokens, [&](int32_t t) { return !contest.reaches(t, in.high[t]); });
  return true;
}

}  // namespace bitnet
