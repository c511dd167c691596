// The promise "same bits everywhere", on whole models through the public header: logits are
// memcmp-equal for every instruction set, number of threads, batch split, cache history and mix of
// sequences.
//
// Models come as paths in BITNET_MODELS, separated by ':' (random ones of every family and type
// made for the test, and the trained one).
#include <bitnet.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/host_float_mode.h"

namespace {

struct Close {
  void operator()(bitnet_model* m) const { bitnet_model_close(m); }
  void operator()(bitnet_ctx* c) const { bitnet_ctx_close(c); }
  void operator()(bitnet_generator* g) const { bitnet_generate_close(g); }
};
using Model = std::unique_ptr<bitnet_model, Close>;
using Ctx = std::unique_ptr<bitnet_ctx, Close>;
using Generator = std::unique_ptr<bitnet_generator, Close>;

std::vector<std::string> model_paths() {
  std::vector<std::string> paths;
  const char* list = std::getenv("BITNET_MODELS");
  std::istringstream in(list ? list : "");
  for (std::string path; std::getline(in, path, ':');) paths.push_back(path);
  return paths;
}

struct Kept {
  bitnet_weights weights;
  bitnet_head head;
};

// nullptr if this file cannot be kept so; any other failure fails the test.
Model open_model(const std::string& path, const char* isa = nullptr,
                 Kept kept = {BITNET_WEIGHTS_AUTO, BITNET_HEAD_AUTO}) {
  bitnet_model_options options = BITNET_MODEL_OPTIONS_INIT;
  options.isa = isa;
  options.threads = 2;
  options.weights = kept.weights;
  options.head = kept.head;
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_model* model = nullptr;
  if (kept.weights == BITNET_WEIGHTS_FILE) {
    const bitnet_status status = bitnet_model_open(path.c_str(), &options, &model, &why);
    if (status == BITNET_E_UNSUPPORTED) {
      EXPECT_NE(std::strstr(why.message, "lies in the file"), nullptr) << why.message;
      return nullptr;
    }
    EXPECT_EQ(status, BITNET_OK) << why.message;
    return Model(model);
  }
  EXPECT_EQ(bitnet_model_open(path.c_str(), &options, &model, &why), BITNET_OK) << why.message;
  return Model(model);
}

Ctx open_ctx(const bitnet_model* model, int threads, uint32_t batch, uint32_t positions = 0) {
  bitnet_ctx_options options = BITNET_CTX_OPTIONS_INIT;
  options.threads = threads;
  options.batch = batch;
  options.positions = positions;
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_ctx* ctx = nullptr;
  EXPECT_EQ(bitnet_ctx_open(model, &options, &ctx, &why), BITNET_OK) << why.message;
  return Ctx(ctx);
}

bitnet_model_info info_of(const bitnet_model* model) {
  bitnet_model_info info = BITNET_MODEL_INFO_INIT;
  EXPECT_EQ(bitnet_model_get_info(model, &info, nullptr), BITNET_OK);
  return info;
}

// The same tokens for everyone: a small linear congruential generator.
std::vector<int32_t> some_tokens(const bitnet_model* model, size_t count, uint32_t seed = 1) {
  const uint32_t vocab = static_cast<uint32_t>(info_of(model).vocab_size);
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    tokens.push_back(static_cast<int32_t>((seed >> 8) % vocab));
  }
  return tokens;
}

std::vector<bitnet_batch_entry> entries_of(const std::vector<int32_t>& tokens, size_t first,
                                           size_t last, int32_t sequence = 0,
                                           uint32_t want = BITNET_WANT_LOGITS) {
  std::vector<bitnet_batch_entry> entries;
  for (size_t i = first; i < last; ++i) {
    entries.push_back({tokens[i], static_cast<int32_t>(i), sequence, want});
  }
  return entries;
}

using Rows = std::vector<float>;  // [entries][vocab]

Rows decode(bitnet_ctx* ctx, const bitnet_model* model,
            const std::vector<bitnet_batch_entry>& entries) {
  bitnet_error why = BITNET_ERROR_INIT;
  EXPECT_EQ(bitnet_ctx_decode(ctx, entries.data(), entries.size(), &why), BITNET_OK) << why.message;
  const size_t vocab = static_cast<size_t>(info_of(model).vocab_size);
  Rows rows;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!(entries[i].want & BITNET_WANT_LOGITS)) continue;
    const float* logits = nullptr;
    EXPECT_EQ(bitnet_ctx_logits(ctx, i, &logits, &why), BITNET_OK) << why.message;
    if (logits) rows.insert(rows.end(), logits, logits + vocab);
  }
  return rows;
}

// All logits of `tokens`, decoded in calls of `split` tokens.
Rows logits_of(const bitnet_model* model, const std::vector<int32_t>& tokens, int threads,
               size_t split) {
  const Ctx ctx = open_ctx(model, threads, 128);
  Rows rows;
  for (size_t at = 0; at < tokens.size(); at += split) {
    const Rows more =
        decode(ctx.get(), model, entries_of(tokens, at, std::min(at + split, tokens.size())));
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

::testing::AssertionResult same_bits(const Rows& a, const Rows& b) {
  if (a.size() != b.size()) {
    return ::testing::AssertionFailure() << a.size() << " and " << b.size() << " numbers";
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0) {
      return ::testing::AssertionFailure()
             << "number " << i << " of " << a.size() << ": " << a[i] << " and " << b[i];
    }
  }
  return ::testing::AssertionSuccess();
}

class Contract : public ::testing::TestWithParam<std::string> {};

TEST_P(Contract, EveryInstructionSetThreadCountAndSplitGivesTheSameBits) {
  const Model reference = open_model(GetParam(), "reference");
  ASSERT_TRUE(reference);
  const std::vector<int32_t> tokens = some_tokens(reference.get(), 90);
  const Rows expected = logits_of(reference.get(), tokens, 1, tokens.size());
  ASSERT_FALSE(expected.empty());
  float largest = 0;
  for (float f : expected) {
    ASSERT_TRUE(std::isfinite(f));
    largest = std::max(largest, std::fabs(f));
  }
  ASSERT_GT(largest, 0) << "all logits are zero: nothing would be compared";

  int compared = 0;
  for (int32_t i = 0; i < bitnet_isa_count(); ++i) {
    const Model model = open_model(GetParam(), bitnet_isa_name(i));
    const bool best = i + 1 == bitnet_isa_count();
    for (int threads = 1; threads <= 4; ++threads) {
      for (size_t split : {size_t{1}, size_t{3}, size_t{17}, tokens.size()}) {
        // Every pair on the best instruction set, a diagonal of them on the others.
        if (!best && threads != 1 && split != 17) continue;
        if (std::string(bitnet_isa_name(i)) == "reference" && threads != 2) continue;
        EXPECT_TRUE(same_bits(expected, logits_of(model.get(), tokens, threads, split)))
            << bitnet_isa_name(i) << ", " << threads << " threads, split " << split;
        ++compared;
      }
    }
  }
  std::printf("  %d ways, %zu logits each, equal to the bit\n", compared, expected.size());
}

constexpr Kept kEveryWayToKeep[] = {{BITNET_WEIGHTS_2BIT, BITNET_HEAD_FULL},
                                    {BITNET_WEIGHTS_2BIT, BITNET_HEAD_SCREENED},
                                    {BITNET_WEIGHTS_BASE3, BITNET_HEAD_SCREENED},
                                    {BITNET_WEIGHTS_FILE, BITNET_HEAD_SCREENED}};

TEST_P(Contract, EveryWayToKeepWeightsGivesTheSameBits) {
  const Model reference = open_model(GetParam(), "reference", kEveryWayToKeep[0]);
  ASSERT_TRUE(reference);
  const std::vector<int32_t> tokens = some_tokens(reference.get(), 70, 11);
  const Rows expected = logits_of(reference.get(), tokens, 1, tokens.size());
  int compared = 0, impossible = 0;
  for (const Kept& kept : kEveryWayToKeep) {
    for (int32_t i = 0; i < bitnet_isa_count(); ++i) {
      const Model model = open_model(GetParam(), bitnet_isa_name(i), kept);
      if (!model) {
        ++impossible;
        continue;
      }
      const bitnet_model_info info = info_of(model.get());
      EXPECT_EQ(info.weights, kept.weights);
      EXPECT_EQ(info.head, kept.head);
      for (size_t split : {size_t{1}, size_t{2}, size_t{7}, tokens.size()}) {
        if (std::string(bitnet_isa_name(i)) == "reference" && split != 7) continue;
        EXPECT_TRUE(same_bits(expected, logits_of(model.get(), tokens, 2, split)))
            << bitnet_isa_name(i) << ", weights " << kept.weights << ", split " << split;
        ++compared;
      }
    }
  }
  std::printf("  %d ways equal to the bit, %d that this file does not allow\n", compared,
              impossible);
}

// What bitnet_ctx_sample picks through a screened head, against bitnet_sample on all logits.
TEST_P(Contract, ScreenedHeadsPickWhatAllLogitsPick) {
  const Model model = open_model(GetParam(), nullptr, {BITNET_WEIGHTS_AUTO, BITNET_HEAD_SCREENED});
  ASSERT_TRUE(model);
  const std::vector<int32_t> tokens = some_tokens(model.get(), 100, 12);
  const uint64_t vocab = static_cast<uint64_t>(info_of(model.get()).vocab_size);
  const Ctx ctx = open_ctx(model.get(), 2, 32);
  auto entries = entries_of(tokens, 0, tokens.size(), 0, BITNET_WANT_LOGITS);
  const auto more = entries_of(tokens, 0, tokens.size(), 1, BITNET_WANT_SAMPLE);
  entries.insert(entries.end(), more.begin(), more.end());
  ASSERT_EQ(bitnet_ctx_decode(ctx.get(), entries.data(), entries.size(), nullptr), BITNET_OK);
  int picks = 0;
  for (int kind = 0; kind < 6; ++kind) {
    bitnet_sampler_options options = BITNET_SAMPLER_OPTIONS_INIT;
    const bitnet_logit_bias bias = {tokens[0], 3.0f};
    if (kind >= 1) options.temperature = 0.8f;
    if (kind == 2) options.top_k = 20;
    if (kind == 3) options.top_k = 20, options.top_p = 0.9f, options.repeat_penalty = 1.2f;
    if (kind == 4) options.min_p = 0.1f, options.bias = &bias, options.bias_count = 1;
    if (kind == 5) options.top_p = 0.9f;
    options.seed = 5;
    bitnet_sampler* sampler = nullptr;
    ASSERT_EQ(bitnet_sampler_open(&options, &sampler, nullptr), BITNET_OK);
    for (size_t i = 0; i < tokens.size(); ++i) {
      const float* logits = nullptr;
      int32_t expected = -1, picked = -2, again = -3;
      bitnet_error why = BITNET_ERROR_INIT;
      ASSERT_EQ(bitnet_ctx_logits(ctx.get(), i, &logits, nullptr), BITNET_OK);
      ASSERT_EQ(bitnet_sample(sampler, logits, vocab, &expected, nullptr), BITNET_OK);
      ASSERT_EQ(bitnet_ctx_sample(ctx.get(), tokens.size() + i, vocab, sampler, &picked, &why),
                BITNET_OK)
          << why.message;
      ASSERT_EQ(bitnet_ctx_sample(ctx.get(), i, vocab, sampler, &again, nullptr), BITNET_OK);
      ASSERT_EQ(expected, picked) << "sampler " << kind << ", position " << i;
      ASSERT_EQ(expected, again) << "from the entry that has its logits";
      ASSERT_EQ(bitnet_ctx_logits(ctx.get(), tokens.size() + i, &logits, nullptr), BITNET_E_STATE);
      ASSERT_EQ(bitnet_sampler_accept(sampler, picked, nullptr), BITNET_OK);
      ++picks;
    }
    bitnet_sampler_close(sampler);
  }
  bitnet_ctx_stats stats = BITNET_CTX_STATS_INIT;
  ASSERT_EQ(bitnet_ctx_get_stats(ctx.get(), &stats, nullptr), BITNET_OK);
  EXPECT_EQ(stats.screened_tokens, tokens.size());
  EXPECT_GE(stats.full_tokens, tokens.size());  // top_p alone needs every logit
  EXPECT_LT(stats.full_tokens, 6 * tokens.size());
  std::printf("  %d picks equal, %llu of them with all logits; bound %.2f standard deviations\n",
              picks, static_cast<unsigned long long>(stats.full_tokens), stats.screened_bound);
}

std::string reply_of(const bitnet_model* model, const std::vector<int32_t>& prompt,
                     float temperature, int32_t drafts, uint64_t* accepted) {
  const Ctx ctx = open_ctx(model, 2, 128);
  bitnet_sampler_options sampling = BITNET_SAMPLER_OPTIONS_INIT;
  sampling.temperature = temperature;
  sampling.seed = 9;
  bitnet_generate_options options = BITNET_GENERATE_OPTIONS_INIT;
  options.tokens = prompt.data();
  options.token_count = prompt.size();
  options.max_tokens = 48;
  options.flags = BITNET_GENERATE_IGNORE_END | BITNET_GENERATE_SPECIAL;
  options.sampling = &sampling;
  options.drafts = drafts;
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_generator* opened = nullptr;
  EXPECT_EQ(bitnet_generate_open(ctx.get(), &options, &opened, &why), BITNET_OK) << why.message;
  const Generator generator(opened);
  std::string reply;
  const char* piece = nullptr;
  uint64_t bytes = 0;
  while (bitnet_generate_next(generator.get(), &piece, &bytes, &why) == BITNET_OK) {
    reply.append(piece, bytes).append(1, '|');
  }
  bitnet_generate_info info = BITNET_GENERATE_INFO_INIT;
  EXPECT_EQ(bitnet_generate_get_info(generator.get(), &info, nullptr), BITNET_OK);
  *accepted += info.accepted_tokens;
  return reply;
}

TEST_P(Contract, DraftsHeadsAndWeightsChangeNoReply) {
  const Model plain = open_model(GetParam(), nullptr, kEveryWayToKeep[0]);
  ASSERT_TRUE(plain);
  std::vector<int32_t> prompt = some_tokens(plain.get(), 12, 13);
  const std::vector<int32_t> once = prompt;
  prompt.insert(prompt.end(), once.begin(), once.end());
  uint64_t accepted = 0;
  for (float temperature : {0.0f, 0.7f}) {
    const std::string expected = reply_of(plain.get(), prompt, temperature, -1, &accepted);
    ASSERT_FALSE(expected.empty());
    for (const Kept& kept : kEveryWayToKeep) {
      const Model model = open_model(GetParam(), nullptr, kept);
      if (!model) continue;
      for (int32_t drafts : {-1, 0, 3}) {
        EXPECT_EQ(expected, reply_of(model.get(), prompt, temperature, drafts, &accepted))
            << "weights " << kept.weights << ", head " << kept.head << ", drafts " << drafts;
      }
    }
  }
  std::printf("  %llu drafts accepted\n", static_cast<unsigned long long>(accepted));
}

TEST_P(Contract, LongSequencesSplitByPagesGiveTheSameBits) {
  const Model model = open_model(GetParam());
  ASSERT_TRUE(model);
  const size_t context = static_cast<size_t>(info_of(model.get()).context_length);
  const size_t length = std::min<size_t>(context, 1300);  // 21 pages: three groups when split
  const std::vector<int32_t> tokens = some_tokens(model.get(), length, 7);
  std::vector<Rows> results;
  for (int threads : {1, 3}) {
    for (size_t tail : {size_t{1}, size_t{40}}) {  // few tokens split by pages, many do not
      const Ctx ctx = open_ctx(model.get(), threads, 128);
      decode(ctx.get(), model.get(), entries_of(tokens, 0, length - tail, 0, 0));
      const Rows rows = decode(ctx.get(), model.get(), entries_of(tokens, length - tail, length));
      const size_t vocab = rows.size() / tail;
      results.push_back({rows.end() - static_cast<ptrdiff_t>(vocab), rows.end()});
    }
  }
  for (const Rows& r : results) EXPECT_TRUE(same_bits(results[0], r));
}

TEST_P(Contract, SequencesInOneBatchAreAsIfAlone) {
  const Model model = open_model(GetParam());
  ASSERT_TRUE(model);
  constexpr int32_t kSequences = 5;
  std::vector<std::vector<int32_t>> tokens;
  std::vector<Rows> alone;
  for (int32_t s = 0; s < kSequences; ++s) {
    tokens.push_back(some_tokens(model.get(), 20 + 7 * static_cast<size_t>(s), 100u + s));
    alone.push_back(logits_of(model.get(), tokens.back(), 2, 128));
  }
  // Interleaved, token by token.
  const Ctx ctx = open_ctx(model.get(), 2, 16, 2048);
  std::vector<bitnet_batch_entry> entries;
  for (size_t p = 0; p < 60; ++p) {
    for (int32_t s = 0; s < kSequences; ++s) {
      const auto& own = tokens[static_cast<size_t>(s)];
      if (p < own.size()) {
        entries.push_back({own[p], static_cast<int32_t>(p), s, BITNET_WANT_LOGITS});
      }
    }
  }
  const Rows all = decode(ctx.get(), model.get(), entries);
  const size_t vocab = all.size() / entries.size();
  std::vector<Rows> together(kSequences);
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto row = all.begin() + static_cast<ptrdiff_t>(i * vocab);
    Rows& own = together[static_cast<size_t>(entries[i].sequence)];
    own.insert(own.end(), row, row + static_cast<ptrdiff_t>(vocab));
  }
  for (size_t s = 0; s < kSequences; ++s) EXPECT_TRUE(same_bits(alone[s], together[s])) << s;
}

TEST_P(Contract, ForksTruncationsAndSavedSequencesChangeNoBit) {
  const Model model = open_model(GetParam());
  ASSERT_TRUE(model);
  const std::vector<int32_t> tokens = some_tokens(model.get(), 150, 3);
  const Rows expected = logits_of(model.get(), tokens, 2, 128);
  const size_t vocab = expected.size() / tokens.size();
  const Rows tail(expected.begin() + static_cast<ptrdiff_t>(100 * vocab), expected.end());

  const Ctx ctx = open_ctx(model.get(), 2, 32, 2048);
  decode(ctx.get(), model.get(), entries_of(tokens, 0, 100));
  // A fork that goes another way does not disturb the original.
  ASSERT_EQ(bitnet_ctx_sequence_fork(ctx.get(), 0, 1, nullptr), BITNET_OK);
  std::vector<int32_t> other = tokens;
  for (size_t i = 100; i < other.size(); ++i) other[i] = tokens[149 - (i - 100)];
  decode(ctx.get(), model.get(), entries_of(other, 100, 130, 1));
  // Save, go on, come back.
  uint64_t bytes = 0;
  ASSERT_EQ(bitnet_ctx_save(ctx.get(), 0, nullptr, 0, &bytes, nullptr), BITNET_E_BUFFER);
  std::vector<uint8_t> saved(bytes);
  ASSERT_EQ(bitnet_ctx_save(ctx.get(), 0, saved.data(), bytes, &bytes, nullptr), BITNET_OK);
  EXPECT_TRUE(same_bits(tail, decode(ctx.get(), model.get(), entries_of(tokens, 100, 150))));
  ASSERT_EQ(bitnet_ctx_sequence_truncate(ctx.get(), 0, 100, nullptr), BITNET_OK);
  EXPECT_TRUE(same_bits(tail, decode(ctx.get(), model.get(), entries_of(tokens, 100, 150))));
  ASSERT_EQ(bitnet_ctx_load(ctx.get(), 2, saved.data(), bytes, nullptr), BITNET_OK);
  EXPECT_EQ(bitnet_ctx_sequence_length(ctx.get(), 2), 100u);
  EXPECT_EQ(bitnet_ctx_sequence_match(ctx.get(), 2, tokens.data(), tokens.size()), 100u);
  EXPECT_TRUE(same_bits(tail, decode(ctx.get(), model.get(), entries_of(tokens, 100, 150, 2))));
  // The fork can be brought back to the common beginning.
  ASSERT_EQ(bitnet_ctx_sequence_truncate(ctx.get(), 1, 100, nullptr), BITNET_OK);
  EXPECT_TRUE(same_bits(tail, decode(ctx.get(), model.get(), entries_of(tokens, 100, 150, 1))));
}

TEST_P(Contract, EveryDamagedSavedSequenceIsRefusedAndChangesNothing) {
  const Model model = open_model(GetParam());
  ASSERT_TRUE(model);
  const std::vector<int32_t> tokens = some_tokens(model.get(), 12, 4);
  const Ctx ctx = open_ctx(model.get(), 1, 32);
  decode(ctx.get(), model.get(), entries_of(tokens, 0, 12));
  uint64_t bytes = 0;
  (void)bitnet_ctx_save(ctx.get(), 0, nullptr, 0, &bytes, nullptr);
  std::vector<uint8_t> saved(bytes);
  ASSERT_EQ(bitnet_ctx_save(ctx.get(), 0, saved.data(), bytes, &bytes, nullptr), BITNET_OK);
  const size_t step = std::max<size_t>(1, saved.size() / 2000);
  for (size_t i = 0; i < saved.size(); i += i < 200 ? 1 : step) {
    std::vector<uint8_t> damaged = saved;
    damaged[i] ^= 0x10;
    EXPECT_NE(bitnet_ctx_load(ctx.get(), 0, damaged.data(), bytes, nullptr), BITNET_OK) << i;
    const std::vector<uint8_t> shorter(saved.begin(), saved.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_NE(bitnet_ctx_load(ctx.get(), 0, i ? shorter.data() : saved.data(), i, nullptr),
              BITNET_OK)
        << i;
  }
  EXPECT_EQ(bitnet_ctx_sequence_length(ctx.get(), 0), 12u);
}

TEST_P(Contract, HostsThreadsAndFloatModeChangeNoBit) {
  const Model model = open_model(GetParam());
  ASSERT_TRUE(model);
  const std::vector<int32_t> tokens = some_tokens(model.get(), 40, 5);
  const Rows expected = logits_of(model.get(), tokens, 1, 128);
  bitnet_ctx_options options = BITNET_CTX_OPTIONS_INIT;
  options.threads = 3;
  options.execute = [](void*, void (*task)(void*, int32_t), void* argument, int32_t count) {
    std::vector<std::thread> threads;
    for (int32_t i = count - 1; i >= 0; --i) {
      threads.emplace_back([=] {
        set_float_mode(kHostMode);
        task(argument, i);
      });
    }
    for (std::thread& t : threads) t.join();
  };
  bitnet_ctx* raw = nullptr;
  ASSERT_EQ(bitnet_ctx_open(model.get(), &options, &raw, nullptr), BITNET_OK);
  const Ctx ctx(raw);
  const uint64_t saved = float_mode();
  set_float_mode(kHostMode);
  const auto entries = entries_of(tokens, 0, 40);
  const bitnet_status status = bitnet_ctx_decode(ctx.get(), entries.data(), 40, nullptr);
  EXPECT_EQ(float_mode(), kHostMode) << "the host's mode was not put back";
  set_float_mode(saved);
  ASSERT_EQ(status, BITNET_OK);
  Rows rows;
  for (size_t i = 0; i < 40; ++i) {
    const float* logits = nullptr;
    ASSERT_EQ(bitnet_ctx_logits(ctx.get(), i, &logits, nullptr), BITNET_OK);
    rows.insert(rows.end(), logits, logits + info_of(model.get()).vocab_size);
  }
  EXPECT_TRUE(same_bits(expected, rows));
}

TEST_P(Contract, ContextsOfOneModelRunSideBySide) {
  const Model model = open_model(GetParam());
  ASSERT_TRUE(model);
  const std::vector<int32_t> tokens = some_tokens(model.get(), 64, 6);
  const Rows expected = logits_of(model.get(), tokens, 1, 128);
  std::vector<Rows> results(4);
  std::vector<std::thread> threads;
  for (Rows& r : results) {
    threads.emplace_back([&] { r = logits_of(model.get(), tokens, 2, 16); });
  }
  for (std::thread& t : threads) t.join();
  for (const Rows& r : results) EXPECT_TRUE(same_bits(expected, r));
}

TEST_P(Contract, FailedBatchesLeaveEverySequenceAsItWas) {
  const Model model = open_model(GetParam());
  ASSERT_TRUE(model);
  const std::vector<int32_t> tokens = some_tokens(model.get(), 64, 8);
  const Rows expected = logits_of(model.get(), tokens, 1, 128);
  const size_t vocab = expected.size() / tokens.size();
  const Ctx ctx = open_ctx(model.get(), 2, 16, 128);
  decode(ctx.get(), model.get(), entries_of(tokens, 0, 30));
  const auto refused = [&](std::vector<bitnet_batch_entry> entries, bitnet_status status,
                           const char* text) {
    bitnet_error why = BITNET_ERROR_INIT;
    EXPECT_EQ(bitnet_ctx_decode(ctx.get(), entries.data(), entries.size(), &why), status);
    EXPECT_NE(std::strstr(why.message, text), nullptr) << why.message;
    EXPECT_EQ(bitnet_ctx_sequence_length(ctx.get(), 0), 30u);
    EXPECT_EQ(bitnet_ctx_sequence_length(ctx.get(), 1), 0u);
  };
  auto entries = entries_of(tokens, 30, 40);
  entries[9].token = -1;
  refused(entries, BITNET_E_ARGUMENT, "entry 9: token -1");
  entries = entries_of(tokens, 30, 40);
  entries[5].position = 34;
  refused(entries, BITNET_E_ARGUMENT,
          "entry 5: position 34 of sequence 0; the next position is 35");
  entries = entries_of(tokens, 30, 40);
  entries[3].sequence = 16;
  refused(entries, BITNET_E_ARGUMENT, "sequence 16");
  entries = entries_of(tokens, 30, 40);
  entries[3].want = 64;
  refused(entries, BITNET_E_ARGUMENT, "want");
  // Too long for what is left of the cache: 128 positions, 64 of them taken by sequence 0's page.
  std::vector<int32_t> many(65, tokens[0]);
  entries = entries_of(many, 0, 65, 1);
  refused(entries, BITNET_E_CONTEXT_FULL, "64 positions left");
  bitnet_ctx_cancel(ctx.get());
  refused(entries_of(tokens, 30, 40), BITNET_E_CANCELLED, "cancelled");
  const Rows rows = decode(ctx.get(), model.get(), entries_of(tokens, 30, 64));
  EXPECT_TRUE(
      same_bits(Rows(expected.begin() + static_cast<ptrdiff_t>(30 * vocab), expected.end()), rows));
}

INSTANTIATE_TEST_SUITE_P(Models, Contract, ::testing::ValuesIn(model_paths()), [](const auto& p) {
  std::string name = p.param.substr(p.param.rfind('/') + 1);
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
});

TEST(ContractModels, AreGiven) {
  EXPECT_FALSE(model_paths().empty()) << "set BITNET_MODELS to paths separated by ':'";
}

}  // namespace
