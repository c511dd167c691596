#include "compute/cuda/rows.h"

namespace bitnet::cuda {
namespace {

constexpr int kRowThreads = 256;

__global__ void norm_each(Normed row, int64_t x_stride, QuantizedOut out, float* floats,
                          bool brought) {
  const NormRoom room(shared_memory(), row.n, brought);
  const int64_t token = blockIdx.x;
  bring_gamma(room, row);
  wait_for_previous();
  let_next_begin();
  row.x += token * x_stride;
  bring_row(room, &row);
  float* own = floats ? floats + token * row.n : nullptr;
  const Quantization done =
      norm_and_quantize(out.q + token * out.padded, out.padded, row, room, own);
  if (threadIdx.x != 0) return;
  out.scale[token] = done.scale;
  out.sum[token] = done.sum;
}

__global__ void gate_each(float* gate, const float* up, int64_t numbers, bool relu2) {
  wait_for_previous();
  let_next_begin();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kRowThreads + threadIdx.x;
  if (i < numbers) gate[i] = gated(gate[i], up[i], relu2);
}

__global__ void hidden_each(Normed row, int64_t x_stride, const int32_t* wanted, float* hidden,
                            bool brought) {
  const NormRoom room(shared_memory(), row.n, brought);
  bring_gamma(room, row);
  wait_for_previous();
  let_next_begin();
  row.x += wanted[blockIdx.x] * x_stride;
  bring_row(room, &row);
  const float factor = norm_factor(row, room);
  float* out = hidden + static_cast<int64_t>(blockIdx.x) * row.n;
  for (int i = static_cast<int>(threadIdx.x); i < row.n; i += kRowThreads) {
    out[i] = normed(row, factor, i);
  }
}

// Whether a row of n numbers has room in shared memory: kernels have 48 KiB unasked.
bool is_brought(int64_t n) {
  return NormRoom::bytes(n, true) <= 48 << 10;
}

}  // namespace

void norm_rows(Stream& stream, const Normed& row, int64_t x_stride, int64_t tokens,
               const QuantizedOut& out, float* floats) {
  const bool brought = is_brought(row.n);
  launch(stream, norm_each, grid(tokens), kRowThreads, NormRoom::bytes(row.n, brought), row,
         x_stride, out, floats, brought);
}

void gate_rows(Stream& stream, float* gate, const float* up, int64_t n, int64_t tokens,
               bool relu2) {
  launch(stream, gate_each, grid(parts_of(n * tokens, kRowThreads)), kRowThreads, 0, gate, up,
         n * tokens, relu2);
}

void hidden_rows(Stream& stream, const Normed& row, int64_t x_stride, const int32_t* wanted,
                 int64_t count, float* hidden) {
  const bool brought = is_brought(row.n);
  launch(stream, hidden_each, grid(count), kRowThreads, NormRoom::bytes(row.n, brought), row,
         x_stride, wanted, hidden, brought);
}

}  // namespace bitnet::cuda
