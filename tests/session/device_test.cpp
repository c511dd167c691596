// Whatever lives between calls is the same with a device: picks, replies with and without drafts,
// saved sequences both ways. Finds: a pick from too few logits, a page saved from the wrong place,
// a failed loading that shows.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

#include "device/run.h"
#include "session/generator.h"
#include "session/pick.h"
#include "session/saved_sequence.h"
#include "support/heads.h"

namespace bitnet {
namespace {

using test::Call;
using test::calls_of;
using test::context_options;
using test::double_controls;
using test::kHeads;
using test::models;
using test::open_context;
using test::TwoWays;

using Bytes = std::vector<uint8_t>;
constexpr uint64_t kKey = 0x5eed;

std::vector<bitnet_batch_entry> prompt_of(int32_t sequence, int32_t count, int32_t first = 0) {
  std::vector<bitnet_batch_entry> entries;
  for (int32_t p = first; p < first + count; ++p) {
    entries.push_back({(p * 37 + sequence) % 200, p, sequence, 0});
  }
  return entries;
}

Result<Bytes> save(const TwoWays& two, const Context& context, int64_t sequence) {
  uint64_t bytes = 0;
  const HyperParameters& h = two.model().hyper;
  EXPECT_EQ(save_sequence(context.cache(), h, kKey, sequence, nullptr, 0, &bytes).code(),
            BITNET_E_BUFFER);
  Bytes saved(bytes);
  BITNET_TRY(save_sequence(context.cache(), h, kKey, sequence, saved.data(), saved.size(), &bytes));
  return saved;
}

Status load(const TwoWays& two, Context& context, int64_t sequence, const Bytes& saved) {
  return load_sequence(context.cache(), two.model().hyper, kKey, sequence, saved);
}

std::vector<float> next_logits(Context& context, int32_t sequence) {
  const int32_t position = static_cast<int32_t>(context.cache().length(sequence));
  const bitnet_batch_entry entry = {5, position, sequence, BITNET_WANT_LOGITS};
  EXPECT_TRUE(context.decode({&entry, 1}).ok());
  const float* logits = context.read_out().logits(0);
  return {logits, logits + context.weights().model.hyper.vocab};
}

TEST(SessionOnDevice, SequencesSavedHereAreLoadedThere) {
  for (const std::string& path : models()) {
    const TwoWays two(path.c_str());
    for (int32_t length : {1, 16, 63, 64, 65, 130}) {
      auto cpu = open_context(two.cpu(), context_options());
      auto device = open_context(two.on_double(), context_options());
      ASSERT_TRUE(cpu->decode(prompt_of(0, length)).ok());
      ASSERT_TRUE(device->decode(prompt_of(0, length)).ok());
      const Result<Bytes> of_cpu = save(two, *cpu, 0), of_device = save(two, *device, 0);
      ASSERT_TRUE(of_cpu.ok() && of_device.ok());
      EXPECT_EQ(of_cpu.value(), of_device.value()) << length << " tokens";
      ASSERT_TRUE(load(two, *device, 3, of_cpu.value()).ok());
      ASSERT_TRUE(load(two, *cpu, 3, of_device.value()).ok());
      const std::vector<float> expected = next_logits(*cpu, 0);
      EXPECT_EQ(next_logits(*device, 3), expected);
      EXPECT_EQ(next_logits(*cpu, 3), expected);
    }
  }
  EXPECT_EQ(double_controls().broken, nullptr) << double_controls().broken;
}

TEST(SessionOnDevice, AFailedLoadingLeavesTheSequence) {
  const TwoWays two(models()[0].c_str());
  auto cpu = open_context(two.cpu(), context_options());
  ASSERT_TRUE(cpu->decode(prompt_of(0, 150)).ok());
  const Result<Bytes> saved = save(two, *cpu, 0);
  ASSERT_TRUE(saved.ok());
  for (int32_t after : {0, 1, 2}) {
    auto device = open_context(two.on_double(), context_options());
    ASSERT_TRUE(device->decode(prompt_of(1, 70)).ok());
    const int64_t free = device->cache().pages_free();
    double_controls().failing = Call::kWritePage;
    double_controls().failing_after = after;
    EXPECT_EQ(load(two, *device, 1, saved.value()).code(), BITNET_E_DEVICE);
    EXPECT_EQ(device->cache().length(1), 70);
    EXPECT_EQ(device->cache().pages_free(), free);
    EXPECT_EQ(device->cache().tokens(1)[69], prompt_of(1, 70)[69].token);
    EXPECT_EQ(load(two, *device, 1, saved.value()).code(), BITNET_E_DEVICE) << "for good";
    EXPECT_EQ(save(two, *device, 1).status().code(), BITNET_E_DEVICE);
  }
  auto device = open_context(two.on_double(), context_options());
  ASSERT_TRUE(device->decode(prompt_of(1, 70)).ok());
  double_controls().failing = Call::kReadPage;
  double_controls().failing_after = 1;
  uint64_t bytes = 7;
  Bytes buffer(1 << 20);
  EXPECT_EQ(save_sequence(device->cache(), two.model().hyper, kKey, 1, buffer.data(), buffer.size(),
                          &bytes)
                .code(),
            BITNET_E_DEVICE);
  EXPECT_EQ(bytes, 7u);
}

SamplerOptions random_sampling(test::Random& random, std::vector<LogitBias>& bias) {
  SamplerOptions o;
  o.temperature = random.one_of({0.0f, 0.0f, 0.7f, 1.5f, 100.0f});
  o.top_k = random.one_of({0, 0, 1, 40, 260});
  o.top_p = random.one_of({0.0f, 0.0f, 0.9f});
  o.min_p = random.one_of({0.0f, 0.1f});
  if (random.one_in(3)) o.repeat_penalty = random.one_of({1.0f, 1.3f});
  o.seed = random.bits();
  if (random.one_in(6)) bias.push_back({static_cast<int32_t>(random.up_to(2)), 3.0f});
  o.bias = bias;
  return o;
}

// Picks after an entry, by one sampler each.
class Pair {
 public:
  explicit Pair(const SamplerOptions& options)
      : cpu_(Sampler::open(options)), device_(Sampler::open(options)) {
    EXPECT_TRUE(cpu_.ok() && device_.ok());
  }
  bool selects(int64_t vocabulary) const {
    return device_.value()->selection(vocabulary).has_value();
  }
  void accept(int32_t token) {
    EXPECT_TRUE(cpu_.value()->accept(token).ok() && device_.value()->accept(token).ok());
  }
  // The CPU's, and in the same words if it fails.
  Status expect_same_pick(Context& cpu, Context& device, uint64_t entry, int64_t vocabulary) {
    int32_t expected = -1, found = -1;
    const Status a = pick_token(cpu.read_out(), entry, vocabulary, *cpu_.value(), &expected);
    const Status b = pick_token(device.read_out(), entry, vocabulary, *device_.value(), &found);
    EXPECT_EQ(expected, found);
    EXPECT_EQ(a.code(), b.code());
    EXPECT_STREQ(a.text(), b.text());
    return a;
  }

 private:
  Result<Ptr<Sampler>> cpu_, device_;
};

// most: that the device lists.
void expect_same_picks(bitnet_head head, int32_t most) {
  const TwoWays two(models()[0].c_str(), head);
  auto cpu = open_context(two.cpu(), context_options());
  auto device = open_context(two.on_double(), context_options());
  double_controls().selected = most;
  test::Random random(7);
  const int64_t vocabulary = two.model().hyper.vocab - 3;
  uint64_t selections = 0, copies = 0;
  for (int32_t step = 0; step < 250; ++step) {
    const bitnet_batch_entry entry = {static_cast<int32_t>(random.up_to(200)), step, 0,
                                      BITNET_WANT_SAMPLE};
    ASSERT_TRUE(cpu->decode({&entry, 1}).ok() && device->decode({&entry, 1}).ok());
    std::vector<LogitBias> bias;
    const SamplerOptions options = random_sampling(random, bias);
    Pair pair(options);
    if (random.one_in(2)) pair.accept(static_cast<int32_t>(random.up_to(200)));
    const bool selects = pair.selects(vocabulary);
    const bool too_many = options.temperature > 0 && options.top_k > most;
    ASSERT_TRUE(pair.expect_same_pick(*cpu, *device, 0, vocabulary).ok());
    ASSERT_FALSE(testing::Test::HasFailure()) << "step " << step;
    selections += selects;
    copies += !selects || too_many;
  }
  EXPECT_EQ(calls_of(double_controls(), Call::kSelect), selections);
  EXPECT_EQ(calls_of(double_controls(), Call::kReadLogits), copies);
  EXPECT_GT(selections, 100u);
  EXPECT_GT(copies, 50u);
  const ReadOut::Counts& counts = device->read_out().counts();
  const bool screened = head == BITNET_HEAD_SCREENED;
  EXPECT_EQ(counts.screened, screened ? 250u : 0u);
  EXPECT_EQ(counts.full, screened ? copies : 0u);
  EXPECT_EQ(counts.exact >= selections / 2, screened);
  EXPECT_EQ(double_controls().broken, nullptr) << double_controls().broken;
}

TEST(SessionOnDevice, PicksAreThoseOfTheCpu) {
  for (bitnet_head head : kHeads) {
    for (int32_t most : {kDeviceSelected, 20}) expect_same_picks(head, most);
  }
}

// A copy of a model whose head, which is its embeddings, has infinities and numbers that are none:
// the logits of tokens 0 and 1 are infinite, those of 90 and 150 NaN.
class BrokenModel {
 public:
  explicit BrokenModel(const std::string& from) {
    std::string folder = (std::filesystem::temp_directory_path() / "bitnet-broken-XXXXXX").string();
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    std::filesystem::copy_file(from, path());
    auto mapping = Mapping::open(from.c_str());
    EXPECT_TRUE(mapping.ok());
    const auto gguf = Gguf::parse(mapping.value().bytes());
    EXPECT_TRUE(gguf.ok());
    const auto model = ModelDescription::open(gguf.value(), {});
    EXPECT_TRUE(model.ok() && model.value()->tied_head);
    const DenseMatrix& head = model.value()->head;
    EXPECT_EQ(head.type, DenseType::kF16);
    const int64_t start = head.data - mapping.value().bytes().data();
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    const auto put = [&](int64_t row, uint16_t half) {
      file.seekp(start + row * head.row_bytes);
      file.write(reinterpret_cast<const char*>(&half), sizeof half);
    };
    for (int64_t row : {0, 1}) put(row, 0x7c00);
    for (int64_t row : {90, 150}) put(row, 0x7e00);
    EXPECT_TRUE(file.good());
  }
  ~BrokenModel() { std::filesystem::remove_all(folder_); }
  BrokenModel(const BrokenModel&) = delete;
  BrokenModel& operator=(const BrokenModel&) = delete;

  std::string path() const { return (folder_ / "model.gguf").string(); }

 private:
  std::filesystem::path folder_;
};

TEST(SessionOnDevice, PicksFailInTheWordsOfTheCpu) {
  const BrokenModel broken(models()[0]);
  for (bitnet_head head : kHeads) {
    const TwoWays two(broken.path().c_str(), head);
    auto cpu = open_context(two.cpu(), context_options());
    auto device = open_context(two.on_double(), context_options());
    test::Random random(11);
    int nothing = 0, infinite = 0, none = 0;
    for (int32_t step = 0; step < 200; ++step) {
      const bitnet_batch_entry entry = {static_cast<int32_t>(random.from(2, 80)), step, 0,
                                        BITNET_WANT_SAMPLE};
      ASSERT_TRUE(cpu->decode({&entry, 1}).ok() && device->decode({&entry, 1}).ok());
      std::vector<LogitBias> bias;
      Pair pair(random_sampling(random, bias));
      const int64_t vocabulary = random.one_of<int64_t>({1, 2, 80, 140, 200});
      const Status picked = pair.expect_same_pick(*cpu, *device, 0, vocabulary);
      const std::string text = picked.text();
      none += text.find("token 90 is not a number") != std::string::npos;
      nothing += text.find("-infinity") != std::string::npos;
      infinite += picked.ok() && vocabulary <= 2;
    }
    EXPECT_GT(none, 30);
    EXPECT_GT(nothing, 10);
    EXPECT_GT(infinite, 10);
    EXPECT_EQ(double_controls().broken, nullptr) << double_controls().broken;
  }
}

TEST(SessionOnDevice, APickFailsAsTheDeviceDoes) {
  const TwoWays two(models()[0].c_str());
  for (Call call : {Call::kSelect, Call::kReadLogits}) {
    auto device = open_context(two.on_double(), context_options());
    const bitnet_batch_entry entry = {1, 0, 0, BITNET_WANT_SAMPLE};
    ASSERT_TRUE(device->decode({&entry, 1}).ok());
    SamplerOptions options;
    options.temperature = 1;
    options.top_p = call == Call::kSelect ? 0.0f : 0.9f;
    auto sampler = Sampler::open(options);
    double_controls().failing = call;
    int32_t token = -5;
    EXPECT_EQ(pick_token(device->read_out(), 0, 100, *sampler.value(), &token).code(),
              BITNET_E_DEVICE);
    EXPECT_EQ(device->cache().length(0), 1);
    EXPECT_EQ(device->decode({&entry, 1}).code(), BITNET_E_ARGUMENT) << "position 1 is next";
  }
}

std::vector<int32_t> reply(Context& context, const Tokenizer& tokenizer,
                           const SamplerOptions& sampling, int32_t drafts, uint64_t* drafted) {
  Generator::Options options;
  options.vocabulary = tokenizer.size();
  for (int32_t t : {5, 80, 33, 7, 120, 64, 9, 9, 31, 5, 80, 33}) options.prompt.push_back(t);
  options.max_tokens = 90;
  options.ignore_end = true;
  options.draft_tokens = drafts;
  options.sampling = sampling;
  auto generator = Generator::open(context, tokenizer, options);
  EXPECT_TRUE(generator.ok()) << generator.status().text();
  for (;;) {
    const auto piece = generator.value()->next();
    EXPECT_TRUE(piece.ok()) << piece.status().text();
    if (!piece.ok() || piece.value().empty()) break;
  }
  *drafted += generator.value()->info().drafted;
  const auto tokens = generator.value()->tokens();
  return {tokens.begin(), tokens.end()};
}

void expect_same_replies(bitnet_head head) {
  const TwoWays two(models()[0].c_str(), head);
  const auto tokenizer = Tokenizer::open(two.file(), {}, false);
  ASSERT_TRUE(tokenizer.ok());
  uint64_t drafted = 0, plain = 0;
  for (int kind = 0; kind < 3; ++kind) {
    SamplerOptions sampling;
    if (kind > 0) sampling.temperature = 0.3f;
    if (kind > 1) sampling.top_p = 0.9f;
    auto cpu = open_context(two.cpu(), context_options(256, 32));
    const std::vector<int32_t> expected = reply(*cpu, *tokenizer.value(), sampling, -1, &plain);
    EXPECT_EQ(expected.size(), 90u);
    for (int32_t drafts : {-1, 4, 31}) {
      auto device = open_context(two.on_double(), context_options(256, 32));
      EXPECT_EQ(reply(*device, *tokenizer.value(), sampling, drafts, &drafted), expected)
          << "sampling " << kind << ", drafts " << drafts;
    }
  }
  EXPECT_GT(drafted, 0u);
  EXPECT_EQ(plain, 0u);
  EXPECT_EQ(double_controls().broken, nullptr) << double_controls().broken;
}

TEST(SessionOnDevice, RepliesAreThoseOfTheCpuWithAndWithoutDrafts) {
  for (bitnet_head head : kHeads) expect_same_replies(head);
}

}  // namespace
}  // namespace bitnet
