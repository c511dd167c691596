// The numeric contract (compute/ops.h) assumes round to nearest and no flush to zero. A host may
// run its threads in another mode (programs linked with -ffast-math do), so calls that compute set
// the plain mode for their duration. The host's mode and exception flags come back afterwards.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace bitnet {

class PlainFloatMode {
 public:
  PlainFloatMode() noexcept : saved_(read()) { write(kPlain); }
  ~PlainFloatMode() { write(saved_); }
  PlainFloatMode(const PlainFloatMode&) = delete;
  PlainFloatMode& operator=(const PlainFloatMode&) = delete;

 private:
#if defined(__x86_64__)
  using Mode = uint32_t;                  // MXCSR
  static constexpr Mode kPlain = 0x1f80;  // all exceptions masked
  static Mode read() noexcept {
    return _mm_getcsr();
  }
  static void write(Mode mode) noexcept {
    _mm_setcsr(mode);
  }
#elif defined(__aarch64__)
  struct Mode {
    uint64_t control, flags;  // FPCR, FPSR
  };
  static constexpr Mode kPlain = {0, 0};
  static Mode read() noexcept {
    Mode mode;
    asm volatile("mrs %0, fpcr\n mrs %1, fpsr" : "=r"(mode.control), "=r"(mode.flags));
    return mode;
  }
  static void write(Mode mode) noexcept {
    asm volatile("msr fpcr, %0\n msr fpsr, %1" : : "r"(mode.control), "r"(mode.flags) : "memory");
  }
#else
  using Mode = uint32_t;
  static constexpr Mode kPlain = 0;
  static Mode read() noexcept {
    return 0;
  }
  static void write(Mode) noexcept {}
#endif

  Mode saved_;
};

}  // namespace bitnet
