// A context on a device gives the bits of one on the CPU, and what happens to a batch does not
// depend on where it was computed. Finds: a page of the wrong sequence, a row of the wrong entry, a
// failure of the device that is lost, that shows in a sequence, or that is forgotten.
#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "device/run.h"

namespace bitnet {
namespace {

using test::Call;
using test::calls_of;
using test::context_options;
using test::double_controls;
using test::kHeads;
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

DeviceSelection first_of(int64_t vocabulary, int32_t first) {
  return {vocabulary, first, 0, -static_cast<double>(INFINITY), 0, 0};
}

// Of an entry that stayed on the device the largest logits are selected, and nothing else.
void expect_selected(ReadOut& device, uint64_t entry, const float* all, int64_t vocabulary,
                     int32_t first) {
  std::vector<float> expected(all, all + vocabulary);
  std::nth_element(expected.begin(), expected.begin() + (first - 1), expected.end(),
                   std::greater<float>());
  const float least = expected[static_cast<size_t>(first - 1)];
  std::transform(all, all + vocabulary, expected.begin(),
                 [=](float l) { return l >= least ? l : -INFINITY; });
  const auto found = device.selected_logits(entry, first_of(vocabulary, first));
  ASSERT_TRUE(found.ok()) << found.status().text();
  ASSERT_NE(found.value(), nullptr);
  ASSERT_TRUE(same_floats(expected.data(), found.value(), vocabulary)) << "first " << first;
}

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
      for (int32_t first : {1, 40, 2}) expect_selected(d, i, c.logits(i), h.vocab, first);
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

void expect_same_steps(const std::string& path, bitnet_head head) {
  const TwoWays two(path.c_str(), head);
  for (uint32_t seed = 0; seed < 3; ++seed) {
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
      if (testing::Test::HasFatalFailure())
        FAIL() << path << ", seed " << seed << ", step " << step;
    }
    EXPECT_EQ(cpu->stats().token_hash, device->stats().token_hash);
    EXPECT_EQ(cpu->stats().tokens, device->stats().tokens);
    const ReadOut::Counts &c = cpu->read_out().counts(), &d = device->read_out().counts();
    EXPECT_EQ(c.rows, d.rows + d.screened);
    EXPECT_EQ(d.screened > 0, head == BITNET_HEAD_SCREENED);
    EXPECT_EQ(double_controls().broken, nullptr) << double_controls().broken;
    EXPECT_LE(double_controls().largest_batch, 7);
    EXPECT_GT(calls_of(double_controls(), Call::kCopyPage), 0u) << "forks were written to";
  }
}

TEST(OnDevice, BatchesForksAndTruncationsGiveTheBitsOfTheCpu) {
  for (const std::string& path : models()) {
    for (bitnet_head head : kHeads) expect_same_steps(path, head);
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

// Sampling takes no more.
TEST(OnDevice, TakesNothingOfTheHostButAFewRows) {
  for (bitnet_head head : kHeads) {
    const bool screened = head == BITNET_HEAD_SCREENED;
    const TwoWays two(models()[0].c_str(), head);
    const Context::Options options = context_options(4096, 64);
    auto device = open_context(two.on_double(), options);
    EXPECT_EQ(device->threads(), 1);
    EXPECT_EQ(device->cache().bytes(), KvCache::bytes_of(two.model().hyper, 4096));
    const uint64_t on_device =
        Context::device_bytes_of(two.model(), options, screened, two.device());
    const uint64_t on_host = Context::work_bytes_of(two.model(), options, two.device());
    EXPECT_EQ(device->work_bytes(), on_host + on_device - device->cache().bytes());
    ASSERT_TRUE(device->decode(Entries{{1, 0, 0, BITNET_WANT_SAMPLE}}).ok());
    ASSERT_TRUE(device->read_out().selected_logits(0, first_of(100, 3)).ok());
    ASSERT_TRUE(device->read_out().device_logits(0).ok());
    EXPECT_EQ(device->work_bytes(), on_host + on_device - device->cache().bytes());
    EXPECT_EQ(two.on_double().bytes(),
              UploadedModel::bytes_of(two.device(), two.model(), screened));
    EXPECT_EQ(two.on_double().kind(), BITNET_WEIGHTS_2BIT);
    EXPECT_EQ(two.on_double().screen, nullptr);
    EXPECT_EQ(two.on_double().screened(), screened);
  }
}

// The copy is room of the device's, and what sampling a token reads in place of the head.
TEST(OnDevice, AScreenedHeadHasItsBytes) {
  const TwoWays full(models()[0].c_str()), screened(models()[0].c_str(), BITNET_HEAD_SCREENED);
  const UploadedModel &a = *full.on_double().device, &b = *screened.on_double().device;
  EXPECT_EQ(a.screened_bytes(), 0u);
  EXPECT_GT(b.screened_bytes(), 0u);
  EXPECT_EQ(b.bytes(), a.bytes() + b.screened_bytes());
  const DenseMatrix& head = full.model().head;
  EXPECT_EQ(full.on_double().bytes_per_token() - static_cast<uint64_t>(head.rows * head.row_bytes) +
                b.screened_bytes(),
            screened.on_double().bytes_per_token());
  EXPECT_NE(Context::device_bytes_of(full.model(), context_options(), false, full.device()),
            Context::device_bytes_of(full.model(), context_options(), true, full.device()));
  Device small = full.device();
  small.info.free = a.bytes();
  EXPECT_TRUE(UploadedModel::check_room(small, full.model(), false).ok());
  EXPECT_EQ(UploadedModel::check_room(small, full.model(), true).code(), BITNET_E_MEMORY);
}

// Only if nobody asked for the copy.
TEST(OnDevice, AutoDoesWithoutACopyThatHasNoRoom) {
  const TwoWays two(models()[0].c_str());
  ModelDescription large = two.model();
  large.head.rows = int64_t{1} << 24;
  Device device = two.device();
  device.info.free = UploadedModel::bytes_of(device, large, true);
  EXPECT_TRUE(Weights::screens_on(device, large, BITNET_HEAD_AUTO));
  device.info.free -= 1;
  EXPECT_FALSE(Weights::screens_on(device, large, BITNET_HEAD_AUTO));
  EXPECT_TRUE(Weights::screens_on(device, large, BITNET_HEAD_SCREENED));
}

TEST(OnDevice, CountsTellWhatWasScreened) {
  for (bitnet_head head : kHeads) {
    const uint64_t screened = head == BITNET_HEAD_SCREENED ? 1 : 0;
    const TwoWays two(models()[0].c_str(), head);
    auto device = open_context(two.on_double(), context_options());
    ReadOut& read_out = device->read_out();
    ASSERT_TRUE(device
                    ->decode(Entries{{1, 0, 0, BITNET_WANT_LOGITS},
                                     {2, 1, 0, BITNET_WANT_EMBEDDING},
                                     {3, 2, 0, BITNET_WANT_SAMPLE | BITNET_WANT_LOGITS},
                                     {4, 3, 0, BITNET_WANT_SAMPLE | BITNET_WANT_EMBEDDING}})
                    .ok());
    EXPECT_EQ(read_out.counts().rows, 3 - screened);
    EXPECT_EQ(read_out.counts().screened, screened);
    for (int32_t first : {3, 5}) {
      const auto few = read_out.selected_logits(3, first_of(200, first));
      ASSERT_TRUE(few.ok() && few.value());
    }
    EXPECT_EQ(read_out.counts().exact, 8 * screened);
    EXPECT_EQ(read_out.counts().full, 0u);
    ASSERT_TRUE(read_out.device_logits(3).ok());
    EXPECT_EQ(read_out.counts().full, screened);
    EXPECT_EQ(read_out.counts().exact, 8 * screened);
    EXPECT_EQ(read_out.counts().rows, 3 - screened);
    EXPECT_EQ(read_out.counts().narrowed, 0u);
    EXPECT_EQ(read_out.counts().widest_bound, 0.0);
    EXPECT_EQ(double_controls().broken, nullptr) << double_controls().broken;
  }
}

// What few logits leave behind does not show in other few, nor what all leave, nor a failure.
TEST(OnDevice, TooManySelectedAreNone) {
  const TwoWays two(models()[0].c_str(), BITNET_HEAD_SCREENED);
  auto cpu = open_context(two.cpu(), context_options());
  auto device = open_context(two.on_double(), context_options());
  const Entries entries = {{1, 0, 0, BITNET_WANT_SAMPLE}, {9, 1, 0, BITNET_WANT_SAMPLE}};
  ASSERT_TRUE(cpu->decode(entries).ok() && device->decode(entries).ok());
  ReadOut& read_out = device->read_out();
  double_controls().selected = 7;
  for (int round = 0; round < 2; ++round) {
    for (uint64_t i : {0, 1}) {
      const float* all = cpu->read_out().logits(i);
      expect_selected(read_out, i, all, 200, 7);
      const auto none = read_out.selected_logits(i, first_of(200, 8));
      ASSERT_TRUE(none.ok());
      EXPECT_EQ(none.value(), nullptr);
      expect_selected(read_out, i, all, 150, 2);
      if (round == 0) continue;
      ASSERT_TRUE(same_floats(all, read_out.device_logits(i).value(), two.model().hyper.vocab));
    }
  }
  EXPECT_EQ(read_out.counts().exact, 2u * 2 * (7 + 2));
  EXPECT_EQ(read_out.counts().full, 2u);
  double_controls().failing = Call::kSelect;
  EXPECT_EQ(read_out.selected_logits(0, first_of(200, 1)).status().code(), BITNET_E_DEVICE);
  EXPECT_EQ(read_out.device_logits(0).status().code(), BITNET_E_DEVICE) << "for good";
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
