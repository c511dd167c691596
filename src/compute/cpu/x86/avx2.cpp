// AVX2 with FMA and F16C.

#include "compute/cpu/x86/lanes_avx2.h"
// In terms of these lanes:
#include "compute/cpu/float_verbs.h"
#include "compute/cpu/x86/tables.h"

namespace bitnet {
namespace {

// vpmaddubsw adds two products of a code (0..2) and an activation (-128..127) in int16: -512..508.
// So an int16 lane holds 64 of them, -32768..32512, and no more; with codes left in the second
// plane's place, four times too large, 16 (performance.md C2: the bound that peers break).
constexpr int kPairsPerWord = 64;
static_assert(kPairsPerWord * 2 * 2 * 128 <= 32768 && kPairsPerWord * 2 * 2 * 127 <= 32767);

inline __m256i broadcast_four(const int8_t* q) noexcept {
  int32_t four;
  std::memcpy(&four, q, sizeof four);
  return _mm256_set1_epi32(four);
}

inline __m256i widen(__m256i words) noexcept {
  return _mm256_madd_epi16(words, _mm256_set1_epi16(1));
}

inline void store_eight(float* y, int64_t rows, __m256i codes_sum, int32_t q_sum,
                        float factor) noexcept {
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

// Sums of planes 0 and 2 (in place after one shift by 4), and of 1 and 3, four times too large.
struct EightRows {
  __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();          // int16
  __m256i low_sum = _mm256_setzero_si256(), high_sum = _mm256_setzero_si256();  // int32

  // 8 rows x 16 columns.
  void add_group(const uint8_t* half_group, const __m256i (&q)[4]) noexcept {
    const __m256i mask = _mm256_set1_epi8(0x03), mask4 = _mm256_set1_epi8(0x0c);
    const __m256i codes = _mm256_load_si256(reinterpret_cast<const __m256i*>(half_group));
    const __m256i upper = _mm256_srli_epi16(codes, 4);
    const __m256i p0 = _mm256_maddubs_epi16(_mm256_and_si256(codes, mask), q[0]);
    const __m256i p1 = _mm256_maddubs_epi16(_mm256_and_si256(codes, mask4), q[1]);
    const __m256i p2 = _mm256_maddubs_epi16(_mm256_and_si256(upper, mask), q[2]);
    const __m256i p3 = _mm256_maddubs_epi16(_mm256_and_si256(upper, mask4), q[3]);
    low = _mm256_add_epi16(low, _mm256_add_epi16(p0, p2));
    high = _mm256_add_epi16(high, _mm256_add_epi16(p1, p3));
  }
  void widen_sums() noexcept {
    low_sum = _mm256_add_epi32(low_sum, widen(low));
    high_sum = _mm256_add_epi32(high_sum, widen(high));
    low = high = _mm256_setzero_si256();
  }
  __m256i total() const noexcept {
    return _mm256_add_epi32(low_sum, _mm256_srai_epi32(high_sum, 2));
  }
};

// Groups until widen_sums: each adds two pairs to `high`, which count four-fold.
constexpr int64_t kGroupsPerWiden = kPairsPerWord / 4 / 2;

inline void tile_one(float* y, int64_t rows, const uint8_t* tile, int64_t groups, float scale,
                     const QuantizedRows& x, int64_t token) noexcept {
  const int8_t* q = x.q + token * x.stride;
  EightRows upper, lower;
  for (int64_t first = 0; first < groups; first += kGroupsPerWiden) {
    const int64_t last = at_most(first + kGroupsPerWiden, groups);
    for (int64_t g = first; g < last; ++g) {
      const uint8_t* group = tile + 64 * g;
      prefetch_line(group);
      const int8_t* columns = q + 16 * g;
      const __m256i fours[4] = {broadcast_four(columns), broadcast_four(columns + 4),
                                broadcast_four(columns + 8), broadcast_four(columns + 12)};
      upper.add_group(group, fours);
      lower.add_group(group + 32, fours);
    }
    upper.widen_sums();
    lower.widen_sums();
  }
  const float factor = scale / x.scale[token];
  store_eight(y, rows, upper.total(), x.sum[token], factor);
  store_eight(y + 8, rows - 8, lower.total(), x.sum[token], factor);
}

// One tile with N tokens: each plane is taken out once, shifted to its place, and serves them all.
template <int N>
inline void tile_several(float* y, int64_t y_stride, int64_t rows, const uint8_t* tile,
                         int64_t groups, float scale, const QuantizedRows& x,
                         int64_t token) noexcept {
  constexpr int64_t kGroups = kPairsPerWord / 4;  // four pairs a group
  const int8_t* q = x.q + token * x.stride;
  const __m256i mask = _mm256_set1_epi8(0x03);
  __m256i sums[N][2];
  for (auto& sum : sums) sum[0] = sum[1] = _mm256_setzero_si256();
  for (int64_t first = 0; first < groups; first += kGroups) {
    const int64_t last = at_most(first + kGroups, groups);
    __m256i words[N][2];
    for (auto& word : words) word[0] = word[1] = _mm256_setzero_si256();
    for (int64_t g = first; g < last; ++g) {
      prefetch_line(tile + 64 * g);
      __m256i upper = _mm256_load_si256(reinterpret_cast<const __m256i*>(tile + 64 * g));
      __m256i lower = _mm256_load_si256(reinterpret_cast<const __m256i*>(tile + 64 * g + 32));
#pragma GCC unroll 4
      for (int p = 0; p < 4; ++p) {
        const __m256i upper_plane = _mm256_and_si256(upper, mask);
        const __m256i lower_plane = _mm256_and_si256(lower, mask);
        upper = _mm256_srli_epi16(upper, 2);
        lower = _mm256_srli_epi16(lower, 2);
#pragma GCC unroll 4
        for (int t = 0; t < N; ++t) {
          const __m256i four = broadcast_four(q + t * x.stride + 16 * g + 4 * p);
          words[t][0] = _mm256_add_epi16(words[t][0], _mm256_maddubs_epi16(upper_plane, four));
          words[t][1] = _mm256_add_epi16(words[t][1], _mm256_maddubs_epi16(lower_plane, four));
        }
      }
    }
    for (int t = 0; t < N; ++t) {
      sums[t][0] = _mm256_add_epi32(sums[t][0], widen(words[t][0]));
      sums[t][1] = _mm256_add_epi32(sums[t][1], widen(words[t][1]));
    }
  }
  for (int t = 0; t < N; ++t) {
    const float factor = scale / x.scale[token + t];
    store_eight(y + t * y_stride, rows, sums[t][0], x.sum[token + t], factor);
    store_eight(y + t * y_stride + 8, rows - 8, sums[t][1], x.sum[token + t], factor);
  }
}

// 4 tokens x 2 halves are 8 of the 16 registers.
constexpr int64_t kTokensPerTile = 4;

void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens,
                    uint8_t* scratch) noexcept {
  const int64_t groups = padded_cols(w.cols) / 16;
  const int64_t parts = (tokens + kTokensPerTile - 1) / kTokensPerTile;  // of nearly equal size
  for (int64_t r = first_row; r < last_row; r += kTileRows) {
    const uint8_t* tile = two_bit_tile(w, r / kTileRows, scratch);
    const int64_t rows = at_most(last_row - r, kTileRows);
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t t = tokens * part / parts, n = tokens * (part + 1) / parts - t;
      float* out = y + t * y_stride + r;
      switch (n) {
        case 1:
          tile_one(out, rows, tile, groups, w.scale, x, t);
          break;
        case 2:
          tile_several<2>(out, y_stride, rows, tile, groups, w.scale, x, t);
          break;
        case 3:
          tile_several<3>(out, y_stride, rows, tile, groups, w.scale, x, t);
          break;
        default:
          tile_several<4>(out, y_stride, rows, tile, groups, w.scale, x, t);
      }
    }
  }
}

}  // namespace
}  // namespace bitnet

#include "compute/cpu/x86/measure_avx2.h"

namespace bitnet {
namespace {

uint64_t int8_multiply_adds(uint64_t count) noexcept {
  // vpmaddubsw and an add to int16, as the verbs do; widening is left out.
  constexpr int kChains = 8;
  __m256i sums[kChains];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  __m256i a = _mm256_set1_epi8(1);
  const __m256i b = _mm256_set1_epi8(-1);
  uint64_t done = 0;
  for (; done < count; done += kChains * 32) {
    for (__m256i& sum : sums) {
      asm volatile("" : "+x"(a));  // or the compiler would multiply once
      sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b));
    }
  }
  for (__m256i& sum : sums) asm volatile("" : : "x"(sum));
  return done;
}

}  // namespace

constinit const Ops kAvx2Ops = table("avx2");

}  // namespace bitnet
