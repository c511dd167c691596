// Ternary products on the device, from 2-bit codes that are read once, on the tensor cores.
//
// A tile is 16 rows. For every 128 columns (a chunk) it has 512 bytes: 16 for each lane of a warp,
// the codes that this lane hands to multiply_u8_s8. With g = lane / 4 and j = lane % 4, word i of
// them belongs to row g + 8 * (i % 2) and columns 32j + 16 * (i / 2) + 4p + b of the chunk, in bits
// 2p..2p+1 of byte b: it is a word of the host's two-bit tile (compute/ops.h) as it stands there.
// So a lane's activations of a chunk are its 32 columns 32j .. 32j + 31, and plane p of all words
// makes one product of depth 32.
#pragma once

#include "compute/cuda/launch.h"
#include "compute/cuda/norms.h"
#include "compute/ops.h"

namespace bitnet::cuda {

constexpr int64_t kChunkCols = 128;
constexpr int64_t kChunkBytes = 512;

constexpr int64_t chunks_of(int64_t cols) {
  return (cols + kChunkCols - 1) / kChunkCols;
}
constexpr int64_t device_tile_bytes(int64_t cols) {
  return chunks_of(cols) * kChunkBytes;
}
constexpr int64_t device_ternary_bytes(int64_t rows, int64_t cols) {
  return (rows + kTileRows - 1) / kTileRows * device_tile_bytes(cols);
}
// Tiles [first, last) of a host's matrix (kTwoBit) as the device has them.
void arrange_tiles(uint8_t* out, const TernaryMatrix& w, int64_t first, int64_t last) noexcept;

struct TernaryPart {
  const uint8_t* tiles;  // the device's
  int32_t rows;
  float scale, output_scale;
  float* y;  // [tokens][y_stride]
  int64_t y_stride;
};

enum class Then : int32_t {
  kStore,  // y = product
  kAdd,    // y += product
  kGate    // parts are gate and up: y of the gate = gated(gate, up)
};

// Products of up to three matrices with the same input.
struct TernaryJob {
  TernaryPart part[3];
  int32_t parts;
  int32_t cols;
  int32_t tokens;
  Then then;
  bool relu2;  // kGate
  // The input: quantized rows [tokens][chunks * 128], or, of one token, what is to be normed and
  // quantized here (x not null).
  const int8_t* q;
  const float* q_scale;
  const int32_t* q_sum;
  Normed norm;
};

void ternary_products(Stream& stream, const TernaryJob& job);

// Shared memory that products of one token need with so many columns.
int64_t ternary_shared_bytes(int64_t cols);
// Once per device, before the first launch: shared_bytes is what the device gives a block.
cudaError_t prepare_ternary_kernels(int shared_bytes);

}  // namespace bitnet::cuda
