// The host's progress callback: reports a share done, hears whether to go on.
#pragma once

#include "bitnet.h"

namespace bitnet {

struct Progress {
  bitnet_progress_fn callback = nullptr;
  void* user = nullptr;
  double from = 0, to = 1;  // the part of the whole that this reports on

  // done in 0..1, of this part. False: the host wants the call cancelled.
  bool report(double done) const noexcept {
    return !callback || callback(user, from + (to - from) * done) == 0;
  }
  // A part of this part.
  Progress part(double first, double last) const noexcept {
    return {callback, user, from + (to - from) * first, from + (to - from) * last};
  }
};

}  // namespace bitnet
