// The host's progress callback: reports a share done, hears whether to go on.
#pragma once

#include "bitnet.h"

namespace bitnet {

struct Progress {
  bitnet_progress_fn callback = nullptr;
  void* user = nullptr;

  // done in 0..1. False: the host wants the call cancelled.
  bool report(double done) const noexcept { return !callback || callback(user, done) == 0; }
};

}  // namespace bitnet
