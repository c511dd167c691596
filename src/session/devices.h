// Devices by name: which there are, and which one a model goes to.
#pragma once

#include <optional>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "bitnet.h"
#include "compute/plugin.h"
#include "forward/device_model.h"

namespace bitnet {

// What bitnet_model_options.device says.
struct DeviceName {
  enum class Kind { kAuto, kCpu, kCuda };
  Kind kind = Kind::kAuto;
  int32_t index = 0;  // of CUDA devices
};
// "auto" or nullptr, "cpu", "cuda", "cuda:N" with N as the library writes it. BITNET_E_DEVICE for
// anything else, with the names that there are.
Result<DeviceName> parse_device_name(const char* name);

// A device together with what keeps its plugin open.
struct UsableDevice {
  Plugin plugin;
  Device device;
};

// A CUDA device. BITNET_E_NOT_FOUND if there is no plugin, or no driver and device for it;
// BITNET_E_DEVICE if what is there cannot be used.
Result<UsableDevice> cuda_device(int32_t index);

// The device that a name means; nothing: the CPU. For "auto" that is the first CUDA device. Where
// the plugin is there and that device cannot be used, the log hears that it is the CPU instead, or,
// if strict, that is an error. Where there is no plugin nobody expects a device.
Result<std::optional<UsableDevice>> choose_device(const DeviceName& name, bool strict,
                                                  const Log& log);
// Says to the log that "auto" falls back.
void log_fallback(const Log& log, bitnet_log_level level, const Status& reason) noexcept;

// All of them, the CPU first; if no CUDA device can be used, one entry that says why.
Vec<bitnet_device_info> list_devices();

}  // namespace bitnet
