// Puts this thread's floating point into the mode of the numeric contract while it lives.
//
// A host may have switched on flush-to-zero (any library linked with -ffast-math does) or another
// rounding, and new threads inherit it: every thread that runs verbs holds one of these meanwhile.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace bitnet {

class StandardFloat {
 public:
#if defined(__x86_64__)
  // Exceptions masked, nearest-even, no flush-to-zero, no denormals-are-zero.
  StandardFloat() noexcept : saved_(_mm_getcsr()) {
    if (saved_ != 0x1f80) _mm_setcsr(0x1f80);
  }
  ~StandardFloat() {
    if (saved_ != 0x1f80) _mm_setcsr(saved_);
  }

 private:
  unsigned saved_;
#elif defined(__aarch64__)
  StandardFloat() noexcept {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    if (saved_ != 0) asm volatile("msr fpcr, %0" : : "r"(uint64_t{0}) : "memory");
  }
  ~StandardFloat() {
    if (saved_ != 0) asm volatile("msr fpcr, %0" : : "r"(saved_) : "memory");
  }

 private:
  uint64_t saved_ = 0;
#else
  StandardFloat() noexcept {}
  ~StandardFloat() {}
#endif

 public:
  StandardFloat(const StandardFloat&) = delete;
  StandardFloat& operator=(const StandardFloat&) = delete;
};

}  // namespace bitnet
