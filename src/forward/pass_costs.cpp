#include "forward/pass_costs.h"

#include <algorithm>

namespace bitnet {

// The smallest time seen, since other work on the machine can only add to it; but one that grows,
// as attention over a longer text does, is followed.
void PassCosts::learn(int64_t width, double seconds) noexcept {
  if (width < 1 || width > kWidest) return;
  double& known = seconds_[width];
  if (known == 0 || seconds < known) {
    known = seconds;
  } else {
    known += (std::min(seconds, 2 * known) - known) / 16;
  }
  // A width that looked bad once is never used and so never measured again: soon, then more seldom,
  // all are given another chance.
  if (++passes_ < forget_after_) return;
  passes_ = 0;
  forget_after_ = std::min<int64_t>(2 * forget_after_, 4096);
  std::fill(seconds_ + 2, seconds_ + kWidest + 1, 0);
}

// Between known widths a straight line; beyond them half the slope up to there, so that what a
// trial could show to be cheap is tried.
double PassCosts::seconds(int64_t width) const noexcept {
  if (seconds_[width] > 0 || seconds_[1] == 0) return seconds_[width];
  int64_t below = width, above = width;
  while (seconds_[below] == 0) --below;
  while (above < kWidest && seconds_[above] == 0) ++above;
  const double low = seconds_[below], distance = static_cast<double>(width - below);
  if (seconds_[above] > 0) {
    return low + (seconds_[above] - low) * distance / static_cast<double>(above - below);
  }
  const double slope =
      below == 1 ? seconds_[1] / 16 : (low - seconds_[1]) / static_cast<double>(2 * (below - 1));
  return low + std::max(slope, 0.0) * distance;
}

int64_t PassCosts::widest_to_try() const noexcept {
  int64_t widest = kWidest;
  while (widest > 0 && seconds_[widest] == 0) --widest;
  return std::min(2 * widest, kWidest);
}

}  // namespace bitnet
