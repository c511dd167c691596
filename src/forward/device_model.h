// A model's weights in the memory of a device (compute/device.h).
#pragma once

#include "base/memory.h"
#include "base/status.h"
#include "compute/device.h"
#include "model/model.h"

namespace bitnet {

struct LayerWeights;

// One device of an open plugin.
struct Device {
  const DeviceTable* table = nullptr;
  int32_t index = 0;  // among the plugin's
  DeviceInfo info = {};
};

// What a plugin is told about a model.
class DeviceParts {
 public:
  // layers: [model.layers] packed as kTwoBit; both must outlive this. screened: the device is to
  // make a screened copy of the head. May throw std::bad_alloc.
  DeviceParts(const ModelDescription& model, const Vec<LayerWeights>& layers, bool screened);
  // Shapes only.
  DeviceParts(const ModelDescription& model, bool screened);

  const DeviceModelParts* get() const noexcept { return &parts_; }

 private:
  Vec<DeviceLayer> layers_;
  Vec<double> rope_frequency_;
  DeviceModelParts parts_;
};

class UploadedModel {
 public:
  // Copies the weights; neither model nor layers are needed afterwards. screened: with a screened
  // copy of the head. BITNET_E_MEMORY of the device, BITNET_E_DEVICE.
  static Result<Ptr<const UploadedModel>> open(const Device& device, const ModelDescription& model,
                                               const Vec<LayerWeights>& layers, bool screened);
  // What open() will take of the device's memory.
  static uint64_t bytes_of(const Device& device, const ModelDescription& model, bool screened);
  // BITNET_E_MEMORY if that is more than the device has free. To be asked before the work of
  // packing; open() has the last word.
  static Status check_room(const Device& device, const ModelDescription& model, bool screened);

  const Device& device() const noexcept { return device_; }
  DeviceModel* handle() const noexcept { return handle_; }
  uint64_t bytes() const noexcept { return bytes_; }
  // Whether there is a screened copy of the head, and how many of the bytes it has.
  bool screened() const noexcept { return screened_; }
  uint64_t screened_bytes() const noexcept { return screened_bytes_; }
  // "cuda:0" and the instruction set that its kernels are for, "sm_90".
  const char* name() const noexcept { return name_; }
  const char* isa() const noexcept { return isa_; }

  // Use open().
  UploadedModel(const Device& device, bool screened, uint64_t bytes,
                uint64_t screened_bytes) noexcept;
  ~UploadedModel();
  UploadedModel(const UploadedModel&) = delete;
  UploadedModel& operator=(const UploadedModel&) = delete;

 private:
  const Device device_;
  DeviceModel* handle_ = nullptr;
  const bool screened_;
  const uint64_t bytes_, screened_bytes_;
  char name_[32], isa_[32];
};

}  // namespace bitnet
