#include "compute/cuda/context.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <initializer_list>
#include <limits>

namespace bitnet {

using namespace cuda;

namespace cuda {

BatchPlaces::BatchPlaces(int64_t tokens) noexcept {
  constexpr int64_t kBlockWords = sizeof(QueryBlock) / 4;
  position = tokens;
  page_list = 2 * tokens;
  wanted = 3 * tokens;
  blocks = 4 * tokens;
  pages = blocks + kBlockWords * tokens;
}

}  // namespace cuda

namespace {

// Passes of so few tokens wait for launches: they are recorded once and started as one.
constexpr int64_t kGraphTokens = 64;
constexpr size_t kMostGraphs = 32;
// Up to so many tokens there are too few queries for all processors unless every page is computed
// by a block of its own; and then while a sequence has no more than so many pages.
constexpr int64_t kSpreadTokens = 8, kSpreadPages = 64;
constexpr int64_t kGroupPages = 4;
// Results of groups of pages wait in so much memory; larger batches take turns.
constexpr int64_t kPartBytes = 64 << 20;
// Layers between looks at the caller's wish to cancel.
constexpr int64_t kLayersAhead = 8;

int64_t widest_input(const DeviceModelParts& s) {
  return std::max({s.width, s.heads * s.head_dim, s.ff_width});
}
int64_t padded_input(const DeviceModelParts& s) {
  return chunks_of(widest_input(s)) * kChunkCols;
}

int64_t power_of_two(int64_t n) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n)));
}

int64_t page_numbers(const DeviceModelParts& s) {
  return s.layers * s.kv_heads * 2 * kPagePositions * s.head_dim;
}

// Groups of pages that one sequence of `pages` is computed in, rounded up so that few shapes of a
// pass exist.
int64_t group_pages_of(int64_t tokens, int64_t pages) {
  return tokens <= kSpreadTokens && pages <= kSpreadPages ? 1 : kGroupPages;
}
int64_t groups_of(int64_t group_pages, int64_t pages) {
  return power_of_two(parts_of(pages, group_pages));
}

int64_t most_part_groups(const DeviceModelParts& s, const DeviceContextOptions& o) {
  const int64_t longest =
      std::max(groups_of(1, std::min(o.pages, kSpreadPages)), groups_of(kGroupPages, o.pages));
  const int64_t bytes = attention_part_floats(s.heads, s.kv_heads, s.head_dim) * 4;
  return std::max(longest, std::min(o.batch * longest, kPartBytes / bytes));
}

// Whether a pass's mask (PassShape) has the i-th wanted token.
bool wants(uint64_t mask, int64_t i) {
  return (mask >> (i % 64) & 1) != 0;
}

DeviceSelection of_largest(int64_t vocabulary, int32_t first) {
  return {vocabulary, first, 1.0f, -std::numeric_limits<double>::infinity(), 0, 0};
}

// Places of what is kept of so many rows of results.
struct RowPlaces {
  Layout layout;
  size_t hidden, low, high, select_room, selected;

  RowPlaces(const DeviceModelParts& s, int64_t rows) {
    hidden = layout.add(rows * s.width * 4);
    low = layout.add(rows * s.vocab * 4);
    high = layout.add(s.screened ? rows * s.vocab * 4 : 0);
    select_room = layout.add(rows * static_cast<int64_t>(sizeof(SelectRoom)));
    selected = layout.add(rows * static_cast<int64_t>(sizeof(Selected)));
  }
};

}  // namespace

// ---- Opening -----------------------------------------------------------------------------------

// Places of all that a context keeps, whatever the batch.
struct DeviceContext::Sizes {
  Layout layout;
  size_t x, q, k, v, attended, gate, up, normed, cosine, sine, parts, quantized, quantized_scale,
      quantized_sum, cache, screen_bytes, screen_tokens, arrived;

  Sizes(const DeviceModelParts& s, const DeviceContextOptions& o) {
    const auto floats = [&](int64_t a, int64_t b) { return layout.add(a * b * 4); };
    const AttentionShape attention(s.heads, s.kv_heads, s.head_dim);
    x = floats(o.batch, s.width);
    q = floats(o.batch, s.heads * s.head_dim);
    k = floats(o.batch, s.kv_heads * s.head_dim);
    v = floats(o.batch, s.kv_heads * s.head_dim);
    attended = floats(o.batch, s.heads * s.head_dim);
    gate = floats(o.batch, s.ff_width);
    up = floats(o.batch, s.ff_width);
    normed = floats(o.batch, widest_input(s));
    cosine = floats(o.batch, s.rope_pairs);
    sine = floats(o.batch, s.rope_pairs);
    parts = floats(most_part_groups(s, o), attention_part_floats(s.heads, s.kv_heads, s.head_dim));
    quantized = layout.add(o.batch * padded_input(s));
    quantized_scale = floats(o.batch, 1);
    quantized_sum = floats(o.batch, 1);
    cache = layout.add(o.pages * page_numbers(s) * 2);
    screen_bytes = layout.add(s.screened ? screen_input_bytes(s.width) : 0);
    screen_tokens = layout.add(kScreenTokens * static_cast<int64_t>(sizeof(ScreenToken)));
    arrived = floats(o.batch, s.kv_heads * attention.slices);  // the last: allocate() clears it
  }
};

uint64_t DeviceContext::bytes_of(const DeviceModelParts& shape,
                                 const DeviceContextOptions& options) noexcept {
  const int64_t words = BatchPlaces(options.batch).pages + power_of_two(options.pages);
  return Sizes(shape, options).layout.bytes() + RowPlaces(shape, 1).layout.bytes() +
         static_cast<uint64_t>(words * 4);
}

DeviceContext::DeviceContext(DeviceModel& model, const DeviceContextOptions& options) noexcept
    : model_(model), options_(options), device_(model.device) {}

Result<Ptr<DeviceContext>> DeviceContext::open(DeviceModel& model,
                                               const DeviceContextOptions& options) {
  Ptr<DeviceContext> context = make<DeviceContext>(model, options);
  BITNET_TRY(context->allocate());
  return Result<Ptr<DeviceContext>>(std::move(context));
}

Status DeviceContext::allocate() {
  const DeviceModelParts& s = model_.shape;
  const Sizes sizes(s, options_);
  if (memory_.allocate(sizes.layout.bytes()) != cudaSuccess) {
    return no_memory(device_, "the context takes", sizes.layout.bytes());
  }
  x_ = memory_.as<float>(sizes.x);
  q_ = memory_.as<float>(sizes.q);
  k_ = memory_.as<float>(sizes.k);
  v_ = memory_.as<float>(sizes.v);
  attended_ = memory_.as<float>(sizes.attended);
  gate_ = memory_.as<float>(sizes.gate);
  up_ = memory_.as<float>(sizes.up);
  normed_ = memory_.as<float>(sizes.normed);
  cosine_ = memory_.as<float>(sizes.cosine);
  sine_ = memory_.as<float>(sizes.sine);
  parts_ = memory_.as<float>(sizes.parts);
  quantized_ = memory_.as<int8_t>(sizes.quantized);
  quantized_scale_ = memory_.as<float>(sizes.quantized_scale);
  quantized_sum_ = memory_.as<int32_t>(sizes.quantized_sum);
  cache_ = memory_.as<uint16_t>(sizes.cache);
  arrived_ = memory_.as<uint32_t>(sizes.arrived);
  screen_input_ = {memory_.as<uint8_t>(sizes.screen_bytes),
                   memory_.as<ScreenToken>(sizes.screen_tokens)};
  part_groups_ = most_part_groups(s, options_);
  blocks_.reserve(static_cast<size_t>(options_.batch));
  graphs_.reserve(kMostGraphs);

  int major = 0;
  BITNET_TRY(check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device_),
                   "asking the device"));
  stream_.overlapping = major >= 9;
  stream_.shared_bytes = model_.shared_bytes - kStaticShared;
  stream_.processors = model_.processors;
  BITNET_TRY(check(cudaStreamCreateWithFlags(&stream_.handle, cudaStreamNonBlocking), "no stream"));
  BITNET_TRY(
      check(cudaMemsetAsync(arrived_, 0, sizes.layout.bytes() - sizes.arrived, stream_.handle),
            "a memset"));
  BITNET_TRY(make_room_for_words(BatchPlaces(options_.batch).pages + power_of_two(options_.pages)));
  if (read_.allocate(static_cast<size_t>(std::max(s.width, s.vocab)) * 4) != cudaSuccess) {
    return no_memory(device_, "page-locked memory for a row takes",
                     static_cast<uint64_t>(s.vocab) * 4);
  }
  BITNET_TRY(reserve_rows(1));
  return synchronize("opening the context");
}

DeviceContext::~DeviceContext() {
  if (stream_.handle) cudaStreamSynchronize(stream_.handle);
  forget_graphs();
  if (stream_.handle) cudaStreamDestroy(stream_.handle);
}

void DeviceContext::forget_graphs() noexcept {
  for (const Graph& g : graphs_) {
    if (g.graph) cudaGraphExecDestroy(g.graph);
  }
  graphs_.clear();
}

// ---- Failures ----------------------------------------------------------------------------------

// A failure of the driver is the context's last word.
Status DeviceContext::check(cudaError_t error, const char* what) {
  if (failed_.ok() && error != cudaSuccess) failed_ = failure(device_, what, error);
  return failed_;
}

Status DeviceContext::synchronize(const char* what) {
  if (stream_.error != cudaSuccess) return check(stream_.error, what);
  return check(cudaStreamSynchronize(stream_.handle), what);
}

// ---- Room --------------------------------------------------------------------------------------

Status DeviceContext::make_room_for_words(int64_t words) {
  const size_t bytes = static_cast<size_t>(words) * 4;
  if (batch_.bytes() >= bytes) return {};
  DeviceBytes batch;
  HostBytes sent;
  if (batch.allocate(bytes) != cudaSuccess || sent.allocate(bytes) != cudaSuccess) {
    return no_memory(device_, "the batch takes", bytes);
  }
  forget_graphs();
  batch_ = std::move(batch);
  sent_ = std::move(sent);
  return {};
}

Status DeviceContext::reserve_rows(int64_t rows) {
  BITNET_TRY(failed_);
  if (rows <= row_count_) return {};
  const RowPlaces places(model_.shape, rows);
  row_.reserve(static_cast<size_t>(rows));
  DeviceBytes memory;
  HostBytes selected;
  if (memory.allocate(places.layout.bytes()) != cudaSuccess ||
      selected.allocate(static_cast<size_t>(rows) * sizeof(Selected)) != cudaSuccess) {
    return no_memory(device_, "room for results takes", places.layout.bytes());
  }
  forget_graphs();
  rows_ = std::move(memory);
  selected_host_ = std::move(selected);
  hidden_ = rows_.as<float>(places.hidden);
  low_ = rows_.as<float>(places.low);
  high_ = rows_.as<float>(places.high);
  select_room_ = rows_.as<SelectRoom>(places.select_room);
  selected_ = rows_.as<Selected>(places.selected);
  row_.assign(static_cast<size_t>(rows), Row());
  row_count_ = rows;
  return {};
}

// ---- A batch -----------------------------------------------------------------------------------

Status DeviceContext::forward(const DeviceBatch& batch) {
  BITNET_TRY(failed_);
  PassShape shape;
  BITNET_TRY(send(batch, &shape));
  const auto rows = std::span(row_).subspan(static_cast<size_t>(batch.first_row),
                                            static_cast<size_t>(batch.wanted_count));
  std::fill(rows.begin(), rows.end(), Row());
  BITNET_TRY(run(shape, batch));
  for (int64_t i = 0; i < batch.wanted_count; ++i) {
    const bool logits = wants(shape.logits, i), sample = wants(shape.samples, i);
    rows[static_cast<size_t>(i)] = {logits   ? Row::kLogits
                                    : sample ? Row::kBounds
                                             : Row::kNothing,
                                    sample && shape.vocabulary > 0};
  }
  count(batch, shape);
  return {};
}

// Writes what is sent up, and tells the pass's shape.
Status DeviceContext::send(const DeviceBatch& b, PassShape* shape) {
  const DeviceModelParts& s = model_.shape;
  const AttentionShape attention(s.heads, s.kv_heads, s.head_dim);
  const BatchPlaces at(b.tokens);
  shape->tokens = b.tokens;
  shape->words = at.pages + power_of_two(b.page_count);
  BITNET_TRY(make_room_for_words(shape->words));

  blocks_.clear();
  int64_t longest = 0;  // pages
  for (int64_t t = 0; t < b.tokens; ++t) {
    const int32_t page = b.position[t] / static_cast<int32_t>(kPagePositions);
    longest = std::max<int64_t>(longest, page + 1);
    if (!blocks_.empty()) {
      QueryBlock& last = blocks_.back();
      if (last.page_list == b.page_list[t] && last.page == page && last.tokens < attention.tokens) {
        ++last.tokens;
        continue;
      }
    }
    blocks_.push_back({static_cast<int32_t>(t), 1, page, b.page_list[t]});
  }
  shape->blocks = static_cast<int64_t>(blocks_.size());
  shape->group_pages = group_pages_of(b.tokens, longest);
  shape->groups = groups_of(shape->group_pages, longest);

  auto* words = sent_.as<int32_t>();
  const auto put = [&](int64_t place, const void* from, int64_t count) {
    std::memcpy(words + place, from, static_cast<size_t>(count) * 4);
  };
  put(0, b.token, b.tokens);
  put(at.position, b.position, b.tokens);
  put(at.page_list, b.page_list, b.tokens);
  if (b.wanted_count > 0) put(at.wanted, b.wanted, b.wanted_count);
  put(at.blocks, blocks_.data(), static_cast<int64_t>(sizeof(QueryBlock) / 4) * shape->blocks);
  put(at.pages, b.pages, b.page_count);

  shape->wanted = b.wanted_count;
  shape->first_row = b.first_row;
  for (int64_t i = 0; i < b.wanted_count; ++i) {
    const uint64_t bit = uint64_t{1} << std::min<int64_t>(i, 63);
    const DeviceWant want = b.want[i];
    if (want == DeviceWant::kSample) shape->samples |= bit;
    if (want == DeviceWant::kLogits || (want == DeviceWant::kSample && !computes_bounds()))
      shape->logits |= bit;
  }
  // Of many rows all get what any does: which of them need less is not worth telling apart.
  if (b.wanted_count > 64) {
    if (shape->logits) shape->logits = ~uint64_t{0};
    if (shape->samples) shape->samples = ~uint64_t{0};
  }
  if (shape->samples) {
    shape->vocabulary = selection_.vocabulary;
    shape->first = selection_.first;
  }
  return {};
}

Status DeviceContext::run(const PassShape& shape, const DeviceBatch& batch) {
  const auto cancelled = [&]() -> Status {
    if (!batch.cancelled || !batch.cancelled->load(std::memory_order_relaxed)) return {};
    return Status::error(BITNET_E_CANCELLED, "cancelled; nothing was added");
  };
  BITNET_TRY(cancelled());
  if (shape.tokens <= kGraphTokens) {
    if (Graph* const again = known(shape)) {
      if (!again->graph) BITNET_TRY(record(again));
      if (again->graph) {
        stream_.launches += again->launches;
        BITNET_TRY(check(cudaGraphLaunch(again->graph, stream_.handle), "starting a pass"));
        return synchronize("computing a batch");
      }
    }
    enqueue(shape);
    return synchronize("computing a batch");
  }
  enqueue_begin(shape);
  for (int64_t layer = 0; layer < model_.shape.layers; ++layer) {
    enqueue_layer(shape, layer);
    if (layer % kLayersAhead != kLayersAhead - 1) continue;
    BITNET_TRY(synchronize("computing a batch"));
    BITNET_TRY(cancelled());
  }
  enqueue_results(shape);
  return synchronize("computing a batch");
}

void DeviceContext::enqueue(const PassShape& shape) {
  enqueue_begin(shape);
  for (int64_t layer = 0; layer < model_.shape.layers; ++layer) enqueue_layer(shape, layer);
  enqueue_results(shape);
}

// The entry of a shape that is met again; nullptr the first time, when it takes the place of the
// one not used for longest. (A prompt's last few tokens are of many shapes, hardly one of which
// returns.)
DeviceContext::Graph* DeviceContext::known(const PassShape& shape) noexcept {
  ++passes_;
  for (Graph& g : graphs_) {
    if (!(g.shape == shape)) continue;
    g.used = passes_;
    return &g;
  }
  if (graphs_.size() < kMostGraphs) {
    graphs_.push_back({shape, nullptr, 0, passes_});
    return nullptr;
  }
  Graph& oldest = *std::min_element(graphs_.begin(), graphs_.end(),
                                    [](const Graph& a, const Graph& b) { return a.used < b.used; });
  if (oldest.graph) cudaGraphExecDestroy(oldest.graph);
  oldest = {shape, nullptr, 0, passes_};
  return nullptr;
}

// Records the pass; its graph stays null if there is no memory for it, and it runs without. A
// driver older than the toolkit may not record kernels that overlap: then none do any more.
Status DeviceContext::record(Graph* pass) {
  cudaError_t error = try_to_record(pass);
  if (error != cudaSuccess && error != cudaErrorMemoryAllocation && stream_.overlapping) {
    stream_.overlapping = false;
    error = try_to_record(pass);
  }
  return error == cudaErrorMemoryAllocation ? Status() : check(error, "recording a pass");
}

cudaError_t DeviceContext::try_to_record(Graph* pass) {
  cudaError_t error = cudaStreamBeginCapture(stream_.handle, cudaStreamCaptureModeThreadLocal);
  if (error == cudaSuccess) {
    const uint64_t before = stream_.launches;
    enqueue(pass->shape);
    pass->launches = stream_.launches - before;
    stream_.launches = before;  // nothing has run
    cudaGraph_t recorded = nullptr;
    const cudaError_t ended = cudaStreamEndCapture(stream_.handle, &recorded);
    error = stream_.error != cudaSuccess ? stream_.error : ended;
    if (error == cudaSuccess) error = cudaGraphInstantiate(&pass->graph, recorded, 0);
    if (recorded) cudaGraphDestroy(recorded);
  }
  stream_.error = cudaSuccess;  // the caller's now
  stream_.after_kernel = false;
  if (error == cudaSuccess) return error;
  cudaGetLastError();
  pass->graph = nullptr;
  return error;
}

// ---- The forward pass, top to bottom as forward/cpu_pass.cpp has it -----------------------------

void DeviceContext::enqueue_begin(const PassShape& shape) {
  copy(stream_, batch_.as<void>(), sent_.as<void>(), shape.words * 4, cudaMemcpyHostToDevice);
  embed(stream_, model_.embeddings, words(0), shape.tokens, x_,
        {model_.rope_frequency, static_cast<int32_t>(model_.shape.rope_pairs),
         words(BatchPlaces(shape.tokens).position), cosine_, sine_});
}

void DeviceContext::enqueue_layer(const PassShape& shape, int64_t layer) {
  const DeviceModelParts& s = model_.shape;
  const LayerMaps& w = model_.layers[static_cast<size_t>(layer)];
  const int64_t query_width = s.heads * s.head_dim, kv_width = s.kv_heads * s.head_dim;
  const auto input = [&](const float* x, const float* gamma, int64_t n) {
    return Normed{x, gamma, static_cast<int32_t>(n), s.norm_eps};
  };
  // x += Wo . sub_norm(attention(rope(Wq h), rope(Wk h), Wv h)),  h = norm(x)
  multiply(shape.tokens,
           {{&w.q, {q_, query_width}}, {&w.k, {k_, kv_width}}, {&w.v, {v_, kv_width}}},
           input(x_, w.attn_norm, s.width), s.width, Then::kStore);
  attend(shape, layer);
  multiply(shape.tokens, {{&w.o, {x_, s.width}}}, input(attended_, w.attn_sub_norm, query_width),
           query_width, Then::kAdd);
  // x += Wdown . sub_norm(gate(Wgate h) * Wup h),  h = norm(x)
  multiply(shape.tokens, {{&w.gate, {gate_, s.ff_width}}, {&w.up, {up_, s.ff_width}}},
           input(x_, w.ffn_norm, s.width), s.width, Then::kGate);
  multiply(shape.tokens, {{&w.down, {x_, s.width}}}, input(gate_, w.ffn_sub_norm, s.ff_width),
           s.ff_width, Then::kAdd);
}

// Products of maps with one input. One token's input is normed and quantized by every block of the
// product itself; of more tokens beforehand.
void DeviceContext::multiply(int64_t tokens,
                             std::initializer_list<std::pair<const DeviceMap*, Output>> maps,
                             const Normed& input, int64_t input_stride, Then then) {
  bool ternary = true;
  for (const auto& [map, out] : maps) ternary &= map->ternary;
  const QuantizedOut quantized = {quantized_, quantized_scale_, quantized_sum_,
                                  static_cast<int32_t>(chunks_of(input.n) * kChunkCols)};
  const bool inside =
      tokens == 1 && ternary && ternary_shared_bytes(input.n) <= stream_.shared_bytes;
  if (!inside)
    norm_rows(stream_, input, input_stride, tokens, quantized, ternary ? nullptr : normed_);

  const auto job_of = [&](Then what) {
    TernaryJob job = {};
    job.cols = input.n;
    job.tokens = static_cast<int32_t>(tokens);
    job.then = what;
    job.relu2 = model_.shape.relu2;
    job.q = quantized.q;
    job.q_scale = quantized.scale;
    job.q_sum = quantized.sum;
    job.norm = input;
    if (!inside) job.norm.x = nullptr;
    return job;
  };
  const auto part_of = [](const DeviceMap& map, const Output& out) {
    return TernaryPart{map.tiles, map.rows, map.scale, map.output_scale, out.y, out.stride};
  };
  if (ternary) {
    TernaryJob job = job_of(then);
    for (const auto& [map, out] : maps) job.part[job.parts++] = part_of(*map, out);
    return ternary_products(stream_, job);
  }
  const Then each = then == Then::kGate ? Then::kStore : then;
  for (const auto& [map, out] : maps) {
    if (map->ternary) {
      TernaryJob job = job_of(each);
      job.part[job.parts++] = part_of(*map, out);
      ternary_products(stream_, job);
    } else {
      dense_product(stream_, {map->dense, normed_, input.n, out.y, out.stride,
                              static_cast<int32_t>(tokens), map->output_scale, each == Then::kAdd});
    }
  }
  if (then == Then::kGate)
    gate_rows(stream_, gate_, up_, model_.shape.ff_width, tokens, model_.shape.relu2);
}

void DeviceContext::attend(const PassShape& shape, int64_t layer) {
  const DeviceModelParts& s = model_.shape;
  const BatchPlaces at(shape.tokens);
  AttentionJob job = {};
  job.q = q_;
  job.k = k_;
  job.v = v_;
  job.attended = attended_;
  job.cache = cache_;
  job.position = words(at.position);
  job.page_list = words(at.page_list);
  job.pages = words(at.pages);
  job.blocks = reinterpret_cast<const QueryBlock*>(words(at.blocks));
  job.cosine = cosine_;
  job.sine = sine_;
  job.tokens = static_cast<int32_t>(shape.tokens);
  job.block_count = static_cast<int32_t>(shape.blocks);
  job.heads = static_cast<int32_t>(s.heads);
  job.kv_heads = static_cast<int32_t>(s.kv_heads);
  job.head_dim = static_cast<int32_t>(s.head_dim);
  job.rope_pairs = static_cast<int32_t>(s.rope_pairs);
  job.layers = static_cast<int32_t>(s.layers);
  job.layer = static_cast<int32_t>(layer);
  job.rope = s.rope;
  job.scale = s.attention_scale;
  job.groups = static_cast<int32_t>(shape.groups);
  job.group_pages = static_cast<int32_t>(shape.group_pages);
  job.parts = parts_;
  job.part_groups = part_groups_;
  job.arrived = arrived_;
  cuda::attend(stream_, job);
}

// The wanted rows: output norm, then the head or bounds of it, and what is selected of them.
void DeviceContext::enqueue_results(const PassShape& shape) {
  const DeviceModelParts& s = model_.shape;
  if (shape.wanted == 0) return;
  const BatchPlaces at(shape.tokens);
  float* hidden = hidden_ + shape.first_row * s.width;
  hidden_rows(stream_, {x_, model_.output_norm, static_cast<int32_t>(s.width), s.norm_eps}, s.width,
              words(at.wanted), shape.wanted, hidden);
  // Tokens of which the same is wanted are computed together.
  for (int64_t first = 0, last = 0; first < shape.wanted; first = last) {
    const bool logits = wants(shape.logits, first), sample = wants(shape.samples, first);
    last = first + 1;
    while (last < shape.wanted && wants(shape.logits, last) == logits &&
           wants(shape.samples, last) == sample) {
      ++last;
    }
    const int64_t row = shape.first_row + first, count = last - first;
    if (logits) enqueue_logits(row, count);
    if (sample && !logits) enqueue_bounds(row, count);
    if (sample && shape.vocabulary > 0) {
      enqueue_selection(row, count, !logits, of_largest(shape.vocabulary, shape.first));
    }
  }
  if (shape.samples == 0 || shape.vocabulary == 0) return;
  copy(stream_, selected_host_.as<Selected>() + shape.first_row, selected_ + shape.first_row,
       shape.wanted * static_cast<int64_t>(sizeof(Selected)), cudaMemcpyDeviceToHost);
}

void DeviceContext::enqueue_logits(int64_t row, int64_t count) {
  const DeviceModelParts& s = model_.shape;
  dense_product(stream_, {model_.head, hidden_ + row * s.width, s.width, low_ + row * s.vocab,
                          s.vocab, static_cast<int32_t>(count), 1.0f, false});
}

void DeviceContext::enqueue_bounds(int64_t row, int64_t count) {
  const DeviceModelParts& s = model_.shape;
  screen(stream_, model_.screen, hidden_ + row * s.width, count, screen_input_,
         low_ + row * s.vocab, high_ + row * s.vocab, s.vocab);
}

void DeviceContext::enqueue_selection(int64_t row, int64_t count, bool bounds,
                                      const DeviceSelection& selection) {
  const DeviceModelParts& s = model_.shape;
  const float* low = low_ + row * s.vocab;
  select_rows(stream_,
              {selection, low, bounds ? high_ + row * s.vocab : low, s.vocab, model_.head,
               hidden_ + row * s.width, select_room_ + row, selected_ + row},
              count);
}

void DeviceContext::count(const DeviceBatch& batch, const PassShape& shape) noexcept {
  const DeviceModelParts& s = model_.shape;
  const auto tokens = static_cast<uint64_t>(batch.tokens),
             wanted = static_cast<uint64_t>(batch.wanted_count);
  for (const LayerMaps& w : model_.layers) {
    counts_.rmsnorm += tokens * (2u + (w.attn_sub_norm ? 1 : 0) + (w.ffn_sub_norm ? 1 : 0));
    for (const DeviceMap* map : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down}) {
      (map->ternary ? counts_.ternary_matmul : counts_.dense_matmul) += tokens;
    }
  }
  const auto layers = static_cast<uint64_t>(s.layers);
  counts_.rmsnorm += wanted;
  counts_.quantize += 4 * layers * tokens;
  counts_.rope += layers * tokens;
  counts_.gate += layers * tokens;
  for (int64_t t = 0; t < batch.tokens; ++t) {
    counts_.attend_page +=
        layers * static_cast<uint64_t>(s.kv_heads * (batch.position[t] / kPagePositions + 1));
  }
  for (int64_t i = 0; i < shape.wanted; ++i) counts_.dense_matmul += wants(shape.logits, i);
}

// ---- Results -----------------------------------------------------------------------------------

Status DeviceContext::read_row(const float* from, int64_t count, float* to, const char* what) {
  BITNET_TRY(failed_);
  const size_t bytes = static_cast<size_t>(count) * 4;
  BITNET_TRY(
      check(cudaMemcpyAsync(read_.as<void>(), from, bytes, cudaMemcpyDeviceToHost, stream_.handle),
            what));
  BITNET_TRY(synchronize(what));
  std::memcpy(to, read_.as<void>(), bytes);
  return {};
}

Status DeviceContext::read_hidden(int64_t row, float* hidden) {
  const int64_t width = model_.shape.width;
  return read_row(hidden_ + row * width, width, hidden, "reading a hidden state");
}

Status DeviceContext::read_logits(int64_t row, float* logits) {
  BITNET_TRY(failed_);
  const int64_t vocab = model_.shape.vocab;
  Row& held = row_[static_cast<size_t>(row)];
  if (held.holds == Row::kBounds) {
    enqueue_logits(row, 1);
    BITNET_TRY(check(stream_.error, "computing all logits"));
    held.holds = Row::kLogits;
    counts_.dense_matmul += 1;
  }
  return read_row(low_ + row * vocab, vocab, logits, "reading logits");
}

Status DeviceContext::select(int64_t row, const DeviceSelection& selection,
                             DeviceSelected* selected) {
  BITNET_TRY(failed_);
  Row& held = row_[static_cast<size_t>(row)];
  const bool comes_along = selection.first > 0;
  DeviceSelection wanted = selection;
  if (comes_along) wanted = of_largest(selection.vocabulary, selection.first);
  if (comes_along && !(wanted == selection_)) {
    selection_ = wanted;
    for (Row& r : row_) r.selected = false;
  }
  const Selected& found = selected_host_.as<Selected>()[row];
  if (!comes_along || !held.selected) {
    enqueue_selection(row, 1, held.holds == Row::kBounds, wanted);
    copy(stream_, selected_host_.as<Selected>() + row, selected_ + row, sizeof(Selected),
         cudaMemcpyDeviceToHost);
    BITNET_TRY(synchronize("selecting logits"));
    held.selected = comes_along;
    if (!comes_along) selection_ = {};  // nobody waits for the largest any more
  }
  *selected = {found.logit, found.count <= kDeviceSelected ? found.count : 0};
  return {};
}

// ---- Pages -------------------------------------------------------------------------------------

Status DeviceContext::copy_page(int32_t from, int32_t to) {
  BITNET_TRY(failed_);
  const int64_t numbers = page_numbers(model_.shape);
  BITNET_TRY(check(
      cudaMemcpyAsync(cache_ + to * numbers, cache_ + from * numbers,
                      static_cast<size_t>(numbers) * 2, cudaMemcpyDeviceToDevice, stream_.handle),
      "copying a page of the cache"));
  return synchronize("copying a page of the cache");
}

Status DeviceContext::read_page(int32_t page, uint16_t* numbers) {
  BITNET_TRY(failed_);
  const int64_t count = page_numbers(model_.shape);
  BITNET_TRY(check(cudaMemcpyAsync(numbers, cache_ + page * count, static_cast<size_t>(count) * 2,
                                   cudaMemcpyDeviceToHost, stream_.handle),
                   "reading a page of the cache"));
  return synchronize("reading a page of the cache");
}

Status DeviceContext::write_page(int32_t page, const uint16_t* numbers) {
  BITNET_TRY(failed_);
  const int64_t count = page_numbers(model_.shape);
  BITNET_TRY(check(cudaMemcpyAsync(cache_ + page * count, numbers, static_cast<size_t>(count) * 2,
                                   cudaMemcpyHostToDevice, stream_.handle),
                   "writing a page of the cache"));
  return synchronize("writing a page of the cache");
}

}  // namespace bitnet
