// Samplers and generators.
#include "api/handles.h"
#include "session/pick.h"

namespace bitnet {

// Defined in text.cpp.
Status chat_tokens(const LoadedModel& model, const bitnet_message* messages, uint64_t count,
                   const char* template_name, Vec<int32_t>& out);

namespace {

Status sampling_of(const bitnet_sampler_options* from, Vec<LogitBias>& bias, SamplerOptions* to) {
  bitnet_sampler_options o = BITNET_SAMPLER_OPTIONS_INIT;
  BITNET_TRY(read_options(from, &o, "bitnet_sampler_options"));
  BITNET_REQUIRE(o.bias || o.bias_count == 0, "bias is NULL but bias_count is not 0");
  for (uint32_t i = 0; i < o.bias_count; ++i) bias.push_back({o.bias[i].token, o.bias[i].bias});
  to->temperature = o.temperature;
  to->top_k = o.top_k;
  to->top_p = o.top_p;
  to->min_p = o.min_p;
  to->repeat_penalty = o.repeat_penalty;
  to->frequency_penalty = o.frequency_penalty;
  to->presence_penalty = o.presence_penalty;
  to->penalty_window = o.penalty_window;
  to->seed = o.seed;
  to->bias = bias;
  return {};
}

Status prompt_of(const bitnet_ctx* ctx, const bitnet_generate_options& o, Generator::Options* to) {
  const int given = (o.prompt != nullptr) + (o.messages != nullptr) + (o.tokens != nullptr);
  if (given != 1) {
    return Status::error(BITNET_E_ARGUMENT,
                         "exactly one of prompt, messages and tokens must be set, %d are", given);
  }
  const LoadedModel& model = *ctx->model->loaded;
  if (o.messages) {
    BITNET_REQUIRE(o.message_count > 0, "message_count is 0");
    return chat_tokens(model, o.messages, o.message_count, o.template_name, to->prompt);
  }
  to->continues_text = true;
  if (o.tokens) {
    const int64_t room = ctx->context->room();
    if (o.token_count > static_cast<uint64_t>(room)) {
      return Status::error(
          BITNET_E_CONTEXT_FULL, "the prompt has %llu tokens, the context has room for %lld",
          static_cast<unsigned long long>(o.token_count), static_cast<long long>(room));
    }
    to->prompt.assign(o.tokens, o.tokens + o.token_count);
    return {};
  }
  const std::string_view text =
      o.prompt_bytes > 0 ? std::string_view(o.prompt, o.prompt_bytes) : std::string_view(o.prompt);
  return model.tokenizer().tokenize(text, true, true, to->prompt);
}

}  // namespace
}  // namespace bitnet

using namespace bitnet;

extern "C" {

bitnet_status bitnet_sampler_open(const bitnet_sampler_options* options, bitnet_sampler** sampler,
                                  bitnet_error* why) {
  if (sampler) *sampler = nullptr;
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(sampler, "sampler is NULL");
    SamplerOptions how;
    Vec<LogitBias> bias;
    BITNET_TRY(sampling_of(options, bias, &how));
    Ptr<bitnet_sampler> handle = make<bitnet_sampler>();
    BITNET_LET(handle->sampler, Sampler::open(how));
    *sampler = handle.release();
    return {};
  });
}

bitnet_status bitnet_ctx_sample(bitnet_ctx* ctx, uint64_t index, uint64_t count,
                                bitnet_sampler* sampler, int32_t* token, bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(ctx, "ctx is NULL");
    BITNET_REQUIRE(sampler, "sampler is NULL");
    BITNET_REQUIRE(token, "token is NULL");
    const int64_t vocab = ctx->context->weights().model.hyper.vocab;
    if (count > static_cast<uint64_t>(vocab)) {
      return Status::error(BITNET_E_ARGUMENT, "count is %llu, the model has %lld tokens",
                           static_cast<unsigned long long>(count), static_cast<long long>(vocab));
    }
    const int64_t texts = ctx->model->loaded->tokenizer().size();
    BITNET_TRY(ctx->context->check_cancelled());
    return pick_token(ctx->context->read_out(), index,
                      count > 0 ? static_cast<int64_t>(count) : texts, *sampler->sampler, token);
  });
}

void bitnet_sampler_close(bitnet_sampler* sampler) {
  if (sampler) Deleter()(sampler);
}

bitnet_status bitnet_sample(bitnet_sampler* sampler, const float* logits, uint64_t count,
                            int32_t* token, bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(sampler, "sampler is NULL");
    BITNET_REQUIRE(logits && token, "logits or token is NULL");
    if (count == 0 || count > INT32_MAX) {
      return Status::error(BITNET_E_ARGUMENT, "count is %llu, not in 1..2147483647",
                           static_cast<unsigned long long>(count));
    }
    return sampler->sampler->pick(logits, static_cast<int64_t>(count), token);
  });
}

bitnet_status bitnet_sampler_accept(bitnet_sampler* sampler, int32_t token, bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(sampler, "sampler is NULL");
    return sampler->sampler->accept(token);
  });
}

void bitnet_sampler_reset(bitnet_sampler* sampler) {
  if (sampler) sampler->sampler->reset();
}

bitnet_status bitnet_generate_open(bitnet_ctx* ctx, const bitnet_generate_options* options,
                                   bitnet_generator** generator, bitnet_error* why) {
  if (generator) *generator = nullptr;
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(ctx, "ctx is NULL");
    BITNET_REQUIRE(options, "options is NULL");
    BITNET_REQUIRE(generator, "generator is NULL");
    bitnet_generate_options o = BITNET_GENERATE_OPTIONS_INIT;
    BITNET_TRY(read_options(options, &o, "bitnet_generate_options"));
    if (o.flags & ~uint32_t{BITNET_GENERATE_IGNORE_END | BITNET_GENERATE_SPECIAL}) {
      return Status::error(BITNET_E_ARGUMENT, "flags 0x%x has bits that mean nothing in version %s",
                           o.flags, bitnet_version_string());
    }
    BITNET_REQUIRE(o.reserved == 0 && o.reserved2 == 0, "reserved fields must be 0");
    BITNET_REQUIRE(o.stop || o.stop_count == 0, "stop is NULL but stop_count is not 0");

    Generator::Options how;
    how.vocabulary = ctx->model->loaded->tokenizer().size();
    how.sequence = o.sequence;
    how.draft_tokens = o.drafts;
    how.max_tokens = o.max_tokens > 0 ? o.max_tokens : UINT64_MAX;
    how.ignore_end = o.flags & BITNET_GENERATE_IGNORE_END;
    how.show_special = o.flags & BITNET_GENERATE_SPECIAL;
    for (uint64_t i = 0; i < o.stop_count; ++i) {
      if (!o.stop[i]) {
        return Status::error(BITNET_E_ARGUMENT, "stop text %llu is NULL",
                             static_cast<unsigned long long>(i));
      }
      how.stop.emplace_back(o.stop[i]);
    }
    Vec<LogitBias> bias;
    BITNET_TRY(sampling_of(o.sampling, bias, &how.sampling));
    BITNET_TRY(prompt_of(ctx, o, &how));
    Ptr<bitnet_generator> handle = make<bitnet_generator>();
    BITNET_LET(handle->generator,
               Generator::open(*ctx->context, ctx->model->loaded->tokenizer(), how));
    *generator = handle.release();
    return {};
  });
}

bitnet_status bitnet_generate_next(bitnet_generator* generator, const char** piece, uint64_t* bytes,
                                   bitnet_error* why) {
  bool over = false;
  const bitnet_status status = guarded(why, [&]() -> Status {
    BITNET_REQUIRE(generator, "generator is NULL");
    BITNET_REQUIRE(piece && bytes, "piece or bytes is NULL");
    BITNET_LET(const std::string_view text, generator->generator->next());
    *piece = text.data();
    *bytes = text.size();
    over = text.empty();
    return {};
  });
  return status == BITNET_OK && over ? BITNET_DONE : status;
}

bitnet_status bitnet_generate_get_info(const bitnet_generator* generator,
                                       bitnet_generate_info* info, bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(generator, "generator is NULL");
    const Generator& g = *generator->generator;
    bitnet_generate_info i = BITNET_GENERATE_INFO_INIT;
    i.end_reason = g.info().end;
    i.tokens = g.tokens().data();
    i.token_count = g.tokens().size();
    i.prompt_tokens = g.info().prompt_tokens;
    i.reused_tokens = g.info().reused_tokens;
    i.prompt_seconds = g.info().prompt_seconds;
    i.decode_seconds = g.info().decode_seconds;
    i.drafted_tokens = g.info().drafted;
    i.accepted_tokens = g.info().accepted;
    return write_struct(i, info, "bitnet_generate_info");
  });
}

void bitnet_generate_close(bitnet_generator* generator) {
  if (generator) Deleter()(generator);
}

}  // extern "C"
