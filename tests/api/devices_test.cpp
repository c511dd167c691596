// Devices through the public calls: copies of libbitnet.so, each with another plugin beside it or
// none. Finds: a name read too kindly, a fallback that is silent or happens under strict, a failed
// device that takes the CPU with it.
//
// usage: BITNET_LIBRARY=libbitnet.so BITNET_MODEL=random model
#include <bitnet.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "device/double.h"

namespace {

namespace fs = std::filesystem;
using bitnet::test::Call;
using bitnet::test::DoubleControls;

// A copy of the library in a folder of its own, with this plugin beside it; nullptr: none.
class Library {
 public:
  explicit Library(const char* plugin) {
    std::string folder = (fs::temp_directory_path() / "bitnet-devices-XXXXXX").string();
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    const fs::path path = folder_ / "libbitnet.so.0", beside = folder_ / "libbitnet-cuda.so";
    fs::copy_file(getenv("BITNET_LIBRARY"), path);
    if (plugin) fs::copy_file(plugin, beside);
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(handle_, nullptr) << dlerror();
    if (!plugin) return;
    void* const opened = dlopen(beside.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!opened) return;
    const auto get = reinterpret_cast<DoubleControls* (*)()>(dlsym(opened, "bitnet_test_controls"));
    if (get) controls_ = get();
  }
  ~Library() {
    if (handle_) dlclose(handle_);
    fs::remove_all(folder_);
  }

  // How the plugin behaves.
  DoubleControls& controls() const { return *controls_; }
  std::string folder() const { return folder_.string(); }

  template <class F>
  F find(const char* name) const {
    return reinterpret_cast<F>(dlsym(handle_, name));
  }

 private:
  fs::path folder_;
  void* handle_ = nullptr;
  DoubleControls* controls_ = nullptr;
};

#define CALL(library, name) (library).find<decltype(&bitnet_##name)>("bitnet_" #name)

struct Said {
  std::vector<std::pair<bitnet_log_level, std::string>> lines;

  static void log(void* user, bitnet_log_level level, const char* text) {
    static_cast<Said*>(user)->lines.emplace_back(level, text);
  }
  // The one line of this level or a graver one, "" if there is none.
  std::string one(bitnet_log_level least) const {
    std::string found;
    for (const auto& [level, text] : lines) {
      if (level > least) continue;
      EXPECT_EQ(found, "") << "more than one";
      found = text;
    }
    return found;
  }
};

// Closes what it holds; may be empty.
class Model {
 public:
  Model(const Library& library, bitnet_model_options options) : library_(library) {
    why_ = BITNET_ERROR_INIT;
    options.log = Said::log;
    options.log_user = &said_;
    status_ = CALL(library, model_open)(getenv("BITNET_MODEL"), &options, &model_, &why_);
  }
  ~Model() { CALL(library_, model_close)(model_); }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  bitnet_status status() const { return status_; }
  std::string why() const { return why_.message; }
  std::string warning() const { return said_.one(BITNET_LOG_WARNING); }
  std::string information() const { return said_.one(BITNET_LOG_INFO); }
  bitnet_model* get() const { return model_; }
  bitnet_model_info info() const {
    bitnet_model_info info = BITNET_MODEL_INFO_INIT;
    EXPECT_EQ(CALL(library_, model_get_info)(model_, &info, nullptr), BITNET_OK);
    return info;
  }
  bitnet_estimate estimate(const bitnet_ctx_options* options = nullptr) const {
    bitnet_estimate estimate = BITNET_ESTIMATE_INIT;
    EXPECT_EQ(CALL(library_, model_estimate)(model_, options, &estimate, nullptr), BITNET_OK);
    return estimate;
  }

 private:
  const Library& library_;
  Said said_;
  bitnet_error why_;
  bitnet_model* model_ = nullptr;
  bitnet_status status_;
};

bitnet_model_options on(const char* device, uint32_t flags = 0) {
  bitnet_model_options options = BITNET_MODEL_OPTIONS_INIT;
  options.device = device;
  options.flags = flags;
  return options;
}

class Context {
 public:
  Context(const Library& library, const Model& model) : library_(library) {
    bitnet_ctx_options options = BITNET_CTX_OPTIONS_INIT;
    options.positions = 128;
    status_ = CALL(library, ctx_open)(model.get(), &options, &ctx_, &why_);
  }
  ~Context() { CALL(library_, ctx_close)(ctx_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  bitnet_status status() const { return status_; }
  std::string why() const { return why_.message; }
  bitnet_ctx* get() const { return ctx_; }
  bitnet_status decode(int32_t position, uint32_t want = BITNET_WANT_LOGITS) {
    const bitnet_batch_entry entry = {position + 3, position, 0, want};
    return CALL(library_, ctx_decode)(ctx_, &entry, 1, &why_);
  }
  std::vector<float> logits(const Model& model) const {
    const float* row = nullptr;
    if (CALL(library_, ctx_logits)(ctx_, 0, &row, nullptr) != BITNET_OK) return {};
    return {row, row + model.info().vocab_size};
  }
  int32_t sample() const {
    bitnet_sampler_options options = BITNET_SAMPLER_OPTIONS_INIT;
    bitnet_sampler* sampler = nullptr;
    EXPECT_EQ(CALL(library_, sampler_open)(&options, &sampler, nullptr), BITNET_OK);
    int32_t token = -1;
    EXPECT_EQ(CALL(library_, ctx_sample)(ctx_, 0, 0, sampler, &token, nullptr), BITNET_OK);
    CALL(library_, sampler_close)(sampler);
    return token;
  }
  std::string receipt() const {
    uint64_t bytes = 0;
    CALL(library_, ctx_receipt)(ctx_, nullptr, 0, &bytes, nullptr);
    std::string json(bytes, ' ');
    EXPECT_EQ(CALL(library_, ctx_receipt)(ctx_, json.data(), bytes, &bytes, nullptr), BITNET_OK);
    return json;
  }
  bitnet_ctx_stats stats() const {
    bitnet_ctx_stats stats = BITNET_CTX_STATS_INIT;
    EXPECT_EQ(CALL(library_, ctx_get_stats)(ctx_, &stats, nullptr), BITNET_OK);
    return stats;
  }

 private:
  const Library& library_;
  bitnet_error why_ = BITNET_ERROR_INIT;
  bitnet_ctx* ctx_ = nullptr;
  bitnet_status status_;
};

void expect_says(const std::string& sentence, std::initializer_list<std::string> texts) {
  for (const std::string& text : texts) {
    EXPECT_NE(sentence.find(text), std::string::npos) << "says: " << sentence;
  }
}

bitnet_device_info device(const Library& library, int32_t index) {
  bitnet_device_info info = BITNET_DEVICE_INFO_INIT;
  EXPECT_EQ(CALL(library, device_get_info)(index, &info, nullptr), BITNET_OK);
  return info;
}

TEST(Devices, WithoutAPluginAllIsAsItWas) {
  const Library library(nullptr);
  ASSERT_EQ(CALL(library, device_count)(), 2);
  EXPECT_STREQ(device(library, 0).name, "cpu");
  EXPECT_STREQ(device(library, 1).name, "cuda");
  EXPECT_EQ(device(library, 1).usable, 0);
  expect_says(device(library, 1).reason, {"not installed", library.folder()});
  for (uint32_t flags : {0u, uint32_t{BITNET_MODEL_STRICT}, uint32_t{BITNET_MODEL_DESCRIBE}}) {
    const Model model(library, on(nullptr, flags));
    ASSERT_EQ(model.status(), BITNET_OK) << model.why();
    EXPECT_EQ(model.warning(), "");
    EXPECT_STREQ(model.info().device, "cpu");
    EXPECT_EQ(model.estimate().device_bytes, 0u);
  }
  for (const char* name : {"cuda", "cuda:0", "cuda:7"}) {
    for (uint32_t flags : {0u, uint32_t{BITNET_MODEL_DESCRIBE}}) {
      const Model none(library, on(name, flags));
      EXPECT_EQ(none.status(), BITNET_E_DEVICE);
      expect_says(none.why(), {"libbitnet-cuda.so is not installed"});
    }
  }
}

TEST(Devices, AreListedWithWhatTheyAre) {
  const Library library(DEVICE_WHOLE);
  ASSERT_EQ(CALL(library, device_count)(), 3);
  for (int32_t i : {1, 2}) {
    const bitnet_device_info info = device(library, i);
    EXPECT_EQ(std::string(info.name), "cuda:" + std::to_string(i - 1));
    EXPECT_EQ(std::string(info.title), "Double " + std::to_string(i - 1));
    EXPECT_EQ(info.usable, 1);
    EXPECT_EQ(info.memory_bytes, uint64_t{1} << 40);
    EXPECT_EQ(info.processors, 7);
    EXPECT_STREQ(info.reason, "");
  }
  library.controls().failing = Call::kInfo;
  library.controls().failing_after = 1;
  EXPECT_STREQ(device(library, 2).reason, "the double was told to fail");
  library.controls().devices = 0;
  ASSERT_EQ(CALL(library, device_count)(), 2);
  EXPECT_STREQ(device(library, 1).name, "cuda");
  EXPECT_STREQ(device(library, 1).reason, "there is no driver");
}

TEST(Devices, NamesAreReadStrictly) {
  const Library library(DEVICE_WHOLE);
  for (const char* name :
       {"", "gpu", "CUDA", "cuda:", "cuda:00", "cuda: 1", "cuda:1x", "cuda:-1"}) {
    const Model none(library, on(name));
    EXPECT_EQ(none.status(), BITNET_E_DEVICE) << name;
    expect_says(none.why(),
                {std::string("\"") + name + "\"", R"("auto", "cpu", "cuda:0", "cuda:1")"});
  }
  const Model beyond(library, on("cuda:2"));
  EXPECT_EQ(beyond.status(), BITNET_E_DEVICE);
  expect_says(beyond.why(), {"cuda:2", "2 such devices", "cuda:1"});
  const std::pair<const char*, const char*> names[] = {{nullptr, "cuda:0"},  {"auto", "cuda:0"},
                                                       {"cpu", "cpu"},       {"cuda", "cuda:0"},
                                                       {"cuda:0", "cuda:0"}, {"cuda:1", "cuda:1"}};
  for (const auto& [asked, got] : names) {
    const Model model(library, on(asked));
    ASSERT_EQ(model.status(), BITNET_OK) << model.why();
    EXPECT_STREQ(model.info().device, got);
    EXPECT_EQ(model.warning(), "");
  }
}

TEST(Devices, AnInstructionSetMeansTheCpu) {
  const Library library(DEVICE_WHOLE);
  bitnet_model_options options = on("auto");
  options.isa = "reference";
  const Model model(library, options);
  ASSERT_EQ(model.status(), BITNET_OK) << model.why();
  EXPECT_STREQ(model.info().device, "cpu");
  EXPECT_STREQ(model.info().isa, "reference");
  options.device = "cuda";
  const Model none(library, options);
  EXPECT_EQ(none.status(), BITNET_E_ARGUMENT);
  expect_says(none.why(), {"reference", "cuda"});
}

TEST(Devices, GiveTheCpusBitsAndSayWhatTheyAre) {
  const Library library(DEVICE_WHOLE);
  const Model cpu(library, on("cpu")), cuda(library, on("cuda"));
  ASSERT_TRUE(cpu.get() && cuda.get()) << cuda.why();
  EXPECT_STREQ(cuda.info().isa, "sm_90");
  EXPECT_EQ(cuda.info().weights, BITNET_WEIGHTS_2BIT);
  EXPECT_EQ(cuda.info().head, BITNET_HEAD_FULL);
  Context a(library, cpu), b(library, cuda);
  ASSERT_TRUE(a.get() && b.get()) << b.why();
  for (int32_t p = 0; p < 3; ++p) {
    ASSERT_EQ(a.decode(p), BITNET_OK);
    ASSERT_EQ(b.decode(p), BITNET_OK) << b.why();
    ASSERT_EQ(a.logits(cpu), b.logits(cuda));
  }
  expect_says(b.receipt(), {R"("device":"cuda:0")", R"("isa":"sm_90")",
                            R"("compute_path":"cuda/packed-ternary")", R"("launches":3)",
                            R"("head":"full")", R"("threads":1,)"});
  expect_says(a.receipt(),
              {R"("device":"cpu")", R"("compute_path":"cpu/packed-ternary")", R"("launches":0)"});
  EXPECT_EQ(library.controls().broken, nullptr) << library.controls().broken;
}

// What is asked for on the device, too; a model as small as this one gets none by itself.
TEST(Devices, AScreenedHeadIsToldOf) {
  const Library library(DEVICE_WHOLE);
  bitnet_model_options options = on("cuda");
  options.head = BITNET_HEAD_SCREENED;
  const Model full(library, on("cuda")), screened(library, options);
  ASSERT_TRUE(full.get() && screened.get()) << screened.why();
  EXPECT_EQ(full.info().head, BITNET_HEAD_FULL);
  EXPECT_EQ(screened.info().head, BITNET_HEAD_SCREENED);
  EXPECT_GT(screened.info().weight_bytes, full.info().weight_bytes);
  EXPECT_NE(screened.info().bytes_per_token, full.info().bytes_per_token);
  Context a(library, full), b(library, screened);
  for (int32_t p = 0; p < 3; ++p) {
    ASSERT_EQ(a.decode(p, BITNET_WANT_SAMPLE), BITNET_OK);
    ASSERT_EQ(b.decode(p, BITNET_WANT_SAMPLE), BITNET_OK);
    EXPECT_EQ(a.sample(), b.sample());
  }
  const bitnet_ctx_stats of_full = a.stats(), of_screened = b.stats();
  EXPECT_EQ(of_full.head_rows, 3u);
  EXPECT_EQ(of_full.screened_tokens + of_full.screened_rows + of_full.full_tokens, 0u);
  EXPECT_EQ(of_screened.head_rows, 0u);
  EXPECT_EQ(of_screened.screened_tokens, 3u);
  EXPECT_GE(of_screened.screened_rows, 3u);
  EXPECT_EQ(of_screened.full_tokens, 0u);
  EXPECT_EQ(of_screened.screened_bound, 0.0);
  expect_says(b.receipt(), {R"("head":"screened")", R"("screened_tokens":3)"});
  EXPECT_EQ(library.controls().broken, nullptr) << library.controls().broken;
}

void expect_true_estimates(int32_t head) {
  const Library library(DEVICE_WHOLE);
  const auto with_head = [head](const char* name, uint32_t flags = 0) {
    bitnet_model_options options = on(name, flags);
    options.head = head;
    return options;
  };
  bitnet_ctx_options options = BITNET_CTX_OPTIONS_INIT;
  options.positions = 128;
  for (const char* name : {"auto", "cuda:1"}) {
    const Model described(library, with_head(name, BITNET_MODEL_DESCRIBE));
    ASSERT_EQ(described.status(), BITNET_OK) << described.why();
    EXPECT_STREQ(described.info().device, name);
    const Model model(library, with_head(name));
    Context context(library, model);
    ASSERT_EQ(context.status(), BITNET_OK) << context.why();
    const bitnet_estimate before = described.estimate(&options), after = model.estimate(&options);
    EXPECT_EQ(std::memcmp(&before, &after, sizeof before), 0);
    EXPECT_EQ(after.weight_bytes + after.cache_bytes, 0u);
    EXPECT_EQ(after.total_bytes, after.work_bytes);
    const bitnet_ctx_stats stats = context.stats();
    EXPECT_EQ(after.device_bytes + after.work_bytes,
              model.info().weight_bytes + stats.cache_bytes + stats.work_bytes);
  }
}

TEST(Devices, AnEstimateIsWhatOpeningThenTakes) {
  for (int32_t head : {BITNET_HEAD_AUTO, BITNET_HEAD_FULL, BITNET_HEAD_SCREENED}) {
    expect_true_estimates(head);
  }
}

TEST(Devices, ADescriptionAsksNoDeviceUntilItEstimates) {
  const Library library(DEVICE_WHOLE);
  const uint64_t asked = library.controls().calls[static_cast<int>(Call::kCount)];
  const Model described(library, on("auto", BITNET_MODEL_DESCRIBE));
  EXPECT_EQ(library.controls().calls[static_cast<int>(Call::kCount)], asked);
  library.controls().memory = 1000;
  EXPECT_EQ(described.estimate().device_bytes, 0u) << "opening would fall back";

  library.controls().memory = uint64_t{1} << 40;
  library.controls().memory = Model(library, on("auto")).info().weight_bytes;
  EXPECT_GT(described.estimate().device_bytes, 0u);
  bitnet_model_options options = on("auto", BITNET_MODEL_DESCRIBE);
  options.head = BITNET_HEAD_SCREENED;
  EXPECT_EQ(Model(library, options).estimate().device_bytes, 0u) << "the copy does not fit";
}

// As on a machine that has the package but no such device: that is no warning, yet strict refuses.
TEST(Devices, APluginThatFindsNone) {
  const Library library(DEVICE_WHOLE);
  library.controls().devices = 0;
  const Model model(library, on("auto"));
  ASSERT_EQ(model.status(), BITNET_OK) << model.why();
  EXPECT_STREQ(model.info().device, "cpu");
  EXPECT_EQ(model.warning(), "");
  expect_says(model.information(), {"the CPU computes", "there is no driver"});
  for (const bitnet_model_options& options : {on("auto", BITNET_MODEL_STRICT), on("cuda")}) {
    const Model refused(library, options);
    EXPECT_EQ(refused.status(), BITNET_E_DEVICE);
    EXPECT_EQ(refused.why(), "there is no driver");
  }
}

// Each reason that "auto" may have to be the CPU: the model opens there and says why once; strict
// and a device by name refuse.
TEST(Devices, AutoFallsBackWithAReasonAndStrictRefuses) {
  struct Reason {
    const char* plugin;
    void (*prepare)(DoubleControls&);
    bitnet_status status;
    const char* says;
  };
  const Reason reasons[] = {
      {DEVICE_OTHER_VERSION, nullptr, BITNET_E_DEVICE, "install the two together"},
      {DEVICE_NO_SYMBOL, nullptr, BITNET_E_DEVICE, "no plugin of libbitnet"},
      {DEVICE_UNRESOLVED, nullptr, BITNET_E_DEVICE, "cannot be loaded"},
      {DEVICE_WHOLE, [](DoubleControls& c) { c.failing = Call::kInfo; }, BITNET_E_DEVICE,
       "told to fail"},
      {DEVICE_WHOLE, [](DoubleControls& c) { c.memory = 12345; }, BITNET_E_MEMORY,
       "bytes of its memory, 12345 are free"},
      {DEVICE_WHOLE,
       [](DoubleControls& c) {
         c.failing = Call::kModelOpen;
         c.failing_with = BITNET_E_MEMORY;
       },
       BITNET_E_MEMORY, "the double's memory is full"},
      {DEVICE_WHOLE, [](DoubleControls& c) { c.failing = Call::kModelOpen; }, BITNET_E_DEVICE,
       "told to fail"},
  };
  for (const Reason& reason : reasons) {
    const Library library(reason.plugin);
    const auto prepare = [&] {
      if (!reason.prepare) return;
      library.controls() = {};
      reason.prepare(library.controls());
    };
    prepare();
    {
      const Model model(library, on("auto"));
      ASSERT_EQ(model.status(), BITNET_OK) << model.why();
      EXPECT_STREQ(model.info().device, "cpu");
      expect_says(model.warning(), {"the CPU computes", reason.says});
      Context context(library, model);
      EXPECT_EQ(context.decode(0), BITNET_OK);
    }
    prepare();
    const Model strict(library, on("auto", BITNET_MODEL_STRICT));
    EXPECT_EQ(strict.status(), reason.status);
    expect_says(strict.why(), {reason.says});
    prepare();
    const Model named(library, on("cuda"));
    EXPECT_EQ(named.status(), reason.status);
    expect_says(named.why(), {reason.says});
    EXPECT_EQ(named.warning(), "");
    prepare();
    const Model cpu(library, on("cpu", BITNET_MODEL_STRICT));
    EXPECT_EQ(cpu.status(), BITNET_OK) << "nobody asked for a device";
  }
}

struct Shares {
  std::vector<double> seen;
  size_t cancel_at = SIZE_MAX;

  static int report(void* user, double done) {
    Shares& shares = *static_cast<Shares*>(user);
    shares.seen.push_back(done);
    return shares.seen.size() > shares.cancel_at;
  }
};

TEST(Devices, ProgressCoversTheUploadNeverFallsAndCancels) {
  const Library library(DEVICE_WHOLE);
  for (bool falls_back : {false, true}) {
    Shares shares;
    bitnet_model_options options = on("auto");
    options.progress = Shares::report;
    options.progress_user = &shares;
    const auto prepare = [&] {
      library.controls() = {};
      if (falls_back) library.controls().failing = Call::kModelOpen;
    };
    prepare();
    ASSERT_EQ(Model(library, options).status(), BITNET_OK);
    const std::vector<double> all = shares.seen;
    ASSERT_GE(all.size(), 3u);
    EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
    EXPECT_EQ(all.back(), 1.0);
    for (size_t at = 0; at < all.size(); ++at) {
      prepare();
      shares = {{}, at};
      const Model model(library, options);
      EXPECT_EQ(model.status(), BITNET_E_CANCELLED) << at << " of " << all.size();
      EXPECT_EQ(library.controls().live_models, 0);
    }
  }
}

TEST(Devices, OneThatFailsTakesNothingElseWithIt) {
  const Library library(DEVICE_WHOLE);
  const Model cuda(library, on("cuda"));
  library.controls().failing = Call::kContextOpen;
  library.controls().failing_with = BITNET_E_MEMORY;
  {
    const Context none(library, cuda);
    EXPECT_EQ(none.status(), BITNET_E_MEMORY);
    EXPECT_EQ(none.why(), "the double's memory is full");
  }
  Context context(library, cuda);
  ASSERT_EQ(context.decode(0), BITNET_OK) << context.why();
  library.controls().failing = Call::kForward;
  library.controls().failing_with = BITNET_E_DEVICE;
  for (int again = 0; again < 3; ++again) {
    EXPECT_EQ(context.decode(1), BITNET_E_DEVICE);
    EXPECT_EQ(context.why(), "the double was told to fail");
    EXPECT_EQ(CALL(library, ctx_sequence_length)(context.get(), 0), 1u);
  }
  const Model cpu(library, on("cpu")), again(library, on("cuda"));
  Context on_cpu(library, cpu), on_cuda(library, again);
  EXPECT_EQ(on_cpu.decode(0), BITNET_OK);
  EXPECT_EQ(on_cuda.decode(0), BITNET_OK);
  EXPECT_EQ(on_cpu.logits(cpu), on_cuda.logits(again));
}

// The handles may be closed in any order; the plugin's context goes before its model.
TEST(Devices, ModelsLiveAsLongAsTheirContexts) {
  const Library library(DEVICE_WHOLE);
  {
    std::optional<Model> model(std::in_place, library, on("cuda"));
    Context context(library, *model);
    model.reset();
    EXPECT_EQ(library.controls().live_models, 1);
    EXPECT_EQ(context.decode(0), BITNET_OK);
  }
  EXPECT_EQ(library.controls().live_models, 0);
  EXPECT_EQ(library.controls().live_contexts, 0);
  EXPECT_EQ(library.controls().broken, nullptr);
}

}  // namespace
