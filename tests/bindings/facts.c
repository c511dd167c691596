/* Written by bindings/generate/main.py from include/bitnet.h; do not edit.
 *
 * Prints what this C compiler makes of the header, one fact a line; each language's tests compare it with theirs.
 *   version VERSION
 *   struct NAME SIZE ALIGN
 *   field STRUCT NAME OFFSET SIZE
 *   constant NAME VALUE
 *   function NAME RESULT PARAMETER...    as classes: void i32 u32 u64 f32 f64 ptr
 *   callback NAME RESULT PARAMETER...
 * It does not compile when a signature below is not the header's, or a pointer is none. */
#include <bitnet.h>
#include <stddef.h>
#include <stdio.h>

/* How a value of a type travels: enumerations as the 32-bit integers they are, all pointers alike. */
#define CLASS(type) \
  _Generic(*(__typeof__(type) *)0, int32_t: "i32", uint32_t: "u32", uint64_t: "u64", float: "f32", double: "f64", \
           default: "a type without a class")
#define PTR_CLASS(type) ((void)(__typeof__(*(type)0) *)0, "ptr")
#define ENUM_CLASS(type) (sizeof(type) == 4 ? "i32" : "an enumeration that is not 32 bits wide")

#define STRUCT(name) printf("struct %s %zu %zu\n", #name, sizeof(name), _Alignof(name))
#define FIELD(type, name) \
  printf("field %s %s %zu %zu\n", #type, #name, offsetof(type, name), sizeof(((type *)0)->name))
#define CONSTANT(name) printf("constant %s %lld\n", #name, (long long)(name))
#define SAME(found, wanted) \
  _Static_assert(__builtin_types_compatible_p(__typeof__(found), wanted), #found " has another signature")

int main(void) {
  printf("version %d.%d.%d\n", BITNET_VERSION_MAJOR, BITNET_VERSION_MINOR, BITNET_VERSION_PATCH);
  STRUCT(bitnet_error);
  FIELD(bitnet_error, size);
  FIELD(bitnet_error, status);
  FIELD(bitnet_error, message);
  STRUCT(bitnet_model_options);
  FIELD(bitnet_model_options, size);
  FIELD(bitnet_model_options, flags);
  FIELD(bitnet_model_options, device);
  FIELD(bitnet_model_options, isa);
  FIELD(bitnet_model_options, threads);
  FIELD(bitnet_model_options, i2s_layout);
  FIELD(bitnet_model_options, activation);
  FIELD(bitnet_model_options, reserved);
  FIELD(bitnet_model_options, log);
  FIELD(bitnet_model_options, log_user);
  FIELD(bitnet_model_options, progress);
  FIELD(bitnet_model_options, progress_user);
  FIELD(bitnet_model_options, weights);
  FIELD(bitnet_model_options, head);
  STRUCT(bitnet_source);
  FIELD(bitnet_source, size);
  FIELD(bitnet_source, reserved);
  FIELD(bitnet_source, bytes);
  FIELD(bitnet_source, read_at);
  FIELD(bitnet_source, user);
  STRUCT(bitnet_model_info);
  FIELD(bitnet_model_info, size);
  FIELD(bitnet_model_info, flags);
  FIELD(bitnet_model_info, family);
  FIELD(bitnet_model_info, name);
  FIELD(bitnet_model_info, device);
  FIELD(bitnet_model_info, isa);
  FIELD(bitnet_model_info, chat_template);
  FIELD(bitnet_model_info, fingerprint);
  FIELD(bitnet_model_info, parameters);
  FIELD(bitnet_model_info, file_bytes);
  FIELD(bitnet_model_info, weight_bytes);
  FIELD(bitnet_model_info, bytes_per_token);
  FIELD(bitnet_model_info, vocab_size);
  FIELD(bitnet_model_info, context_length);
  FIELD(bitnet_model_info, layers);
  FIELD(bitnet_model_info, width);
  FIELD(bitnet_model_info, ff_width);
  FIELD(bitnet_model_info, heads);
  FIELD(bitnet_model_info, kv_heads);
  FIELD(bitnet_model_info, head_dim);
  FIELD(bitnet_model_info, bos_token);
  FIELD(bitnet_model_info, eos_token);
  FIELD(bitnet_model_info, eot_token);
  FIELD(bitnet_model_info, activation);
  FIELD(bitnet_model_info, load_seconds);
  FIELD(bitnet_model_info, weights);
  FIELD(bitnet_model_info, head);
  STRUCT(bitnet_tensor_info);
  FIELD(bitnet_tensor_info, size);
  FIELD(bitnet_tensor_info, dimensions);
  FIELD(bitnet_tensor_info, name);
  FIELD(bitnet_tensor_info, type);
  FIELD(bitnet_tensor_info, shape);
  FIELD(bitnet_tensor_info, offset);
  FIELD(bitnet_tensor_info, bytes);
  STRUCT(bitnet_message);
  FIELD(bitnet_message, role);
  FIELD(bitnet_message, content);
  FIELD(bitnet_message, content_bytes);
  STRUCT(bitnet_ctx_options);
  FIELD(bitnet_ctx_options, size);
  FIELD(bitnet_ctx_options, flags);
  FIELD(bitnet_ctx_options, positions);
  FIELD(bitnet_ctx_options, sequences);
  FIELD(bitnet_ctx_options, batch);
  FIELD(bitnet_ctx_options, threads);
  FIELD(bitnet_ctx_options, execute);
  FIELD(bitnet_ctx_options, execute_user);
  STRUCT(bitnet_batch_entry);
  FIELD(bitnet_batch_entry, token);
  FIELD(bitnet_batch_entry, position);
  FIELD(bitnet_batch_entry, sequence);
  FIELD(bitnet_batch_entry, want);
  STRUCT(bitnet_ctx_stats);
  FIELD(bitnet_ctx_stats, size);
  FIELD(bitnet_ctx_stats, threads);
  FIELD(bitnet_ctx_stats, batches);
  FIELD(bitnet_ctx_stats, tokens);
  FIELD(bitnet_ctx_stats, single_tokens);
  FIELD(bitnet_ctx_stats, seconds);
  FIELD(bitnet_ctx_stats, single_seconds);
  FIELD(bitnet_ctx_stats, head_rows);
  FIELD(bitnet_ctx_stats, positions_used);
  FIELD(bitnet_ctx_stats, positions);
  FIELD(bitnet_ctx_stats, cache_bytes);
  FIELD(bitnet_ctx_stats, work_bytes);
  FIELD(bitnet_ctx_stats, weight_seconds);
  FIELD(bitnet_ctx_stats, attention_seconds);
  FIELD(bitnet_ctx_stats, screened_tokens);
  FIELD(bitnet_ctx_stats, screened_rows);
  FIELD(bitnet_ctx_stats, full_tokens);
  FIELD(bitnet_ctx_stats, screened_bound);
  STRUCT(bitnet_estimate);
  FIELD(bitnet_estimate, size);
  FIELD(bitnet_estimate, reserved);
  FIELD(bitnet_estimate, file_bytes);
  FIELD(bitnet_estimate, weight_bytes);
  FIELD(bitnet_estimate, cache_bytes);
  FIELD(bitnet_estimate, work_bytes);
  FIELD(bitnet_estimate, total_bytes);
  FIELD(bitnet_estimate, device_bytes);
  STRUCT(bitnet_logit_bias);
  FIELD(bitnet_logit_bias, token);
  FIELD(bitnet_logit_bias, bias);
  STRUCT(bitnet_sampler_options);
  FIELD(bitnet_sampler_options, size);
  FIELD(bitnet_sampler_options, temperature);
  FIELD(bitnet_sampler_options, top_k);
  FIELD(bitnet_sampler_options, top_p);
  FIELD(bitnet_sampler_options, min_p);
  FIELD(bitnet_sampler_options, repeat_penalty);
  FIELD(bitnet_sampler_options, frequency_penalty);
  FIELD(bitnet_sampler_options, presence_penalty);
  FIELD(bitnet_sampler_options, penalty_window);
  FIELD(bitnet_sampler_options, bias_count);
  FIELD(bitnet_sampler_options, seed);
  FIELD(bitnet_sampler_options, bias);
  STRUCT(bitnet_generate_options);
  FIELD(bitnet_generate_options, size);
  FIELD(bitnet_generate_options, sequence);
  FIELD(bitnet_generate_options, prompt);
  FIELD(bitnet_generate_options, messages);
  FIELD(bitnet_generate_options, tokens);
  FIELD(bitnet_generate_options, prompt_bytes);
  FIELD(bitnet_generate_options, message_count);
  FIELD(bitnet_generate_options, token_count);
  FIELD(bitnet_generate_options, template_name);
  FIELD(bitnet_generate_options, stop);
  FIELD(bitnet_generate_options, stop_count);
  FIELD(bitnet_generate_options, max_tokens);
  FIELD(bitnet_generate_options, sampling);
  FIELD(bitnet_generate_options, flags);
  FIELD(bitnet_generate_options, reserved);
  FIELD(bitnet_generate_options, drafts);
  FIELD(bitnet_generate_options, reserved2);
  STRUCT(bitnet_generate_info);
  FIELD(bitnet_generate_info, size);
  FIELD(bitnet_generate_info, end_reason);
  FIELD(bitnet_generate_info, tokens);
  FIELD(bitnet_generate_info, token_count);
  FIELD(bitnet_generate_info, prompt_tokens);
  FIELD(bitnet_generate_info, reused_tokens);
  FIELD(bitnet_generate_info, prompt_seconds);
  FIELD(bitnet_generate_info, decode_seconds);
  FIELD(bitnet_generate_info, drafted_tokens);
  FIELD(bitnet_generate_info, accepted_tokens);
  STRUCT(bitnet_device_info);
  FIELD(bitnet_device_info, size);
  FIELD(bitnet_device_info, usable);
  FIELD(bitnet_device_info, name);
  FIELD(bitnet_device_info, title);
  FIELD(bitnet_device_info, memory_bytes);
  FIELD(bitnet_device_info, memory_free);
  FIELD(bitnet_device_info, processors);
  FIELD(bitnet_device_info, reserved);
  FIELD(bitnet_device_info, reason);
  STRUCT(bitnet_machine_limits);
  FIELD(bitnet_machine_limits, size);
  FIELD(bitnet_machine_limits, threads);
  FIELD(bitnet_machine_limits, isa);
  FIELD(bitnet_machine_limits, stream_gb_per_s);
  FIELD(bitnet_machine_limits, int8_gmac_per_s);
  CONSTANT(BITNET_OK);
  CONSTANT(BITNET_DONE);
  CONSTANT(BITNET_E_ARGUMENT);
  CONSTANT(BITNET_E_STATE);
  CONSTANT(BITNET_E_MEMORY);
  CONSTANT(BITNET_E_IO);
  CONSTANT(BITNET_E_FORMAT);
  CONSTANT(BITNET_E_UNSUPPORTED);
  CONSTANT(BITNET_E_CONTEXT_FULL);
  CONSTANT(BITNET_E_CANCELLED);
  CONSTANT(BITNET_E_BUFFER);
  CONSTANT(BITNET_E_NOT_FOUND);
  CONSTANT(BITNET_E_DEVICE);
  CONSTANT(BITNET_E_INTERNAL);
  CONSTANT(BITNET_STATUS_INT32);
  CONSTANT(BITNET_LOG_ERROR);
  CONSTANT(BITNET_LOG_WARNING);
  CONSTANT(BITNET_LOG_INFO);
  CONSTANT(BITNET_LOG_INT32);
  CONSTANT(BITNET_MODEL_STRICT);
  CONSTANT(BITNET_MODEL_DESCRIBE);
  CONSTANT(BITNET_MODEL_READ);
  CONSTANT(BITNET_I2S_AUTO);
  CONSTANT(BITNET_I2S_128);
  CONSTANT(BITNET_I2S_64);
  CONSTANT(BITNET_I2S_4ROW);
  CONSTANT(BITNET_I2S_INT32);
  CONSTANT(BITNET_ACTIVATION_AUTO);
  CONSTANT(BITNET_ACTIVATION_RELU2);
  CONSTANT(BITNET_ACTIVATION_SILU);
  CONSTANT(BITNET_ACTIVATION_INT32);
  CONSTANT(BITNET_WEIGHTS_AUTO);
  CONSTANT(BITNET_WEIGHTS_2BIT);
  CONSTANT(BITNET_WEIGHTS_BASE3);
  CONSTANT(BITNET_WEIGHTS_FILE);
  CONSTANT(BITNET_WEIGHTS_INT32);
  CONSTANT(BITNET_HEAD_AUTO);
  CONSTANT(BITNET_HEAD_FULL);
  CONSTANT(BITNET_HEAD_SCREENED);
  CONSTANT(BITNET_HEAD_INT32);
  CONSTANT(BITNET_TOKENIZE_SPECIAL);
  CONSTANT(BITNET_TOKENIZE_PARSE);
  CONSTANT(BITNET_DETOKENIZE_SPECIAL);
  CONSTANT(BITNET_WANT_LOGITS);
  CONSTANT(BITNET_WANT_EMBEDDING);
  CONSTANT(BITNET_WANT_SAMPLE);
  CONSTANT(BITNET_GENERATE_IGNORE_END);
  CONSTANT(BITNET_GENERATE_SPECIAL);
  CONSTANT(BITNET_END_NONE);
  CONSTANT(BITNET_END_TOKEN);
  CONSTANT(BITNET_END_STOP);
  CONSTANT(BITNET_END_LIMIT);
  CONSTANT(BITNET_END_CONTEXT);
  CONSTANT(BITNET_END_INT32);
  CONSTANT(BITNET_VERSION_MAJOR);
  CONSTANT(BITNET_VERSION_MINOR);
  CONSTANT(BITNET_VERSION_PATCH);
  CONSTANT(BITNET_ABI_VERSION);
  SAME(&bitnet_version, uint32_t (*)(void));
  printf("function bitnet_version %s\n",
         CLASS(uint32_t));
  SAME(&bitnet_version_string, const char * (*)(void));
  printf("function bitnet_version_string %s\n",
         PTR_CLASS(const char *));
  SAME(&bitnet_abi_version, uint32_t (*)(void));
  printf("function bitnet_abi_version %s\n",
         CLASS(uint32_t));
  SAME(&bitnet_status_name, const char * (*)(bitnet_status));
  printf("function bitnet_status_name %s %s\n",
         PTR_CLASS(const char *), ENUM_CLASS(bitnet_status));
  SAME(&bitnet_model_open, bitnet_status (*)(const char *, const bitnet_model_options *, bitnet_model **, bitnet_error *));
  printf("function bitnet_model_open %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const char *), PTR_CLASS(const bitnet_model_options *), PTR_CLASS(bitnet_model **), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_model_open_memory, bitnet_status (*)(const void *, uint64_t, const bitnet_model_options *, bitnet_model **, bitnet_error *));
  printf("function bitnet_model_open_memory %s %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const void *), CLASS(uint64_t), PTR_CLASS(const bitnet_model_options *), PTR_CLASS(bitnet_model **), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_model_open_source, bitnet_status (*)(const bitnet_source *, const bitnet_model_options *, bitnet_model **, bitnet_error *));
  printf("function bitnet_model_open_source %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_source *), PTR_CLASS(const bitnet_model_options *), PTR_CLASS(bitnet_model **), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_model_close, void (*)(bitnet_model *));
  printf("function bitnet_model_close %s %s\n",
         "void", PTR_CLASS(bitnet_model *));
  SAME(&bitnet_model_get_info, bitnet_status (*)(const bitnet_model *, bitnet_model_info *, bitnet_error *));
  printf("function bitnet_model_get_info %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_model *), PTR_CLASS(bitnet_model_info *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_model_metadata_count, uint64_t (*)(const bitnet_model *));
  printf("function bitnet_model_metadata_count %s %s\n",
         CLASS(uint64_t), PTR_CLASS(const bitnet_model *));
  SAME(&bitnet_model_metadata_key, const char * (*)(const bitnet_model *, uint64_t));
  printf("function bitnet_model_metadata_key %s %s %s\n",
         PTR_CLASS(const char *), PTR_CLASS(const bitnet_model *), CLASS(uint64_t));
  SAME(&bitnet_model_metadata_text, bitnet_status (*)(const bitnet_model *, const char *, uint64_t, char *, uint64_t, uint64_t *, bitnet_error *));
  printf("function bitnet_model_metadata_text %s %s %s %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_model *), PTR_CLASS(const char *), CLASS(uint64_t), PTR_CLASS(char *), CLASS(uint64_t), PTR_CLASS(uint64_t *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_model_tensor_count, uint64_t (*)(const bitnet_model *));
  printf("function bitnet_model_tensor_count %s %s\n",
         CLASS(uint64_t), PTR_CLASS(const bitnet_model *));
  SAME(&bitnet_model_tensor, bitnet_status (*)(const bitnet_model *, uint64_t, bitnet_tensor_info *, bitnet_error *));
  printf("function bitnet_model_tensor %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_model *), CLASS(uint64_t), PTR_CLASS(bitnet_tensor_info *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_tokenize, bitnet_status (*)(const bitnet_model *, const char *, uint64_t, uint32_t, int32_t *, uint64_t, uint64_t *, bitnet_error *));
  printf("function bitnet_tokenize %s %s %s %s %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_model *), PTR_CLASS(const char *), CLASS(uint64_t), CLASS(uint32_t), PTR_CLASS(int32_t *), CLASS(uint64_t), PTR_CLASS(uint64_t *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_detokenize, bitnet_status (*)(const bitnet_model *, const int32_t *, uint64_t, uint32_t, char *, uint64_t, uint64_t *, bitnet_error *));
  printf("function bitnet_detokenize %s %s %s %s %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_model *), PTR_CLASS(const int32_t *), CLASS(uint64_t), CLASS(uint32_t), PTR_CLASS(char *), CLASS(uint64_t), PTR_CLASS(uint64_t *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_token_piece, bitnet_status (*)(const bitnet_model *, int32_t, uint32_t, const char **, uint64_t *, bitnet_error *));
  printf("function bitnet_token_piece %s %s %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_model *), CLASS(int32_t), CLASS(uint32_t), PTR_CLASS(const char **), PTR_CLASS(uint64_t *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_token_is_end, int (*)(const bitnet_model *, int32_t));
  printf("function bitnet_token_is_end %s %s %s\n",
         CLASS(int), PTR_CLASS(const bitnet_model *), CLASS(int32_t));
  SAME(&bitnet_chat_tokenize, bitnet_status (*)(const bitnet_model *, const bitnet_message *, uint64_t, const char *, int32_t *, uint64_t, uint64_t *, bitnet_error *));
  printf("function bitnet_chat_tokenize %s %s %s %s %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_model *), PTR_CLASS(const bitnet_message *), CLASS(uint64_t), PTR_CLASS(const char *), PTR_CLASS(int32_t *), CLASS(uint64_t), PTR_CLASS(uint64_t *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_chat_render, bitnet_status (*)(const bitnet_model *, const bitnet_message *, uint64_t, const char *, char *, uint64_t, uint64_t *, bitnet_error *));
  printf("function bitnet_chat_render %s %s %s %s %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_model *), PTR_CLASS(const bitnet_message *), CLASS(uint64_t), PTR_CLASS(const char *), PTR_CLASS(char *), CLASS(uint64_t), PTR_CLASS(uint64_t *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_ctx_open, bitnet_status (*)(const bitnet_model *, const bitnet_ctx_options *, bitnet_ctx **, bitnet_error *));
  printf("function bitnet_ctx_open %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_model *), PTR_CLASS(const bitnet_ctx_options *), PTR_CLASS(bitnet_ctx **), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_ctx_close, void (*)(bitnet_ctx *));
  printf("function bitnet_ctx_close %s %s\n",
         "void", PTR_CLASS(bitnet_ctx *));
  SAME(&bitnet_ctx_decode, bitnet_status (*)(bitnet_ctx *, const bitnet_batch_entry *, uint64_t, bitnet_error *));
  printf("function bitnet_ctx_decode %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(bitnet_ctx *), PTR_CLASS(const bitnet_batch_entry *), CLASS(uint64_t), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_ctx_logits, bitnet_status (*)(const bitnet_ctx *, uint64_t, const float **, bitnet_error *));
  printf("function bitnet_ctx_logits %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_ctx *), CLASS(uint64_t), PTR_CLASS(const float **), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_ctx_embedding, bitnet_status (*)(const bitnet_ctx *, uint64_t, const float **, bitnet_error *));
  printf("function bitnet_ctx_embedding %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_ctx *), CLASS(uint64_t), PTR_CLASS(const float **), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_ctx_sequence_length, uint64_t (*)(const bitnet_ctx *, int32_t));
  printf("function bitnet_ctx_sequence_length %s %s %s\n",
         CLASS(uint64_t), PTR_CLASS(const bitnet_ctx *), CLASS(int32_t));
  SAME(&bitnet_ctx_sequence_match, uint64_t (*)(const bitnet_ctx *, int32_t, const int32_t *, uint64_t));
  printf("function bitnet_ctx_sequence_match %s %s %s %s %s\n",
         CLASS(uint64_t), PTR_CLASS(const bitnet_ctx *), CLASS(int32_t), PTR_CLASS(const int32_t *), CLASS(uint64_t));
  SAME(&bitnet_ctx_sequence_fork, bitnet_status (*)(bitnet_ctx *, int32_t, int32_t, bitnet_error *));
  printf("function bitnet_ctx_sequence_fork %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(bitnet_ctx *), CLASS(int32_t), CLASS(int32_t), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_ctx_sequence_truncate, bitnet_status (*)(bitnet_ctx *, int32_t, uint64_t, bitnet_error *));
  printf("function bitnet_ctx_sequence_truncate %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(bitnet_ctx *), CLASS(int32_t), CLASS(uint64_t), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_ctx_save, bitnet_status (*)(const bitnet_ctx *, int32_t, void *, uint64_t, uint64_t *, bitnet_error *));
  printf("function bitnet_ctx_save %s %s %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_ctx *), CLASS(int32_t), PTR_CLASS(void *), CLASS(uint64_t), PTR_CLASS(uint64_t *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_ctx_load, bitnet_status (*)(bitnet_ctx *, int32_t, const void *, uint64_t, bitnet_error *));
  printf("function bitnet_ctx_load %s %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(bitnet_ctx *), CLASS(int32_t), PTR_CLASS(const void *), CLASS(uint64_t), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_ctx_cancel, void (*)(const bitnet_ctx *));
  printf("function bitnet_ctx_cancel %s %s\n",
         "void", PTR_CLASS(const bitnet_ctx *));
  SAME(&bitnet_ctx_get_stats, bitnet_status (*)(const bitnet_ctx *, bitnet_ctx_stats *, bitnet_error *));
  printf("function bitnet_ctx_get_stats %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_ctx *), PTR_CLASS(bitnet_ctx_stats *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_ctx_receipt, bitnet_status (*)(const bitnet_ctx *, char *, uint64_t, uint64_t *, bitnet_error *));
  printf("function bitnet_ctx_receipt %s %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_ctx *), PTR_CLASS(char *), CLASS(uint64_t), PTR_CLASS(uint64_t *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_model_estimate, bitnet_status (*)(const bitnet_model *, const bitnet_ctx_options *, bitnet_estimate *, bitnet_error *));
  printf("function bitnet_model_estimate %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_model *), PTR_CLASS(const bitnet_ctx_options *), PTR_CLASS(bitnet_estimate *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_sampler_open, bitnet_status (*)(const bitnet_sampler_options *, bitnet_sampler **, bitnet_error *));
  printf("function bitnet_sampler_open %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_sampler_options *), PTR_CLASS(bitnet_sampler **), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_sampler_close, void (*)(bitnet_sampler *));
  printf("function bitnet_sampler_close %s %s\n",
         "void", PTR_CLASS(bitnet_sampler *));
  SAME(&bitnet_sample, bitnet_status (*)(bitnet_sampler *, const float *, uint64_t, int32_t *, bitnet_error *));
  printf("function bitnet_sample %s %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(bitnet_sampler *), PTR_CLASS(const float *), CLASS(uint64_t), PTR_CLASS(int32_t *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_sampler_accept, bitnet_status (*)(bitnet_sampler *, int32_t, bitnet_error *));
  printf("function bitnet_sampler_accept %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(bitnet_sampler *), CLASS(int32_t), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_sampler_reset, void (*)(bitnet_sampler *));
  printf("function bitnet_sampler_reset %s %s\n",
         "void", PTR_CLASS(bitnet_sampler *));
  SAME(&bitnet_ctx_sample, bitnet_status (*)(bitnet_ctx *, uint64_t, uint64_t, bitnet_sampler *, int32_t *, bitnet_error *));
  printf("function bitnet_ctx_sample %s %s %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(bitnet_ctx *), CLASS(uint64_t), CLASS(uint64_t), PTR_CLASS(bitnet_sampler *), PTR_CLASS(int32_t *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_generate_open, bitnet_status (*)(bitnet_ctx *, const bitnet_generate_options *, bitnet_generator **, bitnet_error *));
  printf("function bitnet_generate_open %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(bitnet_ctx *), PTR_CLASS(const bitnet_generate_options *), PTR_CLASS(bitnet_generator **), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_generate_next, bitnet_status (*)(bitnet_generator *, const char **, uint64_t *, bitnet_error *));
  printf("function bitnet_generate_next %s %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(bitnet_generator *), PTR_CLASS(const char **), PTR_CLASS(uint64_t *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_generate_get_info, bitnet_status (*)(const bitnet_generator *, bitnet_generate_info *, bitnet_error *));
  printf("function bitnet_generate_get_info %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(const bitnet_generator *), PTR_CLASS(bitnet_generate_info *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_generate_close, void (*)(bitnet_generator *));
  printf("function bitnet_generate_close %s %s\n",
         "void", PTR_CLASS(bitnet_generator *));
  SAME(&bitnet_isa_count, int32_t (*)(void));
  printf("function bitnet_isa_count %s\n",
         CLASS(int32_t));
  SAME(&bitnet_isa_name, const char * (*)(int32_t));
  printf("function bitnet_isa_name %s %s\n",
         PTR_CLASS(const char *), CLASS(int32_t));
  SAME(&bitnet_device_count, int32_t (*)(void));
  printf("function bitnet_device_count %s\n",
         CLASS(int32_t));
  SAME(&bitnet_device_get_info, bitnet_status (*)(int32_t, bitnet_device_info *, bitnet_error *));
  printf("function bitnet_device_get_info %s %s %s %s\n",
         ENUM_CLASS(bitnet_status), CLASS(int32_t), PTR_CLASS(bitnet_device_info *), PTR_CLASS(bitnet_error *));
  SAME(&bitnet_machine_measure, bitnet_status (*)(bitnet_machine_limits *, bitnet_error *));
  printf("function bitnet_machine_measure %s %s %s\n",
         ENUM_CLASS(bitnet_status), PTR_CLASS(bitnet_machine_limits *), PTR_CLASS(bitnet_error *));
  SAME((bitnet_log_fn)0, void (*)(void *, bitnet_log_level, const char *));
  printf("callback bitnet_log_fn %s %s %s %s\n",
         "void", PTR_CLASS(void *), ENUM_CLASS(bitnet_log_level), PTR_CLASS(const char *));
  SAME((bitnet_progress_fn)0, int (*)(void *, double));
  printf("callback bitnet_progress_fn %s %s %s\n",
         CLASS(int), PTR_CLASS(void *), CLASS(double));
  SAME(((bitnet_source *)0)->read_at, int (*)(void *, uint64_t, void *, uint64_t));
  printf("callback bitnet_source.read_at %s %s %s %s %s\n",
         CLASS(int), PTR_CLASS(void *), CLASS(uint64_t), PTR_CLASS(void *), CLASS(uint64_t));
  SAME((bitnet_execute_fn)0, void (*)(void *, void (*)(void *, int32_t), void *, int32_t));
  printf("callback bitnet_execute_fn %s %s %s %s %s\n",
         "void", PTR_CLASS(void *), PTR_CLASS(void (*)(void *, int32_t)), PTR_CLASS(void *), CLASS(int32_t));
  return 0;
}
