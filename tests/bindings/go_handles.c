/* To be loaded between the Go tests and libbitnet (LD_PRELOAD): counts handles opened and closed,
 * in the file that the environment variable HANDLES names, as two 64-bit numbers. They are written
 * as they change, since programs in Go end without a word to C. */
#define _GNU_SOURCE
#include <bitnet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct { _Atomic int64_t opened, closed; } * handles;

__attribute__((constructor)) static void start(void) {
  const int file = open(getenv("HANDLES"), O_RDWR | O_CREAT, 0600);
  if (ftruncate(file, sizeof *handles) != 0) abort();
  handles = mmap(NULL, sizeof *handles, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
}

#define OPEN(call, parameters, ...)                                              \
  bitnet_status call parameters {                                                \
    bitnet_status(*next) parameters = (__typeof__(next))dlsym(RTLD_NEXT, #call); \
    const bitnet_status status = next(__VA_ARGS__);                              \
    if (status == BITNET_OK) ++handles->opened;                                  \
    return status;                                                               \
  }
#define CLOSE(call, type)                                            \
  void call(type* handle) {                                          \
    void (*next)(type*) = (__typeof__(next))dlsym(RTLD_NEXT, #call); \
    if (handle) ++handles->closed;                                   \
    next(handle);                                                    \
  }

OPEN(bitnet_model_open,
     (const char* a, const bitnet_model_options* b, bitnet_model** c, bitnet_error* d), a, b, c, d)
OPEN(bitnet_model_open_memory,
     (const void* a, uint64_t b, const bitnet_model_options* c, bitnet_model** d, bitnet_error* e),
     a, b, c, d, e)
OPEN(bitnet_model_open_source,
     (const bitnet_source* a, const bitnet_model_options* b, bitnet_model** c, bitnet_error* d), a,
     b, c, d)
OPEN(bitnet_ctx_open,
     (const bitnet_model* a, const bitnet_ctx_options* b, bitnet_ctx** c, bitnet_error* d), a, b, c,
     d)
OPEN(bitnet_sampler_open, (const bitnet_sampler_options* a, bitnet_sampler** b, bitnet_error* c), a,
     b, c)
OPEN(bitnet_generate_open,
     (bitnet_ctx * a, const bitnet_generate_options* b, bitnet_generator** c, bitnet_error* d), a,
     b, c, d)
CLOSE(bitnet_model_close, bitnet_model)
CLOSE(bitnet_ctx_close, bitnet_ctx)
CLOSE(bitnet_sampler_close, bitnet_sampler)
CLOSE(bitnet_generate_close, bitnet_generator)
