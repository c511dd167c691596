// What the build compiles first, to see whether this nvcc, its host compiler and its libraries work
// together.
#include <cuda_runtime.h>

#include <bit>

__global__ void trial(unsigned* out) {
  *out = std::bit_width(threadIdx.x);
}
