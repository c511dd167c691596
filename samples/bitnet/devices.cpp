// bitnet devices: what --device may name on this machine.
#include "commands.h"
#include "common.h"
#include "io.h"
#include "json.h"

namespace cli {
namespace {

std::vector<bitnet_device_info> devices() {
  std::vector<bitnet_device_info> list;
  for (int32_t i = 0; i < bitnet_device_count(); ++i) {
    bitnet_error why = BITNET_ERROR_INIT;
    bitnet_device_info info = BITNET_DEVICE_INFO_INIT;
    check(bitnet_device_get_info(i, &info, &why), why);
    list.push_back(info);
  }
  return list;
}

void print_text(const std::vector<bitnet_device_info>& list) {
  for (const bitnet_device_info& device : list) {
    if (!device.usable) {
      print(format("%-8s cannot be used: %s\n", device.name, printable(device.reason).c_str()));
      continue;
    }
    print(format("%-8s %s, %d processors, %.1f GB of memory, %.1f GB free\n", device.name,
                 printable(device.title).c_str(), device.processors,
                 static_cast<double>(device.memory_bytes) * 1e-9,
                 static_cast<double>(device.memory_free) * 1e-9));
  }
}

void print_as_json(const std::vector<bitnet_device_info>& list) {
  const Json root(cJSON_CreateObject());
  cJSON* array = cJSON_AddArrayToObject(root.get(), "devices");
  for (const bitnet_device_info& device : list) {
    cJSON* item = cJSON_CreateObject();
    cJSON_AddItemToArray(array, item);
    put_text(item, "name", device.name);
    cJSON_AddBoolToObject(item, "usable", device.usable != 0);
    put_text(item, "title", device.title);
    put(item, "processors", device.processors);
    put(item, "memory_bytes", device.memory_bytes);
    put(item, "memory_free", device.memory_free);
    put_text(item, "reason", device.reason);
  }
  print_json(root.get());
}

}  // namespace

int devices(Arguments arguments) {
  bool json = false;
  Options options("devices", "[options]",
                  "Lists what --device may name on this machine, and why a device that is not the\n"
                  "CPU cannot be used.",
                  "  bitnet devices\n");
  options.flag("--json", &json, "one JSON object");
  const auto words = options.parse(arguments);
  if (!words) return 0;
  if (!words->empty()) throw UsageError("'" + words->front() + "' is not expected here");
  json ? print_as_json(devices()) : print_text(devices());
  flush();
  return 0;
}

}  // namespace cli
