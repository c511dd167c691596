// Chooses the table of verbs this processor can run.

#include <cstring>

#include "compute/ops.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include "compute/cpu/x86/tables.h"
#elif defined(__aarch64__)
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#include "compute/cpu/arm/tables.h"
#endif

namespace bitnet {
namespace {

#if defined(__x86_64__)

struct Processor {
  bool avx2, avx_vnni, avx512, avx512_vbmi;
};

struct CpuidLeaf {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  CpuidLeaf(unsigned leaf, unsigned subleaf) noexcept {
    if (__get_cpuid_count(leaf, subleaf, &eax, &ebx, &ecx, &edx) == 0) eax = ebx = ecx = edx = 0;
  }
};

bool has(unsigned bits, unsigned bit) noexcept {
  return (bits >> bit & 1) != 0;
}

// Which registers the operating system saves (XCR0). Only legal with the OSXSAVE bit.
uint64_t saved_registers() noexcept {
  uint32_t low, high;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

Processor this_processor() noexcept {
  constexpr uint64_t kYmm = 0x06, kZmm = 0xe6;  // XCR0: SSE, AVX; and opmask, both halves of ZMM
  const CpuidLeaf basic(1, 0), extended(7, 0), more(7, 1);
  const bool avx = has(basic.ecx, 27) && has(basic.ecx, 28);  // OSXSAVE, AVX
  const uint64_t saved = avx ? saved_registers() : 0;

  Processor p{};
  p.avx2 = (saved & kYmm) == kYmm && has(extended.ebx, 5) && has(basic.ecx, 12) &&  // AVX2, FMA
           has(basic.ecx, 29);                                                      // F16C
  p.avx_vnni = p.avx2 && extended.eax >= 1 && has(more.eax, 4);
  p.avx512 = p.avx2 && (saved & kZmm) == kZmm && has(extended.ebx, 16) &&    // F
             has(extended.ebx, 17) && has(extended.ebx, 30) &&               // DQ, BW
             has(extended.ebx, 31) && has(extended.ecx, 11);                 // VL, VNNI
  p.avx512_vbmi = p.avx512 && has(extended.ecx, 1) && has(extended.ecx, 8);  // VBMI, GFNI
  return p;
}

const Ops* const kAllTables[] = {&kBaselineOps, &kAvx2Ops, &kAvxVnniOps, &kAvx512Ops,
                                 &kAvx512VbmiOps};

bool usable(const Ops& table) noexcept {
  const Processor p = this_processor();
  if (&table == &kAvx2Ops) return p.avx2;
  if (&table == &kAvxVnniOps) return p.avx_vnni;
  if (&table == &kAvx512Ops) return p.avx512;
  if (&table == &kAvx512VbmiOps) return p.avx512_vbmi;
  return true;
}

#elif defined(__aarch64__)

struct Processor {
  bool dotprod, i8mm;
};

// Bits of the auxiliary vector (the kernel's arch/arm64/include/uapi/asm/hwcap.h; headers of older
// systems lack the newer ones).
#if defined(__linux__)
unsigned long capabilities() noexcept {
  return getauxval(AT_HWCAP);
}
unsigned long more_capabilities() noexcept {
  return getauxval(AT_HWCAP2);
}
#else
unsigned long capabilities() noexcept {
  return 0;
}
unsigned long more_capabilities() noexcept {
  return 0;
}
#endif

Processor this_processor() noexcept {
  // What a compiler may use where it is told Armv8.2: CRC32, atomics, rounding multiply-adds.
  constexpr unsigned long kArmv82 = 1ul << 7 | 1ul << 8 | 1ul << 12;
  constexpr unsigned long kDotprod = 1ul << 20, kI8mm = 1ul << 13;

  Processor p{};
  p.dotprod = (capabilities() & (kArmv82 | kDotprod)) == (kArmv82 | kDotprod);
  p.i8mm = p.dotprod && (more_capabilities() & kI8mm) != 0;
  return p;
}

const Ops* const kAllTables[] = {&kNeonOps, &kDotprodOps, &kI8mmOps};

bool usable(const Ops& table) noexcept {
  const Processor p = this_processor();
  if (&table == &kDotprodOps) return p.dotprod;
  if (&table == &kI8mmOps) return p.i8mm;
  return true;
}

#endif

// Every list usable_isas() may return: constants, so that nothing has to be built or guarded.
#if defined(__x86_64__)
constexpr const char* kBaseline[] = {"reference", "baseline", nullptr};
constexpr const char* kAvx2[] = {"reference", "baseline", "avx2", nullptr};
constexpr const char* kAvxVnni[] = {"reference", "baseline", "avx2", "avxvnni", nullptr};
constexpr const char* kAvx512[] = {"reference", "baseline", "avx2", "avx512", nullptr};
constexpr const char* kAvx512Vbmi[] = {"reference", "baseline",   "avx2",
                                       "avx512",    "avx512vbmi", nullptr};
constexpr const char* kAvxVnniAvx512[] = {"reference", "baseline", "avx2",
                                          "avxvnni",   "avx512",   nullptr};
constexpr const char* kAll[] = {"reference", "baseline",   "avx2", "avxvnni",
                                "avx512",    "avx512vbmi", nullptr};
#elif defined(__aarch64__)
constexpr const char* kNeon[] = {"reference", "neon", nullptr};
constexpr const char* kDotprod[] = {"reference", "neon", "dotprod", nullptr};
constexpr const char* kAll[] = {"reference", "neon", "dotprod", "i8mm", nullptr};
#else
constexpr const char* kReference[] = {"reference", nullptr};
#endif

const char* const* usable_list() noexcept {
#if defined(__x86_64__)
  const Processor p = this_processor();
  if (p.avx512_vbmi) return p.avx_vnni ? kAll : kAvx512Vbmi;
  if (p.avx512) return p.avx_vnni ? kAvxVnniAvx512 : kAvx512;
  if (p.avx_vnni) return kAvxVnni;
  return p.avx2 ? kAvx2 : kBaseline;
#elif defined(__aarch64__)
  const Processor p = this_processor();
  if (p.i8mm) return kAll;
  return p.dotprod ? kDotprod : kNeon;
#else
  return kReference;
#endif
}

}  // namespace

const Ops* select_ops(const char* isa) noexcept {
  const Ops* best = &reference_ops();
  if (isa && std::strcmp(isa, best->name) == 0) return best;
#if defined(__x86_64__) || defined(__aarch64__)
  for (const Ops* table : kAllTables) {
    if (!usable(*table)) continue;
    if (isa && std::strcmp(isa, table->name) == 0) return table;
    best = table;
  }
#endif
  return isa ? nullptr : best;
}

const char* const* usable_isas(int* count) noexcept {
  const char* const* names = usable_list();
  if (count) {
    for (*count = 0; names[*count]; ++*count) {
    }
  }
  return names;
}

}  // namespace bitnet
