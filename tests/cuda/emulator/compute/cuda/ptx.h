// src/compute/cuda/ptx.h on the host.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "compute/dense_blocks.h"

namespace bitnet::cuda {

inline uint8_t* shared_memory() {
  return emulator::shared_memory();
}

// ---- Floats ------------------------------------------------------------------------------------

// fmaf rounds once also where the processor has no such instruction.
inline float fused(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}
inline float quotient(float a, float b) {
  return a / b;
}
inline float root(float a) {
  return std::sqrt(a);
}
inline float half_to_float(uint16_t half) {
  return ::bitnet::half_to_float(half);
}
inline uint16_t float_to_half(float x) {
  return ::bitnet::float_to_half(x);
}
inline float float_of(uint32_t bits) {
  return __uint_as_float(bits);
}
inline uint32_t bits_of(float x) {
  return __float_as_uint(x);
}

// ---- Memory ------------------------------------------------------------------------------------

inline uint4 load_once(const void* p, emulator::Where where = emulator::Where::here()) {
  emulator::check_alignment(p, 16, where);
  return *static_cast<const uint4*>(p);
}

inline float load_fresh(const float* p) {
  return *static_cast<const volatile float*>(p);
}

inline void copy_async(void* shared, const void* global,
                       emulator::Where where = emulator::Where::here()) {
  emulator::copy_later(shared, global, where);
}
inline void copy_async_commit() {
  emulator::end_copy_group();
}
template <int kLeft>
inline void copy_async_wait() {
  emulator::finish_copies(kLeft);
}

// ---- Kernels after one another -----------------------------------------------------------------

inline void wait_for_previous() {}
inline void let_next_begin() {}

// ---- Products ----------------------------------------------------------------------------------

// Operands as multiply_u8_s8 has them; a's bytes are numbers of type A.
struct MultiplyRequest : emulator::WarpRequest {
  int32_t* sum;
  const uint32_t* a;
  uint32_t b[2];
};

template <class A>
void finish_multiply(emulator::WarpRequest* const* requests, uint32_t) {
  // b column by column. The host's byte order is the fragments'.
  A a_bytes[16][32];
  int8_t b_bytes[8][32];
  for (int lane = 0; lane < emulator::kLanes; ++lane) {
    const auto& request = static_cast<const MultiplyRequest&>(*requests[lane]);
    const int g = lane / 4, j = lane % 4;
    for (int i = 0; i < 4; ++i) {
      std::memcpy(&a_bytes[g + 8 * (i % 2)][4 * j + 16 * (i / 2)], &request.a[i], 4);
    }
    for (int i = 0; i < 2; ++i) std::memcpy(&b_bytes[g][4 * j + 16 * i], &request.b[i], 4);
  }
  // The compiler has an instruction for sums of products of 16 bits.
  int16_t a[16][32], b[8][32];
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 32; ++k) a[i][k] = a_bytes[i][k];
  }
  for (int i = 0; i < 8; ++i) {
    for (int k = 0; k < 32; ++k) b[i][k] = b_bytes[i][k];
  }
  for (int lane = 0; lane < emulator::kLanes; ++lane) {
    const auto& request = static_cast<const MultiplyRequest&>(*requests[lane]);
    for (int i = 0; i < 4; ++i) {
      const int16_t* row = a[lane / 4 + 8 * (i / 2)];
      const int16_t* column = b[2 * (lane % 4) + i % 2];
      int product = 0;  // at most 32 * 255 * 128
      for (int k = 0; k < 32; ++k) product += row[k] * column[k];
      request.sum[i] = static_cast<int32_t>(static_cast<uint32_t>(request.sum[i]) +
                                            static_cast<uint32_t>(product));
    }
  }
}

inline void multiply_u8_s8(int32_t (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                           emulator::Where where = emulator::Where::here()) {
  MultiplyRequest request{
      {"multiply_u8_s8", 0xffffffffu, where, finish_multiply<uint8_t>}, sum, a, {b0, b1}};
  request.whole_warp = true;
  emulator::meet_warp(request);
}
inline void multiply_s8_s8(int32_t (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                           emulator::Where where = emulator::Where::here()) {
  MultiplyRequest request{
      {"multiply_s8_s8", 0xffffffffu, where, finish_multiply<int8_t>}, sum, a, {b0, b1}};
  request.whole_warp = true;
  emulator::meet_warp(request);
}

}  // namespace bitnet::cuda
