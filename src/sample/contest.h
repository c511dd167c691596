// Who can win a draw: stage 6 of sample/sampler.h, without computing every token's noise.
#pragma once

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cstdint>
#include <limits>

#include "base/float4.h"
#include "sample/gumbel.h"

namespace bitnet {

// The running winner of a draw (stage 6) and the proof that most tokens cannot replace it.
//
// A token with x = l / T and noise g = -log(-log u) beats the score b only if -log u < exp(x - b).
// Its high word h alone gives 1 - u > c 2^-32 with c = 2^32 - 1 - h, and -log u >= 1 - u. So with
// X = largest l / T it cannot win, nor tie, where
//
//   log2(c) + (X - x) log2(e) > 32 - (b - X) log2(e)
//
// largest may be anything that no logit exceeds. can_win() tests that in float with a lower bound
// of the left side and limit_, an upper bound of the right. X - x is shortened by 1e-5 of itself,
// which is more than the float rounding (2^-22) of it and of terms about as large; limit_ is raised
// by 1e-3 for the rounding of the other terms, which are below 2^8, and for the double arithmetic
// of the scores, and by 2^-50 |X| for the rounding of X, x and b themselves. A temperature above
// 1e30 is taken as infinite on the left: the difference of two logits may overflow.
class Contest {
  static constexpr double kLog2E = 0x1.71547652b82fep+0;

 public:
  Contest(uint64_t seed, uint64_t draw, float temperature, float largest) noexcept
      : seed_(seed),
        draw_(draw),
        temperature_(static_cast<double>(temperature)),
        largest_(largest),
        top_(static_cast<double>(largest) / temperature_),
        scale_(temperature > 1e30f ? 0.0f
                                   : static_cast<float>(std::min(kLog2E / temperature_ * (1 - 1e-5),
                                                                 double{FLT_MAX}))) {}

  int32_t winner() const noexcept { return winner_; }  // -1: nobody entered

  // The score of a token with this logit; monotone in the logit.
  double score(int32_t token, float logit) const noexcept {
    return static_cast<double>(logit) / temperature_ + gumbel_noise(seed_, draw_, token);
  }
  // Whether it would win or tie against those that entered.
  bool reaches(int32_t token, float logit) const noexcept {
    return winner_ < 0 || score(token, logit) >= score_;
  }

  // Lower bounds of the left side above. log2(c) >= 1 + log2(c >> 1); of a float m 2^e the bits,
  // read as a number, are (e + 127 + m - 1) 2^23, and m - 1 <= log2(m) for m in [1, 2].
  Float4 left_side(Int4 high, Float4 logit) const noexcept {
    const Float4 half = __builtin_convertvector((~high >> 1) & 0x7fffffff, Float4);
    const Float4 bits = __builtin_convertvector(std::bit_cast<Int4>(half), Float4);
    return bits * 0x1p-23f + ((largest_ - logit) * scale_ - 126.0f);
  }
  float left_side(uint32_t high, float logit) const noexcept {
    const float half = static_cast<float>(static_cast<int32_t>(~high >> 1));
    const float bits = static_cast<float>(std::bit_cast<int32_t>(half));
    return bits * 0x1p-23f + ((largest_ - logit) * scale_ - 126.0f);
  }
  bool can_win(uint32_t high, float logit) const noexcept {
    return !(left_side(high, logit) > limit_);
  }
  // For four tokens in a row.
  bool none_can_win(const uint32_t* high, const float* logits) const noexcept {
    const Int4 beyond = left_side(load4<Int4>(high), load4<Float4>(logits)) > Float4{} + limit_;
    return (beyond[0] & beyond[1] & beyond[2] & beyond[3]) != 0;
  }

  // Whatever the noise: 1 - u >= 2^-53, as if log2(c) were -21.
  bool any_can_win(float logit) const noexcept {
    return !((largest_ - logit) * scale_ - 21.0f > limit_);
  }

  void enter(int32_t token, float logit) noexcept {
    const double found = score(token, logit);
    if (winner_ >= 0 && (found < score_ || (found == score_ && token > winner_))) return;
    winner_ = token;
    score_ = found;
    const double magnitude = top_ < 0 ? -top_ : top_;
    const double limit = 32 - (score_ - top_) * kLog2E + 1e-3 + magnitude * 0x1p-50;
    limit_ = limit < static_cast<double>(FLT_MAX) ? static_cast<float>(limit)
                                                  : std::numeric_limits<float>::infinity();
  }

 private:
  uint64_t seed_, draw_;
  double temperature_;
  float largest_;
  double top_;   // X
  float scale_;  // log2(e) / T, rounded down
  int32_t winner_ = -1;
  double score_ = 0;  // b
  float limit_ = std::numeric_limits<float>::infinity();
};

}  // namespace bitnet
