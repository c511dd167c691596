#include "bench_runs.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "generate.h"

namespace cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Any tokens do: how long they take does not depend on which they are.
int32_t some_token(const Subject& subject, uint64_t number) {
  return static_cast<int32_t>((number * 2654435761 + 1) % subject.vocab_size);
}

void truncate(const Subject& subject, int32_t sequence, uint64_t positions) {
  bitnet_error why = BITNET_ERROR_INIT;
  check(bitnet_ctx_sequence_truncate(subject.ctx.get(), sequence, positions, &why), why);
}

// Makes a sequence hold `positions` positions, with `want` for the last of those it reads.
void read_prompt(const Subject& subject, int32_t sequence, uint64_t positions, uint32_t want) {
  truncate(subject, sequence, positions);
  std::vector<bitnet_batch_entry> entries;
  const uint64_t held = bitnet_ctx_sequence_length(subject.ctx.get(), sequence);
  for (uint64_t i = held; i < positions; ++i) {
    const int32_t token = some_token(subject, i);
    entries.push_back({token, static_cast<int32_t>(i), sequence, 0});
  }
  if (entries.empty()) return;
  entries.back().want = want;
  bitnet_error why = BITNET_ERROR_INIT;
  check(bitnet_ctx_decode(subject.ctx.get(), entries.data(), entries.size(), &why), why);
}

// Copies with pages of their own, unlike a fork: as if each had read the prompt itself, but quick.
void read_prompts(const Subject& subject, const BenchTest& test) {
  read_prompt(subject, test.first_sequence, test.depth, 0);
  std::vector<uint8_t> saved;
  for (int32_t i = 1; i < test.sequences; ++i) {
    const int32_t sequence = test.first_sequence + i;
    truncate(subject, sequence, test.depth);
    if (bitnet_ctx_sequence_length(subject.ctx.get(), sequence) == test.depth) continue;
    if (saved.empty()) {
      saved = query_then_fill<std::vector<uint8_t>>(
          [&](uint8_t* buffer, uint64_t capacity, uint64_t* bytes, bitnet_error* why) {
            return bitnet_ctx_save(subject.ctx.get(), test.first_sequence, buffer, capacity, bytes,
                                   why);
          });
    }
    bitnet_error why = BITNET_ERROR_INIT;
    check(bitnet_ctx_load(subject.ctx.get(), sequence, saved.data(), saved.size(), &why), why);
  }
}

BenchRun run_prefill(const Subject& subject, const BenchTest& test) {
  truncate(subject, 0, 0);
  BenchRun run;
  const Clock::time_point start = Clock::now();
  read_prompt(subject, 0, test.tokens, BITNET_WANT_SAMPLE);
  run.seconds = seconds_since(start);
  run.tokens = test.tokens;
  truncate(subject, 0, 0);
  return run;
}

int32_t pick(const Subject& subject, uint64_t entry, bool from_logits) {
  bitnet_error why = BITNET_ERROR_INIT;
  int32_t token = 0;
  if (from_logits) {
    const float* logits = nullptr;
    check(bitnet_ctx_logits(subject.ctx.get(), entry, &logits, &why), why);
    check(bitnet_sample(subject.greedy.get(), logits, subject.vocab_size, &token, &why), why);
  } else {
    check(bitnet_ctx_sample(subject.ctx.get(), entry, 0, subject.greedy.get(), &token, &why), why);
  }
  return token;
}

// A batch has one entry for each sequence, and picks the tokens of the next.
BenchRun run_decode(const Subject& subject, const BenchTest& test) {
  read_prompts(subject, test);
  std::vector<bitnet_batch_entry> entries;
  for (int32_t i = 0; i < test.sequences; ++i) {
    entries.push_back({some_token(subject, static_cast<uint64_t>(i)),
                       static_cast<int32_t>(test.depth), test.first_sequence + i,
                       test.logits ? BITNET_WANT_LOGITS : BITNET_WANT_SAMPLE});
  }
  bitnet_error why = BITNET_ERROR_INIT;
  BenchRun run;
  const Clock::time_point start = Clock::now();
  for (uint32_t n = 0; n < test.tokens; ++n) {
    check(bitnet_ctx_decode(subject.ctx.get(), entries.data(), entries.size(), &why), why);
    for (size_t i = 0; i < entries.size(); ++i) {
      entries[i].token = pick(subject, i, test.logits);
      ++entries[i].position;
    }
  }
  run.seconds = seconds_since(start);
  run.tokens = uint64_t{test.tokens} * entries.size();
  return run;
}

// ---- Replies ------------------------------------------------------------------------------------

constexpr std::string_view passage =
    "The harbour of the old town lies behind two long walls of grey stone. In the morning, before "
    "the sun has reached the roofs, eleven boats come home with herring, crabs and now and then a "
    "large blue lobster. Women with baskets wait on the steps; a boy counts the boats aloud and "
    "writes their names on a slate: Martha, Swallow, Good Hope, Thomas, Seven Brothers. When the "
    "last rope is fast, the master of the harbour rings a small brass bell, and the market opens. "
    "By noon everything is sold. The nets hang from wooden poles to dry, cats sleep on the warm "
    "planks, and the painters from the city unfold their chairs. Only when the wind turns to the "
    "north does nobody paint or sleep: then every hand is needed to pull the boats up the beach, "
    "for the waves of January have broken stronger walls than these.";

// So large a bias that no other token is picked.
std::vector<bitnet_logit_bias> only(size_t words, const std::vector<int32_t>& prompt) {
  std::vector<bitnet_logit_bias> favoured;
  for (int32_t token : std::set<int32_t>(prompt.begin(), prompt.end())) {
    if (favoured.size() < words) favoured.push_back({token, 1e4f});
  }
  return favoured;
}

// A reply, and what its generator counted.
struct Written {
  std::vector<int32_t> tokens;
  bitnet_generate_info info;  // without its tokens, which went with the generator
};
Written write_reply(const Subject& subject, const std::vector<int32_t>& tokens,
                    const GenerationSettings& settings) {
  truncate(subject, 0, 0);
  bitnet_generate_options prompt = BITNET_GENERATE_OPTIONS_INIT;
  prompt.tokens = tokens.data();
  prompt.token_count = tokens.size();
  const Generator generator = open_generator(subject.ctx.get(), settings, prompt);

  bitnet_error why = BITNET_ERROR_INIT;
  const char* piece = nullptr;
  uint64_t bytes = 0;
  bitnet_status status;
  do {
    status = bitnet_generate_next(generator.get(), &piece, &bytes, &why);
  } while (status == BITNET_OK);
  if (status != BITNET_DONE) check(status, why);
  truncate(subject, 0, 0);
  Written written = {{}, generator_info(generator.get())};
  written.tokens.assign(written.info.tokens, written.info.tokens + written.info.token_count);
  written.info.tokens = nullptr;
  return written;
}

// The speed is that of the tokens behind the first: the prompt's pass gives the first.
BenchRun run_reply(const Subject& subject, const BenchTest& test) {
  // The prompt leaves room for the reply in the model's context.
  const ReplyKind& text = *test.text;
  const auto context = static_cast<size_t>(model_info(subject.model).context_length);
  const size_t room = context > 2 * test.tokens ? context - 2 * test.tokens : 0;
  std::vector<int32_t> prompt = tokenize(subject.model, passage, BITNET_TOKENIZE_SPECIAL);
  prompt.resize(std::min({prompt.size(), text.prompt_tokens, room / 2}));

  const std::vector<bitnet_logit_bias> favoured = only(text.words, prompt);
  GenerationSettings settings;
  settings.max_tokens = test.tokens;
  settings.ignore_end = true;
  settings.drafts = -1;
  settings.sampling.temperature = text.temperature;
  settings.sampling.bias = favoured.data();
  settings.sampling.bias_count = static_cast<uint32_t>(favoured.size());
  if (text.copies) {
    const std::vector<int32_t> once = prompt;
    const std::vector<int32_t> reply = write_reply(subject, prompt, settings).tokens;
    prompt.insert(prompt.end(), reply.begin(), reply.end());
    prompt.insert(prompt.end(), once.begin(), once.end());
  }

  settings.drafts = test.drafts;
  Written written = write_reply(subject, prompt, settings);
  if (written.info.token_count < 2) {
    throw Failure(test.name + ": the reply ended before its second token");
  }
  BenchRun run;
  run.tokens = written.info.token_count - 1;
  run.seconds = written.info.decode_seconds;
  run.drafted = written.info.drafted_tokens;
  run.accepted = written.info.accepted_tokens;
  run.written = std::move(written.tokens);
  return run;
}

BenchRun run_kind(const Subject& subject, const BenchTest& test) {
  switch (test.kind) {
    case BenchTest::prefill:
      return run_prefill(subject, test);
    case BenchTest::decode:
      return run_decode(subject, test);
    case BenchTest::reply:
      return run_reply(subject, test);
  }
  return {};
}

// What the counters grew by. The bound is the largest met so far: it does not add up.
bitnet_ctx_stats difference(const bitnet_ctx_stats& before, bitnet_ctx_stats after) {
  after.single_tokens -= before.single_tokens;
  after.single_seconds -= before.single_seconds;
  after.weight_seconds -= before.weight_seconds;
  after.attention_seconds -= before.attention_seconds;
  after.screened_tokens -= before.screened_tokens;
  after.screened_rows -= before.screened_rows;
  after.full_tokens -= before.full_tokens;
  return after;
}

}  // namespace

uint64_t reply_positions(const ReplyKind& text, uint32_t tokens) {
  return text.copies ? 2 * (text.prompt_tokens + tokens) : text.prompt_tokens + tokens;
}

BenchRun run_test(const Subject& subject, const BenchTest& test) {
  const bitnet_ctx_stats before = context_stats(subject.ctx.get());
  BenchRun run = run_kind(subject, test);
  run.work = difference(before, context_stats(subject.ctx.get()));
  return run;
}

}  // namespace cli
