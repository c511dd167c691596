// Base 3 to two bits (compute/ternary_unpack.h) with AVX2.
#pragma once

#include <immintrin.h>

#include "compute/ternary_unpack.h"

namespace bitnet {
namespace {

inline __m256i modulo(__m256i v, uint8_t step) noexcept {  // see ternary_unpack.h
  const __m256i steps = _mm256_set1_epi8(static_cast<char>(step));
  v = _mm256_min_epu8(v, _mm256_sub_epi8(v, steps));
  return _mm256_min_epu8(v, _mm256_sub_epi8(v, steps));
}

inline __m256i both_halves(__m128i table) noexcept {
  return _mm256_broadcastsi128_si256(table);
}

// Four vectors of base 3 to five groups. 28 d is 0, 0x1c or 0x38, whose low nibbles differ; three
// digits, below 27, are looked up in two tables, of which one is switched off by an index's top
// bit.
inline void expand_set(uint8_t* groups, const uint8_t* vectors) noexcept {
  const auto digits = [](int i) { return static_cast<char>(i % 3 | i / 3 % 3 << 2 | i / 9 << 4); };
  const __m256i low_table =
      both_halves(_mm_setr_epi8(digits(0), digits(1), digits(2), digits(3), digits(4), digits(5),
                                digits(6), digits(7), digits(8), digits(9), digits(10), digits(11),
                                digits(12), digits(13), digits(14), digits(15)));
  const __m256i high_table = both_halves(
      _mm_setr_epi8(digits(16), digits(17), digits(18), digits(19), digits(20), digits(21),
                    digits(22), digits(23), digits(24), digits(25), digits(26), 0, 0, 0, 0, 0));
  const __m256i fourth_table =
      both_halves(_mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, -0x80, 0, 0, 0, 0x40, 0, 0, 0));
  for (int half = 0; half < 2; ++half, groups += 32, vectors += 32) {
    __m256i fifth_group = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const __m256i v =
          _mm256_load_si256(reinterpret_cast<const __m256i*>(vectors + kGroupBytes * k));
      const __m256i four_digits = modulo(v, kFifthStep);
      const __m256i three = modulo(four_digits, kFourthStep);
      const __m256i f = _mm256_sub_epi8(v, four_digits);
      fifth_group = _mm256_or_si256(
          fifth_group, _mm256_and_si256(k == 0 ? _mm256_srli_epi16(f, 2) : f,
                                        _mm256_set1_epi8(static_cast<char>(3 << 2 * k))));
      const __m256i low =
          _mm256_shuffle_epi8(low_table, _mm256_add_epi8(three, _mm256_set1_epi8(0x70)));
      const __m256i high =
          _mm256_shuffle_epi8(high_table, _mm256_sub_epi8(three, _mm256_set1_epi8(16)));
      const __m256i fourth = _mm256_shuffle_epi8(fourth_table, _mm256_sub_epi8(four_digits, three));
      _mm256_store_si256(reinterpret_cast<__m256i*>(groups + kGroupBytes * k),
                         _mm256_or_si256(_mm256_or_si256(low, high), fourth));
    }
    _mm256_store_si256(reinterpret_cast<__m256i*>(groups + kGroupBytes * 4), fifth_group);
  }
}

}  // namespace
}  // namespace bitnet
