#include "session/screened_pick.h"

#include <algorithm>
#include <limits>

namespace bitnet {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
// With more candidates than this share of the vocabulary, one forward stream through the whole head
// costs no more than its rows one by one.
constexpr int64_t kLargestShare = 8;

// Makes rows, or with none all logits, -infinity again, whatever the pick came to.
struct Wipe {
  Vec<float>& logits;
  const Vec<int32_t>* rows = nullptr;
  ~Wipe() {
    if (!rows) {
      std::fill(logits.begin(), logits.end(), kNever);
    } else {
      for (int32_t row : *rows) logits[static_cast<size_t>(row)] = kNever;
    }
  }
};

}  // namespace

void ScreenedPick::reserve(int64_t vocabulary) {
  if (static_cast<int64_t>(logits_.size()) < vocabulary) {
    logits_.resize(static_cast<size_t>(vocabulary), kNever);
  }
}

Status ScreenedPick::pick(const ScreenedHead& head, Sampler& sampler, const float* h, float* low,
                          float* high, int64_t vocabulary, ThreadPool& pool, int32_t* token) {
  reserve(vocabulary);
  const int64_t limit = std::max<int64_t>(vocabulary / kLargestShare, 1);
  const Sampler::Screening screening =
      sampler.candidates(low, high, vocabulary, limit, &candidates_);
  counts_.picks += 1;
  if (screening == Sampler::Screening::kNeedsAll) {
    counts_.full_passes += 1;
    const Wipe wipe{logits_};
    head.full_pass(logits_.data(), vocabulary, h, pool);
    return sampler.pick(logits_.data(), vocabulary, token);
  }
  counts_.rescored += candidates_.size();
  const Wipe wipe{logits_, &candidates_};
  head.rescore(logits_.data(), candidates_, h, pool);
  return sampler.pick(logits_.data(), vocabulary, token);
}

}  // namespace bitnet
