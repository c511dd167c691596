// The weights of a model as the CPU's verbs want them: ternary matrices packed into tiles, once, in
// parallel; everything else stays in the file. Immutable; any number of contexts share one.
#pragma once

#include "base/memory.h"
#include "base/progress.h"
#include "base/status.h"
#include "compute/ops.h"
#include "model/model.h"

namespace bitnet {

// One linear map, y = W x: ternary (BitLinear) or dense.
struct Linear {
  bool ternary;
  TernaryMatrix tiles;  // if ternary
  DenseMatrix dense;    // if not
  float output_scale;   // multiplied onto y after the product, unless 1

  int64_t rows() const noexcept { return ternary ? tiles.rows : dense.rows; }
};

struct LayerWeights {
  Linear q, k, v, o, gate, up, down;
};

class Weights {
 public:
  // The description must outlive the weights. progress is called on this thread only.
  static Result<Ptr<const Weights>> prepare(const ModelDescription& model, const Ops& ops,
                                            int threads, const Progress& progress);

  // What prepare() will allocate.
  static uint64_t packed_bytes_of(const ModelDescription& model) noexcept;
  // Bytes of the file that stay in use: dense projections, embeddings, head.
  static uint64_t file_bytes_of(const ModelDescription& model) noexcept;
  // Weight bytes one decoded token reads: all tiles, all dense projections, the whole head.
  static uint64_t bytes_per_token_of(const ModelDescription& model) noexcept;
  uint64_t packed_bytes() const noexcept { return tiles_.bytes(); }

  Weights(const ModelDescription& model_, const Ops& ops_) : model(model_), ops(ops_) {}

  const ModelDescription& model;
  const Ops& ops;
  Vec<LayerWeights> layers;
  Vec<double> rope_frequency;  // [rope_dims/2] radians per position

 private:
  Buffer tiles_;
};

}  // namespace bitnet
