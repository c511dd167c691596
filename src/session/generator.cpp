#include "session/generator.h"

#include <algorithm>
#include <chrono>

namespace bitnet {
namespace {

// Prompt tokens decoded in one go: large enough to be fast, small enough that a cancelled prompt
// has most of its work kept.
constexpr size_t kSlice = 512;

double now() noexcept {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
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
      ignore_end_(options.ignore_end),
      sampler_(std::move(sampler)),
      stop_(std::move(stop)),
      decoder_(tokenizer, options.show_special, !options.continues_text),
      history_(options.prompt) {
  info_.prompt_tokens = options.prompt.size();
  batch_.reserve(std::min(history_.size(), kSlice));
}

Result<std::string_view> Generator::next() {
  piece_.clear();
  while (piece_.empty() && info_.end == BITNET_END_NONE) BITNET_TRY(advance());
  return std::string_view(piece_);
}

// One token: decode what is not decoded, pick, hand the text on.
Status Generator::advance() {
  if (tokens().size() >= max_tokens_) {
    end(BITNET_END_LIMIT);
    return {};
  }
  const bool replying = !tokens().empty();
  const double started = now();
  Status decoded = decode_history();
  if (!replying) info_.prompt_seconds += now() - started;
  if (decoded.code() == BITNET_E_CONTEXT_FULL && replying) {
    end(BITNET_END_CONTEXT);
    return {};
  }
  BITNET_TRY(decoded);

  int32_t token;
  const Status picked =
      sampler_->pick(context_.logits(context_.entries() - 1), vocabulary_, &token);
  if (replying) info_.decode_seconds += now() - started;
  if (picked.code() == BITNET_E_ARGUMENT) {  // the options were checked when the sampler was opened
    return Status::error(BITNET_E_FORMAT, "the model does not compute numbers: %s", picked.text());
  }
  BITNET_TRY(picked);
  if (!ignore_end_ && tokenizer_.is_end(token)) {
    end(BITNET_END_TOKEN);
    return {};
  }
  return append(token);
}

// Brings the sequence to exactly history_, keeping what it holds of it already, with logits for the
// last token. The last token is always decoded here, so that its logits are this call's.
Status Generator::decode_history() {
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
  while (held < history_.size()) {
    const uint64_t count = std::min<uint64_t>(kSlice, history_.size() - held);
    batch_.clear();
    for (uint64_t i = held; i < held + count; ++i) {
      const bool last = i + 1 == history_.size();
      batch_.push_back({history_[i], static_cast<int32_t>(i), sequence_,
                        last ? uint32_t{BITNET_WANT_LOGITS} : 0});
    }
    BITNET_TRY(context_.decode(batch_));
    held += count;
  }
  return {};
}

Status Generator::append(int32_t token) {
  // All memory first: once the sampler has moved on, nothing may fail.
  BITNET_LET(const std::string_view text, tokenizer_.piece(token, true));
  if (history_.size() == history_.capacity()) history_.reserve(2 * history_.size());
  decoded_.clear();
  decoded_.reserve(3 * text.size() + 16);  // a broken byte becomes the three of U+FFFD
  piece_.reserve(piece_.size() + stop_.held() + decoded_.capacity());
  BITNET_TRY(sampler_->accept(token));

  history_.push_back(token);
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
