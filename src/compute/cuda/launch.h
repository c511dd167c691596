// Starting kernels on a stream.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace bitnet::cuda {

// A stream that remembers its first failure: later launches do nothing.
struct Stream {
  cudaStream_t handle = nullptr;
  // Kernels may start before the one before them has ended (ptx.h, wait_for_previous).
  bool overlapping = false;
  bool after_kernel = false;  // what was put on it last, if it has not ended; copies do not overlap
  // Of dynamic shared memory, what a block may have on this device.
  int64_t shared_bytes = 48 << 10;
  int processors = 1;
  cudaError_t error = cudaSuccess;
  uint64_t launches = 0;
};

template <class... Parameters, class... Arguments>
void launch(Stream& stream, void (*kernel)(Parameters...), dim3 blocks, int64_t threads,
            int64_t shared_bytes, Arguments&&... arguments) {
  if (stream.error != cudaSuccess) return;
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t how = {};
  how.gridDim = blocks;
  how.blockDim = dim3(static_cast<unsigned>(threads));
  how.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  how.stream = stream.handle;
  how.attrs = &overlap;
  how.numAttrs = stream.overlapping && stream.after_kernel ? 1 : 0;
  stream.error = cudaLaunchKernelEx(&how, kernel, static_cast<Parameters>(arguments)...);
  stream.launches += 1;
  stream.after_kernel = true;
}

// Copies and fills by the driver, in the stream's order.
inline void copy(Stream& stream, void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) {
  if (stream.error != cudaSuccess) return;
  stream.error = cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream.handle);
  stream.after_kernel = false;
}
inline void clear(Stream& stream, void* to, int64_t bytes) {
  if (stream.error != cudaSuccess) return;
  stream.error = cudaMemsetAsync(to, 0, static_cast<size_t>(bytes), stream.handle);
  stream.after_kernel = false;
}

// Lets a kernel have as much dynamic shared memory as the device gives a block, `bytes`. No kernel
// has more than kStaticShared of the other kind, which counts as well.
constexpr int kStaticShared = 64;
inline cudaError_t allow_shared(const void* kernel, int bytes) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              bytes - kStaticShared);
}

inline dim3 grid(int64_t x, int64_t y = 1, int64_t z = 1) {
  return dim3(static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z));
}

}  // namespace bitnet::cuda
