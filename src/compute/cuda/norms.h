// BitLinear's input on the device: a row normed and quantized by one block of threads.
#pragma once

#include "compute/cuda/numbers.h"

namespace bitnet::cuda {

// x [n], y = x * r * gamma as rmsnorm of compute/ops.h; gamma null: y = x.
struct Normed {
  const float* x;
  const float* gamma;
  int32_t n;
  float eps;
};

struct Quantization {
  float scale;
  int32_t sum;
};

// Shared floats that the two functions below need for themselves.
__host__ __device__ constexpr int64_t norm_scratch_floats(int64_t n) {
  return parts_of(n, kBlock) + 2 * kWarp;
}

// r of the norm: 1 / sqrt(mean of squares + eps). The whole block.
__device__ inline float norm_factor(const Normed& in, float* scratch) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp,
            lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const int blocks = static_cast<int>(parts_of(in.n, kBlock));
  for (int pair = warp; 2 * pair < blocks; pair += warps) {  // a half warp a block
    const int block = 2 * pair + lane / kLanes;
    float sum = 0.0f;
#pragma unroll 4
    for (int step = 0; step < kBlock / kLanes; ++step) {
      const int first = block * kBlock + step * kLanes, i = first + lane % kLanes;
      if (first >= in.n) break;
      const float v = i < in.n ? in.x[i] : 0.0f;
      sum = fused(v, v, sum);
    }
    __syncwarp();
    sum = fold_half_warp(sum);
    if (lane % kLanes == 0 && block < blocks) scratch[block] = sum;
  }
  __syncthreads();
  const float squares = tree_total(scratch, blocks);
  return quotient(1.0f, root(quotient(squares, static_cast<float>(in.n)) + in.eps));
}

// Element i of the normed row.
__device__ inline float normed(const Normed& in, float factor, int i) {
  return in.gamma ? (in.x[i] * factor) * in.gamma[i] : in.x[i];
}

// The normed row as integers into q [padded], zeros from n on; padded is a multiple of 4, q aligned
// to it. The whole block; ends with a barrier. floats: if not null, gets the normed row itself.
__device__ inline Quantization norm_and_quantize(int8_t* q, int padded, const Normed& in,
                                                 float* scratch, float* floats) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp,
            lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp, threads = static_cast<int>(blockDim.x);
  const float factor = in.gamma ? norm_factor(in, scratch) : 1.0f;
  float* maxima = scratch + parts_of(in.n, kBlock);         // [warps]
  auto* sums = reinterpret_cast<int32_t*>(maxima + kWarp);  // [warps]

  float most = 1e-5f;
  for (int i = static_cast<int>(threadIdx.x); i < in.n; i += threads) {
    const float v = normed(in, factor, i);
    if (floats) floats[i] = v;
    if (magnitude(v) > most) most = magnitude(v);
  }
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    const float other = __shfl_xor_sync(kAll, most, apart);
    if (other > most) most = other;
  }
  if (lane == 0) maxima[warp] = most;
  __syncthreads();
  for (int w = 0; w < warps; ++w) {
    if (maxima[w] > most) most = maxima[w];
  }
  const float scale = quotient(127.0f, most);

  int32_t sum = 0;
  for (int four = static_cast<int>(threadIdx.x); four < padded / 4; four += threads) {
    uint32_t packed = 0;
    for (int b = 0; b < 4; ++b) {
      const int i = 4 * four + b;
      const int v = i < in.n ? quantized(normed(in, factor, i), scale) : 0;
      sum += v;
      packed |= (static_cast<uint32_t>(v) & 0xffu) << (8 * b);
    }
    reinterpret_cast<uint32_t*>(q)[four] = packed;
  }
  for (int apart = kWarp / 2; apart > 0; apart /= 2) sum += __shfl_xor_sync(kAll, sum, apart);
  if (lane == 0) sums[warp] = sum;
  __syncthreads();
  sum = 0;
  for (int w = 0; w < warps; ++w) sum += sums[w];
  return {scale, sum};
}

}  // namespace bitnet::cuda
