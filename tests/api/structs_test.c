/* The public structs keep their promises: the INIT macro and the init function give the same bytes,
 * `size` comes first, and no field of a released version moves or changes its size. Plain C, as a
 * host would be. */
#include <bitnet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void check(int holds, const char* promise, const char* where) {
  if (holds) return;
  printf("FAILED: %s: %s\n", where, promise);
  ++failures;
}

/* Both start from different garbage, so that a byte that either leaves alone shows. */
#define CHECK_INIT(type, INIT, init)                                    \
  do {                                                                  \
    const type fresh = INIT;                                            \
    type by_macro, by_function;                                         \
    memset(&by_macro, 0x55, sizeof by_macro);                           \
    memset(&by_function, 0xaa, sizeof by_function);                     \
    by_macro = fresh;                                                   \
    init(&by_function);                                                 \
    check(memcmp(&by_macro, &by_function, sizeof(type)) == 0,           \
          #INIT " and " #init " give the same bytes", #type);           \
    check(by_function.size == sizeof(type), "size is its size", #type); \
    check(offsetof(type, size) == 0, "size comes first", #type);        \
    init(NULL);                                                         \
  } while (0)

static void check_inits(void) {
  CHECK_INIT(bitnet_error, BITNET_ERROR_INIT, bitnet_error_init);
  CHECK_INIT(bitnet_model_options, BITNET_MODEL_OPTIONS_INIT, bitnet_model_options_init);
  CHECK_INIT(bitnet_source, BITNET_SOURCE_INIT, bitnet_source_init);
  CHECK_INIT(bitnet_model_info, BITNET_MODEL_INFO_INIT, bitnet_model_info_init);
  CHECK_INIT(bitnet_tensor_info, BITNET_TENSOR_INFO_INIT, bitnet_tensor_info_init);
  CHECK_INIT(bitnet_ctx_options, BITNET_CTX_OPTIONS_INIT, bitnet_ctx_options_init);
  CHECK_INIT(bitnet_ctx_stats, BITNET_CTX_STATS_INIT, bitnet_ctx_stats_init);
  CHECK_INIT(bitnet_estimate, BITNET_ESTIMATE_INIT, bitnet_estimate_init);
  CHECK_INIT(bitnet_sampler_options, BITNET_SAMPLER_OPTIONS_INIT, bitnet_sampler_options_init);
  CHECK_INIT(bitnet_generate_options, BITNET_GENERATE_OPTIONS_INIT, bitnet_generate_options_init);
  CHECK_INIT(bitnet_generate_info, BITNET_GENERATE_INFO_INIT, bitnet_generate_info_init);
  CHECK_INIT(bitnet_machine_limits, BITNET_MACHINE_LIMITS_INIT, bitnet_machine_limits_init);
  CHECK_INIT(bitnet_device_info, BITNET_DEVICE_INFO_INIT, bitnet_device_info_init);
}

static void check_versions(void) {
  char text[32];
  snprintf(text, sizeof text, "%d.%d.%d", BITNET_VERSION_MAJOR, BITNET_VERSION_MINOR,
           BITNET_VERSION_PATCH);
  check(strcmp(bitnet_version_string(), text) == 0, "is the header's", "bitnet_version_string");
  check(bitnet_version() == ((uint32_t)BITNET_VERSION_MAJOR << 16 |
                             (uint32_t)BITNET_VERSION_MINOR << 8 | (uint32_t)BITNET_VERSION_PATCH),
        "is the header's", "bitnet_version");
  check(bitnet_abi_version() == BITNET_ABI_VERSION, "is the header's", "bitnet_abi_version");
}

static void check_statuses(void) {
  static const struct {
    bitnet_status status;
    int value;
    const char* name;
  } statuses[] = {
      {BITNET_OK, 0, "BITNET_OK"},
      {BITNET_DONE, 1, "BITNET_DONE"},
      {BITNET_E_ARGUMENT, -1, "BITNET_E_ARGUMENT"},
      {BITNET_E_STATE, -2, "BITNET_E_STATE"},
      {BITNET_E_MEMORY, -3, "BITNET_E_MEMORY"},
      {BITNET_E_IO, -4, "BITNET_E_IO"},
      {BITNET_E_FORMAT, -5, "BITNET_E_FORMAT"},
      {BITNET_E_UNSUPPORTED, -6, "BITNET_E_UNSUPPORTED"},
      {BITNET_E_CONTEXT_FULL, -7, "BITNET_E_CONTEXT_FULL"},
      {BITNET_E_CANCELLED, -8, "BITNET_E_CANCELLED"},
      {BITNET_E_BUFFER, -9, "BITNET_E_BUFFER"},
      {BITNET_E_NOT_FOUND, -10, "BITNET_E_NOT_FOUND"},
      {BITNET_E_DEVICE, -11, "BITNET_E_DEVICE"},
      {BITNET_E_INTERNAL, -12, "BITNET_E_INTERNAL"},
  };
  size_t i;
  for (i = 0; i < sizeof statuses / sizeof *statuses; ++i) {
    check((int)statuses[i].status == statuses[i].value, "keeps its number", statuses[i].name);
    check(strcmp(bitnet_status_name(statuses[i].status), statuses[i].name) == 0,
          "bitnet_status_name gives its name", statuses[i].name);
  }
  check(strcmp(bitnet_status_name((bitnet_status)-1000), "unknown status") == 0,
        "numbers that are none are unknown", "bitnet_status_name");
}

/* Layouts as they were released, for 64-bit systems; the compiler checks them. A line is never
 * changed, fields are only added below. Elements of arrays (bitnet_message, bitnet_batch_entry,
 * bitnet_logit_bias) keep their size for ever; the others may grow beyond that of 0.1.
 * tests/abi/check.py requires a line for each field. */
#define STAYS(name, holds) typedef char name[sizeof(void*) != 8 || (holds) ? 1 : -1]
#define LAYOUT(type, bytes) STAYS(type##_is_not_smaller_than_released, sizeof(type) >= (bytes))
#define ELEMENT(type, bytes) \
  STAYS(type##_has_the_size_it_was_released_with, sizeof(type) == (bytes))
#define FIELD(type, field, offset, bytes)                    \
  STAYS(type##_##field##_has_the_place_it_was_released_with, \
        offsetof(type, field) == (offset) && sizeof(((type*)0)->field) == (bytes))

LAYOUT(bitnet_error, 512);
FIELD(bitnet_error, size, 0, 4);
FIELD(bitnet_error, status, 4, 4);
FIELD(bitnet_error, message, 8, 504);
LAYOUT(bitnet_model_options, 72);
FIELD(bitnet_model_options, size, 0, 4);
FIELD(bitnet_model_options, flags, 4, 4);
FIELD(bitnet_model_options, device, 8, 8);
FIELD(bitnet_model_options, isa, 16, 8);
FIELD(bitnet_model_options, threads, 24, 4);
FIELD(bitnet_model_options, i2s_layout, 28, 4);
FIELD(bitnet_model_options, activation, 32, 4);
FIELD(bitnet_model_options, reserved, 36, 4);
FIELD(bitnet_model_options, log, 40, 8);
FIELD(bitnet_model_options, log_user, 48, 8);
FIELD(bitnet_model_options, progress, 56, 8);
FIELD(bitnet_model_options, progress_user, 64, 8);
FIELD(bitnet_model_options, weights, 72, 4); /* 0.2 */
FIELD(bitnet_model_options, head, 76, 4);    /* 0.2 */
LAYOUT(bitnet_source, 32);
FIELD(bitnet_source, size, 0, 4);
FIELD(bitnet_source, reserved, 4, 4);
FIELD(bitnet_source, bytes, 8, 8);
FIELD(bitnet_source, read_at, 16, 8);
FIELD(bitnet_source, user, 24, 8);
LAYOUT(bitnet_model_info, 144);
FIELD(bitnet_model_info, size, 0, 4);
FIELD(bitnet_model_info, flags, 4, 4);
FIELD(bitnet_model_info, family, 8, 8);
FIELD(bitnet_model_info, name, 16, 8);
FIELD(bitnet_model_info, device, 24, 8);
FIELD(bitnet_model_info, isa, 32, 8);
FIELD(bitnet_model_info, chat_template, 40, 8);
FIELD(bitnet_model_info, fingerprint, 48, 8);
FIELD(bitnet_model_info, parameters, 56, 8);
FIELD(bitnet_model_info, file_bytes, 64, 8);
FIELD(bitnet_model_info, weight_bytes, 72, 8);
FIELD(bitnet_model_info, bytes_per_token, 80, 8);
FIELD(bitnet_model_info, vocab_size, 88, 4);
FIELD(bitnet_model_info, context_length, 92, 4);
FIELD(bitnet_model_info, layers, 96, 4);
FIELD(bitnet_model_info, width, 100, 4);
FIELD(bitnet_model_info, ff_width, 104, 4);
FIELD(bitnet_model_info, heads, 108, 4);
FIELD(bitnet_model_info, kv_heads, 112, 4);
FIELD(bitnet_model_info, head_dim, 116, 4);
FIELD(bitnet_model_info, bos_token, 120, 4);
FIELD(bitnet_model_info, eos_token, 124, 4);
FIELD(bitnet_model_info, eot_token, 128, 4);
FIELD(bitnet_model_info, activation, 132, 4);
FIELD(bitnet_model_info, load_seconds, 136, 8);
FIELD(bitnet_model_info, weights, 144, 4); /* 0.2 */
FIELD(bitnet_model_info, head, 148, 4);    /* 0.2 */
LAYOUT(bitnet_tensor_info, 72);
FIELD(bitnet_tensor_info, size, 0, 4);
FIELD(bitnet_tensor_info, dimensions, 4, 4);
FIELD(bitnet_tensor_info, name, 8, 8);
FIELD(bitnet_tensor_info, type, 16, 8);
FIELD(bitnet_tensor_info, shape, 24, 32);
FIELD(bitnet_tensor_info, offset, 56, 8);
FIELD(bitnet_tensor_info, bytes, 64, 8);
ELEMENT(bitnet_message, 24);
FIELD(bitnet_message, role, 0, 8);
FIELD(bitnet_message, content, 8, 8);
FIELD(bitnet_message, content_bytes, 16, 8);
LAYOUT(bitnet_ctx_options, 40);
FIELD(bitnet_ctx_options, size, 0, 4);
FIELD(bitnet_ctx_options, flags, 4, 4);
FIELD(bitnet_ctx_options, positions, 8, 4);
FIELD(bitnet_ctx_options, sequences, 12, 4);
FIELD(bitnet_ctx_options, batch, 16, 4);
FIELD(bitnet_ctx_options, threads, 20, 4);
FIELD(bitnet_ctx_options, execute, 24, 8);
FIELD(bitnet_ctx_options, execute_user, 32, 8);
ELEMENT(bitnet_batch_entry, 16);
FIELD(bitnet_batch_entry, token, 0, 4);
FIELD(bitnet_batch_entry, position, 4, 4);
FIELD(bitnet_batch_entry, sequence, 8, 4);
FIELD(bitnet_batch_entry, want, 12, 4);
LAYOUT(bitnet_ctx_stats, 88);
FIELD(bitnet_ctx_stats, size, 0, 4);
FIELD(bitnet_ctx_stats, threads, 4, 4);
FIELD(bitnet_ctx_stats, batches, 8, 8);
FIELD(bitnet_ctx_stats, tokens, 16, 8);
FIELD(bitnet_ctx_stats, single_tokens, 24, 8);
FIELD(bitnet_ctx_stats, seconds, 32, 8);
FIELD(bitnet_ctx_stats, single_seconds, 40, 8);
FIELD(bitnet_ctx_stats, head_rows, 48, 8);
FIELD(bitnet_ctx_stats, positions_used, 56, 8);
FIELD(bitnet_ctx_stats, positions, 64, 8);
FIELD(bitnet_ctx_stats, cache_bytes, 72, 8);
FIELD(bitnet_ctx_stats, work_bytes, 80, 8);
FIELD(bitnet_ctx_stats, weight_seconds, 88, 8); /* 0.2, as all below */
FIELD(bitnet_ctx_stats, attention_seconds, 96, 8);
FIELD(bitnet_ctx_stats, screened_tokens, 104, 8);
FIELD(bitnet_ctx_stats, screened_rows, 112, 8);
FIELD(bitnet_ctx_stats, full_tokens, 120, 8);
FIELD(bitnet_ctx_stats, screened_bound, 128, 8);
LAYOUT(bitnet_estimate, 48);
FIELD(bitnet_estimate, size, 0, 4);
FIELD(bitnet_estimate, reserved, 4, 4);
FIELD(bitnet_estimate, file_bytes, 8, 8);
FIELD(bitnet_estimate, weight_bytes, 16, 8);
FIELD(bitnet_estimate, cache_bytes, 24, 8);
FIELD(bitnet_estimate, work_bytes, 32, 8);
FIELD(bitnet_estimate, total_bytes, 40, 8);
FIELD(bitnet_estimate, device_bytes, 48, 8); /* 0.3 */
ELEMENT(bitnet_logit_bias, 8);
FIELD(bitnet_logit_bias, token, 0, 4);
FIELD(bitnet_logit_bias, bias, 4, 4);
LAYOUT(bitnet_sampler_options, 56);
FIELD(bitnet_sampler_options, size, 0, 4);
FIELD(bitnet_sampler_options, temperature, 4, 4);
FIELD(bitnet_sampler_options, top_k, 8, 4);
FIELD(bitnet_sampler_options, top_p, 12, 4);
FIELD(bitnet_sampler_options, min_p, 16, 4);
FIELD(bitnet_sampler_options, repeat_penalty, 20, 4);
FIELD(bitnet_sampler_options, frequency_penalty, 24, 4);
FIELD(bitnet_sampler_options, presence_penalty, 28, 4);
FIELD(bitnet_sampler_options, penalty_window, 32, 4);
FIELD(bitnet_sampler_options, bias_count, 36, 4);
FIELD(bitnet_sampler_options, seed, 40, 8);
FIELD(bitnet_sampler_options, bias, 48, 8);
LAYOUT(bitnet_generate_options, 104);
FIELD(bitnet_generate_options, size, 0, 4);
FIELD(bitnet_generate_options, sequence, 4, 4);
FIELD(bitnet_generate_options, prompt, 8, 8);
FIELD(bitnet_generate_options, messages, 16, 8);
FIELD(bitnet_generate_options, tokens, 24, 8);
FIELD(bitnet_generate_options, prompt_bytes, 32, 8);
FIELD(bitnet_generate_options, message_count, 40, 8);
FIELD(bitnet_generate_options, token_count, 48, 8);
FIELD(bitnet_generate_options, template_name, 56, 8);
FIELD(bitnet_generate_options, stop, 64, 8);
FIELD(bitnet_generate_options, stop_count, 72, 8);
FIELD(bitnet_generate_options, max_tokens, 80, 8);
FIELD(bitnet_generate_options, sampling, 88, 8);
FIELD(bitnet_generate_options, flags, 96, 4);
FIELD(bitnet_generate_options, reserved, 100, 4);
FIELD(bitnet_generate_options, drafts, 104, 4);    /* 0.2 */
FIELD(bitnet_generate_options, reserved2, 108, 4); /* 0.2 */
LAYOUT(bitnet_generate_info, 56);
FIELD(bitnet_generate_info, size, 0, 4);
FIELD(bitnet_generate_info, end_reason, 4, 4);
FIELD(bitnet_generate_info, tokens, 8, 8);
FIELD(bitnet_generate_info, token_count, 16, 8);
FIELD(bitnet_generate_info, prompt_tokens, 24, 8);
FIELD(bitnet_generate_info, reused_tokens, 32, 8);
FIELD(bitnet_generate_info, prompt_seconds, 40, 8);
FIELD(bitnet_generate_info, decode_seconds, 48, 8);
FIELD(bitnet_generate_info, drafted_tokens, 56, 8);  /* 0.2 */
FIELD(bitnet_generate_info, accepted_tokens, 64, 8); /* 0.2 */
LAYOUT(bitnet_machine_limits, 32);
FIELD(bitnet_machine_limits, size, 0, 4);
FIELD(bitnet_machine_limits, threads, 4, 4);
FIELD(bitnet_machine_limits, isa, 8, 8);
FIELD(bitnet_machine_limits, stream_gb_per_s, 16, 8);
FIELD(bitnet_machine_limits, int8_gmac_per_s, 24, 8);
LAYOUT(bitnet_device_info, 696); /* 0.3 */
FIELD(bitnet_device_info, size, 0, 4);
FIELD(bitnet_device_info, usable, 4, 4);
FIELD(bitnet_device_info, name, 8, 32);
FIELD(bitnet_device_info, title, 40, 128);
FIELD(bitnet_device_info, memory_bytes, 168, 8);
FIELD(bitnet_device_info, memory_free, 176, 8);
FIELD(bitnet_device_info, processors, 184, 4);
FIELD(bitnet_device_info, reserved, 188, 4);
FIELD(bitnet_device_info, reason, 192, 504);

int main(void) {
  check_inits();
  check_versions();
  check_statuses();
  return failures != 0;
}
