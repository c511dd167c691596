#include "base/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#if BITNET_MIMALLOC
#include <dlfcn.h>
#endif

namespace bitnet {
namespace {

struct Heap {
  void* (*allocate)(size_t bytes, size_t alignment);
  void (*release)(void* memory);
  const char* name;
};

// malloc and free only: a host that replaces its allocator must provide these, while its
// aligned_alloc may still be the C library's, whose memory the host's free would not know. The
// address malloc gave is kept in front of the block:  base <= block - sizeof base,  block = 0 mod
// alignment.
void* libc_allocate(size_t bytes, size_t alignment) {
  if (alignment < alignof(void*)) alignment = alignof(void*);
  const size_t extra = sizeof(void*) + alignment - 1;
  if (bytes > SIZE_MAX - extra) return nullptr;
  void* const base = std::malloc(bytes + extra);
  if (!base) return nullptr;
  const uintptr_t address =
      (reinterpret_cast<uintptr_t>(base) + extra) & ~static_cast<uintptr_t>(alignment - 1);
  void** const block = reinterpret_cast<void**>(address);
  block[-1] = base;
  return block;
}

void libc_release(void* memory) {
  if (memory) std::free(static_cast<void**>(memory)[-1]);
}

constexpr Heap kLibc{libc_allocate, libc_release, "libc"};

#if BITNET_MIMALLOC

// A sanitizer should see each block as it is, to the byte.
void* sanitizer_allocate(size_t bytes, size_t alignment) {
  void* block = nullptr;
  if (alignment < sizeof(void*)) alignment = sizeof(void*);
  return posix_memalign(&block, alignment, bytes) == 0 ? block : nullptr;
}

bool process_has(const char* symbol) noexcept {
  return dlsym(RTLD_DEFAULT, symbol) != nullptr;
}

bool runs_under_a_sanitizer() noexcept {
  return process_has("__asan_init") || process_has("__tsan_init") || process_has("__msan_init") ||
         process_has("__hwasan_init") || process_has("__lsan_init");
}

// RTLD_LOCAL: the library's malloc and free stay invisible to everybody, ours included.
// RTLD_NODELETE: threads that used it run its clean-up when they end, maybe long after us.
void* open_mimalloc() noexcept {
  for (const char* name : {"libmimalloc.so.2", "libmimalloc.so.3", "libmimalloc.so"}) {
    if (void* const library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) return library;
  }
  dlerror();  // the failure was ours: the host's next dlerror() shall not report it
  return nullptr;
}

Heap choose_heap() noexcept {
  if (runs_under_a_sanitizer()) return {sanitizer_allocate, std::free, "libc"};
  // A host with a mimalloc of its own: a second one would call into the first, since the host's
  // symbols come before a library's own. Its malloc is what it wants us to use.
  if (process_has("mi_free") || process_has("mi_malloc_aligned")) return kLibc;
  void* const library = open_mimalloc();
  if (!library) return kLibc;
  const auto allocate_aligned =
      reinterpret_cast<decltype(Heap::allocate)>(dlsym(library, "mi_malloc_aligned"));
  const auto free_any = reinterpret_cast<decltype(Heap::release)>(dlsym(library, "mi_free"));
  if (!allocate_aligned || !free_any) {
    dlerror();
    return kLibc;
  }
  // What MIMALLOC_* variables make it say at exit would go to stderr, which is the host's.
  using Output = void (*)(const char* message, void* argument);
  if (const auto register_output =
          reinterpret_cast<void (*)(Output, void*)>(dlsym(library, "mi_register_output"))) {
    register_output([](const char*, void*) {}, nullptr);
  } else {
    dlerror();
  }
  return {allocate_aligned, free_any, "mimalloc"};
}

// Chosen by the first call, constant afterwards.
const Heap& heap() noexcept {
  static const Heap chosen = choose_heap();
  return chosen;
}

#else

const Heap& heap() noexcept {
  return kLibc;
}

#endif

constexpr size_t kCacheLine = 64;
// From here on blocks come straight from the system: the first touch decides on which node their
// pages lie, and releasing gives them back at once.
constexpr size_t kHugePage = size_t{2} << 20;

size_t whole_pages(size_t bytes) noexcept {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

// Reserves a huge page more than needed and trims both ends, since mmap aligns to small pages only.
uint8_t* map_pages(size_t bytes) noexcept {
  if (bytes > SIZE_MAX / 2) return nullptr;
  const size_t needed = whole_pages(bytes);
  const size_t reserved = needed + kHugePage;
  void* const memory =
      mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  uint8_t* const base = static_cast<uint8_t*>(memory);
  const size_t head = (kHugePage - reinterpret_cast<uintptr_t>(base) % kHugePage) % kHugePage;
  const size_t tail = reserved - head - needed;
  if (head) munmap(base, head);
  if (tail) munmap(base + head + needed, tail);
#ifdef MADV_HUGEPAGE
  madvise(base + head, needed, MADV_HUGEPAGE);  // a wish: small pages do as well, only slower
#endif
  return base + head;
}

}  // namespace

void* allocate(size_t bytes, size_t alignment) noexcept {
  return heap().allocate(bytes ? bytes : 1, alignment);
}

void release(void* memory) noexcept {
  heap().release(memory);
}

const char* allocator_name() noexcept {
  return heap().name;
}

Buffer::Buffer(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  data_ = bytes < kHugePage ? static_cast<uint8_t*>(allocate(bytes, kCacheLine)) : map_pages(bytes);
  if (!data_) throw std::bad_alloc();
}

Buffer::~Buffer() {
  if (bytes_ < kHugePage) {
    release(data_);
  } else {
    munmap(data_, whole_pages(bytes_));
  }
}

}  // namespace bitnet
