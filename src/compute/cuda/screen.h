// The output head in half of its bytes: 8-bit integers with a scale per row and 64 columns, which
// give every logit with a proven bound of its error, so that only the rows that can matter to a
// pick are computed from the head itself (compute/cuda/select.h). The same idea as
// forward/screened_head.h has for the CPU; there one reads of 5 bits, here the tensor cores' bytes.
//
// Activations enter as integers of 16 bits, high and low byte apart. Products and sums of integers
// are exact; the order of floats does not matter, since the bound holds for any.
#pragma once

#include "compute/cuda/dense.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/numbers.h"

namespace bitnet::cuda {

constexpr int kScreenRows = 16;  // of a tile
constexpr int kScreenCols = 64;  // of a block, which has one scale per row
// A tile's block: two times 32 columns, each as the 16 bytes that every lane gives to
// multiply_s8_s8 as a; then the scales as bfloat16, those of rows g and g + 8 in word g.
constexpr int64_t kScreenCodeBytes = kScreenRows * kScreenCols;
constexpr int64_t kScreenBlockBytes = kScreenCodeBytes + kScreenRows * 2;

__host__ __device__ constexpr int64_t screen_blocks(int64_t cols) {
  return parts_of(cols, kScreenCols);
}
constexpr int64_t screen_tile_bytes(int64_t cols) {
  return screen_blocks(cols) * kScreenBlockBytes;
}
constexpr int64_t screen_bytes(int64_t rows, int64_t cols) {
  return parts_of(rows, kScreenRows) * screen_tile_bytes(cols);
}

// residual >= |row - its copy|, norm >= |row|, Euclidean. A row that no copy can stand for
// (infinities, NaN, beyond 2^50) has an infinite residual and scales of 0.
struct DeviceScreen {
  uint8_t* tiles;   // screen_bytes()
  float* residual;  // [rows]
  float* norm;      // [rows]
  int32_t rows, cols;
};
void make_screen(Stream& stream, const DeviceDense& head, const DeviceScreen& screen);

// Hidden states on their way into the screen, at most kScreenTokens at once.
constexpr int kScreenTokens = 64;
struct ScreenToken {
  float scale;  // of the integers
  // bound of a row = residual * of_residual + norm * of_norm + constant
  float of_residual, of_norm, constant;
};
struct ScreenInput {
  uint8_t* bytes;      // screen_input_bytes()
  ScreenToken* token;  // [kScreenTokens]
};
// As multiply_s8_s8 takes them as b: for each 8 tokens and block of columns the lanes' 32 bytes, of
// both 32 columns the high bytes' two words and the low bytes'.
constexpr int64_t screen_input_bytes(int64_t cols) {
  return kScreenTokens * screen_blocks(cols) * kScreenCols * 2;
}

// low[t * stride + r] <= logit r of hidden state t [cols] <= high[t * stride + r] for all rows. A
// hidden state that is not finite, or beyond 2^60, or below 2^-60 but not zero, gives -infinity and
// +infinity. Any number of tokens.
void screen(Stream& stream, const DeviceScreen& screen, const float* hidden, int64_t tokens,
            const ScreenInput& input, float* low, float* high, int64_t stride);

}  // namespace bitnet::cuda
