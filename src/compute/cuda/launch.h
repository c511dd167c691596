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
  how.numAttrs = stream.overlapping ? 1 : 0;
  stream.error = cudaLaunchKernelEx(&how, kernel, static_cast<Parameters>(arguments)...);
  stream.launches += 1;
}

inline dim3 grid(int64_t x, int64_t y = 1, int64_t z = 1) {
  return dim3(static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z));
}

}  // namespace bitnet::cuda
