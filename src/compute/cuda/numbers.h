// The numeric contract of compute/ops.h as device code: sums in canonical order by half warps, the
// pairwise tree over blocks, exp, rounding. The same operations in the same order as the reference.
#pragma once

#include <cstdint>

#include "compute/cuda/ptx.h"

namespace bitnet::cuda {

constexpr int kWarp = 32;
constexpr int kLanes = 16;              // of a block of a canonical sum: a half warp
constexpr int kBlock = 256;             // its elements
constexpr unsigned kAll = 0xffffffffu;  // of a warp's threads
constexpr float kInfinity = __builtin_huge_valf();

__host__ __device__ constexpr int64_t rounded_up(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}
__host__ __device__ constexpr int64_t parts_of(int64_t n, int64_t part) {
  return (n + part - 1) / part;
}

__device__ inline float magnitude(float x) {
  return float_of(bits_of(x) & 0x7fffffffu);
}

// The lanes of each half warp folded 8-4-2-1; all of them get the result. (Which of two numbers is
// the left one does not matter to their sum.)
__device__ inline float fold_half_warp(float lane) {
  for (int apart = kLanes / 2; apart > 0; apart /= 2) lane += __shfl_xor_sync(kAll, lane, apart);
  return lane;
}

// The fixed pairwise tree over one number a lane, of which the first `count` are there; the whole
// warp gets the result. count is 1..32.
__device__ inline float warp_tree(float item, int count) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int apart = 1; apart < kWarp; apart *= 2) {
    const float right = __shfl_down_sync(kAll, item, static_cast<unsigned>(apart));
    if (lane % (2 * apart) == 0 && lane + apart < count) item += right;
  }
  return __shfl_sync(kAll, item, 0);
}

// The same over items[0..count), count 1..1024, by one warp.
__device__ inline float tree_total(const float* items, int count) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (count <= kWarp) return warp_tree(lane < count ? items[lane] : 0.0f, count);
  float part = 0.0f;  // lane l: the node over items 32l .. 32l + 31
  for (int first = 0; first < count; first += kWarp) {
    const float item = first + lane < count ? items[first + lane] : 0.0f;
    const float node = warp_tree(item, min(kWarp, count - first));
    if (lane == first / kWarp) part = node;
  }
  return warp_tree(part, static_cast<int>(parts_of(count, kWarp)));
}

// compute/reference/math.h has the derivation; constants and steps are its.
__device__ inline float contract_exp(float x) {
  if (x < -86.5f) return 0.0f;
  if (x > 89.0f) x = 89.0f;
  const float shifted = fused(x, 0x1.715476p+0f, 12582912.0f);
  const float n = shifted - 12582912.0f;
  float r = fused(n, -0x1.62e4p-1f, x);
  r = fused(n, -0x1.7f7d1cp-20f, r);
  float c = fused(0x1.6d10fcp-10f, r, 0x1.120b62p-7f);
  c = fused(c, r, 0x1.55551ap-5f);
  c = fused(c, r, 0x1.5554dep-3f);
  c = fused(c, r, 0x1.0p-1f);
  const float e = fused(c, r * r, r) + 1.0f;
  return (e + e) * float_of((bits_of(shifted) + 126) << 23);
}

__device__ inline float gated(float gate, float up, bool relu2) {
  if (relu2) {
    const float g = gate > 0.0f ? gate : 0.0f;
    return (g * g) * up;
  }
  return quotient(gate, 1.0f + contract_exp(-gate)) * up;
}

// x * s to the nearest integer of -128..127, ties to even; NaN to 0.
__device__ inline int quantized(float x, float s) {
  float v = x * s;
  if (v != v) v = 0.0f;
  v = (v + 12582912.0f) - 12582912.0f;
  return static_cast<int>(v > 127.0f ? 127.0f : v < -128.0f ? -128.0f : v);
}

}  // namespace bitnet::cuda
