#include "forward/context.h"

#include <algorithm>
#include <chrono>

namespace bitnet {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) noexcept {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

CpuPass::Shape shape_of(const Context::Options& o) noexcept {
  return {o.positions, o.batch, o.threads};
}

DeviceContextOptions device_options(const Context::Options& o) noexcept {
  return {KvCache::pages_of(o.positions), o.batch};
}

}  // namespace

// ---- Opening ----------------------------------------------------------------------------------

uint64_t Context::work_bytes_of(const ModelDescription& model, const Options& options,
                                bool screened) noexcept {
  return CpuPass::bytes_of(model.hyper, shape_of(options)) +
         ReadOut::bytes_of(model, options.batch, screened, options.threads);
}

uint64_t Context::work_bytes_of(const ModelDescription& model, const Options& options,
                                const Device&) noexcept {
  return DeviceRun::host_bytes_of(device_options(options)) + ReadOut::bytes_of_device(model);
}

uint64_t Context::device_bytes_of(const ModelDescription& model, const Options& options,
                                  bool screened, const Device& device) {
  return DeviceRun::bytes_of(device, model, screened, device_options(options));
}

uint64_t Context::work_bytes() const noexcept {
  const uint64_t read_out = read_out_.bytes();
  if (cpu_) return read_out + cpu_->bytes();
  return read_out + device_->host_bytes() + device_->bytes() - cache_.bytes();
}

Result<Ptr<Context>> Context::open(const Weights& weights, const Options& options) {
  if (weights.device) {
    BITNET_LET(Ptr<ThreadPool> pool, ThreadPool::open(1));
    BITNET_LET(Ptr<DeviceRun> device,
               DeviceRun::open(weights, device_options(options), options.sequences));
    return make<Context>(weights, options, std::move(pool), std::move(device));
  }
  Result<Ptr<ThreadPool>> pool =
      options.execute ? ThreadPool::over(options.execute, options.execute_user, options.threads)
                      : ThreadPool::open(options.threads);
  if (!pool.ok()) return pool.status();
  return make<Context>(weights, options, std::move(pool.value()), nullptr);
}

Context::Context(const Weights& weights, const Options& options, Ptr<ThreadPool> pool,
                 Ptr<DeviceRun> device)
    : weights_(weights),
      hyper_(weights.model.hyper),
      batch_(options.batch),
      pool_(std::move(pool)),
      device_(std::move(device)),
      cache_(weights.model.hyper, options.positions, options.sequences, device_.get()),
      next_position_(static_cast<size_t>(options.sequences), -1),
      read_out_(weights, *pool_, options.batch, device_.get()) {
  if (!device_) cpu_ = make<CpuPass>(weights, *pool_, cache_, shape_of(options));
  touched_.reserve(static_cast<size_t>(options.sequences));
}

KernelCounts Context::kernel_counts() const noexcept {
  KernelCounts sum = cpu_ ? cpu_->counts() : device_->counts();
  sum.rmsnorm += read_out_.counts().norms;
  sum.dense_matmul += read_out_.counts().head_products;
  return sum;
}

// ---- A batch: all or nothing ------------------------------------------------------------------

Status Context::decode(std::span<const bitnet_batch_entry> entries) {
  const Clock::time_point start = Clock::now();
  if (cpu_) cpu_->seconds() = {};
  // Undoes what a failed or throwing batch has reserved.
  struct Undo {
    Context& context;
    bool armed = true;
    ~Undo() {
      if (!armed) return;
      for (int32_t sequence : context.touched_) context.cache_.rollback(sequence);
      context.read_out_.clear();
    }
  };
  read_out_.clear();
  touched_.clear();
  Undo undo{*this};
  BITNET_TRY(check(entries));
  BITNET_TRY(read_out_.assign(entries));
  BITNET_TRY(reserve(entries));
  for (size_t at = 0; at < entries.size(); at += static_cast<size_t>(batch_)) {
    const size_t count = std::min(static_cast<size_t>(batch_), entries.size() - at);
    BITNET_TRY(forward(entries.subspan(at, count), at));
  }
  undo.armed = false;
  commit(entries, seconds_since(start));
  return {};
}

// The batch is computed: its tokens become part of their sequences, and it is counted.
void Context::commit(std::span<const bitnet_batch_entry> entries, double seconds) noexcept {
  for (const bitnet_batch_entry& e : entries) {
    cache_.commit(e.sequence, e.token);
    const auto* bytes = reinterpret_cast<const uint8_t*>(&e);
    for (size_t i = 0; i < sizeof e; ++i) {
      stats_.token_hash = (stats_.token_hash ^ bytes[i]) * 1099511628211u;
    }
  }
  stats_.batches += 1;
  stats_.tokens += entries.size();
  stats_.seconds += seconds;
  if (entries.size() == 1) {
    stats_.single_tokens += 1;
    stats_.single_seconds += seconds;
    if (!cpu_) return;
    stats_.weight_seconds += cpu_->seconds().weights;
    stats_.attention_seconds += cpu_->seconds().attention;
  }
}

// Every entry follows its sequence's last position; touched_ lists the sequences met.
Status Context::check(std::span<const bitnet_batch_entry> entries) {
  std::fill(next_position_.begin(), next_position_.end(), -1);
  for (size_t i = 0; i < entries.size(); ++i) {
    const bitnet_batch_entry& e = entries[i];
    if (e.token < 0 || e.token >= hyper_.vocab) {
      return Status::error(BITNET_E_ARGUMENT, "entry %zu: token %d is not in 0..%lld", i, e.token,
                           static_cast<long long>(hyper_.vocab - 1));
    }
    if (e.sequence < 0 || e.sequence >= cache_.sequences()) {
      return Status::error(BITNET_E_ARGUMENT, "entry %zu: sequence %d is not in 0..%lld", i,
                           e.sequence, static_cast<long long>(cache_.sequences() - 1));
    }
    if (e.want & ~uint32_t{BITNET_WANT_LOGITS | BITNET_WANT_EMBEDDING | BITNET_WANT_SAMPLE}) {
      return Status::error(BITNET_E_ARGUMENT, "entry %zu: want has unknown bits: 0x%x", i, e.want);
    }
    int64_t& next = next_position_[static_cast<size_t>(e.sequence)];
    if (next < 0) {
      next = cache_.length(e.sequence);
      touched_.push_back(e.sequence);
    }
    if (e.position != next) {
      return Status::error(BITNET_E_ARGUMENT,
                           "entry %zu: position %d of sequence %d; the next position is %lld", i,
                           e.position, e.sequence, static_cast<long long>(next));
    }
    ++next;
    if (next > hyper_.context) {
      return Status::error(BITNET_E_CONTEXT_FULL,
                           "entry %zu: sequence %d would have %lld positions; the model's context "
                           "length is %lld",
                           i, e.sequence, static_cast<long long>(next),
                           static_cast<long long>(hyper_.context));
    }
  }
  return {};
}

Status Context::reserve(std::span<const bitnet_batch_entry> entries) {
  for (int32_t sequence : touched_) {
    const int64_t more = next_position_[static_cast<size_t>(sequence)] - cache_.length(sequence);
    if (cache_.pages_needed(sequence, more) > cache_.pages_free()) {
      return Status::error(
          BITNET_E_CONTEXT_FULL,
          "%zu entries need more than the %lld positions left of the cache's %lld: drop or "
          "truncate a sequence, or open a larger context",
          entries.size(), static_cast<long long>(cache_.pages_free() * kPagePositions),
          static_cast<long long>(cache_.positions()));
    }
    BITNET_TRY(cache_.reserve(sequence, more));
  }
  return {};
}

Status Context::forward(std::span<const bitnet_batch_entry> entries, uint64_t first_entry) {
  if (cpu_) return cpu_->run(entries, first_entry, read_out_, cancel_);
  BITNET_TRY(cancel_.take());
  const Status computed =
      device_->forward(entries, cache_, read_out_.next_device_row(), cancel_.flag());
  BITNET_TRY(cancel_.take());
  BITNET_TRY(Status(computed));
  BITNET_TRY(read_out_.take_from_device(entries, first_entry));
  return cancel_.take();
}

}  // namespace bitnet
