// Opening models and looking at them.
#include <cJSON.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "api/handles.h"
#include "base/threads.h"
#include "file/load.h"

namespace bitnet {
namespace {

constexpr uint32_t kModelFlags = BITNET_MODEL_STRICT | BITNET_MODEL_DESCRIBE | BITNET_MODEL_READ;

Status model_options(const bitnet_model_options* from, LoadedModel::Options* to) noexcept {
  bitnet_model_options o = BITNET_MODEL_OPTIONS_INIT;
  BITNET_TRY(read_options(from, &o, "bitnet_model_options"));
  if (o.flags & ~kModelFlags) {
    return Status::error(BITNET_E_ARGUMENT, "flags 0x%x has bits that mean nothing in version %s",
                         o.flags, bitnet_version_string());
  }
  if (o.reserved != 0) {
    return Status::error(BITNET_E_ARGUMENT, "reserved is %d, must be 0", o.reserved);
  }
  if (o.threads < 0 || o.threads > 1024) {
    return Status::error(BITNET_E_ARGUMENT, "threads is %d, not in 0..1024", o.threads);
  }
  if (o.i2s_layout < BITNET_I2S_AUTO || o.i2s_layout > BITNET_I2S_4ROW) {
    return Status::error(BITNET_E_ARGUMENT, "i2s_layout is %d, not a bitnet_i2s_layout",
                         o.i2s_layout);
  }
  if (o.activation < BITNET_ACTIVATION_AUTO || o.activation > BITNET_ACTIVATION_SILU) {
    return Status::error(BITNET_E_ARGUMENT, "activation is %d, not a bitnet_activation",
                         o.activation);
  }
  if (o.weights < BITNET_WEIGHTS_AUTO || o.weights > BITNET_WEIGHTS_FILE) {
    return Status::error(BITNET_E_ARGUMENT, "weights is %d, not a bitnet_weights", o.weights);
  }
  if (o.head < BITNET_HEAD_AUTO || o.head > BITNET_HEAD_SCREENED) {
    return Status::error(BITNET_E_ARGUMENT, "head is %d, not a bitnet_head", o.head);
  }
  to->kind = static_cast<bitnet_weights>(o.weights);
  to->head = static_cast<bitnet_head>(o.head);
  to->strict = o.flags & BITNET_MODEL_STRICT;
  to->describe = o.flags & BITNET_MODEL_DESCRIBE;
  to->read = o.flags & BITNET_MODEL_READ;
  to->device = o.device;
  to->isa = o.isa;
  to->threads = o.threads > 0 ? o.threads : std::min(usable_cores(), 1024);
  constexpr I2sLayout kLayouts[] = {I2sLayout::k128, I2sLayout::k128, I2sLayout::k64,
                                    I2sLayout::k4Row};
  to->i2s_layout = kLayouts[o.i2s_layout];
  if (o.activation == BITNET_ACTIVATION_RELU2) to->gate = static_cast<int>(GateFunction::kRelu2);
  if (o.activation == BITNET_ACTIVATION_SILU) to->gate = static_cast<int>(GateFunction::kSilu);
  to->log = {o.log, o.log_user};
  to->progress = {o.progress, o.progress_user};
  return {};
}

// Wraps a loaded model into a handle, with terminated copies of what getters return.
Ptr<bitnet_model> handle_of(Ptr<const LoadedModel> loaded) {
  Ptr<bitnet_model> model = make<bitnet_model>(std::move(loaded));
  const LoadedModel& m = *model->loaded;
  model->family = valid_utf8(m.description().family);
  model->name = valid_utf8(m.description().name);
  for (const KeyValue& kv : m.file().metadata()) model->keys.emplace_back(kv.key);
  for (const TensorInfo& t : m.file().tensors()) {
    model->tensor_names.push_back(valid_utf8(t.name));
    const char* type = tensor_type_name(t.type);
    char number[24];
    std::snprintf(number, sizeof number, "type %u", static_cast<unsigned>(t.type));
    model->tensor_types.emplace_back(type ? type : number);
  }
  return model;
}

template <class Open>
bitnet_status open_model(const bitnet_model_options* options, bitnet_model** model,
                         bitnet_error* why, Open&& open) noexcept {
  if (model) *model = nullptr;
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(model, "model is NULL");
    LoadedModel::Options how;
    BITNET_TRY(model_options(options, &how));
    BITNET_LET(Ptr<const LoadedModel> loaded, open(how));
    *model = handle_of(std::move(loaded)).release();
    return {};
  });
}

// ---- Metadata values as text
// ---------------------------------------------------------------------

// Shortest form that reads back the same, whatever the host's locale.
template <class T>
void append_number(T value, String& out) {
  char text[40];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

void append_scalar(ValueType type, const uint8_t* data, String& out) {
  switch (type) {
    case ValueType::kU8:
      return append_number(load<uint8_t>(data), out);
    case ValueType::kU16:
      return append_number(load<uint16_t>(data), out);
    case ValueType::kU32:
      return append_number(load<uint32_t>(data), out);
    case ValueType::kU64:
      return append_number(load<uint64_t>(data), out);
    case ValueType::kI8:
      return append_number(load<int8_t>(data), out);
    case ValueType::kI16:
      return append_number(load<int16_t>(data), out);
    case ValueType::kI32:
      return append_number(load<int32_t>(data), out);
    case ValueType::kI64:
      return append_number(load<int64_t>(data), out);
    case ValueType::kF32:
      return append_number(load<float>(data), out);
    case ValueType::kF64:
      return append_number(load<double>(data), out);
    case ValueType::kBool:
      out += data[0] ? "true" : "false";
      return;
    default:
      return;
  }
}

bool is_finite(ValueType type, const uint8_t* data) noexcept {
  if (type == ValueType::kF32) return std::isfinite(load<float>(data));
  if (type == ValueType::kF64) return std::isfinite(load<double>(data));
  return true;
}

// A JSON string literal, quoted and escaped by cJSON.
void append_json_string(std::string_view text, String& out) {
  const String terminated =
      valid_utf8(text);  // cJSON's texts end at a NUL: what follows one is left out
  struct Free {
    void operator()(char* p) const noexcept { cJSON_free(p); }
    void operator()(cJSON* p) const noexcept { cJSON_Delete(p); }
  };
  std::unique_ptr<cJSON, Free> json(cJSON_CreateString(terminated.c_str()));
  std::unique_ptr<char, Free> printed(json ? cJSON_PrintUnformatted(json.get()) : nullptr);
  if (!printed) throw std::bad_alloc();
  out += printed.get();
}

void append_array(const Value& value, uint64_t max_elements, String& out) {
  const uint8_t* at = value.data.data();
  const uint64_t shown = std::min(value.count, max_elements);
  out += '[';
  for (uint64_t i = 0; i < shown; ++i) {
    if (i > 0) out += ", ";
    if (value.element == ValueType::kString) {
      const uint64_t bytes = load<uint64_t>(at);
      append_json_string({reinterpret_cast<const char*>(at) + 8, bytes}, out);
      at += 8 + bytes;
    } else {
      if (is_finite(value.element, at)) {
        append_scalar(value.element, at, out);
      } else {
        out += "null";
      }
      at += scalar_bytes(value.element);
    }
  }
  if (shown < value.count) out += shown > 0 ? ", \"...\"" : "\"...\"";
  out += ']';
}

String text_of(const Value& value, uint64_t max_elements) {
  String out;
  if (value.type == ValueType::kString) {
    out = valid_utf8({reinterpret_cast<const char*>(value.data.data()), value.data.size()});
  } else if (value.type == ValueType::kArray) {
    append_array(value, max_elements, out);
  } else {
    append_scalar(value.type, value.data.data(), out);
  }
  return out;
}

}  // namespace
}  // namespace bitnet

using namespace bitnet;

extern "C" {

bitnet_status bitnet_model_open(const char* path, const bitnet_model_options* options,
                                bitnet_model** model, bitnet_error* why) {
  return open_model(options, model, why,
                    [&](const LoadedModel::Options& how) -> Result<Ptr<const LoadedModel>> {
                      BITNET_REQUIRE(path, "path is NULL");
                      return LoadedModel::open_path(path, how);
                    });
}

bitnet_status bitnet_model_open_memory(const void* data, uint64_t bytes,
                                       const bitnet_model_options* options, bitnet_model** model,
                                       bitnet_error* why) {
  return open_model(
      options, model, why, [&](const LoadedModel::Options& how) -> Result<Ptr<const LoadedModel>> {
        BITNET_REQUIRE(data, "data is NULL");
        return LoadedModel::open_bytes({static_cast<const uint8_t*>(data), bytes}, how);
      });
}

bitnet_status bitnet_model_open_source(const bitnet_source* source,
                                       const bitnet_model_options* options, bitnet_model** model,
                                       bitnet_error* why) {
  return open_model(options, model, why,
                    [&](const LoadedModel::Options& how) -> Result<Ptr<const LoadedModel>> {
                      BITNET_REQUIRE(source, "source is NULL");
                      bitnet_source s = BITNET_SOURCE_INIT;
                      BITNET_TRY(read_options(source, &s, "bitnet_source"));
                      BITNET_REQUIRE(s.reserved == 0, "source.reserved must be 0");
                      BITNET_REQUIRE(s.read_at, "source.read_at is NULL");
                      return LoadedModel::open_source({s.read_at, s.user, s.bytes}, how);
                    });
}

void bitnet_model_close(bitnet_model* model) {
  bitnet_model::drop(model);
}

bitnet_status bitnet_model_get_info(const bitnet_model* model, bitnet_model_info* info,
                                    bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(model, "model is NULL");
    const LoadedModel& m = *model->loaded;
    const ModelDescription& d = m.description();
    bitnet_model_info i = BITNET_MODEL_INFO_INIT;
    if (m.options().strict) i.flags |= BITNET_MODEL_STRICT;
    if (m.options().describe) i.flags |= BITNET_MODEL_DESCRIBE;
    if (m.options().read) i.flags |= BITNET_MODEL_READ;
    i.family = model->family.c_str();
    i.name = model->name.c_str();
    i.device = m.device_name();
    i.isa = m.isa();
    i.chat_template = m.chat_template() ? chat_template_name(*m.chat_template()) : "";
    i.fingerprint = m.fingerprint();
    i.parameters = d.parameters;
    i.file_bytes = m.file_bytes();
    if (const Weights* w = m.weights()) {
      i.weight_bytes = w->bytes();
      i.bytes_per_token = w->bytes_per_token();
      i.weights = w->kind();
      i.head = w->screened() ? BITNET_HEAD_SCREENED : BITNET_HEAD_FULL;
    }
    i.vocab_size = static_cast<int32_t>(d.hyper.vocab);
    i.context_length = static_cast<int32_t>(d.hyper.context);
    i.layers = static_cast<int32_t>(d.hyper.layers);
    i.width = static_cast<int32_t>(d.hyper.width);
    i.ff_width = static_cast<int32_t>(d.hyper.ff_width);
    i.heads = static_cast<int32_t>(d.hyper.heads);
    i.kv_heads = static_cast<int32_t>(d.hyper.kv_heads);
    i.head_dim = static_cast<int32_t>(d.hyper.head_dim);
    i.bos_token = m.tokenizer().bos();
    i.eos_token = m.tokenizer().eos();
    i.eot_token = m.tokenizer().eot();
    i.activation =
        d.plan.gate == GateFunction::kRelu2 ? BITNET_ACTIVATION_RELU2 : BITNET_ACTIVATION_SILU;
    i.load_seconds = m.load_seconds();
    return write_struct(i, info, "bitnet_model_info");
  });
}

uint64_t bitnet_model_metadata_count(const bitnet_model* model) {
  return model ? model->keys.size() : 0;
}

const char* bitnet_model_metadata_key(const bitnet_model* model, uint64_t index) {
  return model && index < model->keys.size() ? model->keys[index].c_str() : nullptr;
}

bitnet_status bitnet_model_metadata_text(const bitnet_model* model, const char* key,
                                         uint64_t max_elements, char* buffer, uint64_t capacity,
                                         uint64_t* bytes, bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(model, "model is NULL");
    BITNET_REQUIRE(key, "key is NULL");
    BITNET_REQUIRE(bytes, "bytes is NULL");
    const Value* value = model->loaded->file().find(key);
    if (!value)
      return Status::error(BITNET_E_NOT_FOUND, "the file has no metadata key \"%s\"", key);
    const String text = text_of(*value, max_elements);
    return fill(std::span<const char>(text), buffer, capacity, bytes, "bytes");
  });
}

uint64_t bitnet_model_tensor_count(const bitnet_model* model) {
  return model ? model->tensor_names.size() : 0;
}

bitnet_status bitnet_model_tensor(const bitnet_model* model, uint64_t index,
                                  bitnet_tensor_info* info, bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(model, "model is NULL");
    if (index >= model->tensor_names.size()) {
      return Status::error(BITNET_E_NOT_FOUND, "tensor %llu: the file has %zu",
                           static_cast<unsigned long long>(index), model->tensor_names.size());
    }
    const TensorInfo& t = model->loaded->file().tensors()[index];
    bitnet_tensor_info i = BITNET_TENSOR_INFO_INIT;
    i.dimensions = t.dims;
    i.name = model->tensor_names[index].c_str();
    i.type = model->tensor_types[index].c_str();
    std::copy_n(t.shape, 4, i.shape);
    i.offset = t.offset;
    i.bytes = t.data.size();
    return write_struct(i, info, "bitnet_tensor_info");
  });
}

bitnet_status bitnet_model_estimate(const bitnet_model* model, const bitnet_ctx_options* options,
                                    bitnet_estimate* estimate, bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(model, "model is NULL");
    const ModelDescription& d = model->loaded->description();
    Context::Options how;
    BITNET_TRY(context_options(options, d.hyper, &how));
    bitnet_estimate e = BITNET_ESTIMATE_INIT;
    e.file_bytes = model->loaded->file_bytes();
    uint64_t file_in_use = 0;
    BITNET_LET(const std::optional<UsableDevice> on, model->loaded->device_to_estimate());
    const Weights::Options weights = model->loaded->options().weights();
    if (on) {
      const bool screened = Weights::screens_on(on->device, d, weights.head);
      e.work_bytes = Context::work_bytes_of(d, how, on->device);
      e.device_bytes = UploadedModel::bytes_of(on->device, d, screened) +
                       Context::device_bytes_of(d, how, screened, on->device);
    } else {
      e.weight_bytes = Weights::bytes_of(d, weights);
      e.cache_bytes = KvCache::bytes_of(d.hyper, how.positions);
      e.work_bytes = Context::work_bytes_of(d, how, Weights::screens(d, weights.head));
      file_in_use = Weights::file_bytes_of(d, weights);
    }
    if (model->loaded->owns_file_copy()) file_in_use = e.file_bytes;
    e.total_bytes = e.weight_bytes + e.cache_bytes + e.work_bytes + file_in_use;
    return write_struct(e, estimate, "bitnet_estimate");
  });
}

}  // extern "C"
