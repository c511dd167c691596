// The host keeps its allocator. This host has one of its own that knows its blocks by a mark, and
// only the four functions a replacement must have (no aligned_alloc, no posix_memalign): a library
// that mixes allocators, or replaces the host's, is found out.
#include <bitnet.h>
#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

extern "C" {
void* __libc_malloc(size_t bytes);
void __libc_free(void* block);
}

namespace {

std::atomic<long> calls{0}, live{0}, strangers{0};
std::atomic<long> failing_call{0};  // this many calls from now, one fails; 0: none

struct alignas(16) Mark {
  size_t bytes;
  uint64_t word;
};
constexpr uint64_t kMark = 0x686f737473206f77;

Mark* mark_of(void* block) {
  return static_cast<Mark*>(block) - 1;
}

}  // namespace

extern "C" {

void* malloc(size_t bytes) noexcept {
  ++calls;
  if (failing_call > 0 && --failing_call == 0) return nullptr;
  Mark* const mark = static_cast<Mark*>(__libc_malloc(bytes + sizeof(Mark)));
  if (!mark) return nullptr;
  ++live;
  *mark = {bytes, kMark};
  return mark + 1;
}

void free(void* block) noexcept {
  if (!block) return;
  Mark* const mark = mark_of(block);
  if (mark->word != kMark) {
    ++strangers;  // and left alone
    return;
  }
  --live;
  mark->word = 0;
  __libc_free(mark);
}

void* calloc(size_t count, size_t bytes) noexcept {
  size_t total;
  if (__builtin_mul_overflow(count, bytes, &total)) return nullptr;
  void* const block = malloc(total);
  return block ? std::memset(block, 0, total) : nullptr;
}

void* realloc(void* old, size_t bytes) noexcept {
  if (!old) return malloc(bytes);
  void* const block = malloc(bytes);
  if (!block) return nullptr;
  std::memcpy(block, old, mark_of(old)->bytes < bytes ? mark_of(old)->bytes : bytes);
  free(old);
  return block;
}

}  // extern "C"

namespace {

int failures = 0;
char last_reason[512];

void check(bool holds, const char* promise) {
  if (holds) return;
  std::printf("FAILED: %s\n", promise);
  ++failures;
}

// Opens a model, generates, asks for a receipt, fails on purpose, closes all. The first failure
// ends it, and is what it returns.
bitnet_status use_the_library(const char* path) {
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_model* model = nullptr;
  bitnet_ctx* ctx = nullptr;
  bitnet_generator* generator = nullptr;
  bitnet_ctx_options ctx_options = BITNET_CTX_OPTIONS_INIT;
  ctx_options.threads = 2;
  bitnet_generate_options options = BITNET_GENERATE_OPTIONS_INIT;
  options.prompt = "Hello";
  options.max_tokens = 8;
  bitnet_status status = bitnet_model_open(path, nullptr, &model, &why);
  if (!status) status = bitnet_ctx_open(model, &ctx_options, &ctx, &why);
  if (!status) status = bitnet_generate_open(ctx, &options, &generator, &why);
  const char* piece;
  uint64_t bytes = 0;
  while (!status) status = bitnet_generate_next(generator, &piece, &bytes, &why);
  if (status == BITNET_DONE) status = bitnet_ctx_receipt(ctx, nullptr, 0, &bytes, &why);
  if (status == BITNET_E_BUFFER) {
    bitnet_model* none = nullptr;  // exceptions and sentences are memory, too
    status = bitnet_model_open("/nonexistent", nullptr, &none, &why);
    check(status == BITNET_E_IO || status == BITNET_E_MEMORY, "a missing file is reported");
    if (status == BITNET_E_IO) status = BITNET_OK;
  }
  if (status) std::snprintf(last_reason, sizeof last_reason, "%s", why.message);
  bitnet_generate_close(generator);
  bitnet_ctx_close(ctx);
  bitnet_model_close(model);
  return status;
}

// Each call of the host's malloc fails in turn: the library reports it or does without.
void fail_each_call(const char* path) {
  const long before = calls;
  use_the_library(path);
  const long total = calls - before;
  for (long nth = 1; nth <= total; ++nth) {
    failing_call = nth;
    const bitnet_status status = use_the_library(path);
    failing_call = 0;
    if (status != BITNET_OK && status != BITNET_E_MEMORY) {
      std::printf("call %ld of %ld fails: %s: %s\n", nth, total, bitnet_status_name(status),
                  last_reason);
      check(false, "the host's malloc failing is BITNET_E_MEMORY or nothing");
    }
  }
  check(use_the_library(path) == BITNET_OK, "all is well again afterwards");
  std::printf("%ld calls failed in turn\n", total);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  std::setvbuf(stdout, nullptr, _IONBF, 0);  // printf shall not allocate
  void* const malloc_before = dlsym(RTLD_DEFAULT, "malloc");
  void* const new_before = dlsym(RTLD_DEFAULT, "_Znwm");
  check(malloc_before == reinterpret_cast<void*>(&malloc), "the host's malloc is in force");

  check(use_the_library(argv[1]) == BITNET_OK,
        "a model opens and generates");  // opens what is opened once
  const long live_before = live;
  std::string host = "a block of the host's, allocated before";
  host.resize(1000);
  check(use_the_library(argv[1]) == BITNET_OK, "and does so again");
  fail_each_call(argv[1]);
  host.resize(100000);

  check(dlsym(RTLD_DEFAULT, "malloc") == malloc_before, "malloc is still the host's");
  check(dlsym(RTLD_DEFAULT, "_Znwm") == new_before, "operator new is still the host's");
  const long calls_before = calls;
  std::free(std::malloc(10));
  check(calls == calls_before + 1, "the host's calls still reach its allocator");
  std::string().swap(host);
  check(strangers == 0, "no block of another allocator is released to the host's");
  check(live == live_before, "nothing of the library stays in the host's allocator");
  std::printf("%ld calls of the host's malloc, %ld live, %ld strangers\n", calls.load(),
              live.load(), strangers.load());
  return failures != 0;
}
