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

// From the logits that stayed on a device. Where it lists none, all are read: either too many can
// matter, or all are -infinity, which is for the sampler to say.
Status pick_on_device(ReadOut& read_out, uint64_t entry, int64_t vocabulary, Sampler& sampler,
                      int32_t* token) {
  const float* logits = nullptr;
  if (const auto s = sampler.selection(vocabulary)) {
    const DeviceSelection few = {vocabulary,   s->first, s->temperature,
                                 s->log_min_p, s->seed,  s->draw};
    BITNET_LET(logits, read_out.selected_logits(entry, few));
  }
  if (!logits) {
    BITNET_LET(logits, read_out.device_logits(entry));
  }
  return sampler.pick(logits, vocabulary, token);
}

}  // namespace

Status pick_token(ReadOut& read_out, uint64_t entry, int64_t vocabulary, Sampler& sampler,
                  int32_t* token) {
  if (const float* logits = read_out.logits(entry)) return sampler.pick(logits, vocabulary, token);
  if (read_out.stayed_on_device(entry)) {
    return pick_on_device(read_out, entry, vocabulary, sampler, token);
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
