// Whole models through bitnet.h: what a device computes has the bits of the CPU, and every failure
// of a device is a status. The plugin beside the library is the real one's source on the emulator
// of this folder (emulated_plugin.cpp), or, where the environment names none, whatever is
// installed.
//
// BITNET_MODELS: model files, separated by colons. BITNET_EMULATED: the emulated plugin's path.
#include <bitnet.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Close {
  void operator()(bitnet_model* m) const { bitnet_model_close(m); }
  void operator()(bitnet_ctx* c) const { bitnet_ctx_close(c); }
  void operator()(bitnet_sampler* s) const { bitnet_sampler_close(s); }
  void operator()(bitnet_generator* g) const { bitnet_generate_close(g); }
};
using Model = std::unique_ptr<bitnet_model, Close>;
using Ctx = std::unique_ptr<bitnet_ctx, Close>;
using Sampler = std::unique_ptr<bitnet_sampler, Close>;
using Generator = std::unique_ptr<bitnet_generator, Close>;

std::vector<std::string> model_paths() {
  std::vector<std::string> paths;
  std::istringstream list(std::getenv("BITNET_MODELS") ? std::getenv("BITNET_MODELS") : "");
  for (std::string path; std::getline(list, path, ':');) paths.push_back(path);
  return paths;
}

// The emulator's settings, from the plugin that the library opens, too.
class Emulator {
 public:
  Emulator() {
    if (const char* path = std::getenv("BITNET_EMULATED")) {
      handle_ = dlopen(path, RTLD_NOW | RTLD_LOCAL);
      if (!handle_) stop(dlerror());
    }
  }
  explicit operator bool() const { return handle_ != nullptr; }
  template <class T = void, class... A>
  T call(const char* name, A... arguments) const {
    auto* function = reinterpret_cast<T (*)(A...)>(dlsym(handle_, name));
    if (!function) stop(name);
    return function(arguments...);
  }

 private:
  [[noreturn]] static void stop(const char* what) {
    std::printf("FAILED: the emulated plugin: %s\n", what);
    std::exit(1);
  }
  void* handle_ = nullptr;
};
const Emulator& emulator() {
  static const Emulator instance;
  return instance;
}

struct Logged {
  std::string text;
  static void take(void* user, bitnet_log_level level, const char* text) {
    static_cast<Logged*>(user)->text += std::to_string(level) + ": " + text + "\n";
  }
};

Model open_model(const std::string& path, const char* device, bitnet_error* why = nullptr,
                 uint32_t flags = 0, Logged* logged = nullptr,
                 bitnet_head head = BITNET_HEAD_AUTO) {
  bitnet_model_options options = BITNET_MODEL_OPTIONS_INIT;
  options.device = device;
  options.flags = flags;
  options.head = head;
  if (logged) {
    options.log = Logged::take;
    options.log_user = logged;
  }
  bitnet_model* model = nullptr;
  bitnet_error own = BITNET_ERROR_INIT;
  const bitnet_status status = bitnet_model_open(path.c_str(), &options, &model, why ? why : &own);
  if (!why) {
    EXPECT_EQ(status, BITNET_OK) << path << " on " << device << ": " << own.message;
  }
  return Model(model);
}

Ctx open_ctx(const Model& model, uint32_t positions = 0, uint32_t batch = 0) {
  bitnet_ctx_options options = BITNET_CTX_OPTIONS_INIT;
  options.positions = positions;
  options.batch = batch;
  bitnet_ctx* ctx = nullptr;
  bitnet_error why = BITNET_ERROR_INIT;
  EXPECT_EQ(bitnet_ctx_open(model.get(), &options, &ctx, &why), BITNET_OK) << why.message;
  return Ctx(ctx);
}

bitnet_model_info info_of(const Model& model) {
  bitnet_model_info info = BITNET_MODEL_INFO_INIT;
  EXPECT_EQ(bitnet_model_get_info(model.get(), &info, nullptr), BITNET_OK);
  return info;
}

class Devices : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (emulator()) emulator().call("emulated_reset");
  }
  void TearDown() override {
    if (!emulator()) return;
    emulator().call("emulated_reset");
    EXPECT_EQ(emulator().call<int64_t>("emulated_allocations"), 0)
        << "memory of the device was not released";
  }
  std::string path() const { return GetParam(); }
};
std::string name_of(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param.substr(info.param.rfind('/') + 1);
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}
INSTANTIATE_TEST_SUITE_P(EveryModel, Devices, testing::ValuesIn(model_paths()), name_of);

// The same calls on the CPU and on a device.
struct Both {
  explicit Both(const std::string& path, uint32_t positions = 0, uint32_t batch = 0,
                bitnet_head head = BITNET_HEAD_AUTO)
      : cpu_model(open_model(path, "cpu", nullptr, 0, nullptr, head)),
        device_model(open_model(path, "cuda", nullptr, 0, nullptr, head)),
        cpu(open_ctx(cpu_model, positions, batch)),
        device(open_ctx(device_model, positions, batch)) {}

  void decode(const std::vector<bitnet_batch_entry>& entries) {
    bitnet_error why = BITNET_ERROR_INIT;
    ASSERT_EQ(bitnet_ctx_decode(cpu.get(), entries.data(), entries.size(), &why), BITNET_OK)
        << why.message;
    ASSERT_EQ(bitnet_ctx_decode(device.get(), entries.data(), entries.size(), &why), BITNET_OK)
        << why.message;
    for (size_t i = 0; i < entries.size(); ++i) {
      if (entries[i].want & BITNET_WANT_LOGITS)
        compare(bitnet_ctx_logits, i, info_of(cpu_model).vocab_size, "logits");
      if (entries[i].want & BITNET_WANT_EMBEDDING)
        compare(bitnet_ctx_embedding, i, info_of(cpu_model).width, "embedding");
      if (testing::Test::HasFatalFailure()) return;
    }
  }
  template <class Get>
  void compare(Get get, size_t entry, int32_t count, const char* what) {
    const float *a = nullptr, *b = nullptr;
    ASSERT_EQ(get(cpu.get(), entry, &a, nullptr), BITNET_OK);
    ASSERT_EQ(get(device.get(), entry, &b, nullptr), BITNET_OK);
    rows_compared += 1;
    for (int32_t i = 0; i < count; ++i) {
      ASSERT_EQ(std::memcmp(a + i, b + i, 4), 0) << what << " of entry " << entry << ", number "
                                                 << i << ": CPU " << a[i] << ", device " << b[i];
    }
  }
  int32_t sample(size_t entry, const bitnet_sampler_options& options) {
    int32_t token[2] = {-1, -2};
    for (int which : {0, 1}) {
      bitnet_sampler* sampler = nullptr;
      bitnet_error why = BITNET_ERROR_INIT;
      EXPECT_EQ(bitnet_sampler_open(&options, &sampler, &why), BITNET_OK) << why.message;
      const Sampler owner(sampler);
      EXPECT_EQ(bitnet_ctx_sample(which ? device.get() : cpu.get(), entry, 0, sampler,
                                  &token[which], &why),
                BITNET_OK)
          << why.message;
    }
    EXPECT_EQ(token[0], token[1]);
    return token[0];
  }

  Model cpu_model, device_model;
  Ctx cpu, device;
  int rows_compared = 0;
};

std::vector<bitnet_batch_entry> entries_of(int32_t sequence, int32_t first, int32_t count,
                                           uint32_t want, int32_t vocab, std::mt19937& random) {
  std::vector<bitnet_batch_entry> entries;
  for (int32_t i = 0; i < count; ++i) {
    const auto token = static_cast<int32_t>(random() % static_cast<uint32_t>(vocab));
    entries.push_back({token, first + i, sequence, want});
  }
  return entries;
}

// Prompts in slices of every kind of pass, single tokens, sequences side by side, forks that write
// to a page they share.
TEST_P(Devices, LogitsHaveTheBitsOfTheCpu) {
  Both both(path(), 1024);
  const int32_t vocab = info_of(both.cpu_model).vocab_size;
  EXPECT_STREQ(info_of(both.device_model).device, "cuda:0");
  std::mt19937 random(7);
  const uint32_t all = BITNET_WANT_LOGITS | BITNET_WANT_EMBEDDING;
  int32_t length = 0, slice = 0;
  for (int32_t count : {3, 70, 1, 9, 40, 1, 1, 2}) {
    if (emulator()) emulator().call("emulated_order", slice++ % 3);
    both.decode(entries_of(0, length, count, all, vocab, random));
    if (HasFatalFailure()) return;
    length += count;
  }
  for (int32_t other : {1, 2, 3}) {
    ASSERT_EQ(bitnet_ctx_sequence_fork(both.cpu.get(), 0, other, nullptr), BITNET_OK);
    ASSERT_EQ(bitnet_ctx_sequence_fork(both.device.get(), 0, other, nullptr), BITNET_OK);
  }
  for (int32_t step = 0; step < 3; ++step) {
    std::vector<bitnet_batch_entry> batch;
    for (int32_t sequence : {2, 0, 3, 1}) {
      const auto more = entries_of(sequence, length + step * 2, 2, all, vocab, random);
      batch.insert(batch.end(), more.begin(), more.end());
    }
    both.decode(batch);
    if (HasFatalFailure()) return;
  }
  std::printf("%d rows of logits and hidden states have the CPU's bits\n", both.rows_compared);
}

// Of a screened head and of a whole one: what the device lists, and, where that does not do, all
// logits, of which a row's next pick is made as well.
TEST_P(Devices, PicksAreThoseOfTheCpu) {
  bitnet_sampler_options samplers[7];
  for (bitnet_sampler_options& s : samplers) s = BITNET_SAMPLER_OPTIONS_INIT;
  samplers[1].temperature = 0.8f;  // of the first few
  samplers[1].top_k = 20;
  samplers[1].top_p = 0.9f;
  samplers[2].temperature = 1.3f;  // of all
  samplers[3].temperature = 0.7f;
  samplers[3].min_p = 0.1f;
  samplers[4].temperature = 1.0f;  // by the weights of all
  samplers[4].top_p = 0.8f;
  samplers[5].repeat_penalty = 1.3f;
  samplers[6].temperature = 0.5f;
  samplers[6].top_k = 3;
  for (const bitnet_head head : {BITNET_HEAD_FULL, BITNET_HEAD_SCREENED}) {
    Both both(path(), 0, 0, head);
    EXPECT_EQ(info_of(both.device_model).head, head);
    const int32_t vocab = info_of(both.cpu_model).vocab_size;
    std::mt19937 random(8);
    uint64_t seed = 1;
    both.decode(entries_of(0, 0, 5, BITNET_WANT_SAMPLE, vocab, random));
    if (HasFatalFailure()) return;
    for (size_t entry = 0; entry < 5; ++entry) {
      for (bitnet_sampler_options& sampler : samplers) {
        sampler.seed = seed++;
        both.sample(entry, sampler);
      }
    }
    int32_t token = 1;
    for (int32_t position = 5; position < 15; ++position) {
      both.decode({{token, position, 0, BITNET_WANT_SAMPLE}});
      if (HasFatalFailure()) return;
      bitnet_sampler_options& sampler = samplers[position < 8 ? 0 : random() % 7];
      sampler.seed = seed++;
      token = both.sample(0, sampler);
    }
    bitnet_ctx_stats stats = BITNET_CTX_STATS_INIT;
    ASSERT_EQ(bitnet_ctx_get_stats(both.device.get(), &stats, nullptr), BITNET_OK);
    const bool screened = head == BITNET_HEAD_SCREENED;
    EXPECT_EQ(stats.screened_tokens, screened ? 15u : 0u);
    EXPECT_EQ(stats.head_rows, screened ? 0u : 15u);
    EXPECT_EQ(stats.screened_rows > 0, screened);
    EXPECT_EQ(stats.full_tokens > 0, screened);
  }
}

// A sequence saved on one goes on on the other.
TEST_P(Devices, SequencesMoveBetweenDeviceAndCpu) {
  Both both(path());
  const int32_t vocab = info_of(both.cpu_model).vocab_size;
  std::mt19937 random(9);
  both.decode(entries_of(0, 0, 90, 0, vocab, random));
  if (HasFatalFailure()) return;
  const auto saved = [](const Ctx& ctx) {
    uint64_t bytes = 0;
    EXPECT_EQ(bitnet_ctx_save(ctx.get(), 0, nullptr, 0, &bytes, nullptr), BITNET_E_BUFFER);
    std::vector<char> data(bytes);
    EXPECT_EQ(bitnet_ctx_save(ctx.get(), 0, data.data(), bytes, &bytes, nullptr), BITNET_OK);
    return data;
  };
  const std::vector<char> from_cpu = saved(both.cpu), from_device = saved(both.device);
  EXPECT_EQ(from_cpu, from_device);
  bitnet_error why = BITNET_ERROR_INIT;
  ASSERT_EQ(bitnet_ctx_load(both.device.get(), 1, from_cpu.data(), from_cpu.size(), &why),
            BITNET_OK)
      << why.message;
  ASSERT_EQ(bitnet_ctx_load(both.cpu.get(), 1, from_device.data(), from_device.size(), &why),
            BITNET_OK)
      << why.message;
  both.decode(entries_of(1, 90, 3, BITNET_WANT_LOGITS, vocab, random));
}

std::string reply(const Ctx& ctx, const bitnet_generate_options& options,
                  bitnet_generate_info* info) {
  bitnet_generator* opened = nullptr;
  bitnet_error why = BITNET_ERROR_INIT;
  EXPECT_EQ(bitnet_generate_open(ctx.get(), &options, &opened, &why), BITNET_OK) << why.message;
  const Generator generator(opened);
  std::string text;
  const char* piece = nullptr;
  uint64_t bytes = 0;
  bitnet_status status;
  while ((status = bitnet_generate_next(opened, &piece, &bytes, &why)) == BITNET_OK)
    text.append(piece, bytes);
  EXPECT_EQ(status, BITNET_DONE) << why.message;
  if (info) {
    EXPECT_EQ(bitnet_generate_get_info(opened, info, nullptr), BITNET_OK);
  }
  return text;
}

TEST_P(Devices, GeneratedTextIsThatOfTheCpu) {
  bitnet_sampler_options drawn = BITNET_SAMPLER_OPTIONS_INIT;
  drawn.temperature = 1.0f;
  drawn.min_p = 0.05f;
  drawn.seed = 11;
  bitnet_sampler_options penalized = BITNET_SAMPLER_OPTIONS_INIT;
  penalized.repeat_penalty = 1.2f;
  for (const bitnet_head head : {BITNET_HEAD_FULL, BITNET_HEAD_SCREENED}) {
    Both both(path(), 256, 0, head);
    for (const bitnet_sampler_options* sampling :
         {static_cast<const bitnet_sampler_options*>(nullptr), &std::as_const(drawn),
          &std::as_const(penalized)}) {
      bitnet_generate_options options = BITNET_GENERATE_OPTIONS_INIT;
      options.prompt = "one two three one two three one two";
      options.max_tokens = 12;
      options.sampling = sampling;
      options.flags = BITNET_GENERATE_IGNORE_END;
      for (int32_t drafts : {-1, 4}) {
        options.drafts = drafts;
        EXPECT_EQ(reply(both.cpu, options, nullptr), reply(both.device, options, nullptr))
            << drafts << " drafts";
      }
    }
    bitnet_ctx_stats stats = BITNET_CTX_STATS_INIT;
    ASSERT_EQ(bitnet_ctx_get_stats(both.device.get(), &stats, nullptr), BITNET_OK);
    EXPECT_EQ(stats.full_tokens, 0u) << "who needs all logits asks for them beforehand";
    EXPECT_EQ(stats.screened_tokens > 0, head == BITNET_HEAD_SCREENED);
  }
}

// ---- What goes wrong: with the emulator only ---------------------------------------------------

class BrokenDevices : public Devices {};
// A real device cannot be told to fail.
std::vector<std::string> one_model_if_emulated() {
  if (!emulator()) return {};
  return {model_paths().front()};
}
INSTANTIATE_TEST_SUITE_P(OneModel, BrokenDevices, testing::ValuesIn(one_model_if_emulated()),
                         name_of);

TEST_P(BrokenDevices, AutoFallsBackWithAReasonAndStrictRefuses) {
  emulator().call("emulated_devices", -1);
  Logged logged;
  {
    const Model model = open_model(path(), "auto", nullptr, 0, &logged);
    EXPECT_STREQ(info_of(model).device, "cpu");
    EXPECT_NE(logged.text.find("cudaErrorInsufficientDriver"), std::string::npos) << logged.text;
  }
  for (const char* device : {"auto", "cuda", "cuda:0"}) {
    bitnet_error why = BITNET_ERROR_INIT;
    EXPECT_EQ(open_model(path(), device, &why, BITNET_MODEL_STRICT), nullptr);
    EXPECT_EQ(why.status, BITNET_E_DEVICE) << device;
    EXPECT_NE(std::string(why.message).find("cudaErrorInsufficientDriver"), std::string::npos)
        << why.message;
  }
  bitnet_device_info info = BITNET_DEVICE_INFO_INIT;
  ASSERT_EQ(bitnet_device_get_info(1, &info, nullptr), BITNET_OK);
  EXPECT_EQ(info.usable, 0);
  EXPECT_NE(std::string(info.reason).find("cudaErrorInsufficientDriver"), std::string::npos)
      << info.reason;
}

// A receipt counts the kernels that ran: of passes that are started one by one, recorded, and
// replayed.
TEST_P(BrokenDevices, AReceiptCountsWhatRan) {
  const Model model = open_model(path(), "cuda");
  const Ctx ctx = open_ctx(model);
  const int64_t before = emulator().call<int64_t>("emulated_launches");
  std::mt19937 random(12);
  const auto prompt = entries_of(0, 0, 70, 0, info_of(model).vocab_size, random);
  ASSERT_EQ(bitnet_ctx_decode(ctx.get(), prompt.data(), prompt.size(), nullptr), BITNET_OK);
  for (int32_t position = 70; position < 75; ++position) {
    const bitnet_batch_entry entry = {1, position, 0, BITNET_WANT_SAMPLE};
    ASSERT_EQ(bitnet_ctx_decode(ctx.get(), &entry, 1, nullptr), BITNET_OK);
  }
  char receipt[4096];
  uint64_t bytes = 0;
  ASSERT_EQ(bitnet_ctx_receipt(ctx.get(), receipt, sizeof receipt, &bytes, nullptr), BITNET_OK);
  const int64_t ran = emulator().call<int64_t>("emulated_launches") - before;
  EXPECT_GT(ran, 60);
  EXPECT_NE(std::string(receipt, bytes).find("\"launches\":" + std::to_string(ran)),
            std::string::npos)
      << ran << " ran: " << std::string(receipt, bytes);
}

// Where kernels that overlap cannot be recorded, passes are recorded without.
TEST_P(BrokenDevices, ADriverThatDoesNotRecordOverlap) {
  emulator().call("emulated_refuse_overlap", 1);
  Both both(path());
  const int32_t vocab = info_of(both.cpu_model).vocab_size;
  std::mt19937 random(14);
  for (int32_t position = 0; position < 5; ++position) {
    both.decode(entries_of(0, position, 1, BITNET_WANT_LOGITS, vocab, random));
    if (HasFatalFailure()) return;
  }
}

TEST_P(BrokenDevices, SeveralDevices) {
  emulator().call("emulated_devices", 2);
  EXPECT_EQ(bitnet_device_count(), 3);
  const Model first = open_model(path(), "cuda:0"), second = open_model(path(), "cuda:1");
  EXPECT_STREQ(info_of(second).device, "cuda:1");
  const Ctx a = open_ctx(first, 128), b = open_ctx(second, 128), c = open_ctx(second, 128);
  bitnet_generate_options options = BITNET_GENERATE_OPTIONS_INIT;
  options.prompt = "one two";
  options.max_tokens = 4;
  options.flags = BITNET_GENERATE_IGNORE_END;
  std::string texts[3];
  std::thread beside([&] { texts[2] = reply(c, options, nullptr); });
  texts[0] = reply(a, options, nullptr);
  texts[1] = reply(b, options, nullptr);
  beside.join();
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_EQ(texts[0], texts[2]);
  bitnet_error why = BITNET_ERROR_INIT;
  EXPECT_EQ(open_model(path(), "cuda:2", &why), nullptr);
  EXPECT_EQ(why.status, BITNET_E_DEVICE);
}

// Every allocation fails in turn: a status, nothing lost, and afterwards it works.
TEST_P(BrokenDevices, OutOfMemoryAtAnyAllocation) {
  int failed = 0;
  for (int64_t n = 1; n < 100; ++n) {
    emulator().call("emulated_fail_allocation", n);
    bitnet_error why = BITNET_ERROR_INIT;
    const Model model = open_model(path(), "cuda", &why);
    if (!model) {
      EXPECT_EQ(why.status, BITNET_E_MEMORY) << why.message;
      ++failed;
      continue;
    }
    bitnet_ctx* opened = nullptr;
    const bitnet_status status = bitnet_ctx_open(model.get(), nullptr, &opened, &why);
    const Ctx ctx(opened);
    if (status != BITNET_OK) {
      EXPECT_EQ(status, BITNET_E_MEMORY) << why.message;
      EXPECT_NE(open_ctx(model), nullptr);  // the model is usable
      ++failed;
      continue;
    }
    // Rows for more entries than before are allocated while decoding.
    std::vector<bitnet_batch_entry> two = {{1, 0, 0, BITNET_WANT_LOGITS},
                                           {2, 1, 0, BITNET_WANT_LOGITS}};
    const bitnet_status decoded = bitnet_ctx_decode(ctx.get(), two.data(), 2, &why);
    if (decoded == BITNET_OK) break;
    EXPECT_EQ(decoded, BITNET_E_MEMORY) << why.message;
    EXPECT_EQ(bitnet_ctx_sequence_length(ctx.get(), 0), 0u);
    EXPECT_EQ(bitnet_ctx_decode(ctx.get(), two.data(), 2, &why), BITNET_OK) << why.message;
    ++failed;
  }
  EXPECT_GT(failed, 5);
  std::printf("%d allocations failed in turn\n", failed);
}

TEST_P(BrokenDevices, TooLittleMemory) {
  const Model described = open_model(path(), "cuda", nullptr, BITNET_MODEL_DESCRIBE);
  bitnet_estimate estimate = BITNET_ESTIMATE_INIT;
  bitnet_error why = BITNET_ERROR_INIT;
  ASSERT_EQ(bitnet_model_estimate(described.get(), nullptr, &estimate, &why), BITNET_OK)
      << why.message;
  ASSERT_GT(estimate.device_bytes, 0u);
  // Exactly the estimate is enough, up to what the driver rounds an allocation to; half is not.
  emulator().call("emulated_memory", estimate.device_bytes + 4096);
  {
    const Model model = open_model(path(), "cuda");
    EXPECT_NE(open_ctx(model), nullptr);
  }
  emulator().call("emulated_memory", info_of(open_model(path(), "cuda")).weight_bytes / 2);
  EXPECT_EQ(open_model(path(), "cuda", &why), nullptr);
  EXPECT_EQ(why.status, BITNET_E_MEMORY) << why.message;
  Logged logged;
  const Model model = open_model(path(), "auto", nullptr, 0, &logged);
  EXPECT_STREQ(info_of(model).device, "cpu");
  EXPECT_NE(logged.text.find("weights take"), std::string::npos) << logged.text;
}

TEST_P(BrokenDevices, AFailedDeviceIsAStatusAndNotTheEnd) {
  for (int64_t n : {1, 2, 7, 12}) {
    const Model model = open_model(path(), "cuda");
    const Ctx ctx = open_ctx(model);
    const bitnet_batch_entry first = {1, 0, 0, BITNET_WANT_SAMPLE},
                             second = {2, 1, 0, BITNET_WANT_SAMPLE};
    bitnet_error why = BITNET_ERROR_INIT;
    ASSERT_EQ(bitnet_ctx_decode(ctx.get(), &first, 1, &why), BITNET_OK) << why.message;
    emulator().call("emulated_fail_launch", n);
    EXPECT_EQ(bitnet_ctx_decode(ctx.get(), &second, 1, &why), BITNET_E_DEVICE) << "launch " << n;
    EXPECT_NE(std::string(why.message).find("cudaErrorLaunchFailure"), std::string::npos)
        << why.message;
    EXPECT_EQ(bitnet_ctx_sequence_length(ctx.get(), 0), 1u);
    EXPECT_EQ(bitnet_ctx_decode(ctx.get(), &second, 1, &why), BITNET_E_DEVICE);
    const Model on_cpu = open_model(path(), "cpu");
    EXPECT_EQ(bitnet_ctx_decode(open_ctx(on_cpu).get(), &first, 1, &why), BITNET_OK) << why.message;
    emulator().call("emulated_reset");
    const Model anew = open_model(path(), "cuda");
    EXPECT_EQ(bitnet_ctx_decode(open_ctx(anew).get(), &first, 1, &why), BITNET_OK) << why.message;
  }
}

TEST_P(BrokenDevices, CancelInALongPrompt) {
  const Model model = open_model(path(), "cuda");
  const Ctx ctx = open_ctx(model);
  std::mt19937 random(10);
  const auto entries = entries_of(0, 0, 200, 0, info_of(model).vocab_size, random);
  bitnet_ctx_cancel(ctx.get());
  bitnet_error why = BITNET_ERROR_INIT;
  EXPECT_EQ(bitnet_ctx_decode(ctx.get(), entries.data(), entries.size(), &why), BITNET_E_CANCELLED);
  EXPECT_EQ(bitnet_ctx_sequence_length(ctx.get(), 0), 0u);
  EXPECT_EQ(bitnet_ctx_decode(ctx.get(), entries.data(), entries.size(), &why), BITNET_OK)
      << why.message;
}

}  // namespace

// Without the emulator: a machine that has no driver or no device is skipped, which Meson counts by
// 77. A plugin that is missing, of another version or broken in any other way is a failure.
int main(int argc, char** argv) {
  if (model_paths().empty()) return std::printf("FAILED: BITNET_MODELS names no model\n"), 1;
  testing::InitGoogleTest(&argc, argv);
  bitnet_device_info info = BITNET_DEVICE_INFO_INIT;
  bitnet_error why = BITNET_ERROR_INIT;
  if (bitnet_device_get_info(1, &info, &why) != BITNET_OK) {
    return std::printf("FAILED: %s\n", why.message), 1;
  }
  if (info.usable) return RUN_ALL_TESTS();
  const std::string reason = info.reason;
  for (const char* absent : {"cudaErrorInsufficientDriver", "cudaErrorNoDevice"}) {
    if (emulator() || reason.find(absent) == std::string::npos) continue;
    return std::printf("skipped: %s\n", info.reason), 77;
  }
  return std::printf("FAILED: %s\n", info.reason), 1;
}
