// The plugin's own source for tests/cuda/emulator/, as one file; and, for programs that load it as
// libbitnet-cuda.so, the emulator's settings by plain names.
#include "compute/cuda/attention.cu"
#include "compute/cuda/context.cu"
#include "compute/cuda/dense.cu"
#include "compute/cuda/model.cu"
#include "compute/cuda/plugin.cu"
#include "compute/cuda/rows.cu"
#include "compute/cuda/screen.cu"
#include "compute/cuda/select.cu"
#include "compute/cuda/ternary.cu"
#include "emulator.h"

extern "C" {
BITNET_API void emulated_reset() {
  emulator::reset();
}
BITNET_API void emulated_order(int order) {
  emulator::set_order(static_cast<emulator::Order>(order), 1);
}
BITNET_API void emulated_devices(int count) {
  emulator::set_device_count(count);
}
BITNET_API void emulated_memory(uint64_t bytes) {
  emulator::set_memory(bytes);
}
BITNET_API void emulated_fail_allocation(int64_t n) {
  emulator::fail_allocation_after(n);
}
BITNET_API void emulated_fail_launch(int64_t n) {
  emulator::fail_launch_after(n, emulator::Report::kLater);
}
BITNET_API void emulated_refuse_overlap(int refuse) {
  emulator::refuse_overlap_in_captures(refuse != 0);
}
BITNET_API int64_t emulated_allocations() {
  return emulator::live_allocations();
}
BITNET_API int64_t emulated_launches() {
  return emulator::launches();
}
}
