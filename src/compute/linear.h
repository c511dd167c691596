// One linear map y = W x of a layer, as backends get it: ternary (BitLinear) or dense.
#pragma once

#include "compute/ops.h"

namespace bitnet {

struct Linear {
  bool ternary;
  TernaryMatrix tiles;  // if ternary
  DenseMatrix dense;    // if not
  float output_scale;   // multiplied onto y after the product, unless 1

  int64_t rows() const noexcept { return ternary ? tiles.rows : dense.rows; }
  int64_t cols() const noexcept { return ternary ? tiles.cols : dense.cols; }
};

}  // namespace bitnet
