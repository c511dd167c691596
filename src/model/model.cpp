// A GGUF file to a checked BitNet: the roles of its tensors, family by family (formats.md 4).
#include "model/model.h"

#include <algorithm>
#include <cinttypes>

#include "file/show.h"
#include "model/hyper.h"
#include "model/weights.h"

namespace bitnet {
namespace {

Status read_layer(WeightReader& weights, const HyperParameters& h, const Plan& plan, int64_t n,
                  Layer& layer) {
  const int64_t q_rows = h.heads * h.head_dim, kv_rows = h.kv_heads * h.head_dim;
  char name[64];
  const auto norm = [&](const char* stem, int64_t size, Vec<float>& out) -> Status {
    std::snprintf(name, sizeof name, "blk.%" PRId64 ".%s.weight", n, stem);
    return weights.vector(name, size, out);
  };
  BITNET_TRY(norm("attn_norm", h.width, layer.attn_norm));
  BITNET_TRY(weights.projection(n, "attn_q", q_rows, h.width, layer.q));
  BITNET_TRY(weights.projection(n, "attn_k", kv_rows, h.width, layer.k));
  BITNET_TRY(weights.projection(n, "attn_v", kv_rows, h.width, layer.v));
  if (plan.attn_sub_norm) BITNET_TRY(norm("attn_sub_norm", q_rows, layer.attn_sub_norm));
  BITNET_TRY(weights.projection(n, "attn_output", h.width, q_rows, layer.o));
  BITNET_TRY(norm("ffn_norm", h.width, layer.ffn_norm));
  BITNET_TRY(weights.projection(n, "ffn_gate", h.ff_width, h.width, layer.gate));
  BITNET_TRY(weights.projection(n, "ffn_up", h.ff_width, h.width, layer.up));
  if (plan.ffn_sub_norm) BITNET_TRY(norm("ffn_sub_norm", h.ff_width, layer.ffn_sub_norm));
  return weights.projection(n, "ffn_down", h.width, h.ff_width, layer.down);
}

// rope_freqs.weight divides the frequency of each pair (formats.md 4.0); without it all are 1.
Status read_rope_divisor(WeightReader& weights, const HyperParameters& h, Vec<float>& divisor) {
  constexpr const char* kName = "rope_freqs.weight";
  if (!weights.has(kName)) {
    divisor.assign(static_cast<size_t>(h.rope_dims / 2), 1.0f);
    return {};
  }
  BITNET_TRY(weights.vector(kName, h.rope_dims / 2, divisor));
  for (size_t i = 0; i < divisor.size(); ++i) {
    if (divisor[i] <= 0) {
      return Status::error(BITNET_E_FORMAT, "%s: element %zu is %s, expected a number above 0",
                           kName, i, shown_number(divisor[i]).text);
    }
  }
  return {};
}

Status read_head(WeightReader& weights, ModelDescription& m) {
  m.tied_head = !weights.has("output.weight");
  if (!m.tied_head) return weights.table("output.weight", m.hyper.vocab, m.hyper.width, m.head);
  m.head = m.embeddings;
  return {};
}

Status read_model(const Gguf& file, const ModelDescription::Options& options, ModelDescription& m) {
  BITNET_LET(const Family* family, read_family(file));
  m.family = family->name;
  BITNET_LET(const auto name, file.text("general.name"));
  m.name = name.value_or("");
  if (file.tensors().empty()) {
    return Status::error(BITNET_E_FORMAT, "the file has a vocabulary at most and no weights");
  }
  BITNET_LET(m.hyper, read_hyper_parameters(file, *family));
  BITNET_TRY(check_rope_scaling(file, *family));
  m.plan.rope = family->rope;
  m.plan.attn_sub_norm = m.plan.ffn_sub_norm = family->sub_norms;
  BITNET_LET(m.plan.gate, choose_gate(file, *family, m.hyper, options.gate));

  WeightReader weights(file, options);
  BITNET_TRY(weights.table("token_embd.weight", m.hyper.vocab, m.hyper.width, m.embeddings));
  m.layers.reserve(static_cast<size_t>(m.hyper.layers));
  for (int64_t n = 0; n < m.hyper.layers; ++n) {
    BITNET_TRY(read_layer(weights, m.hyper, m.plan, n, m.layers.emplace_back()));
  }
  BITNET_TRY(weights.vector("output_norm.weight", m.hyper.width, m.output_norm));
  BITNET_TRY(read_head(weights, m));
  BITNET_TRY(read_rope_divisor(weights, m.hyper, m.rope_divisor));
  m.parameters = weights.parameters();
  return weights.check_unused();
}

}  // namespace

Result<Ptr<const ModelDescription>> ModelDescription::open(const Gguf& file,
                                                           const Options& options) {
  auto model = make<ModelDescription>();
  BITNET_TRY(read_model(file, options, *model));
  return Ptr<const ModelDescription>(model.release());
}

WeightBytes weight_bytes(const ModelDescription& model) noexcept {
  const auto table_bytes = [](const DenseMatrix& m) {
    return static_cast<uint64_t>(m.rows * m.row_bytes);
  };
  WeightBytes sum{};
  sum.dense = table_bytes(model.embeddings) + (model.tied_head ? 0 : table_bytes(model.head));
  size_t norms = model.output_norm.size() + model.rope_divisor.size();
  for (const Layer& layer : model.layers) {
    for (const auto member : kProjections) {
      const Projection& p = layer.*member;
      const auto tiles =
          p.ternary ? static_cast<uint64_t>(packed_bytes(Packing::kTwoBit, p.rows, p.cols)) : 0;
      sum.tiles += tiles;
      sum.largest = std::max(sum.largest, tiles);
      if (!p.ternary) sum.dense += p.data.size();
    }
    norms += layer.attn_norm.size() + layer.attn_sub_norm.size() + layer.ffn_norm.size() +
             layer.ffn_sub_norm.size();
  }
  sum.norms = norms * sizeof(float);
  return sum;
}

}  // namespace bitnet
