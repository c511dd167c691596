#include "compute/cuda/dense.h"

#include <cstring>

#include "compute/angles.h"
#include "compute/cuda/dense_row.h"

namespace bitnet::cuda {

namespace {

// Numbers of a row to their places; T is as large as they are.
template <class T>
void place_numbers(uint8_t* out, const uint8_t* from, int64_t cols) noexcept {
  constexpr int64_t kBytes = sizeof(T);
  for (int64_t i = 0; i < cols; ++i) {
    std::memcpy(out + dense_place(i, kBytes) * kBytes, from + i * kBytes, kBytes);
  }
}

}  // namespace

void arrange_rows(uint8_t* out, const DenseMatrix& w, int64_t first, int64_t last,
                  float* floats) noexcept {
  const Stored type = stored_as(w.type);
  const int64_t bytes = stored_bytes(type), padded = dense_padded(w.cols);
  const bool converted = type == Stored::kF32 && w.type != DenseType::kF32;
  for (int64_t row = first; row < last; ++row, out += padded * bytes) {
    const uint8_t* from = w.data + row * w.row_bytes;
    if (converted) {
      reference_ops().dense_row(floats, w, row);
      from = reinterpret_cast<const uint8_t*>(floats);
    }
    std::memset(out, 0, static_cast<size_t>(padded * bytes));
    if (bytes == 2) {
      place_numbers<uint16_t>(out, from, w.cols);
    } else {
      place_numbers<uint32_t>(out, from, w.cols);
    }
  }
}

namespace {

constexpr int kDenseThreads = 256, kDenseWarps = kDenseThreads / kWarp;
constexpr int kRows = 4;          // of a warp at once
constexpr int kTokensAtOnce = 4;  // of a launch at once

__global__ void embed_rows(DeviceDense table, const int32_t* token, float* x, Rotation rotation) {
  wait_for_previous();
  const int64_t bytes = table.type == Stored::kF32 ? 4 : 2;
  const int64_t row_bytes = dense_padded(table.cols) * bytes;
  const uint8_t* row = table.data + token[blockIdx.x] * row_bytes;
  float* to = x + static_cast<int64_t>(blockIdx.x) * table.cols;
  for (int i = static_cast<int>(threadIdx.x); i < table.cols; i += static_cast<int>(blockDim.x)) {
    to[i] = number_at(table.type, row, dense_place(i, bytes));
  }
  const int64_t first = static_cast<int64_t>(blockIdx.x) * rotation.pairs;
  for (int i = static_cast<int>(threadIdx.x); i < rotation.pairs; i += kDenseThreads) {
    const double angle = rotation.position[blockIdx.x] * rotation.frequency[i];
    rotation.cosine[first + i] = static_cast<float>(exact_cos(angle));
    rotation.sine[first + i] = static_cast<float>(exact_sin(angle));
  }
  let_next_begin();
}

// A warp computes kRows rows for the launch's tokens: its halves take blocks of 256 in turn, and
// the tree's lowest level joins the halves.
template <Stored kType, int kTokens>
__global__ void __launch_bounds__(kDenseThreads) dense_rows(DenseJob job) {
  constexpr int64_t kNumberBytes = kType == Stored::kF32 ? 4 : 2;
  const int warp = static_cast<int>(threadIdx.x) / kWarp,
            lane = static_cast<int>(threadIdx.x) % kWarp;
  const int half = lane / kLanes;
  const int blocks = static_cast<int>(parts_of(job.w.cols, kBlock)), pairs = (blocks + 1) / 2;
  const int64_t padded = dense_padded(job.w.cols);
  // [kTokens][blocks][kDenseStride]: numbers in their order, blocks apart.
  auto* x = reinterpret_cast<float*>(shared_memory());
  const int64_t x_stride = static_cast<int64_t>(blocks) * kDenseStride;
  wait_for_previous();
  for (int t = 0; t < kTokens; ++t) {
    for (int i = static_cast<int>(threadIdx.x); i < padded; i += kDenseThreads) {
      x[t * x_stride + i / kBlock * kDenseStride + i % kBlock] =
          i < job.w.cols ? job.x[t * job.x_stride + i] : 0.0f;
    }
  }
  let_next_begin();
  __syncthreads();

  const int64_t row_bytes = padded * kNumberBytes;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kDenseWarps * kRows;
  for (int64_t first = (static_cast<int64_t>(blockIdx.x) * kDenseWarps + warp) * kRows;
       first < job.w.rows; first += stride) {
    // Lane k of `item` holds node k over two blocks; of 32 such nodes one node, in lane k / 32 of
    // `node`.
    float item[kRows][kTokens] = {}, node[kRows][kTokens] = {};
    for (int pair = 0; pair < pairs; ++pair) {
      const int block = 2 * pair + half;
      const bool inside = block < blocks, whole = (2 * pair + 2) * kBlock <= job.w.cols;
      const int64_t at = inside ? block : 0;
      Lane<kType> w[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int64_t row = min(first + r, static_cast<int64_t>(job.w.rows) - 1);
        w[r].load(job.w.data + row * row_bytes + at * kBlock * kNumberBytes, lane % kLanes);
      }
      const int left = inside ? job.w.cols - block * kBlock : 0;
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        float sum[kRows] = {};
        const float* from = x + t * x_stride + at * kDenseStride + lane % kLanes;
        const auto add_step = [&](int step) {
          const float v = from[step * kLanes];
#pragma unroll
          for (int r = 0; r < kRows; ++r) sum[r] = fused(w[r].number(step), v, sum[r]);
        };
        if (whole) {
#pragma unroll
          for (int step = 0; step < kLanes; ++step) add_step(step);
        } else {  // the last block has only the steps it needs
#pragma unroll
          for (int step = 0; step < kLanes; ++step) {
            if (step * kLanes < left) add_step(step);
          }
        }
        __syncwarp();
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          const float own = fold_half_warp(sum[r]);
          const float other = __shfl_xor_sync(kAll, own, kLanes);
          const float both = 2 * pair + 1 < blocks ? own + other : half == 0 ? own : other;
          if (lane == pair % kWarp) item[r][t] = both;
        }
      }
      if (pair % kWarp < kWarp - 1 && pair + 1 < pairs) continue;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
#pragma unroll
        for (int t = 0; t < kTokens; ++t) {
          const float total = warp_tree(item[r][t], pair % kWarp + 1);
          if (lane == pair / kWarp) node[r][t] = total;
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        float y = pairs > kWarp ? warp_tree(node[r][t], static_cast<int>(parts_of(pairs, kWarp)))
                                : node[r][t];
        if (lane != 0 || first + r >= job.w.rows) continue;
        if (job.output_scale != 1.0f) y = y * job.output_scale;
        float* to = job.y + t * job.y_stride + first + r;
        *to = job.add ? *to + y : y;
      }
    }
  }
}

template <Stored kType, int kTokens>
void slice(Stream& stream, const DenseJob& job) {
  const int64_t shared = kTokens * dense_shared_bytes(job.w.cols);
  // As many blocks as the device runs at once: each goes on to further rows.
  int at_once = 1;
  if (stream.error == cudaSuccess) {
    stream.error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(
        &at_once, dense_rows<kType, kTokens>, kDenseThreads, static_cast<size_t>(shared));
  }
  const int64_t blocks = parts_of(job.w.rows, kDenseWarps * kRows);
  const int64_t most = static_cast<int64_t>(stream.processors) * (at_once > 0 ? at_once : 1);
  launch(stream, dense_rows<kType, kTokens>, grid(blocks < most ? blocks : most), kDenseThreads,
         shared, job);
}

template <Stored kType>
void product_of_type(Stream& stream, DenseJob job) {
  int32_t left = job.tokens;
  while (left > 0) {
    // As many as there are left and there is room for.
    int32_t now = left >= kTokensAtOnce ? kTokensAtOnce : left >= 2 ? 2 : 1;
    while (now > 1 && now * dense_shared_bytes(job.w.cols) > stream.shared_bytes) now /= 2;
    if (now == kTokensAtOnce) {
      slice<kType, kTokensAtOnce>(stream, job);
    } else if (now == 2) {
      slice<kType, 2>(stream, job);
    } else {
      slice<kType, 1>(stream, job);
    }
    job.x += now * job.x_stride;
    job.y += now * job.y_stride;
    left -= now;
  }
}

template <Stored kType>
cudaError_t allow(int shared_bytes) {
  for (const void* kernel : {reinterpret_cast<const void*>(&dense_rows<kType, 1>),
                             reinterpret_cast<const void*>(&dense_rows<kType, 2>),
                             reinterpret_cast<const void*>(&dense_rows<kType, kTokensAtOnce>)}) {
    const cudaError_t error = allow_shared(kernel, shared_bytes);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace

void embed(Stream& stream, const DeviceDense& table, const int32_t* token, int64_t tokens, float* x,
           const Rotation& rotation) {
  launch(stream, embed_rows, grid(tokens), kDenseThreads, 0, table, token, x, rotation);
}

void dense_product(Stream& stream, const DenseJob& job) {
  if (job.w.type == Stored::kF32) return product_of_type<Stored::kF32>(stream, job);
  if (job.w.type == Stored::kF16) return product_of_type<Stored::kF16>(stream, job);
  product_of_type<Stored::kBF16>(stream, job);
}

cudaError_t prepare_dense_kernels(int shared_bytes) {
  for (const auto prepare : {allow<Stored::kF32>, allow<Stored::kF16>, allow<Stored::kBF16>}) {
    const cudaError_t error = prepare(shared_bytes);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace bitnet::cuda
