// The few things of the device that C++ and the CUDA runtime's headers have no plain words for. The
// kernels use these and no other inline assembly, intrinsic or half type.
//
// tests/cuda/emulator/ has a second file of this name, which does the same on the host.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace bitnet::cuda {

// The block's dynamic shared memory.
__device__ inline uint8_t* shared_memory() {
  extern __shared__ uint4 bitnet_shared_memory[];
  return reinterpret_cast<uint8_t*>(bitnet_shared_memory);
}

// ---- Floats: one IEEE operation each, round to nearest even (compute/ops.h) ---------------------

__device__ inline float fused(float a, float b, float c) {
  return __fmaf_rn(a, b, c);
}
__device__ inline float quotient(float a, float b) {
  return __fdiv_rn(a, b);
}
__device__ inline float root(float a) {
  return __fsqrt_rn(a);
}
__device__ inline float half_to_float(uint16_t half) {
  return __half2float(__ushort_as_half(half));
}
__device__ inline uint16_t float_to_half(float x) {
  return __half_as_ushort(__float2half_rn(x));
}
__device__ inline float float_of(uint32_t bits) {
  return __uint_as_float(bits);
}
__device__ inline uint32_t bits_of(float x) {
  return __float_as_uint(x);
}

// ---- Memory ------------------------------------------------------------------------------------

// 16 bytes that this kernel reads once, past the first cache.
__device__ inline uint4 load_once(const void* p) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
  return v;
}

// A number that another block of this kernel has written and announced (__threadfence, atomics).
__device__ inline float load_fresh(const float* p) {
  return __ldcg(p);
}

// 16 bytes from global to shared memory behind the thread's back; both places are 16-byte aligned.
__device__ inline void copy_async(void* shared, const void* global) {
  const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
}
// Ends a group of copies.
__device__ inline void copy_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Until all but the thread's last kLeft groups have arrived; __syncthreads() then shows them to the
// block.
template <int kLeft>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

// ---- Kernels after one another -----------------------------------------------------------------

// Where a kernel was launched with programmatic serialization it may start before the previous one
// has ended: nothing of what that one writes may be read before wait_for_previous(), and nothing
// written that it reads. Elsewhere both do nothing.
__device__ inline void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// This block is past what keeps the next kernel's blocks from starting.
__device__ inline void let_next_begin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// ---- Products ----------------------------------------------------------------------------------

// The whole warp: sum [16][8] += a [16][32] b [32][8]. a is of unsigned or of signed bytes, b of
// signed ones. With g = lane / 4 and j = lane % 4 a lane holds
//   a[i]: row g + 8 * (i % 2), columns 4j + 16 * (i / 2) .. + 3, in its bytes from the lowest up
//   b[i]: rows 4j + 16 * i .. + 3 of column g
//   sum[i]: row g + 8 * (i / 2), column 2j + i % 2
__device__ inline void multiply_u8_s8(int32_t (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                      uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, "
      "%9}, "
      "{%0, %1, %2, %3};"
      : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ inline void multiply_s8_s8(int32_t (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                      uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, "
      "%9}, "
      "{%0, %1, %2, %3};"
      : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace bitnet::cuda
