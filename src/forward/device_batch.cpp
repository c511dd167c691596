#include "forward/device_batch.h"

namespace bitnet {
namespace {

DeviceWant wanted_of(uint32_t want) noexcept {
  if (want & BITNET_WANT_LOGITS) return DeviceWant::kLogits;
  return want & BITNET_WANT_SAMPLE ? DeviceWant::kSample : DeviceWant::kHidden;
}

}  // namespace

DeviceBatchBuilder::DeviceBatchBuilder(int64_t pages, int64_t entries, int64_t sequences)
    : runs_(static_cast<size_t>(sequences)) {
  const size_t n = static_cast<size_t>(entries);
  met_.reserve(runs_.size());
  for (Vec<int32_t>* v : {&source_, &token_, &position_, &page_list_, &wanted_, &rows_}) {
    v->reserve(n);
  }
  want_.reserve(n);
  pages_.reserve(static_cast<size_t>(pages));
}

uint64_t DeviceBatchBuilder::bytes_of(const DeviceContextOptions& options) noexcept {
  const int64_t numbers = options.batch * 6 + options.pages;
  return static_cast<uint64_t>(numbers * 4 + options.batch);
}

uint64_t DeviceBatchBuilder::bytes() const noexcept {
  uint64_t numbers = 0;
  for (const Vec<int32_t>* v :
       {&source_, &token_, &position_, &page_list_, &wanted_, &rows_, &pages_}) {
    numbers += v->capacity();
  }
  return numbers * 4 + want_.capacity();
}

// Gives each entry its place: sequence after sequence, within one as they come.
void DeviceBatchBuilder::group(std::span<const bitnet_batch_entry> entries) {
  for (int32_t sequence : met_) runs_[static_cast<size_t>(sequence)] = {};
  met_.clear();
  for (const bitnet_batch_entry& e : entries) {
    Run& run = runs_[static_cast<size_t>(e.sequence)];
    if (run.entries++ == 0) met_.push_back(e.sequence);
    run.end_position = e.position + 1;
  }
  int64_t begin = 0;
  for (int32_t sequence : met_) {
    Run& run = runs_[static_cast<size_t>(sequence)];
    run.begin = begin;
    begin += run.entries;
    run.entries = 0;  // counted again below
  }
  source_.resize(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    Run& run = runs_[static_cast<size_t>(entries[i].sequence)];
    source_[static_cast<size_t>(run.begin + run.entries++)] = static_cast<int32_t>(i);
  }
}

DeviceBatch DeviceBatchBuilder::build(std::span<const bitnet_batch_entry> entries,
                                      const KvCache& cache, int64_t first_row,
                                      const std::atomic<bool>& cancelled) {
  group(entries);
  pages_.clear();
  for (int32_t sequence : met_) {
    Run& run = runs_[static_cast<size_t>(sequence)];
    run.pages = static_cast<int32_t>(pages_.size());
    const auto seen =
        cache.pages(sequence).first(static_cast<size_t>(KvCache::pages_of(run.end_position)));
    pages_.insert(pages_.end(), seen.begin(), seen.end());
  }
  for (Vec<int32_t>* v : {&token_, &position_, &page_list_, &wanted_}) v->clear();
  want_.clear();
  rows_.assign(entries.size(), -1);
  for (int32_t at : source_) {
    const bitnet_batch_entry& e = entries[static_cast<size_t>(at)];
    const int64_t place = static_cast<int64_t>(token_.size());
    token_.push_back(e.token);
    position_.push_back(e.position);
    page_list_.push_back(runs_[static_cast<size_t>(e.sequence)].pages);
    if (e.want == 0) continue;
    rows_[static_cast<size_t>(at)] =
        static_cast<int32_t>(first_row + static_cast<int64_t>(wanted_.size()));
    wanted_.push_back(static_cast<int32_t>(place));
    want_.push_back(wanted_of(e.want));
  }
  DeviceBatch batch;
  batch.tokens = static_cast<int64_t>(entries.size());
  batch.token = token_.data();
  batch.position = position_.data();
  batch.page_list = page_list_.data();
  batch.pages = pages_.data();
  batch.page_count = static_cast<int64_t>(pages_.size());
  batch.wanted = wanted_.data();
  batch.want = want_.data();
  batch.wanted_count = static_cast<int64_t>(wanted_.size());
  batch.first_row = first_row;
  batch.cancelled = &cancelled;
  return batch;
}

}  // namespace bitnet
