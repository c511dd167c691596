// Named tensors to checked weights: each is looked up by name, its shape compared with what the
// model needs, its type with what we can compute, its scale with what is finite.
#pragma once

#include <string_view>

#include "base/memory.h"
#include "base/status.h"
#include "file/gguf.h"
#include "model/model.h"

namespace bitnet {

class WeightReader {
 public:
  WeightReader(const Gguf& file, const ModelDescription::Options& options);

  bool has(const char* name) const noexcept { return file_.find_tensor(name) != nullptr; }

  // blk.<layer>.<stem>.weight [cols, rows], with its optional blk.<layer>.<stem>.scale.
  Status projection(int64_t layer, const char* stem, int64_t rows, int64_t cols, Projection& out);

  // [n] as floats: F32, F16 or BF16 in the file, all finite.
  Status vector(const char* name, int64_t n, Vec<float>& out);

  // Embeddings or head, [cols, rows] or more rows, of which the first are used (tolerated).
  Status table(const char* name, int64_t rows, int64_t cols, DenseMatrix& out);

  // What was never asked for: refused if a forward pass without it would be wrong, else tolerated.
  Status check_unused() const;

  uint64_t parameters() const noexcept { return parameters_; }

 private:
  Result<const TensorInfo*> take(const char* name, int64_t rows, int64_t cols, bool more_rows);
  Status ternary(const TensorInfo& tensor, Projection& out) const;

  const Gguf& file_;
  const ModelDescription::Options& options_;
  Vec<uint8_t> used_;  // one for each tensor of the file
  uint64_t parameters_ = 0;
};

// A defect of the file we can live with: logged, or returned where `strict` asks for it.
Status tolerate(const ModelDescription::Options& options, Status defect) noexcept;

}  // namespace bitnet
