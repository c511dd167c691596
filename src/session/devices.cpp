#include "session/devices.h"

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include "base/threads.h"
#include "compute/ops.h"

namespace bitnet {
namespace {

constexpr char kCuda[] = "cuda";

// The number after "cuda:", written without signs and leading zeros; nothing if it is none.
std::optional<int32_t> device_number(std::string_view text) noexcept {
  int32_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || last != end || number < 0) return {};
  if (text.size() > 1 && text[0] == '0') return {};
  return number;
}

Status unknown_name(const char* name) {
  String names = "\"auto\"", reason;
  for (const bitnet_device_info& device : list_devices()) {
    if (device.usable) {
      names = names + ", \"" + device.name + "\"";
    } else {
      reason = String("; ") + device.name + ": " + device.reason;
    }
  }
  return Status::error(BITNET_E_DEVICE, "device \"%.64s\": there are %s%s", name, names.c_str(),
                       reason.c_str());
}

// How many devices there are, at least one. BITNET_E_NOT_FOUND, in the plugin's words, if none.
Result<int32_t> device_count(const DeviceTable& table) noexcept {
  bitnet_error why = BITNET_ERROR_INIT;
  int32_t count = 0;
  const Status counted = device_status(table.count(&count, &why), why);
  if (!counted.ok()) return Status::error(BITNET_E_NOT_FOUND, "%s", counted.text());
  if (count < 1) return Status::error(BITNET_E_NOT_FOUND, "there is no %s device", table.kind);
  return count;
}

Result<Device> device_at(const DeviceTable& table, int32_t index) noexcept {
  Device device;
  device.table = &table;
  device.index = index;
  bitnet_error why = BITNET_ERROR_INIT;
  BITNET_TRY(device_status(table.info(index, &device.info, &why), why));
  return device;
}

template <size_t n>
void copy_text(char (&to)[n], const char* from) noexcept {
  std::snprintf(to, n, "%s", from);
}

bitnet_device_info cpu_info() noexcept {
  bitnet_device_info cpu = BITNET_DEVICE_INFO_INIT;
  cpu.usable = 1;
  copy_text(cpu.name, "cpu");
  int count = 0;
  const char* const* isas = usable_isas(&count);
  copy_text(cpu.title, isas[count - 1]);
  cpu.processors = usable_cores();
#if defined(_SC_PHYS_PAGES) && defined(_SC_AVPHYS_PAGES)
  const long page = sysconf(_SC_PAGESIZE), all = sysconf(_SC_PHYS_PAGES);
  const long free = sysconf(_SC_AVPHYS_PAGES);
  if (page > 0 && all > 0) cpu.memory_bytes = static_cast<uint64_t>(page) * all;
  if (page > 0 && free > 0) cpu.memory_free = static_cast<uint64_t>(page) * free;
#endif
  return cpu;
}

bitnet_device_info info_of(const Device& device) noexcept {
  bitnet_device_info info = BITNET_DEVICE_INFO_INIT;
  info.usable = 1;
  std::snprintf(info.name, sizeof info.name, "%s:%d", device.table->kind, device.index);
  copy_text(info.title, device.info.title);
  info.memory_bytes = device.info.memory_bytes;
  info.memory_free = device.info.free;
  info.processors = device.info.processors;
  return info;
}

bitnet_device_info unusable(const char* name, const Status& reason) noexcept {
  bitnet_device_info info = BITNET_DEVICE_INFO_INIT;
  copy_text(info.name, name);
  copy_text(info.reason, reason.text());
  return info;
}

Status list_cuda_devices(Vec<bitnet_device_info>& list) {
  BITNET_LET(const Plugin plugin, Plugin::open(kCuda));
  BITNET_LET(const int32_t count, device_count(plugin.table()));
  for (int32_t i = 0; i < count; ++i) {
    const Result<Device> device = device_at(plugin.table(), i);
    if (device.ok()) {
      list.push_back(info_of(device.value()));
      continue;
    }
    char name[32];
    std::snprintf(name, sizeof name, "%s:%d", kCuda, i);
    list.push_back(unusable(name, device.status()));
  }
  return {};
}

// As an error of a call: callers know devices, not plugins.
Status as_device_error(const Status& status) noexcept {
  if (status.code() != BITNET_E_NOT_FOUND) return status;
  return Status::error(BITNET_E_DEVICE, "%s", status.text());
}

}  // namespace

Result<DeviceName> parse_device_name(const char* name) {
  const std::string_view text = name ? name : "auto";
  if (text == "auto") return DeviceName{DeviceName::Kind::kAuto, 0};
  if (text == "cpu") return DeviceName{DeviceName::Kind::kCpu, 0};
  if (text == kCuda) return DeviceName{DeviceName::Kind::kCuda, 0};
  if (text.starts_with("cuda:")) {
    if (const auto number = device_number(text.substr(5))) {
      return DeviceName{DeviceName::Kind::kCuda, *number};
    }
  }
  return unknown_name(name);
}

namespace {

Result<UsableDevice> device_of(Result<Plugin> opened, int32_t index) {
  if (!opened.ok()) return opened.status();
  Plugin plugin = std::move(opened.value());
  BITNET_LET(const int32_t count, device_count(plugin.table()));
  if (index >= count) {
    return Status::error(BITNET_E_DEVICE, "%s:%d: there are %d such devices, the last is %s:%d",
                         kCuda, index, count, kCuda, count - 1);
  }
  BITNET_LET(const Device device, device_at(plugin.table(), index));
  return UsableDevice{std::move(plugin), device};
}

}  // namespace

Result<UsableDevice> cuda_device(int32_t index) {
  return device_of(Plugin::open(kCuda), index);
}

Result<std::optional<UsableDevice>> choose_device(const DeviceName& name, bool strict,
                                                  const Log& log) {
  if (name.kind == DeviceName::Kind::kCpu) return std::optional<UsableDevice>();
  Result<Plugin> plugin = Plugin::open(kCuda);
  const bool installed = plugin.status().code() != BITNET_E_NOT_FOUND;
  Result<UsableDevice> device = device_of(std::move(plugin), name.index);
  if (device.ok()) return std::optional(std::move(device.value()));
  const Status reason = as_device_error(device.status());
  if (name.kind == DeviceName::Kind::kCuda) return reason;
  if (!installed) return std::optional<UsableDevice>();
  if (strict) return reason;
  // A machine without a device is no defect; one that has a device and cannot use it may be.
  const bool none = device.status().code() == BITNET_E_NOT_FOUND;
  log_fallback(log, none ? BITNET_LOG_INFO : BITNET_LOG_WARNING, reason);
  return std::optional<UsableDevice>();
}

void log_fallback(const Log& log, bitnet_log_level level, const Status& reason) noexcept {
  log(level, "the CPU computes instead of a device: %s", reason.text());
}

Vec<bitnet_device_info> list_devices() {
  Vec<bitnet_device_info> list;
  list.push_back(cpu_info());
  const Status listed = list_cuda_devices(list);
  if (!listed.ok()) list.push_back(unusable(kCuda, listed));
  return list;
}

}  // namespace bitnet
