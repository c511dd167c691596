// From the residual stream to what a batch's entries want: the output norm, then the head.
//
// An entry may want its logits, its hidden state, or only to be sampled. With a screened head
// (screened_head.h) the last costs half the reading: the entry gets bounds of its logits, and of
// the real ones those are computed that turn out to matter (session/pick.h). Without one, wanting
// to be sampled is wanting the logits.
#pragma once

#include <optional>
#include <span>

#include "base/memory.h"
#include "base/threads.h"
#include "bitnet.h"
#include "forward/packed_weights.h"
#include "forward/screened_head.h"

namespace bitnet {

class ReadOut {
 public:
  struct Counts {
    uint64_t norms = 0, head_products = 0;  // calls of verbs
    uint64_t rows = 0;                      // of logits, computed whole
    uint64_t screened = 0;                  // rows of bounds
    uint64_t exact = 0;                     // single logits computed for those
    uint64_t narrowed = 0;                  // single bounds made nearer before that
    uint64_t full = 0;        // rows of bounds that were completed to logits after all
    double widest_bound = 0;  // in standard deviations of the row's scores
  };
  // [vocab] each: low <= logit <= high.
  struct Bounds {
    float *low, *high;
  };

  // batch: entries that run() gets at most. Makes room for one row of logits, or of bounds where
  // there is a screened head. Throws std::bad_alloc.
  ReadOut(const Weights& weights, ThreadPool& pool, int64_t batch);
  static uint64_t bytes_of(const ModelDescription& model, int64_t batch, bool screened,
                           int threads) noexcept;
  uint64_t bytes() const noexcept;

  // Gives the entries of a whole batch their rows. Allocates when a batch wants more rows than any
  // before; may throw std::bad_alloc. What earlier batches left is gone.
  void assign(std::span<const bitnet_batch_entry> entries);
  void clear() noexcept { rows_.clear(); }
  // Fills the rows of some entries, the first of which is number first_entry of the batch, from
  // x [entries][width].
  void run(std::span<const bitnet_batch_entry> entries, uint64_t first_entry,
           const float* x) noexcept;

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

  const Counts& counts() const noexcept { return counts_; }

 private:
  // Where an entry's results are, as row numbers; -1: not wanted.
  struct Rows {
    int64_t logits = -1, embedding = -1, bounds = -1;
  };
  void make_room(const Rows& rows);
  Rows next_rows(uint32_t want, Rows& used) const noexcept;

  const Weights& weights_;
  const HyperParameters& hyper_;
  ThreadPool& pool_;
  Vec<Rows> rows_;              // [entries of the last batch]
  Buffer input_;                // [batch][width] normed, of the entries that want logits
  Buffer logits_, embeddings_;  // [wanting][vocab], [wanting][width]
  Buffer hidden_, low_, high_;  // of those with bounds: [wanting][width], [wanting][vocab] twice
  Buffer sparse_;               // [vocab] see some_logits()
  Vec<int32_t> sparse_tokens_;  // what is not -infinity there
  Vec<int32_t> unsettled_;      // of these, what bounds left open
  bool sparse_is_full_ = true;
  ScreenScratch screen_;
  Counts counts_;
};

}  // namespace bitnet
