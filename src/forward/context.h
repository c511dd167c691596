// A context: the cache, the room for one batch, the threads, and the forward pass over them.
//
// Nothing here depends on how work is cut: a token's numbers come from its own row of activations
// and the pages before it (compute/ops.h), so batches, threads and shared pages change no bit. One
// call at a time, except cancel().
#pragma once

#include <algorithm>
#include <atomic>
#include <initializer_list>
#include <span>

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "bitnet.h"
#include "forward/attention.h"
#include "forward/cache.h"
#include "forward/packed_weights.h"
#include "forward/pass_costs.h"
#include "forward/read_out.h"

namespace bitnet {

// How often each verb ran, for receipts. One per worker, so that counting needs no locks.
struct alignas(64) KernelCounts {
  uint64_t rmsnorm = 0, quantize = 0, ternary_matmul = 0, dense_matmul = 0, rope = 0,
           attend_page = 0, gate = 0;
  void operator+=(const KernelCounts& other) noexcept;
};

class Context {
 public:
  struct Options {
    int64_t positions, sequences, batch;
    int threads;
    bitnet_execute_fn execute = nullptr;  // the host's threads; nullptr: our own
    void* execute_user = nullptr;
  };
  struct Stats {
    uint64_t batches = 0, tokens = 0, single_tokens = 0;
    double seconds = 0, single_seconds = 0;
    double weight_seconds = 0, attention_seconds = 0;  // of single_seconds
    uint64_t token_hash = 14695981039346656037u;       // FNV-1a of all entries decoded, in order
  };

  // The weights must outlive the context.
  static Result<Ptr<Context>> open(const Weights& weights, const Options& options);
  // Bytes of everything but the cache. screened: the weights will have a screened head.
  static uint64_t work_bytes_of(const ModelDescription& model, const Options& options,
                                bool screened) noexcept;

  // bitnet_ctx_decode. Any failure leaves all sequences as they were.
  Status decode(std::span<const bitnet_batch_entry> entries);
  // What the entries of the last batch wanted.
  ReadOut& read_out() noexcept { return read_out_; }
  const ReadOut& read_out() const noexcept { return read_out_; }

  // Any thread, also a signal handler.
  void cancel() const noexcept { cancelled_.store(true, std::memory_order_relaxed); }
  void forget_cancel() noexcept { cancelled_.store(false, std::memory_order_relaxed); }
  Status check_cancelled() noexcept;  // BITNET_E_CANCELLED once for each cancel()
  // Positions one sequence can have at most.
  int64_t room() const noexcept { return std::min(cache_.positions(), hyper_.context); }

  KvCache& cache() noexcept { return cache_; }
  const KvCache& cache() const noexcept { return cache_; }
  const Weights& weights() const noexcept { return weights_; }
  PassCosts& pass_costs() noexcept { return pass_costs_; }
  const Stats& stats() const noexcept { return stats_; }
  KernelCounts kernel_counts() const noexcept;
  int threads() const noexcept { return pool_->size(); }
  uint64_t work_bytes() const noexcept;

  // Use open().
  Context(const Weights& weights, const Options& options, Ptr<ThreadPool> pool);

 private:
  // Activations of one batch, named for their role, allocated once. T = options.batch.
  struct Work {
    Buffer x;                               // [T][width] the residual stream
    Buffer normed;                          // [T][max(width, heads*head_dim, ff)]
    Buffer quantized;                       // [T][stride] int8
    Buffer quantized_scale, quantized_sum;  // [T]
    Buffer q, k, v;                         // [T][heads*head_dim], [T][kv_heads*head_dim] twice
    Buffer key_halves;                      // [T][kv_heads*head_dim] f16
    Buffer attended;                        // [T][heads*head_dim]
    Buffer gate, up;                        // [T][ff]
    Buffer projected;                       // [T][width] what o and down give
    Buffer cosine, sine;                    // [T][rope_dims/2]
    Buffer parts;                           // partial attention of few tokens over page groups
    Buffer trees;                           // [threads] stacks of partial attention
    Buffer queries;                         // [threads] one head's queries of a block
    Buffer ternary;                         // [threads] scratch of the ternary products
  };
  // Tokens of a batch that attend together.
  struct QueryBlock {
    int32_t sequence;
    int64_t page;  // of the cache, that all of them stand on
    int64_t row;   // of the first in the batch
    int64_t tokens;
  };
  // One linear map of the current input: y [T][y_stride].
  struct Product {
    const Linear* map;
    float* y;
    int64_t y_stride;
  };
  using Maps = std::initializer_list<const Linear*>;  // of one input

  static Work allocate_work(const ModelDescription& model, const Options& options);
  Status check(std::span<const bitnet_batch_entry> entries);
  Status reserve(std::span<const bitnet_batch_entry> entries);
  Status forward(std::span<const bitnet_batch_entry> entries, uint64_t first_entry);
  void commit(std::span<const bitnet_batch_entry> entries, double seconds) noexcept;
  void embed(std::span<const bitnet_batch_entry> entries);
  void attention_block(std::span<const bitnet_batch_entry> entries);
  void feed_forward_block(int64_t tokens);
  void store_keys_and_values(const bitnet_batch_entry& entry, int64_t row);
  void cut_into_blocks(std::span<const bitnet_batch_entry> entries) noexcept;
  AttentionTree tree_of(int worker, int64_t queries) noexcept;
  void fold_pages(int worker, std::span<const bitnet_batch_entry> entries, const QueryBlock& block,
                  int64_t head, int64_t first, int64_t last, AttentionTree& tree) noexcept;
  void finish_attention(const QueryBlock& block, int64_t head, const AttentionPart& part) noexcept;
  void attend(std::span<const bitnet_batch_entry> entries) noexcept;

  template <class F>
  void each_token(int64_t tokens, F&& body);
  void norm_input(int worker, const float* x, int64_t row, const Vec<float>& gamma, int64_t n);
  void quantize_input(int worker, int64_t row, int64_t n);
  uint8_t* scratch_of(int worker) noexcept;
  void multiply_tiles(int worker, const Product& product, int64_t first_tile, int64_t last_tile,
                      int64_t tokens) noexcept;
  void multiply(std::span<const Product> products, int64_t tokens, Maps next);
  void expect(Maps maps) noexcept;

  const Weights& weights_;
  const Ops& ops_;
  const HyperParameters& hyper_;
  const int64_t batch_, pages_;
  Ptr<ThreadPool> pool_;
  KvCache cache_;
  Work work_;
  int64_t normed_stride_, quantized_stride_;
  float attention_scale_;
  Vec<KernelCounts> counts_;    // [threads]
  Vec<int64_t> next_position_;  // [sequences] while a batch is checked; -1: not in it
  Vec<int32_t> touched_;        // sequences of the batch
  Vec<QueryBlock> blocks_;      // of the batch
  int64_t layer_ = 0;           // while in the forward pass
  ReadOut read_out_;
  Stats stats_;
  double weight_seconds_ = 0, attention_seconds_ = 0;  // of the batch under way
  PassCosts pass_costs_;
  mutable std::atomic<bool> cancelled_{false};
};

}  // namespace bitnet
