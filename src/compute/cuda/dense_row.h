// A row of a dense matrix as a warp reads it.
#pragma once

#include "compute/cuda/dense.h"

namespace bitnet::cuda {

// The number at a place (dense_place) of a row.
__device__ inline float number_at(Stored type, const uint8_t* row, int64_t place) {
  if (type == Stored::kF32) return reinterpret_cast<const float*>(row)[place];
  const uint16_t half = reinterpret_cast<const uint16_t*>(row)[place];
  return type == Stored::kF16 ? half_to_float(half) : float_of(uint32_t{half} << 16);
}

// A lane's 16 numbers of a block.
template <Stored kType>
struct Lane {
  static constexpr int kLoads = kType == Stored::kF32 ? 4 : 2;  // of 16 bytes
  uint4 raw[kLoads];

  // at: of the block; lane: 0..15.
  __device__ void load(const uint8_t* at, int lane) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) raw[i] = load_once(at + (i * kLanes + lane) * 16);
  }
  __device__ float number(int step) const {
    constexpr int kPerWord = kType == Stored::kF32 ? 1 : 2;
    const uint4& v = raw[step / (4 * kPerWord)];
    const int i = step / kPerWord % 4;
    const uint32_t word = i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
    if (kType == Stored::kF32) return float_of(word);
    const uint32_t half = word >> (step % 2 * 16) & 0xffffu;
    return kType == Stored::kF16 ? half_to_float(static_cast<uint16_t>(half))
                                 : float_of(half << 16);
  }
};

// dot(row, x [cols]) in canonical order; the whole warp calls it and gets it. For single rows:
// products of all rows are dense_product's, which reads x once.
template <Stored kType>
__device__ inline float row_product_of(const DeviceDense& w, int64_t row, const float* x) {
  constexpr int64_t kNumberBytes = kType == Stored::kF32 ? 4 : 2;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, half = lane / kLanes;
  const int blocks = static_cast<int>(parts_of(w.cols, kBlock)), pairs = (blocks + 1) / 2;
  const uint8_t* numbers = w.data + row * dense_padded(w.cols) * kNumberBytes;
  float item = 0.0f, node = 0.0f;  // as in dense_rows
  for (int pair = 0; pair < pairs; ++pair) {
    const int block = 2 * pair + half, left = block < blocks ? w.cols - block * kBlock : 0;
    Lane<kType> v;
    v.load(numbers + (block < blocks ? block : 0) * kBlock * kNumberBytes, lane % kLanes);
    float sum = 0.0f;
#pragma unroll
    for (int step = 0; step < kLanes; ++step) {
      const int column = step * kLanes + lane % kLanes;
      if (step * kLanes < left)
        sum = fused(v.number(step), column < left ? x[block * kBlock + column] : 0.0f, sum);
    }
    __syncwarp();
    const float own = fold_half_warp(sum);
    const float other = __shfl_xor_sync(kAll, own, kLanes);
    const float both = 2 * pair + 1 < blocks ? own + other : half == 0 ? own : other;
    if (lane == pair % kWarp) item = both;
    if (pair % kWarp < kWarp - 1 && pair + 1 < pairs) continue;
    const float total = warp_tree(item, pair % kWarp + 1);
    if (lane == pair / kWarp) node = total;
  }
  if (pairs > kWarp) return warp_tree(node, static_cast<int>(parts_of(pairs, kWarp)));
  return __shfl_sync(kAll, node, 0);
}

__device__ inline float row_product(const DeviceDense& w, int64_t row, const float* x) {
  if (w.type == Stored::kF32) return row_product_of<Stored::kF32>(w, row, x);
  if (w.type == Stored::kF16) return row_product_of<Stored::kF16>(w, row, x);
  return row_product_of<Stored::kBF16>(w, row, x);
}

}  // namespace bitnet::cuda
