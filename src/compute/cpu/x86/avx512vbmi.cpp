// AVX-512 with BW, VL, DQ and VNNI, and with VBMI and GFNI.

#include "compute/cpu/x86/lanes_avx512.h"
// In terms of these lanes:
#include "compute/cpu/float_verbs.h"
#include "compute/cpu/x86/screen_avx512.h"
#include "compute/cpu/x86/tables.h"
#include "compute/cpu/x86/ternary_avx512.h"

namespace bitnet {

constinit const Ops kAvx512VbmiOps = table("avx512vbmi");

}  // namespace bitnet
