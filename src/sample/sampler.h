// Logits to one token id: bias, penalties, cut-offs, temperature and a seeded draw.
//
// The result depends on the options, the logits and the tokens accepted, and on nothing else: not
// on the machine, the compiler or the number of calls made before.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/memory.h"
#include "base/status.h"

namespace bitnet {

struct LogitBias {
  int32_t token;
  float bias;  // finite, or -infinity: the token is never picked
};

// What is known of some logits: low[i] <= logit i <= high[i]; -infinity and +infinity: nothing, the
// logit may be NaN. What it takes to know more is the caller's (forward/screened_head.h).
struct LogitBounds {
  float *low, *high;
  // Makes intervals of these tokens (ascending) narrower, at a fraction of what settling costs.
  void (*narrow)(void* user, std::span<const int32_t> tokens);
  // Makes both ends of these tokens' intervals (ascending, at least one) their logits.
  void (*settle)(void* user, std::span<const int32_t> tokens);
  void* user;
};

// Zero everywhere is greedy.
struct SamplerOptions {
  float temperature = 0;        // >= 0; 0: greedy, cut-offs change nothing then
  int32_t top_k = 0;            // >= 0; 0: off
  float top_p = 0;              // 0..1; 0 or 1: off
  float min_p = 0;              // 0 <= min_p < 1; 0: off
  float repeat_penalty = 0;     // >= 0; 0 or 1: off
  float frequency_penalty = 0;  // finite
  float presence_penalty = 0;   // finite
  int32_t penalty_window = 0;   // last accepted tokens that count; 0: 64; -1: all; at most 2^20
  uint64_t seed = 0;
  std::span<const LogitBias> bias;  // copied; a token at most once
};

// The stages, in order. "Before" means: larger logit, of equal ones the lower token id; -0 equals
// 0.
//
//   1 bias       l = logit + bias[token]; bias -infinity: l = -infinity whatever the logit
//   2 penalties  of tokens that occur c > 0 times among the last penalty_window accepted:
//                l = l > 0 ? l / repeat_penalty : l * repeat_penalty
//                l = l - (c * frequency_penalty + presence_penalty)
//                1 and 2 are computed in double and rounded to float once, at the end
//   3 top_k      the first k in the order "before" are kept
//   4 top_p      the shortest beginning, in that order, whose weights reach top_p times the weight
//                of all that 3 kept. weight = floor(2^40 exp(l - largest l)): integers, so that
//                no order of summation can matter; tokens below 2^-40 of the best never count
//   5 min_p      kept: l >= largest l + log(min_p)  (never the largest itself goes)
//   6 draw       of the tokens kept, the largest l / temperature + g(seed, draw, token) is picked,
//                equal ones: the lowest id. In double; g is in gumbel.h
//
// l = -infinity is never picked. l = +infinity wins outright (of several the lowest id). Greedy
// picks the first in the order "before". Top-p and min-p see the probabilities before temperature.
//
// Not thread-safe.
class Sampler {
 public:
  static Result<Ptr<Sampler>> open(const SamplerOptions& options);

  // logits [n], not changed. Changes nothing that a later pick could see. Fails, with
  // BITNET_E_ARGUMENT, on a NaN, on nothing but -infinity and on a bias for a token >= n. Allocates
  // when n is larger than in every pick before, else not; may throw std::bad_alloc then, changing
  // nothing.
  Status pick(const float* logits, int64_t n, int32_t* token);

  // Which tokens can matter to pick() when all that is known of the logits are bounds, of which a
  // few are settled, those that set the mark for the others. pick() on the logits of these tokens
  // (ascending), all others being -infinity, gives the token, or the error, that it gives on all
  // logits. Empty: all logits are needed, because of the options or because too many tokens can
  // matter for computing one by one to pay (an eighth). Lives until the next call. Changes nothing
  // that a later pick could see. Allocates when n is larger than in every call before, else not;
  // may throw std::bad_alloc then, changing nothing.
  std::span<const int32_t> candidates(const LogitBounds& bounds, int64_t n);
  // Whether candidates() of n tokens always is empty: top_p without top_k weighs all tokens.
  bool needs_all_logits(int64_t n) const noexcept;

  // Which few logits can matter to pick(), for who holds all of them but does not want to hand them
  // over (compute/device.h):
  //   first > 0   those that can be among the `first` largest
  //   first == 0  those that can win the next draw at this temperature, or be the largest where
  //               min_p cuts off: largest + log_min_p is the least that can win
  struct Selection {
    int32_t first;
    float temperature;
    double log_min_p;     // -infinity: no cut-off
    uint64_t seed, draw;  // of the noise
  };
  // pick() of n logits, all but these and every NaN being -infinity, gives the token, or the error,
  // that it gives on all of them. Fields that do not matter are 0, log_min_p -infinity. Nothing:
  // all logits are needed, because the options weigh all of them or change some before they are
  // compared, or because too many can matter.
  std::optional<Selection> selection(int64_t n) const noexcept;
  // Whether it has a value whatever is accepted.
  bool always_selects(int64_t n) const noexcept { return !penalizes_ && selection(n); }

  // Puts the token into the history and moves on to the next draw. Fails on negative ids; ids
  // beyond the vocabulary have no effect on any logit. Allocates only with penalty_window -1, and
  // then for a new token at times (std::bad_alloc changes nothing).
  Status accept(int32_t token);

  // Forgets the history; the next draw is number 0.
  void reset() noexcept;

  // The number of the next draw: tokens accepted since the opening or the last reset.
  uint64_t draw() const noexcept { return draw_; }

  // Use open(): public only for make().
  explicit Sampler(const SamplerOptions& options);

 private:
  struct Candidate {
    float logit;
    int32_t token;
    uint64_t weight;  // stage 4
  };
  struct Count {
    int32_t token;
    int32_t count;
  };
  struct Extremes {
    float largest;
    bool has_nan;
  };
  static bool before(const Candidate& a, const Candidate& b) noexcept {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
  }

  void prepare(int64_t n);
  int32_t count_of(int32_t token) const noexcept;
  float adjusted(int32_t token, float logit) const noexcept;
  Status adjust(const float** logits, int64_t n);
  Extremes scan(const float* logits, int64_t n) noexcept;
  int32_t first_of(const float* logits, int64_t n, float value) const noexcept;
  void keep_top_k(const float* logits, int64_t n) noexcept;
  void keep_all(const float* logits, int64_t n, double floor) noexcept;
  void keep_top_p(float largest) noexcept;
  void keep_min_p(double floor) noexcept;
  int32_t draw_from_all(const float* logits, int64_t n, float largest, double floor) const noexcept;
  int32_t draw_from_candidates(float largest) const noexcept;
  bool cuts_by_k(int64_t n) const noexcept { return options_.top_k > 0 && options_.top_k < n; }
  // candidates.cpp
  class Intervals;
  void prepare_intervals(int64_t n);
  void adjust_interval(Intervals& in, int32_t token) noexcept;
  void scan_block(const Intervals& in, int64_t block) noexcept;
  void scan_intervals(Intervals& in) noexcept;
  void adjust_again(Intervals& in, std::span<const int32_t> tokens) noexcept;
  void narrow(Intervals& in, const Vec<int32_t>& tokens);
  void settle(Intervals& in, std::span<const int32_t> tokens);
  void settle_known(Intervals& in, const Vec<int32_t>& tokens);
  bool settle_first(Intervals& in, size_t k);
  float kth_largest_low(const Intervals& in, size_t k);
  float kth_of_lows(size_t k) noexcept;
  bool gather_first(Intervals& in, size_t k, Vec<int32_t>& tokens);
  bool gather(const Intervals& in, float least, Vec<int32_t>& tokens) const;
  bool gather_winners(Intervals& in, Vec<int32_t>& tokens);
  void remember(int32_t token);

  SamplerOptions options_;  // off switches normalized: top_p 1, repeat_penalty 1, bias in bias_
  bool penalizes_;
  uint64_t draw_ = 0;
  Vec<LogitBias> bias_;
  // The counts of the history, by token; their sum is the number of tokens in it.
  Vec<Count> counts_;
  Vec<int32_t> ring_;  // [penalty_window] the history itself; token of accept a is at a mod window
  // Scratch of one pick.
  int64_t prepared_ = 0;       // largest n so far
  Vec<float> adjusted_;        // [n] logits after stage 2
  Vec<float> block_largest_;   // [n / kBlock] the largest of each block of logits
  Vec<Candidate> candidates_;  // kept so far
  // Scratch of candidates().
  int64_t prepared_intervals_ = 0;           // largest n so far
  Vec<float> adjusted_low_, adjusted_high_;  // [n] where block_adjusted_
  Vec<uint8_t> block_adjusted_;              // [n / kBlock]
  Vec<float> block_low_, block_high_;        // [n / kBlock] the largest of each block
  Vec<float> lows_;                          // of the blocks that can hold the k largest
  Vec<int32_t> leaders_;                     // to be settled
  Vec<int32_t> greedy_, winners_, few_;      // candidates, kind by kind, and all
};

}  // namespace bitnet
