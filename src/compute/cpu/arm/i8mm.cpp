// Armv8.2 with dot products and int8 matrix products (FEAT_I8MM). smmla multiplies 2 rows of 8
// columns with 2 tokens: twice sdot's products. One token takes sdot.

#include "compute/cpu/arm/lanes_neon.h"
// In terms of these lanes:
#include "compute/cpu/arm/measure_neon.h"
#include "compute/cpu/arm/screen_sdot.h"
#include "compute/cpu/arm/sdot.h"
#include "compute/cpu/arm/tables.h"
#include "compute/cpu/arm/ternary_tiles.h"
#include "compute/cpu/float_verbs.h"

namespace bitnet {
namespace {

struct Products {
  // Two tokens with 16 rows: pairs[i] is rows 2i and 2i + 1 with the first token, then with the
  // second.
  struct Pair {
    int32x4_t pairs[8];
    Pair() noexcept {
      for (int32x4_t& pair : pairs) pair = vdupq_n_s32(0);
    }
    TileSums tile(bool of_second) const noexcept {
      const auto two = [&](int i) {
        return of_second ? vget_high_s32(pairs[i]) : vget_low_s32(pairs[i]);
      };
      const auto four = [&](int i) { return vcombine_s32(two(i), two(i + 1)); };
      return {{four(0), four(2), four(4), four(6)}};
    }
  };
  struct Sums {
    Pair first, second;
    TileSums tile(int64_t t) const noexcept {
      const Pair& pair = t < 2 ? first : second;
      return pair.tile(t % 2 != 0);
    }
  };

  // Rows 2i and 2i + 1 at 32*i: of either first planes 0 and 2, then, behind, planes 1 and 3.
  static void expand(int8_t* codes, const uint8_t* group) noexcept {
    const uint8x16_t mask = vdupq_n_u8(3);
    for (int i = 0; i < 4; ++i) {
      const uint8x16_t bytes = vld1q_u8(group + 16 * i);
      const uint32x4_t below = vreinterpretq_u32_u8(bytes);
      const uint32x4_t above = vreinterpretq_u32_u8(vshrq_n_u8(bytes, 4));
      const uint8x16_t rows[2] = {vreinterpretq_u8_u32(vzip1q_u32(below, above)),
                                  vreinterpretq_u8_u32(vzip2q_u32(below, above))};
      for (int j = 0; j < 2; ++j) {
        const uint8x16_t even = vandq_u8(rows[j], mask);
        const uint8x16_t odd = vandq_u8(vshrq_n_u8(rows[j], 2), mask);
        vst1q_s8(codes + 64 * i + 32 * j, vreinterpretq_s8_u8(even));
        vst1q_s8(codes + 64 * i + 32 * j + 16, vreinterpretq_s8_u8(odd));
      }
    }
  }

  // Activations of two tokens in the order of the codes.
  struct Columns {
    int8x16_t even, odd;
    Columns(const int8_t* q0, const int8_t* q1) noexcept {
      const int32x4_t a = vreinterpretq_s32_s8(vld1q_s8(q0));
      const int32x4_t b = vreinterpretq_s32_s8(vld1q_s8(q1));
      even = vreinterpretq_s8_s32(vuzp1q_s32(a, b));
      odd = vreinterpretq_s8_s32(vuzp2q_s32(a, b));
    }
  };
  static void add(int32x4_t& sum, const Columns& q, int8x16_t even, int8x16_t odd) noexcept {
    sum = vmmlaq_s32(vmmlaq_s32(sum, q.even, even), q.odd, odd);
  }

  static void add_four(Sums& sums, const int8_t* codes, int64_t groups, const Quad& quad) noexcept {
    Pair first = sums.first, second = sums.second;
    for (int64_t g = 0; g < groups; ++g) {
      const Columns q01(quad.q[0] + 16 * g, quad.q[1] + 16 * g);
      const Columns q23(quad.q[2] + 16 * g, quad.q[3] + 16 * g);
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        const int8x16_t even = vld1q_s8(codes + kGroupCodes * g + 32 * i);
        const int8x16_t odd = vld1q_s8(codes + kGroupCodes * g + 32 * i + 16);
        add(first.pairs[i], q01, even, odd);
        add(second.pairs[i], q23, even, odd);
      }
    }
    sums = {first, second};
  }
  static void add_two(Sums& sums, const int8_t* codes, int64_t groups, const Quad& quad) noexcept {
    Pair first = sums.first;
    for (int64_t g = 0; g < groups; ++g) {
      const Columns q01(quad.q[0] + 16 * g, quad.q[1] + 16 * g);
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        const int8x16_t even = vld1q_s8(codes + kGroupCodes * g + 32 * i);
        const int8x16_t odd = vld1q_s8(codes + kGroupCodes * g + 32 * i + 16);
        add(first.pairs[i], q01, even, odd);
      }
    }
    sums.first = first;
  }
  static void add(Sums& sums, const int8_t* codes, int64_t groups, const Quad& quad,
                  int64_t tokens) noexcept {
    return tokens > 2 ? add_four(sums, codes, groups, quad) : add_two(sums, codes, groups, quad);
  }
};

void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens,
                    uint8_t* scratch) noexcept {
  ternary_tiles<Products>(y, y_stride, w, first_row, last_row, x, tokens, scratch, tile_one);
}

uint64_t int8_multiply_adds(uint64_t count) noexcept {
  constexpr uint64_t kStep = 16 * 32;  // 16 chains hide any latency
  const int8x16_t a = vdupq_n_s8(1), b = vdupq_n_s8(-1);
  uint64_t done = 0;
  for (; done < count; done += kStep) {
    // Sums nobody needs, in registers of the assembler's choice: nothing to optimize away.
    asm volatile(
        "smmla v16.4s, %0.16b, %1.16b\n smmla v17.4s, %0.16b, %1.16b\n"
        "smmla v18.4s, %0.16b, %1.16b\n smmla v19.4s, %0.16b, %1.16b\n"
        "smmla v20.4s, %0.16b, %1.16b\n smmla v21.4s, %0.16b, %1.16b\n"
        "smmla v22.4s, %0.16b, %1.16b\n smmla v23.4s, %0.16b, %1.16b\n"
        "smmla v24.4s, %0.16b, %1.16b\n smmla v25.4s, %0.16b, %1.16b\n"
        "smmla v26.4s, %0.16b, %1.16b\n smmla v27.4s, %0.16b, %1.16b\n"
        "smmla v28.4s, %0.16b, %1.16b\n smmla v29.4s, %0.16b, %1.16b\n"
        "smmla v30.4s, %0.16b, %1.16b\n smmla v31.4s, %0.16b, %1.16b"
        :
        : "w"(a), "w"(b)
        : "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28",
          "v29", "v30", "v31");
  }
  return done;
}

}  // namespace

constinit const Ops kI8mmOps = table("i8mm");

}  // namespace bitnet
