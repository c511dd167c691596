// AVX2 with FMA and F16C.

#include "compute/cpu/x86/lanes_avx2.h"
// In terms of these lanes:
#include "compute/cpu/float_verbs.h"
#include "compute/cpu/x86/measure_avx2.h"
#include "compute/cpu/x86/screen_avx2.h"
#include "compute/cpu/x86/tables.h"
#include "compute/cpu/x86/ternary_avx2.h"

namespace bitnet {
namespace {

uint64_t int8_multiply_adds(uint64_t count) noexcept {
  // vpmaddubsw and an add to int16, as the verbs do; widening is left out.
  constexpr int kChains = 8;
  __m256i sums[kChains];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  __m256i a = _mm256_set1_epi8(1);
  const __m256i b = _mm256_set1_epi8(-1);
  uint64_t done = 0;
  for (; done < count; done += kChains * 32) {
    for (__m256i& sum : sums) {
      asm volatile("" : "+x"(a));  // or the compiler would multiply once
      sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b));
    }
  }
  for (__m256i& sum : sums) asm volatile("" : : "x"(sum));
  return done;
}

}  // namespace

constinit const Ops kAvx2Ops = table("avx2");

}  // namespace bitnet
