// The generator with drafts against plain decoding, call by call: pieces, tokens, what the sequence
// holds, failures and cancellations must be the same whatever was guessed. Finds accepted tokens
// that plain decoding would not have picked, and anything computed ahead that shows.
//
// usage: BITNET_MODEL=random model
#include "session/generator.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "session/loaded_model.h"
#include "session/saved_sequence.h"

// Stand before bitnet::allocate and bitnet::Buffer(size_t) (linked with --wrap), to fail on demand.
namespace {
long allocations_left = -1;  // until one fails; -1: none does
size_t largest_block = SIZE_MAX;

bool may_allocate(size_t bytes) {
  if (bytes > largest_block) return false;
  return allocations_left < 0 || allocations_left-- > 0;
}
}  // namespace
extern "C" {
void* __real__ZN6bitnet8allocateEmm(size_t bytes, size_t alignment);
void* __wrap__ZN6bitnet8allocateEmm(size_t bytes, size_t alignment) {
  return may_allocate(bytes) ? __real__ZN6bitnet8allocateEmm(bytes, alignment) : nullptr;
}
void __real__ZN6bitnet6BufferC1Em(void* buffer, size_t bytes);
void __wrap__ZN6bitnet6BufferC1Em(void* buffer, size_t bytes) {
  if (!may_allocate(bytes)) throw std::bad_alloc();
  __real__ZN6bitnet6BufferC1Em(buffer, bytes);
}
}

namespace bitnet {
namespace {

const LoadedModel& model() {
  static const Ptr<const LoadedModel> loaded = [] {
    const char* path = std::getenv("BITNET_MODEL");
    auto opened = LoadedModel::open_path(path ? path : "", {});
    EXPECT_TRUE(opened.ok()) << opened.status().text();
    return std::move(opened.value());
  }();
  return *loaded;
}

Ptr<Context> open_context(int64_t positions = 512, int threads = 1) {
  Context::Options options = {};
  options.positions = positions;
  options.sequences = 4;
  options.batch = 32;
  options.threads = threads;
  return std::move(Context::open(*model().weights(), options).value());
}

Generator::Options plain_options() {
  Generator::Options options;
  options.vocabulary = model().tokenizer().size();
  for (int32_t t : {5, 80, 33, 7, 120, 64, 9, 9, 31, 5, 80, 33}) options.prompt.push_back(t);
  options.max_tokens = 150;
  options.ignore_end = true;
  options.draft_tokens = -1;
  return options;
}

Ptr<Generator> open_generator(Context& context, const Generator::Options& options) {
  auto generator = Generator::open(context, model().tokenizer(), options);
  EXPECT_TRUE(generator.ok()) << generator.status().text();
  return std::move(generator.value());
}

uint64_t hash_of_saved(const Context& context, int64_t sequence) {
  const HyperParameters& hyper = context.weights().model.hyper;
  uint64_t bytes = 0;
  (void)save_sequence(context.cache(), hyper, 1, sequence, nullptr, 0, &bytes);
  std::vector<uint8_t> saved(bytes);
  EXPECT_TRUE(save_sequence(context.cache(), hyper, 1, sequence, saved.data(), bytes, &bytes).ok());
  uint64_t hash = 14695981039346656037u;
  for (uint8_t b : saved) hash = (hash ^ b) * 1099511628211u;
  return hash;
}

// Everything a caller can see after one call of next().
struct Seen {
  bitnet_status status;
  std::string piece, reason;
  bitnet_end_reason end;
  std::vector<int32_t> tokens, held;
  uint64_t reused;
  int64_t positions_used;
  uint64_t saved;

  bool operator==(const Seen&) const = default;
};

Seen look(Context& context, Generator& generator, int64_t sequence) {
  Seen seen = {};
  const auto next = generator.next();
  seen.status = next.ok() ? BITNET_OK : next.status().code();
  if (next.ok()) seen.piece = next.value();
  seen.reason = next.ok() ? "" : next.status().text();
  seen.end = generator.info().end;
  seen.tokens.assign(generator.tokens().begin(), generator.tokens().end());
  const auto held = context.cache().tokens(sequence);
  seen.held.assign(held.begin(), held.end());
  seen.reused = generator.info().reused_tokens;
  seen.positions_used = context.cache().positions_used();
  seen.saved = hash_of_saved(context, sequence);
  return seen;
}

void expect_same(const std::vector<Seen>& a, const std::vector<Seen>& plain) {
  ASSERT_EQ(a.size(), plain.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].piece, plain[i].piece) << "call " << i;
    ASSERT_EQ(a[i].tokens, plain[i].tokens) << "call " << i;
    ASSERT_EQ(a[i].held, plain[i].held) << "call " << i;
    ASSERT_EQ(a[i].reason, plain[i].reason) << "call " << i;
    ASSERT_EQ(a[i].positions_used, plain[i].positions_used) << "call " << i;
    ASSERT_TRUE(a[i] == plain[i]) << "call " << i;
  }
}

struct Counts {
  uint64_t drafted = 0, accepted = 0;
};

// What a host does to the context before a call.
using Meddle = std::function<void(Context&, size_t call)>;

std::vector<Seen> watch(Context& context, const Generator::Options& options, Counts* counts,
                        const Meddle& meddle = {}) {
  const Ptr<Generator> generator = open_generator(context, options);
  std::vector<Seen> all;
  for (size_t call = 0; call < 1000; ++call) {
    if (meddle) meddle(context, call);
    all.push_back(look(context, *generator, options.sequence));
    if (all.back().status == BITNET_OK && all.back().piece.empty()) break;
  }
  counts->drafted += generator->info().drafted;
  counts->accepted += generator->info().accepted;
  return all;
}

constexpr int32_t kWidths[] = {0, 1, 2, 3, 8, 32};

// The same with every number of drafts as with none. Returns the counts of all runs.
Counts expect_plain(Generator::Options options, int64_t positions = 512,
                    const Meddle& meddle = {}) {
  Counts counts;
  const Ptr<Context> plain_context = open_context(positions);
  options.draft_tokens = -1;
  const std::vector<Seen> plain = watch(*plain_context, options, &counts, meddle);
  EXPECT_EQ(counts.drafted, 0u);
  for (int32_t width : kWidths) {
    SCOPED_TRACE(width);
    const Ptr<Context> context = open_context(positions);
    options.draft_tokens = width;
    expect_same(watch(*context, options, &counts, meddle), plain);
    if (testing::Test::HasFatalFailure()) break;
  }
  return counts;
}

// Plain decoding itself, against the loop a host would write.
TEST(Plain, IsALoopOfDecodePickAndAccept) {
  Generator::Options options = plain_options();
  options.sampling.temperature = 0.8f;
  options.sampling.repeat_penalty = 1.1f;
  options.sampling.penalty_window = 10;
  options.sampling.seed = 3;
  options.max_tokens = 40;
  Counts counts;
  const Ptr<Context> context = open_context(), other = open_context();
  const std::vector<int32_t> reply = watch(*context, options, &counts).back().tokens;
  const Ptr<Sampler> sampler = std::move(Sampler::open(options.sampling).value());
  std::vector<int32_t> tokens(options.prompt.begin(), options.prompt.end());
  for (size_t i = 0; tokens.size() < options.prompt.size() + 40; ++i) {
    const bitnet_batch_entry entry = {tokens[i], static_cast<int32_t>(i), 0, BITNET_WANT_LOGITS};
    ASSERT_TRUE(other->decode({&entry, 1}).ok());
    if (i + 1 < tokens.size()) continue;
    int32_t token;
    ASSERT_TRUE(sampler->pick(other->read_out().logits(0), options.vocabulary, &token).ok());
    ASSERT_TRUE(sampler->accept(token).ok());
    tokens.push_back(token);
  }
  tokens.erase(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(options.prompt.size()));
  EXPECT_EQ(reply, tokens);
}

TEST(Drafted, GreedyIsPlainGreedyAndUsesFewerPasses) {
  const Counts counts = expect_plain(plain_options());
  EXPECT_GT(counts.accepted, 100u);
  EXPECT_GT(counts.drafted, counts.accepted) << "no wrong guess was tried";
}

TEST(Drafted, SampledIsPlainSampled) {
  Counts all;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    Generator::Options options = plain_options();
    options.sampling.temperature = seed % 2 ? 0.3f : 1.0f;
    options.sampling.top_k = seed % 3 ? 3 : 0;
    options.sampling.top_p = seed % 3 ? 0 : 0.8f;
    options.sampling.seed = seed;
    const Counts counts = expect_plain(options);
    all.drafted += counts.drafted;
    all.accepted += counts.accepted;
  }
  EXPECT_GT(all.accepted, 50u);
  EXPECT_GT(all.drafted, all.accepted + 50);
}

TEST(Drafted, PenaltiesSeeTheTokensInOrder) {
  Counts all;
  for (int32_t window : {3, 0, -1}) {
    Generator::Options options = plain_options();
    options.sampling.repeat_penalty = 1.02f;
    options.sampling.frequency_penalty = 0.01f;
    options.sampling.penalty_window = window;
    const Counts counts = expect_plain(options);
    all.drafted += counts.drafted;
    all.accepted += counts.accepted;
  }
  EXPECT_GT(all.accepted, 20u);
  EXPECT_GT(all.drafted, all.accepted);
}

TEST(Drafted, LimitsAndEndTokensCutWhereTheyDo) {
  for (uint64_t max_tokens : {1, 2, 3, 5, 50, 51}) {
    Generator::Options options = plain_options();
    options.max_tokens = max_tokens;
    expect_plain(options);
  }
  Generator::Options options = plain_options();
  options.ignore_end = false;
  options.sampling.temperature = 3;  // meets an end token soon
  for (options.sampling.seed = 0; options.sampling.seed < 5; ++options.sampling.seed) {
    expect_plain(options);
  }
}

TEST(Drafted, StopTextsCutWhereTheyDo) {
  Counts ignored;
  const Ptr<Context> context = open_context();
  std::string text;
  for (const Seen& seen : watch(*context, plain_options(), &ignored)) text += seen.piece;
  ASSERT_GT(text.size(), 60u);
  for (size_t at : {text.size() / 3, text.size() / 2, text.size() * 3 / 4}) {
    for (size_t length : {1, 3, 6}) {
      size_t begin = at, end = at + length;
      while ((text[begin] & 0xc0) == 0x80) --begin;
      while (end < text.size() && (text[end] & 0xc0) == 0x80) ++end;
      Generator::Options options = plain_options();
      options.stop.push_back(String(text.substr(begin, end - begin)));
      expect_plain(options);
    }
  }
}

TEST(Drafted, AFullContextEndsTheReplyAtTheSameToken) {
  for (int64_t positions : {64, 128}) {
    Generator::Options options = plain_options();
    options.max_tokens = UINT64_MAX;
    const Counts counts = expect_plain(options, positions);
    EXPECT_GT(counts.accepted, 10u);
  }
}

TEST(Drafted, CancelledCallsAreTheSameCalls) {
  for (size_t every : {1, 2, 3, 7}) {
    const Counts counts =
        expect_plain(plain_options(), 512, [every](Context& context, size_t call) {
          if (every == 1 ? call % 4 != 3 : call % every == 0) context.cancel();
        });
    EXPECT_GT(counts.accepted, 10u);
  }
}

// What happens to the sequence between calls is made up for, and sees nothing that is ahead.
TEST(Drafted, AHostMayForkTruncateReplaceAndGrowTheSequence) {
  const auto grow = [](Context& context, int32_t sequence, int32_t token) {
    const bitnet_batch_entry entry = {token, static_cast<int32_t>(context.cache().length(sequence)),
                                      sequence, 0};
    ASSERT_TRUE(context.decode({&entry, 1}).ok());
  };
  const std::vector<Meddle> meddles = {
      [](Context& context, size_t call) {
        if (call % 5 == 2) context.cache().fork(0, 1);
      },
      [&](Context& context, size_t call) {
        if (call % 5 == 2) context.cache().fork(0, 1);
        if (call % 5 == 3) grow(context, 1, 77);
      },
      [&](Context& context, size_t call) {  // the fork becomes the page's only owner and writes it
        if (call % 9 != 4) return;
        context.cache().fork(0, 1);
        context.cache().truncate(0, 0);
        grow(context, 1, 77);
        grow(context, 1, 78);
        context.cache().fork(1, 0);
      },
      [](Context& context, size_t call) {
        if (call % 6 == 3) context.cache().truncate(0, static_cast<int64_t>(call));
      },
      [&](Context& context, size_t call) {
        if (call % 6 == 3) grow(context, 0, 77);
      },
      [&](Context& context, size_t call) {  // other keys and values where tokens were ahead
        if (call % 4 != 3) return;
        const int64_t length = context.cache().length(0);
        grow(context, 0, 77);
        grow(context, 0, 78);
        context.cache().truncate(0, length);
      },
      [](Context& context, size_t call) {
        if (call % 10 != 9) return;
        const std::vector<int32_t> other(20, 3);
        std::vector<int32_t> held(context.cache().tokens(0).begin(),
                                  context.cache().tokens(0).end());
        ASSERT_TRUE(context.cache().replace(0, other, [](int64_t, uint16_t*) {}).ok());
        context.cache().truncate(0, 0);
      },
  };
  for (size_t i = 0; i < meddles.size(); ++i) {
    SCOPED_TRACE(i);
    const Counts counts = expect_plain(plain_options(), 512, meddles[i]);
    EXPECT_GT(counts.accepted, 20u);
  }
}

TEST(Drafted, TheNextTurnReusesWhatPlainDecodingLeaves) {
  const auto two_turns = [](int32_t drafts, Counts* counts) {
    const Ptr<Context> context = open_context();
    Generator::Options options = plain_options();
    options.draft_tokens = drafts;
    options.max_tokens = 40;
    std::vector<Seen> all = watch(*context, options, counts);
    for (int32_t t : all.back().tokens) options.prompt.push_back(t);
    options.prompt.push_back(44);
    for (Seen& seen : watch(*context, options, counts)) all.push_back(seen);
    return all;
  };
  Counts counts;
  const auto plain = two_turns(-1, &counts);
  for (int32_t width : kWidths) expect_same(two_turns(width, &counts), plain);
  EXPECT_GT(counts.accepted, 40u);
}

TEST(Drafted, GeneratorsOfOneContextTakeTurns) {
  const auto in_turns = [](int32_t drafts, Counts* counts) {
    const Ptr<Context> context = open_context();
    Generator::Options first = plain_options(), second = plain_options();
    first.draft_tokens = second.draft_tokens = drafts;
    second.sequence = 1;
    second.prompt[3] = 8;
    second.sampling.temperature = 0.4f;
    const Ptr<Generator> a = open_generator(*context, first), b = open_generator(*context, second);
    std::vector<Seen> all;
    for (int call = 0; call < 80; ++call) {
      all.push_back(look(*context, *a, 0));
      all.push_back(look(*context, *b, 1));
    }
    counts->drafted += a->info().drafted;
    counts->accepted += a->info().accepted;
    return all;
  };
  Counts counts;
  const auto plain = in_turns(-1, &counts);
  for (int32_t width : kWidths) expect_same(in_turns(width, &counts), plain);
  EXPECT_GT(counts.accepted, 50u);
}

// Two generators that both write sequence 0, each undoing what the other has computed ahead.
TEST(Drafted, GeneratorsOfOneSequenceDisturbButDoNotMisleadEachOther) {
  const auto in_turns = [](int32_t drafts, Counts* counts) {
    const Ptr<Context> context = open_context();
    Generator::Options first = plain_options(), second = plain_options();
    first.draft_tokens = second.draft_tokens = drafts;
    second.sampling.temperature = 0.2f;
    const Ptr<Generator> a = open_generator(*context, first), b = open_generator(*context, second);
    std::vector<Seen> all;
    for (int call = 0; call < 60; ++call) {
      all.push_back(look(*context, *a, 0));
      if (call % 3 == 0) all.push_back(look(*context, *b, 0));
    }
    counts->accepted += a->info().accepted + b->info().accepted;
    return all;
  };
  Counts counts;
  const auto plain = in_turns(-1, &counts);
  for (int32_t width : kWidths) expect_same(in_turns(width, &counts), plain);
  EXPECT_GT(counts.accepted, 20u);
}

// Every allocation of a reply fails once; the call is made again and the reply is the same.
TEST(Drafted, AFailedAllocationCostsOneCall) {
  for (int32_t drafts : {0, 8}) {
    Generator::Options options = plain_options();
    options.max_tokens = 100;
    options.draft_tokens = drafts;
    options.sampling.repeat_penalty = 1.01f;
    options.sampling.penalty_window = -1;
    std::string whole;
    int64_t failures = 0;
    for (long fail_at = -1;; ++fail_at) {
      const Ptr<Context> context = open_context();
      const Ptr<Generator> generator = open_generator(*context, options);
      std::string text;
      bool failed = false;
      allocations_left = fail_at;
      for (bool over = false; !over;) {
        try {
          const auto piece = generator->next();
          ASSERT_TRUE(piece.ok()) << piece.status().text();
          over = piece.value().empty();
          text += piece.value();
        } catch (const std::bad_alloc&) {
          failed = true;
        }
      }
      const bool ran_out = fail_at >= 0 && !failed;
      allocations_left = -1;
      if (fail_at < 0) {
        whole = text;
        EXPECT_TRUE(drafts == 0 || generator->info().accepted > 3);
      }
      ASSERT_EQ(text, whole) << "allocation " << fail_at;
      ASSERT_EQ(generator->tokens().size(), 100u);
      failures += failed;
      if (ran_out) break;
    }
    EXPECT_GT(failures, 3);
  }
}

// Logits of a pass with drafts are more than there is memory for: one call says so.
TEST(Drafted, WithoutMemoryForDraftsTheReplyGoesOnWithoutThem) {
  Generator::Options options = plain_options();
  options.draft_tokens = 8;
  options.max_tokens = 60;
  Counts counts;
  std::string whole, text;
  const Ptr<Context> context = open_context(), other = open_context();
  for (const Seen& seen : watch(*other, options, &counts)) whole += seen.piece;
  ASSERT_GT(counts.accepted, 0u);
  const Ptr<Generator> generator = open_generator(*context, options);
  largest_block = static_cast<size_t>(options.vocabulary) * 4 * 9 - 1;
  int failures = 0;
  for (bool over = false; !over && failures < 100;) {
    try {
      const auto piece = generator->next();
      over = !piece.ok() || piece.value().empty();
      if (piece.ok()) text += piece.value();
    } catch (const std::bad_alloc&) {
      ++failures;
    }
  }
  largest_block = SIZE_MAX;
  EXPECT_EQ(text, whole);
  EXPECT_EQ(failures, 1);
}

TEST(Drafted, RefusesCountsThatMakeNoSense) {
  const Ptr<Context> context = open_context();
  for (int32_t count : {-2, 64, 1 << 30}) {
    Generator::Options options = plain_options();
    options.draft_tokens = count;
    const auto refused = Generator::open(*context, model().tokenizer(), options);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(std::string(refused.status().text()).find(std::to_string(count)), std::string::npos);
  }
}

}  // namespace
}  // namespace bitnet
