// The tables of x86-64. Plain data: nothing here runs before select.cpp has looked at the
// processor.
#pragma once

#include "compute/ops.h"

namespace bitnet {

extern const Ops kBaselineOps;
extern const Ops kAvx2Ops;
extern const Ops kAvxVnniOps;
extern const Ops kAvx512Ops;
extern const Ops kAvx512VbmiOps;

}  // namespace bitnet
