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

// Shared memory for it: the row and gamma, brought there by copies that are all under way at once
// (to read them where they lie would wait for each number in turn), and what the threads tell each
// other. A row too long for that stays where it is.
struct NormRoom {
  float* x;      // [n], null: not brought
  float* gamma;  // [n]
  float* blocks;
  float* maxima;
  int32_t* sums;

  __host__ __device__ static constexpr int64_t bytes(int64_t n, bool brought) {
    return ((brought ? 2 * rounded_up(n, 4) : 0) + rounded_up(parts_of(n, kBlock), 4) + 2 * kWarp) *
           4;
  }
  __device__ NormRoom(uint8_t* at, int64_t n, bool brought) {
    auto* floats = reinterpret_cast<float*>(at);
    x = brought ? floats : nullptr;
    gamma = floats + rounded_up(n, 4);
    blocks = brought ? gamma + rounded_up(n, 4) : floats;
    maxima = blocks + rounded_up(parts_of(n, kBlock), 4);
    sums = reinterpret_cast<int32_t*>(maxima + kWarp);
  }
};

__device__ inline void bring(float* to, const float* from, int n) {
  const int threads = static_cast<int>(blockDim.x);
  const bool aligned = (reinterpret_cast<uintptr_t>(from) & 15u) == 0;
  const int whole = aligned ? n / 4 : 0;
  for (int i = static_cast<int>(threadIdx.x); i < whole; i += threads) {
    copy_async(to + 4 * i, from + 4 * i);
  }
  copy_async_commit();
  for (int i = 4 * whole + static_cast<int>(threadIdx.x); i < n; i += threads) to[i] = from[i];
}
// Before wait_for_previous(): gamma is nobody's output.
__device__ inline void bring_gamma(const NormRoom& room, const Normed& in) {
  if (room.x && in.gamma) bring(room.gamma, in.gamma, in.n);
}
// After it. Ends with a barrier; from then on *in reads what was brought.
__device__ inline void bring_row(const NormRoom& room, Normed* in) {
  if (!room.x) return;
  bring(room.x, in->x, in->n);
  copy_async_wait<0>();
  __syncthreads();
  in->x = room.x;
  if (in->gamma) in->gamma = room.gamma;
}

// r of the norm: 1 / sqrt(mean of squares + eps). The whole block.
__device__ inline float norm_factor(const Normed& in, const NormRoom& room) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp,
            lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const int blocks = static_cast<int>(parts_of(in.n, kBlock));
  for (int pair = warp; 2 * pair < blocks; pair += warps) {  // a half warp a block
    const int block = 2 * pair + lane / kLanes;
    const float* at = in.x + block * kBlock + lane % kLanes;
    const int left = in.n - block * kBlock;
    float sum = 0.0f;
    if (left >= kBlock) {
      float v[kBlock / kLanes];
#pragma unroll
      for (int step = 0; step < kBlock / kLanes; ++step) v[step] = at[step * kLanes];
#pragma unroll
      for (int step = 0; step < kBlock / kLanes; ++step) sum = fused(v[step], v[step], sum);
    } else {
      for (int first = 0; first < left; first += kLanes) {
        const float v = first + lane % kLanes < left ? at[first] : 0.0f;
        sum = fused(v, v, sum);
      }
    }
    __syncwarp();
    sum = fold_half_warp(sum);
    if (lane % kLanes == 0 && block < blocks) room.blocks[block] = sum;
  }
  __syncthreads();
  const float squares = tree_total(room.blocks, blocks);
  return quotient(1.0f, root(quotient(squares, static_cast<float>(in.n)) + in.eps));
}

// Element i of the normed row.
__device__ inline float normed(const Normed& in, float factor, int i) {
  return in.gamma ? (in.x[i] * factor) * in.gamma[i] : in.x[i];
}

// The normed row as integers into q [padded], zeros from n on; padded is a multiple of 4, q aligned
// to it. The whole block; ends with a barrier. floats: if not null, gets the normed row itself.
__device__ inline Quantization norm_and_quantize(int8_t* q, int padded, const Normed& in,
                                                 const NormRoom& room, float* floats) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp,
            lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp, threads = static_cast<int>(blockDim.x);
  const float factor = in.gamma ? norm_factor(in, room) : 1.0f;

  float most = 1e-5f;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < in.n; i += threads) {
    const float v = normed(in, factor, i);
    if (floats) floats[i] = v;
    if (magnitude(v) > most) most = magnitude(v);
  }
#pragma unroll
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    const float other = __shfl_xor_sync(kAll, most, apart);
    if (other > most) most = other;
  }
  if (lane == 0) room.maxima[warp] = most;
  __syncthreads();
  for (int w = 0; w < warps; ++w) {
    if (room.maxima[w] > most) most = room.maxima[w];
  }
  const float scale = quotient(127.0f, most);

  int32_t sum = 0;
#pragma unroll 2
  for (int four = static_cast<int>(threadIdx.x); four < padded / 4; four += threads) {
    uint32_t packed = 0;
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      const int i = 4 * four + b;
      const int v = i < in.n ? quantized(normed(in, factor, i), scale) : 0;
      sum += v;
      packed |= (static_cast<uint32_t>(v) & 0xffu) << (8 * b);
    }
    reinterpret_cast<uint32_t*>(q)[four] = packed;
  }
#pragma unroll
  for (int apart = kWarp / 2; apart > 0; apart /= 2) sum += __shfl_xor_sync(kAll, sum, apart);
  if (lane == 0) room.sums[warp] = sum;
  __syncthreads();
  sum = 0;
  for (int w = 0; w < warps; ++w) sum += room.sums[w];
  return {scale, sum};
}

}  // namespace bitnet::cuda
