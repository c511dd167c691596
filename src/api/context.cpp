// Contexts: opening, decoding, sequences, statistics.
#include "api/handles.h"
#include "base/threads.h"
#include "session/receipt.h"
#include "session/saved_sequence.h"

namespace bitnet {

Status context_options(const bitnet_ctx_options* from, const HyperParameters& hyper,
                       Context::Options* to) noexcept {
  bitnet_ctx_options o = BITNET_CTX_OPTIONS_INIT;
  BITNET_TRY(read_options(from, &o, "bitnet_ctx_options"));
  const auto check = [](const char* name, uint32_t value, uint32_t most) -> Status {
    if (value <= most) return {};
    return Status::error(BITNET_E_ARGUMENT, "%s is %u, at most %u is allowed", name, value, most);
  };
  if (o.flags != 0) return Status::error(BITNET_E_ARGUMENT, "flags is 0x%x, must be 0", o.flags);
  BITNET_TRY(check("positions", o.positions, 1u << 24));
  BITNET_TRY(check("sequences", o.sequences, 1024));
  BITNET_TRY(check("batch", o.batch, 4096));
  if (o.threads < 0 || o.threads > 1024) {
    return Status::error(BITNET_E_ARGUMENT, "threads is %d, not in 0..1024", o.threads);
  }
  to->positions = o.positions > 0 ? o.positions : hyper.context;
  to->sequences = o.sequences > 0 ? o.sequences : 16;
  to->batch = o.batch > 0 ? o.batch : 256;
  to->threads = o.threads > 0 ? o.threads : std::min(usable_cores(), 1024);
  to->execute = o.execute;
  to->execute_user = o.execute_user;
  return {};
}

namespace {

Status check_sequence(const bitnet_ctx* ctx, int32_t sequence) noexcept {
  const int64_t count = ctx->context->cache().sequences();
  if (sequence >= 0 && sequence < count) return {};
  return Status::error(BITNET_E_ARGUMENT, "sequence %d is not in 0..%lld", sequence,
                       static_cast<long long>(count - 1));
}

Status row_of(const bitnet_ctx* ctx, uint64_t index, const float* row, const char* what,
              const float** out) noexcept {
  if (row) {
    *out = row;
    return {};
  }
  const uint64_t entries = ctx->context->read_out().entries();
  if (index >= entries) {
    return Status::error(BITNET_E_STATE, "entry %llu: the last batch had %llu entries",
                         static_cast<unsigned long long>(index),
                         static_cast<unsigned long long>(entries));
  }
  return Status::error(BITNET_E_STATE, "entry %llu of the last batch did not want %s",
                       static_cast<unsigned long long>(index), what);
}

}  // namespace
}  // namespace bitnet

using namespace bitnet;

extern "C" {

bitnet_status bitnet_ctx_open(const bitnet_model* model, const bitnet_ctx_options* options,
                              bitnet_ctx** ctx, bitnet_error* why) {
  if (ctx) *ctx = nullptr;
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(model, "model is NULL");
    BITNET_REQUIRE(ctx, "ctx is NULL");
    const Weights* weights = model->loaded->weights();
    if (!weights) {
      return Status::error(BITNET_E_STATE,
                           "the model was opened with BITNET_MODEL_DESCRIBE and has no weights");
    }
    Context::Options how;
    BITNET_TRY(context_options(options, weights->model.hyper, &how));
    Ptr<bitnet_ctx> handle = make<bitnet_ctx>();
    handle->model = claim(model);
    BITNET_LET(handle->context, Context::open(*weights, how));
    *ctx = handle.release();
    return {};
  });
}

void bitnet_ctx_close(bitnet_ctx* ctx) {
  if (ctx) Deleter()(ctx);
}

bitnet_status bitnet_ctx_decode(bitnet_ctx* ctx, const bitnet_batch_entry* entries, uint64_t count,
                                bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(ctx, "ctx is NULL");
    BITNET_REQUIRE(entries, "entries is NULL");
    BITNET_REQUIRE(count > 0, "count is 0; a batch has at least one entry");
    return ctx->context->decode({entries, count});
  });
}

bitnet_status bitnet_ctx_logits(const bitnet_ctx* ctx, uint64_t index, const float** logits,
                                bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(ctx, "ctx is NULL");
    BITNET_REQUIRE(logits, "logits is NULL");
    return row_of(ctx, index, ctx->context->read_out().logits(index), "logits", logits);
  });
}

bitnet_status bitnet_ctx_embedding(const bitnet_ctx* ctx, uint64_t index, const float** embedding,
                                   bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(ctx, "ctx is NULL");
    BITNET_REQUIRE(embedding, "embedding is NULL");
    return row_of(ctx, index, ctx->context->read_out().embedding(index), "an embedding", embedding);
  });
}

uint64_t bitnet_ctx_sequence_length(const bitnet_ctx* ctx, int32_t sequence) {
  if (!ctx || !check_sequence(ctx, sequence).ok()) return 0;
  return static_cast<uint64_t>(ctx->context->cache().length(sequence));
}

uint64_t bitnet_ctx_sequence_match(const bitnet_ctx* ctx, int32_t sequence, const int32_t* tokens,
                                   uint64_t count) {
  if (!ctx || !tokens || !check_sequence(ctx, sequence).ok()) return 0;
  return ctx->context->cache().match(sequence, {tokens, count});
}

bitnet_status bitnet_ctx_sequence_fork(bitnet_ctx* ctx, int32_t from, int32_t to,
                                       bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(ctx, "ctx is NULL");
    BITNET_TRY(check_sequence(ctx, from));
    BITNET_TRY(check_sequence(ctx, to));
    ctx->context->cache().fork(from, to);
    return {};
  });
}

bitnet_status bitnet_ctx_sequence_truncate(bitnet_ctx* ctx, int32_t sequence, uint64_t positions,
                                           bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(ctx, "ctx is NULL");
    BITNET_TRY(check_sequence(ctx, sequence));
    KvCache& cache = ctx->context->cache();
    const uint64_t length = static_cast<uint64_t>(cache.length(sequence));
    cache.truncate(sequence, static_cast<int64_t>(std::min(positions, length)));
    return {};
  });
}

bitnet_status bitnet_ctx_save(const bitnet_ctx* ctx, int32_t sequence, void* buffer,
                              uint64_t capacity, uint64_t* bytes, bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(ctx, "ctx is NULL");
    BITNET_REQUIRE(bytes, "bytes is NULL");
    BITNET_TRY(check_sequence(ctx, sequence));
    return save_sequence(ctx->context->cache(), ctx->context->weights().model.hyper,
                         ctx->model->loaded->cache_key(), sequence, static_cast<uint8_t*>(buffer),
                         capacity, bytes);
  });
}

bitnet_status bitnet_ctx_load(bitnet_ctx* ctx, int32_t sequence, const void* data, uint64_t bytes,
                              bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(ctx, "ctx is NULL");
    BITNET_REQUIRE(data, "data is NULL");
    BITNET_TRY(check_sequence(ctx, sequence));
    return load_sequence(ctx->context->cache(), ctx->context->weights().model.hyper,
                         ctx->model->loaded->cache_key(), sequence,
                         {static_cast<const uint8_t*>(data), bytes});
  });
}

void bitnet_ctx_cancel(const bitnet_ctx* ctx) {
  if (ctx) ctx->context->cancel();
}

bitnet_status bitnet_ctx_get_stats(const bitnet_ctx* ctx, bitnet_ctx_stats* stats,
                                   bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(ctx, "ctx is NULL");
    const Context& c = *ctx->context;
    bitnet_ctx_stats s = BITNET_CTX_STATS_INIT;
    s.threads = c.threads();
    s.batches = c.stats().batches;
    s.tokens = c.stats().tokens;
    s.single_tokens = c.stats().single_tokens;
    s.seconds = c.stats().seconds;
    s.single_seconds = c.stats().single_seconds;
    const ReadOut::Counts& head = c.read_out().counts();
    s.head_rows = head.rows;
    s.positions_used = static_cast<uint64_t>(c.cache().positions_used());
    s.positions = static_cast<uint64_t>(c.cache().positions());
    s.cache_bytes = c.cache().bytes();
    s.work_bytes = c.work_bytes();
    s.weight_seconds = c.stats().weight_seconds;
    s.attention_seconds = c.stats().attention_seconds;
    s.screened_tokens = head.screened;
    s.screened_rows = head.exact;
    s.full_tokens = head.full;
    s.screened_bound = head.widest_bound;
    return write_struct(s, stats, "bitnet_ctx_stats");
  });
}

bitnet_status bitnet_ctx_receipt(const bitnet_ctx* ctx, char* json, uint64_t capacity,
                                 uint64_t* bytes, bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(ctx, "ctx is NULL");
    BITNET_REQUIRE(bytes, "bytes is NULL");
    BITNET_LET(const String text, write_receipt(*ctx->model->loaded, *ctx->context));
    return fill(std::span<const char>(text), json, capacity, bytes, "bytes");
  });
}

}  // extern "C"
