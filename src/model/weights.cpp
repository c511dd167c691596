#include "model/weights.h"

#include <bit>
#include <cinttypes>
#include <cmath>

#include "file/load.h"
#include "file/show.h"
#include "model/half.h"

namespace bitnet {
namespace {

bool dense_type(TensorType type, DenseType& out) noexcept {
  switch (type) {
    case TensorType::kF32:
      out = DenseType::kF32;
      return true;
    case TensorType::kF16:
      out = DenseType::kF16;
      return true;
    case TensorType::kBF16:
      out = DenseType::kBF16;
      return true;
    case TensorType::kQ8_0:
      out = DenseType::kQ8_0;
      return true;
    case TensorType::kQ4_0:
      out = DenseType::kQ4_0;
      return true;
    case TensorType::kQ5_0:
      out = DenseType::kQ5_0;
      return true;
    case TensorType::kQ4_K:
      out = DenseType::kQ4_K;
      return true;
    case TensorType::kQ6_K:
      out = DenseType::kQ6_K;
      return true;
    default:
      return false;
  }
}

bool is_ternary(TensorType type) noexcept {
  return type == TensorType::kI2_S || type == TensorType::kTQ1_0 || type == TensorType::kTQ2_0;
}

Status unreadable(const TensorInfo& tensor, const char* expected) noexcept {
  return Status::error(BITNET_E_UNSUPPORTED, "%s: type %s cannot be used here, expected %s",
                       shown(tensor.name).text, shown_type(tensor.type).text, expected);
}

Status not_finite(const TensorInfo& tensor, const char* what, float value) noexcept {
  return Status::error(BITNET_E_FORMAT, "%s: %s is %s, expected a finite number",
                       shown(tensor.name).text, what, shown_number(value).text);
}

uint64_t tq_block_bytes(TensorType type) noexcept {
  return type == TensorType::kTQ1_0 ? 54 : 66;
}

// The d all blocks share (at the end of each block). Zero blocks, d = 0, have zeros of any scale.
Status tq_scale(const TensorInfo& tensor, float& scale) noexcept {
  const uint64_t bytes = tq_block_bytes(tensor.type);
  const uint8_t* d = tensor.data.data() + bytes - 2;
  const uint64_t blocks = tensor.data.size() / bytes;
  uint16_t common = 0;
  for (uint64_t b = 0; b < blocks; ++b, d += bytes) {
    const auto here = load<uint16_t>(d);
    if (here == common || (here & 0x7fff) == 0) continue;
    if (!std::isfinite(half_to_float(here))) {
      return not_finite(tensor, "the scale of a block", half_to_float(here));
    }
    if (common != 0) {
      return Status::error(BITNET_E_UNSUPPORTED,
                           "%s: block %" PRIu64
                           " has scale %s and earlier ones %s, expected one scale for the tensor",
                           shown(tensor.name).text, b, shown_number(half_to_float(here)).text,
                           shown_number(half_to_float(common)).text);
    }
    common = here;
  }
  scale = half_to_float(common);
  return {};
}

struct Name {
  char text[96];
  Name(int64_t layer, const char* stem, const char* suffix) noexcept {
    std::snprintf(text, sizeof text, "blk.%" PRId64 ".%s.%s", layer, stem, suffix);
  }
};

// Numbers that follow from the hyper-parameters, which some converters write out all the same.
bool is_ignorable(std::string_view name) noexcept {
  return name.ends_with("rotary_emb.inv_freq") || name.ends_with(".attn_rot_embd.weight") ||
         name.ends_with(".attention.bias") || name.ends_with(".attention.masked_bias");
}

// A bias, a norm or a scale that our plan does not apply: the result would be wrong without it.
bool changes_result(std::string_view name) noexcept {
  return name.ends_with(".bias") || name.ends_with(".scale") ||
         name.find("norm") != std::string_view::npos;
}

}  // namespace

Status tolerate(const ModelDescription::Options& options, Status defect) noexcept {
  if (options.strict) return defect;
  options.log(BITNET_LOG_WARNING, "%s", defect.text());
  return {};
}

DenseMatrix dense_matrix(const Projection& p) noexcept {
  DenseMatrix m{p.data.data(), DenseType::kF32, p.rows, p.cols,
                static_cast<int64_t>(p.data.size()) / p.rows};
  dense_type(p.type, m.type);  // known: the description refused other types
  return m;
}

WeightReader::WeightReader(const Gguf& file, const ModelDescription::Options& options)
    : file_(file), options_(options), used_(file.tensors().size(), uint8_t{0}) {}

Result<const TensorInfo*> WeightReader::take(const char* name, int64_t rows, int64_t cols,
                                             bool more_rows) {
  const uint64_t wanted[4] = {static_cast<uint64_t>(cols), static_cast<uint64_t>(rows), 1, 1};
  const uint32_t dims = rows == 1 ? 1 : 2;
  const TensorInfo* tensor = file_.find_tensor(name);
  if (!tensor) {
    return Status::error(BITNET_E_FORMAT, "%s: missing, model needs %s", name,
                         shown_shape(wanted, dims).text);
  }
  const uint64_t* shape = tensor->shape;
  const bool rows_fit = shape[1] == wanted[1] || (more_rows && shape[1] > wanted[1]);
  if (shape[0] != wanted[0] || !rows_fit || shape[2] != 1 || shape[3] != 1) {
    return Status::error(BITNET_E_FORMAT, "%s: file has %s, model needs %s", name,
                         shown_shape(shape, tensor->dims).text, shown_shape(wanted, dims).text);
  }
  used_[static_cast<size_t>(tensor - file_.tensors().data())] = 1;
  parameters_ += tensor->shape[0] * tensor->rows();
  return tensor;
}

Status WeightReader::projection(int64_t layer, const char* stem, int64_t rows, int64_t cols,
                                Projection& out) {
  BITNET_LET(const TensorInfo* tensor, take(Name(layer, stem, "weight").text, rows, cols, false));
  out.name = tensor->name;
  out.type = tensor->type;
  out.data = tensor->data;
  out.rows = rows;
  out.cols = cols;
  out.ternary = is_ternary(tensor->type);
  out.scale = 1;
  out.layout = options_.i2s_layout;
  out.output_scale = 1;
  DenseType ignored;
  if (out.ternary) {
    BITNET_TRY(ternary(*tensor, out));
  } else if (!dense_type(tensor->type, ignored)) {
    return unreadable(*tensor, "I2_S, TQ1_0, TQ2_0, F32, F16, BF16, Q8_0, Q6_K, Q5_0, Q4_0, Q4_K");
  }
  const Name scale(layer, stem, "scale");
  if (!has(scale.text)) return {};
  Vec<float> number;
  BITNET_TRY(vector(scale.text, 1, number));
  out.output_scale = number[0];
  return {};
}

Status WeightReader::ternary(const TensorInfo& tensor, Projection& out) const {
  if (out.cols > kMaxTernaryCols) {
    return Status::error(BITNET_E_UNSUPPORTED,
                         "%s: rows of %" PRId64 " ternary weights, at most %" PRId64
                         " are summed exactly",
                         shown(tensor.name).text, out.cols, kMaxTernaryCols);
  }
  if (tensor.type != TensorType::kI2_S) return tq_scale(tensor, out.scale);
  if (out.layout == I2sLayout::k4Row && out.rows % 4 != 0) {
    return Status::error(BITNET_E_UNSUPPORTED,
                         "%s: %" PRId64 " rows, the 4-row layout of I2_S needs a multiple of 4",
                         shown(tensor.name).text, out.rows);
  }
  // codes, n / 4 bytes | f32 scale | 28 bytes without meaning
  out.scale = load<float>(tensor.data.data() + static_cast<uint64_t>(out.rows * out.cols) / 4);
  if (!std::isfinite(out.scale)) return not_finite(tensor, "its scale", out.scale);
  return {};
}

Status WeightReader::vector(const char* name, int64_t n, Vec<float>& out) {
  BITNET_LET(const TensorInfo* tensor, take(name, 1, n, false));
  const uint8_t* data = tensor->data.data();
  out.resize(static_cast<size_t>(n));
  for (size_t i = 0; i < out.size(); ++i) {
    switch (tensor->type) {
      case TensorType::kF32:
        out[i] = load<float>(data + 4 * i);
        break;
      case TensorType::kF16:
        out[i] = half_to_float(load<uint16_t>(data + 2 * i));
        break;
      case TensorType::kBF16:
        out[i] = std::bit_cast<float>(static_cast<uint32_t>(load<uint16_t>(data + 2 * i)) << 16);
        break;
      default:
        return unreadable(*tensor, "F32, F16 or BF16");
    }
    if (!std::isfinite(out[i])) {
      char what[48];
      std::snprintf(what, sizeof what, "element %zu", i);
      return not_finite(*tensor, what, out[i]);
    }
  }
  return {};
}

Status WeightReader::table(const char* name, int64_t rows, int64_t cols, DenseMatrix& out) {
  BITNET_LET(const TensorInfo* tensor, take(name, rows, cols, true));
  if (!dense_type(tensor->type, out.type)) {
    return unreadable(*tensor, "F32, F16, BF16, Q8_0, Q6_K, Q5_0, Q4_0 or Q4_K");
  }
  out.data = tensor->data.data();
  out.rows = rows;
  out.cols = cols;
  out.row_bytes = static_cast<int64_t>(tensor->data.size() / tensor->rows());
  if (tensor->rows() == static_cast<uint64_t>(rows)) return {};
  return tolerate(options_,
                  Status::error(BITNET_E_FORMAT,
                                "%s: file has %" PRIu64 " rows, the vocabulary has %" PRId64
                                ": the rest is not used",
                                name, tensor->rows(), rows));
}

Status WeightReader::check_unused() const {
  uint64_t count = 0;
  const TensorInfo* first = nullptr;
  for (size_t i = 0; i < used_.size(); ++i) {
    const TensorInfo& tensor = file_.tensors()[i];
    if (used_[i] || is_ignorable(tensor.name)) continue;
    if (changes_result(tensor.name)) {
      return Status::error(BITNET_E_UNSUPPORTED,
                           "%s: this family of models is computed without it, so the result "
                           "would be wrong",
                           shown(tensor.name).text);
    }
    if (count++ == 0) first = &tensor;
  }
  if (count == 0) return {};
  return tolerate(options_,
                  Status::error(BITNET_E_FORMAT,
                                "%s: not a tensor of this family of models, it is not used "
                                "(%" PRIu64 " such tensors)",
                                shown(first->name).text, count));
}

}  // namespace bitnet
