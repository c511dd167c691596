// What a pass costs by its width: learned while generating, kept by the context, so that every
// reply knows what those before it have found out.
#pragma once

#include <cstdint>

namespace bitnet {

// Seconds that a pass over so many tokens takes, learned from passes made.
class PassCosts {
 public:
  static constexpr int64_t kWidest = 64;

  void learn(int64_t width, double seconds) noexcept;
  // As far as is known; 0 before any pass.
  double seconds(int64_t width) const noexcept;
  // The widest pass that is worth a trial: twice what is known.
  int64_t widest_to_try() const noexcept;

 private:
  double seconds_[kWidest + 1] = {};  // by width; 0: not known
  int64_t passes_ = 0, forget_after_ = 64;
};

}  // namespace bitnet
