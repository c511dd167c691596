// The next token after an entry of a context's last batch: what the sampler picks from its logits,
// computing only those that can matter where a screened head has bounded them, and taking only
// those from a device where the sampler can say which they are.
#pragma once

#include "base/status.h"
#include "forward/read_out.h"
#include "sample/sampler.h"

namespace bitnet {

// Of the tokens below `vocabulary`. The entry must have wanted to be sampled, or its logits: else
// BITNET_E_STATE. Otherwise fails as Sampler::pick and as the device. May throw std::bad_alloc,
// changing nothing.
Status pick_token(ReadOut& read_out, uint64_t entry, int64_t vocabulary, Sampler& sampler,
                  int32_t* token);

}  // namespace bitnet
