// libbitnet-cuda.so: the table of compute/device.h.
#include <cstdio>
#include <cstring>
#include <new>

#include "compute/cuda/context.h"

namespace bitnet {
namespace {

using cuda::failure;
using cuda::OnDevice;

void report(const Status& status, bitnet_error* why) noexcept {
  if (!why) return;
  why->status = status.code();
  std::snprintf(why->message, sizeof why->message, "%s", status.text());
}

// Runs a call's body: exceptions end here.
template <class Body>
bitnet_status guarded(bitnet_error* why, Body&& body) noexcept {
  Status status;
  try {
    status = body();
  } catch (const std::bad_alloc&) {
    status = Status::error(BITNET_E_MEMORY, "out of memory; nothing was done");
  } catch (...) {
    status =
        Status::error(BITNET_E_INTERNAL, "an unexpected exception: a defect of libbitnet-cuda");
  }
  if (!status.ok()) report(status, why);
  return status.code();
}

// The same with the context's device as the thread's.
template <class Body>
bitnet_status on_device(DeviceContext* context, bitnet_error* why, Body&& body) noexcept {
  return guarded(why, [&]() -> Status {
    const OnDevice here(context->model().device);
    if (here.error() != cudaSuccess)
      return failure(context->model().device, "the device cannot be used", here.error());
    return body();
  });
}

Status driver_failure(cudaError_t error) {
  return Status::error(BITNET_E_DEVICE, "no NVIDIA device can be used: %s (%s)",
                       cudaGetErrorString(error), cudaGetErrorName(error));
}

bitnet_status count(int32_t* devices, bitnet_error* why) noexcept {
  return guarded(why, [&]() -> Status {
    int found = 0;
    const cudaError_t error = cudaGetDeviceCount(&found);
    if (error != cudaSuccess) {
      cudaGetLastError();
      return driver_failure(error);
    }
    *devices = found;
    return {};
  });
}

// What the kernels' products need.
constexpr int kLeastMajor = 8;

Status properties_of(int32_t device, cudaDeviceProp* properties) {
  const cudaError_t error = cudaGetDeviceProperties(properties, device);
  if (error == cudaSuccess) return {};
  cudaGetLastError();
  return failure(device, "the device cannot be asked", error);
}

bitnet_status info(int32_t device, DeviceInfo* info, bitnet_error* why) noexcept {
  return guarded(why, [&]() -> Status {
    cudaDeviceProp properties = {};
    BITNET_TRY(properties_of(device, &properties));
    size_t free = 0, all = 0;
    const OnDevice here(device);
    if (here.error() != cudaSuccess || cudaMemGetInfo(&free, &all) != cudaSuccess) free = 0;
    *info = {};
    std::snprintf(info->title, sizeof info->title, "%.127s", properties.name);
    info->memory_bytes = properties.totalGlobalMem;
    info->free = free;
    info->processors = properties.multiProcessorCount;
    info->major = properties.major;
    info->minor = properties.minor;
    return {};
  });
}

bitnet_status model_open(int32_t device, const DeviceModelParts* parts, DeviceModel** model,
                         bitnet_error* why) noexcept {
  *model = nullptr;
  return guarded(why, [&]() -> Status {
    cudaDeviceProp properties = {};
    BITNET_TRY(properties_of(device, &properties));
    if (properties.major < kLeastMajor) {
      return Status::error(BITNET_E_DEVICE,
                           "cuda:%d: %s has compute capability %d.%d, needed is %d.0", device,
                           properties.name, properties.major, properties.minor, kLeastMajor);
    }
    const OnDevice here(device);
    if (here.error() != cudaSuccess)
      return failure(device, "the device cannot be used", here.error());
    BITNET_LET(Ptr<DeviceModel> opened, cuda::open_model(device, *parts));
    *model = opened.release();
    return {};
  });
}

void model_close(DeviceModel* model) noexcept {
  if (!model) return;
  const OnDevice here(model->device);
  Deleter()(model);
}

bitnet_status context_open(DeviceModel* model, const DeviceContextOptions* options,
                           DeviceContext** context, bitnet_error* why) noexcept {
  *context = nullptr;
  return guarded(why, [&]() -> Status {
    const OnDevice here(model->device);
    if (here.error() != cudaSuccess)
      return failure(model->device, "the device cannot be used", here.error());
    BITNET_LET(Ptr<DeviceContext> opened, DeviceContext::open(*model, *options));
    *context = opened.release();
    return {};
  });
}

void context_close(DeviceContext* context) noexcept {
  if (!context) return;
  const OnDevice here(context->model().device);
  Deleter()(context);
}

bitnet_status reserve_rows(DeviceContext* c, int64_t rows, bitnet_error* why) noexcept {
  return on_device(c, why, [&] { return c->reserve_rows(rows); });
}
bitnet_status forward(DeviceContext* c, const DeviceBatch* batch, bitnet_error* why) noexcept {
  return on_device(c, why, [&] { return c->forward(*batch); });
}
bitnet_status read_hidden(DeviceContext* c, int64_t row, float* hidden,
                          bitnet_error* why) noexcept {
  return on_device(c, why, [&] { return c->read_hidden(row, hidden); });
}
bitnet_status read_logits(DeviceContext* c, int64_t row, float* logits,
                          bitnet_error* why) noexcept {
  return on_device(c, why, [&] { return c->read_logits(row, logits); });
}
bitnet_status select(DeviceContext* c, int64_t row, const DeviceSelection* selection,
                     DeviceSelected* selected, bitnet_error* why) noexcept {
  return on_device(c, why, [&] { return c->select(row, *selection, selected); });
}
bitnet_status copy_page(DeviceContext* c, int32_t from, int32_t to, bitnet_error* why) noexcept {
  return on_device(c, why, [&] { return c->copy_page(from, to); });
}
bitnet_status read_page(DeviceContext* c, int32_t page, uint16_t* numbers,
                        bitnet_error* why) noexcept {
  return on_device(c, why, [&] { return c->read_page(page, numbers); });
}
bitnet_status write_page(DeviceContext* c, int32_t page, const uint16_t* numbers,
                         bitnet_error* why) noexcept {
  return on_device(c, why, [&] { return c->write_page(page, numbers); });
}

uint64_t model_bytes(const DeviceModelParts* parts) noexcept {
  return cuda::model_bytes(*parts);
}
uint64_t context_bytes(const DeviceModelParts* parts,
                       const DeviceContextOptions* options) noexcept {
  return DeviceContext::bytes_of(*parts, *options);
}
void counts(const DeviceContext* context, DeviceCounts* counts) noexcept {
  *counts = context->counts();
}

constexpr DeviceTable kTable = {
    .interface = kDeviceInterface,
    .library_version =
        BITNET_VERSION_MAJOR << 16 | BITNET_VERSION_MINOR << 8 | BITNET_VERSION_PATCH,
    .kind = "cuda",
    .count = count,
    .info = info,
    .model_bytes = model_bytes,
    .context_bytes = context_bytes,
    .model_open = model_open,
    .model_close = model_close,
    .context_open = context_open,
    .context_close = context_close,
    .reserve_rows = reserve_rows,
    .forward = forward,
    .read_hidden = read_hidden,
    .read_logits = read_logits,
    .select = select,
    .copy_page = copy_page,
    .read_page = read_page,
    .write_page = write_page,
    .counts = counts,
};

}  // namespace
}  // namespace bitnet

extern "C" BITNET_API const bitnet::DeviceTable* bitnet_device_plugin() noexcept {
  return &bitnet::kTable;
}
