// A pick that computes only the logits it depends on: screen, candidates, their rows of the head.
#pragma once

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "forward/screened_head.h"
#include "sample/sampler.h"

namespace bitnet {

struct ScreenCounts {
  uint64_t picks = 0;
  uint64_t rescored = 0;     // rows computed for picks by candidates
  uint64_t full_passes = 0;  // picks that took all logits after all
};

class ScreenedPick {
 public:
  // Room for picks among so many tokens. Throws std::bad_alloc.
  void reserve(int64_t vocabulary);
  uint64_t bytes() const noexcept {
    return (logits_.capacity() + candidates_.capacity()) * sizeof(float);
  }

  // What sampler.pick() gives on the first `vocabulary` logits of h, errors included. low and high:
  // what ScreenedHead::screen gave for h; they are overwritten.
  Status pick(const ScreenedHead& head, Sampler& sampler, const float* h, float* low, float* high,
              int64_t vocabulary, ThreadPool& pool, int32_t* token);

  const ScreenCounts& counts() const noexcept { return counts_; }

 private:
  Vec<float> logits_;  // -infinity between picks
  Vec<int32_t> candidates_;
  ScreenCounts counts_;
};

}  // namespace bitnet
