// The numeric contract (compute/ops.h) assumes round to nearest and no flush to zero. A host may
// run its threads in another mode (programs linked with -ffast-math do), so calls that compute set
// the plain mode for their duration. Costs a few cycles when it already is.
#pragma once

#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace bitnet {

class PlainFloatMode {
 public:
  PlainFloatMode() noexcept : saved_(read()) {
    if (changed()) write(kPlain);
  }
  ~PlainFloatMode() {
    if (changed()) write(saved_);
  }
  PlainFloatMode(const PlainFloatMode&) = delete;
  PlainFloatMode& operator=(const PlainFloatMode&) = delete;

 private:
#if defined(__x86_64__) || defined(__i386__)
  // MXCSR: all exceptions masked; bits 0..5 are flags that computing raises, not a mode.
  using Mode = uint32_t;
  static constexpr Mode kPlain = 0x1f80, kModeBits = 0xffc0;
  static Mode read() noexcept {
    return _mm_getcsr();
  }
  static void write(Mode mode) noexcept {
    _mm_setcsr(mode);
  }
#elif defined(__aarch64__)
  // FPCR: rounding, flush to zero, default NaN, traps; zero is plain.
  using Mode = uint64_t;
  static constexpr Mode kPlain = 0, kModeBits = ~Mode{0};
  static Mode read() noexcept {
    Mode mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
  }
  static void write(Mode mode) noexcept {
    asm volatile("msr fpcr, %0" : : "r"(mode) : "memory");
  }
#else
  using Mode = uint32_t;
  static constexpr Mode kPlain = 0, kModeBits = 0;
  static Mode read() noexcept {
    return 0;
  }
  static void write(Mode) noexcept {}
#endif

  bool changed() const noexcept {
    return (saved_ & kModeBits) != (kPlain & kModeBits);
  }

  Mode saved_;
};

}  // namespace bitnet
