// Armv8.2 with dot products (FEAT_DotProd).

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
  struct Sums {
    TileSums tokens[kQuad];
    TileSums tile(int64_t t) const noexcept { return tokens[t]; }
  };

  static void expand(int8_t* codes, const uint8_t* group) noexcept { expand_planes(codes, group); }

  template <int N, int P>
  static void add_plane(TileSums (&tokens)[N], const int8_t* codes,
                        const int8x16_t (&q)[N]) noexcept {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const int8x16_t plane = vld1q_s8(codes + 64 * P + 16 * i);
#pragma GCC unroll 4
      for (int t = 0; t < N; ++t) {
        tokens[t].rows[i] = vdotq_laneq_s32(tokens[t].rows[i], plane, q[t], P);
      }
    }
  }
  template <int N>
  static void add(Sums& sums, const int8_t* codes, int64_t groups, const Quad& quad) noexcept {
    TileSums tokens[N];
    for (int t = 0; t < N; ++t) tokens[t] = sums.tokens[t];
    for (int64_t g = 0; g < groups; ++g) {
      int8x16_t q[N];
      for (int t = 0; t < N; ++t) q[t] = vld1q_s8(quad.q[t] + 16 * g);
      const int8_t* group = codes + kGroupCodes * g;
      add_plane<N, 0>(tokens, group, q);
      add_plane<N, 1>(tokens, group, q);
      add_plane<N, 2>(tokens, group, q);
      add_plane<N, 3>(tokens, group, q);
    }
    for (int t = 0; t < N; ++t) sums.tokens[t] = tokens[t];
  }
  static void add(Sums& sums, const int8_t* codes, int64_t groups, const Quad& quad,
                  int64_t tokens) noexcept {
    switch (tokens) {
      case 1:
        return add<1>(sums, codes, groups, quad);
      case 2:
        return add<2>(sums, codes, groups, quad);
      case 3:
        return add<3>(sums, codes, groups, quad);
      default:
        return add<4>(sums, codes, groups, quad);
    }
  }
};

void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens,
                    uint8_t* scratch) noexcept {
  ternary_tiles<Products>(y, y_stride, w, first_row, last_row, x, tokens, scratch, tile_one);
}

uint64_t int8_multiply_adds(uint64_t count) noexcept {
  constexpr uint64_t kStep = 16 * 16;  // 16 chains hide any latency
  const int8x16_t a = vdupq_n_s8(1), b = vdupq_n_s8(-1);
  uint64_t done = 0;
  for (; done < count; done += kStep) {
    // Sums nobody needs, in registers of the assembler's choice: nothing to optimize away.
    asm volatile(
        "sdot v16.4s, %0.16b, %1.16b\n sdot v17.4s, %0.16b, %1.16b\n"
        "sdot v18.4s, %0.16b, %1.16b\n sdot v19.4s, %0.16b, %1.16b\n"
        "sdot v20.4s, %0.16b, %1.16b\n sdot v21.4s, %0.16b, %1.16b\n"
        "sdot v22.4s, %0.16b, %1.16b\n sdot v23.4s, %0.16b, %1.16b\n"
        "sdot v24.4s, %0.16b, %1.16b\n sdot v25.4s, %0.16b, %1.16b\n"
        "sdot v26.4s, %0.16b, %1.16b\n sdot v27.4s, %0.16b, %1.16b\n"
        "sdot v28.4s, %0.16b, %1.16b\n sdot v29.4s, %0.16b, %1.16b\n"
        "sdot v30.4s, %0.16b, %1.16b\n sdot v31.4s, %0.16b, %1.16b"
        :
        : "w"(a), "w"(b)
        : "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28",
          "v29", "v30", "v31");
  }
  return done;
}

}  // namespace

constinit const Ops kDotprodOps = table("dotprod");

}  // namespace bitnet
