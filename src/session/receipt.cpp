#include "session/receipt.h"

#include <cJSON.h>

#include <memory>

namespace bitnet {
namespace {

struct Free {
  void operator()(cJSON* json) const noexcept { cJSON_Delete(json); }
  void operator()(char* text) const noexcept { cJSON_free(text); }
};

// cJSON reports running out of memory by a null pointer; here it becomes what our containers throw.
template <class T>
T* checked(T* pointer) {
  if (!pointer) throw std::bad_alloc();
  return pointer;
}

void add(cJSON* object, const char* key, const char* value) {
  checked(cJSON_AddStringToObject(object, key, value));
}
void add(cJSON* object, const char* key, double value) {
  checked(cJSON_AddNumberToObject(object, key, value));
}
// Counts stay below 2^53, where doubles are exact.
void add(cJSON* object, const char* key, uint64_t value) {
  add(object, key, static_cast<double>(value));
}
void add_hash(cJSON* object, const char* key, uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  add(object, key, text);
}

// What the counters say has run.
String compute_path(const char* kind, const KernelCounts& counts) {
  if (counts.ternary_matmul > 0) return String(kind) + "/packed-ternary";
  return counts.dense_matmul > 0 ? String(kind) + "/dense" : "none";
}

const char* weights_name(bitnet_weights kind) noexcept {
  switch (kind) {
    case BITNET_WEIGHTS_BASE3:
      return "base3";
    case BITNET_WEIGHTS_FILE:
      return "file";
    default:
      return "2bit";
  }
}

}  // namespace

Result<String> write_receipt(const LoadedModel& model, const Context& context) {
  const Context::Stats& stats = context.stats();
  const KernelCounts counts = context.kernel_counts();
  std::unique_ptr<cJSON, Free> root(checked(cJSON_CreateObject()));
  cJSON* json = root.get();
  char version[32];
  std::snprintf(version, sizeof version, "%d.%d.%d", BITNET_VERSION_MAJOR, BITNET_VERSION_MINOR,
                BITNET_VERSION_PATCH);
  add(json, "schema", "bitnet-receipt-1");
  add(json, "library_version", version);
  add_hash(json, "model_fingerprint", model.fingerprint());
  add(json, "model_family", String(model.description().family).c_str());
  const UploadedModel* device = model.weights()->device.get();
  add(json, "device", model.device_name());
  add(json, "isa", model.isa());
  add(json, "compute_path",
      compute_path(device ? device->device().table->kind : "cpu", counts).c_str());
  add(json, "allocator", allocator_name());
  add(json, "threads", static_cast<double>(context.threads()));
  add(json, "batches", stats.batches);
  add(json, "tokens", stats.tokens);
  const ReadOut::Counts& head = context.read_out().counts();
  add(json, "head_rows", head.rows);
  add(json, "screened_tokens", head.screened);
  add(json, "narrowed_rows", head.narrowed);
  add(json, "screened_rows", head.exact);
  add(json, "full_tokens", head.full);
  add(json, "screened_bound", head.widest_bound);
  add_hash(json, "token_hash", stats.token_hash);
  add(json, "seconds", stats.seconds);
  add(json, "weights", weights_name(model.weights()->kind()));
  add(json, "head", model.weights()->screened() ? "screened" : "full");
  add(json, "weight_bytes", model.weights()->bytes());
  add(json, "cache_bytes", context.cache().bytes());
  add(json, "work_bytes", context.work_bytes());
  cJSON* kernels = checked(cJSON_AddObjectToObject(json, "kernel_calls"));
  add(kernels, "rmsnorm", counts.rmsnorm);
  add(kernels, "quantize", counts.quantize);
  add(kernels, "ternary_matmul", counts.ternary_matmul);
  add(kernels, "dense_matmul", counts.dense_matmul);
  add(kernels, "rope", counts.rope);
  add(kernels, "attend_page", counts.attend_page);
  add(kernels, "gate", counts.gate);
  add(kernels, "launches", counts.launches);
  std::unique_ptr<char, Free> text(checked(cJSON_PrintUnformatted(json)));
  return String(text.get());
}

}  // namespace bitnet
