// From the residual stream to what a batch's entries want: the output norm, then the head.
//
// An entry may want its logits, its hidden state, or only to be sampled. With a screened head
// (screened_head.h) the last costs half the reading: the entry gets bounds of its logits, and of
// the real ones those are computed that turn out to matter (session/pick.h). Without one, wanting
// to be sampled is wanting the logits.
//
// The logits of an entry that is only sampled stay on a device: the host asks it for the few that a
// sampler can depend on, and copies all of them when a sampler needs to see more. How the device
// finds the few is its own affair.
#pragma once

#include <optional>
#include <span>

#include "base/memory.h"
#include "base/threads.h"
#include "bitnet.h"
#include "forward/device_run.h"
#include "forward/packed_weights.h"
#include "forward/screened_head.h"

namespace bitnet {

class ReadOut {
 public:
  struct Counts {
    uint64_t norms = 0, head_products = 0;  // calls of verbs
    uint64_t rows = 0;                      // of logits, computed whole
    uint64_t screened = 0;                  // rows of bounds, also those of a device
    uint64_t exact = 0;                     // single logits computed for those
    uint64_t narrowed = 0;                  // single bounds made nearer before that
    uint64_t full = 0;        // rows of bounds that were completed to logits after all
    double widest_bound = 0;  // in standard deviations of the row's scores; 0 with a device
  };
  // [vocab] each: low <= logit <= high.
  struct Bounds {
    float *low, *high;
  };

  // batch: entries that run() gets at most, and slices of how many a device computes. Makes room
  // for one row of logits, one of bounds where there is a screened head, and one of few logits.
  // device: what computes, if not the CPU; must outlive it. Throws std::bad_alloc.
  ReadOut(const Weights& weights, ThreadPool& pool, int64_t batch, DeviceRun* device = nullptr);
  static uint64_t bytes_of(const ModelDescription& model, int64_t batch, bool screened,
                           int threads) noexcept;
  // In the host's memory, with a device.
  static uint64_t bytes_of_device(const ModelDescription& model) noexcept;
  uint64_t bytes() const noexcept;

  // Gives the entries of a whole batch their rows. Allocates when a batch wants more rows than any
  // before; may throw std::bad_alloc, and fails as a device does. What earlier batches left is
  // gone.
  Status assign(std::span<const bitnet_batch_entry> entries);
  void clear() noexcept { rows_.clear(); }
  // Fills the rows of some entries, the first of which is number first_entry of the batch, from
  // x [entries][width].
  void run(std::span<const bitnet_batch_entry> entries, uint64_t first_entry,
           const float* x) noexcept;

  // With a device: the row of it that the next slice's results begin at, and once the slice is
  // computed, takes what must not stay there. Fails as the device does.
  int64_t next_device_row() const noexcept { return next_device_row_; }
  Status take_from_device(std::span<const bitnet_batch_entry> entries, uint64_t first_entry);

  uint64_t entries() const noexcept { return rows_.size(); }
  // nullptr, nothing: that entry did not want it, or there is no such entry.
  const float* logits(uint64_t entry) const noexcept;
  const float* embedding(uint64_t entry) const noexcept;
  std::optional<Bounds> bounds(uint64_t entry) noexcept;

  // Of an entry with bounds, makes those of these tokens (ascending) nearer.
  void narrow(uint64_t entry, std::span<const int32_t> tokens) noexcept;
  // Of an entry with bounds, makes the logits of these tokens (ascending) both ends of theirs.
  void settle(uint64_t entry, std::span<const int32_t> tokens) noexcept;
  // Of an entry with bounds, the logits of these tokens (ascending), or of all: [vocab], -infinity
  // elsewhere. Lives until the next call of one of the two. The first may throw std::bad_alloc,
  // though hardly ever twice.
  const float* some_logits(uint64_t entry, std::span<const int32_t> tokens);
  const float* all_logits(uint64_t entry) noexcept;

  // Whether the entry's logits stayed on the device. If so: those that a selection is about, or all
  // of them: [vocab], -infinity elsewhere. Lives until the next call of one of the two. nullptr:
  // too many are selected, or none. Both fail as the device does.
  bool stayed_on_device(uint64_t entry) const noexcept {
    return entry < rows_.size() && rows_[entry].device >= 0;
  }
  Result<const float*> selected_logits(uint64_t entry, const DeviceSelection& selection) noexcept;
  Result<const float*> device_logits(uint64_t entry) noexcept;

  const Counts& counts() const noexcept { return counts_; }

 private:
  // Where an entry's results are, as row numbers; -1: not wanted.
  struct Rows {
    int64_t logits = -1, embedding = -1, bounds = -1;
    int64_t device = -1;  // among the device's, of logits that stayed there
  };
  // What a slice takes of the device's rows, and whether some must outlive it.
  struct SliceRows {
    int64_t count = 0;
    bool stay = false;
  };
  static SliceRows rows_of(std::span<const bitnet_batch_entry> slice) noexcept;
  int64_t device_rows_for(std::span<const bitnet_batch_entry> entries) const noexcept;
  void make_room(const Rows& rows);
  Rows next_rows(uint32_t want, Rows& used) const noexcept;
  float* blank_sparse() noexcept;

  const Weights& weights_;
  const HyperParameters& hyper_;
  ThreadPool& pool_;
  const int64_t batch_;
  DeviceRun* device_;
  int64_t next_device_row_ = 0;
  Vec<Rows> rows_;              // [entries of the last batch]
  Buffer input_;                // [batch][width] normed, of the entries that want logits
  Buffer logits_, embeddings_;  // [wanting][vocab], [wanting][width]
  Buffer hidden_, low_, high_;  // of those with bounds: [wanting][width], [wanting][vocab] twice
  Buffer sparse_;               // [vocab] see some_logits(), selected_logits()
  Vec<int32_t> sparse_tokens_;  // what is not -infinity there, unless sparse_is_full_
  Vec<int32_t> unsettled_;      // of these, what bounds left open
  bool sparse_is_full_ = true;
  ScreenScratch screen_;
  Counts counts_;
};

}  // namespace bitnet
