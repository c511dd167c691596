// AVX2 and its 256-bit form of VNNI: processors with vpdpbusd but no AVX-512.

#include "compute/cpu/x86/lanes_avx2.h"
// In terms of these lanes:
#include "compute/cpu/float_verbs.h"
#include "compute/cpu/x86/measure_avx2.h"
#include "compute/cpu/x86/screen_avxvnni.h"
#include "compute/cpu/x86/tables.h"
#include "compute/cpu/x86/ternary_avx2.h"

namespace bitnet {
namespace {

uint64_t int8_multiply_adds(uint64_t count) noexcept {
  constexpr uint64_t kStep = 12 * 32;  // 12 chains hide the latency of 5 at two a cycle
  const __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(-1);
  uint64_t done = 0;
  for (; done < count; done += kStep) {
    // Sums nobody needs, in registers of the assembler's choice: nothing to optimize away.
    asm volatile(
        "%{vex%} vpdpbusd %1, %0, %%ymm4\n %{vex%} vpdpbusd %1, %0, %%ymm5\n"
        "%{vex%} vpdpbusd %1, %0, %%ymm6\n %{vex%} vpdpbusd %1, %0, %%ymm7\n"
        "%{vex%} vpdpbusd %1, %0, %%ymm8\n %{vex%} vpdpbusd %1, %0, %%ymm9\n"
        "%{vex%} vpdpbusd %1, %0, %%ymm10\n %{vex%} vpdpbusd %1, %0, %%ymm11\n"
        "%{vex%} vpdpbusd %1, %0, %%ymm12\n %{vex%} vpdpbusd %1, %0, %%ymm13\n"
        "%{vex%} vpdpbusd %1, %0, %%ymm14\n %{vex%} vpdpbusd %1, %0, %%ymm15"
        :
        : "x"(a), "x"(b)
        : "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
          "xmm14", "xmm15");
  }
  return done;
}

}  // namespace

constinit const Ops kAvxVnniOps = table("avxvnni");

}  // namespace bitnet
