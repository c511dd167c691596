// Contexts of one model on the CPU and on the double, given the same calls.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "device/double.h"
#include "file/gguf.h"
#include "file/map.h"
#include "forward/context.h"

namespace bitnet::test {

// A model prepared for both. head: on the double; the CPU computes every row.
class TwoWays {
 public:
  explicit TwoWays(const char* path, bitnet_head head = BITNET_HEAD_FULL)
      : mapping_(Mapping::open(path)) {
    EXPECT_TRUE(mapping_.ok()) << mapping_.status().text();
    gguf_ = Gguf::parse(mapping_.value().bytes());
    EXPECT_TRUE(gguf_.ok()) << gguf_.status().text();
    model_ = ModelDescription::open(gguf_.value(), {});
    EXPECT_TRUE(model_.ok()) << model_.status().text();
    device_.table = &double_table();
    EXPECT_EQ(double_table().info(0, &device_.info, nullptr), BITNET_OK);
    double_controls() = {};
    Weights::Options on_cpu;
    on_cpu.head = BITNET_HEAD_FULL;
    cpu_ = Weights::prepare(*model_.value(), *select_ops(nullptr), on_cpu);
    EXPECT_TRUE(cpu_.ok()) << cpu_.status().text();
    Weights::Options on_device;
    on_device.device = &device_;
    on_device.head = head;
    on_double_ = Weights::prepare(*model_.value(), *select_ops(nullptr), on_device);
    EXPECT_TRUE(on_double_.ok()) << on_double_.status().text();
  }

  const Gguf& file() const { return gguf_.value(); }
  const ModelDescription& model() const { return *model_.value(); }
  const Device& device() const { return device_; }
  const Weights& cpu() const { return *cpu_.value(); }
  const Weights& on_double() const { return *on_double_.value(); }

 private:
  template <class T>
  static Result<T> none() {
    return Status::error(BITNET_E_STATE, "not opened");
  }
  Result<Mapping> mapping_;
  Result<Gguf> gguf_ = none<Gguf>();
  Result<Ptr<const ModelDescription>> model_ = none<Ptr<const ModelDescription>>();
  Device device_;
  Result<Ptr<const Weights>> cpu_ = none<Ptr<const Weights>>();
  Result<Ptr<const Weights>> on_double_ = none<Ptr<const Weights>>();
};

constexpr bitnet_head kHeads[] = {BITNET_HEAD_FULL, BITNET_HEAD_SCREENED};

// That the environment names.
inline std::vector<std::string> models() {
  std::vector<std::string> paths;
  const char* list = std::getenv("BITNET_MODELS");
  for (std::string rest = list ? list : ""; !rest.empty();) {
    const size_t end = std::min(rest.find(':'), rest.size());
    paths.push_back(rest.substr(0, end));
    rest.erase(0, end + 1);
  }
  EXPECT_FALSE(paths.empty()) << "BITNET_MODELS is not set";
  return paths;
}

inline Context::Options context_options(int64_t positions = 512, int64_t batch = 7) {
  Context::Options options = {};
  options.positions = positions;
  options.sequences = 4;
  options.batch = batch;
  options.threads = 1;
  return options;
}

inline Ptr<Context> open_context(const Weights& weights, const Context::Options& options) {
  auto context = Context::open(weights, options);
  EXPECT_TRUE(context.ok()) << context.status().text();
  return std::move(context.value());
}

inline bool same_floats(const float* a, const float* b, int64_t n) {
  return (a == nullptr) == (b == nullptr) &&
         (a == nullptr || std::memcmp(a, b, static_cast<size_t>(n) * sizeof(float)) == 0);
}

}  // namespace bitnet::test
