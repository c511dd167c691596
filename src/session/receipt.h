// What a context has done, as JSON made from counters (design: honesty; schema in the header).
#pragma once

#include "forward/context.h"
#include "session/loaded_model.h"

namespace bitnet {

Result<String> write_receipt(const LoadedModel& model, const Context& context);

}  // namespace bitnet
