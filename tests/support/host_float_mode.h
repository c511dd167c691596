// A floating-point mode that a host may compute in: to zero what is tiny, to round elsewhere, and
// on AArch64 its own NaN and its own halves. Flags of what has happened are left out.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
constexpr uint64_t kPlainMode = 0x1f80, kHostMode = 0x1f80 | 0x8040 | 0x4000;

inline uint64_t float_mode() {
  return __builtin_ia32_stmxcsr() & 0xffc0u;
}
inline void set_float_mode(uint64_t mode) {
  __builtin_ia32_ldmxcsr(static_cast<unsigned>(mode));
}
#elif defined(__aarch64__)
constexpr uint64_t kPlainMode = 0, kHostMode = 1u << 26 | 1u << 25 | 1u << 24 | 1u << 22;

inline uint64_t float_mode() {
  uint64_t mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
inline void set_float_mode(uint64_t mode) {
  asm volatile("msr fpcr, %0" : : "r"(mode) : "memory");
}
#else
constexpr uint64_t kPlainMode = 0, kHostMode = 0;

inline uint64_t float_mode() {
  return kPlainMode;
}
inline void set_float_mode(uint64_t) {}
#endif
