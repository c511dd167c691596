// Checks a table of verbs against the reference before a model uses it.
#pragma once

#include "base/status.h"
#include "compute/ops.h"

namespace bitnet {

// Runs every verb of the forward pass on small fixed inputs; a difference in any bit is an error
// that names table and verb. Takes a few milliseconds. What it guards against: a miscompiled body,
// a processor or an emulator that does not compute as it should. The tests go much further.
Status check_against_reference(const Ops& ops);

}  // namespace bitnet
