// The plugin of a kind of device (device.h), opened while the program runs: libbitnet.so itself
// needs no library of any device.
#pragma once

#include <utility>

#include "base/memory.h"
#include "base/status.h"
#include "compute/device.h"

namespace bitnet {

// An open plugin. What its table made must be closed before.
class Plugin {
 public:
  // "libbitnet-KIND.so": beside the library or program that this code is in, else wherever the
  // loader looks for libraries. path: that file and no other.
  // Fails with BITNET_E_NOT_FOUND if there is none, with BITNET_E_DEVICE if there is one that
  // cannot be used. Nothing is remembered: the loader counts who has a library open.
  static Result<Plugin> open(const char* kind, const char* path = nullptr);

  const DeviceTable& table() const noexcept { return *table_; }

  Plugin(Plugin&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), table_(other.table_) {}
  Plugin& operator=(Plugin&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(table_, other.table_);
    return *this;
  }
  ~Plugin();

 private:
  explicit Plugin(void* handle) noexcept : handle_(handle) {}
  Status take_table(const char* kind);

  void* handle_;
  const DeviceTable* table_ = nullptr;
};

// A failed call of a table as a Status.
inline Status device_status(bitnet_status code, const bitnet_error& why) noexcept {
  return code == BITNET_OK ? Status() : Status::error(code, "%s", why.message);
}

}  // namespace bitnet
