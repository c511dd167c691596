// A library that has libbitnet inside: what was compiled for an archive must do for a shared
// library as well.
#include <bitnet.h>

extern "C" __attribute__((visibility("default"))) const char* answers_version() {
  return bitnet_version_string();
}
