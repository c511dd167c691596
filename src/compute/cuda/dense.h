// Dense matrices on the device: embedding tables, heads, projections that are not ternary.
//
// Numbers are kept as F32, F16 or BF16 (other types of a file are converted to F32, which changes
// no bit: compute/ops.h). Rows are rounded up to whole blocks of 256 with zeros. What one lane of a
// canonical sum adds up of a block, its numbers 16 * step + lane, are loads of 16 bytes, and the
// same load of all lanes is contiguous.
#pragma once

#include "compute/cuda/launch.h"
#include "compute/cuda/numbers.h"
#include "compute/ops.h"

namespace bitnet::cuda {

enum class Stored : int32_t { kF32, kF16, kBF16 };

struct DeviceDense {
  const uint8_t* data;
  Stored type;
  int32_t rows, cols;
};

constexpr int64_t stored_bytes(Stored type) {
  return type == Stored::kF32 ? 4 : 2;
}
constexpr Stored stored_as(DenseType type) {
  return type == DenseType::kF16    ? Stored::kF16
         : type == DenseType::kBF16 ? Stored::kBF16
                                    : Stored::kF32;
}
__host__ __device__ constexpr int64_t dense_padded(int64_t cols) {
  return rounded_up(cols, kBlock);
}
constexpr int64_t device_dense_bytes(DenseType type, int64_t rows, int64_t cols) {
  return rows * dense_padded(cols) * stored_bytes(stored_as(type));
}
// Rows [first, last) of a host's matrix as the device has them. floats: [cols], for a row.
void arrange_rows(uint8_t* out, const DenseMatrix& w, int64_t first, int64_t last,
                  float* floats) noexcept;

// Where number i of a row lies, numbers being so large.
__host__ __device__ constexpr int64_t dense_place(int64_t i, int64_t bytes) {
  const int64_t per_load = 16 / bytes, lane = i % kLanes, step = i % kBlock / kLanes;
  return i / kBlock * kBlock + step / per_load * (kLanes * per_load) + lane * per_load +
         step % per_load;
}

// How positions rotate keys and queries.
struct Rotation {
  const double* frequency;  // [pairs] radians per position
  int32_t pairs;
  const int32_t* position;  // [tokens]
  float *cosine, *sine;     // [tokens][pairs]
};
// What a pass begins with: x[t] = row token[t] of the table, [tokens][cols], and each token's
// angles.
void embed(Stream& stream, const DeviceDense& table, const int32_t* token, int64_t tokens, float* x,
           const Rotation& rotation);

// y[t * y_stride + r] = dot(row r, x[t]) * output_scale, stored or added.
struct DenseJob {
  DeviceDense w;
  const float* x;  // [tokens][x_stride]
  int64_t x_stride;
  float* y;
  int64_t y_stride;
  int32_t tokens;
  float output_scale;
  bool add;
};
void dense_product(Stream& stream, const DenseJob& job);

// Floats between blocks of a token in shared memory: two neighbours' banks differ.
constexpr int64_t kDenseStride = kBlock + kLanes;
// Shared memory that a product needs for each token it computes at once, at least one.
constexpr int64_t dense_shared_bytes(int64_t cols) {
  return parts_of(cols, kBlock) * kDenseStride * 4;
}
cudaError_t prepare_dense_kernels(int shared_bytes);

}  // namespace bitnet::cuda
