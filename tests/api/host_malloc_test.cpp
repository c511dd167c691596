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

void check(bool holds, const char* promise) {
  if (holds) return;
  std::printf("FAILED: %s\n", promise);
  ++failures;
}

void use_the_library(const char* path) {
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_model* model = nullptr;
  bitnet_ctx* ctx = nullptr;
  bitnet_generator* generator = nullptr;
  bitnet_generate_options options = BITNET_GENERATE_OPTIONS_INIT;
  options.prompt = "Hello";
  options.max_tokens = 8;
  if (bitnet_model_open(path, nullptr, &model, &why) ||
      bitnet_ctx_open(model, nullptr, &ctx, &why) ||
      bitnet_generate_open(ctx, &options, &generator, &why)) {
    std::printf("%s\n", why.message);
    check(false, "a model opens and generates");
    return;
  }
  const char* piece;
  uint64_t bytes;
  while (bitnet_generate_next(generator, &piece, &bytes, &why) == BITNET_OK) {
  }
  check(why.status == BITNET_OK, why.message);
  // A call that fails: its exceptions and sentences are memory too.
  bitnet_model* none = nullptr;
  check(bitnet_model_open("/nonexistent", nullptr, &none, &why) == BITNET_E_IO,
        "a missing file is reported");
  bitnet_generate_close(generator);
  bitnet_ctx_close(ctx);
  bitnet_model_close(model);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  void* const malloc_before = dlsym(RTLD_DEFAULT, "malloc");
  void* const new_before = dlsym(RTLD_DEFAULT, "_Znwm");
  check(malloc_before == reinterpret_cast<void*>(&malloc), "the host's malloc is in force");

  use_the_library(argv[1]);  // the first use opens what is opened once
  const long live_before = live;
  std::string host = "a block of the host's, allocated before";
  host.resize(1000);
  use_the_library(argv[1]);
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
