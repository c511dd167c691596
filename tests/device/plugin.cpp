// The double as a plugin, whole or bent: BENT says how.
#include "device/double.h"

enum { kWhole, kOtherVersion, kOtherInterface, kOtherKind, kNoSymbol, kUnresolved };

namespace {

[[maybe_unused]] bitnet::DeviceTable bent() noexcept {
  bitnet::DeviceTable table = bitnet::test::double_table();
  if (BENT == kOtherVersion) table.library_version = 0 << 16 | 1 << 8 | 9;
  if (BENT == kOtherInterface) table.interface = 999;
  if (BENT == kOtherKind) table.kind = "abacus";
  return table;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

#if BENT != 4
EXPORTED const bitnet::DeviceTable* bitnet_device_plugin() noexcept {
  static const bitnet::DeviceTable table = bent();
  return &table;
}
#endif

#if BENT == 5
// What nobody has, as a plugin has it whose libraries are not installed.
EXPORTED void bitnet_test_found_nowhere();
EXPORTED void bitnet_test_needs() {
  bitnet_test_found_nowhere();
}
#endif

EXPORTED bitnet::test::DoubleControls* bitnet_test_controls() noexcept {
  return &bitnet::test::double_controls();
}
