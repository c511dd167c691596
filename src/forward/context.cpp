#include "forward/context.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>

#include "compute/math.h"
#include "forward/attention.h"

namespace bitnet {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) noexcept {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Attention of a few tokens over a long cache is split among threads at groups of pages. The group
// is a whole subtree of the contract's tree (a power of two), so splitting there changes no bit.
constexpr int64_t kGroupPages = 8;
constexpr int64_t kSplitTokens = 4;  // more tokens than this keep all threads busy by themselves
// Work on fewer tokens than this is not worth waking the pool for.
constexpr int64_t kInlineTokens = 4;

int64_t queries_per_kv_head(const HyperParameters& h) noexcept {
  return h.heads / h.kv_heads;
}

int64_t groups_of(const HyperParameters&, int64_t positions) noexcept {
  return (positions + kGroupPages * kPagePositions - 1) / (kGroupPages * kPagePositions);
}

int64_t widest(const HyperParameters& h) noexcept {
  return std::max({h.width, h.heads * h.head_dim, h.ff_width});
}

}  // namespace

void KernelCounts::operator+=(const KernelCounts& other) noexcept {
  rmsnorm += other.rmsnorm;
  quantize += other.quantize;
  ternary_matmul += other.ternary_matmul;
  dense_matmul += other.dense_matmul;
  rope += other.rope;
  attend_page += other.attend_page;
  gate += other.gate;
}

// ---- Opening ----------------------------------------------------------------------------------

namespace {

// Sizes of the work buffers in one place: opening allocates them, the estimate adds them up.
struct WorkSizes {
  uint64_t x, normed, quantized, per_token, q, kv, gate, rope, parts, trees, ternary, logits;

  WorkSizes(const HyperParameters& h, const Context::Options& o) noexcept {
    const auto floats = [](int64_t a, int64_t b) { return static_cast<uint64_t>(a * b) * 4; };
    const int64_t queries = queries_per_kv_head(h);
    x = floats(o.batch, h.width);
    normed = floats(o.batch, widest(h));
    quantized = static_cast<uint64_t>(o.batch * padded_cols(widest(h)));
    per_token = floats(o.batch, 1);
    q = floats(o.batch, h.heads * h.head_dim);
    kv = floats(o.batch, h.kv_heads * h.head_dim);
    gate = floats(o.batch, h.ff_width);
    rope = floats(o.batch, h.rope_dims / 2);
    parts = floats(kSplitTokens * h.kv_heads * groups_of(h, o.positions),
                   AttentionPart::floats(queries, h.head_dim));
    trees = floats(o.threads, AttentionTree::floats(queries, h.head_dim));
    ternary = static_cast<uint64_t>(o.threads * ternary_scratch_bytes(widest(h)));
    logits = floats(1, h.vocab);
  }
  uint64_t total() const noexcept {
    return 3 * x + normed + quantized + 2 * per_token + 2 * q + 2 * kv + 2 * gate + 2 * rope +
           parts + trees + ternary + logits;
  }
};

}  // namespace

uint64_t Context::work_bytes_of(const ModelDescription& model, const Options& options) noexcept {
  return WorkSizes(model.hyper, options).total();
}

uint64_t Context::work_bytes() const noexcept {
  const Work& w = work_;
  uint64_t bytes = logits_.bytes() + embeddings_.bytes();
  for (const Buffer* b : {&w.x, &w.normed, &w.quantized, &w.quantized_scale, &w.quantized_sum, &w.q,
                          &w.k, &w.v, &w.attended, &w.gate, &w.up, &w.projected, &w.cosine, &w.sine,
                          &w.head_input, &w.parts, &w.trees, &w.ternary}) {
    bytes += b->bytes();
  }
  return bytes;
}

Context::Work Context::allocate_work(const ModelDescription& model, const Options& options) {
  const WorkSizes s(model.hyper, options);
  Work w;
  w.x = Buffer(s.x);
  w.normed = Buffer(s.normed);
  w.quantized = Buffer(s.quantized);
  w.quantized_scale = Buffer(s.per_token);
  w.quantized_sum = Buffer(s.per_token);
  w.q = Buffer(s.q);
  w.k = Buffer(s.kv);
  w.v = Buffer(s.kv);
  w.attended = Buffer(s.q);
  w.gate = Buffer(s.gate);
  w.up = Buffer(s.gate);
  w.projected = Buffer(s.x);
  w.cosine = Buffer(s.rope);
  w.sine = Buffer(s.rope);
  w.head_input = Buffer(s.x);
  w.parts = Buffer(s.parts);
  w.trees = Buffer(s.trees);
  w.ternary = Buffer(s.ternary);
  return w;
}

Result<Ptr<Context>> Context::open(const Weights& weights, const Options& options) {
  Result<Ptr<ThreadPool>> pool =
      options.execute ? ThreadPool::over(options.execute, options.execute_user, options.threads)
                      : ThreadPool::open(options.threads);
  if (!pool.ok()) return pool.status();
  return make<Context>(weights, options, std::move(pool.value()));
}

Context::Context(const Weights& weights, const Options& options, Ptr<ThreadPool> pool)
    : weights_(weights),
      ops_(weights.ops),
      hyper_(weights.model.hyper),
      batch_(options.batch),
      pool_(std::move(pool)),
      cache_(weights.model.hyper, options.positions, options.sequences),
      work_(allocate_work(weights.model, options)),
      normed_stride_(widest(weights.model.hyper)),
      quantized_stride_(padded_cols(widest(weights.model.hyper))),
      attention_scale_(1.0f / std::sqrt(static_cast<float>(weights.model.hyper.head_dim))),
      counts_(static_cast<size_t>(pool_->size())),
      next_position_(static_cast<size_t>(options.sequences), -1) {
  touched_.reserve(static_cast<size_t>(options.sequences));
  head_rows_.reserve(static_cast<size_t>(options.batch));
  logits_ = Buffer(WorkSizes(hyper_, options).logits);
}

KernelCounts Context::kernel_counts() const noexcept {
  KernelCounts sum;
  for (const KernelCounts& c : counts_) sum += c;
  return sum;
}

// ---- A batch: all or nothing ------------------------------------------------------------------

Status Context::decode(std::span<const bitnet_batch_entry> entries) {
  const Clock::time_point start = Clock::now();
  // Undoes what a failed or throwing batch has reserved.
  struct Undo {
    Context& context;
    bool armed = true;
    ~Undo() {
      if (!armed) return;
      for (int32_t sequence : context.touched_) context.cache_.rollback(sequence);
      context.rows_.clear();
    }
  };
  rows_.clear();
  touched_.clear();
  Undo undo{*this};
  BITNET_TRY(check(entries));
  assign_rows(entries);
  BITNET_TRY(reserve(entries));
  for (size_t at = 0; at < entries.size(); at += static_cast<size_t>(batch_)) {
    const size_t count = std::min(static_cast<size_t>(batch_), entries.size() - at);
    BITNET_TRY(forward(entries.subspan(at, count), at));
  }
  undo.armed = false;
  commit(entries, seconds_since(start));
  return {};
}

// The batch is computed: its tokens become part of their sequences, and it is counted.
void Context::commit(std::span<const bitnet_batch_entry> entries, double seconds) noexcept {
  for (const bitnet_batch_entry& e : entries) {
    cache_.commit(e.sequence, e.token);
    const auto* bytes = reinterpret_cast<const uint8_t*>(&e);
    for (size_t i = 0; i < sizeof e; ++i) {
      stats_.token_hash = (stats_.token_hash ^ bytes[i]) * 1099511628211u;
    }
  }
  stats_.batches += 1;
  stats_.tokens += entries.size();
  stats_.seconds += seconds;
  if (entries.size() == 1) {
    stats_.single_tokens += 1;
    stats_.single_seconds += seconds;
  }
}

// Every entry follows its sequence's last position; touched_ lists the sequences met.
Status Context::check(std::span<const bitnet_batch_entry> entries) {
  std::fill(next_position_.begin(), next_position_.end(), -1);
  for (size_t i = 0; i < entries.size(); ++i) {
    const bitnet_batch_entry& e = entries[i];
    if (e.token < 0 || e.token >= hyper_.vocab) {
      return Status::error(BITNET_E_ARGUMENT, "entry %zu: token %d is not in 0..%lld", i, e.token,
                           static_cast<long long>(hyper_.vocab - 1));
    }
    if (e.sequence < 0 || e.sequence >= cache_.sequences()) {
      return Status::error(BITNET_E_ARGUMENT, "entry %zu: sequence %d is not in 0..%lld", i,
                           e.sequence, static_cast<long long>(cache_.sequences() - 1));
    }
    if (e.want & ~uint32_t{BITNET_WANT_LOGITS | BITNET_WANT_EMBEDDING}) {
      return Status::error(BITNET_E_ARGUMENT, "entry %zu: want has unknown bits: 0x%x", i, e.want);
    }
    int64_t& next = next_position_[static_cast<size_t>(e.sequence)];
    if (next < 0) {
      next = cache_.length(e.sequence);
      touched_.push_back(e.sequence);
    }
    if (e.position != next) {
      return Status::error(BITNET_E_ARGUMENT,
                           "entry %zu: position %d of sequence %d; the next position is %lld", i,
                           e.position, e.sequence, static_cast<long long>(next));
    }
    ++next;
    if (next > hyper_.context) {
      return Status::error(BITNET_E_CONTEXT_FULL,
                           "entry %zu: sequence %d would have %lld positions; the model's context "
                           "length is %lld",
                           i, e.sequence, static_cast<long long>(next),
                           static_cast<long long>(hyper_.context));
    }
  }
  return {};
}

// Gives each wanting entry its row and makes room for all rows. Enlarges only when a batch wants
// more than any before it.
void Context::assign_rows(std::span<const bitnet_batch_entry> entries) {
  const auto enlarge = [](Buffer& buffer, int64_t rows, int64_t columns) {
    const uint64_t bytes = static_cast<uint64_t>(rows) * static_cast<uint64_t>(columns) * 4;
    if (buffer.bytes() < bytes) buffer = Buffer(bytes);
  };
  int64_t logits = 0, embeddings = 0;
  for (const bitnet_batch_entry& e : entries) {
    logits += (e.want & BITNET_WANT_LOGITS) != 0;
    embeddings += (e.want & BITNET_WANT_EMBEDDING) != 0;
  }
  enlarge(logits_, logits, hyper_.vocab);
  enlarge(embeddings_, embeddings, hyper_.width);
  rows_.reserve(entries.size());
  logits = embeddings = 0;
  for (const bitnet_batch_entry& e : entries) {
    Rows rows;
    if (e.want & BITNET_WANT_LOGITS) rows.logits = logits++;
    if (e.want & BITNET_WANT_EMBEDDING) rows.embedding = embeddings++;
    rows_.push_back(rows);
  }
}

Status Context::reserve(std::span<const bitnet_batch_entry> entries) {
  for (int32_t sequence : touched_) {
    const int64_t more = next_position_[static_cast<size_t>(sequence)] - cache_.length(sequence);
    if (cache_.pages_needed(sequence, more) > cache_.pages_free()) {
      return Status::error(
          BITNET_E_CONTEXT_FULL,
          "%zu entries need more than the %lld positions left of the cache's %lld: drop or "
          "truncate a sequence, or open a larger context",
          entries.size(), static_cast<long long>(cache_.pages_free() * kPagePositions),
          static_cast<long long>(cache_.positions()));
    }
    cache_.reserve(sequence, more);
  }
  return {};
}

const float* Context::logits(uint64_t entry) const noexcept {
  const int64_t row = entry < rows_.size() ? rows_[entry].logits : -1;
  return row < 0 ? nullptr : logits_.as<float>() + row * hyper_.vocab;
}

const float* Context::embedding(uint64_t entry) const noexcept {
  const int64_t row = entry < rows_.size() ? rows_[entry].embedding : -1;
  return row < 0 ? nullptr : embeddings_.as<float>() + row * hyper_.width;
}

// ---- The forward pass (formats.md 4.1, 4.3): top to bottom as in the paper's diagram ------------

Status Context::check_cancelled() noexcept {
  if (!cancelled_.exchange(false, std::memory_order_relaxed)) return {};
  return Status::error(BITNET_E_CANCELLED, "cancelled; nothing was added");
}

Status Context::forward(std::span<const bitnet_batch_entry> entries, uint64_t first_entry) {
  embed(entries);
  for (int64_t layer = 0; layer < hyper_.layers; ++layer) {
    BITNET_TRY(check_cancelled());
    attention_block(entries, layer);
    feed_forward_block(static_cast<int64_t>(entries.size()), layer);
  }
  BITNET_TRY(check_cancelled());
  read_out(entries, first_entry);
  return check_cancelled();
}

// Token embeddings into x, and each token's rotation angles.
void Context::embed(std::span<const bitnet_batch_entry> entries) {
  const int64_t pairs = hyper_.rope_dims / 2;
  each_token(static_cast<int64_t>(entries.size()), [&](int, int64_t t) {
    const bitnet_batch_entry& e = entries[static_cast<size_t>(t)];
    ops_.dense_row(work_.x.as<float>() + t * hyper_.width, weights_.model.embeddings, e.token);
    float* cosine = work_.cosine.as<float>() + t * pairs;
    float* sine = work_.sine.as<float>() + t * pairs;
    for (int64_t i = 0; i < pairs; ++i) {
      const double angle =
          static_cast<double>(e.position) * weights_.rope_frequency[static_cast<size_t>(i)];
      cosine[i] = static_cast<float>(exact_cos(angle));
      sine[i] = static_cast<float>(exact_sin(angle));
    }
  });
}

// x += Wo . sub_norm(attention(rope(Wq h), rope(Wk h), Wv h)),  h = norm(x)
void Context::attention_block(std::span<const bitnet_batch_entry> entries, int64_t layer) {
  const int64_t tokens = static_cast<int64_t>(entries.size());
  const int64_t query_width = hyper_.heads * hyper_.head_dim;
  const int64_t kv_width = hyper_.kv_heads * hyper_.head_dim;
  const Layer& norms = weights_.model.layers[static_cast<size_t>(layer)];
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  float* x = work_.x.as<float>();

  each_token(tokens, [&](int worker, int64_t t) {
    norm_input(worker, x + t * hyper_.width, t, norms.attn_norm, hyper_.width);
  });
  multiply({{{&w.q, work_.q.as<float>(), query_width},
             {&w.k, work_.k.as<float>(), kv_width},
             {&w.v, work_.v.as<float>(), kv_width}}},
           tokens);
  each_token(tokens, [&](int worker, int64_t t) {
    counts_[static_cast<size_t>(worker)].rope += 1;
    store_keys_and_values(entries[static_cast<size_t>(t)], t, layer);
  });
  attend(entries, layer);
  each_token(tokens, [&](int worker, int64_t t) {
    const float* attended = work_.attended.as<float>() + t * query_width;
    if (weights_.model.plan.attn_sub_norm) {
      norm_input(worker, attended, t, norms.attn_sub_norm, query_width);
    } else {
      std::copy_n(attended, query_width, work_.normed.as<float>() + t * normed_stride_);
      quantize_input(worker, t, query_width);
    }
  });
  multiply({{{&w.o, work_.projected.as<float>(), hyper_.width}}}, tokens);
  each_token(tokens, [&](int, int64_t t) {
    ops_.add(x + t * hyper_.width, work_.projected.as<float>() + t * hyper_.width, hyper_.width);
  });
}

// x += Wdown . sub_norm(gate(Wgate h) * Wup h),  h = norm(x)
void Context::feed_forward_block(int64_t tokens, int64_t layer) {
  const int64_t ff = hyper_.ff_width;
  const Plan& plan = weights_.model.plan;
  const Layer& norms = weights_.model.layers[static_cast<size_t>(layer)];
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  float* x = work_.x.as<float>();

  each_token(tokens, [&](int worker, int64_t t) {
    norm_input(worker, x + t * hyper_.width, t, norms.ffn_norm, hyper_.width);
  });
  multiply({{{&w.gate, work_.gate.as<float>(), ff}, {&w.up, work_.up.as<float>(), ff}}}, tokens);
  each_token(tokens, [&](int worker, int64_t t) {
    float* gate = work_.gate.as<float>() + t * ff;
    const float* up = work_.up.as<float>() + t * ff;
    counts_[static_cast<size_t>(worker)].gate += 1;
    (plan.gate == GateFunction::kRelu2 ? ops_.relu2_gate : ops_.silu_gate)(gate, gate, up, ff);
    if (plan.ffn_sub_norm) {
      norm_input(worker, gate, t, norms.ffn_sub_norm, ff);
    } else {
      std::copy_n(gate, ff, work_.normed.as<float>() + t * normed_stride_);
      quantize_input(worker, t, ff);
    }
  });
  multiply({{{&w.down, work_.projected.as<float>(), hyper_.width}}}, tokens);
  each_token(tokens, [&](int, int64_t t) {
    ops_.add(x + t * hyper_.width, work_.projected.as<float>() + t * hyper_.width, hyper_.width);
  });
}

// Rotates a token's q and k and writes k and v to its place in the cache.
void Context::store_keys_and_values(const bitnet_batch_entry& entry, int64_t row, int64_t layer) {
  const int64_t d = hyper_.head_dim, pairs = hyper_.rope_dims / 2;
  float* q = work_.q.as<float>() + row * hyper_.heads * d;
  float* k = work_.k.as<float>() + row * hyper_.kv_heads * d;
  const float* v = work_.v.as<float>() + row * hyper_.kv_heads * d;
  const float* cosine = work_.cosine.as<float>() + row * pairs;
  const float* sine = work_.sine.as<float>() + row * pairs;
  const RopeStyle style = weights_.model.plan.rope;
  ops_.rope(q, hyper_.heads, d, pairs, style, cosine, sine);
  ops_.rope(k, hyper_.kv_heads, d, pairs, style, cosine, sine);
  const int64_t page = entry.position / kPagePositions, slot = entry.position % kPagePositions;
  for (int64_t h = 0; h < hyper_.kv_heads; ++h) {
    ops_.to_half(cache_.keys(entry.sequence, page, layer, h) + slot * d, k + h * d, d);
    ops_.to_half(cache_.values(entry.sequence, page, layer, h) + slot * d, v + h * d, d);
  }
}

// attended[t] = softmax(q k / sqrt(head_dim)) v over positions 0..position of the token's sequence.
// Work items are (token, KV head), or for few tokens (token, KV head, group of pages).
void Context::attend(std::span<const bitnet_batch_entry> entries, int64_t layer) {
  const int64_t d = hyper_.head_dim, queries = queries_per_kv_head(hyper_);
  const int64_t tokens = static_cast<int64_t>(entries.size());
  const int64_t part_floats = AttentionPart::floats(queries, d);

  const auto pages_of = [&](int64_t t) {
    return entries[static_cast<size_t>(t)].position / kPagePositions + 1;
  };
  const auto tree_of = [&](int worker) {
    return AttentionTree(ops_, work_.trees.as<float>() + worker * AttentionTree::floats(queries, d),
                         queries, d);
  };
  const auto fold_pages = [&](int worker, int64_t t, int64_t h, int64_t first, int64_t last,
                              AttentionTree& tree) {
    const bitnet_batch_entry& e = entries[static_cast<size_t>(t)];
    const float* q = work_.q.as<float>() + (t * hyper_.heads + h * queries) * d;
    for (int64_t page = first; page < last; ++page) {
      const int64_t positions =
          std::min<int64_t>(kPagePositions, e.position + 1 - page * kPagePositions);
      const AttentionPart leaf = tree.next_leaf();
      ops_.attend_page(
          leaf.maximum, leaf.sum, leaf.value, q, cache_.keys(e.sequence, page, layer, h),
          cache_.values(e.sequence, page, layer, h), queries, d, positions, attention_scale_);
      tree.leaf_filled();
    }
    counts_[static_cast<size_t>(worker)].attend_page += static_cast<uint64_t>(last - first);
  };
  const auto finish = [&](int64_t t, int64_t h, const AttentionPart& part) {
    float* out = work_.attended.as<float>() + (t * hyper_.heads + h * queries) * d;
    for (int64_t i = 0; i < queries; ++i) {
      ops_.attend_finish(out + i * d, part.sum + i, part.value + i * d, d);
    }
  };

  if (tokens > kSplitTokens) {
    pool_->run([&](int worker) {
      for (int64_t item = worker; item < tokens * hyper_.kv_heads; item += pool_->size()) {
        const int64_t t = item / hyper_.kv_heads, h = item % hyper_.kv_heads;
        AttentionTree tree = tree_of(worker);
        fold_pages(worker, t, h, 0, pages_of(t), tree);
        finish(t, h, tree.result());
      }
    });
    return;
  }

  int64_t longest = 0;
  for (int64_t t = 0; t < tokens; ++t) longest = std::max(longest, pages_of(t));
  const int64_t groups = (longest + kGroupPages - 1) / kGroupPages;
  float* parts = work_.parts.as<float>();
  const auto part_at = [&](int64_t t, int64_t h, int64_t group) {
    return parts + ((t * hyper_.kv_heads + h) * groups + group) * part_floats;
  };
  pool_->run([&](int worker) {
    for (int64_t item = worker; item < tokens * hyper_.kv_heads * groups; item += pool_->size()) {
      const int64_t group = item % groups, h = item / groups % hyper_.kv_heads;
      const int64_t t = item / groups / hyper_.kv_heads;
      const int64_t first = group * kGroupPages;
      const int64_t last = std::min(first + kGroupPages, pages_of(t));
      if (first >= last) continue;
      AttentionTree tree = tree_of(worker);
      fold_pages(worker, t, h, first, last, tree);
      std::memcpy(part_at(t, h, group), tree.result().maximum,
                  static_cast<size_t>(part_floats) * sizeof(float));
    }
  });
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t h = 0; h < hyper_.kv_heads; ++h) {
      AttentionTree tree = tree_of(0);
      for (int64_t group = 0; group * kGroupPages < pages_of(t); ++group) {
        std::memcpy(tree.next_leaf().maximum, part_at(t, h, group),
                    static_cast<size_t>(part_floats) * sizeof(float));
        tree.leaf_filled();
      }
      finish(t, h, tree.result());
    }
  }
}

// Output norm and head for the entries that want them, into their rows.
void Context::read_out(std::span<const bitnet_batch_entry> entries, uint64_t first_entry) {
  const int64_t width = hyper_.width;
  float* input = work_.head_input.as<float>();
  head_rows_.clear();
  for (size_t t = 0; t < entries.size(); ++t) {
    const Rows& rows = rows_[first_entry + t];
    if (rows.logits < 0 && rows.embedding < 0) continue;
    float* normed = input + static_cast<int64_t>(head_rows_.size()) * width;
    ops_.rmsnorm(normed, work_.x.as<float>() + static_cast<int64_t>(t) * width,
                 weights_.model.output_norm.data(), width, hyper_.norm_eps);
    counts_[0].rmsnorm += 1;
    if (rows.embedding >= 0) {
      std::copy_n(normed, width, embeddings_.as<float>() + rows.embedding * width);
    }
    if (rows.logits >= 0) head_rows_.push_back(rows.logits);
  }
  if (head_rows_.empty()) return;
  // Rows were given out in entry order, so a chunk's rows follow each other.
  float* logits = logits_.as<float>() + head_rows_.front() * hyper_.vocab;
  const int64_t count = static_cast<int64_t>(head_rows_.size());
  const DenseMatrix& head = weights_.model.head;
  pool_->run([&](int worker) {
    const Share rows = share_of(head.rows, kTileRows, worker, pool_->size());
    if (rows.first == rows.last) return;
    ops_.dense_matmul(logits, hyper_.vocab, head, rows.first, rows.last, input, width, count);
    counts_[static_cast<size_t>(worker)].dense_matmul += 1;
  });
  stats_.head_rows += static_cast<uint64_t>(count);
}

// ---- Pieces of a block ------------------------------------------------------------------------

// body(worker, token) for every token, on all threads when there are enough of them.
template <class F>
void Context::each_token(int64_t tokens, F&& body) {
  if (tokens < kInlineTokens) {
    for (int64_t t = 0; t < tokens; ++t) body(0, t);
    return;
  }
  pool_->run([&](int worker) {
    const Share share = share_of(tokens, 1, worker, pool_->size());
    for (int64_t t = share.first; t < share.last; ++t) body(worker, t);
  });
}

// normed[row] = norm(x) and its quantized form: the input of the next products.
void Context::norm_input(int worker, const float* x, int64_t row, const Vec<float>& gamma,
                         int64_t n) {
  float* normed = work_.normed.as<float>() + row * normed_stride_;
  ops_.rmsnorm(normed, x, gamma.data(), n, hyper_.norm_eps);
  counts_[static_cast<size_t>(worker)].rmsnorm += 1;
  quantize_input(worker, row, n);
}

void Context::quantize_input(int worker, int64_t row, int64_t n) {
  ops_.quantize(work_.quantized.as<int8_t>() + row * quantized_stride_,
                work_.quantized_scale.as<float>() + row, work_.quantized_sum.as<int32_t>() + row,
                work_.normed.as<float>() + row * normed_stride_, n);
  counts_[static_cast<size_t>(worker)].quantize += 1;
}

// All products of one input in one phase: their rows, laid end to end, are shared among the
// threads.
void Context::multiply(std::span<const Product> products, int64_t tokens) {
  const QuantizedRows quantized = {work_.quantized.as<int8_t>(), quantized_stride_,
                                   work_.quantized_scale.as<float>(),
                                   work_.quantized_sum.as<int32_t>()};
  const float* normed = work_.normed.as<float>();
  const auto tiles_of = [](const Product& p) {
    return (p.map->rows() + kTileRows - 1) / kTileRows;
  };
  int64_t tiles = 0;
  for (const Product& p : products) tiles += tiles_of(p);
  pool_->run([&](int worker) {
    KernelCounts& counts = counts_[static_cast<size_t>(worker)];
    const Share share = share_of(tiles, 1, worker, pool_->size());
    uint8_t* scratch = work_.ternary.data() + worker * ternary_scratch_bytes(widest(hyper_));
    int64_t begin = 0;  // of this product, in tiles
    for (const Product& p : products) {
      const int64_t count = tiles_of(p);
      const int64_t first = std::max(share.first - begin, int64_t{0}) * kTileRows;
      const int64_t last = std::min(std::min(share.last - begin, count) * kTileRows, p.map->rows());
      begin += count;
      if (first >= last) continue;
      const Linear& map = *p.map;
      if (map.ternary) {
        ops_.ternary_matmul(p.y, p.y_stride, map.tiles, first, last, quantized, tokens, scratch);
        counts.ternary_matmul += 1;
      } else {
        ops_.dense_matmul(p.y, p.y_stride, map.dense, first, last, normed, normed_stride_, tokens);
        counts.dense_matmul += 1;
      }
      if (map.output_scale != 1.0f) {
        for (int64_t t = 0; t < tokens; ++t) {
          ops_.scale(p.y + t * p.y_stride + first, map.output_scale, last - first);
        }
      }
    }
  });
}

}  // namespace bitnet
