#include "forward/cpu_pass.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace bitnet {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) noexcept {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Attention of a few tokens over a long cache is split among threads at groups of pages. The group
// is a whole subtree of the contract's tree (a power of two), so splitting there changes no bit.
constexpr int64_t kGroupPages = 8;
constexpr int64_t kSplitTokens = 8;  // more tokens than this keep all threads busy by themselves
// Tokens that attend to a page together: the page is read once for all of them.
constexpr int64_t kBlockTokens = 8;
// Work on fewer tokens than this is not worth waking the pool for.
constexpr int64_t kInlineTokens = 4;
// A thread takes products in chunks of about so many bytes of weights: a stream worth prefetching.
constexpr int64_t kChunkBytes = 64 << 10;
// Products of few tokens wait for the memory, others for the multipliers, more or less.
constexpr int64_t kStreamTokens = 4;

int64_t queries_per_kv_head(const HyperParameters& h) noexcept {
  return h.heads / h.kv_heads;
}

int64_t most_queries(const HyperParameters& h) noexcept {
  return kBlockTokens * queries_per_kv_head(h);
}

int64_t widest(const HyperParameters& h) noexcept {
  return std::max({h.width, h.heads * h.head_dim, h.ff_width});
}

int64_t tiles_of(const Linear& map) noexcept {
  return (map.rows() + kTileRows - 1) / kTileRows;
}

// In pairs, which one token and many tokens are multiplied with together.
int64_t tiles_per_chunk(const Linear& map) noexcept {
  const int64_t of_tile = map.cols() * kTileRows / 4;  // bytes, about
  return std::max(kChunkBytes / of_tile / 2, int64_t{1}) * 2;
}

const uint8_t* weights_of_tile(const Linear& map, int64_t tile) noexcept {
  if (map.ternary) return tile_stream(map.tiles, tile);
  return map.dense.data + tile * kTileRows * map.dense.row_bytes;
}

// Adds the time until it goes out of scope.
class Timed {
 public:
  explicit Timed(double& sum) noexcept : sum_(sum) {}
  ~Timed() { sum_ += seconds_since(start_); }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  double& sum_;
  const Clock::time_point start_ = Clock::now();
};

}  // namespace

// ---- Opening ----------------------------------------------------------------------------------

namespace {

// Sizes of the work buffers in one place: opening allocates them, the estimate adds them up.
struct WorkSizes {
  uint64_t x, quantized, per_token, q, kv, gate, rope, parts, trees, queries, ternary;

  WorkSizes(const HyperParameters& h, const CpuPass::Shape& o) noexcept {
    const auto floats = [](int64_t a, int64_t b) { return static_cast<uint64_t>(a * b) * 4; };
    x = floats(o.batch, h.width);
    quantized = static_cast<uint64_t>(o.batch * padded_cols(widest(h)));
    per_token = floats(o.batch, 1);
    q = floats(o.batch, h.heads * h.head_dim);
    kv = floats(o.batch, h.kv_heads * h.head_dim);
    gate = floats(o.batch, h.ff_width);
    rope = floats(o.batch, h.rope_dims / 2);
    const int64_t pages = KvCache::pages_of(o.positions),
                  groups = (pages + kGroupPages - 1) / kGroupPages;
    parts = floats(kSplitTokens * h.kv_heads * groups,
                   AttentionPart::floats(queries_per_kv_head(h), h.head_dim));
    trees = floats(o.threads, AttentionTree::floats(most_queries(h), h.head_dim, pages));
    queries = floats(o.threads, AttentionPart::floats(most_queries(h), h.head_dim));
    ternary = static_cast<uint64_t>(o.threads * ternary_scratch_bytes(widest(h)));
  }
  uint64_t total() const noexcept {
    return 2 * x + quantized + 2 * per_token + 2 * q + 2 * kv + kv / 2 + 2 * gate + 2 * rope +
           parts + trees + queries + ternary;
  }
};

}  // namespace

uint64_t CpuPass::bytes_of(const HyperParameters& hyper, const Shape& shape) noexcept {
  return WorkSizes(hyper, shape).total();
}

uint64_t CpuPass::bytes() const noexcept {
  const Work& w = work_;
  uint64_t bytes = 0;
  for (const Buffer* b : {&w.x, &w.quantized, &w.quantized_scale, &w.quantized_sum, &w.q, &w.k,
                          &w.v, &w.key_halves, &w.attended, &w.gate, &w.up, &w.projected, &w.cosine,
                          &w.sine, &w.parts, &w.trees, &w.queries, &w.ternary}) {
    bytes += b->bytes();
  }
  return bytes;
}

CpuPass::Work CpuPass::allocate_work(const HyperParameters& hyper, const Shape& shape) {
  const WorkSizes s(hyper, shape);
  Work w;
  w.x = Buffer(s.x);
  w.quantized = Buffer(s.quantized);
  w.quantized_scale = Buffer(s.per_token);
  w.quantized_sum = Buffer(s.per_token);
  w.q = Buffer(s.q);
  w.k = Buffer(s.kv);
  w.v = Buffer(s.kv);
  w.key_halves = Buffer(s.kv / 2);
  w.attended = Buffer(s.q);
  w.gate = Buffer(s.gate);
  w.up = Buffer(s.gate);
  w.projected = Buffer(s.x);
  w.cosine = Buffer(s.rope);
  w.sine = Buffer(s.rope);
  w.parts = Buffer(s.parts);
  w.trees = Buffer(s.trees);
  w.queries = Buffer(s.queries);
  w.ternary = Buffer(s.ternary);
  return w;
}

CpuPass::CpuPass(const Weights& weights, ThreadPool& pool, KvCache& cache, const Shape& shape)
    : weights_(weights),
      ops_(weights.ops),
      hyper_(weights.model.hyper),
      pages_(KvCache::pages_of(shape.positions)),
      pool_(pool),
      cache_(cache),
      work_(allocate_work(hyper_, shape)),
      quantized_stride_(padded_cols(widest(hyper_))),
      attention_scale_(attention_scale(hyper_)),
      counts_(static_cast<size_t>(pool.size())) {
  blocks_.reserve(static_cast<size_t>(shape.batch));
}

KernelCounts CpuPass::counts() const noexcept {
  KernelCounts sum;
  for (const KernelCounts& c : counts_) sum += c;
  return sum;
}

// ---- The forward pass (formats.md 4.1, 4.3): top to bottom as in the paper's diagram ------------

Status CpuPass::run(std::span<const bitnet_batch_entry> entries, uint64_t first_entry,
                    ReadOut& read_out, CancelFlag& cancel) {
  cut_into_blocks(entries);
  embed(entries);
  for (layer_ = 0; layer_ < hyper_.layers; ++layer_) {
    BITNET_TRY(cancel.take());
    attention_block(entries);
    feed_forward_block(static_cast<int64_t>(entries.size()));
  }
  BITNET_TRY(cancel.take());
  {
    const Timed timed(seconds_.weights);
    read_out.run(entries, first_entry, work_.x.as<float>());
  }
  return cancel.take();
}

// Token embeddings into x, each token's rotation angles, and the first layer's input.
void CpuPass::embed(std::span<const bitnet_batch_entry> entries) {
  const int64_t pairs = hyper_.rope_dims / 2;
  each_token(static_cast<int64_t>(entries.size()), [&](int worker, int64_t t) {
    const bitnet_batch_entry& e = entries[static_cast<size_t>(t)];
    float* x = work_.x.as<float>() + t * hyper_.width;
    ops_.dense_row(x, weights_.model.embeddings, e.token);
    weights_.rotation(e.position, work_.cosine.as<float>() + t * pairs,
                      work_.sine.as<float>() + t * pairs);
    norm_x(worker, t, weights_.model.layers[0].attn_norm);
  });
}

// x += Wo . sub_norm(attention(rope(Wq h), rope(Wk h), Wv h)),  h = norm(x), which is there, and
// then the norm of what comes next.
void CpuPass::attention_block(std::span<const bitnet_batch_entry> entries) {
  const int64_t tokens = static_cast<int64_t>(entries.size());
  const int64_t query_width = hyper_.heads * hyper_.head_dim;
  const int64_t kv_width = hyper_.kv_heads * hyper_.head_dim;
  const Layer& norms = weights_.model.layers[static_cast<size_t>(layer_)];
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer_)];

  multiply({work_.projected.as<float>(), hyper_.width},
           {{{&w.q, work_.q.as<float>(), query_width},
             {&w.k, work_.k.as<float>(), kv_width},
             {&w.v, work_.v.as<float>(), kv_width}}},
           tokens, {&w.o});
  each_token(tokens, [&](int worker, int64_t t) {
    counts_[static_cast<size_t>(worker)].rope += 1;
    store_keys_and_values(entries[static_cast<size_t>(t)], t);
  });
  {
    const Timed timed(seconds_.attention);
    attend(entries);
  }
  each_token(tokens, [&](int worker, int64_t t) {
    float* attended = work_.attended.as<float>() + t * query_width;
    if (weights_.model.plan.attn_sub_norm) {
      norm(worker, attended, attended, norms.attn_sub_norm, query_width);
    }
    quantize(worker, t, attended, query_width);
  });
  multiply({work_.attended.as<float>(), query_width},
           {{{&w.o, work_.projected.as<float>(), hyper_.width}}}, tokens, {&w.gate, &w.up});
  add_projected(tokens, &norms.ffn_norm);
}

// x += Wdown . sub_norm(gate(Wgate h) * Wup h),  h = norm(x), which is there, and then the norm of
// what comes next.
void CpuPass::feed_forward_block(int64_t tokens) {
  const int64_t ff = hyper_.ff_width;
  const Plan& plan = weights_.model.plan;
  const size_t layer = static_cast<size_t>(layer_);
  const LayerWeights& w = weights_.layers[layer];

  multiply({work_.projected.as<float>(), hyper_.width},
           {{{&w.gate, work_.gate.as<float>(), ff}, {&w.up, work_.up.as<float>(), ff}}}, tokens,
           {&w.down});
  each_token(tokens, [&](int worker, int64_t t) {
    float* gate = work_.gate.as<float>() + t * ff;
    const float* up = work_.up.as<float>() + t * ff;
    counts_[static_cast<size_t>(worker)].gate += 1;
    (plan.gate == GateFunction::kRelu2 ? ops_.relu2_gate : ops_.silu_gate)(gate, gate, up, ff);
    if (plan.ffn_sub_norm) {
      norm(worker, gate, gate, weights_.model.layers[layer].ffn_sub_norm, ff);
    }
    quantize(worker, t, gate, ff);
  });
  const Input gated = {work_.gate.as<float>(), ff};
  const Product down = {&w.down, work_.projected.as<float>(), hyper_.width};
  if (layer + 1 == weights_.layers.size()) {  // then comes the head
    multiply(gated, {{down}}, tokens, {});
    return add_projected(tokens, nullptr);
  }
  const LayerWeights& after = weights_.layers[layer + 1];
  multiply(gated, {{down}}, tokens, {&after.q, &after.k, &after.v});
  add_projected(tokens, &weights_.model.layers[layer + 1].attn_norm);
}

// x += what the last product gave, whose place the norm of the sum takes, if there is one.
void CpuPass::add_projected(int64_t tokens, const Vec<float>* gamma) {
  each_token(tokens, [&](int worker, int64_t t) {
    ops_.add(work_.x.as<float>() + t * hyper_.width, work_.projected.as<float>() + t * hyper_.width,
             hyper_.width);
    if (gamma) norm_x(worker, t, *gamma);
  });
}

// Rotates a token's q and k and writes k and v to its place in the cache.
void CpuPass::store_keys_and_values(const bitnet_batch_entry& entry, int64_t row) {
  const int64_t d = hyper_.head_dim, pairs = hyper_.rope_dims / 2;
  float* q = work_.q.as<float>() + row * hyper_.heads * d;
  float* k = work_.k.as<float>() + row * hyper_.kv_heads * d;
  const float* v = work_.v.as<float>() + row * hyper_.kv_heads * d;
  const float* cosine = work_.cosine.as<float>() + row * pairs;
  const float* sine = work_.sine.as<float>() + row * pairs;
  const RopeStyle style = weights_.model.plan.rope;
  ops_.rope(q, hyper_.heads, d, pairs, style, cosine, sine);
  ops_.rope(k, hyper_.kv_heads, d, pairs, style, cosine, sine);
  uint16_t* halves = work_.key_halves.as<uint16_t>() + row * hyper_.kv_heads * d;
  ops_.to_half(halves, k, hyper_.kv_heads * d);
  const int64_t page = entry.position / kPagePositions, slot = entry.position % kPagePositions;
  for (int64_t h = 0; h < hyper_.kv_heads; ++h) {
    uint16_t* keys = cache_.keys(entry.sequence, page, layer_, h);
    for (int64_t i = 0; i < d; ++i) keys[key_place(slot, i, d)] = halves[h * d + i];
    ops_.to_half(cache_.values(entry.sequence, page, layer_, h) + slot * d, v + h * d, d);
  }
}

// Cuts a batch into query blocks: neighbours that continue one sequence on one page, so that all of
// them see the same whole pages, and one page more up to their own position.
void CpuPass::cut_into_blocks(std::span<const bitnet_batch_entry> entries) noexcept {
  blocks_.clear();
  for (const bitnet_batch_entry& e : entries) {
    const int64_t page = e.position / kPagePositions;
    if (!blocks_.empty()) {
      QueryBlock& last = blocks_.back();
      if (last.sequence == e.sequence && last.page == page && last.tokens < kBlockTokens) {
        ++last.tokens;
        continue;
      }
    }
    blocks_.push_back({e.sequence, page, &e - entries.data(), 1});
  }
}

AttentionTree CpuPass::tree_of(int worker, int64_t queries) noexcept {
  float* memory = work_.trees.as<float>() +
                  worker * AttentionTree::floats(most_queries(hyper_), hyper_.head_dim, pages_);
  return AttentionTree(ops_, memory, queries, hyper_.head_dim);
}

// Pushes the leaves of pages [first, last) of one KV head.
void CpuPass::fold_pages(int worker, std::span<const bitnet_batch_entry> entries,
                         const QueryBlock& block, int64_t head, int64_t first, int64_t last,
                         AttentionTree& tree) noexcept {
  const int64_t d = hyper_.head_dim, per_token = queries_per_kv_head(hyper_);
  const int64_t token_stride = hyper_.heads * d;
  const float* q = work_.q.as<float>() + block.row * token_stride + head * per_token * d;
  if (block.tokens > 1) {
    float* side_by_side =
        work_.queries.as<float>() + worker * AttentionPart::floats(most_queries(hyper_), d);
    for (int64_t t = 0; t < block.tokens; ++t) {
      std::copy_n(q + t * token_stride, per_token * d, side_by_side + t * per_token * d);
    }
    q = side_by_side;
  }
  for (int64_t page = first; page < last; ++page) {
    const AttentionPart leaf = tree.next_leaf();
    const uint16_t* keys = cache_.keys(block.sequence, page, layer_, head);
    const uint16_t* values = cache_.values(block.sequence, page, layer_, head);
    // After the last one comes, most likely, the next head.
    const uint16_t* next = nullptr;
    if (page < block.page) {
      next = cache_.keys(block.sequence, page + 1, layer_, head);
    } else if (head + 1 < hyper_.kv_heads) {
      next = cache_.keys(block.sequence, 0, layer_, head + 1);
    }
    const auto attend_page = [&](int64_t from, int64_t count, int64_t positions) {
      ops_.attend_page(leaf.maximum + from, leaf.sum + from, leaf.value + from * d, q + from * d,
                       keys, values, count, d, positions, attention_scale_, next);
    };
    if (page < block.page) {
      attend_page(0, block.tokens * per_token, kPagePositions);
    } else {
      for (int64_t t = 0; t < block.tokens; ++t) {
        const int32_t position = entries[static_cast<size_t>(block.row + t)].position;
        attend_page(t * per_token, per_token, position + 1 - page * kPagePositions);
      }
    }
    tree.leaf_filled();
  }
  counts_[static_cast<size_t>(worker)].attend_page += static_cast<uint64_t>(last - first);
}

void CpuPass::finish_attention(const QueryBlock& block, int64_t head,
                               const AttentionPart& part) noexcept {
  const int64_t d = hyper_.head_dim, per_token = queries_per_kv_head(hyper_);
  for (int64_t t = 0; t < block.tokens; ++t) {
    float* out =
        work_.attended.as<float>() + ((block.row + t) * hyper_.heads + head * per_token) * d;
    for (int64_t i = 0; i < per_token; ++i) {
      const int64_t at = t * per_token + i;
      ops_.attend_finish(out + i * d, part.sum + at, part.value + at * d, d);
    }
  }
}

// attended[t] = softmax(q k / sqrt(head_dim)) v over positions 0..position of the token's sequence.
// Work items are (block, KV head), or where these are few, (block, KV head, group of pages).
void CpuPass::attend(std::span<const bitnet_batch_entry> entries) noexcept {
  const int64_t kv_heads = hyper_.kv_heads, per_token = queries_per_kv_head(hyper_);
  const int64_t items = static_cast<int64_t>(blocks_.size()) * kv_heads;
  const auto block_of = [&](int64_t item) -> const QueryBlock& {
    return blocks_[static_cast<size_t>(item / kv_heads)];
  };
  if (static_cast<int64_t>(entries.size()) > kSplitTokens || pool_.size() == 1) {
    pool_.run_chunks(items, [&](int worker, int64_t item) {
      const QueryBlock& block = block_of(item);
      AttentionTree tree = tree_of(worker, block.tokens * per_token);
      fold_pages(worker, entries, block, item % kv_heads, 0, block.page + 1, tree);
      finish_attention(block, item % kv_heads, tree.result());
    });
    return;
  }

  int64_t groups = 0;  // of the longest block
  for (const QueryBlock& b : blocks_) groups = std::max(groups, b.page / kGroupPages + 1);
  const int64_t room = AttentionPart::floats(kSplitTokens * per_token, hyper_.head_dim);
  const auto bytes_of = [&](const QueryBlock& block) {
    return static_cast<size_t>(AttentionPart::floats(block.tokens * per_token, hyper_.head_dim)) *
           sizeof(float);
  };
  // Parts of one head's blocks share the room of kSplitTokens tokens.
  const auto part_at = [&](int64_t item, int64_t group) {
    const int64_t at = (item % kv_heads * groups + group) * room +
                       AttentionPart::floats(block_of(item).row * per_token, hyper_.head_dim);
    return work_.parts.as<float>() + at;
  };
  pool_.run_chunks(items * groups, [&](int worker, int64_t i) {
    const int64_t item = i / groups, group = i % groups, first = group * kGroupPages;
    const QueryBlock& block = block_of(item);
    const int64_t last = std::min(first + kGroupPages, block.page + 1);
    if (first >= last) return;
    AttentionTree tree = tree_of(worker, block.tokens * per_token);
    fold_pages(worker, entries, block, item % kv_heads, first, last, tree);
    std::memcpy(part_at(item, group), tree.result().maximum, bytes_of(block));
  });
  for (int64_t item = 0; item < items; ++item) {
    const QueryBlock& block = block_of(item);
    AttentionTree tree = tree_of(0, block.tokens * per_token);
    for (int64_t group = 0; group * kGroupPages <= block.page; ++group) {
      std::memcpy(tree.next_leaf().maximum, part_at(item, group), bytes_of(block));
      tree.leaf_filled();
    }
    finish_attention(block, item % kv_heads, tree.result());
  }
}

// ---- Pieces of a block ------------------------------------------------------------------------

// body(worker, token) for every token, on all threads when there are enough of them.
template <class F>
void CpuPass::each_token(int64_t tokens, F&& body) {
  if (tokens < kInlineTokens) {
    for (int64_t t = 0; t < tokens; ++t) body(0, t);
    return;
  }
  pool_.run([&](int worker) {
    const Share share = share_of(tokens, 1, worker, pool_.size());
    for (int64_t t = share.first; t < share.last; ++t) body(worker, t);
  });
}

// The input of the next products: projected[row] = norm(x[row]), and quantized.
void CpuPass::norm_x(int worker, int64_t row, const Vec<float>& gamma) {
  float* normed = work_.projected.as<float>() + row * hyper_.width;
  norm(worker, normed, work_.x.as<float>() + row * hyper_.width, gamma, hyper_.width);
  quantize(worker, row, normed, hyper_.width);
}

void CpuPass::norm(int worker, float* y, const float* x, const Vec<float>& gamma, int64_t n) {
  ops_.rmsnorm(y, x, gamma.data(), n, hyper_.norm_eps);
  counts_[static_cast<size_t>(worker)].rmsnorm += 1;
}

void CpuPass::quantize(int worker, int64_t row, const float* x, int64_t n) {
  int8_t* quantized = work_.quantized.as<int8_t>() + row * quantized_stride_;
  int8_t* canonical = quantized;
  if (weights_.file_order) canonical = reinterpret_cast<int8_t*>(scratch_of(worker));
  ops_.quantize(canonical, work_.quantized_scale.as<float>() + row,
                work_.quantized_sum.as<int32_t>() + row, x, n);
  if (weights_.file_order) permute_for_file_rows(quantized, canonical, n, *weights_.file_order);
  counts_[static_cast<size_t>(worker)].quantize += 1;
}

uint8_t* CpuPass::scratch_of(int worker) noexcept {
  return work_.ternary.data() + worker * ternary_scratch_bytes(widest(hyper_));
}

// Rows of one product, in tiles.
void CpuPass::multiply_tiles(int worker, const Input& input, const Product& product,
                             int64_t first_tile, int64_t last_tile, int64_t tokens) noexcept {
  const Linear& map = *product.map;
  const int64_t first = first_tile * kTileRows, last = std::min(last_tile * kTileRows, map.rows());
  KernelCounts& counts = counts_[static_cast<size_t>(worker)];
  if (map.ternary) {
    const QuantizedRows quantized = {work_.quantized.as<int8_t>(), quantized_stride_,
                                     work_.quantized_scale.as<float>(),
                                     work_.quantized_sum.as<int32_t>()};
    ops_.ternary_matmul(product.y, product.y_stride, map.tiles, first, last, quantized, tokens,
                        scratch_of(worker));
    counts.ternary_matmul += 1;
  } else {
    ops_.dense_matmul(product.y, product.y_stride, map.dense, first, last, input.x, input.stride,
                      tokens);
    counts.dense_matmul += 1;
  }
  if (map.output_scale == 1.0f) return;
  for (int64_t t = 0; t < tokens; ++t) {
    ops_.scale(product.y + t * product.y_stride + first, map.output_scale, last - first);
  }
}

// All products of one input in one phase: their rows, laid end to end, are cut into chunks. next:
// the maps of the phase after this.
void CpuPass::multiply(const Input& input, std::span<const Product> products, int64_t tokens,
                       Maps next) {
  const Timed timed(seconds_.weights);
  expect(tokens <= kStreamTokens ? next : Maps{});
  int64_t tiles = 0;
  for (const Product& p : products) tiles += tiles_of(*p.map);
  const int64_t per_chunk = tiles_per_chunk(*products[0].map);
  pool_.run_chunks((tiles + per_chunk - 1) / per_chunk, [&](int worker, int64_t chunk) {
    const int64_t chunk_first = chunk * per_chunk, chunk_last = chunk_first + per_chunk;
    int64_t begin = 0;  // of this product, in tiles
    for (const Product& p : products) {
      const int64_t count = tiles_of(*p.map);
      const int64_t first = std::max(chunk_first - begin, int64_t{0});
      const int64_t last = std::min(chunk_last - begin, count);
      begin += count;
      if (first < last) multiply_tiles(worker, input, p, first, last, tokens);
    }
  });
}

// Has waiting threads bring the weights that they will begin with, if any.
void CpuPass::expect(Maps maps) noexcept {
  if (maps.size() == 0) return pool_.expect_nothing();
  int64_t tiles = 0;
  for (const Linear* map : maps) tiles += tiles_of(*map);
  const int64_t per_chunk = tiles_per_chunk(**maps.begin());
  pool_.expect_chunks((tiles + per_chunk - 1) / per_chunk, [&](int64_t chunk) {
    int64_t tile = chunk * per_chunk;
    auto map = maps.begin();
    for (; tile >= tiles_of(**map); ++map) tile -= tiles_of(**map);
    return weights_of_tile(**map, tile);
  });
}

}  // namespace bitnet
