#include "compute/plugin.h"

#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

namespace bitnet {
namespace {

uint32_t own_version() noexcept {
  return BITNET_VERSION_MAJOR << 16 | BITNET_VERSION_MINOR << 8 | BITNET_VERSION_PATCH;
}

// RTLD_NODELETE: a device's run-time library leaves threads and exit handlers behind, whose code
// must not be taken from under them. RTLD_LOCAL: its symbols are nobody else's.
void* open_library(const char* path) noexcept {
  return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

// The loader's reason why the last open_library() failed, kept from the host's next dlerror(). The
// second call gives back the memory in which the first one's answer was: the host's.
String take_reason() {
  const char* found = dlerror();
  String reason = found ? found : "the loader gives no reason";
  dlerror();
  return reason;
}

bool exists(const char* path) noexcept {
  struct stat about;
  return stat(path, &about) == 0;
}

// Where the file lies that this code was loaded from, up to and with the last slash; "" if the
// system does not say. A program that was started by its bare name has no path here: the current
// folder, which may be anybody's, is not meant, and the system's link to the program says where it
// is.
String own_folder() {
  Dl_info about;
  String path;
  if (dladdr(reinterpret_cast<const void*>(&own_version), &about) && about.dli_fname) {
    path = about.dli_fname;
  }
  if (path.find('/') == String::npos) {
    char program[4096];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program);
    path.assign(program, length > 0 ? static_cast<size_t>(length) : 0);
  }
  path.resize(path.rfind('/') + 1);  // npos + 1 is 0
  return path;
}

// The file that a handle is of.
String path_of(void* handle, const String& asked) {
  const void* entry = dlsym(handle, kDevicePluginSymbol);
  Dl_info about;
  if (entry && dladdr(entry, &about) && about.dli_fname) return about.dli_fname;
  return asked;
}

struct Version {
  explicit Version(uint32_t v) noexcept {
    std::snprintf(text, sizeof text, "%u.%u.%u", v >> 16, v >> 8 & 0xff, v & 0xff);
  }
  char text[32];
};

}  // namespace

Result<Plugin> Plugin::open(const char* kind, const char* path) {
  const String name = String("libbitnet-") + kind + ".so";
  String file = path ? String(path) : own_folder() + name;
  void* handle = nullptr;
  if (file.find('/') == String::npos) file.insert(0, "./");  // or the loader would search for it
  if (exists(file.c_str())) {
    handle = open_library(file.c_str());
    if (!handle) {
      return Status::error(BITNET_E_DEVICE, "%s cannot be loaded: %s", file.c_str(),
                           take_reason().c_str());
    }
  } else if (path) {
    return Status::error(BITNET_E_NOT_FOUND, "there is no file %s", path);
  } else {
    handle = open_library(name.c_str());
    if (!handle) {
      // Only by the sentence does the loader tell that there is none from that the one there is
      // cannot be loaded.
      const String reason = take_reason();
      if (reason.find(name + ": cannot open shared object file: No such file") == String::npos) {
        return Status::error(BITNET_E_DEVICE, "%s cannot be loaded: %s", name.c_str(),
                             reason.c_str());
      }
      return Status::error(BITNET_E_NOT_FOUND,
                           "%s is not installed: it is neither %s nor where the system looks for "
                           "libraries",
                           name.c_str(), file.c_str());
    }
    file = name;
  }
  Plugin plugin(handle);
  const Status taken = plugin.take_table(path_of(handle, file).c_str());
  if (!taken.ok()) return taken;
  if (std::strcmp(plugin.table().kind, kind) != 0) {
    return Status::error(BITNET_E_DEVICE, "%s is a plugin for \"%s\" devices, not for \"%s\"",
                         file.c_str(), plugin.table().kind, kind);
  }
  return plugin;
}

Status Plugin::take_table(const char* path) {
  const auto entry = reinterpret_cast<DevicePlugin>(dlsym(handle_, kDevicePluginSymbol));
  if (!entry) {
    const String reason = take_reason();
    return Status::error(BITNET_E_DEVICE, "%s is no plugin of libbitnet: %s", path, reason.c_str());
  }
  // Behind the first two fields another version's table may be anything.
  const DeviceTable* table = entry();
  if (table->interface != kDeviceInterface || table->library_version != own_version()) {
    return Status::error(BITNET_E_DEVICE,
                         "%s is of version %s (interface %u), this library is %s (interface %u): "
                         "install the two together",
                         path, Version(table->library_version).text, table->interface,
                         Version(own_version()).text, kDeviceInterface);
  }
  table_ = table;
  return {};
}

Plugin::~Plugin() {
  if (handle_) dlclose(handle_);
}

}  // namespace bitnet
