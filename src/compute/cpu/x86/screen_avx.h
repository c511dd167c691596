// What screen_matmul's integer sums (compute/cpu/screen.h) look like in AVX registers.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "compute/cpu/screen_codes.h"

namespace bitnet {
namespace {

struct IntLanes {
  __m256i low, high;  // rows 0..7 and 8..15
};
typedef uint16_t ScreenWords __attribute__((vector_size(32)));

inline Lanes to_lanes(IntLanes sums) noexcept {
  return {_mm256_cvtepi32_ps(sums.low), _mm256_cvtepi32_ps(sums.high)};
}

inline __m256i broadcast_dword(const int8_t* bytes) noexcept {
  int32_t dword;
  std::memcpy(&dword, bytes, sizeof dword);
  return _mm256_set1_epi32(dword);
}

// 32 of a block's codes from its 16 bytes: those at bits `first` of every byte, and two bits
// further.
inline __m256i rest_codes(const uint8_t* codes, int first) noexcept {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
  const __m256i shifts = _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2);
  const __m256i both = _mm256_srlv_epi32(_mm256_broadcastsi128_si256(bytes), shifts);
  return _mm256_and_si256(_mm256_srli_epi32(both, first), _mm256_set1_epi8(3));
}

}  // namespace
}  // namespace bitnet
