// A context's part on a device: its pages, and the room for one batch and its results.
#pragma once

#include <mutex>
#include <span>

#include "base/memory.h"
#include "base/status.h"
#include "bitnet.h"
#include "compute/device.h"
#include "forward/cache.h"
#include "forward/device_batch.h"
#include "forward/kernel_counts.h"
#include "forward/packed_weights.h"

namespace bitnet {

// Fails as the device does (BITNET_E_DEVICE, BITNET_E_MEMORY), and then with the same for good,
// since nobody knows what the device's memory holds: the context can only be closed. Reading pages,
// which saving does, and counts() may run side by side.
class DeviceRun final : public RemotePages {
 public:
  // The weights, on a device, must outlive it.
  static Result<Ptr<DeviceRun>> open(const Weights& weights, const DeviceContextOptions& options,
                                     int64_t sequences);
  // Of the device's memory, and of the host's.
  // screened: the weights there will have a screened head.
  static uint64_t bytes_of(const Device& device, const ModelDescription& model, bool screened,
                           const DeviceContextOptions& options);
  static uint64_t host_bytes_of(const DeviceContextOptions& options) noexcept;
  uint64_t bytes() const noexcept { return bytes_; }
  uint64_t host_bytes() const noexcept { return batch_.bytes(); }

  // Room for so many rows of results, what they held may be lost. BITNET_E_MEMORY leaves everything
  // as it was.
  Status reserve_rows(int64_t rows) noexcept;
  // Computes entries, at most options.batch, whose positions are reserved in the cache; those that
  // want something fill rows from first_row on. BITNET_E_CANCELLED. May throw std::bad_alloc.
  Status forward(std::span<const bitnet_batch_entry> entries, const KvCache& cache,
                 int64_t first_row, const std::atomic<bool>& cancelled);
  // Which row each of these entries filled; -1: it wanted nothing.
  std::span<const int32_t> rows() const noexcept { return batch_.rows(); }

  Status read_hidden(int64_t row, float* hidden) noexcept;
  Status read_logits(int64_t row, float* logits) noexcept;
  // See DeviceTable::select.
  Status select(int64_t row, const DeviceSelection& selection, DeviceSelected* selected) noexcept;

  Status copy_page(int32_t from, int32_t to) noexcept override;
  Status read_page(int32_t page, uint16_t* numbers) noexcept override;
  Status write_page(int32_t page, const uint16_t* numbers) noexcept override;

  KernelCounts counts() const noexcept;

  // Use open().
  DeviceRun(const Weights& weights, const DeviceContextOptions& options, int64_t sequences);
  ~DeviceRun();
  DeviceRun(const DeviceRun&) = delete;
  DeviceRun& operator=(const DeviceRun&) = delete;

 private:
  template <class Call>
  Status call(Call&& body) noexcept;

  const DeviceTable& table_;
  DeviceContext* handle_ = nullptr;
  const uint64_t bytes_;
  DeviceBatchBuilder batch_;
  int64_t rows_ = 1;  // there is room for
  mutable std::mutex mutex_;
  Status failed_;  // for good
};

}  // namespace bitnet
