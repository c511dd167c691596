/* A program of a host: every call of the header it is compiled with, in C and in C++, with that
 * header's structs. programs_test.py builds it against each kept header, runs it with today's
 * library and compares what it prints: lines that begin with a version are from calls that version
 * added. Bytes behind every struct are watched, since a library that takes its own size of a struct
 * for the caller's writes there.
 *
 * usage: program MODEL */
#include <bitnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SINCE(major, minor)          \
  (BITNET_VERSION_MAJOR > (major) || \
   (BITNET_VERSION_MAJOR == (major) && BITNET_VERSION_MINOR >= (minor)))

static int failures = 0;

static void fail(const char* where, const char* what) {
  printf("FAILED: %s: %s\n", where, what);
  ++failures;
}

static void expect(int holds, const char* what) {
  if (!holds) fail("program.c", what);
}

static bitnet_error why;

static void want(bitnet_status wanted, bitnet_status status, const char* call) {
  if (status == wanted) return;
  printf("FAILED: %s gives %s (%s), expected %s\n", call, bitnet_status_name(status), why.message,
         bitnet_status_name(wanted));
  ++failures;
}
#define OK(call) want(BITNET_OK, call, #call)
#define GIVES(status, call) want(status, call, #call)

/* ---- Structs with watched bytes behind them ---- */

enum { GUARD_BYTES = 128, UNTOUCHED = 0xa5 };
#define GUARDED(type, name)            \
  struct {                             \
    type value;                        \
    unsigned char behind[GUARD_BYTES]; \
  } name;                              \
  memset(&name, UNTOUCHED, sizeof name)

/* Whether the library took the struct for as large as the caller's header has it. */
static int keeps_to(const unsigned char* behind, uint32_t size, size_t bytes, const char* call,
                    const char* type) {
  int i, touched = 0;
  for (i = 0; i < GUARD_BYTES; ++i) touched += behind[i] != UNTOUCHED;
  if (!touched && size == bytes) return 1;
  printf("FAILED: %s takes the caller's %s of %d bytes for %u and writes %d bytes behind it\n",
         call, type, (int)bytes, size, touched);
  ++failures;
  return 0;
}
#define KEEPS_TO(name, type, call) keeps_to(name.behind, name.value.size, sizeof(type), call, #type)

/* The init function fills what the program's own header calls the struct, with what its INIT macro
 * says. */
#define CHECK_INIT(type, INIT)                                   \
  do {                                                           \
    static const type fresh = INIT;                              \
    GUARDED(type, by_function);                                  \
    type##_init(&by_function.value);                             \
    if (KEEPS_TO(by_function, type, #type "_init") &&            \
        memcmp(&fresh, &by_function.value, sizeof fresh) != 0) { \
      fail(#type "_init", "does not give the bytes of " #INIT);  \
    }                                                            \
  } while (0)

static void check_inits(void) {
  CHECK_INIT(bitnet_error, BITNET_ERROR_INIT);
  CHECK_INIT(bitnet_model_options, BITNET_MODEL_OPTIONS_INIT);
  CHECK_INIT(bitnet_source, BITNET_SOURCE_INIT);
  CHECK_INIT(bitnet_model_info, BITNET_MODEL_INFO_INIT);
  CHECK_INIT(bitnet_tensor_info, BITNET_TENSOR_INFO_INIT);
  CHECK_INIT(bitnet_ctx_options, BITNET_CTX_OPTIONS_INIT);
  CHECK_INIT(bitnet_ctx_stats, BITNET_CTX_STATS_INIT);
  CHECK_INIT(bitnet_estimate, BITNET_ESTIMATE_INIT);
  CHECK_INIT(bitnet_sampler_options, BITNET_SAMPLER_OPTIONS_INIT);
  CHECK_INIT(bitnet_generate_options, BITNET_GENERATE_OPTIONS_INIT);
  CHECK_INIT(bitnet_generate_info, BITNET_GENERATE_INFO_INIT);
  CHECK_INIT(bitnet_machine_limits, BITNET_MACHINE_LIMITS_INIT);
#if SINCE(0, 3)
  CHECK_INIT(bitnet_device_info, BITNET_DEVICE_INFO_INIT);
#endif
}

/* ---- Callbacks ---- */

typedef struct {
  const unsigned char* data;
  uint64_t bytes;
  int logs, progress, tasks;
} host_state;

static void on_log(void* user, bitnet_log_level level, const char* text) {
  ((host_state*)user)->logs += level != BITNET_LOG_INT32 && text != NULL;
}

static int on_progress(void* user, double done) {
  ((host_state*)user)->progress += done >= 0 && done <= 1;
  return 0;
}

static int read_at(void* user, uint64_t offset, void* buffer, uint64_t bytes) {
  const host_state* state = (const host_state*)user;
  if (offset + bytes > state->bytes) return 1;
  memcpy(buffer, state->data + offset, (size_t)bytes);
  return 0;
}

static void execute(void* user, void (*task)(void* argument, int32_t index), void* argument,
                    int32_t count) {
  int32_t i;
  for (i = 0; i < count; ++i) task(argument, i);
  ((host_state*)user)->tasks += count;
}

/* ---- The calls, a part of the header each ---- */

static void check_version(void) {
  const uint32_t mine = (uint32_t)BITNET_VERSION_MAJOR << 16 | (uint32_t)BITNET_VERSION_MINOR << 8;
  expect(bitnet_version() >= mine, "the library is as new as the header");
  expect(bitnet_abi_version() == BITNET_ABI_VERSION, "the library has the header's ABI version");
  expect(atoi(bitnet_version_string()) == (int)(bitnet_version() >> 16), "version and text agree");
}

static void check_statuses(void) {
  int status;
  for (status = BITNET_E_INTERNAL; status <= BITNET_DONE; ++status) {
    printf("status %d %s\n", status, bitnet_status_name((bitnet_status)status));
  }
}

static bitnet_model* open_model(const char* path, host_state* state) {
  GUARDED(bitnet_model_options, options);
  GUARDED(bitnet_source, source);
  GUARDED(bitnet_error, error);
  static const bitnet_model_options default_options = BITNET_MODEL_OPTIONS_INIT;
  static const bitnet_source no_source = BITNET_SOURCE_INIT;
  static const bitnet_error no_error = BITNET_ERROR_INIT;
  bitnet_model *model = NULL, *again = NULL;
  options.value = default_options;
  options.value.threads = 2;
  options.value.device = "cpu";
  options.value.log = on_log;
  options.value.log_user = state;
  options.value.progress = on_progress;
  options.value.progress_user = state;
#if SINCE(0, 2)
  options.value.weights = BITNET_WEIGHTS_BASE3;
  options.value.head = BITNET_HEAD_FULL;
#endif
  OK(bitnet_model_open_memory(state->data, state->bytes, &options.value, &again, &why));
  bitnet_model_close(again);
  source.value = no_source;
  source.value.bytes = state->bytes;
  source.value.read_at = read_at;
  source.value.user = state;
  OK(bitnet_model_open_source(&source.value, &options.value, &again, &why));
  bitnet_model_close(again);
  OK(bitnet_model_open(path, &options.value, &model, &why));
  expect(state->progress > 0, "progress is told");
  KEEPS_TO(options, bitnet_model_options, "bitnet_model_open");
  KEEPS_TO(source, bitnet_source, "bitnet_model_open_source");

  error.value = no_error;
  GIVES(BITNET_E_IO, bitnet_model_open("/nonexistent.gguf", &options.value, &again, &error.value));
  KEEPS_TO(error, bitnet_error, "bitnet_model_open, failing");
  printf("error %d %s\n", (int)error.value.status, error.value.message);
  return model;
}

static void check_model(const bitnet_model* model) {
  GUARDED(bitnet_model_info, info);
  GUARDED(bitnet_tensor_info, tensor);
  char text[64];
  uint64_t bytes = 0, i;
  info.value.size = sizeof info.value;
  OK(bitnet_model_get_info(model, &info.value, &why));
  KEEPS_TO(info, bitnet_model_info, "bitnet_model_get_info");
  printf(
      "model %s: %d tokens, %d positions, %d layers of %d and %d, %d/%d heads of %d, tokens %d %d "
      "%d, %.16g\n",
      info.value.family, (int)info.value.vocab_size, (int)info.value.context_length,
      (int)info.value.layers, (int)info.value.width, (int)info.value.ff_width,
      (int)info.value.heads, (int)info.value.kv_heads, (int)info.value.head_dim,
      (int)info.value.bos_token, (int)info.value.eos_token, (int)info.value.eot_token,
      (double)info.value.fingerprint);
#if SINCE(0, 2)
  printf("0.2 weights %d, head %d\n", (int)info.value.weights, (int)info.value.head);
#endif
  expect(bitnet_model_metadata_count(model) > 0, "there is metadata");
  OK(bitnet_model_metadata_text(model, bitnet_model_metadata_key(model, 0), 4, text, sizeof text,
                                &bytes, &why));
  printf("metadata %s: %.*s\n", bitnet_model_metadata_key(model, 0), (int)bytes, text);
  for (i = 0; i < bitnet_model_tensor_count(model); i += 10) {
    tensor.value.size = sizeof tensor.value;
    OK(bitnet_model_tensor(model, i, &tensor.value, &why));
    KEEPS_TO(tensor, bitnet_tensor_info, "bitnet_model_tensor");
    printf("tensor %s: %s, %u dimensions, %d x %d, %d bytes at %d\n", tensor.value.name,
           tensor.value.type, tensor.value.dimensions, (int)tensor.value.shape[0],
           (int)tensor.value.shape[1], (int)tensor.value.bytes, (int)tensor.value.offset);
  }
}

enum { TOKENS = 64 };

static uint64_t check_tokens(const bitnet_model* model, int32_t tokens[TOKENS]) {
  static const char text[] = "The capital of France is";
  static const bitnet_message question = {"user", "What is the capital of France?", 0};
  int32_t rendered[TOKENS];
  char again[256];
  const char* piece = NULL;
  uint64_t count = 0, bytes = 0, i;
  OK(bitnet_tokenize(model, text, sizeof text - 1, BITNET_TOKENIZE_SPECIAL, tokens, TOKENS, &count,
                     &why));
  for (i = 0; i < count; ++i) {
    OK(bitnet_token_piece(model, tokens[i], BITNET_DETOKENIZE_SPECIAL, &piece, &bytes, &why));
    printf("token %d '%.*s' %d\n", (int)tokens[i], (int)bytes, piece,
           bitnet_token_is_end(model, tokens[i]));
  }
  OK(bitnet_detokenize(model, tokens, count, 0, again, sizeof again, &bytes, &why));
  printf("text %.*s\n", (int)bytes, again);
  OK(bitnet_chat_render(model, &question, 1, NULL, again, sizeof again, &bytes, &why));
  printf("chat %.*s\n", (int)bytes, again);
  OK(bitnet_chat_tokenize(model, &question, 1, NULL, rendered, TOKENS, &bytes, &why));
  printf("chat tokens %d\n", (int)bytes);
  return count;
}

static bitnet_ctx* open_context(const bitnet_model* model, host_state* state) {
  GUARDED(bitnet_ctx_options, options);
  GUARDED(bitnet_estimate, estimate);
  static const bitnet_ctx_options defaults = BITNET_CTX_OPTIONS_INIT;
  bitnet_ctx* ctx = NULL;
  options.value = defaults;
  options.value.positions = 256;
  options.value.sequences = 2;
  options.value.threads = 2;
  options.value.execute = execute;
  options.value.execute_user = state;
  estimate.value.size = sizeof estimate.value;
  OK(bitnet_model_estimate(model, &options.value, &estimate.value, &why));
  KEEPS_TO(estimate, bitnet_estimate, "bitnet_model_estimate");
  expect(estimate.value.cache_bytes > 0 && estimate.value.total_bytes > estimate.value.cache_bytes,
         "an estimate");
  OK(bitnet_ctx_open(model, &options.value, &ctx, &why));
  KEEPS_TO(options, bitnet_ctx_options, "bitnet_ctx_open");
  return ctx;
}

/* Entries for tokens[0..count), of which the last wants logits and embedding. */
static void decode(bitnet_ctx* ctx, int32_t sequence, const int32_t* tokens, uint64_t count) {
  bitnet_batch_entry entries[TOKENS];
  uint64_t i;
  for (i = 0; i < count; ++i) {
    entries[i].token = tokens[i];
    entries[i].position = (int32_t)i;
    entries[i].sequence = sequence;
    entries[i].want = i + 1 < count ? 0 : BITNET_WANT_LOGITS | BITNET_WANT_EMBEDDING;
  }
  OK(bitnet_ctx_decode(ctx, entries, count, &why));
}

static void check_context(bitnet_ctx* ctx, const int32_t* tokens, uint64_t count) {
  GUARDED(bitnet_ctx_stats, stats);
  const float *logits = NULL, *embedding = NULL;
  const bitnet_batch_entry next = {5, 0, 1, 0};
  char *saved, *receipt;
  uint64_t bytes = 0;
  decode(ctx, 0, tokens, count);
  OK(bitnet_ctx_logits(ctx, count - 1, &logits, &why));
  OK(bitnet_ctx_embedding(ctx, count - 1, &embedding, &why));
  printf("logits %.9g %.9g, embedding %.9g\n", logits[0], logits[100], embedding[0]);
  printf("length %d, match %d\n", (int)bitnet_ctx_sequence_length(ctx, 0),
         (int)bitnet_ctx_sequence_match(ctx, 0, tokens, count));

  GIVES(BITNET_E_BUFFER, bitnet_ctx_save(ctx, 0, NULL, 0, &bytes, NULL));
  saved = (char*)malloc((size_t)bytes);
  OK(bitnet_ctx_save(ctx, 0, saved, bytes, &bytes, &why));
  OK(bitnet_ctx_load(ctx, 1, saved, bytes, &why));
  free(saved);
  printf("loaded %d\n", (int)bitnet_ctx_sequence_length(ctx, 1));
  OK(bitnet_ctx_sequence_fork(ctx, 0, 1, &why));
  OK(bitnet_ctx_sequence_truncate(ctx, 1, 0, &why));
  printf("truncated %d\n", (int)bitnet_ctx_sequence_length(ctx, 1));
  bitnet_ctx_cancel(ctx);
  GIVES(BITNET_E_CANCELLED, bitnet_ctx_decode(ctx, &next, 1, NULL));

  stats.value.size = sizeof stats.value;
  OK(bitnet_ctx_get_stats(ctx, &stats.value, &why));
  KEEPS_TO(stats, bitnet_ctx_stats, "bitnet_ctx_get_stats");
  printf("stats %d threads, %d batches, %d tokens, %d positions of %d\n", (int)stats.value.threads,
         (int)stats.value.batches, (int)stats.value.tokens, (int)stats.value.positions_used,
         (int)stats.value.positions);
#if SINCE(0, 2)
  expect(stats.value.screened_tokens == 0 && stats.value.weight_seconds >= 0,
         "counters of the screened head");
#endif
  GIVES(BITNET_E_BUFFER, bitnet_ctx_receipt(ctx, NULL, 0, &bytes, NULL));
  receipt = (char*)malloc((size_t)bytes);
  GIVES(BITNET_OK, bitnet_ctx_receipt(ctx, receipt, bytes, &bytes, &why));
  printf("receipt %.*s\n", 26, receipt);
  free(receipt);
}

static const bitnet_logit_bias bias[] = {{7, 0.5f}, {9, -2.0f}};

static bitnet_sampler_options some_sampling(void) {
  bitnet_sampler_options options = BITNET_SAMPLER_OPTIONS_INIT;
  options.temperature = 0.8f;
  options.top_k = 40;
  options.min_p = 0.01f;
  options.repeat_penalty = 1.1f;
  options.penalty_window = 32;
  options.seed = 42;
  options.bias = bias;
  options.bias_count = 2;
  return options;
}

static void check_sampler(bitnet_ctx* ctx, const int32_t* tokens, uint64_t count) {
  GUARDED(bitnet_sampler_options, options);
  bitnet_sampler* sampler = NULL;
  const float* logits = NULL;
  int32_t token = -1, i;
  options.value = some_sampling();
  OK(bitnet_sampler_open(&options.value, &sampler, &why));
  KEEPS_TO(options, bitnet_sampler_options, "bitnet_sampler_open");
  OK(bitnet_ctx_sequence_truncate(ctx, 0, 0, &why));
  decode(ctx, 0, tokens, count);
  OK(bitnet_ctx_logits(ctx, count - 1, &logits, &why));
  for (i = 0; i < 4; ++i) {
    OK(bitnet_sample(sampler, logits, 200, &token, &why));
    OK(bitnet_sampler_accept(sampler, token, &why));
    printf("pick %d\n", (int)token);
  }
  bitnet_sampler_reset(sampler);
#if SINCE(0, 2)
  OK(bitnet_ctx_sample(ctx, count - 1, 0, sampler, &token, &why));
  printf("0.2 pick %d\n", (int)token);
#endif
  bitnet_sampler_close(sampler);
}

static void check_generator(bitnet_ctx* ctx, const bitnet_sampler_options* sampling) {
  GUARDED(bitnet_generate_options, options);
  GUARDED(bitnet_generate_info, info);
  static const bitnet_generate_options defaults = BITNET_GENERATE_OPTIONS_INIT;
  static const bitnet_message question = {"user", "What is the capital of France?", 0};
  static const char* const stop[] = {"\n\n"};
  bitnet_generator* generator = NULL;
  bitnet_status status;
  const char* piece = NULL;
  uint64_t bytes = 0;
  options.value = defaults;
  options.value.messages = &question;
  options.value.message_count = 1;
  options.value.stop = stop;
  options.value.stop_count = 1;
  options.value.max_tokens = 24;
  options.value.sampling = sampling;
  OK(bitnet_generate_open(ctx, &options.value, &generator, &why));
  KEEPS_TO(options, bitnet_generate_options, "bitnet_generate_open");
  printf("reply ");
  while ((status = bitnet_generate_next(generator, &piece, &bytes, &why)) == BITNET_OK) {
    printf("%.*s", (int)bytes, piece);
  }
  printf("\n");
  GIVES(BITNET_DONE, status);
  info.value.size = sizeof info.value;
  OK(bitnet_generate_get_info(generator, &info.value, &why));
  KEEPS_TO(info, bitnet_generate_info, "bitnet_generate_get_info");
  printf("generated %d of %d, ended by %d\n", (int)info.value.token_count,
         (int)info.value.prompt_tokens, (int)info.value.end_reason);
#if SINCE(0, 2)
  expect(info.value.accepted_tokens <= info.value.drafted_tokens,
         "drafts accepted are drafts tried");
#endif
  bitnet_generate_close(generator);
}

static void check_machine(void) {
  GUARDED(bitnet_machine_limits, limits);
  static const bitnet_machine_limits defaults = BITNET_MACHINE_LIMITS_INIT;
  expect(bitnet_isa_count() > 0 && bitnet_isa_name(0) != NULL, "an instruction set");
  expect(bitnet_isa_name(bitnet_isa_count()) == NULL, "no more of them than counted");
  limits.value = defaults;
  limits.value.isa = "none such"; /* measuring takes seconds */
  GIVES(BITNET_E_UNSUPPORTED, bitnet_machine_measure(&limits.value, NULL));
  KEEPS_TO(limits, bitnet_machine_limits, "bitnet_machine_measure");
}

#if SINCE(0, 3)
static void check_devices(void) {
  GUARDED(bitnet_device_info, info);
  static const bitnet_device_info defaults = BITNET_DEVICE_INFO_INIT;
  info.value = defaults;
  OK(bitnet_device_get_info(0, &info.value, &why));
  KEEPS_TO(info, bitnet_device_info, "bitnet_device_get_info");
  expect(info.value.usable && strcmp(info.value.name, "cpu") == 0, "the first device is the CPU");
  GIVES(BITNET_E_NOT_FOUND, bitnet_device_get_info(bitnet_device_count(), &info.value, NULL));
}
#endif

static unsigned char* read_file(const char* path, uint64_t* bytes) {
  FILE* file = fopen(path, "rb");
  unsigned char* data = NULL;
  if (!file) return NULL;
  fseek(file, 0, SEEK_END);
  *bytes = (uint64_t)ftell(file);
  rewind(file);
  data = (unsigned char*)malloc((size_t)*bytes);
  if (data && fread(data, 1, (size_t)*bytes, file) != *bytes) *bytes = 0;
  fclose(file);
  return data;
}

int main(int argc, char** argv) {
  host_state state;
  bitnet_model* model;
  bitnet_ctx* ctx;
  bitnet_sampler_options sampling = some_sampling();
  int32_t tokens[TOKENS];
  uint64_t count;
  unsigned char* data;
  memset(&state, 0, sizeof state);
  why.size = sizeof why;
  data = argc == 2 ? read_file(argv[1], &state.bytes) : NULL;
  if (!data) return printf("FAILED: usage: program MODEL\n"), 2;
  state.data = data;

  check_version();
  check_statuses();
  check_inits();
  model = open_model(argv[1], &state);
  if (!model) return 1;
  check_model(model);
  count = check_tokens(model, tokens);
  ctx = open_context(model, &state);
  bitnet_model_close(model); /* the context keeps it */
  if (!ctx) return 1;
  check_context(ctx, tokens, count);
  check_sampler(ctx, tokens, count);
  check_generator(ctx, NULL);
  check_generator(ctx, &sampling);
  expect(state.tasks > 0, "the host's threads are used");
  bitnet_ctx_close(ctx);
  check_machine();
#if SINCE(0, 3)
  check_devices();
#endif
  free(data);
  return failures != 0;
}
