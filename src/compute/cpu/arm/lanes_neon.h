// The 16 lanes of the numeric contract (compute/ops.h) in four NEON registers, for every AArch64.
// Operations: see compute/cpu/float_verbs.h, which is written in terms of them.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

namespace bitnet {
namespace {

// A value the compiler knows nothing about: it would make masks again in every turn of a loop, and
// see that both halves of a broadcast are the same and multiply by the lower, for which it has to
// move the codes' upper half down.
template <class Vector>
inline Vector opaque(Vector v) noexcept {
  asm("" : "+w"(v));
  return v;
}

struct Lanes {
  float32x4_t v[4];
};

template <class F>
[[gnu::always_inline]] inline Lanes each(const F& f) noexcept {
  return {{f(0), f(1), f(2), f(3)}};
}

inline Lanes all(float x) noexcept {
  return each([=](int) { return vdupq_n_f32(x); });
}
inline Lanes zero() noexcept {
  return all(0.0f);
}
// As bytes: a stored row lies anywhere.
inline Lanes load(const float* p) noexcept {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(p);
  return each([=](int i) { return vreinterpretq_f32_u8(vld1q_u8(bytes + 16 * i)); });
}
inline Lanes load_part(const float* p, int64_t n) noexcept {
  float whole[16] = {};
  std::memcpy(whole, p, static_cast<size_t>(n) * 4);
  return load(whole);
}
inline void store(float* p, Lanes a) noexcept {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.v[i]);
}
inline void store_part(float* p, Lanes a, int64_t n) noexcept {
  float whole[16];
  store(whole, a);
  std::memcpy(p, whole, static_cast<size_t>(n) * 4);
}

inline uint16x4_t load_four(const void* p, int i) noexcept {
  return vreinterpret_u16_u8(vld1_u8(static_cast<const uint8_t*>(p) + 8 * i));
}
inline Lanes load_half(const void* p) noexcept {
  return each([=](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(load_four(p, i))); });
}
inline Lanes load_half_part(const void* p, int64_t n) noexcept {
  uint16_t whole[16] = {};
  std::memcpy(whole, p, static_cast<size_t>(n) * 2);
  return load_half(whole);
}
inline Lanes load_bfloat(const void* p) noexcept {
  return each([=](int i) { return vreinterpretq_f32_u32(vshll_n_u16(load_four(p, i), 16)); });
}
inline Lanes load_bfloat_part(const void* p, int64_t n) noexcept {
  uint16_t whole[16] = {};
  std::memcpy(whole, p, static_cast<size_t>(n) * 2);
  return load_bfloat(whole);
}
inline Lanes load_int8(const int8_t* p) noexcept {
  const int8x16_t bytes = vld1q_s8(p);
  const int16x8_t words[2] = {vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)};
  return each([&](int i) {
    const int16x8_t word = words[i / 2];
    return vcvtq_f32_s32(i % 2 ? vmovl_high_s16(word) : vmovl_s16(vget_low_s16(word)));
  });
}
inline void store_half(uint16_t* p, Lanes a) noexcept {
  for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.v[i])));
}

inline Lanes add(Lanes a, Lanes b) noexcept {
  return each([&](int i) { return vaddq_f32(a.v[i], b.v[i]); });
}
inline Lanes subtract(Lanes a, Lanes b) noexcept {
  return each([&](int i) { return vsubq_f32(a.v[i], b.v[i]); });
}
inline Lanes multiply(Lanes a, Lanes b) noexcept {
  return each([&](int i) { return vmulq_f32(a.v[i], b.v[i]); });
}
inline Lanes divide(Lanes a, Lanes b) noexcept {
  return each([&](int i) { return vdivq_f32(a.v[i], b.v[i]); });
}
inline Lanes fused(Lanes a, Lanes b, Lanes c) noexcept {
  return each([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); });
}
inline Lanes negate(Lanes a) noexcept {
  return each([&](int i) { return vnegq_f32(a.v[i]); });
}
inline Lanes magnitude(Lanes a) noexcept {
  return each([&](int i) { return vabsq_f32(a.v[i]); });
}
// Not fmax and fmin: those give NaN for NaN and the larger of two zeros.
inline Lanes larger(Lanes a, Lanes b) noexcept {
  return each([&](int i) { return vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); });
}
inline Lanes smaller(Lanes a, Lanes b) noexcept {
  return each([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); });
}
inline float largest(Lanes a) noexcept {
  return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.v[0], a.v[1]), vmaxq_f32(a.v[2], a.v[3])));
}
inline Lanes zero_where_less(Lanes x, Lanes limit, Lanes a) noexcept {
  return each([&](int i) {
    const uint32x4_t less = vcltq_f32(x.v[i], limit.v[i]);
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a.v[i]), less));
  });
}
inline Lanes shifted_bits(Lanes a, int32_t bias) noexcept {
  return each([&](int i) {
    const int32x4_t bits = vaddq_s32(vreinterpretq_s32_f32(a.v[i]), vdupq_n_s32(bias));
    return vreinterpretq_f32_s32(vshlq_n_s32(bits, 23));
  });
}

// fcvtns rounds ties to even, saturates, and gives 0 for NaN.
inline void store_int8(int8_t* q, Lanes a) noexcept {
  const auto words = [&](int i) {
    return vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(a.v[i])), vqmovn_s32(vcvtnq_s32_f32(a.v[i + 1])));
  };
  vst1q_s8(q, vcombine_s8(vqmovn_s16(words(0)), vqmovn_s16(words(2))));
}

inline Lanes swap_pairs(Lanes a) noexcept {
  return each([&](int i) { return vrev64q_f32(a.v[i]); });
}
inline Lanes negate_even(Lanes a) noexcept {
  const uint32x4_t sign = vreinterpretq_u32_u64(vdupq_n_u64(0x80000000u));
  return each(
      [&](int i) { return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a.v[i]), sign)); });
}
inline Lanes load_twice(const float* p) noexcept {
  const float32x4_t low = vld1q_f32(p), high = vld1q_f32(p + 4);
  return {
      {vzip1q_f32(low, low), vzip2q_f32(low, low), vzip1q_f32(high, high), vzip2q_f32(high, high)}};
}

// Lanes folded 8-4-2-1.
inline float32x4_t folded_to_four(Lanes a) noexcept {
  return vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
}
inline float fold(Lanes a) noexcept {
  const float32x4_t four = folded_to_four(a);
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(vpadd_f32(two, two), 0);
}
inline float32x4_t folded_to_two(Lanes a, Lanes b) noexcept {  // a0 a1 b0 b1
  const float32x4_t a4 = folded_to_four(a), b4 = folded_to_four(b);
  return vaddq_f32(vcombine_f32(vget_low_f32(a4), vget_low_f32(b4)),
                   vcombine_f32(vget_high_f32(a4), vget_high_f32(b4)));
}
inline void fold4(float* sums, Lanes a, Lanes b, Lanes c, Lanes d) noexcept {
  vst1q_f32(sums, vpaddq_f32(folded_to_two(a, b), folded_to_two(c, d)));
}

// How much of a product fits the registers: rows and tokens of a dense tile.
constexpr int kDenseRows = 1, kDenseTokens = 4;
// Attention: sums kept in registers at once; sixteens of keys that are scored together.
constexpr int kAttendSums = 4, kScoreSixteens = 1;

}  // namespace
}  // namespace bitnet
