#include "forward/device_run.h"

#include "compute/plugin.h"

namespace bitnet {

uint64_t DeviceRun::bytes_of(const Device& device, const ModelDescription& model, bool screened,
                             const DeviceContextOptions& options) {
  return device.table->context_bytes(DeviceParts(model, screened).get(), &options);
}

uint64_t DeviceRun::host_bytes_of(const DeviceContextOptions& options) noexcept {
  return DeviceBatchBuilder::bytes_of(options);
}

Result<Ptr<DeviceRun>> DeviceRun::open(const Weights& weights, const DeviceContextOptions& options,
                                       int64_t sequences) {
  Ptr<DeviceRun> run = make<DeviceRun>(weights, options, sequences);
  bitnet_error why = BITNET_ERROR_INIT;
  BITNET_TRY(device_status(
      run->table_.context_open(weights.device->handle(), &options, &run->handle_, &why), why));
  return run;
}

DeviceRun::DeviceRun(const Weights& weights, const DeviceContextOptions& options, int64_t sequences)
    : table_(*weights.device->device().table),
      bytes_(bytes_of(weights.device->device(), weights.model, weights.screened(), options)),
      batch_(options.pages, options.batch, sequences) {}

DeviceRun::~DeviceRun() {
  if (handle_) table_.context_close(handle_);
}

// One call at a time, and none after one that failed.
template <class Call>
Status DeviceRun::call(Call&& body) noexcept {
  const std::lock_guard lock(mutex_);
  if (!failed_.ok()) return failed_;
  bitnet_error why = BITNET_ERROR_INIT;
  const Status status = device_status(body(&why), why);
  if (!status.ok() && status.code() != BITNET_E_CANCELLED) failed_ = status;
  return status;
}

Status DeviceRun::reserve_rows(int64_t rows) noexcept {
  if (rows <= rows_) return {};
  Status no_memory;
  BITNET_TRY(call([&](bitnet_error* why) {
    const bitnet_status status = table_.reserve_rows(handle_, rows, why);
    if (status == BITNET_OK) rows_ = rows;
    if (status != BITNET_E_MEMORY) return status;
    no_memory = device_status(status, *why);
    return BITNET_OK;
  }));
  return no_memory;
}

Status DeviceRun::forward(std::span<const bitnet_batch_entry> entries, const KvCache& cache,
                          int64_t first_row, const std::atomic<bool>& cancelled) {
  const DeviceBatch batch = batch_.build(entries, cache, first_row, cancelled);
  return call([&](bitnet_error* why) { return table_.forward(handle_, &batch, why); });
}

Status DeviceRun::read_hidden(int64_t row, float* hidden) noexcept {
  return call([&](bitnet_error* why) { return table_.read_hidden(handle_, row, hidden, why); });
}

Status DeviceRun::read_logits(int64_t row, float* logits) noexcept {
  return call([&](bitnet_error* why) { return table_.read_logits(handle_, row, logits, why); });
}

Status DeviceRun::select(int64_t row, const DeviceSelection& selection,
                         DeviceSelected* selected) noexcept {
  return call(
      [&](bitnet_error* why) { return table_.select(handle_, row, &selection, selected, why); });
}

Status DeviceRun::copy_page(int32_t from, int32_t to) noexcept {
  return call([&](bitnet_error* why) { return table_.copy_page(handle_, from, to, why); });
}

Status DeviceRun::read_page(int32_t page, uint16_t* numbers) noexcept {
  return call([&](bitnet_error* why) { return table_.read_page(handle_, page, numbers, why); });
}

Status DeviceRun::write_page(int32_t page, const uint16_t* numbers) noexcept {
  return call([&](bitnet_error* why) { return table_.write_page(handle_, page, numbers, why); });
}

KernelCounts DeviceRun::counts() const noexcept {
  const std::lock_guard lock(mutex_);
  DeviceCounts c = {};
  table_.counts(handle_, &c);
  KernelCounts counts;
  counts.rmsnorm = c.rmsnorm;
  counts.quantize = c.quantize;
  counts.ternary_matmul = c.ternary_matmul;
  counts.dense_matmul = c.dense_matmul;
  counts.rope = c.rope;
  counts.attend_page = c.attend_page;
  counts.gate = c.gate;
  counts.launches = c.launches;
  return counts;
}

}  // namespace bitnet
