#include "compute/cuda/rows.h"

#include <cmath>
#include <cstring>
#include <limits>

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

// Orders like (number, lower place first); -0 counts as +0. NaN comes after everything.
__device__ inline unsigned long long key_of(float number, uint32_t place) {
  if (number != number) return ~0ull;
  const uint32_t bits = bits_of(number + 0.0f);
  const uint32_t order = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<unsigned long long>(order) << 32 | (0xffffffffu - place);
}

__global__ void largest_each(const float* logits, int64_t stride, int64_t vocabulary,
                             unsigned long long* found) {
  wait_for_previous();
  let_next_begin();
  const float* row = logits + blockIdx.y * stride;
  unsigned long long most = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kRowThreads + threadIdx.x; i < vocabulary;
       i += static_cast<int64_t>(gridDim.x) * kRowThreads) {
    const unsigned long long key = key_of(row[i], static_cast<uint32_t>(i));
    if (key > most) most = key;
  }
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    const unsigned long long other = __shfl_xor_sync(kAll, most, apart);
    if (other > most) most = other;
  }
  if (threadIdx.x % kWarp == 0) atomicMax(found + blockIdx.y, most);
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

void largest_of_rows(Stream& stream, const float* logits, int64_t stride, int64_t vocabulary,
                     int64_t rows, unsigned long long* found) {
  constexpr int64_t kBlocks = 64;
  const int64_t blocks = parts_of(vocabulary, kRowThreads);
  launch(stream, largest_each, grid(blocks < kBlocks ? blocks : kBlocks, rows), kRowThreads, 0,
         logits, stride, vocabulary, found);
}

int32_t token_of_key(unsigned long long key) noexcept {
  if (key == 0 || key == ~0ull) return -1;
  const auto order = static_cast<uint32_t>(key >> 32);
  const uint32_t bits = order & 0x80000000u ? order & 0x7fffffffu : ~order;
  float number;
  std::memcpy(&number, &bits, sizeof number);
  if (number == -std::numeric_limits<float>::infinity()) return -1;
  return static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(key));
}

}  // namespace bitnet::cuda
