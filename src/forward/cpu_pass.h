// The forward pass over the layers on the CPU, with the room for one batch.
//
// Nothing here depends on how work is cut: a token's numbers come from its own row of activations
// and the pages before it (compute/ops.h), so batches, threads and shared pages change no bit.
#pragma once

#include <initializer_list>
#include <span>

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "bitnet.h"
#include "forward/attention.h"
#include "forward/cache.h"
#include "forward/cancel_flag.h"
#include "forward/kernel_counts.h"
#include "forward/packed_weights.h"
#include "forward/read_out.h"

namespace bitnet {

class CpuPass {
 public:
  struct Shape {
    int64_t positions, batch;
    int threads;
  };
  // Of single calls of run(), added up until they are set to 0.
  struct Seconds {
    double weights = 0, attention = 0;
  };

  // Weights, pool and cache must outlive it. Throws std::bad_alloc.
  CpuPass(const Weights& weights, ThreadPool& pool, KvCache& cache, const Shape& shape);
  static uint64_t bytes_of(const HyperParameters& hyper, const Shape& shape) noexcept;
  uint64_t bytes() const noexcept;

  // Entries, at most shape.batch, whose positions are reserved in the cache: computes their keys
  // and values into it and has read_out take what they want, the first being number first_entry of
  // the batch that read_out knows. BITNET_E_CANCELLED.
  Status run(std::span<const bitnet_batch_entry> entries, uint64_t first_entry, ReadOut& read_out,
             CancelFlag& cancel);

  KernelCounts counts() const noexcept;
  Seconds& seconds() noexcept { return seconds_; }

 private:
  // Activations of one batch, named for their role, allocated once. T = shape.batch.
  struct Work {
    Buffer x;                               // [T][width] the residual stream
    Buffer quantized;                       // [T][stride] int8: the input of ternary products
    Buffer quantized_scale, quantized_sum;  // [T]
    Buffer q, k, v;                         // [T][heads*head_dim], [T][kv_heads*head_dim] twice
    Buffer key_halves;                      // [T][kv_heads*head_dim] f16
    Buffer attended;                        // [T][heads*head_dim], then its norm
    Buffer gate, up;                        // [T][ff]; gate: then gated, then its norm
    Buffer projected;                       // [T][width] what o and down give; then norm(x)
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
  // x [T][stride], which is also there quantized.
  struct Input {
    const float* x;
    int64_t stride;
  };
  // One linear map of an input: y [T][y_stride].
  struct Product {
    const Linear* map;
    float* y;
    int64_t y_stride;
  };
  using Maps = std::initializer_list<const Linear*>;  // of one input

  static Work allocate_work(const HyperParameters& hyper, const Shape& shape);
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
  void add_projected(int64_t tokens, const Vec<float>* gamma);
  void norm_x(int worker, int64_t row, const Vec<float>& gamma);
  void norm(int worker, float* y, const float* x, const Vec<float>& gamma, int64_t n);
  void quantize(int worker, int64_t row, const float* x, int64_t n);
  uint8_t* scratch_of(int worker) noexcept;
  void multiply_tiles(int worker, const Input& input, const Product& product, int64_t first_tile,
                      int64_t last_tile, int64_t tokens) noexcept;
  void multiply(const Input& input, std::span<const Product> products, int64_t tokens, Maps next);
  void expect(Maps maps) noexcept;

  const Weights& weights_;
  const Ops& ops_;
  const HyperParameters& hyper_;
  const int64_t pages_;
  ThreadPool& pool_;
  KvCache& cache_;
  Work work_;
  int64_t quantized_stride_;
  float attention_scale_;
  Vec<KernelCounts> counts_;  // [threads]
  Vec<QueryBlock> blocks_;    // of the batch
  int64_t layer_ = 0;         // while in the forward pass
  Seconds seconds_;
};

}  // namespace bitnet
