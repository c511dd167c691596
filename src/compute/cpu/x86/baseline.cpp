// Every x86-64: SSE2, with the fused multiply-add made of doubles.

#include "compute/cpu/x86/lanes_sse2.h"
// In terms of these lanes:
#include "compute/cpu/float_verbs.h"
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

// 4 rows x 16 columns: 16 bytes seen as 8 words, low bytes the even columns, high bytes the odd.
inline __m128i four_rows(__m128i sum, const uint8_t* bytes, const Columns& q) noexcept {
  const __m128i mask = _mm_set1_epi16(3);
  const __m128i even = _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
  const __m128i odd = _mm_srli_epi16(even, 8);
#pragma GCC unroll 4
  for (int p = 0; p < 4; ++p) {
    const __m128i even_codes = _mm_and_si128(_mm_srli_epi16(even, 2 * p), mask);
    const __m128i odd_codes = _mm_and_si128(_mm_srli_epi16(odd, 2 * p), mask);
    sum = _mm_add_epi32(sum, _mm_madd_epi16(even_codes, q.even[p]));
    sum = _mm_add_epi32(sum, _mm_madd_epi16(odd_codes, q.odd[p]));
  }
  return sum;
}

void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens,
                    uint8_t* scratch) noexcept {
  const int64_t groups = padded_cols(w.cols) / 16;
  for (int64_t r = first_row; r < last_row; r += kTileRows) {
    const uint8_t* tile = two_bit_tile(w, r / kTileRows, scratch);
    const int64_t rows = at_most(last_row - r, kTileRows);
    for (int64_t t = 0; t < tokens; ++t) {
      __m128i sums[4];
      for (__m128i& sum : sums) sum = _mm_setzero_si128();
      for (int64_t g = 0; g < groups; ++g) {
        const Columns columns(x.q + t * x.stride + 16 * g);
        for (int i = 0; i < 4; ++i) {
          sums[i] = four_rows(sums[i], tile + 64 * g + 16 * i, columns);
        }
      }
      const float factor = w.scale / x.scale[t];
      float results[16];
      for (int i = 0; i < 4; ++i) {
        const __m128i sum = _mm_sub_epi32(sums[i], _mm_set1_epi32(x.sum[t]));
        _mm_storeu_ps(results + 4 * i, _mm_mul_ps(_mm_cvtepi32_ps(sum), _mm_set1_ps(factor)));
      }
      std::memcpy(y + t * y_stride + r, results, static_cast<size_t>(rows) * 4);
    }
  }
}

uint64_t read_stream(const uint8_t* data, int64_t bytes) noexcept {
  __m128i sums[4];
  for (__m128i& sum : sums) sum = _mm_setzero_si128();
  int64_t i = 0;
  for (; i + 64 <= bytes; i += 64) {
    prefetch_line(data + i);
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
