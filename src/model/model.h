// A checked description of a BitNet model, whatever its family: hyper-parameters, a plan that says
// what a layer does, and every weight under its role, with shapes already compared to the
// hyper-parameters.
//
// Nothing is copied: weights are views into the file's bytes (norms, which are small, become
// floats). Immutable once opened; safe to share between threads. Source: design/formats.md
// section 4.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "compute/ops.h"
#include "file/gguf.h"

namespace bitnet {

struct HyperParameters {
  int64_t layers, width, ff_width, heads, kv_heads, head_dim, vocab, context;
  int64_t rope_dims;  // rotated numbers of each head, even, <= head_dim
  double rope_base;
  float norm_eps;
};

enum class GateFunction : int32_t { kRelu2, kSilu };

// What a layer of this family does, as data: forward/ reads it, there is one forward pass.
struct Plan {
  GateFunction gate;
  RopeStyle rope;
  bool attn_sub_norm;  // norm over the concatenated heads, before the output projection
  bool ffn_sub_norm;   // norm over the gated values, before the down projection
};

// How the 2-bit codes of an I2_S tensor lie (formats.md 2.1); files carry no marker.
enum class I2sLayout : int32_t { k128, k64, k4Row };

// One of the seven linear maps of a layer: [rows][cols], rows = outputs.
struct Projection {
  std::string_view name;  // the tensor's, for messages
  TensorType type;
  Bytes data;  // the file's bytes of the tensor
  int64_t rows, cols;
  bool ternary;  // BitLinear; else an ordinary matrix product
  float scale;   // ternary: of the whole tensor (finite). I2_S: the trailing f32; TQ: the blocks' d
  I2sLayout layout;    // I2_S only
  float output_scale;  // blk.N.<proj>.scale if the file has it, else 1: multiplied onto the output
};

// The same projection as an ordinary matrix. Only if not ternary.
DenseMatrix dense_matrix(const Projection& p) noexcept;

// Unpacks rows [first_row, first_row + count) of a ternary projection to codes 0, 1, 2 (-1, 0, +1):
// codes [count][cols]. Fails, naming tensor and place, on codes that are not trits. Thread-safe.
Status unpack_codes(const Projection& p, int64_t first_row, int64_t count, uint8_t* codes);

// Packs rows [first_row, last_row) (multiples of kTileRows, or the end) into p's tiles
// (compute/ops.h). tiles is where first_row's tile goes. Fails like unpack_codes. Thread-safe on
// disjoint rows.
Status pack_tiles(const Projection& p, int64_t first_row, int64_t last_row, uint8_t* tiles);

// Whether products can read p where it lies in the file (Packing::kFileRows): I2_S "128" and TQ2_0
// whose rows are whole blocks. If so: the matrix, which views p's bytes, and the order its
// activations must be brought into.
bool has_file_rows(const Projection& p) noexcept;
TernaryMatrix file_rows(const Projection& p) noexcept;
FileOrder file_order(const Projection& p) noexcept;
// Rows [first_row, last_row) of such a p hold trits only; fails like unpack_codes. UNSUPPORTED
// where their codes do not say what they mean (a TQ2_0 block of scale 0): p must be packed then.
// Thread-safe.
Status check_file_rows(const Projection& p, int64_t first_row, int64_t last_row) noexcept;

struct Layer {
  Vec<float> attn_norm, attn_sub_norm, ffn_norm,
      ffn_sub_norm;  // [width], [heads*head_dim], [width], [ff_width]
  Projection q, k, v, o, gate, up, down;
};
// All projections of a layer, in the order of the forward pass: layer.*member.
inline constexpr Projection Layer::*kProjections[] = {
    &Layer::q, &Layer::k, &Layer::v, &Layer::o, &Layer::gate, &Layer::up, &Layer::down};

class ModelDescription {
 public:
  struct Options {
    I2sLayout i2s_layout = I2sLayout::k128;
    int gate =
        -1;  // -1: by the rules of formats.md 4.1; else a GateFunction, the caller's override
    bool strict = false;  // a tolerated defect of the file is an error
    Log log;
  };
  // The Gguf and its bytes must outlive the description.
  static Result<Ptr<const ModelDescription>> open(const Gguf& file, const Options& options);

  std::string_view family;  // the architecture string
  std::string_view name;    // general.name or empty
  HyperParameters hyper;
  Plan plan;
  DenseMatrix embeddings;  // [vocab][width]
  DenseMatrix head;        // [vocab][width]; the same as embeddings when tied
  bool tied_head;
  Vec<float> output_norm;   // [width]
  Vec<float> rope_divisor;  // [rope_dims/2] f_i of formats.md 4.0; all 1 without rope_freqs.weight
  Vec<Layer> layers;
  uint64_t parameters;  // numbers in all tensors used
};

// Sizes for an estimate, exact: they follow from the description alone, nothing is packed for them.
struct WeightBytes {
  uint64_t tiles;  // sum of packed_bytes() over all ternary projections: what packing allocates
  uint64_t
      dense;  // projections that are not ternary, embeddings, own head: read from the file in place
  uint64_t norms;    // floats the description itself holds
  uint64_t largest;  // the largest packed_bytes() of one projection
};
WeightBytes weight_bytes(const ModelDescription& model) noexcept;

}  // namespace bitnet
