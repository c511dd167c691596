// Every x86-64: SSE2, with the fused multiply-add made of doubles.

#include "compute/cpu/x86/lanes_sse2.h"
// In terms of these lanes:
#include "compute/cpu/float_verbs.h"
#include "compute/cpu/x86/screen_sse2.h"
#include "compute/cpu/x86/tables.h"

namespace bitnet {
namespace {

// Activations of 16 columns as int16, even columns and odd columns apart, two a dword:
// even[p] = (q[4p], q[4p + 2]) in every dword, odd[p] = (q[4p + 1], q[4p + 3]).
struct Columns {
  __m128i even[4], odd[4];

  explicit Columns(const int8_t* q) noexcept {
    const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(q));
    const __m128i evens = _mm_srai_epi16(_mm_slli_epi16(bytes, 8), 8);
    const __m128i odds = _mm_srai_epi16(bytes, 8);
    even[0] = _mm_shuffle_epi32(evens, 0x00);
    even[1] = _mm_shuffle_epi32(evens, 0x55);
    even[2] = _mm_shuffle_epi32(evens, 0xaa);
    even[3] = _mm_shuffle_epi32(evens, 0xff);
    odd[0] = _mm_shuffle_epi32(odds, 0x00);
    odd[1] = _mm_shuffle_epi32(odds, 0x55);
    odd[2] = _mm_shuffle_epi32(odds, 0xaa);
    odd[3] = _mm_shuffle_epi32(odds, 0xff);
  }
};

// Codes of 4 rows x 16 columns as int16, as Columns has the activations: plane p's even columns at
// 2p, its odd columns at 2p + 1.
struct FourRows {
  __m128i words[8];

  explicit FourRows(const uint8_t* bytes) noexcept {
    const __m128i mask = _mm_set1_epi16(3);
    const __m128i even = _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
    const __m128i odd = _mm_srli_epi16(even, 8);
#pragma GCC unroll 4
    for (int p = 0; p < 4; ++p) {
      words[2 * p] = _mm_and_si128(_mm_srli_epi16(even, 2 * p), mask);
      words[2 * p + 1] = _mm_and_si128(_mm_srli_epi16(odd, 2 * p), mask);
    }
  }
};

inline __m128i multiply_add(__m128i sum, const __m128i* words, const Columns& q) noexcept {
#pragma GCC unroll 4
  for (int p = 0; p < 4; ++p) {
    sum = _mm_add_epi32(sum, _mm_madd_epi16(words[2 * p], q.even[p]));
    sum = _mm_add_epi32(sum, _mm_madd_epi16(words[2 * p + 1], q.odd[p]));
  }
  return sum;
}

// The rows of a tile for one token, from two bits or from the panel: a tile's codes as int16,
// unpacked once for several tokens.
template <bool kPanel>
inline void tile_rows(float* y, int64_t rows, const uint8_t* tile, const __m128i* panel,
                      int64_t groups, float scale, const QuantizedRows& x, int64_t token) noexcept {
  __m128i sums[4];
  for (__m128i& sum : sums) sum = _mm_setzero_si128();
  for (int64_t g = 0; g < groups; ++g) {
    const Columns columns(x.q + token * x.stride + kGroupCols * g);
    if (!kPanel) prefetch_line(tile + kGroupBytes * g);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      if constexpr (kPanel) {
        sums[i] = multiply_add(sums[i], panel + 32 * g + 8 * i, columns);
      } else {
        const FourRows codes(tile + kGroupBytes * g + 16 * i);
        sums[i] = multiply_add(sums[i], codes.words, columns);
      }
    }
  }
  const __m128 factor = _mm_set1_ps(scale / x.scale[token]);
  float results[kTileRows];
  for (int i = 0; i < 4; ++i) {
    const __m128i sum = _mm_sub_epi32(sums[i], _mm_set1_epi32(x.sum[token]));
    _mm_storeu_ps(results + 4 * i, _mm_mul_ps(_mm_cvtepi32_ps(sum), factor));
  }
  std::memcpy(y, results, static_cast<size_t>(rows) * 4);
}

void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens,
                    uint8_t* scratch) noexcept {
  static_assert(kMaxTernaryCols * 2 * 128 <= INT32_MAX);
  const int64_t groups = padded_cols(w.cols) / kGroupCols;
  __m128i* panel = reinterpret_cast<__m128i*>(scratch + tile_bytes(Packing::kTwoBit, w.cols));
  for (int64_t r = first_row; r < last_row; r += kTileRows) {
    const uint8_t* tile = two_bit_tile(w, r / kTileRows, scratch);
    const int64_t rows = at_most(last_row - r, kTileRows);
    if (tokens == 1) {
      tile_rows<false>(y + r, rows, tile, panel, groups, w.scale, x, 0);
      continue;
    }
    for (int64_t i = 0; i < 4 * groups; ++i) {
      const FourRows codes(tile + 16 * i);
      for (int word = 0; word < 8; ++word) _mm_store_si128(panel + 8 * i + word, codes.words[word]);
    }
    for (int64_t t = 0; t < tokens; ++t) {
      tile_rows<true>(y + t * y_stride + r, rows, tile, panel, groups, w.scale, x, t);
    }
  }
}

uint64_t read_stream(const uint8_t* data, int64_t bytes, Reading reading) noexcept {
  __m128i sums[4];
  for (__m128i& sum : sums) sum = _mm_setzero_si128();
  int64_t i = 0;
  for (; i + 64 <= bytes; i += 64) {
    if (reading == Reading::kPairs) prefetch_line(data + i);
    for (int s = 0; s < 4; ++s) {
      const __m128i* words = reinterpret_cast<const __m128i*>(data + i + 16 * s);
      sums[s] = _mm_add_epi64(sums[s], _mm_loadu_si128(words));
    }
  }
  uint64_t words[2];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(words),
                   _mm_add_epi64(_mm_add_epi64(sums[0], sums[1]), _mm_add_epi64(sums[2], sums[3])));
  return words[0] + words[1] + sum_words(data + i, bytes - i);
}

uint64_t int8_multiply_adds(uint64_t count) noexcept {
  // pmaddwd on codes and activations widened to int16, as the verb does.
  constexpr int kChains = 8;
  __m128i sums[kChains];
  for (__m128i& sum : sums) sum = _mm_setzero_si128();
  __m128i a = _mm_set1_epi16(1);
  const __m128i b = _mm_set1_epi16(-1);
  uint64_t done = 0;
  for (; done < count; done += kChains * 8) {
    for (__m128i& sum : sums) {
      asm volatile("" : "+x"(a));  // or the compiler would multiply once
      sum = _mm_add_epi32(sum, _mm_madd_epi16(a, b));
    }
  }
  for (__m128i& sum : sums) asm volatile("" : : "x"(sum));
  return done;
}

}  // namespace

constinit const Ops kBaselineOps = table("baseline");

}  // namespace bitnet
