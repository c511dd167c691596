// Every AArch64: NEON without dot products. Products of codes and activations are added up in
// int16.

#include "compute/cpu/arm/lanes_neon.h"
// In terms of these lanes:
#include "compute/cpu/arm/measure_neon.h"
#include "compute/cpu/arm/screen_smlal.h"
#include "compute/cpu/arm/tables.h"
#include "compute/cpu/arm/ternary_tiles.h"
#include "compute/cpu/float_verbs.h"

namespace bitnet {
namespace {

// A code (0..2) times an activation (-128..127) is -256..254, so an int16 lane holds 128 of them,
// -32768..32512, and no more; of codes left in the second plane's place, four times too large, 32.
constexpr int64_t kProductsPerWord = 128;
static_assert(kProductsPerWord * 2 * 128 <= 32768 && kProductsPerWord * 2 * 127 <= 32767);

inline int8x16_t broadcast_four(const int8_t* q) noexcept {
  int32_t four;
  std::memcpy(&four, q, sizeof four);
  return opaque(vreinterpretq_s8_s32(vdupq_n_s32(four)));
}

// 4 rows in int16: rows 0 and 1 in `upper`, 2 and 3 in `lower`, a lane a column of the plane.
struct Words {
  int16x8_t upper = vdupq_n_s16(0), lower = vdupq_n_s16(0);

  void add(int8x16_t codes, int8x16_t q) noexcept {
    upper = vmlal_s8(upper, vget_low_s8(codes), vget_low_s8(q));
    lower = vmlal_high_s8(lower, codes, q);
  }
};
// The same in int32, two lanes a row.
struct RowSums {
  int32x4_t upper = vdupq_n_s32(0), lower = vdupq_n_s32(0);

  void add(const Words& words) noexcept {
    upper = vpadalq_s16(upper, words.upper);
    lower = vpadalq_s16(lower, words.lower);
  }
  int32x4_t total() const noexcept { return vpaddq_s32(upper, lower); }
};

// 4 rows straight from the packed tile. After one shift by 4, planes 0 and 2 lie in place and share
// a sum, as do 1 and 3, four times too large.
struct PackedRows {
  Words low, high;

  void add(const uint8_t* bytes, const int8x16_t (&q)[4], uint8x16_t mask,
           uint8x16_t mask4) noexcept {
    const uint8x16_t codes = vld1q_u8(bytes), above = vshrq_n_u8(codes, 4);
    low.add(vreinterpretq_s8_u8(vandq_u8(codes, mask)), q[0]);
    high.add(vreinterpretq_s8_u8(vandq_u8(codes, mask4)), q[1]);
    low.add(vreinterpretq_s8_u8(vandq_u8(above, mask)), q[2]);
    high.add(vreinterpretq_s8_u8(vandq_u8(above, mask4)), q[3]);
  }
  // Exact: every sum in `high` is a multiple of 4.
  Words joined() const noexcept {
    return {vsraq_n_s16(low.upper, high.upper, 2), vsraq_n_s16(low.lower, high.lower, 2)};
  }
};

// Groups until the int16 are widened: each adds two products to a lane of `high`, which count four
// times; joined() then has as many as the two lanes together.
constexpr int64_t kGroupsPerWiden = kProductsPerWord / 4 / 2;

// At most kGroupsPerWiden groups. A function of its own, or its caller's sums would take eight of
// the registers that 16 sums of words, masks and activations need.
[[gnu::noinline]] void add_groups(RowSums (&sums)[4], const uint8_t* tile, int64_t groups,
                                  const int8_t* q) noexcept {
  const uint8x16_t mask = opaque(vdupq_n_u8(0x03)), mask4 = opaque(vdupq_n_u8(0x0c));
  PackedRows a, b, c, d;
  for (int64_t g = 0; g < groups; ++g) {
    const uint8_t* group = tile + 64 * g;
    prefetch_line(group);
    const int8_t* columns = q + 16 * g;
    const int8x16_t fours[4] = {broadcast_four(columns), broadcast_four(columns + 4),
                                broadcast_four(columns + 8), broadcast_four(columns + 12)};
    a.add(group, fours, mask, mask4);
    b.add(group + 16, fours, mask, mask4);
    c.add(group + 32, fours, mask, mask4);
    d.add(group + 48, fours, mask, mask4);
  }
  sums[0].add(a.joined());
  sums[1].add(b.joined());
  sums[2].add(c.joined());
  sums[3].add(d.joined());
}

inline TileSums tile_one(const uint8_t* tile, int64_t groups, const int8_t* q) noexcept {
  RowSums sums[4];
  for (int64_t g = 0; g < groups; g += kGroupsPerWiden) {
    add_groups(sums, tile + 64 * g, at_most(groups - g, kGroupsPerWiden), q + 16 * g);
  }
  return {{sums[0].total(), sums[1].total(), sums[2].total(), sums[3].total()}};
}

// A piece of 16 groups adds 4 products a group to each lane.
static_assert(kPieceGroups * 4 <= kProductsPerWord);

struct Products {
  struct Sums {
    RowSums tokens[kQuad][4];
    TileSums tile(int64_t t) const noexcept {
      return {
          {tokens[t][0].total(), tokens[t][1].total(), tokens[t][2].total(), tokens[t][3].total()}};
    }
  };

  static void expand(int8_t* codes, const uint8_t* group) noexcept { expand_planes(codes, group); }

  // N tokens from `token` on.
  template <int N>
  static void add(Sums& sums, const int8_t* codes, int64_t groups, const Quad& quad,
                  int64_t token) noexcept {
    Words words[N][4];
    for (int64_t g = 0; g < groups; ++g) {
#pragma GCC unroll 4
      for (int p = 0; p < 4; ++p) {
        int8x16_t q[N];
        for (int t = 0; t < N; ++t) q[t] = broadcast_four(quad.q[token + t] + 16 * g + 4 * p);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          const int8x16_t plane = vld1q_s8(codes + kGroupCodes * g + 64 * p + 16 * i);
          for (int t = 0; t < N; ++t) words[t][i].add(plane, q[t]);
        }
      }
    }
    for (int t = 0; t < N; ++t) {
      for (int i = 0; i < 4; ++i) sums.tokens[token + t][i].add(words[t][i]);
    }
  }
  static void add(Sums& sums, const int8_t* codes, int64_t groups, const Quad& quad,
                  int64_t tokens) noexcept {
    int64_t t = 0;
    for (; t + 2 <= tokens; t += 2) add<2>(sums, codes, groups, quad, t);
    if (t < tokens) add<1>(sums, codes, groups, quad, t);
  }
};

void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens,
                    uint8_t* scratch) noexcept {
  ternary_tiles<Products>(y, y_stride, w, first_row, last_row, x, tokens, scratch, tile_one);
}

uint64_t int8_multiply_adds(uint64_t count) noexcept {
  constexpr uint64_t kStep = 16 * 8;  // 16 chains hide any latency
  const int8x16_t a = vdupq_n_s8(1), b = vdupq_n_s8(-1);
  uint64_t done = 0;
  for (; done < count; done += kStep) {
    // Sums nobody needs, in registers of the assembler's choice: nothing to optimize away.
    asm volatile(
        "smlal v16.8h, %0.8b, %1.8b\n smlal2 v17.8h, %0.16b, %1.16b\n"
        "smlal v18.8h, %0.8b, %1.8b\n smlal2 v19.8h, %0.16b, %1.16b\n"
        "smlal v20.8h, %0.8b, %1.8b\n smlal2 v21.8h, %0.16b, %1.16b\n"
        "smlal v22.8h, %0.8b, %1.8b\n smlal2 v23.8h, %0.16b, %1.16b\n"
        "smlal v24.8h, %0.8b, %1.8b\n smlal2 v25.8h, %0.16b, %1.16b\n"
        "smlal v26.8h, %0.8b, %1.8b\n smlal2 v27.8h, %0.16b, %1.16b\n"
        "smlal v28.8h, %0.8b, %1.8b\n smlal2 v29.8h, %0.16b, %1.16b\n"
        "smlal v30.8h, %0.8b, %1.8b\n smlal2 v31.8h, %0.16b, %1.16b"
        :
        : "w"(a), "w"(b)
        : "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28",
          "v29", "v30", "v31");
  }
  return done;
}

}  // namespace

constinit const Ops kNeonOps = table("neon");

}  // namespace bitnet
