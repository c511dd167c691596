// How often each verb ran, for receipts.
#pragma once

#include <cstdint>

namespace bitnet {

// One per worker, so that counting needs no locks.
struct alignas(64) KernelCounts {
  uint64_t rmsnorm = 0, quantize = 0, ternary_matmul = 0, dense_matmul = 0, rope = 0,
           attend_page = 0, gate = 0;
  uint64_t launches = 0;  // of kernels on a device

  void operator+=(const KernelCounts& other) noexcept {
    rmsnorm += other.rmsnorm;
    quantize += other.quantize;
    ternary_matmul += other.ternary_matmul;
    dense_matmul += other.dense_matmul;
    rope += other.rope;
    attend_page += other.attend_page;
    gate += other.gate;
    launches += other.launches;
  }
};

}  // namespace bitnet
