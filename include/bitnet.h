/* bitnet.h: BitNet b1.58 (ternary-weight) language models inside your own program.
 *
 * This header is the manual and the authority: what it says holds, what it does not say may change.
 * It is plain C99 and compiles as any newer C and as C++. Link with `pkg-config --cflags --libs bitnet`.
 *
 * HELLO, IN 15 LINES
 *
 *     #include <bitnet.h>
 *     #include <stdio.h>
 *     int main(int argc, char **argv) {
 *       bitnet_error why = BITNET_ERROR_INIT;
 *       bitnet_model *model = NULL; bitnet_ctx *ctx = NULL; bitnet_generator *reply = NULL;
 *       bitnet_message ask = {"user", argc > 2 ? argv[2] : "What is the capital of France?", 0};
 *       bitnet_generate_options options = BITNET_GENERATE_OPTIONS_INIT;
 *       const char *piece; uint64_t bytes;
 *       options.messages = &ask; options.message_count = 1;
 *       if (argc < 2 || bitnet_model_open(argv[1], NULL, &model, &why) || bitnet_ctx_open(model, NULL, &ctx, &why) ||
 *           bitnet_generate_open(ctx, &options, &reply, &why)) return fprintf(stderr, "%s\n", why.message), 1;
 *       while (bitnet_generate_next(reply, &piece, &bytes, &why) == BITNET_OK) fwrite(piece, 1, bytes, stdout);
 *       bitnet_generate_close(reply); bitnet_ctx_close(ctx); bitnet_model_close(model);
 *       return puts(why.message) < 0 || why.status != BITNET_OK;
 *     }
 *
 * CONVENTIONS, for every call unless it says otherwise
 *
 *   Status     Calls that can fail return a bitnet_status: BITNET_OK is 0, failures are negative, BITNET_DONE
 *              is positive. Results come through the last parameters; on failure they are not written, except
 *              that an out handle is set to NULL. A failed call changes nothing else, unless it says so, and every
 *              object stays usable.
 *   Reasons    `why` may be NULL. On failure it receives the status and a sentence that names the place and both
 *              sides ("blk.3.attn_q.weight: file has [2560, 2048], model needs [2560, 2560]"). On success it is
 *              left alone. It must have been initialized (BITNET_ERROR_INIT or bitnet_error_init).
 *   Any call   may return BITNET_E_ARGUMENT (a pointer is NULL that must not be, a number is out of its range, a
 *              struct's size is smaller than version 0.1's; the sentence says which) and BITNET_E_MEMORY (nothing
 *              was done; free something and call again). They are not listed again below.
 *   Threads    Calls that take a handle as const may run side by side, but not beside one that takes it without
 *              const; of those, one at a time, on any thread. A model is const once it is open. A generator's calls
 *              count as uses of its context. Only bitnet_ctx_cancel may run at any time. Different handles are
 *              independent: contexts of one model run side by side. After fork() a child must not use the handles it
 *              inherited, closing included: threads are not inherited.
 *   Ownership  What comes back through an out parameter is yours to close. What a getter returns belongs to the
 *              handle and lives as long as it does, if nothing shorter is stated. Closing NULL does nothing.
 *              Strings and arrays you pass are read during the call and not kept, unless stated.
 *   Structs    begin with `size`, the caller's sizeof, and only ever grow at the end. Initialize them with their
 *              ..._INIT macro or ..._init function (the same bytes), then set what you need; from other languages,
 *              set `size` and the rest to zero. A zero field always means the documented default. Structs without
 *              `size` (bitnet_message, bitnet_batch_entry, bitnet_logit_bias) are elements of arrays and will never
 *              change.
 *   Buffers    Query-then-fill: with `capacity` too small (0 and a NULL buffer are fine), the call stores the size
 *              needed and returns BITNET_E_BUFFER; nothing is written to the buffer. Sizes are 64-bit, in bytes
 *              for text and in elements for tokens. Text is UTF-8, not terminated unless stated; paths are UTF-8
 *              on every system. Texts of a file that are not UTF-8 are given with U+FFFD for what is broken.
 *   Silence    The library never prints, aborts, exits, changes the locale, installs signal handlers or reads
 *              environment variables (mimalloc reads its own MIMALLOC_* ones when it is loaded). Messages go to your
 *              log callback, if you set one.
 *   The host   keeps its allocator: the library's own memory comes from mimalloc opened privately where it is
 *              installed, else from malloc, and never crosses this interface for you to free.
 *
 * SAME BITS. For one model file, the logits of a token depend on nothing but the tokens before it: not on the
 * instruction set, the number of threads, how a prompt is cut into batches, which other sequences share a batch,
 * or whether a prefix came from the cache. So greedy and seeded output is the same on every machine.
 */
#ifndef BITNET_H
#define BITNET_H

#include <stdint.h>

#if defined(_WIN32)
#  if defined(BITNET_BUILD)
#    define BITNET_API __declspec(dllexport)
#  elif defined(BITNET_STATIC)
#    define BITNET_API
#  else
#    define BITNET_API __declspec(dllimport)
#  endif
#elif defined(__GNUC__)
#  define BITNET_API __attribute__((visibility("default")))
#else
#  define BITNET_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Version ------------------------------------------------------------------------------------------------ */

/* The version of this header. The build reads the library's version and soname from these lines. */
#define BITNET_VERSION_MAJOR 0
#define BITNET_VERSION_MINOR 3
#define BITNET_VERSION_PATCH 0
/* Programs built against one ABI version run with any library of the same ABI version and an equal or newer
 * version. It is the number in the soname. See ABI_CHANGELOG.md for the promise. */
#define BITNET_ABI_VERSION 0

/* The version of the library found at run time: major << 16 | minor << 8 | patch. Compare with the macros above
 * to learn whether the library is the one you compiled for. Cannot fail. Threads: any. Since 0.1. */
BITNET_API uint32_t bitnet_version(void);

/* The same as text, "0.3.0"; static. Since 0.1. */
BITNET_API const char *bitnet_version_string(void);

/* The ABI version of the library found at run time (BITNET_ABI_VERSION of its header). Since 0.1. */
BITNET_API uint32_t bitnet_abi_version(void);

/* ---- Status and reasons ------------------------------------------------------------------------------------- */

typedef enum bitnet_status {
  BITNET_OK = 0,
  /* Not an error: there is nothing more to come (bitnet_generate_next). */
  BITNET_DONE = 1,
  /* The call is wrong; fix the program. Nothing was done. */
  BITNET_E_ARGUMENT = -1,
  /* The object is not in a state in which the call makes sense (logits nobody asked for). Nothing was done. */
  BITNET_E_STATE = -2,
  /* There is no memory. Nothing was done; the object is usable: release something, or ask for less. */
  BITNET_E_MEMORY = -3,
  /* The system could not open or read a file; the sentence has the path and the system's reason. */
  BITNET_E_IO = -4,
  /* The file is damaged, truncated or breaks its format; the sentence says where. Get the file again. */
  BITNET_E_FORMAT = -5,
  /* Valid, but this version or this machine cannot do it (a model family, a tensor type, an instruction set). */
  BITNET_E_UNSUPPORTED = -6,
  /* The cache has no room for these positions. Nothing was read: drop or truncate a sequence, or open a larger
   * context. */
  BITNET_E_CONTEXT_FULL = -7,
  /* bitnet_ctx_cancel or a callback stopped the call. Nothing was added; call again to go on. */
  BITNET_E_CANCELLED = -8,
  /* The caller's buffer is too small; the size needed was stored. Call again with that much. */
  BITNET_E_BUFFER = -9,
  /* There is no such metadata key or tensor. */
  BITNET_E_NOT_FOUND = -10,
  /* A device (a GPU) cannot be used or failed; the sentence says why. The CPU still works. */
  BITNET_E_DEVICE = -11,
  /* A defect of the library. Please report the sentence. The objects involved should be closed. */
  BITNET_E_INTERNAL = -12,
  BITNET_STATUS_INT32 = 0x7fffffff /* keeps the enum 32 bits wide; never returned */
} bitnet_status;

/* "BITNET_E_FORMAT" and the like; "unknown status" for other numbers. Static. Threads: any. Since 0.1. */
BITNET_API const char *bitnet_status_name(bitnet_status status);

/* Why a call failed. Yours: on the stack, in your object, one per thread or call as you like. */
typedef struct bitnet_error {
  uint32_t size;     /* sizeof(bitnet_error) */
  int32_t status;    /* a bitnet_status; BITNET_OK until a call fails */
  char message[504]; /* a sentence, UTF-8, always terminated; empty until a call fails */
} bitnet_error;
#define BITNET_ERROR_INIT {sizeof(bitnet_error), 0, {0}}
/* Makes *why empty again. Since 0.1. */
static inline void bitnet_error_init(bitnet_error *why) {
  const bitnet_error initial = BITNET_ERROR_INIT;
  if (why) *why = initial;
}

/* ---- Callbacks ---------------------------------------------------------------------------------------------- */

typedef enum bitnet_log_level {
  BITNET_LOG_ERROR = 1,
  BITNET_LOG_WARNING = 2, /* something in the file was tolerated; `strict` would make it an error */
  BITNET_LOG_INFO = 3,
  BITNET_LOG_INT32 = 0x7fffffff
} bitnet_log_level;

/* One message, a terminated sentence without a newline; valid during the call. Called on the thread of the call
 * that logs, never from the library's own threads; on several at once if you open several models with it. Must not
 * call the library on the same handle, must not throw or longjmp. */
typedef void (*bitnet_log_fn)(void *user, bitnet_log_level level, const char *text);

/* Progress of a long call, `done` of 1.0, never decreasing, about a hundred times at most. Return 0 to go on, anything
 * else to cancel the call (it then returns BITNET_E_CANCELLED). Same rules as bitnet_log_fn. */
typedef int (*bitnet_progress_fn)(void *user, double done);

/* ---- Models ------------------------------------------------------------------------------------------------- */

/* A model: weights, tokenizer, metadata. Immutable after opening, so any number of threads and contexts may use
 * one. Counted: closing it while contexts or generators live is legal, the memory goes with the last of them. */
typedef struct bitnet_model bitnet_model;

enum {
  /* A tolerated defect of the file, a fallback to another device or kernel becomes an error. */
  BITNET_MODEL_STRICT = 1u << 0,
  /* Read only what describes the model: metadata, tensors, tokenizer. No weights are prepared, opening is quick
   * and cheap; bitnet_ctx_open then fails with BITNET_E_STATE. */
  BITNET_MODEL_DESCRIBE = 1u << 1,
  /* Read the file into memory instead of mapping it. A mapped file that somebody truncates while it is in use
   * ends the process with SIGBUS, as with any program that maps files; this option is immune to that and costs
   * the file's size in memory. */
  BITNET_MODEL_READ = 1u << 2
};

/* How the 2-bit codes of I2_S tensors lie. Files carry no mark of it; all published files use 128. */
typedef enum bitnet_i2s_layout {
  BITNET_I2S_AUTO = 0, /* 128 */
  BITNET_I2S_128 = 1,
  BITNET_I2S_64 = 2,   /* written by ARM builds of bitnet.cpp since 2026 */
  BITNET_I2S_4ROW = 3, /* written by bitnet.cpp built without ACT_PARALLEL */
  BITNET_I2S_INT32 = 0x7fffffff
} bitnet_i2s_layout;

/* The function at the gate of the feed-forward block. */
typedef enum bitnet_activation {
  BITNET_ACTIVATION_AUTO = 0, /* by the file's key, else by family */
  BITNET_ACTIVATION_RELU2 = 1,
  BITNET_ACTIVATION_SILU = 2,
  BITNET_ACTIVATION_INT32 = 0x7fffffff
} bitnet_activation;

/* How ternary weights are kept. Changes speed and memory, no bit of any result. */
typedef enum bitnet_weights {
  BITNET_WEIGHTS_AUTO = 0,  /* 2BIT or BASE3, whichever a short trial while opening finds faster here */
  BITNET_WEIGHTS_2BIT = 1,  /* packed anew, four weights a byte */
  BITNET_WEIGHTS_BASE3 = 2, /* packed anew, five weights a byte: less to read, more to compute */
  BITNET_WEIGHTS_FILE = 3,  /* as they lie in the mapped file, without a copy: opens at once, takes the least memory,
                               computes slower. Only for I2_S (layout 128) and TQ2_0 */
  BITNET_WEIGHTS_INT32 = 0x7fffffff
} bitnet_weights;

/* How the next token is found among the head's rows (bitnet_ctx_sample and generators). Changes no pick. */
typedef enum bitnet_head {
  BITNET_HEAD_AUTO = 0,     /* SCREENED where the head is large enough for it to pay */
  BITNET_HEAD_FULL = 1,     /* every row is computed */
  BITNET_HEAD_SCREENED = 2, /* a copy of the head in 7 bits a weight, with proven error bounds: 5 of them are read
                               first, the other 2 and then the head itself only of rows that can matter. A third of
                               the reading of an F16 head, for half of its size in memory. On a device 8 bits a
                               weight, all read first: half of the reading; AUTO does without if there is no room */
  BITNET_HEAD_INT32 = 0x7fffffff
} bitnet_head;

typedef struct bitnet_model_options {
  uint32_t size;           /* sizeof(bitnet_model_options) */
  uint32_t flags;          /* BITNET_MODEL_...; 0 */
  const char *device;      /* "auto", "cpu", "cuda" (the first such device) or "cuda:1" and so on; NULL: auto. See
                              bitnet_model_open; bitnet_model_info says which was taken */
  const char *isa;         /* a name of bitnet_isa_name(): with device "auto" that means the CPU, with "cuda" it is
                              BITNET_E_ARGUMENT; NULL: the best this processor runs */
  int32_t threads;         /* threads that prepare the weights, 1..1024; 0: as many as there are cores */
  int32_t i2s_layout;      /* a bitnet_i2s_layout */
  int32_t activation;      /* a bitnet_activation, to override what the file says */
  int32_t reserved;        /* 0 */
  bitnet_log_fn log;       /* kept until the model is gone; NULL: silent */
  void *log_user;
  bitnet_progress_fn progress; /* called while opening only; NULL: none */
  void *progress_user;
  int32_t weights;         /* a bitnet_weights; since 0.2 */
  int32_t head;            /* a bitnet_head; since 0.2 */
} bitnet_model_options;
#define BITNET_MODEL_OPTIONS_INIT {sizeof(bitnet_model_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
static inline void bitnet_model_options_init(bitnet_model_options *options) {
  const bitnet_model_options initial = BITNET_MODEL_OPTIONS_INIT;
  if (options) *options = initial;
}

/* Opens a model file and prepares it for this machine.
 *   path     a GGUF file (version 2 or 3). Types read: I2_S, TQ1_0, TQ2_0, and for embeddings, heads and
 *            layers that are not ternary F32, F16, BF16, Q8_0, Q6_K, Q5_0, Q4_0, Q4_K. Families: bitnet-b1.58,
 *            bitnet-25, bitnet, llama.
 *   options  NULL: all defaults
 *   model    receives the model, yours to close
 *   returns  BITNET_E_IO           the file cannot be opened or read
 *            BITNET_E_FORMAT       it is damaged; the sentence names the place
 *            BITNET_E_UNSUPPORTED  a family, type, option or instruction set this build or machine lacks
 *            BITNET_E_DEVICE       the device asked for cannot be used, or there is no such name; the sentence lists
 *                                  those there are
 *            BITNET_E_MEMORY       also: the device's memory does not hold the weights
 *            BITNET_E_CANCELLED    the progress callback said so
 *   device   "auto" is the first CUDA device if the plugin libbitnet-cuda.so is installed (beside libbitnet.so or
 *            where the system looks for libraries), else the CPU. If the plugin finds no device or driver, is of another
 *            version, or the device fails or has not enough memory for the weights, it is the CPU, too, and the log
 *            says why (a warning, or for information where there simply is no device); with BITNET_MODEL_STRICT that is
 *            an error, so name the "cpu" if you mean it. A device keeps ternary weights as BITNET_WEIGHTS_2BIT:
 *            options.weights is for the CPU. Its logits have the same bits. With BITNET_MODEL_DESCRIBE no device is
 *            touched. Since 0.3
 *   memory   the file is mapped; the ternary weights are packed anew (about a quarter byte each) and the
 *            original is then not touched again (options.weights), and a large head gets a copy in 7 bits a weight
 *            (options.head). With a device, packed weights, embeddings and head go there, where a large head gets
 *            its copy, too, and the host neither keeps any nor uses the file again. bitnet_model_estimate tells the
 *            sum beforehand.
 *   threads  any; long (a second per gigabyte), so give a progress callback or call it off your main thread. Progress
 *            is of the weights' preparation; copying the file (BITNET_MODEL_READ, a source) comes before it.
 *   since    0.1 */
BITNET_API bitnet_status bitnet_model_open(const char *path, const bitnet_model_options *options,
                                           bitnet_model **model, bitnet_error *why);

/* The same from bytes in memory: data[0..bytes), which must stay valid and unchanged until the model and every
 * context and generator opened from it are closed. Since 0.1. */
BITNET_API bitnet_status bitnet_model_open_memory(const void *data, uint64_t bytes,
                                                  const bitnet_model_options *options,
                                                  bitnet_model **model, bitnet_error *why);

/* A place to read from: an archive, a package of your application, an encrypted file. */
typedef struct bitnet_source {
  uint32_t size;     /* sizeof(bitnet_source) */
  uint32_t reserved; /* 0 */
  uint64_t bytes;    /* the length of the model file */
  /* Fills buffer with [offset, offset + bytes) of the file, on the thread of the opening call; offset + bytes never
   * exceeds the length. Returns 0 on success, anything else is a failure to read. Must not throw or longjmp. */
  int (*read_at)(void *user, uint64_t offset, void *buffer, uint64_t bytes);
  void *user;
} bitnet_source;
#define BITNET_SOURCE_INIT {sizeof(bitnet_source), 0, 0, 0, 0}
static inline void bitnet_source_init(bitnet_source *source) {
  const bitnet_source initial = BITNET_SOURCE_INIT;
  if (source) *source = initial;
}

/* The same from a callback: the file is read once, into memory of the library, before the call returns. Neither
 * source nor user is kept. BITNET_E_IO when read_at fails. Since 0.1. */
BITNET_API bitnet_status bitnet_model_open_source(const bitnet_source *source,
                                                  const bitnet_model_options *options,
                                                  bitnet_model **model, bitnet_error *why);

/* Gives your claim on the model back. Contexts and generators opened from it stay whole. Since 0.1. */
BITNET_API void bitnet_model_close(bitnet_model *model);

/* What a model is. Texts belong to the model. */
typedef struct bitnet_model_info {
  uint32_t size;             /* sizeof(bitnet_model_info), set by you */
  uint32_t flags;            /* BITNET_MODEL_... the model was opened with */
  const char *family;        /* the architecture: "bitnet-b1.58", "llama", ... */
  const char *name;          /* general.name, or "" */
  const char *device;        /* "cpu", or "cuda:0" and so on. Of a model that was only described: what was asked for,
                                where "auto" says that bitnet_model_open would look at the plugin's devices */
  const char *isa;           /* the instruction set in use: "avx512", ...; with a device that of its kernels: "sm_90" */
  const char *chat_template; /* "bitnet", "llama-3", "falcon3", "chatml"; "" for a model that cannot chat */
  uint64_t fingerprint;      /* of the metadata and both ends of each tensor: tells models apart, proves nothing */
  uint64_t parameters;       /* numbers in its weights */
  uint64_t file_bytes;
  uint64_t weight_bytes;     /* resident: what the library allocated for weights, in the device's memory if there is one */
  uint64_t bytes_per_token;  /* weight bytes read to decode and pick one token (without the cache) */
  int32_t vocab_size;        /* tokens are 0..vocab_size-1; a row of logits has this many numbers. The last ones may be
                                padding without text, which generators never pick */
  int32_t context_length;    /* positions the model was trained for */
  int32_t layers;
  int32_t width;             /* numbers in an embedding */
  int32_t ff_width;
  int32_t heads;
  int32_t kv_heads;
  int32_t head_dim;
  int32_t bos_token;         /* -1: none, as for the two below */
  int32_t eos_token;
  int32_t eot_token;         /* end of turn */
  int32_t activation;        /* a bitnet_activation, never AUTO */
  double load_seconds;       /* how long opening took */
  int32_t weights;           /* a bitnet_weights, never AUTO; since 0.2 */
  int32_t head;              /* a bitnet_head, never AUTO; since 0.2 */
} bitnet_model_info;
#define BITNET_MODEL_INFO_INIT \
  {sizeof(bitnet_model_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
static inline void bitnet_model_info_init(bitnet_model_info *info) {
  const bitnet_model_info initial = BITNET_MODEL_INFO_INIT;
  if (info) *info = initial;
}
/* Fills *info up to info->size. Since 0.1. */
BITNET_API bitnet_status bitnet_model_get_info(const bitnet_model *model, bitnet_model_info *info,
                                               bitnet_error *why);

/* The file's metadata, in file order. The key is terminated and belongs to the model; NULL when index is not
 * below the count. It has the file's own bytes, which find its value, and in a well-made file is ASCII. Since 0.1. */
BITNET_API uint64_t bitnet_model_metadata_count(const bitnet_model *model);
BITNET_API const char *bitnet_model_metadata_key(const bitnet_model *model, uint64_t index);
/* A value as text: strings as they are, numbers in decimal, booleans true or false, arrays as JSON, of which at most
 * max_elements are written, then the string "..."; in arrays what is no finite number is null. Query-then-fill; not
 * terminated. BITNET_E_NOT_FOUND: no such key. Since 0.1. */
BITNET_API bitnet_status bitnet_model_metadata_text(const bitnet_model *model, const char *key,
                                                    uint64_t max_elements, char *buffer,
                                                    uint64_t capacity, uint64_t *bytes,
                                                    bitnet_error *why);

/* One tensor of the file. */
typedef struct bitnet_tensor_info {
  uint32_t size;       /* sizeof(bitnet_tensor_info), set by you */
  uint32_t dimensions; /* 1..4 */
  const char *name;    /* both texts are terminated and belong to the model */
  const char *type;    /* "I2_S", "F16", ... */
  uint64_t shape[4];   /* shape[0] is the length of a row; unused ones are 1 */
  uint64_t offset;     /* in the file */
  uint64_t bytes;
} bitnet_tensor_info;
#define BITNET_TENSOR_INFO_INIT {sizeof(bitnet_tensor_info), 0, 0, 0, {0, 0, 0, 0}, 0, 0}
static inline void bitnet_tensor_info_init(bitnet_tensor_info *info) {
  const bitnet_tensor_info initial = BITNET_TENSOR_INFO_INIT;
  if (info) *info = initial;
}
BITNET_API uint64_t bitnet_model_tensor_count(const bitnet_model *model);
/* BITNET_E_NOT_FOUND: index is not below the count. Since 0.1. */
BITNET_API bitnet_status bitnet_model_tensor(const bitnet_model *model, uint64_t index,
                                             bitnet_tensor_info *info, bitnet_error *why);

/* ---- Text and tokens ---------------------------------------------------------------------------------------- */

enum {
  /* Add what the model wants around a whole text (usually a begin token). */
  BITNET_TOKENIZE_SPECIAL = 1u << 0,
  /* Texts of control tokens in the input ("<|eot_id|>") become those tokens. Off for text you do not trust: it is then
   * taken as plain characters and cannot end a turn or fake a role. */
  BITNET_TOKENIZE_PARSE = 1u << 1,
  /* bitnet_detokenize, bitnet_token_piece: show control tokens as their text; else they are empty. */
  BITNET_DETOKENIZE_SPECIAL = 1u << 2
};

/* Text to tokens. text[0..bytes) should be UTF-8; bytes that are not are encoded one by one where the vocabulary
 * has them. tokens[0..capacity) is query-then-fill, *count receives the number. Texts of 4 GiB and more are
 * BITNET_E_ARGUMENT. Since 0.1. */
BITNET_API bitnet_status bitnet_tokenize(const bitnet_model *model, const char *text,
                                         uint64_t bytes, uint32_t flags, int32_t *tokens,
                                         uint64_t capacity, uint64_t *count, bitnet_error *why);

/* Tokens to text; the inverse of bitnet_tokenize. Query-then-fill; not terminated. The bytes may end inside a UTF-8
 * sequence when the tokens do: to show text as it comes use a generator, which emits whole sequences only. Since 0.1. */
BITNET_API bitnet_status bitnet_detokenize(const bitnet_model *model, const int32_t *tokens,
                                           uint64_t count, uint32_t flags, char *text,
                                           uint64_t capacity, uint64_t *bytes, bitnet_error *why);

/* The bytes one token stands for; they belong to the model and may contain zeros. Since 0.1. */
BITNET_API bitnet_status bitnet_token_piece(const bitnet_model *model, int32_t token, uint32_t flags,
                                            const char **piece, uint64_t *bytes, bitnet_error *why);

/* 1 if the token ends a reply (end of text, end of turn), else 0; 0 for numbers that are no tokens. Since 0.1. */
BITNET_API int bitnet_token_is_end(const bitnet_model *model, int32_t token);

/* One message of a conversation. */
typedef struct bitnet_message {
  const char *role;       /* "system", "user" or "assistant", terminated */
  const char *content;    /* UTF-8; control tokens in it are taken as plain text */
  uint64_t content_bytes; /* 0: content is terminated */
} bitnet_message;

/* Renders messages by the model's chat template, up to where the assistant's reply begins, as tokens.
 *   template_name  "bitnet", "llama-3", "falcon3", "chatml"; NULL: the model's own
 *   returns        BITNET_E_ARGUMENT     another name, another role, no messages
 *                  BITNET_E_UNSUPPORTED  the model has no template that is known: name one, or build the prompt
 *                                        yourself; or its vocabulary lacks the template's tokens
 * Query-then-fill. Since 0.1. */
BITNET_API bitnet_status bitnet_chat_tokenize(const bitnet_model *model, const bitnet_message *messages,
                                              uint64_t message_count, const char *template_name,
                                              int32_t *tokens, uint64_t capacity, uint64_t *count,
                                              bitnet_error *why);

/* The same as text, to look at. Tokenizing this text is not the same when a content holds the text of control
 * tokens: use bitnet_chat_tokenize for decoding. Query-then-fill; not terminated. Since 0.1. */
BITNET_API bitnet_status bitnet_chat_render(const bitnet_model *model, const bitnet_message *messages,
                                            uint64_t message_count, const char *template_name,
                                            char *text, uint64_t capacity, uint64_t *bytes,
                                            bitnet_error *why);

/* ---- Contexts ----------------------------------------------------------------------------------------------- */

/* Where decoding happens: a cache of keys and values for some sequences, room for one batch, some threads. */
typedef struct bitnet_ctx bitnet_ctx;

/* Runs task(argument, 0) ... task(argument, count - 1), in any order, side by side or one after the other, and
 * returns when all have returned. Called on the thread of the call that decodes; not at all with one thread. Must not
 * throw or longjmp. */
typedef void (*bitnet_execute_fn)(void *user, void (*task)(void *argument, int32_t index),
                                  void *argument, int32_t count);

typedef struct bitnet_ctx_options {
  uint32_t size;       /* sizeof(bitnet_ctx_options) */
  uint32_t flags;      /* 0 */
  uint32_t positions;  /* cached positions, all sequences together, at most 2^24; 0: the model's context length. Rounded
                          up to 64 */
  uint32_t sequences;  /* sequences are 0..sequences-1, at most 1024; 0: 16 */
  uint32_t batch;      /* tokens computed at once, at most 4096; 0: 256. Longer batches are cut, which changes no bit */
  int32_t threads;     /* 1..1024; 0: as many as there are cores. Changes no bit. Not used with a device, nor is execute */
  bitnet_execute_fn execute; /* your thread pool, called with count = threads; NULL: threads of the context's own, */
  void *execute_user;        /*   which spin briefly between calls and then sleep */
} bitnet_ctx_options;
#define BITNET_CTX_OPTIONS_INIT {sizeof(bitnet_ctx_options), 0, 0, 0, 0, 0, 0, 0}
static inline void bitnet_ctx_options_init(bitnet_ctx_options *options) {
  const bitnet_ctx_options initial = BITNET_CTX_OPTIONS_INIT;
  if (options) *options = initial;
}

/* Opens a context, on the device that the model is on. Its memory is allocated here, with room for the logits of one
 * entry; a batch in which more entries want logits or samples than in any before makes room for them. Nothing is
 * allocated per token. The model may be closed before the context.
 * BITNET_E_STATE: the model was opened with BITNET_MODEL_DESCRIBE. BITNET_E_MEMORY also if it is the device's that is
 * short; BITNET_E_DEVICE: the device failed. The model can be used on after either. Since 0.1. */
BITNET_API bitnet_status bitnet_ctx_open(const bitnet_model *model, const bitnet_ctx_options *options,
                                         bitnet_ctx **ctx, bitnet_error *why);
/* Closes it. Its generators must be closed before; one that is never used again may be leaked. Since 0.1. */
BITNET_API void bitnet_ctx_close(bitnet_ctx *ctx);

enum {
  BITNET_WANT_LOGITS = 1u << 0,    /* bitnet_ctx_logits will be asked for this entry */
  BITNET_WANT_EMBEDDING = 1u << 1, /* bitnet_ctx_embedding will be asked for this entry */
  BITNET_WANT_SAMPLE = 1u << 2     /* bitnet_ctx_sample will be asked for this entry: what that needs is computed, which
                                      is less than the logits; since 0.2 */
};

/* One token to decode. */
typedef struct bitnet_batch_entry {
  int32_t token;    /* 0..vocab_size-1 */
  int32_t position; /* in its sequence: its length, then one more for each further entry of that sequence */
  int32_t sequence; /* 0..sequences-1 */
  uint32_t want;    /* BITNET_WANT_... or 0: only the cache is filled, which saves the head's work */
} bitnet_batch_entry;

/* Reads a batch: computes each entry's keys and values into the cache and what the entries want.
 *   entries  [count], of any mix of sequences; within a sequence in order, positions without gaps. count >= 1.
 *   returns  BITNET_E_ARGUMENT      a token, sequence or position is wrong; the sentence names the entry
 *            BITNET_E_CONTEXT_FULL  the cache or the model's context length has no room for all of them
 *            BITNET_E_CANCELLED     bitnet_ctx_cancel was called
 *            BITNET_E_DEVICE        the device failed. So will every later call that needs it: close the context; the
 *                                   CPU still works, and a model opened anew may
 *            on any failure no sequence has changed; the logits of earlier calls are gone
 *   since    0.1 */
BITNET_API bitnet_status bitnet_ctx_decode(bitnet_ctx *ctx, const bitnet_batch_entry *entries,
                                           uint64_t count, bitnet_error *why);

/* The logits of entry `index` of the last batch: [vocab_size] floats, unnormalized, that belong to the context and
 * live until its next decode or close. BITNET_E_STATE: that entry did not want logits, or there was no batch. Since 0.1. */
BITNET_API bitnet_status bitnet_ctx_logits(const bitnet_ctx *ctx, uint64_t index,
                                           const float **logits, bitnet_error *why);
/* Its final hidden state after the output norm: [width] floats; otherwise the same. Since 0.1. */
BITNET_API bitnet_status bitnet_ctx_embedding(const bitnet_ctx *ctx, uint64_t index,
                                              const float **embedding, bitnet_error *why);

/* Positions a sequence holds; 0 for numbers that are no sequences. Since 0.1. */
BITNET_API uint64_t bitnet_ctx_sequence_length(const bitnet_ctx *ctx, int32_t sequence);
/* How many of tokens[0..count) the sequence holds from its start: what need not be decoded again. Since 0.1. */
BITNET_API uint64_t bitnet_ctx_sequence_match(const bitnet_ctx *ctx, int32_t sequence,
                                              const int32_t *tokens, uint64_t count);
/* Makes `to` a copy of `from`, sharing its pages until one of them grows: cheap. What `to` held is dropped. Since 0.1. */
BITNET_API bitnet_status bitnet_ctx_sequence_fork(bitnet_ctx *ctx, int32_t from, int32_t to,
                                                  bitnet_error *why);
/* Keeps the first `positions` positions (0: empties it), if it has more. Since 0.1. */
BITNET_API bitnet_status bitnet_ctx_sequence_truncate(bitnet_ctx *ctx, int32_t sequence,
                                                      uint64_t positions, bitnet_error *why);

/* Writes one sequence (its tokens, keys and values) to a buffer, query-then-fill, with a checksum, to be loaded into
 * any context of the same model opened with the same layout and activation, in another process or on another machine.
 * Since 0.1. */
BITNET_API bitnet_status bitnet_ctx_save(const bitnet_ctx *ctx, int32_t sequence, void *buffer,
                                         uint64_t capacity, uint64_t *bytes, bitnet_error *why);
/* Replaces a sequence by a saved one, all or nothing. It may have been saved on another device.
 *   returns  BITNET_E_FORMAT        it is damaged or no saved sequence
 *            BITNET_E_UNSUPPORTED   it was saved from another model
 *            BITNET_E_CONTEXT_FULL  there is no room for it
 *   since    0.1 */
BITNET_API bitnet_status bitnet_ctx_load(bitnet_ctx *ctx, int32_t sequence, const void *data,
                                         uint64_t bytes, bitnet_error *why);

/* Makes the call that is decoding in this context return BITNET_E_CANCELLED soon (within one layer of one batch, or the
 * head). If none is, the next one to decode returns it, unless bitnet_generate_open comes first: a new reply does not
 * inherit what was meant for the one before. At any time, from any thread, and from a signal handler. Since 0.1. */
BITNET_API void bitnet_ctx_cancel(const bitnet_ctx *ctx);

typedef struct bitnet_ctx_stats {
  uint32_t size;             /* sizeof(bitnet_ctx_stats), set by you */
  int32_t threads;
  uint64_t batches;          /* decode calls that succeeded */
  uint64_t tokens;           /* entries they had */
  uint64_t single_tokens;    /* of these, in calls with one entry */
  double seconds;            /* time in those calls */
  double single_seconds;     /* time in those with one entry */
  uint64_t head_rows;        /* rows of logits computed */
  uint64_t positions_used;   /* cache positions in use, whole pages, shared pages once */
  uint64_t positions;        /* cache positions there are */
  uint64_t cache_bytes;      /* memory of the cache, on the device if there is one */
  uint64_t work_bytes;       /* memory of everything else in the context, the device's included */
  double weight_seconds;     /* of single_seconds: products with weights, the head's included; 0 with a device. Since 0.2,
                                as all below */
  double attention_seconds;  /* of single_seconds: attention; 0 with a device */
  uint64_t screened_tokens;  /* entries read through the screened head */
  uint64_t screened_rows;    /* rows of the head computed exactly for them; with a device, those the host was given */
  uint64_t full_tokens;      /* of screened_tokens, those whose sampling had to compute every row after all */
  double screened_bound;     /* the largest error bound of the first reading, in standard deviations of the logits; 0
                                with a device */
} bitnet_ctx_stats;
#define BITNET_CTX_STATS_INIT {sizeof(bitnet_ctx_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
static inline void bitnet_ctx_stats_init(bitnet_ctx_stats *stats) {
  const bitnet_ctx_stats initial = BITNET_CTX_STATS_INIT;
  if (stats) *stats = initial;
}
/* What the context has done since it was opened. Since 0.1. */
BITNET_API bitnet_status bitnet_ctx_get_stats(const bitnet_ctx *ctx, bitnet_ctx_stats *stats,
                                              bitnet_error *why);

/* A receipt of the work so far, as JSON made from counters: library version, model fingerprint, device, instruction set,
 * calls of each kernel, threads, hash of all tokens decoded, timings, memory. Query-then-fill; not terminated.
 * The schema is {"schema":"bitnet-receipt-1",...}; keys are only ever added. Since 0.1. */
BITNET_API bitnet_status bitnet_ctx_receipt(const bitnet_ctx *ctx, char *json, uint64_t capacity,
                                            uint64_t *bytes, bitnet_error *why);

/* What opening would take, before doing it. */
typedef struct bitnet_estimate {
  uint32_t size;         /* sizeof(bitnet_estimate), set by you */
  uint32_t reserved;
  uint64_t file_bytes;   /* mapped; the embedding table and the head are read from there */
  uint64_t weight_bytes; /* packed weights in the host's memory, like the two below; 0 with a device */
  uint64_t cache_bytes;  /* of a context with the options given; 0 with a device */
  uint64_t work_bytes;   /* everything else of it */
  uint64_t total_bytes;  /* weight + cache + work + the part of the file that stays in use (all of it if it was copied
                            into memory); the system may keep more of a mapped file while it has room */
  uint64_t device_bytes; /* of a device's memory: weights and context; 0: the CPU computes. Since 0.3 */
} bitnet_estimate;
#define BITNET_ESTIMATE_INIT {sizeof(bitnet_estimate), 0, 0, 0, 0, 0, 0, 0}
static inline void bitnet_estimate_init(bitnet_estimate *estimate) {
  const bitnet_estimate initial = BITNET_ESTIMATE_INIT;
  if (estimate) *estimate = initial;
}
/* Memory that a context with these options (NULL: defaults) of this model takes. The model may have been opened with
 * BITNET_MODEL_DESCRIBE, so this works before loading anything: it is then for the device that opening would take now,
 * which with "auto" has to be asked. Opening on a device takes the packed weights' size of the host's memory, too, and
 * gives it back. BITNET_E_DEVICE: the plugin of the device asked for is gone. Since 0.1. */
BITNET_API bitnet_status bitnet_model_estimate(const bitnet_model *model,
                                               const bitnet_ctx_options *options,
                                               bitnet_estimate *estimate, bitnet_error *why);

/* ---- Sampling ----------------------------------------------------------------------------------------------- */

/* Picks a token from logits: bias, penalties, then cut-offs, then a seeded draw. Works on any logits. */
typedef struct bitnet_sampler bitnet_sampler;

/* Added to one token's logit before everything else; -INFINITY bans the token. */
typedef struct bitnet_logit_bias {
  int32_t token;
  float bias;
} bitnet_logit_bias;

typedef struct bitnet_sampler_options {
  uint32_t size;           /* sizeof(bitnet_sampler_options) */
  float temperature;       /* > 0; 0: greedy, the largest logit, ties to the lowest token */
  int32_t top_k;           /* keep the k largest; 0: all */
  float top_p;             /* keep the fewest whose probabilities reach p, 0 < p < 1; 0 or 1: all */
  float min_p;             /* keep those with at least this share of the largest probability, 0 <= p < 1; 0: all */
  float repeat_penalty;    /* > 0: logits of tokens seen are divided by it if positive, else multiplied; 0 or 1: off */
  float frequency_penalty; /* times how often a token was seen, subtracted; 0: off */
  float presence_penalty;  /* subtracted once if a token was seen; 0: off */
  int32_t penalty_window;  /* how many of the last accepted tokens count as seen, at most 2^20; 0: 64; -1: all */
  uint32_t bias_count;
  uint64_t seed;           /* any number, 0 included: the same seed gives the same picks on every machine */
  const bitnet_logit_bias *bias; /* [bias_count], copied */
} bitnet_sampler_options;
#define BITNET_SAMPLER_OPTIONS_INIT {sizeof(bitnet_sampler_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
static inline void bitnet_sampler_options_init(bitnet_sampler_options *options) {
  const bitnet_sampler_options initial = BITNET_SAMPLER_OPTIONS_INIT;
  if (options) *options = initial;
}

/* Opens a sampler; NULL options pick greedily.
 *
 * The stages, in order. "Before" means: larger logit, of equal ones the lower token.
 *   bias         l = logit + bias
 *   penalties    of tokens that occur c > 0 times among the last penalty_window accepted:
 *                l = l > 0 ? l / repeat_penalty : l * repeat_penalty, then
 *                l = l - (c * frequency_penalty + presence_penalty)
 *   top-k        the first k are kept
 *   top-p        the shortest beginning whose probabilities reach top_p of all that top-k kept
 *   min-p        kept: probability at least min_p times the largest. Both see probabilities before the temperature.
 *   draw         of the tokens kept, the largest l / temperature + g is picked (the Gumbel-max trick: exactly a draw from
 *                their softmax)
 * The draw can be repeated anywhere: token i of draw n gets g = -log(-log u), where u = (2 (2^20 h + m) + 1) / 2^53,
 * h is word i mod 4 and m the upper 20 bits of word i mod 4 of two blocks of Philox4x32-10 (Salmon et al., 2011) with the
 * seed as key and the counters {n low, n high, i / 4, 0} and {n low, n high, i / 4, 1}. exp and log are the library's own.
 * Each accept moves on to the next draw.
 *
 * BITNET_E_ARGUMENT: an option is out of its range or a token is biased twice; the sentence says which. Since 0.1. */
BITNET_API bitnet_status bitnet_sampler_open(const bitnet_sampler_options *options,
                                             bitnet_sampler **sampler, bitnet_error *why);
BITNET_API void bitnet_sampler_close(bitnet_sampler *sampler);

/* Picks from logits[0..count), which are not changed; 1 <= count <= 2^23. The same call again picks the same:
 * bitnet_sampler_accept is what moves on. A logit of +infinity wins outright. BITNET_E_ARGUMENT: a logit is NaN, all are
 * -infinity, or a token with a bias is not below count. Since 0.1. */
BITNET_API bitnet_status bitnet_sample(bitnet_sampler *sampler, const float *logits, uint64_t count,
                                       int32_t *token, bitnet_error *why);
/* Tells the sampler that this token was taken: it counts for the penalties, and the next pick is a new draw. Since 0.1. */
BITNET_API bitnet_status bitnet_sampler_accept(bitnet_sampler *sampler, int32_t token,
                                               bitnet_error *why);
/* Forgets all accepted tokens and starts at draw 0 again. Since 0.1. */
BITNET_API void bitnet_sampler_reset(bitnet_sampler *sampler);

/* Picks the token that follows entry `index` of the context's last batch: always what bitnet_sample would pick from that
 * entry's first `count` logits (0: all tokens that have a text), and the same failures. The entry must have wanted
 * BITNET_WANT_SAMPLE, or BITNET_WANT_LOGITS, which serves as well. With a screened head (bitnet_head) only the logits
 * that can matter are computed: for greedy picks, top_k, min_p and plain temperature about half the reading of a full
 * pass over the head. top_p without top_k needs every logit, on a device also a bias, penalties, a top_k above 128 and
 * temperatures outside 1e-4..1e4: want BITNET_WANT_LOGITS then, or a second pass is made.
 *   returns  BITNET_E_STATE      that entry wanted neither, or there was no batch
 *            BITNET_E_CANCELLED  bitnet_ctx_cancel was called
 *   threads  a use of both handles.   since 0.2 */
BITNET_API bitnet_status bitnet_ctx_sample(bitnet_ctx *ctx, uint64_t index, uint64_t count,
                                           bitnet_sampler *sampler, int32_t *token,
                                           bitnet_error *why);

/* ---- Generating text ---------------------------------------------------------------------------------------- */

/* The whole loop: prompt or messages in, pieces of text out, pulled one by one. */
typedef struct bitnet_generator bitnet_generator;

typedef struct bitnet_generate_options {
  uint32_t size;                  /* sizeof(bitnet_generate_options) */
  int32_t sequence;               /* which sequence of the context; what it holds and the prompt share is not decoded again */
  /* The prompt: exactly one of the three. */
  const char *prompt;             /* text to continue; control tokens in it are parsed (you wrote it), and what the model
                                     wants before a text is added */
  const bitnet_message *messages; /* [message_count], rendered by the chat template */
  const int32_t *tokens;          /* [token_count] */
  uint64_t prompt_bytes;          /* 0: prompt is terminated */
  uint64_t message_count;
  uint64_t token_count;
  const char *template_name;      /* for messages; NULL: the model's own */
  const char *const *stop;        /* [stop_count] texts that end the reply, not empty; they are not part of it */
  uint64_t stop_count;
  uint64_t max_tokens;            /* 0: until the reply or the context ends */
  const bitnet_sampler_options *sampling; /* NULL: greedy */
  uint32_t flags;                 /* BITNET_GENERATE_... or 0 */
  uint32_t reserved;              /* 0 */
  int32_t drafts;                 /* where the reply repeats what stands in prompt or reply, the tokens that followed
                                     there are tried several at once: how many at most, up to 63. 0: as many as pay;
                                     -1: none. Changes speed, never a token or what the sequence holds; the context's
                                     statistics count what was tried, too. Since 0.2 */
  int32_t reserved2;              /* 0 */
} bitnet_generate_options;
#define BITNET_GENERATE_OPTIONS_INIT \
  {sizeof(bitnet_generate_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
static inline void bitnet_generate_options_init(bitnet_generate_options *options) {
  const bitnet_generate_options initial = BITNET_GENERATE_OPTIONS_INIT;
  if (options) *options = initial;
}

enum {
  BITNET_GENERATE_IGNORE_END = 1u << 0, /* end tokens do not end the reply (for measuring) */
  BITNET_GENERATE_SPECIAL = 1u << 1     /* control tokens are shown as their text */
};

/* Prepares a reply; the prompt is tokenized and copied, nothing is decoded yet. One context may have several generators,
 * on different sequences, used in turn. Whatever bitnet_ctx_logits gave before a generator's call is gone after it.
 * Everything in options is copied.
 *   returns  BITNET_E_CONTEXT_FULL  the prompt alone is longer than the context
 *            BITNET_E_UNSUPPORTED   messages, but no chat template is known
 *   threads  as for the context: the generator counts as a use of it.   since 0.1 */
BITNET_API bitnet_status bitnet_generate_open(bitnet_ctx *ctx, const bitnet_generate_options *options,
                                              bitnet_generator **generator, bitnet_error *why);

/* The next piece of the reply.
 *   piece, bytes  whole UTF-8 sequences, never empty, not terminated; belong to the generator until its next call
 *   returns       BITNET_OK              there is a piece
 *                 BITNET_DONE            the reply is over; bitnet_generate_get_info says why it ended. Stays so.
 *                 BITNET_E_CANCELLED     bitnet_ctx_cancel was called; call again to go on where it stopped. Of a long
 *                                        prompt, slices of 512 tokens that were finished stay in the sequence.
 *                 BITNET_E_CONTEXT_FULL  the cache has no room for the prompt, since other sequences hold it
 *                 BITNET_E_FORMAT        the model's logits are no numbers: its file is damaged
 *   since         0.1 */
BITNET_API bitnet_status bitnet_generate_next(bitnet_generator *generator, const char **piece,
                                              uint64_t *bytes, bitnet_error *why);

typedef enum bitnet_end_reason {
  BITNET_END_NONE = 0,    /* not over yet */
  BITNET_END_TOKEN = 1,   /* the model ended its reply */
  BITNET_END_STOP = 2,    /* a stop text came */
  BITNET_END_LIMIT = 3,   /* max_tokens */
  BITNET_END_CONTEXT = 4, /* the context is full */
  BITNET_END_INT32 = 0x7fffffff
} bitnet_end_reason;

typedef struct bitnet_generate_info {
  uint32_t size;           /* sizeof(bitnet_generate_info), set by you */
  int32_t end_reason;      /* a bitnet_end_reason */
  const int32_t *tokens;   /* [token_count] generated so far, the end token not counted; until the next call */
  uint64_t token_count;
  uint64_t prompt_tokens;
  uint64_t reused_tokens;  /* of the prompt, taken from the cache */
  double prompt_seconds;   /* decoding the rest of the prompt */
  double decode_seconds;   /* decoding the reply and picking its tokens */
  uint64_t drafted_tokens; /* tried ahead (bitnet_generate_options.drafts); since 0.2 */
  uint64_t accepted_tokens; /* of these, what the reply then had; since 0.2 */
} bitnet_generate_info;
#define BITNET_GENERATE_INFO_INIT {sizeof(bitnet_generate_info), 0, 0, 0, 0, 0, 0, 0, 0, 0}
static inline void bitnet_generate_info_init(bitnet_generate_info *info) {
  const bitnet_generate_info initial = BITNET_GENERATE_INFO_INIT;
  if (info) *info = initial;
}
BITNET_API bitnet_status bitnet_generate_get_info(const bitnet_generator *generator,
                                                  bitnet_generate_info *info, bitnet_error *why);

/* Closes it. What it decoded stays in the context's sequence, so that the next turn of a chat is quick. Since 0.1. */
BITNET_API void bitnet_generate_close(bitnet_generator *generator);

/* ---- The machine -------------------------------------------------------------------------------------------- */

/* Names for bitnet_model_options.isa that this processor can run, the plainest first ("reference", "baseline", ..., "avx512");
 * NULL when index is not below the count. Static. Since 0.1. */
BITNET_API int32_t bitnet_isa_count(void);
BITNET_API const char *bitnet_isa_name(int32_t index);

/* A device that models can be opened on. */
typedef struct bitnet_device_info {
  uint32_t size;         /* sizeof(bitnet_device_info), set by you */
  int32_t usable;        /* 1; 0: it cannot be used, reason says why */
  char name[32];         /* for bitnet_model_options.device: "cpu", "cuda:0"; all texts are UTF-8 and terminated */
  char title[128];       /* what its maker calls it; of the CPU: the best instruction set; "" if not known */
  uint64_t memory_bytes; /* it has; 0: not known, as for the two below */
  uint64_t memory_free;  /* when asked */
  int32_t processors;    /* multiprocessors; of the CPU: cores that this process may run on */
  int32_t reserved;
  char reason[504];      /* a sentence; empty if usable */
} bitnet_device_info;
#define BITNET_DEVICE_INFO_INIT {sizeof(bitnet_device_info), 0, {0}, {0}, 0, 0, 0, 0, {0}}
static inline void bitnet_device_info_init(bitnet_device_info *info) {
  const bitnet_device_info initial = BITNET_DEVICE_INFO_INIT;
  if (info) *info = initial;
}
/* How many entries bitnet_device_get_info has, at least 2: the CPU is number 0, then come the CUDA devices. If none of
 * these can be used, there is one entry called "cuda" that says why: the plugin is not installed, is of another version,
 * or there is no driver. Asks the driver anew, which the first time may take a second. Threads: any. Since 0.3. */
BITNET_API int32_t bitnet_device_count(void);
/* Fills *info up to info->size. BITNET_E_NOT_FOUND: index is not below the count. Threads: any. Since 0.3. */
BITNET_API bitnet_status bitnet_device_get_info(int32_t index, bitnet_device_info *info,
                                                bitnet_error *why);

/* Experimental: may change until 1.0. What this machine can do at best, measured now, for a figure to be held against. */
typedef struct bitnet_machine_limits {
  uint32_t size;            /* sizeof(bitnet_machine_limits), set by you */
  int32_t threads;          /* how many to measure with; 0: as many as there are cores */
  const char *isa;          /* NULL: the best */
  double stream_gb_per_s;   /* receives: reading memory, 10^9 bytes per second */
  double int8_gmac_per_s;   /* receives: int8 multiply-adds from registers, 10^9 per second */
} bitnet_machine_limits;
#define BITNET_MACHINE_LIMITS_INIT {sizeof(bitnet_machine_limits), 0, 0, 0, 0}
static inline void bitnet_machine_limits_init(bitnet_machine_limits *limits) {
  const bitnet_machine_limits initial = BITNET_MACHINE_LIMITS_INIT;
  if (limits) *limits = initial;
}
/* Takes a few seconds and 512 MB. BITNET_E_UNSUPPORTED: no such instruction set here. Since 0.1. */
BITNET_API bitnet_status bitnet_machine_measure(bitnet_machine_limits *limits, bitnet_error *why);

#ifdef __cplusplus
}
#endif

#endif /* BITNET_H */
