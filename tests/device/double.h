// A device that is none: DeviceTable computed by the reference verbs in the host's memory, token
// after token, and holding its caller to what device.h says. Tests set how it behaves.
#pragma once

#include "compute/device.h"

namespace bitnet::test {

enum class Call : int32_t {
  kNone,
  kCount,
  kInfo,
  kModelOpen,
  kContextOpen,
  kReserveRows,
  kForward,
  kReadHidden,
  kReadLogits,
  kSelect,
  kCopyPage,
  kReadPage,
  kWritePage,
  kCalls
};

// Crosses a plugin's boundary as a plain struct.
struct DoubleControls {
  int32_t devices = 2;
  uint64_t memory = uint64_t{1} << 40;  // of each
  int32_t selected = kDeviceSelected;   // that select() lists, at most
  // The call that fails, after so many that do not, how, and only once: to go on failing is the
  // library's part.
  Call failing = Call::kNone;
  int32_t failing_after = 0;
  bitnet_status failing_with = BITNET_E_DEVICE;
  // Called at the begin of each layer of each forward().
  void (*on_layer)(void* user) = nullptr;
  void* on_layer_user = nullptr;

  uint64_t calls[static_cast<int>(Call::kCalls)] = {};
  int32_t live_models = 0, live_contexts = 0;
  int64_t rows = 0;              // the most that were asked for
  int64_t largest_batch = 0;     // tokens
  const char* broken = nullptr;  // which rule of device.h its caller broke last
};

DoubleControls& double_controls() noexcept;
const DeviceTable& double_table() noexcept;

inline uint64_t calls_of(const DoubleControls& controls, Call call) noexcept {
  return controls.calls[static_cast<int>(call)];
}

}  // namespace bitnet::test
