// The 16 lanes of the numeric contract (compute/ops.h) in four SSE registers, for every x86-64.
// Operations: see compute/cpu/float_verbs.h, which is written in terms of them.
#pragma once

#include <emmintrin.h>

#include <cstdint>
#include <cstring>

#include "compute/dense_blocks.h"

namespace bitnet {
namespace {

struct Lanes {
  __m128 v[4];
};

template <class F>
inline Lanes each(const F& f) noexcept {
  return {{f(0), f(1), f(2), f(3)}};
}

inline Lanes all(float x) noexcept {
  return each([=](int) { return _mm_set1_ps(x); });
}
inline Lanes zero() noexcept {
  return all(0.0f);
}
inline Lanes load(const float* p) noexcept {
  return each([=](int i) { return _mm_loadu_ps(p + 4 * i); });
}
inline Lanes load_part(const float* p, int64_t n) noexcept {
  float whole[16] = {};
  std::memcpy(whole, p, static_cast<size_t>(n) * 4);
  return load(whole);
}
inline void store(float* p, Lanes a) noexcept {
  for (int i = 0; i < 4; ++i) _mm_storeu_ps(p + 4 * i, a.v[i]);
}
inline void store_part(float* p, Lanes a, int64_t n) noexcept {
  float whole[16];
  store(whole, a);
  std::memcpy(p, whole, static_cast<size_t>(n) * 4);
}

// half_to_float() of compute/dense_blocks.h on four halves, each in the low half of a word.
inline __m128 floats_of_halves(__m128i words) noexcept {
  const __m128i size = _mm_and_si128(words, _mm_set1_epi32(0x7fff));
  const __m128 scaled =
      _mm_mul_ps(_mm_castsi128_ps(_mm_slli_epi32(size, 13)), _mm_set1_ps(0x1p112f));
  const __m128i not_finite =
      _mm_and_si128(_mm_cmpgt_epi32(size, _mm_set1_epi32(0x7bff)), _mm_set1_epi32(0x7f800000));
  const __m128i quiet =
      _mm_and_si128(_mm_cmpgt_epi32(size, _mm_set1_epi32(0x7c00)), _mm_set1_epi32(0x00400000));
  const __m128i sign = _mm_slli_epi32(_mm_and_si128(words, _mm_set1_epi32(0x8000)), 16);
  const __m128i special = _mm_or_si128(_mm_or_si128(not_finite, quiet), sign);
  return _mm_or_ps(scaled, _mm_castsi128_ps(special));
}
inline Lanes load_half(const void* p) noexcept {
  const __m128i* q = static_cast<const __m128i*>(p);
  const __m128i low = _mm_loadu_si128(q), high = _mm_loadu_si128(q + 1), no = _mm_setzero_si128();
  return {{floats_of_halves(_mm_unpacklo_epi16(low, no)),
           floats_of_halves(_mm_unpackhi_epi16(low, no)),
           floats_of_halves(_mm_unpacklo_epi16(high, no)),
           floats_of_halves(_mm_unpackhi_epi16(high, no))}};
}
inline Lanes load_half_part(const void* p, int64_t n) noexcept {
  uint16_t whole[16] = {};
  std::memcpy(whole, p, static_cast<size_t>(n) * 2);
  return load_half(whole);
}
inline Lanes load_bfloat(const void* p) noexcept {
  const __m128i* q = static_cast<const __m128i*>(p);
  const __m128i low = _mm_loadu_si128(q), high = _mm_loadu_si128(q + 1), no = _mm_setzero_si128();
  return {{_mm_castsi128_ps(_mm_unpacklo_epi16(no, low)),
           _mm_castsi128_ps(_mm_unpackhi_epi16(no, low)),
           _mm_castsi128_ps(_mm_unpacklo_epi16(no, high)),
           _mm_castsi128_ps(_mm_unpackhi_epi16(no, high))}};
}
inline Lanes load_bfloat_part(const void* p, int64_t n) noexcept {
  uint16_t whole[16] = {};
  std::memcpy(whole, p, static_cast<size_t>(n) * 2);
  return load_bfloat(whole);
}
inline Lanes load_int8(const int8_t* p) noexcept {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i signs = _mm_cmplt_epi8(bytes, _mm_setzero_si128());
  const __m128i words[2] = {_mm_unpacklo_epi8(bytes, signs), _mm_unpackhi_epi8(bytes, signs)};
  return each([&](int i) {
    const __m128i word = words[i / 2];
    const __m128i twice = i % 2 ? _mm_unpackhi_epi16(word, word) : _mm_unpacklo_epi16(word, word);
    return _mm_cvtepi32_ps(_mm_srai_epi32(twice, 16));
  });
}
inline void store_half(uint16_t* p, Lanes a) noexcept {
  float whole[16];
  store(whole, a);
  for (int i = 0; i < 16; ++i) p[i] = float_to_half(whole[i]);
}

inline Lanes add(Lanes a, Lanes b) noexcept {
  return each([&](int i) { return _mm_add_ps(a.v[i], b.v[i]); });
}
inline Lanes subtract(Lanes a, Lanes b) noexcept {
  return each([&](int i) { return _mm_sub_ps(a.v[i], b.v[i]); });
}
inline Lanes multiply(Lanes a, Lanes b) noexcept {
  return each([&](int i) { return _mm_mul_ps(a.v[i], b.v[i]); });
}
inline Lanes divide(Lanes a, Lanes b) noexcept {
  return each([&](int i) { return _mm_div_ps(a.v[i], b.v[i]); });
}

// a*b + c rounded to odd; see fused() in compute/reference/math.h, which this follows step by step.
inline __m128d fused_to_odd(__m128d a, __m128d b, __m128d c) noexcept {
  const __m128d product = _mm_mul_pd(a, b), sum = _mm_add_pd(product, c);
  const __m128d back = _mm_sub_pd(sum, product);
  const __m128d lost = _mm_add_pd(_mm_sub_pd(product, _mm_sub_pd(sum, back)), _mm_sub_pd(c, back));
  const __m128d none = _mm_setzero_pd();
  const __m128i inexact = _mm_srli_epi64(
      _mm_castpd_si128(_mm_or_pd(_mm_cmplt_pd(lost, none), _mm_cmpgt_pd(lost, none))), 63);
  const __m128i opposite =
      _mm_srli_epi64(_mm_xor_si128(_mm_castpd_si128(lost), _mm_castpd_si128(sum)), 63);
  const __m128i truncated = _mm_sub_epi64(_mm_castpd_si128(sum), _mm_and_si128(opposite, inexact));
  return _mm_castsi128_pd(_mm_or_si128(truncated, inexact));
}
inline __m128 joined(__m128d low, __m128d high) noexcept {
  return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
}
// Rounding the sum to double and then to float is wrong only where the double is half way between
// two floats: its last 29 bits are 10..0, or it is so small that a float has fewer bits.
inline __m128 fused(__m128 a, __m128 b, __m128 c) noexcept {
  const __m128d a_low = _mm_cvtps_pd(a), a_high = _mm_cvtps_pd(_mm_movehl_ps(a, a));
  const __m128d b_low = _mm_cvtps_pd(b), b_high = _mm_cvtps_pd(_mm_movehl_ps(b, b));
  const __m128d c_low = _mm_cvtps_pd(c), c_high = _mm_cvtps_pd(_mm_movehl_ps(c, c));
  const __m128d low = _mm_add_pd(_mm_mul_pd(a_low, b_low), c_low);
  const __m128d high = _mm_add_pd(_mm_mul_pd(a_high, b_high), c_high);
  const __m128 result = joined(low, high);
  const __m128i last_words =
      _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(low), _mm_castpd_ps(high), 0x88));
  const __m128i half_way = _mm_cmpeq_epi32(_mm_and_si128(last_words, _mm_set1_epi32(0x1fffffff)),
                                           _mm_set1_epi32(0x10000000));
  const __m128i size = _mm_and_si128(_mm_castps_si128(result), _mm_set1_epi32(0x7fffffff));
  const __m128i small = _mm_cmpgt_epi32(_mm_set1_epi32(0x00800001), size);
  if (__builtin_expect(_mm_movemask_epi8(_mm_or_si128(half_way, small)) == 0, 1)) return result;
  return joined(fused_to_odd(a_low, b_low, c_low), fused_to_odd(a_high, b_high, c_high));
}
inline Lanes fused(Lanes a, Lanes b, Lanes c) noexcept {
  return each([&](int i) { return fused(a.v[i], b.v[i], c.v[i]); });
}

inline Lanes negate(Lanes a) noexcept {
  return each([&](int i) { return _mm_xor_ps(a.v[i], _mm_set1_ps(-0.0f)); });
}
inline Lanes magnitude(Lanes a) noexcept {
  return each([&](int i) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), a.v[i]); });
}
inline Lanes larger(Lanes a, Lanes b) noexcept {
  return each([&](int i) { return _mm_max_ps(a.v[i], b.v[i]); });
}
inline Lanes smaller(Lanes a, Lanes b) noexcept {
  return each([&](int i) { return _mm_min_ps(a.v[i], b.v[i]); });
}
inline float largest(Lanes a) noexcept {
  const __m128 four = _mm_max_ps(_mm_max_ps(a.v[0], a.v[2]), _mm_max_ps(a.v[1], a.v[3]));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 0x01)));
}
inline Lanes zero_where_less(Lanes x, Lanes limit, Lanes a) noexcept {
  return each([&](int i) { return _mm_andnot_ps(_mm_cmplt_ps(x.v[i], limit.v[i]), a.v[i]); });
}
inline Lanes shifted_bits(Lanes a, int32_t bias) noexcept {
  return each([&](int i) {
    const __m128i bits = _mm_add_epi32(_mm_castps_si128(a.v[i]), _mm_set1_epi32(bias));
    return _mm_castsi128_ps(_mm_slli_epi32(bits, 23));
  });
}

inline __m128i rounded_or_zero(__m128 a) noexcept {
  return _mm_and_si128(_mm_cvtps_epi32(a), _mm_castps_si128(_mm_cmpord_ps(a, a)));
}
inline void store_int8(int8_t* q, Lanes a) noexcept {
  const __m128i low = _mm_packs_epi32(rounded_or_zero(a.v[0]), rounded_or_zero(a.v[1]));
  const __m128i high = _mm_packs_epi32(rounded_or_zero(a.v[2]), rounded_or_zero(a.v[3]));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm_packs_epi16(low, high));
}

inline Lanes swap_pairs(Lanes a) noexcept {
  return each([&](int i) { return _mm_shuffle_ps(a.v[i], a.v[i], 0xb1); });
}
inline Lanes negate_even(Lanes a) noexcept {
  return each([&](int i) { return _mm_xor_ps(a.v[i], _mm_setr_ps(-0.0f, 0.0f, -0.0f, 0.0f)); });
}
inline Lanes load_twice(const float* p) noexcept {
  const __m128 low = _mm_loadu_ps(p), high = _mm_loadu_ps(p + 4);
  return {{_mm_unpacklo_ps(low, low), _mm_unpackhi_ps(low, low), _mm_unpacklo_ps(high, high),
           _mm_unpackhi_ps(high, high)}};
}

// Lanes folded 8-4-2-1.
inline float fold(Lanes a) noexcept {
  const __m128 four = _mm_add_ps(_mm_add_ps(a.v[0], a.v[2]), _mm_add_ps(a.v[1], a.v[3]));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 0x01)));
}
inline void fold4(float* sums, Lanes a, Lanes b, Lanes c, Lanes d) noexcept {
  sums[0] = fold(a);
  sums[1] = fold(b);
  sums[2] = fold(c);
  sums[3] = fold(d);
}

// How much of a product fits the registers: rows and tokens of a dense tile.
constexpr int kDenseRows = 1, kDenseTokens = 4;
// Attention: sums kept in registers at once; sixteens of keys that are scored together.
constexpr int kAttendSums = 2, kScoreSixteens = 1;

}  // namespace
}  // namespace bitnet
