// Fails every allocation of a whole session in turn: opening, tokenizing, decoding, sampling,
// generating, saving, loading. Looks for crashes, leaks, failures reported as something else, and
// objects that are no longer whole after a failure: the failed call is made again, and the session
// must then end with the very same results.
//
// The library's allocations come from failing_mimalloc.c, which asks this program; large blocks and
// threads it gets from mmap and pthread_create, which this program stands before. Under the address
// sanitizer the library allocates by posix_memalign, so that is failed, and leaks are the
// sanitizer's.
#include <bitnet.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER 1
#endif

namespace {

// ---- Faults -------------------------------------------------------------------------------------

enum class Faults {
  kOne,
  kAllFromThere
};  // only the chosen allocation fails, or it and all after it

struct FaultPlan {
  std::atomic<bool> armed{false};
  std::atomic<long> attempts{0};  // allocations while armed
  std::atomic<long> hits{0};      // of these, failed
  std::atomic<long> blocks{0};    // of failing_mimalloc.c, not yet released
  std::atomic<long> pages{0};     // large blocks asked of the system while armed
  bool reported = false;          // a call returned BITNET_E_MEMORY
  long first = 0;
  Faults kind = Faults::kOne;

  void arm(long nth, Faults faults) {
    attempts = hits = pages = 0;
    reported = false;
    first = nth;
    kind = faults;
    armed = true;
  }
  bool allow() {
    if (!armed) return true;
    const long attempt = ++attempts;
    const bool fails = kind == Faults::kOne ? attempt == first : attempt >= first;
    hits += fails;
    return !fails;
  }
} plan;

template <class Function>
Function next_of(Function, const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int fault_may_allocate(size_t) {
  return plan.allow();
}
void fault_count_blocks(int change) {
  plan.blocks += change;
}

void* mmap(void* address, size_t bytes, int protection, int flags, int file,
           off_t offset) noexcept {
  const bool is_block = (flags & MAP_ANONYMOUS) != 0;
  if (is_block && plan.armed) ++plan.pages;
  if (is_block && !plan.allow()) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return reinterpret_cast<void*>(
      syscall(SYS_mmap, address, bytes, protection, flags, file, offset));
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                   void* argument) noexcept {
  static const auto next = next_of(&pthread_create, "pthread_create");
  return plan.allow() ? next(thread, attributes, body, argument) : EAGAIN;
}

#if ADDRESS_SANITIZER
int posix_memalign(void** block, size_t alignment, size_t bytes) noexcept {
  static const auto next = next_of(&posix_memalign, "posix_memalign");
  return plan.allow() ? next(block, alignment, bytes) : ENOMEM;
}
#endif

}  // extern "C"

namespace {

// ---- The session --------------------------------------------------------------------------------

long wrong = 0;

void complain(const char* what, const std::string& detail) {
  if (++wrong <= 20) {
    std::printf("FAILED with allocation %ld (%s) failing: %s: %s\n", plan.first,
                plan.kind == Faults::kOne ? "only" : "and all after", what, detail.c_str());
  }
}

// Makes a call; if memory ran out, makes it again with enough. Returns what the second one said.
bitnet_status attempt(const char* what, const std::function<bitnet_status(bitnet_error*)>& call) {
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_status status = call(&why);
  if (status == BITNET_E_MEMORY) {
    if (why.status != BITNET_E_MEMORY || !why.message[0]) complain(what, "gives no reason");
    if (plan.hits == 0)
      complain(what, std::string("out of memory without a fault: ") + why.message);
    plan.armed = false;
    plan.reported = true;
    bitnet_error_init(&why);
    status = call(&why);
  }
  if (status < 0 && status != BITNET_E_BUFFER) complain(what, why.message);
  return status;
}

// Opens something; a failed attempt must leave the handle NULL.
template <class Handle>
Handle* open_one(const char* what,
                 const std::function<bitnet_status(Handle**, bitnet_error*)>& open) {
  Handle* handle = nullptr;
  attempt(what, [&](bitnet_error* why) {
    handle = reinterpret_cast<Handle*>(&wrong);  // so that NULL is seen to be written
    const bitnet_status status = open(&handle, why);
    if (status != BITNET_OK && handle != nullptr) complain(what, "the handle is not NULL");
    return status;
  });
  return handle;
}

// Query-then-fill.
template <class T>
std::vector<T> fill(
    const char* what,
    const std::function<bitnet_status(T*, uint64_t, uint64_t*, bitnet_error*)>& call) {
  uint64_t size = 0;
  attempt(what, [&](bitnet_error* why) { return call(nullptr, 0, &size, why); });
  std::vector<T> all(size);
  attempt(what, [&](bitnet_error* why) { return call(all.data(), all.size(), &size, why); });
  return all;
}

template <class T>
void append(std::string& result, const T* data, size_t count) {
  result.append(reinterpret_cast<const char*>(data), count * sizeof(T));
}

std::string generate(bitnet_ctx* ctx, int32_t sequence) {
  bitnet_sampler_options sampling = BITNET_SAMPLER_OPTIONS_INIT;
  sampling.temperature = 1;
  sampling.top_p = 0.9f;
  sampling.repeat_penalty = 1.1f;
  const char* stop[] = {"never written"};
  bitnet_generate_options options = BITNET_GENERATE_OPTIONS_INIT;
  options.sequence = sequence;
  options.prompt = "Once upon a time";
  options.stop = stop;
  options.stop_count = 1;
  options.max_tokens = 6;
  options.sampling = &sampling;
  bitnet_generator* const generator =
      open_one<bitnet_generator>("generate_open", [&](bitnet_generator** out, bitnet_error* why) {
        return bitnet_generate_open(ctx, &options, out, why);
      });
  std::string text;
  for (;;) {
    const char* piece = nullptr;
    uint64_t bytes = 0;
    const bitnet_status status = attempt("generate_next", [&](bitnet_error* why) {
      return bitnet_generate_next(generator, &piece, &bytes, why);
    });
    if (status != BITNET_OK) break;
    text.append(piece, bytes);
  }
  bitnet_generate_close(generator);
  return text;
}

// What a program may ask of a model read from its own archive before it loads anything.
std::string describe(const char* path) {
  std::FILE* const file = std::fopen(path, "rb");
  if (!file) return {};
  std::fseek(file, 0, SEEK_END);
  bitnet_source source = BITNET_SOURCE_INIT;
  source.bytes = static_cast<uint64_t>(std::ftell(file));
  source.user = file;
  source.read_at = [](void* user, uint64_t offset, void* buffer, uint64_t bytes) {
    std::FILE* const from = static_cast<std::FILE*>(user);
    if (std::fseek(from, static_cast<long>(offset), SEEK_SET) != 0) return 1;
    return std::fread(buffer, 1, bytes, from) == bytes ? 0 : 1;
  };
  bitnet_model_options options = BITNET_MODEL_OPTIONS_INIT;
  options.flags = BITNET_MODEL_DESCRIBE;
  bitnet_model* const model =
      open_one<bitnet_model>("model_open_source", [&](bitnet_model** out, bitnet_error* why) {
        return bitnet_model_open_source(&source, &options, out, why);
      });
  std::fclose(file);
  std::string result;
  for (uint64_t i = 0; i < bitnet_model_metadata_count(model); ++i) {
    const char* const key = bitnet_model_metadata_key(model, i);
    const auto text = fill<char>(
        "metadata_text", [&](char* to, uint64_t capacity, uint64_t* bytes, bitnet_error* why) {
          return bitnet_model_metadata_text(model, key, 4, to, capacity, bytes, why);
        });
    append(result, text.data(), text.size());
  }
  bitnet_estimate estimate = BITNET_ESTIMATE_INIT;
  attempt("model_estimate",
          [&](bitnet_error* why) { return bitnet_model_estimate(model, nullptr, &estimate, why); });
  append(result, &estimate, 1);
  bitnet_model_close(model);
  return result;
}

// Everything a program may do; returns what it got, to the bit.
std::string session(const char* path) {
  std::string result = describe(path);
  bitnet_model_options model_options = BITNET_MODEL_OPTIONS_INIT;
  model_options.threads = 2;
  bitnet_model* const model =
      open_one<bitnet_model>("model_open", [&](bitnet_model** out, bitnet_error* why) {
        return bitnet_model_open(path, &model_options, out, why);
      });
  bitnet_ctx_options ctx_options = BITNET_CTX_OPTIONS_INIT;
  ctx_options.positions = 16384;  // a cache of more than 2 MB
  ctx_options.sequences = 4;
  ctx_options.batch = 16;
  ctx_options.threads = 2;
  bitnet_ctx* const ctx =
      open_one<bitnet_ctx>("ctx_open", [&](bitnet_ctx** out, bitnet_error* why) {
        return bitnet_ctx_open(model, &ctx_options, out, why);
      });
  if (!model || !ctx) return result;

  const std::string text = "Hello there, \xc3\xa9t\xc3\xa9 and 12345!";
  const auto tokens = fill<int32_t>(
      "tokenize", [&](int32_t* to, uint64_t capacity, uint64_t* count, bitnet_error* why) {
        return bitnet_tokenize(model, text.data(), text.size(), BITNET_TOKENIZE_SPECIAL, to,
                               capacity, count, why);
      });
  append(result, tokens.data(), tokens.size());
  const auto round_trip = fill<char>(
      "detokenize", [&](char* to, uint64_t capacity, uint64_t* bytes, bitnet_error* why) {
        return bitnet_detokenize(model, tokens.data(), tokens.size(), 0, to, capacity, bytes, why);
      });
  append(result, round_trip.data(), round_trip.size());

  std::vector<bitnet_batch_entry> batch;
  for (size_t i = 0; i < tokens.size(); ++i) {
    batch.push_back({tokens[i], static_cast<int32_t>(i), 0, 0});
  }
  batch.back().want = BITNET_WANT_LOGITS;
  attempt("ctx_decode", [&](bitnet_error* why) {
    return bitnet_ctx_decode(ctx, batch.data(), batch.size(), why);
  });
  bitnet_model_info info = BITNET_MODEL_INFO_INIT;
  attempt("model_get_info",
          [&](bitnet_error* why) { return bitnet_model_get_info(model, &info, why); });
  const float* logits = nullptr;
  attempt("ctx_logits", [&](bitnet_error* why) {
    return bitnet_ctx_logits(ctx, batch.size() - 1, &logits, why);
  });
  if (logits) append(result, logits, static_cast<size_t>(info.vocab_size));

  bitnet_sampler_options sampling = BITNET_SAMPLER_OPTIONS_INIT;
  sampling.temperature = 0.8f;
  sampling.top_k = 20;
  sampling.seed = 7;
  bitnet_sampler* const sampler =
      open_one<bitnet_sampler>("sampler_open", [&](bitnet_sampler** out, bitnet_error* why) {
        return bitnet_sampler_open(&sampling, out, why);
      });
  int32_t token = -1;
  if (logits && sampler) {
    attempt("sample", [&](bitnet_error* why) {
      return bitnet_sample(sampler, logits, static_cast<uint64_t>(info.vocab_size), &token, why);
    });
    attempt("sampler_accept",
            [&](bitnet_error* why) { return bitnet_sampler_accept(sampler, token, why); });
  }
  append(result, &token, 1);
  bitnet_sampler_close(sampler);

  const auto saved = fill<uint8_t>(
      "ctx_save", [&](uint8_t* to, uint64_t capacity, uint64_t* bytes, bitnet_error* why) {
        return bitnet_ctx_save(ctx, 0, to, capacity, bytes, why);
      });
  append(result, saved.data(), saved.size());
  attempt("ctx_load", [&](bitnet_error* why) {
    return bitnet_ctx_load(ctx, 1, saved.data(), saved.size(), why);
  });
  attempt("sequence_fork",
          [&](bitnet_error* why) { return bitnet_ctx_sequence_fork(ctx, 1, 2, why); });
  const bitnet_batch_entry one{token < 0 ? 0 : token, static_cast<int32_t>(tokens.size()), 2,
                               BITNET_WANT_LOGITS};
  attempt("ctx_decode of a fork",
          [&](bitnet_error* why) { return bitnet_ctx_decode(ctx, &one, 1, why); });
  logits = nullptr;
  attempt("ctx_logits of a fork",
          [&](bitnet_error* why) { return bitnet_ctx_logits(ctx, 0, &logits, why); });
  if (logits) append(result, logits, static_cast<size_t>(info.vocab_size));

  result += generate(ctx, 3);
  fill<char>("ctx_receipt", [&](char* to, uint64_t capacity, uint64_t* bytes, bitnet_error* why) {
    // The text holds timings, so its size may grow between the query and the call: ask for some
    // more.
    const bitnet_status status = bitnet_ctx_receipt(ctx, to, capacity, bytes, why);
    if (!to) *bytes += 256;
    return status;
  });
  bitnet_ctx_close(ctx);
  bitnet_model_close(model);
  return result;
}

// One session with the nth allocation failing.
void check_session(const char* path, long nth, Faults faults, const std::string& expected) {
  const long blocks = plan.blocks;
  plan.arm(nth, faults);
  const std::string result = session(path);
  plan.armed = false;
  if (plan.hits == 0) complain("the session", "it does not allocate the same each time");
  if (plan.hits != 0 && !plan.reported) complain("the session", "no call reported it");
  if (result != expected) complain("the session", "its results differ after the failure");
  if (plan.blocks != blocks)
    complain("the session", std::to_string(plan.blocks - blocks) + " blocks leaked");
}

}  // namespace

// usage: alloc_fail_test MODEL [most sessions a round]
int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const long most = argc > 2 ? std::strtol(argv[2], nullptr, 10) : 4000;
  const std::string expected = session(argv[1]);  // also what is allocated once a process
  if (wrong || expected.empty()) return std::puts("FAILED without any fault"), 1;

  plan.arm(0, Faults::kOne);
  const std::string again = session(argv[1]);
  plan.armed = false;
  const long total = plan.attempts, pages = plan.pages;
  if (again != expected) return std::puts("FAILED: two sessions differ without any fault"), 1;
  if (total < 10)
    return std::puts("skipped: the library's allocations do not pass this program"), 77;

  // All of them where that is affordable; else evenly spread, with another phase in the second
  // round.
  const long step = total / most + 1;
  long sessions = 0;
  for (const Faults faults : {Faults::kOne, Faults::kAllFromThere}) {
    const long start = faults == Faults::kOne ? 1 : 1 + step / 2;
    for (long nth = start; nth <= total && wrong < 20; nth += step, ++sessions) {
      check_session(argv[1], nth, faults, expected);
    }
  }
  std::printf("%ld allocations (%ld of them large), every %ld. failed, %ld sessions, %ld wrong\n",
              total, pages, step, sessions, wrong);
  return wrong != 0;
}
