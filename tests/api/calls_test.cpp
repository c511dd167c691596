// Every call of bitnet.h as a careless host makes it: wrong arguments, structs of other versions,
// buffers too small, calls in the wrong state. Nothing crashes, each answer is a status with a
// sentence, and nothing changes.
//
// BITNET_MODEL: a model file.
#include <bitnet.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <clocale>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace {

struct Close {
  void operator()(bitnet_model* m) const { bitnet_model_close(m); }
  void operator()(bitnet_ctx* c) const { bitnet_ctx_close(c); }
  void operator()(bitnet_sampler* s) const { bitnet_sampler_close(s); }
};
using Model = std::unique_ptr<bitnet_model, Close>;
using Ctx = std::unique_ptr<bitnet_ctx, Close>;
using Sampler = std::unique_ptr<bitnet_sampler, Close>;

std::string model_path() {
  const char* path = std::getenv("BITNET_MODEL");
  return path ? path : "";
}

std::vector<char> model_bytes() {
  std::ifstream in(model_path(), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

Model open_model(uint32_t flags = 0, int32_t weights = BITNET_WEIGHTS_AUTO,
                 int32_t head = BITNET_HEAD_AUTO) {
  bitnet_model_options options = BITNET_MODEL_OPTIONS_INIT;
  options.flags = flags;
  options.weights = weights;
  options.head = head;
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_model* model = nullptr;
  EXPECT_EQ(bitnet_model_open(model_path().c_str(), &options, &model, &why), BITNET_OK)
      << why.message;
  return Model(model);
}

// Expects a failure with this status and a sentence that contains `text`.
#define EXPECT_REFUSED(call, expected_status, text)                                \
  do {                                                                             \
    bitnet_error why = BITNET_ERROR_INIT;                                          \
    EXPECT_EQ(call, expected_status);                                              \
    EXPECT_EQ(why.status, expected_status);                                        \
    EXPECT_NE(std::strstr(why.message, text), nullptr) << "says: " << why.message; \
  } while (0)

TEST(Calls, NullHandlesAreAnArgumentErrorNotACrash) {
  uint64_t n = 0;
  int32_t token = 0;
  const char* text = nullptr;
  const float* row = nullptr;
  bitnet_model_info info = BITNET_MODEL_INFO_INIT;
  bitnet_ctx* ctx = nullptr;
  bitnet_generator* generator = nullptr;
  bitnet_batch_entry entry = {0, 0, 0, 0};
  bitnet_message message = {"user", "a", 0};
  bitnet_generate_options options = BITNET_GENERATE_OPTIONS_INIT;
  const bitnet_status results[] = {
      bitnet_model_open(nullptr, nullptr, nullptr, nullptr),
      bitnet_model_open_memory(nullptr, 0, nullptr, nullptr, nullptr),
      bitnet_model_open_source(nullptr, nullptr, nullptr, nullptr),
      bitnet_model_get_info(nullptr, &info, nullptr),
      bitnet_model_metadata_text(nullptr, "a", 1, nullptr, 0, &n, nullptr),
      bitnet_model_tensor(nullptr, 0, nullptr, nullptr),
      bitnet_model_estimate(nullptr, nullptr, nullptr, nullptr),
      bitnet_tokenize(nullptr, "a", 1, 0, nullptr, 0, &n, nullptr),
      bitnet_detokenize(nullptr, &token, 1, 0, nullptr, 0, &n, nullptr),
      bitnet_token_piece(nullptr, 0, 0, &text, &n, nullptr),
      bitnet_chat_tokenize(nullptr, &message, 1, nullptr, nullptr, 0, &n, nullptr),
      bitnet_chat_render(nullptr, &message, 1, nullptr, nullptr, 0, &n, nullptr),
      bitnet_ctx_open(nullptr, nullptr, &ctx, nullptr),
      bitnet_ctx_decode(nullptr, &entry, 1, nullptr),
      bitnet_ctx_logits(nullptr, 0, &row, nullptr),
      bitnet_ctx_embedding(nullptr, 0, &row, nullptr),
      bitnet_ctx_sequence_fork(nullptr, 0, 1, nullptr),
      bitnet_ctx_sequence_truncate(nullptr, 0, 0, nullptr),
      bitnet_ctx_save(nullptr, 0, nullptr, 0, &n, nullptr),
      bitnet_ctx_load(nullptr, 0, "", 0, nullptr),
      bitnet_ctx_get_stats(nullptr, nullptr, nullptr),
      bitnet_ctx_receipt(nullptr, nullptr, 0, &n, nullptr),
      bitnet_sampler_open(nullptr, nullptr, nullptr),
      bitnet_sample(nullptr, nullptr, 0, &token, nullptr),
      bitnet_sampler_accept(nullptr, 0, nullptr),
      bitnet_generate_open(nullptr, &options, &generator, nullptr),
      bitnet_generate_next(nullptr, &text, &n, nullptr),
      bitnet_generate_get_info(nullptr, nullptr, nullptr),
      bitnet_machine_measure(nullptr, nullptr),
  };
  for (size_t i = 0; i < std::size(results); ++i) EXPECT_EQ(results[i], BITNET_E_ARGUMENT) << i;
  bitnet_model_close(nullptr);
  bitnet_ctx_close(nullptr);
  bitnet_sampler_close(nullptr);
  bitnet_generate_close(nullptr);
  bitnet_sampler_reset(nullptr);
  bitnet_ctx_cancel(nullptr);
  EXPECT_EQ(bitnet_model_metadata_count(nullptr), 0u);
  EXPECT_EQ(bitnet_model_metadata_key(nullptr, 0), nullptr);
  EXPECT_EQ(bitnet_model_tensor_count(nullptr), 0u);
  EXPECT_EQ(bitnet_token_is_end(nullptr, 0), 0);
  EXPECT_EQ(bitnet_ctx_sequence_length(nullptr, 0), 0u);
  EXPECT_EQ(bitnet_ctx_sequence_match(nullptr, 0, &token, 1), 0u);
}

TEST(Calls, AnUninitializedOrShortErrorObjectIsNotWrittenBeyondItsSize) {
  struct {
    uint32_t size;
    int32_t status;
    char message[24];
    char guard[8];
  } small = {32, 0, {0}, {'g', 'u', 'a', 'r', 'd', 'g', 'u', 0}};
  bitnet_model* model = nullptr;
  EXPECT_EQ(bitnet_model_open("/no/such/file.gguf", nullptr, &model,
                              reinterpret_cast<bitnet_error*>(&small)),
            BITNET_E_IO);
  EXPECT_EQ(small.status, BITNET_E_IO);
  EXPECT_EQ(std::strlen(small.message), 23u);
  EXPECT_STREQ(small.guard, "guardgu");
  bitnet_error zero = {0, 0, {0}};
  EXPECT_EQ(bitnet_model_open("/no/such/file.gguf", nullptr, &model, &zero), BITNET_E_IO);
  EXPECT_EQ(zero.status, 0);
}

TEST(Calls, StructsOfOtherVersions) {
  bitnet_model* model = nullptr;
  bitnet_model_options options = BITNET_MODEL_OPTIONS_INIT;
  options.size = 64;
  EXPECT_REFUSED(bitnet_model_open(model_path().c_str(), &options, &model, &why), BITNET_E_ARGUMENT,
                 "bitnet_model_options.size");
  options.size = 72;     // a program built with 0.1, which knew no field behind these
  options.weights = 99;  // somebody else's memory by then
  ASSERT_EQ(bitnet_model_open(model_path().c_str(), &options, &model, nullptr), BITNET_OK);
  bitnet_model_close(model);
  // A newer program's struct: fine while what we do not know is zero.
  struct {
    bitnet_model_options known;
    uint64_t unknown;
  } newer = {BITNET_MODEL_OPTIONS_INIT, 0};
  newer.known.size = sizeof newer;
  newer.known.flags = BITNET_MODEL_DESCRIBE;
  ASSERT_EQ(bitnet_model_open(model_path().c_str(), &newer.known, &model, nullptr), BITNET_OK);
  const Model opened(model);
  newer.unknown = 1;
  bitnet_model* second = nullptr;
  EXPECT_REFUSED(bitnet_model_open(model_path().c_str(), &newer.known, &second, &why),
                 BITNET_E_UNSUPPORTED, "newer libbitnet");
  struct {
    bitnet_model_info known;
    char beyond[8];
  } info = {BITNET_MODEL_INFO_INIT, {'b', 'e', 'y', 'o', 'n', 'd', 0, 0}};
  info.known.size = sizeof info;
  ASSERT_EQ(bitnet_model_get_info(model, &info.known, nullptr), BITNET_OK);
  EXPECT_EQ(info.known.size, sizeof info) << "the caller's size is kept";
  EXPECT_STREQ(info.beyond, "beyond");
}

TEST(Calls, ModelOptionsOutOfRange) {
  bitnet_model* model = nullptr;
  const auto refused = [&](auto&& change, bitnet_status status, const char* text) {
    bitnet_model_options options = BITNET_MODEL_OPTIONS_INIT;
    change(options);
    EXPECT_REFUSED(bitnet_model_open(model_path().c_str(), &options, &model, &why), status, text);
    EXPECT_EQ(model, nullptr);
  };
  using O = bitnet_model_options;
  refused([](O& o) { o.threads = -1; }, BITNET_E_ARGUMENT, "threads is -1");
  refused([](O& o) { o.threads = 1025; }, BITNET_E_ARGUMENT, "threads is 1025");
  refused([](O& o) { o.flags = 0x80; }, BITNET_E_ARGUMENT, "flags 0x80");
  refused([](O& o) { o.reserved = 7; }, BITNET_E_ARGUMENT, "reserved");
  refused([](O& o) { o.i2s_layout = 4; }, BITNET_E_ARGUMENT, "i2s_layout is 4");
  refused([](O& o) { o.activation = -2; }, BITNET_E_ARGUMENT, "activation is -2");
  for (const char* name : {"", "CPU", "cuda:", "cuda:-1", "cuda:+1", "cuda:01", "cuda:1 ", "cuda1",
                           "cuda:99999999999", "gpu"}) {
    refused([&](O& o) { o.device = name; }, BITNET_E_DEVICE, "there are \"auto\", \"cpu\"");
  }
  refused(
      [](O& o) {
        o.device = "cuda";
        o.isa = "reference";
      },
      BITNET_E_ARGUMENT, "leave one");
  refused([](O& o) { o.isa = "z80"; }, BITNET_E_UNSUPPORTED, "can run reference");
  refused([](O& o) { o.progress = [](void*, double) { return 1; }; }, BITNET_E_CANCELLED,
          "progress");
}

// Beside the library of this build there is no plugin; tests/device/ has libraries with one.
TEST(Calls, DevicesAreListedAndTheCpuIsTheFirst) {
  const int32_t count = bitnet_device_count();
  ASSERT_GE(count, 2);
  for (int32_t i = 0; i < count; ++i) {
    bitnet_device_info info = BITNET_DEVICE_INFO_INIT;
    ASSERT_EQ(bitnet_device_get_info(i, &info, nullptr), BITNET_OK);
    EXPECT_EQ(std::string(info.name).rfind(i == 0 ? "cpu" : "cuda", 0), 0u) << info.name;
    EXPECT_EQ(info.usable == 1, info.reason[0] == 0) << info.reason;
    if (i > 0 && info.usable) continue;
    EXPECT_EQ(info.usable, i == 0);
    if (i == 0) {
      EXPECT_GT(info.processors, 0);
      EXPECT_GE(info.memory_bytes, info.memory_free);
      EXPECT_STREQ(info.title, bitnet_isa_name(bitnet_isa_count() - 1));
    }
  }
  bitnet_device_info info = BITNET_DEVICE_INFO_INIT;
  const std::string there_are = "there are " + std::to_string(count);
  for (int32_t wrong : {-1, count}) {
    EXPECT_REFUSED(bitnet_device_get_info(wrong, &info, &why), BITNET_E_NOT_FOUND,
                   there_are.c_str());
  }
  EXPECT_REFUSED(bitnet_device_get_info(0, nullptr, &why), BITNET_E_ARGUMENT, "info is NULL");
}

TEST(Calls, ProgressNeverFallsAndEndsAtOne) {
  std::vector<double> seen;
  bitnet_model_options options = BITNET_MODEL_OPTIONS_INIT;
  options.progress = [](void* user, double done) {
    static_cast<std::vector<double>*>(user)->push_back(done);
    return 0;
  };
  options.progress_user = &seen;
  bitnet_model* model = nullptr;
  ASSERT_EQ(bitnet_model_open(model_path().c_str(), &options, &model, nullptr), BITNET_OK);
  bitnet_model_close(model);
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 1.0);
  EXPECT_LE(seen.size(), 110u);
}

TEST(Calls, EveryWayToOpenGivesTheSameModel) {
  const std::vector<char> bytes = model_bytes();
  ASSERT_FALSE(bytes.empty());
  bitnet_source source = BITNET_SOURCE_INIT;
  source.bytes = bytes.size();
  source.user = const_cast<std::vector<char>*>(&bytes);
  source.read_at = [](void* user, uint64_t offset, void* buffer, uint64_t count) {
    const auto& all = *static_cast<const std::vector<char>*>(user);
    if (offset + count > all.size()) return 1;
    std::memcpy(buffer, all.data() + offset, count);
    return 0;
  };
  bitnet_model *memory = nullptr, *from_source = nullptr;
  ASSERT_EQ(bitnet_model_open_memory(bytes.data(), bytes.size(), nullptr, &memory, nullptr),
            BITNET_OK);
  ASSERT_EQ(bitnet_model_open_source(&source, nullptr, &from_source, nullptr), BITNET_OK);
  const Model models[] = {open_model(), open_model(BITNET_MODEL_READ), Model(memory),
                          Model(from_source)};
  uint64_t fingerprint = 0;
  std::vector<float> expected;
  for (const Model& model : models) {
    bitnet_model_info info = BITNET_MODEL_INFO_INIT;
    ASSERT_EQ(bitnet_model_get_info(model.get(), &info, nullptr), BITNET_OK);
    if (fingerprint == 0) fingerprint = info.fingerprint;
    EXPECT_EQ(info.fingerprint, fingerprint);
    bitnet_ctx* raw = nullptr;
    ASSERT_EQ(bitnet_ctx_open(model.get(), nullptr, &raw, nullptr), BITNET_OK);
    const Ctx ctx(raw);
    const bitnet_batch_entry entry = {7, 0, 0, BITNET_WANT_LOGITS};
    ASSERT_EQ(bitnet_ctx_decode(ctx.get(), &entry, 1, nullptr), BITNET_OK);
    const float* logits = nullptr;
    ASSERT_EQ(bitnet_ctx_logits(ctx.get(), 0, &logits, nullptr), BITNET_OK);
    const std::vector<float> row(logits, logits + info.vocab_size);
    if (expected.empty()) expected = row;
    EXPECT_EQ(row, expected);
  }
  source.read_at = [](void*, uint64_t, void*, uint64_t) { return 5; };
  EXPECT_REFUSED(bitnet_model_open_source(&source, nullptr, &memory, &why), BITNET_E_IO, "5");
}

TEST(Calls, AClosedModelLivesAsLongAsItsContexts) {
  bitnet_ctx* raw = nullptr;
  {
    const Model model = open_model();
    ASSERT_EQ(bitnet_ctx_open(model.get(), nullptr, &raw, nullptr), BITNET_OK);
  }
  const Ctx ctx(raw);
  const bitnet_batch_entry entry = {1, 0, 0, BITNET_WANT_LOGITS};
  EXPECT_EQ(bitnet_ctx_decode(ctx.get(), &entry, 1, nullptr), BITNET_OK);
}

TEST(Calls, ADescribedModelHasEverythingButWeights) {
  const Model model = open_model(BITNET_MODEL_DESCRIBE);
  bitnet_ctx* ctx = nullptr;
  EXPECT_REFUSED(bitnet_ctx_open(model.get(), nullptr, &ctx, &why), BITNET_E_STATE, "DESCRIBE");
}

TEST(Calls, AnEstimateIsWhatOpeningThenTakes) {
  for (const auto& [weights, head] : {std::pair{BITNET_WEIGHTS_AUTO, BITNET_HEAD_AUTO},
                                      std::pair{BITNET_WEIGHTS_BASE3, BITNET_HEAD_SCREENED},
                                      std::pair{BITNET_WEIGHTS_FILE, BITNET_HEAD_FULL}}) {
    const Model described = open_model(BITNET_MODEL_DESCRIBE, weights, head);
    const Model whole = open_model(0, weights, head);
    bitnet_estimate estimate = BITNET_ESTIMATE_INIT;
    ASSERT_EQ(bitnet_model_estimate(described.get(), nullptr, &estimate, nullptr), BITNET_OK);
    bitnet_model_info info = BITNET_MODEL_INFO_INIT;
    ASSERT_EQ(bitnet_model_get_info(whole.get(), &info, nullptr), BITNET_OK);
    EXPECT_EQ(estimate.weight_bytes, info.weight_bytes);
    bitnet_ctx* ctx = nullptr;
    ASSERT_EQ(bitnet_ctx_open(whole.get(), nullptr, &ctx, nullptr), BITNET_OK);
    const Ctx opened(ctx);
    bitnet_ctx_stats stats = BITNET_CTX_STATS_INIT;
    ASSERT_EQ(bitnet_ctx_get_stats(ctx, &stats, nullptr), BITNET_OK);
    EXPECT_EQ(estimate.cache_bytes, stats.cache_bytes);
    EXPECT_EQ(estimate.work_bytes, stats.work_bytes);
    // A first token that is sampled asks for no more.
    const bitnet_batch_entry entry = {1, 0, 0, BITNET_WANT_SAMPLE};
    ASSERT_EQ(bitnet_ctx_decode(ctx, &entry, 1, nullptr), BITNET_OK);
    ASSERT_EQ(bitnet_ctx_get_stats(ctx, &stats, nullptr), BITNET_OK);
    EXPECT_EQ(estimate.work_bytes, stats.work_bytes);
  }
}

TEST(Calls, BuffersAreQueriedThenFilled) {
  const Model model = open_model();
  const char text[] = "Hello, world";
  uint64_t count = 99;
  EXPECT_REFUSED(bitnet_tokenize(model.get(), text, 12, 0, nullptr, 0, &count, &why),
                 BITNET_E_BUFFER, "needed are");
  ASSERT_GT(count, 0u);
  ASSERT_LE(count, 14u);
  std::vector<int32_t> tokens(count + 1, -7);
  EXPECT_EQ(bitnet_tokenize(model.get(), text, 12, 0, tokens.data(), count - 1, &count, nullptr),
            BITNET_E_BUFFER);
  EXPECT_EQ(tokens[0], -7) << "nothing is written to a buffer that is too small";
  ASSERT_EQ(bitnet_tokenize(model.get(), text, 12, 0, tokens.data(), count, &count, nullptr),
            BITNET_OK);
  EXPECT_EQ(tokens[count], -7);
  std::string back(12, '?');
  uint64_t bytes = 0;
  ASSERT_EQ(
      bitnet_detokenize(model.get(), tokens.data(), count, 0, back.data(), 12, &bytes, nullptr),
      BITNET_OK);
  EXPECT_EQ(back, text);
  ASSERT_EQ(bitnet_tokenize(model.get(), nullptr, 0, 0, nullptr, 0, &count, nullptr), BITNET_OK);
  EXPECT_EQ(count, 0u);
  EXPECT_REFUSED(bitnet_tokenize(model.get(), "a", 1, 1u << 9, nullptr, 0, &count, &why),
                 BITNET_E_ARGUMENT, "flags");
}

TEST(Calls, MetadataAndTensorsAreThere) {
  const Model model = open_model(BITNET_MODEL_DESCRIBE);
  const uint64_t keys = bitnet_model_metadata_count(model.get());
  ASSERT_GT(keys, 5u);
  EXPECT_EQ(bitnet_model_metadata_key(model.get(), keys), nullptr);
  for (uint64_t i = 0; i < keys; ++i) {
    const char* key = bitnet_model_metadata_key(model.get(), i);
    ASSERT_NE(key, nullptr);
    uint64_t bytes = 0;
    ASSERT_EQ(bitnet_model_metadata_text(model.get(), key, 3, nullptr, 0, &bytes, nullptr),
              BITNET_E_BUFFER);
    std::string text(bytes, '?');
    ASSERT_EQ(bitnet_model_metadata_text(model.get(), key, 3, text.data(), bytes, &bytes, nullptr),
              BITNET_OK);
    EXPECT_EQ(text.size(), bytes) << key;
  }
  char text[64];
  uint64_t bytes = 0;
  ASSERT_EQ(bitnet_model_metadata_text(model.get(), "tokenizer.ggml.token_type", 2, text,
                                       sizeof text, &bytes, nullptr),
            BITNET_OK);
  EXPECT_EQ(std::string(text, bytes).substr(0, 1), "[");
  EXPECT_NE(std::string(text, bytes).find("\"...\"]"), std::string::npos);
  EXPECT_REFUSED(
      bitnet_model_metadata_text(model.get(), "no.such.key", 1, text, sizeof text, &bytes, &why),
      BITNET_E_NOT_FOUND, "no.such.key");
  const uint64_t tensors = bitnet_model_tensor_count(model.get());
  uint64_t total = 0;
  for (uint64_t i = 0; i < tensors; ++i) {
    bitnet_tensor_info info = BITNET_TENSOR_INFO_INIT;
    ASSERT_EQ(bitnet_model_tensor(model.get(), i, &info, nullptr), BITNET_OK);
    EXPECT_GT(std::strlen(info.name), 0u);
    EXPECT_GE(info.dimensions, 1u);
    total += info.bytes;
  }
  EXPECT_LT(total, model_bytes().size());
  EXPECT_GT(total, model_bytes().size() / 2);
  bitnet_tensor_info info = BITNET_TENSOR_INFO_INIT;
  EXPECT_REFUSED(bitnet_model_tensor(model.get(), tensors, &info, &why), BITNET_E_NOT_FOUND,
                 "tensor");
}

TEST(Calls, ResultsNobodyAskedForAreAStateError) {
  const Model model = open_model();
  bitnet_ctx* raw = nullptr;
  ASSERT_EQ(bitnet_ctx_open(model.get(), nullptr, &raw, nullptr), BITNET_OK);
  const Ctx ctx(raw);
  const float* row = nullptr;
  EXPECT_REFUSED(bitnet_ctx_logits(raw, 0, &row, &why), BITNET_E_STATE, "0 entries");
  const bitnet_batch_entry entries[] = {{1, 0, 0, 0}, {2, 1, 0, BITNET_WANT_EMBEDDING}};
  ASSERT_EQ(bitnet_ctx_decode(raw, entries, 2, nullptr), BITNET_OK);
  EXPECT_REFUSED(bitnet_ctx_logits(raw, 0, &row, &why), BITNET_E_STATE, "did not want logits");
  EXPECT_REFUSED(bitnet_ctx_logits(raw, 2, &row, &why), BITNET_E_STATE, "2 entries");
  EXPECT_REFUSED(bitnet_ctx_embedding(raw, 0, &row, &why), BITNET_E_STATE, "embedding");
  ASSERT_EQ(bitnet_ctx_embedding(raw, 1, &row, nullptr), BITNET_OK);
  bitnet_model_info info = BITNET_MODEL_INFO_INIT;
  ASSERT_EQ(bitnet_model_get_info(model.get(), &info, nullptr), BITNET_OK);
  double squares = 0;
  for (int32_t i = 0; i < info.width; ++i) squares += static_cast<double>(row[i]) * row[i];
  EXPECT_GT(squares, 0) << "an embedding of zeros";
  EXPECT_REFUSED(bitnet_ctx_sequence_fork(raw, 0, 16, &why), BITNET_E_ARGUMENT, "sequence 16");
  EXPECT_REFUSED(bitnet_ctx_sequence_truncate(raw, -1, 0, &why), BITNET_E_ARGUMENT, "sequence -1");
  EXPECT_REFUSED(bitnet_ctx_decode(raw, entries, 0, &why), BITNET_E_ARGUMENT, "count is 0");
}

TEST(Calls, ContextOptionsOutOfRange) {
  const Model model = open_model();
  bitnet_ctx* ctx = nullptr;
  const auto refused = [&](auto&& change, const char* text) {
    bitnet_ctx_options options = BITNET_CTX_OPTIONS_INIT;
    change(options);
    EXPECT_REFUSED(bitnet_ctx_open(model.get(), &options, &ctx, &why), BITNET_E_ARGUMENT, text);
  };
  using O = bitnet_ctx_options;
  refused([](O& o) { o.flags = 1; }, "flags");
  refused([](O& o) { o.positions = (1u << 24) + 1; }, "positions");
  refused([](O& o) { o.sequences = 1025; }, "sequences");
  refused([](O& o) { o.batch = 4097; }, "batch");
  refused([](O& o) { o.threads = -3; }, "threads");
}

TEST(Calls, ReceiptsCountWhatWasDone) {
  const Model model = open_model();
  bitnet_ctx* raw = nullptr;
  ASSERT_EQ(bitnet_ctx_open(model.get(), nullptr, &raw, nullptr), BITNET_OK);
  const Ctx ctx(raw);
  const auto receipt = [&] {
    uint64_t bytes = 0;
    EXPECT_EQ(bitnet_ctx_receipt(raw, nullptr, 0, &bytes, nullptr), BITNET_E_BUFFER);
    std::string json(bytes + 64, ' ');
    EXPECT_EQ(bitnet_ctx_receipt(raw, json.data(), json.size(), &bytes, nullptr), BITNET_OK);
    return json.substr(0, bytes);
  };
  EXPECT_NE(receipt().find("\"ternary_matmul\":0"), std::string::npos) << receipt();
  const bitnet_batch_entry entries[] = {{1, 0, 0, 0}, {2, 1, 0, BITNET_WANT_LOGITS}};
  ASSERT_EQ(bitnet_ctx_decode(raw, entries, 2, nullptr), BITNET_OK);
  const std::string after = receipt();
  EXPECT_NE(after.find("\"schema\":\"bitnet-receipt-1\""), std::string::npos);
  EXPECT_NE(after.find("\"tokens\":2"), std::string::npos) << after;
  EXPECT_NE(after.find("\"head_rows\":1"), std::string::npos) << after;
  EXPECT_EQ(after.find("\"ternary_matmul\":0"), std::string::npos) << "no kernel ran: " << after;
}

TEST(Calls, SamplersPickFromAnyLogits) {
  bitnet_sampler* raw = nullptr;
  ASSERT_EQ(bitnet_sampler_open(nullptr, &raw, nullptr), BITNET_OK);
  const Sampler sampler(raw);
  const float logits[] = {1, 5, 5, -2};
  int32_t token = -1;
  ASSERT_EQ(bitnet_sample(raw, logits, 4, &token, nullptr), BITNET_OK);
  EXPECT_EQ(token, 1) << "the lowest of equal ones";
  const float broken[] = {1, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_REFUSED(bitnet_sample(raw, broken, 2, &token, &why), BITNET_E_ARGUMENT, "1");
  EXPECT_REFUSED(bitnet_sample(raw, logits, 0, &token, &why), BITNET_E_ARGUMENT, "count");
  const bitnet_logit_bias ban[] = {{1, -INFINITY}};
  bitnet_sampler_options options = BITNET_SAMPLER_OPTIONS_INIT;
  options.bias = ban;
  options.bias_count = 1;
  bitnet_sampler* banning = nullptr;
  ASSERT_EQ(bitnet_sampler_open(&options, &banning, nullptr), BITNET_OK);
  const Sampler owned(banning);
  ASSERT_EQ(bitnet_sample(banning, logits, 4, &token, nullptr), BITNET_OK);
  EXPECT_EQ(token, 2);
}

// The model's bytes with something in them replaced.
Model open_patched(std::vector<char>& bytes) {
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_model* model = nullptr;
  EXPECT_EQ(bitnet_model_open_memory(bytes.data(), bytes.size(), nullptr, &model, &why), BITNET_OK)
      << why.message;
  return Model(model);
}

TEST(Calls, AModelThatComputesNoNumbersIsADamagedFile) {
  std::vector<char> bytes = model_bytes();
  const Model model = open_model(BITNET_MODEL_DESCRIBE);
  for (uint64_t i = 0; i < bitnet_model_tensor_count(model.get()); ++i) {
    bitnet_tensor_info info = BITNET_TENSOR_INFO_INIT;
    ASSERT_EQ(bitnet_model_tensor(model.get(), i, &info, nullptr), BITNET_OK);
    if (std::string(info.name) != "output_norm.weight") continue;
    for (uint64_t at = 0; at < info.bytes; at += 4) {
      const float huge = at % 8 ? 3e38f : -3e38f;  // finite, its products are not
      std::memcpy(bytes.data() + info.offset + at, &huge, 4);
    }
  }
  const Model patched = open_patched(bytes);
  bitnet_ctx* raw = nullptr;
  ASSERT_EQ(bitnet_ctx_open(patched.get(), nullptr, &raw, nullptr), BITNET_OK);
  const Ctx ctx(raw);
  bitnet_generate_options options = BITNET_GENERATE_OPTIONS_INIT;
  options.prompt = "a";
  bitnet_generator* generator = nullptr;
  ASSERT_EQ(bitnet_generate_open(raw, &options, &generator, nullptr), BITNET_OK);
  const char* piece = nullptr;
  uint64_t n = 0;
  EXPECT_REFUSED(bitnet_generate_next(generator, &piece, &n, &why), BITNET_E_FORMAT, "numbers");
  bitnet_generate_close(generator);
}

TEST(Calls, TextsOfAFileAreUtf8WhateverTheyWere) {
  std::vector<char> bytes = model_bytes();
  const std::string name = "general.name";
  const auto at = std::search(bytes.begin(), bytes.end(), name.begin(), name.end());
  ASSERT_NE(at, bytes.end());
  char* value = &*at + name.size() + 4 + 8;  // after the type and the length
  value[0] = '\xff';
  value[1] = '\xfe';
  const Model model = open_patched(bytes);
  bitnet_model_info info = BITNET_MODEL_INFO_INIT;
  ASSERT_EQ(bitnet_model_get_info(model.get(), &info, nullptr), BITNET_OK);
  EXPECT_EQ(std::string(info.name).substr(0, 6), "\xEF\xBF\xBD\xEF\xBF\xBD");
  char text[256];
  uint64_t n = 0;
  ASSERT_EQ(
      bitnet_model_metadata_text(model.get(), "general.name", 1, text, sizeof text, &n, nullptr),
      BITNET_OK);
  EXPECT_EQ(std::string(text, n), info.name);
}

TEST(Calls, SentencesAreWholeUtf8) {
  std::string key(600, 'k');
  for (size_t i = 0; i + 1 < key.size(); i += 2) key.replace(i, 2, "\xC3\xA9");
  const Model model = open_model(BITNET_MODEL_DESCRIBE);
  for (size_t shift = 0; shift < 2; ++shift) {
    bitnet_error why = BITNET_ERROR_INIT;
    uint64_t n = 0;
    const std::string asked = std::string(shift, 'a') + key;
    EXPECT_EQ(bitnet_model_metadata_text(model.get(), asked.c_str(), 1, nullptr, 0, &n, &why),
              BITNET_E_NOT_FOUND);
    const std::string message = why.message;
    EXPECT_GT(message.size(), 400u);
    EXPECT_EQ(message.back(), '\xA9') << "cut inside a character";
  }
}

TEST(Calls, NumbersDoNotFollowTheLocale) {
  const Model model = open_model(BITNET_MODEL_DESCRIBE);
  const char* key = "bitnet-b1.58.attention.layer_norm_rms_epsilon";
  char plain[64], other[64];
  uint64_t plain_bytes = 0, other_bytes = 0;
  ASSERT_EQ(bitnet_model_metadata_text(model.get(), key, 1, plain, 64, &plain_bytes, nullptr),
            BITNET_OK);
  const char* names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
  const bool changed = std::any_of(std::begin(names), std::end(names), [](const char* name) {
    return std::setlocale(LC_ALL, name) != nullptr;
  });
  if (!changed) std::printf("no locale with a decimal comma is installed; compared with itself\n");
  ASSERT_EQ(bitnet_model_metadata_text(model.get(), key, 1, other, 64, &other_bytes, nullptr),
            BITNET_OK);
  std::setlocale(LC_ALL, "C");
  EXPECT_EQ(std::string(plain, plain_bytes), std::string(other, other_bytes));
  EXPECT_EQ(std::string(plain, plain_bytes), "1e-05");
}

TEST(Calls, ASavedSequenceFitsOnlyTheSameWayOfComputing) {
  const Model model = open_model();
  bitnet_model_options options = BITNET_MODEL_OPTIONS_INIT;
  options.activation = BITNET_ACTIVATION_SILU;
  bitnet_model* raw_other = nullptr;
  ASSERT_EQ(bitnet_model_open(model_path().c_str(), &options, &raw_other, nullptr), BITNET_OK);
  const Model other(raw_other);
  bitnet_ctx *from = nullptr, *to = nullptr;
  ASSERT_EQ(bitnet_ctx_open(model.get(), nullptr, &from, nullptr), BITNET_OK);
  ASSERT_EQ(bitnet_ctx_open(other.get(), nullptr, &to, nullptr), BITNET_OK);
  const Ctx owned_from(from), owned_to(to);
  const bitnet_batch_entry entry = {1, 0, 0, 0};
  ASSERT_EQ(bitnet_ctx_decode(from, &entry, 1, nullptr), BITNET_OK);
  uint64_t bytes = 0;
  (void)bitnet_ctx_save(from, 0, nullptr, 0, &bytes, nullptr);
  std::vector<char> saved(bytes);
  ASSERT_EQ(bitnet_ctx_save(from, 0, saved.data(), bytes, &bytes, nullptr), BITNET_OK);
  EXPECT_REFUSED(bitnet_ctx_load(to, 0, saved.data(), bytes, &why), BITNET_E_UNSUPPORTED,
                 "other options");
}

TEST(Calls, AnEstimateCountsACopiedFile) {
  bitnet_estimate mapped = BITNET_ESTIMATE_INIT, copied = BITNET_ESTIMATE_INIT;
  ASSERT_EQ(
      bitnet_model_estimate(open_model(BITNET_MODEL_DESCRIBE).get(), nullptr, &mapped, nullptr),
      BITNET_OK);
  ASSERT_EQ(bitnet_model_estimate(open_model(BITNET_MODEL_DESCRIBE | BITNET_MODEL_READ).get(),
                                  nullptr, &copied, nullptr),
            BITNET_OK);
  EXPECT_GT(copied.total_bytes, mapped.total_bytes);
  EXPECT_EQ(copied.total_bytes,
            copied.file_bytes + copied.weight_bytes + copied.cache_bytes + copied.work_bytes);
}

TEST(Calls, VersionsAndNames) {
  EXPECT_EQ(bitnet_version(),
            BITNET_VERSION_MAJOR << 16 | BITNET_VERSION_MINOR << 8 | BITNET_VERSION_PATCH);
  EXPECT_EQ(bitnet_abi_version(), unsigned{BITNET_ABI_VERSION});
  EXPECT_EQ(std::string(bitnet_version_string()), std::to_string(BITNET_VERSION_MAJOR) + "." +
                                                      std::to_string(BITNET_VERSION_MINOR) + "." +
                                                      std::to_string(BITNET_VERSION_PATCH));
  EXPECT_STREQ(bitnet_status_name(BITNET_E_FORMAT), "BITNET_E_FORMAT");
  EXPECT_STREQ(bitnet_status_name(BITNET_E_INTERNAL), "BITNET_E_INTERNAL");
  EXPECT_GE(bitnet_isa_count(), 1);
  EXPECT_STREQ(bitnet_isa_name(0), "reference");
  EXPECT_EQ(bitnet_isa_name(-1), nullptr);
  EXPECT_EQ(bitnet_isa_name(bitnet_isa_count()), nullptr);
}

}  // namespace
