#include "session/loaded_model.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "compute/self_check.h"

namespace bitnet {
namespace {

double now() noexcept {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// FNV-1a of the description (everything before the first tensor) and of both ends of each tensor:
// enough to tell models apart without reading a gigabyte.
uint64_t fingerprint_of(Bytes file, const Gguf& gguf) noexcept {
  constexpr uint64_t kEnd = 256;
  uint64_t hash = 14695981039346656037u;
  const auto add = [&](Bytes bytes) {
    for (uint8_t b : bytes) hash = (hash ^ b) * 1099511628211u;
  };
  uint64_t first = file.size();
  for (const TensorInfo& t : gguf.tensors()) first = std::min(first, t.offset);
  add(file.first(first));
  for (const TensorInfo& t : gguf.tensors()) {
    const uint64_t end = std::min<uint64_t>(kEnd, t.data.size());
    add(t.data.first(end));
    add(t.data.last(end));
  }
  return hash;
}

}  // namespace

Result<Ptr<const LoadedModel>> LoadedModel::open_path(const char* path, const Options& options) {
  const double started = now();
  Ptr<LoadedModel> model = make<LoadedModel>(options);
  Result<Mapping> mapping = options.read ? Mapping::read(path) : Mapping::open(path);
  if (!mapping.ok()) return mapping.status();
  model->mapping_ = std::move(mapping.value());
  model->bytes_ = model->mapping_->bytes();
  return finish(std::move(model), started);
}

Result<Ptr<const LoadedModel>> LoadedModel::open_bytes(Bytes bytes, const Options& options) {
  const double started = now();
  Ptr<LoadedModel> model = make<LoadedModel>(options);
  model->bytes_ = bytes;
  return finish(std::move(model), started);
}

Result<Ptr<const LoadedModel>> LoadedModel::open_source(const ByteSource& source,
                                                        const Options& options) {
  const double started = now();
  Ptr<LoadedModel> model = make<LoadedModel>(options);
  BITNET_LET(model->copy_, source.read());
  model->bytes_ = Bytes(model->copy_.data(), model->copy_.bytes());
  return finish(std::move(model), started);
}

uint64_t LoadedModel::cache_key() const noexcept {
  uint64_t key = fingerprint_;
  for (int32_t choice :
       {static_cast<int32_t>(description_->plan.gate), static_cast<int32_t>(options_.i2s_layout)}) {
    key = (key ^ static_cast<uint32_t>(choice)) * 1099511628211u;
  }
  return key;
}

Result<Ptr<const LoadedModel>> LoadedModel::finish(Ptr<LoadedModel> model, double started) {
  BITNET_TRY(model->name_device());
  BITNET_TRY(model->choose_kernels());
  BITNET_TRY(model->read());
  // The caller's texts and progress callback are only ours during the opening.
  model->options_.device = model->options_.isa = nullptr;
  model->options_.progress = {};
  model->load_seconds_ = now() - started;
  return Ptr<const LoadedModel>(model.release());
}

namespace {

Status unusable_isa(const char* isa) {
  String names;
  int count = 0;
  const char* const* usable = usable_isas(&count);
  for (int i = 0; i < count; ++i) {
    if (i > 0) names += ", ";
    names += usable[i];
  }
  return Status::error(BITNET_E_UNSUPPORTED,
                       "instruction set \"%s\": this build on this processor can run %s", isa,
                       names.c_str());
}

}  // namespace

// Which device is asked for, found before anything of the file is read. A description touches none.
Status LoadedModel::name_device() {
  BITNET_LET(device_name_, parse_device_name(options_.device));
  if (options_.isa && device_name_.kind == DeviceName::Kind::kCuda) {
    return Status::error(BITNET_E_ARGUMENT,
                         "isa \"%s\" is an instruction set of the CPU, device is \"%s\": leave one "
                         "of the two out",
                         options_.isa, options_.device);
  }
  if (options_.isa) device_name_.kind = DeviceName::Kind::kCpu;
  if (!options_.describe) {
    BITNET_LET(device_, choose_device(device_name_, options_.strict, options_.log));
    return {};
  }
  if (device_name_.kind == DeviceName::Kind::kCpu) return {};
  const Result<Plugin> plugin = Plugin::open("cuda");
  if (device_name_.kind == DeviceName::Kind::kAuto) {
    if (plugin.ok()) std::snprintf(described_device_, sizeof described_device_, "auto");
    return {};
  }
  if (!plugin.ok()) return Status::error(BITNET_E_DEVICE, "%s", plugin.status().text());
  std::snprintf(described_device_, sizeof described_device_, "cuda:%d", device_name_.index);
  return {};
}

// The best kernels that compute what the reference computes. An instruction set asked for by name,
// or strict, makes a kernel that does not an error instead of a warning.
Status LoadedModel::choose_kernels() {
  if (options_.isa) {
    ops_ = select_ops(options_.isa);
    return ops_ ? check_against_reference(*ops_) : unusable_isa(options_.isa);
  }
  int count = 0;
  const char* const* names = usable_isas(&count);
  for (int i = count - 1; i >= 0; --i) {
    ops_ = select_ops(names[i]);
    const Status checked = check_against_reference(*ops_);
    if (checked.ok() || options_.strict) return checked;
    options_.log(BITNET_LOG_WARNING, "%s; it is not used", checked.text());
  }
  return Status::error(BITNET_E_INTERNAL, "not even the reference kernels agree with themselves");
}

Status LoadedModel::read() {
  BITNET_LET(file_, Gguf::parse(bytes_));
  ModelDescription::Options how;
  how.i2s_layout = options_.i2s_layout;
  how.gate = options_.gate;
  how.strict = options_.strict;
  how.log = options_.log;
  BITNET_LET(description_, ModelDescription::open(*file_, how));
  BITNET_LET(tokenizer_, Tokenizer::open(*file_, options_.log, options_.strict));
  if (tokenizer_->size() > description_->hyper.vocab) {
    return Status::error(BITNET_E_FORMAT,
                         "tokenizer.ggml.tokens has %d tokens, token_embd.weight has rows for %lld",
                         tokenizer_->size(), static_cast<long long>(description_->hyper.vocab));
  }
  fingerprint_ = fingerprint_of(bytes_, *file_);
  if (Result<ChatTemplate> chat = find_chat_template(*description_, *tokenizer_); chat.ok()) {
    chat_template_ = chat.value();
  }
  return options_.describe ? Status() : prepare_weights();
}

namespace {

// Progress of work that may have to begin anew: it then waits until it is further than before.
struct Rising {
  Progress to;
  double highest = 0;

  static int report(void* user, double done) {
    Rising& rising = *static_cast<Rising*>(user);
    rising.highest = std::max(rising.highest, done);
    return rising.to.report(rising.highest) ? 0 : 1;
  }
};

}  // namespace

// On the device; where "auto" chose one that will not take the model, on the CPU after all.
Status LoadedModel::prepare_weights() {
  Weights::Options how = options_.weights();
  Rising progress{options_.progress};
  if (device_) {
    how.progress = {Rising::report, &progress};
    how.device = &device_->device;
    Result<Ptr<const Weights>> weights = Weights::prepare(*description_, *ops_, how);
    if (weights.ok()) {
      weights_ = std::move(weights.value());
      return {};
    }
    const Status& reason = weights.status();
    const bool of_device = reason.code() == BITNET_E_MEMORY || reason.code() == BITNET_E_DEVICE;
    if (!of_device || options_.strict || device_name_.kind != DeviceName::Kind::kAuto) {
      return reason;
    }
    log_fallback(options_.log, BITNET_LOG_WARNING, reason);
    device_.reset();
    how.device = nullptr;
  }
  BITNET_LET(weights_, Weights::prepare(*description_, *ops_, how));
  return {};
}

const char* LoadedModel::device_name() const noexcept {
  if (weights_) return weights_->device ? weights_->device->name() : "cpu";
  return described_device_;
}

const char* LoadedModel::isa() const noexcept {
  return weights_ && weights_->device ? weights_->device->isa() : ops_->name;
}

Result<std::optional<UsableDevice>> LoadedModel::device_to_estimate() const {
  if (weights_ && !weights_->device) return std::optional<UsableDevice>();
  if (weights_ || device_name_.kind == DeviceName::Kind::kCuda) {
    // Arithmetic of the plugin, for which the device need not be there.
    Result<Plugin> plugin = Plugin::open("cuda");
    if (!plugin.ok()) return Status::error(BITNET_E_DEVICE, "%s", plugin.status().text());
    Device device;
    device.table = &plugin.value().table();
    device.index = device_name_.index;
    return std::optional(UsableDevice{std::move(plugin.value()), device});
  }
  BITNET_LET(std::optional<UsableDevice> device, choose_device(device_name_, false, {}));
  const bool screened = Weights::screens(*description_, options_.head);
  if (device && !UploadedModel::check_room(device->device, *description_, screened).ok()) {
    device.reset();
  }
  return device;
}

}  // namespace bitnet
