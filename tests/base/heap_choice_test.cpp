// Which allocator serves a process, and that the choice never touches the host's own. Built three
// times:
//   plain      with the system's libmimalloc, or with failing_mimalloc.c in its place
//   -DHOST_HAS_MIMALLOC   the host exports mi_ functions: a second mimalloc would call into them
#include <dlfcn.h>
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/memory.h"

namespace {

int blocks = 0;
bool fails = false;
int failures = 0;

void check(bool holds, const char* promise) {
  if (holds) return;
  std::printf("FAILED: %s\n", promise);
  ++failures;
}

}  // namespace

extern "C" {
int fault_may_allocate(size_t) {
  return !fails;
}
void fault_count_blocks(int change) {
  blocks += change;
}
}

#ifdef HOST_HAS_MIMALLOC
static int host_calls = 0;
extern "C" {
void* mi_malloc_aligned(size_t bytes, size_t) {
  return ++host_calls, std::malloc(bytes);
}
void mi_free(void* block) {
  ++host_calls, std::free(block);
}
}
#endif

// usage: heap_choice_test EXPECTED [shim]: "mimalloc", "libc", or "any" if the machine decides
int main(int argc, char** argv) {
  if (argc < 2) return 2;
  void* const malloc_before = dlsym(RTLD_DEFAULT, "malloc");
  void* const free_before = dlsym(RTLD_DEFAULT, "free");
  void* const hosts = std::malloc(1000);

  void* block = bitnet::allocate(100, 64);
  check(block != nullptr, "allocate gives memory");
  const char* const name = bitnet::allocator_name();
  std::printf("allocator: %s\n", name);
  if (std::strcmp(argv[1], "any") != 0) check(!std::strcmp(name, argv[1]), argv[1]);

  check(dlsym(RTLD_DEFAULT, "malloc") == malloc_before, "malloc stays the host's");
  check(dlsym(RTLD_DEFAULT, "free") == free_before, "free stays the host's");
  check(malloc_usable_size(hosts) >= 1000, "the host's blocks are known to its allocator");
  check(dlerror() == nullptr, "no error of ours waits in dlerror()");
  if (argc > 2) {
    check(blocks == 1, "the library allocates from the libmimalloc it found");
    fails = true;
    check(bitnet::allocate(100, 64) == nullptr, "a failed allocation is nullptr");
    bool thrown = false;
    try {
      bitnet::Vec<int> numbers(1000);
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    check(thrown, "a container that gets no memory throws bad_alloc");
  }
#ifdef HOST_HAS_MIMALLOC
  check(dlopen("libmimalloc.so.2", RTLD_NOW | RTLD_NOLOAD) == nullptr,
        "no second mimalloc is loaded");
  check(host_calls == 0, "a host's private mi_ functions are not called");
#endif
  bitnet::release(block);
  check(blocks == 0, "all is released");
  std::free(hosts);
  return failures != 0;
}
