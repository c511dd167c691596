// One opened model: its bytes, description, tokenizer, chat template and prepared weights, in the
// order they depend on each other. Immutable; shared by contexts through bitnet_model's count.
#pragma once

#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/status.h"
#include "file/gguf.h"
#include "file/map.h"
#include "forward/packed_weights.h"
#include "model/model.h"
#include "session/chat.h"
#include "session/devices.h"
#include "tokens/tokenizer.h"

namespace bitnet {

class LoadedModel {
 public:
  struct Options {
    bool strict = false;
    bool describe = false;  // no weights
    bool read = false;      // copy the file instead of mapping it
    const char* device = nullptr;
    const char* isa = nullptr;
    int threads = 1;
    I2sLayout i2s_layout = I2sLayout::k128;
    int gate = -1;
    bitnet_weights kind = BITNET_WEIGHTS_AUTO;
    bitnet_head head = BITNET_HEAD_AUTO;
    Log log;
    Progress progress;

    // On the CPU.
    Weights::Options weights() const noexcept {
      Weights::Options how;
      how.weights = kind;
      how.head = head;
      how.threads = threads;
      how.progress = progress;
      return how;
    }
  };

  static Result<Ptr<const LoadedModel>> open_path(const char* path, const Options& options);
  // The bytes must outlive the model.
  static Result<Ptr<const LoadedModel>> open_bytes(Bytes bytes, const Options& options);
  static Result<Ptr<const LoadedModel>> open_source(const ByteSource& source,
                                                    const Options& options);

  const Gguf& file() const noexcept { return *file_; }
  uint64_t file_bytes() const noexcept { return bytes_.size(); }
  // The whole file is in memory of ours, not mapped and not the caller's.
  bool owns_file_copy() const noexcept { return options_.read || copy_.bytes() > 0; }
  const ModelDescription& description() const noexcept { return *description_; }
  const Tokenizer& tokenizer() const noexcept { return *tokenizer_; }
  const Ops& ops() const noexcept { return *ops_; }
  const Weights* weights() const noexcept { return weights_.get(); }  // nullptr: describe only
  const std::optional<ChatTemplate>& chat_template() const noexcept { return chat_template_; }
  const Options& options() const noexcept { return options_; }
  uint64_t fingerprint() const noexcept { return fingerprint_; }
  // The device's name, and the instruction set in use there. Of a model that was only described:
  // what was asked for, "auto" only where a plugin will be looked at; then no instruction set is
  // known but the CPU's.
  const char* device_name() const noexcept;
  const char* isa() const noexcept;
  // The device whose memory the model takes, or would take if it had not only been described;
  // nothing: the CPU's. Fails as opening it there would.
  Result<std::optional<UsableDevice>> device_to_estimate() const;

  // The fingerprint and the options that change what the model computes: keys and values of one key
  // fit each other.
  uint64_t cache_key() const noexcept;
  double load_seconds() const noexcept { return load_seconds_; }

  // Use the factories: public only for make().
  explicit LoadedModel(const Options& options) : options_(options) {}

 private:
  static Result<Ptr<const LoadedModel>> finish(Ptr<LoadedModel> model, double started);
  Status name_device();
  Status choose_kernels();
  Status read();
  Status prepare_weights();

  Options options_;
  std::optional<Mapping> mapping_;  // or
  Buffer copy_;                     // or bytes of the caller
  Bytes bytes_;
  std::optional<Gguf> file_;
  Ptr<const ModelDescription> description_;
  Ptr<const Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_template_;
  const Ops* ops_ = nullptr;
  DeviceName device_name_;
  std::optional<UsableDevice> device_;  // that the weights are on
  char described_device_[32] = "cpu";
  Ptr<const Weights> weights_;
  uint64_t fingerprint_ = 0;
  double load_seconds_ = 0;
};

}  // namespace bitnet
