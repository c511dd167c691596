// The 16 lanes of the numeric contract (compute/ops.h) in one AVX-512 register. Operations: see
// compute/cpu/float_verbs.h, which is written in terms of them.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace bitnet {
namespace {

struct Lanes {
  __m512 v;
};

inline __mmask16 first_lanes(int64_t n) noexcept {
  return static_cast<__mmask16>((1u << n) - 1);
}

inline Lanes zero() noexcept {
  return {_mm512_setzero_ps()};
}
inline Lanes all(float x) noexcept {
  return {_mm512_set1_ps(x)};
}
inline Lanes load(const float* p) noexcept {
  return {_mm512_loadu_ps(p)};
}
inline Lanes load_part(const float* p, int64_t n) noexcept {
  return {_mm512_maskz_loadu_ps(first_lanes(n), p)};
}
inline void store(float* p, Lanes a) noexcept {
  _mm512_storeu_ps(p, a.v);
}
inline void store_part(float* p, Lanes a, int64_t n) noexcept {
  _mm512_mask_storeu_ps(p, first_lanes(n), a.v);
}

inline Lanes load_half(const void* p) noexcept {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
inline Lanes load_half_part(const void* p, int64_t n) noexcept {
  return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p))};
}
inline Lanes load_bfloat(const void* p) noexcept {
  const __m256i bits = _mm256_loadu_si256(static_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}
inline Lanes load_bfloat_part(const void* p, int64_t n) noexcept {
  const __m256i bits = _mm256_maskz_loadu_epi16(first_lanes(n), p);
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}
inline Lanes load_int8(const int8_t* p) noexcept {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))};
}
inline void store_half(uint16_t* p, Lanes a) noexcept {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}

inline Lanes add(Lanes a, Lanes b) noexcept {
  return {_mm512_add_ps(a.v, b.v)};
}
inline Lanes subtract(Lanes a, Lanes b) noexcept {
  return {_mm512_sub_ps(a.v, b.v)};
}
inline Lanes multiply(Lanes a, Lanes b) noexcept {
  return {_mm512_mul_ps(a.v, b.v)};
}
inline Lanes divide(Lanes a, Lanes b) noexcept {
  return {_mm512_div_ps(a.v, b.v)};
}
inline Lanes fused(Lanes a, Lanes b, Lanes c) noexcept {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline Lanes negate(Lanes a) noexcept {
  return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))};
}
inline Lanes magnitude(Lanes a) noexcept {
  return {_mm512_abs_ps(a.v)};
}
inline Lanes larger(Lanes a, Lanes b) noexcept {
  return {_mm512_max_ps(a.v, b.v)};
}
inline Lanes smaller(Lanes a, Lanes b) noexcept {
  return {_mm512_min_ps(a.v, b.v)};
}
inline float largest(Lanes a) noexcept {
  return _mm512_reduce_max_ps(a.v);
}
inline Lanes zero_where_less(Lanes x, Lanes limit, Lanes a) noexcept {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_NLT_UQ), a.v)};
}
inline Lanes shifted_bits(Lanes a, int32_t bias) noexcept {
  const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(a.v), _mm512_set1_epi32(bias));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(bits, 23))};
}

inline void store_int8(int8_t* q, Lanes a) noexcept {
  const __mmask16 number = _mm512_cmp_ps_mask(a.v, a.v, _CMP_ORD_Q);
  const __m512i rounded = _mm512_maskz_cvtps_epi32(number, a.v);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtsepi32_epi8(rounded));
}

inline Lanes swap_pairs(Lanes a) noexcept {
  return {_mm512_permute_ps(a.v, 0xb1)};
}
inline Lanes negate_even(Lanes a) noexcept {
  return {_mm512_mask_xor_ps(a.v, 0x5555, a.v, _mm512_set1_ps(-0.0f))};
}
inline Lanes load_twice(const float* p) noexcept {
  const __m512i index = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  return {_mm512_permutexvar_ps(index, _mm512_castps256_ps512(_mm256_loadu_ps(p)))};
}

// Lanes folded 8-4-2-1.
inline float fold(Lanes a) noexcept {
  const __m256 upper = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1));
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), upper);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// Four folds in about the time of one and a half: the halves of several are joined in one register.
inline void fold4(float* sums, Lanes a, Lanes b, Lanes c, Lanes d) noexcept {
  const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a.v, b.v, 0x44),
                                  _mm512_shuffle_f32x4(a.v, b.v, 0xee));  // a8 b8
  const __m512 cd =
      _mm512_add_ps(_mm512_shuffle_f32x4(c.v, d.v, 0x44), _mm512_shuffle_f32x4(c.v, d.v, 0xee));
  const __m512 four = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88),
                                    _mm512_shuffle_f32x4(ab, cd, 0xdd));  // a4 b4 c4 d4
  const __m512 two = _mm512_add_ps(four, _mm512_permute_ps(four, 0x4e));
  const __m512 one = _mm512_add_ps(two, _mm512_permute_ps(two, 0xb1));
  const __m512i index = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  _mm_storeu_ps(sums, _mm512_castps512_ps128(_mm512_permutexvar_ps(index, one)));
}

// How much of a product fits the registers: rows and tokens of a dense tile.
constexpr int kDenseRows = 4, kDenseTokens = 4;
// Attention: sums kept in registers at once; sixteens of keys that are scored together.
constexpr int kAttendSums = 16, kScoreSixteens = 2;

}  // namespace
}  // namespace bitnet
