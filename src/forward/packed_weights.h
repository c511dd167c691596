// The weights of a model as the CPU's verbs want them: ternary matrices packed into tiles, once, in
// parallel, or taken where they lie in the file; a screened copy of a large head; everything else
// stays in the file. Or all of it on a device. Immutable; any number of contexts share one.
#pragma once

#include <optional>

#include "base/memory.h"
#include "base/progress.h"
#include "base/status.h"
#include "bitnet.h"
#include "compute/linear.h"
#include "compute/ops.h"
#include "forward/device_model.h"
#include "forward/screened_head.h"
#include "model/model.h"

namespace bitnet {

struct LayerWeights {
  Linear q, k, v, o, gate, up, down;
};

// All layers, whose ternary tiles follow each other from `tiles` on; nullptr: shapes only.
Vec<LayerWeights> describe_layers(const ModelDescription& model, Packing packing, Reading reading,
                                  const uint8_t* tiles);
// [rope_dims/2] radians per position.
Vec<double> rope_frequencies(const ModelDescription& model);
// Onto scores of attention.
float attention_scale(const HyperParameters& hyper) noexcept;

class Weights {
 public:
  struct Options {
    bitnet_weights weights = BITNET_WEIGHTS_AUTO;
    bitnet_head head = BITNET_HEAD_AUTO;
    int threads = 1;
    Progress progress;  // called on the preparing thread only
    // Bytes of weights from which on packings and readings are tried; 0: as many as the caches
    // cannot hold. For tests of the trial.
    uint64_t trial_from = 0;
    // Where the weights go, then always as two bits; nullptr: the CPU. Its plugin must outlive
    // them.
    const Device* device = nullptr;
  };
  // The description must outlive the weights. Fails with BITNET_E_FORMAT on codes that are not
  // trits, BITNET_E_UNSUPPORTED where BITNET_WEIGHTS_FILE does not fit the file,
  // BITNET_E_CANCELLED; BITNET_E_MEMORY and BITNET_E_DEVICE of the device.
  static Result<Ptr<const Weights>> prepare(const ModelDescription& model, const Ops& ops,
                                            const Options& options);

  // Whether prepare() will make a screened copy of the head.
  static bool screens(const ModelDescription& model, bitnet_head head) noexcept;
  // The same on a device, where BITNET_HEAD_AUTO does without if there is no room for it.
  static bool screens_on(const Device& device, const ModelDescription& model, bitnet_head head);
  // What prepare() will allocate; with BITNET_WEIGHTS_AUTO at most.
  static uint64_t bytes_of(const ModelDescription& model, const Options& options) noexcept;
  // In the host's memory, or in the device's.
  uint64_t bytes() const noexcept {
    return device ? device->bytes() : tiles_.bytes() + (screen ? screen->bytes() : 0);
  }
  // Bytes of the file that stay in use: dense projections, embeddings, head, and with
  // BITNET_WEIGHTS_FILE the ternary ones.
  static uint64_t file_bytes_of(const ModelDescription& model, const Options& options) noexcept;
  // Weight bytes that decoding and picking one token reads.
  uint64_t bytes_per_token() const noexcept;
  // Never AUTO.
  bitnet_weights kind() const noexcept { return kind_; }
  // Whether there is a screened copy of the head, here or on the device.
  bool screened() const noexcept { return screen || (device && device->screened()); }

  Weights(const ModelDescription& model_, const Ops& ops_) : model(model_), ops(ops_) {}

  // The angles by which position rotates keys and queries: [rope_dims/2] each.
  void rotation(int64_t position, float* cosine, float* sine) const noexcept;

  const ModelDescription& model;
  const Ops& ops;
  Vec<LayerWeights> layers;    // empty with a device
  Vec<double> rope_frequency;  // [rope_dims/2] radians per position
  // Set with BITNET_WEIGHTS_FILE: the column order that activations must be brought into.
  std::optional<FileOrder> file_order;
  Ptr<const ScreenedHead> screen;   // nullptr: there is none here
  Ptr<const UploadedModel> device;  // nullptr: the CPU computes

 private:
  Status take_from_file(ThreadPool& pool);
  // How ternary matrices are kept: what was asked for, and the rest as a trial finds it faster.
  struct Layout {
    Packing packing = Packing::kTwoBit;
    Reading reading = Reading::kPairs;
  };
  Status pack(const Layout& layout, ThreadPool& pool, const Progress& progress);
  Status upload(const Options& options, ThreadPool& pool);
  uint64_t packed_tile_bytes() const noexcept;
  uint64_t head_bytes_per_token() const noexcept;
  Layout fastest_layout(const Options& options, ThreadPool& pool) const;

  bitnet_weights kind_ = BITNET_WEIGHTS_2BIT;
  Buffer tiles_;
};

}  // namespace bitnet
