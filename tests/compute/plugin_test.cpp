// Finds: a plugin of another build that is used all the same, one that cannot be used that passes
// for none, or a reason that does not say both sides.
#include "compute/plugin.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

namespace bitnet {
namespace {

namespace fs = std::filesystem;

void expect_refused(const char* path, bitnet_status status,
                    std::initializer_list<const char*> says) {
  const Result<Plugin> plugin = Plugin::open("cuda", path);
  ASSERT_FALSE(plugin.ok()) << path;
  EXPECT_EQ(plugin.status().code(), status) << plugin.status().text();
  for (const char* text : says) {
    EXPECT_NE(std::string(plugin.status().text()).find(text), std::string::npos)
        << "says: " << plugin.status().text();
  }
}

// Beside this program, until it goes out of scope.
class Installed {
 public:
  explicit Installed(const char* plugin) {
    fs::copy_file(plugin, path_, fs::copy_options::overwrite_existing);
  }
  ~Installed() { fs::remove(path_); }

 private:
  fs::path path_ = fs::read_symlink("/proc/self/exe").parent_path() / "libbitnet-cuda.so";
};

TEST(Plugin, OfTheSameBuildIsUsed) {
  const Result<Plugin> plugin = Plugin::open("cuda", DEVICE_WHOLE);
  ASSERT_TRUE(plugin.ok()) << plugin.status().text();
  EXPECT_STREQ(plugin.value().table().kind, "cuda");
  int32_t count = 0;
  EXPECT_EQ(plugin.value().table().count(&count, nullptr), BITNET_OK);
  EXPECT_EQ(count, 2);
}

TEST(Plugin, StaysWhenItIsClosed) {
  const DeviceTable* table = nullptr;
  {
    const Result<Plugin> plugin = Plugin::open("cuda", DEVICE_WHOLE);
    ASSERT_TRUE(plugin.ok());
    table = &plugin.value().table();
  }
  EXPECT_STREQ(table->kind, "cuda") << "its exit handlers may still run";
}

TEST(Plugin, OfAnotherBuildIsRefusedWithBothSides) {
  const std::string own = std::to_string(BITNET_VERSION_MAJOR) + "." +
                          std::to_string(BITNET_VERSION_MINOR) + "." +
                          std::to_string(BITNET_VERSION_PATCH);
  const std::string ours = "this library is " + own + " (interface " +
                           std::to_string(kDeviceInterface) + "): install the two together";
  expect_refused(
      DEVICE_OTHER_VERSION, BITNET_E_DEVICE,
      {DEVICE_OTHER_VERSION,
       ("is of version 0.1.9 (interface " + std::to_string(kDeviceInterface) + ")").c_str(),
       ours.c_str()});
  expect_refused(DEVICE_OTHER_INTERFACE, BITNET_E_DEVICE,
                 {("is of version " + own + " (interface 999)").c_str(), ours.c_str()});
}

TEST(Plugin, ThatIsNoneIsRefused) {
  expect_refused(DEVICE_OTHER_KIND, BITNET_E_DEVICE, {"\"abacus\"", "\"cuda\""});
  expect_refused(DEVICE_NO_SYMBOL, BITNET_E_DEVICE,
                 {"no plugin of libbitnet", kDevicePluginSymbol});
  expect_refused(DEVICE_UNRESOLVED, BITNET_E_DEVICE,
                 {"cannot be loaded", "bitnet_test_found_nowhere"});
  const std::string text = std::string(DEVICE_WHOLE) + ".text";
  std::ofstream(text) << "not an ELF file\n";
  expect_refused(text.c_str(), BITNET_E_DEVICE, {"cannot be loaded", text.c_str()});
}

TEST(Plugin, ThatIsNotThereIsSomethingElse) {
  expect_refused("/nonexistent/libbitnet-cuda.so", BITNET_E_NOT_FOUND,
                 {"/nonexistent/libbitnet-cuda.so"});
  const Result<Plugin> plugin = Plugin::open("abacus");
  ASSERT_FALSE(plugin.ok());
  EXPECT_EQ(plugin.status().code(), BITNET_E_NOT_FOUND);
  EXPECT_NE(std::string(plugin.status().text()).find("libbitnet-abacus.so is not installed"),
            std::string::npos)
      << plugin.status().text();
  EXPECT_EQ(dlerror(), nullptr) << "the failure was not the host's";
}

TEST(Plugin, BesideTheProgramIsFoundByItsName) {
  const Installed whole(DEVICE_WHOLE);
  const Result<Plugin> plugin = Plugin::open("cuda");
  EXPECT_TRUE(plugin.ok()) << plugin.status().text();
}

}  // namespace
}  // namespace bitnet
