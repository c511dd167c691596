// A context on a device gives the bits of one on the CPU, and what happens to a batch does not
// depend on where it was computed. Finds: a page of the wrong sequence, a row of the wrong entry, a
// failure of the device that is lost, that shows in a sequence, or that is forgotten.
#include <random>

#include "device/run.h"

namespace bitnet {
namespace {

using test::Call;
using test::calls_of;
using test::context_options;
using test::double_controls;
using test::models;
using test::open_context;
using test::same_floats;
using test::TwoWays;

using Entries = std::vector<bitnet_batch_entry>;

constexpr uint32_t kWants[] = {0,
                               0,
                               BITNET_WANT_LOGITS,
                               BITNET_WANT_EMBEDDING,
                               BITNET_WANT_SAMPLE,
                               BITNET_WANT_SAMPLE | BITNET_WANT_LOGITS | BITNET_WANT_EMBEDDING};

// What entry `i` of the last batch gave is the same, a sample compared by all of its logits.
void expect_same_results(const TwoWays& two, Context& cpu, Context& device,
                         const Entries& entries) {
  const HyperParameters& h = two.model().hyper;
  ASSERT_EQ(cpu.read_out().entries(), device.read_out().entries());
  for (uint64_t i = 0; i < entries.size(); ++i) {
    const uint32_t want = entries[i].want;
    ReadOut& c = cpu.read_out();
    ReadOut& d = device.read_out();
    ASSERT_TRUE(same_floats(c.embedding(i), d.embedding(i), h.width)) << "entry " << i;
    if (want & BITNET_WANT_LOGITS) {
      ASSERT_TRUE(same_floats(c.logits(i), d.logits(i), h.vocab)) << "entry " << i;
      EXPECT_FALSE(d.stayed_on_device(i));
    } else if (want & BITNET_WANT_SAMPLE) {
      ASSERT_TRUE(d.stayed_on_device(i)) << "entry " << i;
      const auto logits = d.device_logits(i);
      ASSERT_TRUE(logits.ok()) << logits.status().text();
      ASSERT_TRUE(same_floats(c.logits(i), logits.value(), h.vocab)) << "entry " << i;
      const auto largest = d.largest(i, h.vocab);
      ASSERT_TRUE(largest.ok());
      const float* all = c.logits(i);
      ASSERT_EQ(largest.value(), std::max_element(all, all + h.vocab) - all);
    } else {
      EXPECT_FALSE(d.logits(i) || d.stayed_on_device(i));
    }
  }
}

// Some entries that fit both caches, sequences mixed.
Entries random_entries(std::mt19937& random, const TwoWays& two, const Context& context) {
  Entries entries;
  std::vector<int64_t> next;
  for (int64_t s = 0; s < context.cache().sequences(); ++s)
    next.push_back(context.cache().length(s));
  const size_t count = 1 + random() % 30;
  for (size_t i = 0; i < count; ++i) {
    const size_t s = random() % next.size();
    if (next[s] >= two.model().hyper.context) continue;
    entries.push_back(
        {static_cast<int32_t>(random() % static_cast<uint32_t>(two.model().hyper.vocab)),
         static_cast<int32_t>(next[s]++), static_cast<int32_t>(s),
         kWants[random() % std::size(kWants)]});
  }
  return entries;
}

void expect_same_sequences(const Context& a, const Context& b) {
  for (int64_t s = 0; s < a.cache().sequences(); ++s) {
    const auto x = a.cache().tokens(s), y = b.cache().tokens(s);
    ASSERT_TRUE(std::equal(x.begin(), x.end(), y.begin(), y.end())) << "sequence " << s;
  }
  ASSERT_EQ(a.cache().pages_free(), b.cache().pages_free());
}

TEST(OnDevice, BatchesForksAndTruncationsGiveTheBitsOfTheCpu) {
  for (const std::string& path : models()) {
    const TwoWays two(path.c_str());
    for (uint32_t seed = 0; seed < 6; ++seed) {
      std::mt19937 random(seed);
      auto cpu = open_context(two.cpu(), context_options());
      auto device = open_context(two.on_double(), context_options());
      for (int step = 0; step < 40; ++step) {
        const int64_t s = random() % 4, to = random() % 4;
        switch (random() % 6) {
          case 0:
            cpu->cache().fork(s, to);
            device->cache().fork(s, to);
            break;
          case 1: {
            const int64_t keep = random() % (cpu->cache().length(s) + 1);
            cpu->cache().truncate(s, keep);
            device->cache().truncate(s, keep);
            break;
          }
          default: {
            const Entries entries = random_entries(random, two, *cpu);
            if (entries.empty()) break;
            const Status a = cpu->decode(entries), b = device->decode(entries);
            ASSERT_EQ(a.code(), b.code()) << b.text();
            ASSERT_EQ(std::string(a.text()), b.text());
            if (a.ok()) expect_same_results(two, *cpu, *device, entries);
          }
        }
        expect_same_sequences(*cpu, *device);
        if (HasFatalFailure()) FAIL() << path << ", seed " << seed << ", step " << step;
      }
      EXPECT_EQ(cpu->stats().token_hash, device->stats().token_hash);
      EXPECT_EQ(cpu->stats().tokens, device->stats().tokens);
      EXPECT_EQ(cpu->read_out().counts().rows, device->read_out().counts().rows);
      EXPECT_EQ(double_controls().broken, nullptr) << double_controls().broken;
      EXPECT_LE(double_controls().largest_batch, 7);
      EXPECT_GT(calls_of(double_controls(), Call::kCopyPage), 0u) << "forks were written to";
    }
  }
  EXPECT_EQ(double_controls().live_contexts, 0);
  EXPECT_EQ(double_controls().live_models, 0);
}

TEST(OnDevice, ForksThatListMorePagesThanThereAreAreComputed) {
  const TwoWays two(models()[0].c_str());
  auto cpu = open_context(two.cpu(), context_options(512, 16));
  auto device = open_context(two.on_double(), context_options(512, 16));
  Entries prompt;
  for (int32_t p = 0; p < 190; ++p) prompt.push_back({p % 50, p, 0, 0});
  for (Context* c : {cpu.get(), device.get()}) {
    ASSERT_TRUE(c->decode(prompt).ok());
    for (int64_t s = 1; s < 4; ++s) c->cache().fork(0, s);
  }
  Entries next;
  for (int32_t s = 0; s < 4; ++s) next.push_back({s + 1, 190, s, BITNET_WANT_LOGITS});
  ASSERT_TRUE(cpu->decode(next).ok());
  ASSERT_TRUE(device->decode(next).ok());
  expect_same_results(two, *cpu, *device, next);
  EXPECT_EQ(double_controls().broken, nullptr) << double_controls().broken;
}

// Logits that the host gets at once need rows for a slice only; samples need one each.
TEST(OnDevice, RowsAreThoseThatMustStay) {
  const TwoWays two(models()[0].c_str());
  auto device = open_context(two.on_double(), context_options(512, 8));
  Entries entries;
  for (int32_t p = 0; p < 40; ++p) entries.push_back({1, p, 0, BITNET_WANT_LOGITS});
  ASSERT_TRUE(device->decode(entries).ok());
  EXPECT_EQ(double_controls().rows, 8);
  for (bitnet_batch_entry& e : entries) {
    e.position += 40;
    e.want = BITNET_WANT_SAMPLE;
  }
  ASSERT_TRUE(device->decode(entries).ok());
  EXPECT_EQ(double_controls().rows, 40);
  EXPECT_EQ(double_controls().broken, nullptr);
}

TEST(OnDevice, TakesNothingOfTheHostButAFewRows) {
  const TwoWays two(models()[0].c_str());
  const Context::Options options = context_options(4096, 64);
  auto device = open_context(two.on_double(), options);
  EXPECT_EQ(device->threads(), 1);
  EXPECT_EQ(device->cache().bytes(), KvCache::bytes_of(two.model().hyper, 4096));
  const uint64_t on_device = Context::device_bytes_of(two.model(), options, two.device());
  const uint64_t on_host = Context::work_bytes_of(two.model(), options, two.device());
  EXPECT_EQ(device->work_bytes(), on_host + on_device - device->cache().bytes());
  EXPECT_EQ(two.on_double().bytes(), UploadedModel::bytes_of(two.device(), two.model()));
  EXPECT_EQ(two.on_double().kind(), BITNET_WEIGHTS_2BIT);
  EXPECT_EQ(two.on_double().screen, nullptr);
}

TEST(OnDevice, CancellingIsHeardBetweenLayersAndOnce) {
  const TwoWays two(models()[0].c_str());
  auto device = open_context(two.on_double(), context_options());
  const Entries entries = {{1, 0, 0, BITNET_WANT_LOGITS}, {2, 1, 0, 0}};
  device->cancel();
  EXPECT_EQ(device->decode(entries).code(), BITNET_E_CANCELLED);
  EXPECT_EQ(device->cache().length(0), 0);
  double_controls().on_layer = [](void* context) { static_cast<Context*>(context)->cancel(); };
  double_controls().on_layer_user = device.get();
  const uint64_t before = calls_of(double_controls(), Call::kForward);
  const Status status = device->decode(entries);
  EXPECT_EQ(status.code(), BITNET_E_CANCELLED);
  EXPECT_STREQ(status.text(), "cancelled; nothing was added");
  EXPECT_EQ(calls_of(double_controls(), Call::kForward), before + 1);
  EXPECT_EQ(device->cache().length(0), 0);
  EXPECT_EQ(device->cache().positions_used(), 0);
  double_controls().on_layer = nullptr;
  EXPECT_TRUE(device->decode(entries).ok());
}

// Each call that decoding makes fails in turn, now or later: no sequence has changed, and the
// context goes on failing in the same words; the next one on the same model works.
TEST(OnDevice, AFailureChangesNoSequenceAndLasts) {
  const TwoWays two(models()[0].c_str());
  for (Call call : {Call::kForward, Call::kReadHidden, Call::kReadLogits, Call::kCopyPage,
                    Call::kReserveRows}) {
    for (int32_t after : {0, 1}) {
      for (bitnet_status with : {BITNET_E_DEVICE, BITNET_E_MEMORY}) {
        double_controls().broken = nullptr;
        auto device = open_context(two.on_double(), context_options());
        Entries entries;
        for (int32_t p = 0; p < 70; ++p) entries.push_back({p % 40, p, 0, 0});
        ASSERT_TRUE(device->decode(entries).ok());
        device->cache().fork(0, 1);
        device->cache().fork(0, 2);
        const int64_t used = device->cache().positions_used();
        // Of three sequences two have to copy their page.
        entries.clear();
        for (int32_t s = 0; s < 3; ++s) {
          for (int32_t p = 70; p < 80; ++p) {
            entries.push_back({p % 40, p, s, BITNET_WANT_LOGITS | BITNET_WANT_EMBEDDING});
          }
        }
        double_controls().failing = call;
        double_controls().failing_after = call == Call::kReserveRows ? 0 : after;
        double_controls().failing_with = with;
        const Status status = device->decode(entries);
        ASSERT_EQ(status.code(), with) << static_cast<int>(call);
        EXPECT_EQ(double_controls().failing, Call::kNone);
        for (int64_t s = 0; s < 3; ++s) EXPECT_EQ(device->cache().length(s), 70);
        EXPECT_EQ(device->read_out().entries(), 0u);
        const bool for_good = call != Call::kReserveRows || with != BITNET_E_MEMORY;
        if (for_good) {
          EXPECT_GE(device->cache().positions_used(), used);
          for (int again = 0; again < 2; ++again) {
            const Status same = device->decode(entries);
            EXPECT_EQ(same.code(), with);
            EXPECT_STREQ(same.text(), status.text());
          }
        } else {
          EXPECT_TRUE(device->decode(entries).ok()) << "there was no memory for rows, once";
        }
      }
    }
  }
  auto next = open_context(two.on_double(), context_options());
  EXPECT_TRUE(next->decode(Entries{{1, 0, 0, BITNET_WANT_LOGITS}}).ok());
}

TEST(OnDevice, AContextThatFindsNoRoomLeavesTheModelUsable) {
  const TwoWays two(models()[0].c_str());
  double_controls().failing = Call::kContextOpen;
  double_controls().failing_with = BITNET_E_MEMORY;
  const auto none = Context::open(two.on_double(), context_options());
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.status().code(), BITNET_E_MEMORY);
  EXPECT_STREQ(none.status().text(), "the double's memory is full");
  auto next = open_context(two.on_double(), context_options());
  EXPECT_TRUE(next->decode(Entries{{1, 0, 0, 0}}).ok());
}

TEST(OnDevice, CountsAreTheDevices) {
  const TwoWays two(models()[0].c_str());
  auto cpu = open_context(two.cpu(), context_options());
  auto device = open_context(two.on_double(), context_options());
  const Entries entries = {{1, 0, 0, BITNET_WANT_LOGITS}};
  ASSERT_TRUE(cpu->decode(entries).ok() && device->decode(entries).ok());
  const KernelCounts c = cpu->kernel_counts(), d = device->kernel_counts();
  EXPECT_EQ(c.rmsnorm, d.rmsnorm);
  EXPECT_EQ(c.rope, d.rope);
  EXPECT_EQ(c.gate, d.gate);
  EXPECT_EQ(c.launches, 0u);
  EXPECT_EQ(d.launches, 1u);
}

}  // namespace
}  // namespace bitnet
