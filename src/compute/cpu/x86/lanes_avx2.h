// The 16 lanes of the numeric contract (compute/ops.h) in two AVX registers (AVX2, FMA, F16C).
// Operations: see compute/cpu/float_verbs.h, which is written in terms of them.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace bitnet {
namespace {

struct Lanes {
  __m256 low, high;  // lanes 0..7 and 8..15
};

inline Lanes zero() noexcept {
  return {_mm256_setzero_ps(), _mm256_setzero_ps()};
}
inline Lanes all(float x) noexcept {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
inline Lanes load(const float* p) noexcept {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
inline Lanes load_part(const float* p, int64_t n) noexcept {
  float whole[16] = {};
  std::memcpy(whole, p, static_cast<size_t>(n) * 4);
  return load(whole);
}
inline void store(float* p, Lanes a) noexcept {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
inline void store_part(float* p, Lanes a, int64_t n) noexcept {
  float whole[16];
  store(whole, a);
  std::memcpy(p, whole, static_cast<size_t>(n) * 4);
}

inline Lanes load_half(const void* p) noexcept {
  const __m128i* q = static_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}
inline Lanes load_half_part(const void* p, int64_t n) noexcept {
  uint16_t whole[16] = {};
  std::memcpy(whole, p, static_cast<size_t>(n) * 2);
  return load_half(whole);
}
inline __m256 widened_bfloat(__m128i bits) noexcept {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline Lanes load_bfloat(const void* p) noexcept {
  const __m128i* q = static_cast<const __m128i*>(p);
  return {widened_bfloat(_mm_loadu_si128(q)), widened_bfloat(_mm_loadu_si128(q + 1))};
}
inline Lanes load_bfloat_part(const void* p, int64_t n) noexcept {
  uint16_t whole[16] = {};
  std::memcpy(whole, p, static_cast<size_t>(n) * 2);
  return load_bfloat(whole);
}
inline Lanes load_int8(const int8_t* p) noexcept {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes)))};
}
inline void store_half(uint16_t* p, Lanes a) noexcept {
  __m128i* q = reinterpret_cast<__m128i*>(p);
  _mm_storeu_si128(q, _mm256_cvtps_ph(a.low, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(q + 1, _mm256_cvtps_ph(a.high, _MM_FROUND_TO_NEAREST_INT));
}

inline Lanes add(Lanes a, Lanes b) noexcept {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
inline Lanes subtract(Lanes a, Lanes b) noexcept {
  return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
inline Lanes multiply(Lanes a, Lanes b) noexcept {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
inline Lanes divide(Lanes a, Lanes b) noexcept {
  return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
inline Lanes fused(Lanes a, Lanes b, Lanes c) noexcept {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline Lanes negate(Lanes a) noexcept {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(a.low, sign), _mm256_xor_ps(a.high, sign)};
}
inline Lanes magnitude(Lanes a) noexcept {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}
inline Lanes larger(Lanes a, Lanes b) noexcept {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
inline Lanes smaller(Lanes a, Lanes b) noexcept {
  return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
inline float largest(Lanes a) noexcept {
  const __m256 eight = _mm256_max_ps(a.low, a.high);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
inline Lanes zero_where_less(Lanes x, Lanes limit, Lanes a) noexcept {
  return {_mm256_andnot_ps(_mm256_cmp_ps(x.low, limit.low, _CMP_LT_OQ), a.low),
          _mm256_andnot_ps(_mm256_cmp_ps(x.high, limit.high, _CMP_LT_OQ), a.high)};
}
inline __m256 shifted_bits(__m256 a, int32_t bias) noexcept {
  const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(a), _mm256_set1_epi32(bias));
  return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
}
inline Lanes shifted_bits(Lanes a, int32_t bias) noexcept {
  return {shifted_bits(a.low, bias), shifted_bits(a.high, bias)};
}

inline __m256i rounded_or_zero(__m256 a) noexcept {
  const __m256i number = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_ORD_Q));
  return _mm256_and_si256(_mm256_cvtps_epi32(a), number);
}
inline void store_int8(int8_t* q, Lanes a) noexcept {
  const __m256i words = _mm256_packs_epi32(rounded_or_zero(a.low), rounded_or_zero(a.high));
  const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(q),
      _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
}

inline Lanes swap_pairs(Lanes a) noexcept {
  return {_mm256_permute_ps(a.low, 0xb1), _mm256_permute_ps(a.high, 0xb1)};
}
inline Lanes negate_even(Lanes a) noexcept {
  const __m256 sign = _mm256_setr_ps(-0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 0.0f);
  return {_mm256_xor_ps(a.low, sign), _mm256_xor_ps(a.high, sign)};
}
inline Lanes load_twice(const float* p) noexcept {
  const __m256 x = _mm256_loadu_ps(p);
  return {_mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
          _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7))};
}

// Lanes folded 8-4-2-1.
inline float fold(Lanes a) noexcept {
  const __m256 eight = _mm256_add_ps(a.low, a.high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// Four folds at once: the halves of several are joined in one register.
inline void fold4(float* sums, Lanes a, Lanes b, Lanes c, Lanes d) noexcept {
  const __m256 a8 = _mm256_add_ps(a.low, a.high), b8 = _mm256_add_ps(b.low, b.high);
  const __m256 c8 = _mm256_add_ps(c.low, c.high), d8 = _mm256_add_ps(d.low, d.high);
  const __m256 ab =
      _mm256_add_ps(_mm256_permute2f128_ps(a8, b8, 0x20), _mm256_permute2f128_ps(a8, b8, 0x31));
  const __m256 cd =
      _mm256_add_ps(_mm256_permute2f128_ps(c8, d8, 0x20), _mm256_permute2f128_ps(c8, d8, 0x31));
  // a0 a1 c0 c1 | b0 b1 d0 d1 plus a2 a3 c2 c3 | b2 b3 d2 d3
  const __m256 two =
      _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
  const __m256 one = _mm256_add_ps(two, _mm256_movehdup_ps(two));  // a . c . | b . d .
  const __m128 ac = _mm256_castps256_ps128(one), bd = _mm256_extractf128_ps(one, 1);
  _mm_storeu_ps(sums, _mm_unpacklo_ps(_mm_shuffle_ps(ac, ac, 0x08), _mm_shuffle_ps(bd, bd, 0x08)));
}

// How much of a product fits the registers: rows and tokens of a dense tile.
constexpr int kDenseRows = 1, kDenseTokens = 4;
// Attention: sums kept in registers at once; sixteens of keys that are scored together.
constexpr int kAttendSums = 4, kScoreSixteens = 1;

}  // namespace
}  // namespace bitnet
