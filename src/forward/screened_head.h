// The output head in a third of the bytes: a 5-bit copy gives every logit with a proven bound of
// its error, so that only the rows that can matter to a pick are computed from the real head, in
// the canonical order. What is picked is what the full pass would pick, always.
//
//   screen():    all rows of the copy; low <= logit <= high for every token of the vocabulary
//   (sampler):   which tokens can matter, given low and high
//   narrow():    where these are many, nearer bounds of theirs, from 2 bits more of their rows
//   rescore():   their logits, the bits of dense_matmul
#pragma once

#include <span>

#include "base/memory.h"
#include "base/progress.h"
#include "base/status.h"
#include "base/threads.h"
#include "compute/ops.h"

namespace bitnet {

// Hidden states on their way into the screen. Belongs to one caller; grows when it has to.
class ScreenScratch {
 public:
  // Room for so many hidden states at once; enough room allocates nothing. Throws std::bad_alloc.
  void reserve(int64_t tokens, int64_t cols, int threads);
  static uint64_t bytes_of(int64_t tokens, int64_t cols, int threads) noexcept;
  uint64_t bytes() const noexcept { return bytes_of(tokens_, cols_, threads_); }

 private:
  friend class ScreenedHead;
  // bound of a row = residual * of_residual + norm * of_norm + constant
  struct Bound {
    float of_residual, of_norm, constant;
  };
  // What a Bound comes from: H, D, and the errors of the score, of the rest's, of the logit and of
  // underflow, as in screened_head.cpp.
  struct Errors {
    double hidden, lost, score, rest, logit, underflow;
  };
  // What one thread saw of one token's scores.
  struct Spread {
    double sum, squares, rows;
    float widest;  // finite bound
  };
  int64_t tokens_ = 0, cols_ = 0;
  int threads_ = 0;
  Buffer high_, low_, pairs_, sum_, offsets_, scale_;  // ScreenInput
  Vec<Bound> bounds_;                                  // [tokens]
  Vec<Spread> spreads_;                                // [threads][tokens]
};

class ScreenedHead {
 public:
  // The head's data must outlive the copy. Of any type and shape; rows that no 5-bit copy can stand
  // for (infinities, NaN, beyond 2^50) are marked as unknown, and their logits come out as
  // -infinity..+infinity. Fails only if progress cancels, which is called on this thread; throws
  // std::bad_alloc.
  static Result<Ptr<const ScreenedHead>> prepare(const DenseMatrix& head, const Ops& ops,
                                                 ThreadPool& pool, const Progress& progress);
  // What prepare() will keep allocated.
  static uint64_t bytes_of(int64_t rows, int64_t cols) noexcept;
  uint64_t bytes() const noexcept {
    return tiles_.bytes() + rest_.bytes() + residual_.bytes() + rest_residual_.bytes() +
           norm_.bytes();
  }
  // Of these, what screen() reads.
  uint64_t screened_bytes() const noexcept {
    return tiles_.bytes() + residual_.bytes() + norm_.bytes();
  }

  // low[t*stride + r] <= logit r of hidden state t <= high[t*stride + r], for r < vocabulary (at
  // most the head's rows) and t < tokens; the logit is what dense_matmul gives from h + t*h_stride.
  // A hidden state that cannot be screened (not finite, or beyond 2^60, or below 2^-60 but not
  // zero) gives -infinity and +infinity throughout. One pass over the copy for all tokens. scratch
  // must have been reserved. Returns the widest finite bound, in standard deviations of its token's
  // scores: what receipts tell about how well the screen separates.
  double screen(float* low, float* high, int64_t stride, const float* h, int64_t h_stride,
                int64_t tokens, int64_t vocabulary, ScreenScratch& scratch,
                ThreadPool& pool) const noexcept;

  // Nearer ends for some rows (ascending) of which something is known, by about four times; none
  // moves away. scratch: one hidden state's, which screen() has left.
  void narrow(float* low, float* high, std::span<const int32_t> rows, const float* h,
              ScreenScratch& scratch, ThreadPool& pool) const noexcept;

  // logits[r] = the logit of every r in rows (ascending), nothing else written.
  void rescore(float* logits, std::span<const int32_t> rows, const float* h,
               ThreadPool& pool) const noexcept;
  // All logits r < vocabulary.
  void full_pass(float* logits, int64_t vocabulary, const float* h,
                 ThreadPool& pool) const noexcept;

  const DenseMatrix& head() const noexcept { return head_; }

  // Use prepare().
  ScreenedHead(const DenseMatrix& head, const Ops& ops);

 private:
  struct RowScratch;
  void quantize_tile(int64_t tile, RowScratch& scratch) noexcept;
  ScreenScratch::Errors prepare_input(const float* h, int64_t token,
                                      ScreenScratch& scratch) const noexcept;
  static ScreenInput input_of(const ScreenScratch& scratch, int64_t cols) noexcept;
  void finish_rows(float* low, float* high, int64_t first, int64_t last,
                   const ScreenScratch::Bound& bound, ScreenScratch::Spread& spread) const noexcept;

  DenseMatrix head_;
  const Ops& ops_;
  Buffer tiles_;          // ScreenMatrix
  Buffer rest_;           // ScreenRest
  Buffer residual_;       // [rows] >= |row - its copy|; infinite: unknown
  Buffer rest_residual_;  // [rows] >= |row - its copy - the copy's rest|; any if unknown
  Buffer norm_;           // [rows] >= |row|; 0 if unknown
};

}  // namespace bitnet
