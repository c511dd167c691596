// The weights of a model in a device's memory: one allocation, filled once, then only read.
#pragma once

#include "base/memory.h"
#include "compute/cuda/dense.h"
#include "compute/cuda/memory.h"
#include "compute/cuda/screen.h"
#include "compute/cuda/ternary.h"
#include "compute/device.h"

namespace bitnet::cuda {

// A linear map on the device.
struct DeviceMap {
  bool ternary;
  const uint8_t* tiles;  // if ternary
  DeviceDense dense;     // if not
  int32_t rows, cols;
  float scale;  // of a ternary one
  float output_scale;
};

struct LayerMaps {
  DeviceMap q, k, v, o, gate, up, down;
  const float *attn_norm, *attn_sub_norm, *ffn_norm, *ffn_sub_norm;  // sub norms may be null
};

}  // namespace bitnet::cuda

namespace bitnet {

// What the library holds a pointer to.
struct DeviceModel {
  int device;
  int processors;
  int shared_bytes;        // what a block may have
  DeviceModelParts shape;  // without the host's pointers
  bool any_dense;          // a layer has a map that is not ternary
  Vec<cuda::LayerMaps> layers;
  cuda::DeviceDense embeddings, head;
  cuda::DeviceScreen screen;  // if shape.screened
  const float* output_norm;
  const double* rope_frequency;
  cuda::DeviceBytes memory;
};

}  // namespace bitnet

namespace bitnet::cuda {

uint64_t model_bytes(const DeviceModelParts& parts) noexcept;
// On the current device. May throw std::bad_alloc.
Result<Ptr<DeviceModel>> open_model(int device, const DeviceModelParts& parts);

}  // namespace bitnet::cuda
