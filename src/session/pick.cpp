#include "session/pick.h"

namespace bitnet {
namespace {

struct Entry {
  ReadOut& read_out;
  uint64_t number;

  static void narrow(void* user, std::span<const int32_t> tokens) {
    const Entry& entry = *static_cast<Entry*>(user);
    entry.read_out.narrow(entry.number, tokens);
  }
  static void settle(void* user, std::span<const int32_t> tokens) {
    const Entry& entry = *static_cast<Entry*>(user);
    entry.read_out.settle(entry.number, tokens);
  }
};

}  // namespace

Status pick_token(ReadOut& read_out, uint64_t entry, int64_t vocabulary, Sampler& sampler,
                  int32_t* token) {
  if (const float* logits = read_out.logits(entry)) return sampler.pick(logits, vocabulary, token);
  if (read_out.stayed_on_device(entry)) {
    if (sampler.picks_largest()) {
      BITNET_LET(*token, read_out.largest(entry, vocabulary));
      if (*token >= 0) return {};  // else the sampler says what is wrong
    }
    BITNET_LET(const float* logits, read_out.device_logits(entry));
    return sampler.pick(logits, vocabulary, token);
  }
  const std::optional<ReadOut::Bounds> bounds = read_out.bounds(entry);
  if (!bounds) {
    return Status::error(BITNET_E_STATE,
                         "entry %llu did not want to be sampled; the last batch had %llu entries",
                         static_cast<unsigned long long>(entry),
                         static_cast<unsigned long long>(read_out.entries()));
  }
  Entry source = {read_out, entry};
  const std::span<const int32_t> candidates = sampler.candidates(
      {bounds->low, bounds->high, Entry::narrow, Entry::settle, &source}, vocabulary);
  // The other tokens cannot be picked and cannot change what is: -infinity says the same of them.
  return sampler.pick(
      candidates.empty() ? read_out.all_logits(entry) : read_out.some_logits(entry, candidates),
      vocabulary, token);
}

}  // namespace bitnet
