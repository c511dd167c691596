// AVX2 and its 256-bit form of VNNI: processors with vpdpbusd but no AVX-512. Only the ternary
// product differs from avx2.cpp; it is that of avx512.cpp in halves of 8 rows.

#include "compute/cpu/x86/lanes_avx2.h"
// In terms of these lanes:
#include "compute/cpu/float_verbs.h"
#include "compute/cpu/x86/measure_avx2.h"
#include "compute/cpu/x86/tables.h"

namespace bitnet {
namespace {

inline __m256i broadcast_four(const int8_t* q) noexcept {
  int32_t four;
  std::memcpy(&four, q, sizeof four);
  return _mm256_set1_epi32(four);
}

// 8 rows with one token: planes in place, two and two sharing a sum. Plane 1 is four times too
// large; planes 2 and 3 came down to 0 and 1 by one shift.
struct EightRows {
  __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();

  void add(__m256i even, __m256i odd, __m256i even_q, __m256i odd_q) noexcept {
    low = _mm256_dpbusd_avx_epi32(low, even, even_q);
    high = _mm256_dpbusd_avx_epi32(high, odd, odd_q);
  }
  void store(float* y, int64_t rows, int32_t q_sum, float factor) const noexcept {
    const __m256i codes_sum = _mm256_add_epi32(low, _mm256_srai_epi32(high, 2));
    const __m256i sum = _mm256_sub_epi32(codes_sum, _mm256_set1_epi32(q_sum));
    const __m256 result = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(factor));
    if (rows >= 8) {
      _mm256_storeu_ps(y, result);
    } else if (rows > 0) {
      float whole[8];
      _mm256_storeu_ps(whole, result);
      std::memcpy(y, whole, static_cast<size_t>(rows) * 4);
    }
  }
};

// One tile with two tokens; q1 may be q0. Members by name and not in arrays: see RowSums in
// avx512.cpp.
struct TileSums {
  EightRows upper0, lower0, upper1, lower1;

  template <int N>
  void add_group(const uint8_t* group, const int8_t* q0, const int8_t* q1) noexcept {
    const __m256i* halves = reinterpret_cast<const __m256i*>(group);
    const __m256i upper = _mm256_load_si256(halves), lower = _mm256_load_si256(halves + 1);
    add_planes<N>(upper, lower, q0, q1);
    add_planes<N>(_mm256_srli_epi16(upper, 4), _mm256_srli_epi16(lower, 4), q0 + 8, q1 + 8);
  }
  template <int N>
  void add_planes(__m256i upper, __m256i lower, const int8_t* q0, const int8_t* q1) noexcept {
    const __m256i mask = _mm256_set1_epi8(0x03), mask4 = _mm256_set1_epi8(0x0c);
    const __m256i upper_even = _mm256_and_si256(upper, mask);
    const __m256i upper_odd = _mm256_and_si256(upper, mask4);
    const __m256i lower_even = _mm256_and_si256(lower, mask);
    const __m256i lower_odd = _mm256_and_si256(lower, mask4);
    const __m256i even0 = broadcast_four(q0), odd0 = broadcast_four(q0 + 4);
    upper0.add(upper_even, upper_odd, even0, odd0);
    lower0.add(lower_even, lower_odd, even0, odd0);
    if constexpr (N == 2) {
      const __m256i even1 = broadcast_four(q1), odd1 = broadcast_four(q1 + 4);
      upper1.add(upper_even, upper_odd, even1, odd1);
      lower1.add(lower_even, lower_odd, even1, odd1);
    }
  }
};

template <int N>
inline void tile(float* y, int64_t y_stride, int64_t rows, const uint8_t* groups_of_tile,
                 int64_t groups, float scale, const QuantizedRows& x, int64_t token) noexcept {
  const int8_t* q0 = x.q + token * x.stride;
  const int8_t* q1 = N == 2 ? q0 + x.stride : q0;
  TileSums sums;
  for (int64_t g = 0; g < groups; ++g) {
    prefetch_line(groups_of_tile + 64 * g);
    sums.add_group<N>(groups_of_tile + 64 * g, q0 + 16 * g, q1 + 16 * g);
  }
  const float factor = scale / x.scale[token];
  sums.upper0.store(y, rows, x.sum[token], factor);
  sums.lower0.store(y + 8, rows - 8, x.sum[token], factor);
  if constexpr (N == 2) {
    const float factor1 = scale / x.scale[token + 1];
    sums.upper1.store(y + y_stride, rows, x.sum[token + 1], factor1);
    sums.lower1.store(y + y_stride + 8, rows - 8, x.sum[token + 1], factor1);
  }
}

// 2 tokens x 2 halves x 2 sums are 8 of the 16 registers; 3 would leave none for the planes.
constexpr int64_t kTokensPerTile = 2;

void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens,
                    uint8_t* scratch) noexcept {
  const int64_t groups = padded_cols(w.cols) / 16;
  for (int64_t r = first_row; r < last_row; r += kTileRows) {
    const uint8_t* groups_of_tile = two_bit_tile(w, r / kTileRows, scratch);
    const int64_t rows = at_most(last_row - r, kTileRows);
    int64_t t = 0;
    for (; t + kTokensPerTile <= tokens; t += kTokensPerTile) {
      tile<2>(y + t * y_stride + r, y_stride, rows, groups_of_tile, groups, w.scale, x, t);
    }
    if (t < tokens) {
      tile<1>(y + t * y_stride + r, y_stride, rows, groups_of_tile, groups, w.scale, x, t);
    }
  }
}

uint64_t int8_multiply_adds(uint64_t count) noexcept {
  constexpr uint64_t kStep = 12 * 32;  // 12 chains hide the latency of 5 at two a cycle
  const __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(-1);
  uint64_t done = 0;
  for (; done < count; done += kStep) {
    // Sums nobody needs, in registers of the assembler's choice: nothing to optimize away.
    asm volatile(
        "%{vex%} vpdpbusd %1, %0, %%ymm4\n %{vex%} vpdpbusd %1, %0, %%ymm5\n"
        "%{vex%} vpdpbusd %1, %0, %%ymm6\n %{vex%} vpdpbusd %1, %0, %%ymm7\n"
        "%{vex%} vpdpbusd %1, %0, %%ymm8\n %{vex%} vpdpbusd %1, %0, %%ymm9\n"
        "%{vex%} vpdpbusd %1, %0, %%ymm10\n %{vex%} vpdpbusd %1, %0, %%ymm11\n"
        "%{vex%} vpdpbusd %1, %0, %%ymm12\n %{vex%} vpdpbusd %1, %0, %%ymm13\n"
        "%{vex%} vpdpbusd %1, %0, %%ymm14\n %{vex%} vpdpbusd %1, %0, %%ymm15"
        :
        : "x"(a), "x"(b)
        : "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
          "xmm14", "xmm15");
  }
  return done;
}

}  // namespace

constinit const Ops kAvxVnniOps = table("avxvnni");

}  // namespace bitnet
