#include "sample/sampler.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cstring>
#include <limits>

#include "base/float4.h"
#include "base/float_mode.h"
#include "sample/contest.h"
#include "sample/exp_log.h"
#include "sample/gumbel.h"

namespace bitnet {
namespace {

constexpr int64_t kBlock = 256;           // logits whose largest is remembered together
constexpr int64_t kMostLogits = 1 << 23;  // weights of 2^40 then sum to less than 2^64
constexpr int32_t kMostPenalized = 1 << 20;
constexpr int32_t kDefaultWindow = 64;
// What selection() takes for few: so many of the largest, or who can win at these temperatures, at
// which even float arithmetic can tell.
constexpr int32_t kMostSelected = 128;
constexpr float kColdest = 1e-4f, kHottest = 1e4f;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool is_finite(float x) noexcept {
  return x - x == 0;
}
bool is_nan(float x) noexcept {
  return x != x;
}

Status check(const SamplerOptions& o) {
  const auto wrong = [](const char* name, float found, const char* expected) {
    return Status::error(BITNET_E_ARGUMENT, "sampler options: %s is %g, must be %s", name,
                         static_cast<double>(found), expected);
  };
  if (!is_finite(o.temperature) || o.temperature < 0) {
    return wrong("temperature", o.temperature, "a finite number, 0 (greedy) or more");
  }
  if (o.top_k < 0) {
    return Status::error(BITNET_E_ARGUMENT, "sampler options: top_k is %d, must be 0 (off) or more",
                         o.top_k);
  }
  if (!(o.top_p >= 0 && o.top_p <= 1)) return wrong("top_p", o.top_p, "from 0 to 1 (both: off)");
  if (!(o.min_p >= 0 && o.min_p < 1)) {
    return wrong("min_p", o.min_p, "0 (off) or more and below 1");
  }
  if (!is_finite(o.repeat_penalty) || o.repeat_penalty < 0) {
    return wrong("repeat_penalty", o.repeat_penalty, "a positive finite number (0 or 1: off)");
  }
  if (!is_finite(o.frequency_penalty)) {
    return wrong("frequency_penalty", o.frequency_penalty, "a finite number (0: off)");
  }
  if (!is_finite(o.presence_penalty)) {
    return wrong("presence_penalty", o.presence_penalty, "a finite number (0: off)");
  }
  if (o.penalty_window < -1 || o.penalty_window > kMostPenalized) {
    return Status::error(BITNET_E_ARGUMENT,
                         "sampler options: penalty_window is %d, must be from 1 to %d (0: %d, "
                         "-1: all tokens)",
                         o.penalty_window, kMostPenalized, kDefaultWindow);
  }
  return {};
}

// bias is sorted by token.
Status check_bias(std::span<const LogitBias> bias) {
  for (size_t i = 0; i < bias.size(); ++i) {
    const LogitBias& b = bias[i];
    if (b.token < 0) {
      return Status::error(BITNET_E_ARGUMENT, "logit bias: token %d, must be 0 or more", b.token);
    }
    if (!is_finite(b.bias) && b.bias != -kInfinity) {
      return Status::error(BITNET_E_ARGUMENT,
                           "logit bias of token %d is %g, must be a finite number or -infinity",
                           b.token, static_cast<double>(b.bias));
    }
    if (i > 0 && bias[i - 1].token == b.token) {
      return Status::error(BITNET_E_ARGUMENT,
                           "logit bias: token %d is listed more than once, once is allowed",
                           b.token);
    }
  }
  return {};
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options) : options_(options) {
  options_.bias = {};
  if (options_.top_p == 0) options_.top_p = 1;
  if (options_.repeat_penalty == 0) options_.repeat_penalty = 1;
  if (options_.penalty_window == 0) options_.penalty_window = kDefaultWindow;
  penalizes_ = options_.repeat_penalty != 1 || options_.frequency_penalty != 0 ||
               options_.presence_penalty != 0;
  bias_.assign(options.bias.begin(), options.bias.end());
  std::sort(bias_.begin(), bias_.end(),
            [](const LogitBias& a, const LogitBias& b) { return a.token < b.token; });
  if (penalizes_ && options_.penalty_window > 0) {
    ring_.resize(static_cast<size_t>(options_.penalty_window));
    counts_.reserve(static_cast<size_t>(options_.penalty_window));
  }
}

Result<Ptr<Sampler>> Sampler::open(const SamplerOptions& options) {
  BITNET_TRY(check(options));
  Ptr<Sampler> sampler = make<Sampler>(options);
  BITNET_TRY(check_bias(sampler->bias_));
  return sampler;
}

void Sampler::prepare(int64_t n) {
  if (n <= prepared_) return;
  const size_t count = static_cast<size_t>(n);
  if (penalizes_ || !bias_.empty()) adjusted_.resize(count);
  block_largest_.resize((count + kBlock - 1) / kBlock);
  if (options_.top_k > 0 || options_.top_p < 1) {
    const bool few = options_.top_k > 0 && options_.top_k < n;
    candidates_.reserve(few ? static_cast<size_t>(options_.top_k) : count);
  }
  prepared_ = n;
}

int32_t Sampler::count_of(int32_t token) const noexcept {
  const auto at = std::lower_bound(counts_.begin(), counts_.end(), token,
                                   [](const Count& c, int32_t t) { return c.token < t; });
  return at != counts_.end() && at->token == token ? at->count : 0;
}

// Stages 1 and 2 for one token. A NaN stays one, so that a ban cannot hide it.
float Sampler::adjusted(int32_t token, float logit) const noexcept {
  double l = static_cast<double>(logit);
  const auto bias = std::lower_bound(bias_.begin(), bias_.end(), token,
                                     [](const LogitBias& b, int32_t t) { return b.token < t; });
  if (bias != bias_.end() && bias->token == token) {
    if (bias->bias == -kInfinity && !is_nan(logit)) return -kInfinity;
    l += static_cast<double>(bias->bias);
  }
  const int32_t count = penalizes_ ? count_of(token) : 0;
  if (count > 0) {
    const double repeat = static_cast<double>(options_.repeat_penalty);
    l = l > 0 ? l / repeat : l * repeat;
    l -= static_cast<double>(count) * static_cast<double>(options_.frequency_penalty) +
         static_cast<double>(options_.presence_penalty);
  }
  if (l > static_cast<double>(FLT_MAX)) return kInfinity;
  if (l < -static_cast<double>(FLT_MAX)) return -kInfinity;
  return static_cast<float>(l);
}

Status Sampler::adjust(const float** logits, int64_t n) {
  if (!bias_.empty() && bias_.back().token >= n) {
    return Status::error(BITNET_E_ARGUMENT, "logit bias: token %d, but there are %lld logits",
                         bias_.back().token, static_cast<long long>(n));
  }
  if (bias_.empty() && counts_.empty()) return {};
  const float* source = *logits;
  std::copy(source, source + n, adjusted_.begin());
  for (const LogitBias& b : bias_) adjusted_[b.token] = adjusted(b.token, source[b.token]);
  for (const Count& c : counts_) {
    if (c.token < n) adjusted_[c.token] = adjusted(c.token, source[c.token]);
  }
  *logits = adjusted_.data();
  return {};
}

// Fills block_largest_. The comparisons pass over NaNs, which are looked for apart.
Sampler::Extremes Sampler::scan(const float* logits, int64_t n) noexcept {
  Extremes all = {-kInfinity, false};
  for (int64_t first = 0; first < n; first += kBlock) {
    const float* x = logits + first;
    const int64_t count = std::min(kBlock, n - first);
    Float4 largest[4];
    Int4 nans[4] = {};
    for (Float4& l : largest) l = Float4{} - kInfinity;
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
      for (int j = 0; j < 4; ++j) {
        const Float4 v = load4<Float4>(x + i + 4 * j);
        largest[j] = v > largest[j] ? v : largest[j];
        nans[j] |= v != v;
      }
    }
    float block_largest = -kInfinity;
    for (; i < count; ++i) {
      block_largest = std::max(block_largest, x[i]);
      all.has_nan |= is_nan(x[i]);
    }
    for (int j = 0; j < 16; ++j) {
      block_largest = std::max(block_largest, largest[j / 4][j % 4]);
      all.has_nan |= nans[j / 4][j % 4] != 0;
    }
    block_largest_[first / kBlock] = block_largest;
    all.largest = std::max(all.largest, block_largest);
  }
  return all;
}

int32_t Sampler::first_of(const float* logits, int64_t n, float value) const noexcept {
  int64_t block = 0;
  while (block_largest_[block] != value) ++block;
  const float* first = logits + block * kBlock;
  return static_cast<int32_t>(std::find(first, logits + n, value) - logits);
}

// Stage 3. candidates_ is a heap whose front would be the next to go. Tokens come in ascending
// order, so one that is merely equal to the front comes after it and is not kept.
void Sampler::keep_top_k(const float* logits, int64_t n) noexcept {
  const size_t k = static_cast<size_t>(options_.top_k);
  float worst = -kInfinity;
  for (int64_t first = 0; first < n; first += kBlock) {
    if (!(block_largest_[first / kBlock] > worst)) continue;
    const int64_t last = std::min(n, first + kBlock);
    for (int64_t i = first; i < last; ++i) {
      if (!(logits[i] > worst)) continue;
      if (candidates_.size() == k) {
        std::pop_heap(candidates_.begin(), candidates_.end(), before);
        candidates_.pop_back();
      }
      candidates_.push_back({logits[i], static_cast<int32_t>(i), 0});
      std::push_heap(candidates_.begin(), candidates_.end(), before);
      if (candidates_.size() == k) worst = candidates_.front().logit;
    }
  }
}

void Sampler::keep_all(const float* logits, int64_t n, double floor) noexcept {
  for (int64_t first = 0; first < n; first += kBlock) {
    if (static_cast<double>(block_largest_[first / kBlock]) < floor) continue;
    const int64_t last = std::min(n, first + kBlock);
    for (int64_t i = first; i < last; ++i) {
      if (static_cast<double>(logits[i]) < floor) continue;
      candidates_.push_back({logits[i], static_cast<int32_t>(i), 0});
    }
  }
}

// Stage 4. The nucleus is found by halving: of [begin, end), which holds its last member, the first
// half in order is partitioned off and weighed. Sums of integers make the order within irrelevant.
void Sampler::keep_top_p(float largest) noexcept {
  const double top = static_cast<double>(largest);
  uint64_t total = 0;
  for (Candidate& c : candidates_) {
    c.weight = static_cast<uint64_t>(
        static_cast<int64_t>(sample_exp(static_cast<double>(c.logit) - top) * 0x1p40));
    total += c.weight;
  }
  const double p = static_cast<double>(options_.top_p);
  // Tokens lighter than (1 - p) total / size weigh less than (1 - p) total together, so the nucleus
  // is reached before the first of them. 1e-6 covers the rounding of this line.
  const double lightest = (1 - p) * static_cast<double>(total) * 0x1p-40;
  keep_min_p(top + sample_log(lightest / static_cast<double>(candidates_.size())) - 1e-6);

  const double target = p * static_cast<double>(total);
  auto begin = candidates_.begin(), end = candidates_.end();
  uint64_t reached = 0;
  while (end - begin > 1) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, before);
    uint64_t weight = reached;
    for (auto c = begin; c != middle; ++c) weight += c->weight;
    if (static_cast<double>(weight) >= target) {
      end = middle;
    } else {
      begin = middle;
      reached = weight;
    }
  }
  candidates_.resize(static_cast<size_t>(end - candidates_.begin()));
}

void Sampler::keep_min_p(double floor) noexcept {
  std::erase_if(candidates_,
                [=](const Candidate& c) { return static_cast<double>(c.logit) < floor; });
}

int32_t Sampler::draw_from_candidates(float largest) const noexcept {
  Contest contest(options_.seed, draw_, options_.temperature, largest);
  for (const Candidate& c : candidates_) {
    const uint32_t high = noise_high_word(options_.seed, draw_, c.token);
    if (contest.can_win(high, c.logit)) contest.enter(c.token, c.logit);
  }
  return contest.winner();
}

// Stage 6 on every logit >= floor. A block of 256 costs 64 calls of the generator and 64 vector
// comparisons; hardly any token is entered after the one with the largest logit.
int32_t Sampler::draw_from_all(const float* logits, int64_t n, float largest,
                               double floor) const noexcept {
  Contest contest(options_.seed, draw_, options_.temperature, largest);
  contest.enter(first_of(logits, n, largest), largest);
  for (int64_t first = 0; first < n; first += kBlock) {
    const float block_largest = block_largest_[first / kBlock];
    if (static_cast<double>(block_largest) < floor || !contest.any_can_win(block_largest)) continue;
    const int64_t count = std::min(kBlock, n - first);
    uint32_t high[kBlock];
    for (int64_t t = 0; t < count; t += 4) {
      const uint32_t group = static_cast<uint32_t>(first + t) / 4;
      const PhiloxBlock block = noise_block(options_.seed, draw_, group, 0);
      std::memcpy(high + t, &block, sizeof block);
    }
    for (int64_t t = 0; t < count; t += 4) {
      if (t + 4 <= count && contest.none_can_win(high + t, logits + first + t)) continue;
      for (int64_t i = t; i < std::min(t + 4, count); ++i) {
        const float logit = logits[first + i];
        if (static_cast<double>(logit) < floor || !contest.can_win(high[i], logit)) continue;
        contest.enter(static_cast<int32_t>(first + i), logit);
      }
    }
  }
  return contest.winner();
}

Status Sampler::pick(const float* logits, int64_t n, int32_t* token) {
  if (!logits || !token || n < 1 || n > kMostLogits) {
    return Status::error(BITNET_E_ARGUMENT,
                         "pick: %lld logits, logits and token must not be null and the number must "
                         "be from 1 to %lld",
                         static_cast<long long>(n), static_cast<long long>(kMostLogits));
  }
  const PlainFloatMode mode;
  prepare(n);
  BITNET_TRY(adjust(&logits, n));
  const Extremes extremes = scan(logits, n);
  const float largest = extremes.largest;
  if (extremes.has_nan) {
    const auto at = std::find_if(logits, logits + n, is_nan) - logits;
    return Status::error(BITNET_E_ARGUMENT, "pick: the logit of token %lld is not a number",
                         static_cast<long long>(at));
  }
  if (largest == -kInfinity) {
    return Status::error(BITNET_E_ARGUMENT,
                         "pick: all %lld logits are -infinity (after the logit bias), at least one "
                         "must be more",
                         static_cast<long long>(n));
  }
  if (options_.temperature == 0 || largest == kInfinity) {
    *token = first_of(logits, n, largest);
    return {};
  }

  const double top = static_cast<double>(largest);
  const double floor = options_.min_p > 0 ? top + sample_log(static_cast<double>(options_.min_p))
                                          : -std::numeric_limits<double>::infinity();
  const bool by_k = cuts_by_k(n), by_p = options_.top_p < 1;
  if (!by_k && !by_p) {
    *token = draw_from_all(logits, n, largest, floor);
    return {};
  }
  candidates_.clear();
  if (by_k) {
    keep_top_k(logits, n);
  } else {
    keep_all(logits, n, top - 28);  // exp(-28) < 2^-40: lighter ones weigh nothing
  }
  if (by_p) keep_top_p(largest);
  keep_min_p(floor);
  *token = draw_from_candidates(largest);
  return {};
}

std::optional<Sampler::Selection> Sampler::selection(int64_t n) const noexcept {
  if (n < 1 || !bias_.empty() || !counts_.empty() || needs_all_logits(n)) return {};
  constexpr double kNoCut = -std::numeric_limits<double>::infinity();
  if (options_.temperature == 0) return Selection{1, 0, kNoCut, 0, 0};
  if (cuts_by_k(n)) {
    if (options_.top_k > kMostSelected) return {};
    return Selection{options_.top_k, 0, kNoCut, 0, 0};
  }
  if (options_.temperature < kColdest || options_.temperature > kHottest) return {};
  const PlainFloatMode mode;
  const double log_min_p =
      options_.min_p > 0 ? sample_log(static_cast<double>(options_.min_p)) : kNoCut;
  return Selection{0, options_.temperature, log_min_p, options_.seed, draw_};
}

Status Sampler::accept(int32_t token) {
  if (token < 0) {
    return Status::error(BITNET_E_ARGUMENT, "accept: token %d, must be 0 or more", token);
  }
  if (penalizes_) remember(token);
  ++draw_;
  return {};
}

void Sampler::remember(int32_t token) {
  const auto place = [this](int32_t t) {
    return std::lower_bound(counts_.begin(), counts_.end(), t,
                            [](const Count& c, int32_t id) { return c.token < id; });
  };
  const uint64_t window = ring_.size();
  if (window > 0) {
    int32_t& slot = ring_[draw_ % window];
    if (draw_ >= window) {
      const auto oldest = place(slot);
      if (--oldest->count == 0) counts_.erase(oldest);
    }
    slot = token;
  }
  const auto at = place(token);
  if (at != counts_.end() && at->token == token) {
    ++at->count;
  } else {
    counts_.insert(at, {token, 1});
  }
}

void Sampler::reset() noexcept {
  counts_.clear();
  draw_ = 0;
}

}  // namespace bitnet
