// What happens to one token's row between products: norms, quantization, gates, keys and values,
// and what is read out.
#pragma once

#include "compute/cuda/launch.h"
#include "compute/cuda/norms.h"
#include "compute/ops.h"

namespace bitnet::cuda {

// Rows of quantized activations, [tokens][padded].
struct QuantizedOut {
  int8_t* q;
  float* scale;
  int32_t* sum;
  int32_t padded;
};

// Each token's row x [n], normed (row.x is token 0's, x_stride apart) and quantized. floats, if not
// null: the normed rows themselves, [tokens][n].
void norm_rows(Stream& stream, const Normed& row, int64_t x_stride, int64_t tokens,
               const QuantizedOut& out, float* floats);

// gate = gated(gate, up), both [tokens][n].
void gate_rows(Stream& stream, float* gate, const float* up, int64_t n, int64_t tokens, bool relu2);

// hidden[i] = norm of row wanted[i] of x, [count][n].
void hidden_rows(Stream& stream, const Normed& row, int64_t x_stride, const int32_t* wanted,
                 int64_t count, float* hidden);

}  // namespace bitnet::cuda
