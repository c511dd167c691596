// The tables of AArch64. Plain data: nothing here runs before select.cpp has looked at the
// processor.
#pragma once

#include "compute/ops.h"

namespace bitnet {

extern const Ops kNeonOps;
extern const Ops kDotprodOps;
extern const Ops kI8mmOps;

}  // namespace bitnet
