#include "session/generator.h"

#include <algorithm>
#include <chrono>

#include "session/pick.h"

namespace bitnet {
namespace {

// Prompt tokens decoded in one go: large enough to be fast, small enough that a cancelled prompt
// has most of its work kept.
constexpr size_t kSlice = 512;
// Drafts of a pass lie in one page of the cache (KvCache::keep_ahead()).
constexpr int32_t kMostDrafts = kPagePositions - 1;

double now() noexcept {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// What tokens that are picked from want. Bounds that a pick cannot do with cost a second reading of
// the head; an unscreened device computes all logits anyway, and keeps them.
uint32_t wanted(const Context& context, const Sampler& sampler, int64_t vocabulary) noexcept {
  const Weights& weights = context.weights();
  const bool all = weights.device ? weights.screened() && !sampler.always_selects(vocabulary)
                                  : sampler.needs_all_logits(vocabulary);
  return all ? BITNET_WANT_LOGITS : BITNET_WANT_SAMPLE;
}

}  // namespace

Result<Ptr<Generator>> Generator::open(Context& context, const Tokenizer& tokenizer,
                                       const Options& options) {
  if (options.sequence < 0 || options.sequence >= context.cache().sequences()) {
    return Status::error(BITNET_E_ARGUMENT, "sequence %d is not in 0..%lld", options.sequence,
                         static_cast<long long>(context.cache().sequences() - 1));
  }
  if (options.prompt.empty()) {
    return Status::error(BITNET_E_ARGUMENT, "the prompt has no tokens; one is the least");
  }
  const int64_t vocab = context.weights().model.hyper.vocab;
  for (size_t i = 0; i < options.prompt.size(); ++i) {
    if (options.prompt[i] < 0 || options.prompt[i] >= vocab) {
      return Status::error(BITNET_E_ARGUMENT, "prompt token %zu: %d is not in 0..%lld", i,
                           options.prompt[i], static_cast<long long>(vocab - 1));
    }
  }
  for (const LogitBias& bias : options.sampling.bias) {
    if (bias.token >= options.vocabulary) {
      return Status::error(BITNET_E_ARGUMENT, "a bias is for token %d, the last one is %d",
                           bias.token, options.vocabulary - 1);
    }
  }
  if (options.draft_tokens < -1 || options.draft_tokens > kMostDrafts) {
    return Status::error(BITNET_E_ARGUMENT, "draft tokens: %d is not in -1..%d",
                         options.draft_tokens, kMostDrafts);
  }
  const int64_t room = context.room();
  if (static_cast<int64_t>(options.prompt.size()) > room) {
    return Status::error(BITNET_E_CONTEXT_FULL,
                         "the prompt has %zu tokens, the context has room for %lld",
                         options.prompt.size(), static_cast<long long>(room));
  }
  BITNET_LET(Ptr<Sampler> sampler, Sampler::open(options.sampling));
  BITNET_LET(StopMatcher stop, StopMatcher::open(options.stop));
  context.forget_cancel();
  return make<Generator>(context, tokenizer, options, std::move(sampler), std::move(stop));
}

Generator::Generator(Context& context, const Tokenizer& tokenizer, const Options& options,
                     Ptr<Sampler> sampler, StopMatcher stop)
    : context_(context),
      tokenizer_(tokenizer),
      sequence_(options.sequence),
      vocabulary_(options.vocabulary),
      max_tokens_(options.max_tokens),
      draft_tokens_(options.draft_tokens),
      ignore_end_(options.ignore_end),
      sampler_(std::move(sampler)),
      want_(wanted(context, *sampler_, vocabulary_)),
      stop_(std::move(stop)),
      decoder_(tokenizer, options.show_special, !options.continues_text),
      history_(options.prompt) {
  info_.prompt_tokens = options.prompt.size();
  batch_.reserve(std::max(std::min(history_.size(), kSlice), size_t{kMostDrafts} + 1));
  picks_.reserve(size_t{kMostDrafts} + 1);
  if (draft_tokens_ < 0) return;
  drafts_.reserve(history_.size());
  drafts_.follow(history_);
}

Result<std::string_view> Generator::next() {
  piece_.clear();
  while (piece_.empty() && info_.end == BITNET_END_NONE) BITNET_TRY(advance());
  return std::string_view(piece_);
}

// One token: have it picked, hand its text on.
Status Generator::advance() {
  if (tokens().size() >= max_tokens_) {
    end(BITNET_END_LIMIT);
    return {};
  }
  const bool replying = !tokens().empty();
  const double started = now();
  const Status stepped = step();
  (replying ? info_.decode_seconds : info_.prompt_seconds) += now() - started;
  if (stepped.code() == BITNET_E_CONTEXT_FULL && replying) {
    end(BITNET_END_CONTEXT);
    return {};
  }
  BITNET_TRY(stepped);
  const int32_t token = picks_[next_pick_];
  if (!ignore_end_ && tokenizer_.is_end(token)) {
    end(BITNET_END_TOKEN);
    return {};
  }
  return append(token);
}

// Makes the sequence hold history_ and has the token picked that follows it. If it was picked
// before, the sequence still becomes what picking it now would make it.
Status Generator::step() {
  if (next_pick_ < picks_.size()) {
    BITNET_TRY(context_.check_cancelled());
    return show_ahead() ? Status() : decode_history(0);
  }
  const uint64_t drafts = draft_count();
  BITNET_TRY(decode_history(drafts));
  return pick_all(drafts);
}

// Whether the sequence holds history_, its last token perhaps computed ahead.
bool Generator::show_ahead() noexcept {
  KvCache& cache = context_.cache();
  const uint64_t held = cache.match(sequence_, history_);
  if (static_cast<uint64_t>(cache.length(sequence_)) != held) return false;
  return held == history_.size() ||
         (held + 1 == history_.size() && cache.advance(sequence_, history_.back()));
}

// How many tokens to guess: none if plain decoding would not come to use them all.
uint64_t Generator::draft_count() const noexcept {
  if (draft_tokens_ < 0 || tokens().empty() || memory_short_ || drafts_.matched() == 0) return 0;
  const int64_t length = static_cast<int64_t>(history_.size());
  const int64_t page_end = (length + kPagePositions - 1) / kPagePositions * kPagePositions;
  const uint64_t left = max_tokens_ - tokens().size() - 1;
  int64_t most = std::min(page_end, context_.room()) - length;
  if (left < uint64_t{kMostDrafts}) most = std::min(most, static_cast<int64_t>(left));
  if (most <= 0) return 0;
  if (draft_tokens_ > 0) return static_cast<uint64_t>(std::min(most, draft_tokens_));
  return static_cast<uint64_t>(best_draft_count(drafts_, context_.pass_costs(), most));
}

// Brings the sequence to exactly history_, keeping what it holds of it already, with what pick()
// needs for the last token. The last token is always decoded here, so that this is this call's, and
// with it, kept ahead, the drafts.
Status Generator::decode_history(uint64_t drafts) {
  KvCache& cache = context_.cache();
  uint64_t held = std::min<uint64_t>(cache.match(sequence_, history_), history_.size() - 1);
  if (tokens().empty() && info_.prompt_seconds == 0) info_.reused_tokens = held;
  if (!cache.can_extend(sequence_, static_cast<int64_t>(held),
                        static_cast<int64_t>(history_.size()))) {
    return Status::error(BITNET_E_CONTEXT_FULL,
                         "%zu tokens need more than other sequences leave of the cache's %lld "
                         "positions",
                         history_.size(), static_cast<long long>(cache.positions()));
  }
  cache.truncate(sequence_, static_cast<int64_t>(held));
  double seconds = 0;
  while (held < history_.size()) {
    const uint64_t count = std::min<uint64_t>(kSlice, history_.size() - held);
    batch_.clear();
    for (uint64_t i = held; i < held + count; ++i) {
      const bool last = i + 1 == history_.size();
      batch_.push_back(
          {history_[i], static_cast<int32_t>(i), sequence_, last ? want_ : uint32_t{0}});
    }
    held += count;
    if (held == history_.size()) {
      for (uint64_t i = 0; i < drafts; ++i) {
        batch_.push_back(
            {drafts_.guess(history_, i), static_cast<int32_t>(held + i), sequence_, want_});
      }
    }
    const double started = now();
    memory_short_ |= drafts > 0;  // should decode() throw
    const Status decoded = context_.decode(batch_);
    memory_short_ &= drafts == 0;
    BITNET_TRY(decoded);
    seconds = now() - started;
  }
  cache.keep_ahead(sequence_, static_cast<int64_t>(history_.size()));
  if (batch_.size() == drafts + 1) {
    context_.pass_costs().learn(static_cast<int64_t>(drafts) + 1, seconds);
  }
  info_.drafted += drafts;
  return {};
}

// Picks from the last pass as far as its drafts were right. The sampler moves on with each pick as
// in plain decoding. A later pick that fails has its turn when a pass begins with it.
Status Generator::pick_all(uint64_t drafts) {
  picks_.clear();
  next_pick_ = 0;
  const uint64_t first = batch_.size() - 1 - drafts;
  for (uint64_t entry = first; entry < batch_.size(); ++entry) {
    int32_t token;
    const Status picked = pick(entry, &token);
    if (!picked.ok()) return entry == first ? picked : Status();
    const bool drafted = entry + 1 < batch_.size() && batch_[entry + 1].token == token;
    const bool ends = !ignore_end_ && tokenizer_.is_end(token);
    if (!ends) BITNET_TRY(sampler_->accept(token));
    picks_.push_back(token);
    info_.accepted += drafted;
    if (ends || !drafted) break;
  }
  return {};
}

// The one place where a token is chosen: for the one after this entry of the last batch.
Status Generator::pick(uint64_t entry, int32_t* token) {
  const Status picked = pick_token(context_.read_out(), entry, vocabulary_, *sampler_, token);
  if (picked.code() == BITNET_E_ARGUMENT) {  // the options were checked when the sampler was opened
    return Status::error(BITNET_E_FORMAT, "the model does not compute numbers: %s", picked.text());
  }
  return picked;
}

Status Generator::append(int32_t token) {
  // All memory first: once the token is in history_, nothing may fail.
  BITNET_LET(const std::string_view text, tokenizer_.piece(token, true));
  if (history_.size() == history_.capacity()) history_.reserve(2 * history_.size());
  if (draft_tokens_ >= 0) drafts_.reserve(history_.size() + 1);
  decoded_.clear();
  decoded_.reserve(3 * text.size() + 16);  // a broken byte becomes the three of U+FFFD
  piece_.reserve(piece_.size() + stop_.held() + decoded_.capacity());

  history_.push_back(token);
  ++next_pick_;
  drafts_.follow(history_);
  BITNET_TRY(decoder_.push(token, decoded_));
  if (stop_.push(decoded_, piece_)) {
    info_.end = BITNET_END_STOP;
  } else if (tokens().size() >= max_tokens_) {
    end(BITNET_END_LIMIT);
  }
  return {};
}

// Nothing more will come: what was held back is text after all.
void Generator::end(bitnet_end_reason reason) {
  decoded_.clear();
  decoder_.finish(decoded_);
  const bool stopped = stop_.push(decoded_, piece_) || stop_.finish(piece_);
  info_.end = stopped ? BITNET_END_STOP : reason;
}

}  // namespace bitnet
