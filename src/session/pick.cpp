#include "session/pick.h"

namespace bitnet {

Status pick_token(Context& context, uint64_t entry, int64_t vocabulary, Sampler& sampler,
                  int32_t* token) {
  ReadOut& read_out = context.read_out();
  if (const float* logits = read_out.logits(entry)) return sampler.pick(logits, vocabulary, token);
  const std::optional<ReadOut::Bounds> bounds = read_out.bounds(entry);
  if (!bounds) {
    return Status::error(BITNET_E_STATE,
                         "entry %llu of the last batch, which had %llu, did not want to be sampled",
                         static_cast<unsigned long long>(entry),
                         static_cast<unsigned long long>(read_out.entries()));
  }
  // The others cannot be picked and cannot change what is: -infinity says the same of them.
  const std::span<const int32_t> candidates =
      sampler.candidates(bounds->low, bounds->high, vocabulary);
  const float* logits = candidates.empty() ? read_out.all_logits(entry)
                                           : read_out.some_logits(entry, candidates);
  BITNET_TRY(context.check_cancelled());
  return sampler.pick(logits, vocabulary, token);
}

}  // namespace bitnet
