// Reading a stream with AVX2 registers: shared by the tables that have those.
#pragma once

#include <immintrin.h>

#include "compute/cpu/float_verbs.h"

namespace bitnet {
namespace {

uint64_t read_stream(const uint8_t* data, int64_t bytes, Reading reading) noexcept {
  __m256i sums[4];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + 128 <= bytes; i += 128) {
    if (reading == Reading::kPairs) prefetch_line(data + i);
    prefetch_line(data + i + 64);
    for (int s = 0; s < 4; ++s) {
      const __m256i* words = reinterpret_cast<const __m256i*>(data + i + 32 * s);
      sums[s] = _mm256_add_epi64(sums[s], _mm256_loadu_si256(words));
    }
  }
  uint64_t words[4];
  _mm256_storeu_si256(
      reinterpret_cast<__m256i*>(words),
      _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3])));
  return words[0] + words[1] + words[2] + words[3] + sum_words(data + i, bytes - i);
}

}  // namespace
}  // namespace bitnet
