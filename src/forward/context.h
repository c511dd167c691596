// A context: the cache, and batches that are read into it all or nothing, by the CPU (cpu_pass.h)
// or by a device (device_run.h). One call at a time, except cancel().
#pragma once

#include <algorithm>
#include <span>

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "bitnet.h"
#include "forward/cache.h"
#include "forward/cancel_flag.h"
#include "forward/cpu_pass.h"
#include "forward/device_run.h"
#include "forward/kernel_counts.h"
#include "forward/packed_weights.h"
#include "forward/pass_costs.h"
#include "forward/read_out.h"

namespace bitnet {

class Context {
 public:
  struct Options {
    int64_t positions, sequences, batch;
    int threads;                          // not used with a device, nor are those of `execute`
    bitnet_execute_fn execute = nullptr;  // the host's threads; nullptr: our own
    void* execute_user = nullptr;
  };
  struct Stats {
    uint64_t batches = 0, tokens = 0, single_tokens = 0;
    double seconds = 0, single_seconds = 0;
    double weight_seconds = 0, attention_seconds = 0;  // of single_seconds, on the CPU
    uint64_t token_hash = 14695981039346656037u;       // FNV-1a of all entries decoded, in order
  };

  // The weights must outlive the context. BITNET_E_MEMORY, BITNET_E_DEVICE of the weights' device.
  static Result<Ptr<Context>> open(const Weights& weights, const Options& options);
  // Bytes of everything but the cache. screened: the weights will have a screened head.
  static uint64_t work_bytes_of(const ModelDescription& model, const Options& options,
                                bool screened) noexcept;
  // With a device: in the host's memory, and all that the device will hold of it. screened as
  // above.
  static uint64_t work_bytes_of(const ModelDescription& model, const Options& options,
                                const Device& device) noexcept;
  static uint64_t device_bytes_of(const ModelDescription& model, const Options& options,
                                  bool screened, const Device& device);

  // bitnet_ctx_decode. Any failure leaves all sequences as they were.
  Status decode(std::span<const bitnet_batch_entry> entries);
  // What the entries of the last batch wanted.
  ReadOut& read_out() noexcept { return read_out_; }
  const ReadOut& read_out() const noexcept { return read_out_; }

  // Any thread, also a signal handler.
  void cancel() const noexcept { cancel_.set(); }
  void forget_cancel() noexcept { cancel_.forget(); }
  // BITNET_E_CANCELLED once for each cancel().
  Status check_cancelled() noexcept { return cancel_.take(); }
  // Positions one sequence can have at most.
  int64_t room() const noexcept { return std::min(cache_.positions(), hyper_.context); }

  KvCache& cache() noexcept { return cache_; }
  const KvCache& cache() const noexcept { return cache_; }
  const Weights& weights() const noexcept { return weights_; }
  PassCosts& pass_costs() noexcept { return pass_costs_; }
  const Stats& stats() const noexcept { return stats_; }
  KernelCounts kernel_counts() const noexcept;
  int threads() const noexcept { return pool_->size(); }
  // Everything but the cache, on host and device.
  uint64_t work_bytes() const noexcept;

  // Use open().
  Context(const Weights& weights, const Options& options, Ptr<ThreadPool> pool,
          Ptr<DeviceRun> device);

 private:
  Status check(std::span<const bitnet_batch_entry> entries);
  Status reserve(std::span<const bitnet_batch_entry> entries);
  Status forward(std::span<const bitnet_batch_entry> entries, uint64_t first_entry);
  void commit(std::span<const bitnet_batch_entry> entries, double seconds) noexcept;

  const Weights& weights_;
  const HyperParameters& hyper_;
  const int64_t batch_;
  Ptr<ThreadPool> pool_;
  Ptr<DeviceRun> device_;  // one of the two
  KvCache cache_;
  Ptr<CpuPass> cpu_;            //
  Vec<int64_t> next_position_;  // [sequences] while a batch is checked; -1: not in it
  Vec<int32_t> touched_;        // sequences of the batch
  ReadOut read_out_;
  Stats stats_;
  PassCosts pass_costs_;
  mutable CancelFlag cancel_;
};

}  // namespace bitnet
