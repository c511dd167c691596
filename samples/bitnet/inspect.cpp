// bitnet inspect: what a model file says about itself, and the memory it will need.
#include <map>

#include "commands.h"
#include "common.h"
#include "json.h"

namespace cli {
namespace {

// Arrays of the metadata (vocabularies) are shown up to here.
constexpr uint64_t shown_elements = 8;

using Bytes = unsigned long long;  // for printf

std::string metadata_text(const bitnet_model* model, const char* key) {
  return query_then_fill<std::string>(
      [&](char* buffer, uint64_t capacity, uint64_t* bytes, bitnet_error* why) {
        return bitnet_model_metadata_text(model, key, shown_elements, buffer, capacity, bytes, why);
      });
}

std::vector<bitnet_tensor_info> tensors(const bitnet_model* model) {
  std::vector<bitnet_tensor_info> list(bitnet_model_tensor_count(model));
  for (size_t i = 0; i < list.size(); ++i) {
    bitnet_error why = BITNET_ERROR_INIT;
    bitnet_tensor_info_init(&list[i]);
    check(bitnet_model_tensor(model, i, &list[i], &why), why);
  }
  return list;
}

struct Total {
  uint64_t tensors = 0, bytes = 0;
};
std::map<std::string, Total> totals_by_type(const std::vector<bitnet_tensor_info>& list) {
  std::map<std::string, Total> totals;
  for (const bitnet_tensor_info& tensor : list) {
    Total& total = totals[tensor.type];
    ++total.tensors;
    total.bytes += tensor.bytes;
  }
  return totals;
}

bitnet_estimate estimate(const bitnet_model* model, const Settings& settings) {
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_ctx_options options = BITNET_CTX_OPTIONS_INIT;
  options.positions = settings.positions;
  options.batch = settings.batch;
  options.sequences = 1;
  bitnet_estimate need = BITNET_ESTIMATE_INIT;
  check(bitnet_model_estimate(model, &options, &need, &why), why);
  return need;
}

const char* activation_name(int32_t activation) {
  return activation == BITNET_ACTIVATION_SILU ? "silu" : "relu2";
}

// Also says what the numbers of bitnet_model_info are called; text and JSON show the same ones.
std::vector<std::pair<const char*, int64_t>> numbers_of(const bitnet_model_info& info) {
  return {{"parameters", static_cast<int64_t>(info.parameters)},
          {"file_bytes", static_cast<int64_t>(info.file_bytes)},
          {"vocab_size", info.vocab_size},
          {"context_length", info.context_length},
          {"layers", info.layers},
          {"width", info.width},
          {"ff_width", info.ff_width},
          {"heads", info.heads},
          {"kv_heads", info.kv_heads},
          {"head_dim", info.head_dim},
          {"bos_token", info.bos_token},
          {"eos_token", info.eos_token},
          {"eot_token", info.eot_token}};
}
std::vector<std::pair<const char*, std::string>> texts_of(const bitnet_model_info& info) {
  return {{"family", info.family},
          {"name", info.name},
          {"chat_template", info.chat_template},
          {"activation", activation_name(info.activation)},
          {"fingerprint", format("%016llx", static_cast<Bytes>(info.fingerprint))}};
}
std::vector<std::pair<const char*, uint64_t>> numbers_of(const bitnet_estimate& need) {
  return {{"file_bytes", need.file_bytes},   {"weight_bytes", need.weight_bytes},
          {"cache_bytes", need.cache_bytes}, {"work_bytes", need.work_bytes},
          {"total_bytes", need.total_bytes}, {"device_bytes", need.device_bytes}};
}

std::string shape_text(const bitnet_tensor_info& tensor) {
  std::string text;
  for (uint32_t i = 0; i < tensor.dimensions; ++i) {
    text += (i == 0 ? "[" : ", ") + std::to_string(tensor.shape[i]);
  }
  return text + "]";
}

void print_text(const bitnet_model* model, const bitnet_estimate& need) {
  const bitnet_model_info info = model_info(model);
  for (const auto& [name, text] : texts_of(info)) {
    print(format("%-16s %s\n", name, printable(text).c_str()));
  }
  for (const auto& [name, number] : numbers_of(info)) {
    print(format("%-16s %lld\n", name, static_cast<long long>(number)));
  }

  print("\nmemory needed\n");
  for (const auto& [name, bytes] : numbers_of(need)) {
    print(format("  %-14s %15llu\n", name, static_cast<Bytes>(bytes)));
  }

  print("\nmetadata\n");
  for (uint64_t i = 0; i < bitnet_model_metadata_count(model); ++i) {
    const char* key = bitnet_model_metadata_key(model, i);
    print("  " + printable(key) + " = " + printable(metadata_text(model, key)) + "\n");
  }

  const auto list = tensors(model);
  print("\ntensors\n");
  for (const bitnet_tensor_info& tensor : list) {
    print(format("  %-6s %15llu  %s %s\n", tensor.type, static_cast<Bytes>(tensor.bytes),
                 printable(tensor.name).c_str(), shape_text(tensor).c_str()));
  }
  print("\ntypes\n");
  for (const auto& [type, total] : totals_by_type(list)) {
    print(format("  %-6s %15llu  in %llu tensors\n", type.c_str(), static_cast<Bytes>(total.bytes),
                 static_cast<Bytes>(total.tensors)));
  }
}

void put_tensor(cJSON* array, const bitnet_tensor_info& tensor) {
  cJSON* item = cJSON_CreateObject();
  cJSON_AddItemToArray(array, item);
  put_text(item, "name", tensor.name);
  put_text(item, "type", tensor.type);
  cJSON* shape = cJSON_AddArrayToObject(item, "shape");
  for (uint32_t i = 0; i < tensor.dimensions; ++i) {
    cJSON_AddItemToArray(shape, cJSON_CreateNumber(static_cast<double>(tensor.shape[i])));
  }
  put(item, "offset", tensor.offset);
  put(item, "bytes", tensor.bytes);
}

void print_as_json(const bitnet_model* model, const bitnet_estimate& need) {
  const Json root(cJSON_CreateObject());
  const bitnet_model_info info = model_info(model);
  for (const auto& [name, text] : texts_of(info)) put_text(root.get(), name, text);
  for (const auto& [name, number] : numbers_of(info)) put(root.get(), name, number);

  cJSON* memory = cJSON_AddObjectToObject(root.get(), "memory");
  for (const auto& [name, bytes] : numbers_of(need)) put(memory, name, bytes);

  cJSON* metadata = cJSON_AddObjectToObject(root.get(), "metadata");
  for (uint64_t i = 0; i < bitnet_model_metadata_count(model); ++i) {
    const char* key = bitnet_model_metadata_key(model, i);
    put_text(metadata, valid_utf8(key).c_str(), metadata_text(model, key));
  }

  const auto list = tensors(model);
  cJSON* types = cJSON_AddObjectToObject(root.get(), "types");
  for (const auto& [type, total] : totals_by_type(list)) {
    cJSON* item = cJSON_AddObjectToObject(types, type.c_str());
    put(item, "tensors", total.tensors);
    put(item, "bytes", total.bytes);
  }
  cJSON* array = cJSON_AddArrayToObject(root.get(), "tensors");
  for (const bitnet_tensor_info& tensor : list) put_tensor(array, tensor);
  print_json(root.get());
}

}  // namespace

int inspect(Arguments arguments) {
  Settings settings;
  bool json = false;

  Options options("inspect", "[FILE] [options]",
                  "Shows what a model file says about itself and the memory it needs, without\n"
                  "loading its weights.",
                  "  bitnet inspect model.gguf\n"
                  "  bitnet inspect model.gguf --ctx 2048 --json\n");
  options.flag("--json", &json, "one JSON object");
  add_model_options(options, settings);
  add_context_options(options, settings);
  const auto words = options.parse(arguments);
  if (!words) return 0;
  if (words->size() > 1) throw UsageError("give one FILE, or none for the model built in");
  if (!words->empty()) settings.model = words->front();

  const Model model = open_model(settings, BITNET_MODEL_DESCRIBE);
  const bitnet_estimate need = estimate(model.get(), settings);
  if (json) {
    print_as_json(model.get(), need);
  } else {
    print_text(model.get(), need);
  }
  flush();
  return 0;
}

}  // namespace cli
