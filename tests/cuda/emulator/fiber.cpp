#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#define EMULATOR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATOR_ASAN 1
#endif
#endif
#ifdef EMULATOR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// What a called function must keep goes onto the stack; the rest the compiler has saved already,
// since this is a call. The float mode is the same everywhere. swapcontext() would ask the kernel
// for the signal mask, which takes a hundred times as long.
extern "C" void bitnet_emulator_switch(void** from, void* to);

#if defined(__x86_64__)
asm(R"(
  .pushsection .text
  .p2align 4
  .globl bitnet_emulator_switch
  .hidden bitnet_emulator_switch
  .type bitnet_emulator_switch, @function
bitnet_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size bitnet_emulator_switch, .-bitnet_emulator_switch
  .popsection
)");
#elif defined(__aarch64__)
asm(R"(
  .pushsection .text
  .p2align 4
  .globl bitnet_emulator_switch
  .hidden bitnet_emulator_switch
  .type bitnet_emulator_switch, @function
bitnet_emulator_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
  .size bitnet_emulator_switch, .-bitnet_emulator_switch
  .popsection
)");
#else
#error "no context switch for this processor"
#endif

namespace emulator {
namespace {

#ifdef EMULATOR_ASAN
constexpr size_t kStackBytes = 256 << 10;
#else
constexpr size_t kStackBytes = 64 << 10;
#endif

size_t page_bytes() noexcept {
  static const size_t bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

// The stack of a context that has been left before its first instruction.
void* first_frame(uint8_t* top, void (*entry)()) noexcept {
  void** p = reinterpret_cast<void**>(top);
#if defined(__x86_64__)
  *--p = nullptr;                              // what would call entry()
  *--p = reinterpret_cast<void*>(entry);       // "returns" to it
  for (int i = 0; i < 6; ++i) *--p = nullptr;  // the registers
#else
  p -= 20;
  for (int i = 0; i < 20; ++i) p[i] = nullptr;
  p[11] = reinterpret_cast<void*>(entry);  // x30
#endif
  return p;
}

}  // namespace

void entered_fiber([[maybe_unused]] Context& from) noexcept {
#ifdef EMULATOR_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &from.stack, &from.stack_bytes);
#endif
}

void switch_context(Context& from, Context& to) noexcept {
#ifdef EMULATOR_ASAN
  __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.stack_bytes);
#endif
  bitnet_emulator_switch(&from.stack_pointer, to.stack_pointer);
#ifdef EMULATOR_ASAN
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

Context open_fiber(void (*entry)(), int number) {
  const size_t page = page_bytes();
  void* memory = mmap(nullptr, page + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) {
    std::perror("emulator: no stack for a thread of a block");
    std::abort();
  }
  Context fiber;
  fiber.stack = static_cast<uint8_t*>(memory) + page;
  fiber.stack_bytes = kStackBytes;
  constexpr size_t kStagger = 320, kStaggered = 4096;
  uint8_t* top = static_cast<uint8_t*>(memory) + page + kStackBytes;
  fiber.stack_pointer =
      first_frame(top - static_cast<size_t>(number) * kStagger % kStaggered, entry);
  return fiber;
}

void close_fiber(Context& fiber) noexcept {
#ifdef EMULATOR_ASAN
  // What comes to lie there next must not find the marks of these frames.
  __asan_unpoison_memory_region(fiber.stack, fiber.stack_bytes);
#endif
  const size_t page = page_bytes();
  munmap(const_cast<uint8_t*>(static_cast<const uint8_t*>(fiber.stack)) - page,
         page + fiber.stack_bytes);
  fiber = {};
}

}  // namespace emulator
