#include "session/pick.h"

#include <algorithm>

namespace bitnet {
namespace {

// With more candidates than this share of the vocabulary, one forward stream through the whole head
// costs no more than its rows one by one.
constexpr int64_t kLargestShare = 8;

}  // namespace

Status pick_token(ReadOut& read_out, uint64_t entry, int64_t vocabulary, Sampler& sampler,
                  int32_t* token) {
  if (const float* logits = read_out.logits(entry)) return sampler.pick(logits, vocabulary, token);
  const std::optional<ReadOut::Bounds> bounds = read_out.bounds(entry);
  if (!bounds) {
    return Status::error(BITNET_E_STATE,
                         "entry %llu did not want to be sampled; the last batch had %llu entries",
                         static_cast<unsigned long long>(entry),
                         static_cast<unsigned long long>(read_out.entries()));
  }
  Vec<int32_t>& tokens = read_out.candidates();
  const int64_t limit = std::max<int64_t>(vocabulary / kLargestShare, 1);
  const bool few = sampler.candidates(bounds->low, bounds->high, vocabulary, limit, &tokens) ==
                   Sampler::Screening::kCandidates;
  // The other tokens cannot be picked and cannot change what is: -infinity says the same of them.
  return sampler.pick(few ? read_out.some_logits(entry) : read_out.all_logits(entry), vocabulary,
                      token);
}

}  // namespace bitnet
