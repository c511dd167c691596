#include "forward/device_model.h"

#include <cmath>
#include <cstdio>

#include "compute/plugin.h"
#include "forward/packed_weights.h"

namespace bitnet {

DeviceParts::DeviceParts(const ModelDescription& model, const Vec<LayerWeights>& layers,
                         bool screened) {
  const auto gamma = [](const Vec<float>& norm, bool used) { return used ? norm.data() : nullptr; };
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const Layer& norms = model.layers[i];
    const LayerWeights& w = layers[i];
    layers_.push_back({w.q, w.k, w.v, w.o, w.gate, w.up, w.down, gamma(norms.attn_norm, true),
                       gamma(norms.attn_sub_norm, model.plan.attn_sub_norm),
                       gamma(norms.ffn_norm, true),
                       gamma(norms.ffn_sub_norm, model.plan.ffn_sub_norm)});
  }
  const HyperParameters& h = model.hyper;
  parts_ = {};
  parts_.layers = h.layers;
  parts_.width = h.width;
  parts_.ff_width = h.ff_width;
  parts_.heads = h.heads;
  parts_.kv_heads = h.kv_heads;
  parts_.head_dim = h.head_dim;
  parts_.vocab = h.vocab;
  parts_.rope_pairs = h.rope_dims / 2;
  rope_frequency_ = rope_frequencies(model);
  parts_.rope_frequency = rope_frequency_.data();
  parts_.rope = model.plan.rope;
  parts_.norm_eps = h.norm_eps;
  parts_.attention_scale = attention_scale(h);
  parts_.relu2 = model.plan.gate == GateFunction::kRelu2;
  parts_.tied_head = model.embeddings.data == model.head.data;
  parts_.screened = screened;
  parts_.layer = layers_.data();
  parts_.embeddings = model.embeddings;
  parts_.head = model.head;
  parts_.output_norm = model.output_norm.data();
}

DeviceParts::DeviceParts(const ModelDescription& model, bool screened)
    : DeviceParts(model, describe_layers(model, Packing::kTwoBit, Reading::kPairs, nullptr),
                  screened) {}

uint64_t UploadedModel::bytes_of(const Device& device, const ModelDescription& model,
                                 bool screened) {
  return device.table->model_bytes(DeviceParts(model, screened).get());
}

Status UploadedModel::check_room(const Device& device, const ModelDescription& model,
                                 bool screened) {
  const uint64_t needed = bytes_of(device, model, screened);
  if (needed <= device.info.free) return {};
  return Status::error(BITNET_E_MEMORY,
                       "%s:%d (%s): the model's weights take %llu bytes of its memory, %llu are "
                       "free",
                       device.table->kind, device.index, device.info.title,
                       static_cast<unsigned long long>(needed),
                       static_cast<unsigned long long>(device.info.free));
}

Result<Ptr<const UploadedModel>> UploadedModel::open(const Device& device,
                                                     const ModelDescription& model,
                                                     const Vec<LayerWeights>& layers,
                                                     bool screened) {
  const DeviceParts parts(model, layers, screened);
  const uint64_t bytes = device.table->model_bytes(parts.get());
  Ptr<UploadedModel> uploaded =
      make<UploadedModel>(device, screened, bytes, bytes - bytes_of(device, model, false));
  bitnet_error why = BITNET_ERROR_INIT;
  BITNET_TRY(device_status(
      device.table->model_open(device.index, parts.get(), &uploaded->handle_, &why), why));
  return Ptr<const UploadedModel>(uploaded.release());
}

UploadedModel::UploadedModel(const Device& device, bool screened, uint64_t bytes,
                             uint64_t screened_bytes) noexcept
    : device_(device), screened_(screened), bytes_(bytes), screened_bytes_(screened_bytes) {
  std::snprintf(name_, sizeof name_, "%s:%d", device.table->kind, device.index);
  std::snprintf(isa_, sizeof isa_, "sm_%d%d", device.info.major, device.info.minor);
}

UploadedModel::~UploadedModel() {
  if (handle_) device_.table->model_close(handle_);
}

}  // namespace bitnet
