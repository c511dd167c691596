// Memory of a device and of the host, statuses of the driver.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/status.h"

namespace bitnet::cuda {

// What failed and why, in a sentence. "cuda:0: ..."
inline Status failure(int device, const char* what, cudaError_t error) {
  const bitnet_status code = error == cudaErrorMemoryAllocation ? BITNET_E_MEMORY : BITNET_E_DEVICE;
  return Status::error(code, "cuda:%d: %s: %s (%s)", device, what, cudaGetErrorString(error),
                       cudaGetErrorName(error));
}

// The same of memory that there is not, with what there is.
inline Status no_memory(int device, const char* what, uint64_t bytes) {
  size_t free = 0, all = 0;
  cudaMemGetInfo(&free, &all);
  return Status::error(BITNET_E_MEMORY, "cuda:%d: %s %llu bytes, of %llu there are %llu free",
                       device, what, static_cast<unsigned long long>(bytes),
                       static_cast<unsigned long long>(all), static_cast<unsigned long long>(free));
}

// Makes a device the calling thread's for as long as it lives, then gives the host's choice back.
class OnDevice {
 public:
  explicit OnDevice(int device) noexcept {
    if (cudaGetDevice(&before_) != cudaSuccess) before_ = device;
    error_ = before_ == device ? cudaSuccess : cudaSetDevice(device);
    changed_ = before_ != device && error_ == cudaSuccess;
  }
  ~OnDevice() {
    if (changed_) cudaSetDevice(before_);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  cudaError_t error() const noexcept { return error_; }

 private:
  int before_ = 0;
  bool changed_ = false;
  cudaError_t error_;
};

// Bytes of the current device, or page-locked ones of the host.
template <class Memory>
class Bytes {
 public:
  Bytes() noexcept = default;
  Bytes(Bytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Bytes& operator=(Bytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Bytes() {
    if (data_) Memory::free(data_);
  }

  cudaError_t allocate(size_t bytes) {
    Bytes fresh;
    const cudaError_t error = bytes > 0 ? Memory::allocate(&fresh.data_, bytes) : cudaSuccess;
    if (error != cudaSuccess) {
      cudaGetLastError();  // the failure is reported here and must not show up in a later call
      fresh.data_ = nullptr;
      return error;
    }
    fresh.bytes_ = bytes;
    *this = std::move(fresh);
    return cudaSuccess;
  }
  size_t bytes() const noexcept { return bytes_; }
  template <class T>
  T* as(size_t offset = 0) const noexcept {
    return reinterpret_cast<T*>(static_cast<uint8_t*>(data_) + offset);
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

struct OfDevice {
  static cudaError_t allocate(void** data, size_t bytes) noexcept {
    return cudaMalloc(data, bytes);
  }
  static void free(void* data) noexcept { cudaFree(data); }
};
struct OfHost {
  static cudaError_t allocate(void** data, size_t bytes) noexcept {
    return cudaHostAlloc(data, bytes, cudaHostAllocDefault);
  }
  static void free(void* data) noexcept { cudaFreeHost(data); }
};
using DeviceBytes = Bytes<OfDevice>;
using HostBytes = Bytes<OfHost>;

// Places of parts in one allocation, each aligned for any load.
class Layout {
 public:
  size_t add(int64_t bytes) noexcept {
    const size_t at = end_;
    end_ += (static_cast<size_t>(bytes) + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  }
  size_t bytes() const noexcept { return end_; }

 private:
  static constexpr size_t kAlignment = 256;
  size_t end_ = 0;
};

}  // namespace bitnet::cuda
