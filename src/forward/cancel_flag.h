// The wish that a call under way should end: made at any time, heard once.
#pragma once

#include <atomic>

#include "base/status.h"

namespace bitnet {

class CancelFlag {
 public:
  // Any thread, also a signal handler.
  void set() noexcept { flag_.store(true, std::memory_order_relaxed); }
  void forget() noexcept { flag_.store(false, std::memory_order_relaxed); }
  // BITNET_E_CANCELLED once for each set().
  Status take() noexcept {
    if (!flag_.exchange(false, std::memory_order_relaxed)) return {};
    return Status::error(BITNET_E_CANCELLED, "cancelled; nothing was added");
  }
  const std::atomic<bool>& flag() const noexcept { return flag_; }

 private:
  std::atomic<bool> flag_{false};
};

}  // namespace bitnet
