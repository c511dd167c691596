// The loop a caller sees: prompt in, whole UTF-8 pieces of the reply out, one by one.
//
// Where the text seems to repeat itself, a pass over the weights also computes tokens that are only
// guessed to come (session/drafts.h) and all picks that turn out to be right are kept for the calls
// of next() that follow. A token's logits do not depend on what shares its batch, so the picks are
// those of plain decoding; and nothing that is ahead shows: tokens, sequence, failures and
// cancellations are at every call what they would be without it.
#pragma once

#include <string_view>

#include "base/memory.h"
#include "base/status.h"
#include "forward/context.h"
#include "sample/sampler.h"
#include "session/drafts.h"
#include "session/stop.h"
#include "tokens/tokenizer.h"

namespace bitnet {

// Uses one sequence of a context, which must outlive it. Not thread-safe.
class Generator {
 public:
  struct Options {
    int32_t sequence = 0;
    int32_t vocabulary = 0;  // tokens below this can be picked: those that have a text
    Vec<int32_t> prompt;     // at least one token
    Vec<String> stop;
    uint64_t max_tokens = UINT64_MAX;
    SamplerOptions sampling;
    bool ignore_end = false;
    bool show_special = false;
    bool continues_text = false;  // the prompt is text the reply goes on with: keep a leading space
    int32_t draft_tokens = 0;     // a pass: at most so many; 0: as many as pay; -1: none
  };
  struct Info {
    bitnet_end_reason end = BITNET_END_NONE;
    uint64_t prompt_tokens = 0, reused_tokens = 0;
    uint64_t drafted = 0, accepted = 0;  // guessed tokens that were computed; those that were right
    double prompt_seconds = 0, decode_seconds = 0;
  };

  static Result<Ptr<Generator>> open(Context& context, const Tokenizer& tokenizer,
                                     const Options& options);

  // The next piece, which lives until the next call; empty when the reply is over.
  // After a failure the same call can be made again and goes on where it stopped.
  Result<std::string_view> next();

  const Info& info() const noexcept { return info_; }
  // Of the reply, without the end token; until the next call.
  std::span<const int32_t> tokens() const noexcept {
    return std::span<const int32_t>(history_).subspan(info_.prompt_tokens);
  }

  // Use open().
  Generator(Context& context, const Tokenizer& tokenizer, const Options& options,
            Ptr<Sampler> sampler, StopMatcher stop);

 private:
  Status advance();
  Status step();
  bool show_ahead() noexcept;
  Status decode_history(uint64_t drafts);
  uint64_t draft_count() const noexcept;
  Status pick_all(uint64_t drafts);
  Status pick(uint64_t entry, int32_t* token);
  Status append(int32_t token);
  void end(bitnet_end_reason reason);

  Context& context_;
  const Tokenizer& tokenizer_;
  const int32_t sequence_, vocabulary_;
  const uint64_t max_tokens_;
  const int64_t draft_tokens_;
  const bool ignore_end_;
  Ptr<Sampler> sampler_;
  const uint32_t want_;  // what an entry of a batch must give for pick()
  StopMatcher stop_;
  StreamDecoder decoder_;
  Info info_;
  Vec<int32_t> history_;  // prompt and reply: what the sequence holds or will hold
  Vec<bitnet_batch_entry> batch_;
  // Tokens picked and accepted by the sampler; those from next_pick_ on follow history_.
  Vec<int32_t> picks_;
  size_t next_pick_ = 0;
  Drafts drafts_;
  bool memory_short_ = false;  // a pass with drafts ran out of it: there are none any more
  String decoded_;             // what the decoder gave for one token
  String piece_;               // what next() returned
};

}  // namespace bitnet
