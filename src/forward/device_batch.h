// The entries of a batch as a device wants them (compute/device.h): tokens of one sequence next to
// each other, the pages they see, and which results are wanted.
#pragma once

#include <span>

#include "base/memory.h"
#include "bitnet.h"
#include "compute/device.h"
#include "forward/cache.h"

namespace bitnet {

class DeviceBatchBuilder {
 public:
  // For at most so many entries. Throws std::bad_alloc.
  DeviceBatchBuilder(int64_t pages, int64_t entries, int64_t sequences);
  uint64_t bytes() const noexcept;
  static uint64_t bytes_of(const DeviceContextOptions& options) noexcept;

  // The entries' batch, whose arrays live until the next call. Their positions are reserved in the
  // cache. May throw std::bad_alloc when sequences that share pages list more pages than there are.
  DeviceBatch build(std::span<const bitnet_batch_entry> entries, const KvCache& cache,
                    int64_t first_row, const std::atomic<bool>& cancelled);
  // Which row of results each of these entries gets; -1: it wants nothing.
  std::span<const int32_t> rows() const noexcept { return rows_; }

 private:
  struct Run {
    int64_t entries = 0, begin = 0;  // of a sequence in the batch; 0: it is not in it
    int64_t end_position = 0;
    int32_t pages = 0;  // where its pages begin in pages_
  };
  void group(std::span<const bitnet_batch_entry> entries);

  Vec<Run> runs_;        // [sequences]
  Vec<int32_t> met_;     // sequences of the batch, in the order of their first entries
  Vec<int32_t> source_;  // [entries] which entry stands there in the batch
  Vec<int32_t> token_, position_, page_list_, pages_;
  Vec<int32_t> wanted_;
  Vec<DeviceWant> want_;
  Vec<int32_t> rows_;
};

}  // namespace bitnet
