// What `bench` runs: one repetition of one test on one context, timed, with what the context and
// the generator counted meanwhile.
#pragma once

#include <string>
#include <vector>

#include "common.h"

namespace cli {

// A text that a generator writes, to learn what tokens tried ahead gain.
struct ReplyKind {
  const char* name;
  float temperature;
  bool copies;           // the prompt is a text, the model's reply to it, and the text again
  size_t words;          // tokens the reply is held to, so that any model repeats itself; 0: all
  size_t prompt_tokens;  // of the text at most
};

struct BenchTest {
  enum Kind { prefill, decode, reply } kind;
  std::string name;
  uint32_t tokens;  // of the prompt; or new ones, in each sequence
  // decode
  int32_t sequences = 1, first_sequence = 0;
  uint32_t depth = 0;   // positions in each sequence before the first new token
  bool logits = false;  // every logit is computed, not only what the pick needs
  // reply
  const ReplyKind* text = nullptr;
  int32_t drafts = -1;  // as in bitnet_generate_options
};

struct BenchRun {
  uint64_t tokens = 0;  // of all sequences
  double seconds = 0;
  bitnet_ctx_stats work = BITNET_CTX_STATS_INIT;  // of this run: counters and seconds only
  uint64_t drafted = 0, accepted = 0;
  std::vector<int32_t> written;  // by a reply

  double speed() const { return static_cast<double>(tokens) / seconds; }
};

// A context that is measured. Prefill and replies use sequence 0, decode those of its test.
struct Subject {
  const bitnet_model* model;
  Context ctx;
  Sampler greedy;
  uint64_t vocab_size;
};

// Positions that a reply of so many tokens takes at most.
uint64_t reply_positions(const ReplyKind& text, uint32_t tokens);

// Runs a test once. Decoding behind a prompt reads the prompt before the clock starts, and only in
// the first run: later ones find it in their sequences.
BenchRun run_test(const Subject& subject, const BenchTest& test);

}  // namespace cli
