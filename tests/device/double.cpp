#include "device/double.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/memory.h"
#include "compute/angles.h"
#include "compute/ops.h"
#include "forward/attention.h"
#include "sample/gumbel.h"

namespace bitnet {

struct DeviceModel {
  std::vector<Buffer> memory;
  DeviceModelParts parts;
  std::vector<DeviceLayer> layers;
};

struct DeviceContext {
  const DeviceModel* model;
  DeviceContextOptions options;
  std::vector<uint16_t> pages;
  std::vector<float> hidden, logits;  // [rows][width], [rows][vocab]
  std::vector<uint8_t> filled;        // [rows] 1: hidden, 2: logits, too
  std::vector<DeviceLogit> selected;  // what select() lists
  DeviceCounts counts = {};
};

namespace test {
namespace {

const Ops& ops() noexcept {
  return reference_ops();
}

bitnet_status say(bitnet_error* why, bitnet_status status, const char* sentence) noexcept {
  if (!why) return status;
  why->status = status;
  std::snprintf(why->message, sizeof why->message, "%s", sentence);
  return status;
}

// Counts a call; whether it is the one that fails.
bool fails(Call call) noexcept {
  DoubleControls& c = double_controls();
  ++c.calls[static_cast<int>(call)];
  if (c.failing != call || c.failing_after-- > 0) return false;
  c.failing = Call::kNone;
  return true;
}

bitnet_status failure(bitnet_error* why) noexcept {
  const bitnet_status status = double_controls().failing_with;
  return say(
      why, status,
      status == BITNET_E_MEMORY ? "the double's memory is full" : "the double was told to fail");
}

void broken(const char* rule) noexcept {
  double_controls().broken = rule;
}

int64_t block_numbers(const DeviceModelParts& m) noexcept {
  return 2 * kPagePositions * m.head_dim;
}
int64_t page_numbers(const DeviceModelParts& m) noexcept {
  return m.layers * m.kv_heads * block_numbers(m);
}

// ---- Models -----------------------------------------------------------------------------------

constexpr Linear DeviceLayer::*kMaps[] = {&DeviceLayer::q,   &DeviceLayer::k,    &DeviceLayer::v,
                                          &DeviceLayer::o,   &DeviceLayer::gate, &DeviceLayer::up,
                                          &DeviceLayer::down};

uint64_t bytes_of(const DenseMatrix& m) noexcept {
  return static_cast<uint64_t>(m.rows * m.row_bytes);
}

uint64_t bytes_of(const Linear& map) noexcept {
  if (!map.ternary) return bytes_of(map.dense);
  return static_cast<uint64_t>(packed_bytes(map.tiles.packing, map.tiles.rows, map.tiles.cols));
}

// A screened copy has bytes, and its contexts some more, though nothing is ever screened.
uint64_t model_bytes(const DeviceModelParts* parts) noexcept {
  uint64_t bytes = bytes_of(parts->embeddings) + (parts->tied_head ? 0 : bytes_of(parts->head));
  if (parts->screened) bytes += static_cast<uint64_t>(parts->head.rows * parts->head.cols / 2);
  for (int64_t i = 0; i < parts->layers; ++i) {
    for (const auto map : kMaps) bytes += bytes_of(parts->layer[i].*map);
  }
  return bytes;
}

uint64_t context_bytes(const DeviceModelParts* parts,
                       const DeviceContextOptions* options) noexcept {
  const int64_t screen = parts->screened ? parts->vocab : 0;
  return static_cast<uint64_t>(options->pages * page_numbers(*parts) * 2 +
                               (options->batch * parts->width + parts->vocab + screen) * 4);
}

template <class T>
const T* keep(DeviceModel& model, const T* from, uint64_t bytes) {
  if (!from) return nullptr;
  model.memory.emplace_back(bytes);
  std::memcpy(model.memory.back().data(), from, bytes);
  return model.memory.back().as<T>();
}

void keep(DeviceModel& model, Linear& map) {
  if (map.ternary) {
    if (map.tiles.packing != Packing::kTwoBit) broken("ternary maps are kTwoBit");
    map.tiles.tiles = keep(model, map.tiles.tiles, bytes_of(map));
  } else {
    map.dense.data = keep(model, map.dense.data, bytes_of(map));
  }
}

bitnet_status model_open(int32_t device, const DeviceModelParts* parts, DeviceModel** model,
                         bitnet_error* why) noexcept {
  if (fails(Call::kModelOpen)) return failure(why);
  if (device < 0 || device >= double_controls().devices) broken("there is no such device");
  if (model_bytes(parts) > double_controls().memory) {
    return say(why, BITNET_E_MEMORY, "the double has not enough memory");
  }
  auto m = std::make_unique<DeviceModel>();
  m->parts = *parts;
  const auto floats = [&](const float*& numbers, int64_t n) {
    numbers = keep(*m, numbers, static_cast<uint64_t>(n) * 4);
  };
  for (int64_t i = 0; i < parts->layers; ++i) {
    DeviceLayer layer = parts->layer[i];
    for (const auto map : kMaps) keep(*m, layer.*map);
    floats(layer.attn_norm, parts->width);
    floats(layer.attn_sub_norm, parts->heads * parts->head_dim);
    floats(layer.ffn_norm, parts->width);
    floats(layer.ffn_sub_norm, parts->ff_width);
    m->layers.push_back(layer);
  }
  m->parts.layer = m->layers.data();
  if (parts->tied_head != (parts->embeddings.data == parts->head.data)) broken("tied_head");
  m->parts.embeddings.data = keep(*m, parts->embeddings.data, bytes_of(parts->embeddings));
  m->parts.head.data = keep(*m, parts->head.data, bytes_of(parts->head));
  floats(m->parts.output_norm, parts->width);
  m->parts.rope_frequency =
      keep(*m, parts->rope_frequency, static_cast<uint64_t>(parts->rope_pairs) * 8);
  ++double_controls().live_models;
  *model = m.release();
  return BITNET_OK;
}

void model_close(DeviceModel* model) noexcept {
  if (double_controls().live_contexts > 0 && double_controls().live_models == 1) {
    broken("the model outlives its contexts");
  }
  --double_controls().live_models;
  delete model;
}

// ---- Contexts ---------------------------------------------------------------------------------

void resize_rows(DeviceContext& c, int64_t rows) {
  const size_t n = static_cast<size_t>(rows);
  c.filled.assign(n, 0);
  c.hidden.assign(n * static_cast<size_t>(c.model->parts.width), NAN);
  c.logits.assign(n * static_cast<size_t>(c.model->parts.vocab), NAN);
  double_controls().rows = std::max(double_controls().rows, rows);
}

bitnet_status context_open(DeviceModel* model, const DeviceContextOptions* options,
                           DeviceContext** context, bitnet_error* why) noexcept {
  if (fails(Call::kContextOpen)) return failure(why);
  auto c = std::make_unique<DeviceContext>();
  c->model = model;
  c->options = *options;
  c->pages.assign(static_cast<size_t>(options->pages * page_numbers(model->parts)), 0x7e00);
  resize_rows(*c, 1);
  ++double_controls().live_contexts;
  *context = c.release();
  return BITNET_OK;
}

void context_close(DeviceContext* context) noexcept {
  --double_controls().live_contexts;
  delete context;
}

bitnet_status reserve_rows(DeviceContext* context, int64_t rows, bitnet_error* why) noexcept {
  context->selected = {};
  if (fails(Call::kReserveRows)) return failure(why);
  resize_rows(*context, std::max(rows, static_cast<int64_t>(context->filled.size())));
  return BITNET_OK;
}

// ---- The forward pass of one token --------------------------------------------------------------

class Token {
 public:
  Token(DeviceContext& context, const DeviceBatch& batch, int64_t t)
      : c_(context), m_(context.model->parts), batch_(batch), t_(t) {}

  void run() {
    x_.resize(static_cast<size_t>(m_.width));
    ops().dense_row(x_.data(), m_.embeddings, batch_.token[t_]);
    for (layer_ = 0; layer_ < m_.layers; ++layer_) {
      attention(m_.layer[layer_]);
      feed_forward(m_.layer[layer_]);
    }
    for (int64_t i = 0; i < batch_.wanted_count; ++i) {
      if (batch_.wanted[i] == t_)
        read_out(batch_.first_row + i, batch_.want[i] != DeviceWant::kHidden);
    }
  }

 private:
  using Floats = std::vector<float>;

  Floats norm(const Floats& x, const float* gamma) {
    if (!gamma) return x;
    Floats y(x.size());
    ops().rmsnorm(y.data(), x.data(), gamma, static_cast<int64_t>(x.size()), m_.norm_eps);
    c_.counts.rmsnorm += 1;
    return y;
  }

  Floats product(const Linear& map, const Floats& x) {
    Floats y(static_cast<size_t>(map.rows()));
    if (map.ternary) {
      const int64_t stride = padded_cols(map.cols());
      Buffer q(static_cast<uint64_t>(stride));
      Buffer scratch(static_cast<uint64_t>(ternary_scratch_bytes(map.cols())));
      float scale;
      int32_t sum;
      ops().quantize(q.as<int8_t>(), &scale, &sum, x.data(), map.cols());
      ops().ternary_matmul(y.data(), map.rows(), map.tiles, 0, map.rows(),
                           {q.as<int8_t>(), stride, &scale, &sum}, 1, scratch.data());
      c_.counts.quantize += 1;
      c_.counts.ternary_matmul += 1;
    } else {
      ops().dense_matmul(y.data(), map.rows(), map.dense, 0, map.rows(), x.data(), map.cols(), 1);
      c_.counts.dense_matmul += 1;
    }
    if (map.output_scale != 1.0f) ops().scale(y.data(), map.output_scale, map.rows());
    return y;
  }

  uint16_t* block(int64_t position, int64_t head) {
    const int32_t page = batch_.pages[batch_.page_list[t_] + position / kPagePositions];
    return c_.pages.data() + page * page_numbers(m_) +
           (layer_ * m_.kv_heads + head) * block_numbers(m_);
  }

  void attention(const DeviceLayer& w) {
    const int64_t d = m_.head_dim, per_head = m_.heads / m_.kv_heads;
    const int64_t position = batch_.position[t_], slot = position % kPagePositions;
    const Floats h = norm(x_, w.attn_norm);
    Floats q = product(w.q, h), k = product(w.k, h), v = product(w.v, h);
    Floats cosine(static_cast<size_t>(m_.rope_pairs)), sine(cosine.size());
    for (size_t i = 0; i < cosine.size(); ++i) {
      const double angle = static_cast<double>(batch_.position[t_]) * m_.rope_frequency[i];
      cosine[i] = static_cast<float>(exact_cos(angle));
      sine[i] = static_cast<float>(exact_sin(angle));
    }
    ops().rope(q.data(), m_.heads, d, m_.rope_pairs, m_.rope, cosine.data(), sine.data());
    ops().rope(k.data(), m_.kv_heads, d, m_.rope_pairs, m_.rope, cosine.data(), sine.data());
    c_.counts.rope += 1;
    std::vector<uint16_t> halves(static_cast<size_t>(d));
    Floats attended(q.size());
    for (int64_t head = 0; head < m_.kv_heads; ++head) {
      uint16_t* keys = block(position, head);
      ops().to_half(halves.data(), k.data() + head * d, d);
      for (int64_t i = 0; i < d; ++i) keys[key_place(slot, i, d)] = halves[static_cast<size_t>(i)];
      ops().to_half(keys + (kPagePositions + slot) * d, v.data() + head * d, d);

      const int64_t pages = position / kPagePositions + 1;
      Floats memory(static_cast<size_t>(AttentionTree::floats(per_head, d, pages)));
      AttentionTree tree(ops(), memory.data(), per_head, d);
      for (int64_t page = 0; page < pages; ++page) {
        const uint16_t* seen = block(page * kPagePositions, head);
        const AttentionPart leaf = tree.next_leaf();
        ops().attend_page(leaf.maximum, leaf.sum, leaf.value, q.data() + head * per_head * d, seen,
                          seen + kPagePositions * d, per_head, d,
                          std::min(kPagePositions, position + 1 - page * kPagePositions),
                          m_.attention_scale, nullptr);
        tree.leaf_filled();
        c_.counts.attend_page += 1;
      }
      const AttentionPart all = tree.result();
      for (int64_t i = 0; i < per_head; ++i) {
        ops().attend_finish(attended.data() + (head * per_head + i) * d, all.sum + i,
                            all.value + i * d, d);
      }
    }
    add(product(w.o, norm(attended, w.attn_sub_norm)));
  }

  void feed_forward(const DeviceLayer& w) {
    const Floats h = norm(x_, w.ffn_norm);
    Floats gate = product(w.gate, h);
    const Floats up = product(w.up, h);
    (m_.relu2 ? ops().relu2_gate : ops().silu_gate)(gate.data(), gate.data(), up.data(),
                                                    m_.ff_width);
    c_.counts.gate += 1;
    add(product(w.down, norm(gate, w.ffn_sub_norm)));
  }

  void add(const Floats& d) { ops().add(x_.data(), d.data(), m_.width); }

  void read_out(int64_t row, bool logits) {
    if (row < 0 || row >= static_cast<int64_t>(c_.filled.size())) {
      return broken("rows are reserved before they are filled");
    }
    const Floats normed = norm(x_, m_.output_norm);
    std::copy(normed.begin(), normed.end(), c_.hidden.begin() + row * m_.width);
    c_.filled[static_cast<size_t>(row)] = logits ? 3 : 1;
    if (!logits) return;
    ops().dense_matmul(c_.logits.data() + row * m_.vocab, m_.vocab, m_.head, 0, m_.vocab,
                       normed.data(), m_.width, 1);
    c_.counts.dense_matmul += 1;
  }

  DeviceContext& c_;
  const DeviceModelParts& m_;
  const DeviceBatch& batch_;
  const int64_t t_;
  int64_t layer_ = 0;
  Floats x_;
};

void check_batch(const DeviceContext& c, const DeviceBatch& b) noexcept {
  DoubleControls& controls = double_controls();
  controls.largest_batch = std::max(controls.largest_batch, b.tokens);
  if (b.tokens < 1 || b.tokens > c.options.batch) broken("tokens is 1..batch");
  std::vector<int32_t> lists;
  for (int64_t t = 0; t < b.tokens; ++t) {
    if (t > 0 && b.page_list[t] == b.page_list[t - 1]) {
      if (b.position[t] != b.position[t - 1] + 1) broken("positions of a sequence are in order");
    } else {
      if (std::count(lists.begin(), lists.end(), b.page_list[t])) {
        broken("tokens of a sequence follow each other");
      }
      lists.push_back(b.page_list[t]);
    }
    const int64_t last = b.page_list[t] + b.position[t] / kPagePositions;
    if (b.page_list[t] < 0 || last >= b.page_count) broken("page_list is inside pages");
  }
  for (int64_t i = 0; i < b.page_count; ++i) {
    if (b.pages[i] < 0 || b.pages[i] >= c.options.pages) broken("pages are of the cache");
  }
  for (int64_t i = 0; i < b.wanted_count; ++i) {
    if (b.wanted[i] < 0 || b.wanted[i] >= b.tokens || (i > 0 && b.wanted[i] <= b.wanted[i - 1])) {
      broken("wanted tokens ascend");
    }
    if (b.want[i] > DeviceWant::kSample) broken("want is one of three");
  }
}

bitnet_status forward(DeviceContext* context, const DeviceBatch* batch,
                      bitnet_error* why) noexcept {
  check_batch(*context, *batch);
  context->selected = {};
  const bool failing = fails(Call::kForward);
  const DoubleControls& controls = double_controls();
  for (int64_t layer = 0; layer < context->model->parts.layers; ++layer) {
    if (controls.on_layer) controls.on_layer(controls.on_layer_user);
    if (batch->cancelled->load()) return say(why, BITNET_E_CANCELLED, "the double was cancelled");
  }
  // Half a batch is computed when it fails.
  for (int64_t t = 0; t < (failing ? batch->tokens / 2 : batch->tokens); ++t) {
    Token(*context, *batch, t).run();
  }
  context->counts.launches += 1;
  return failing ? failure(why) : BITNET_OK;
}

bool is_filled(const DeviceContext* c, int64_t row, int how) noexcept {
  if (row >= 0 && row < static_cast<int64_t>(c->filled.size()) &&
      (c->filled[static_cast<size_t>(row)] & how) != 0) {
    return true;
  }
  broken("only rows that were filled are read");
  return false;
}

bitnet_status read_hidden(DeviceContext* c, int64_t row, float* hidden,
                          bitnet_error* why) noexcept {
  if (fails(Call::kReadHidden)) return failure(why);
  const int64_t n = c->model->parts.width;
  if (is_filled(c, row, 1)) std::copy_n(c->hidden.begin() + row * n, n, hidden);
  return BITNET_OK;
}

bitnet_status read_logits(DeviceContext* c, int64_t row, float* logits,
                          bitnet_error* why) noexcept {
  if (fails(Call::kReadLogits)) return failure(why);
  const int64_t n = c->model->parts.vocab;
  if (is_filled(c, row, 2)) std::copy_n(c->logits.begin() + row * n, n, logits);
  return BITNET_OK;
}

// ---- The few logits of a row that a pick depends on: no more than it needs --------------------

using Logits = std::span<const float>;

float largest_of(Logits logits) noexcept {
  float largest = -INFINITY;
  for (float l : logits) largest = std::max(largest, l);  // passes over NaN
  return largest;
}

// The n-th largest, or -infinity.
float nth_largest(Logits logits, int32_t n) {
  std::vector<float> some;
  for (float l : logits) {
    if (!std::isnan(l)) some.push_back(l);
  }
  if (some.size() < static_cast<size_t>(n)) return -INFINITY;
  std::nth_element(some.begin(), some.begin() + (n - 1), some.end(), std::greater<float>());
  return some[static_cast<size_t>(n - 1)];
}

bool cuts_by_min_p(const DeviceSelection& s) noexcept {
  return s.log_min_p > -static_cast<double>(INFINITY);
}

// Stage 6 of sample/sampler.h, token after token.
std::vector<bool> winners(Logits logits, const DeviceSelection& s) {
  const double least =
      cuts_by_min_p(s) ? static_cast<double>(largest_of(logits)) + s.log_min_p : -INFINITY;
  std::vector<double> score(logits.size(), -INFINITY);
  double best = -INFINITY;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double logit = static_cast<double>(logits[i]);
    if (!(logit >= least)) continue;
    score[i] = logit / static_cast<double>(s.temperature) +
               gumbel_noise(s.seed, s.draw, static_cast<int32_t>(i));
    best = std::max(best, score[i]);
  }
  std::vector<bool> can(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) can[i] = score[i] == best;
  return can;
}

std::vector<bool> chosen(Logits logits, const DeviceSelection& s) {
  std::vector<bool> listed(logits.size());
  if (s.first == 0) listed = winners(logits, s);
  const bool largest_counts = s.first > 0 || cuts_by_min_p(s);
  const float least = nth_largest(logits, std::max(s.first, 1));
  for (size_t i = 0; i < logits.size(); ++i) {
    if (largest_counts && logits[i] >= least) listed[i] = true;
    if (logits[i] == -INFINITY) listed[i] = false;
    if (std::isnan(logits[i])) listed[i] = true;
  }
  return listed;
}

void check_selection(const DeviceContext& c, const DeviceSelection& s) noexcept {
  if (s.vocabulary < 1 || s.vocabulary > c.model->parts.vocab) broken("vocabulary is 1..vocab");
  if (s.first < 0) broken("first is 0 or more");
  if (s.first > 0) return;
  if (!(s.temperature >= 1e-4f && s.temperature <= 1e4f)) broken("temperature is 1e-4..1e4");
  if (!(s.log_min_p < 0)) broken("log_min_p is below 0");
}

// The last token first: nothing says that they come in order.
bitnet_status select(DeviceContext* c, int64_t row, const DeviceSelection* selection,
                     DeviceSelected* selected, bitnet_error* why) noexcept {
  c->selected = {};
  *selected = {};
  if (fails(Call::kSelect)) return failure(why);
  check_selection(*c, *selection);
  if (!is_filled(c, row, 2)) return BITNET_OK;
  const Logits logits(c->logits.data() + row * c->model->parts.vocab,
                      static_cast<size_t>(selection->vocabulary));
  const std::vector<bool> listed = chosen(logits, *selection);
  for (size_t i = logits.size(); i-- > 0;) {
    if (listed[i]) c->selected.push_back({static_cast<int32_t>(i), logits[i]});
  }
  const int32_t count = static_cast<int32_t>(c->selected.size());
  if (count <= double_controls().selected) *selected = {c->selected.data(), count};
  return BITNET_OK;
}

uint16_t* page_at(DeviceContext* c, int32_t page) noexcept {
  if (page < 0 || page >= c->options.pages) broken("pages are of the cache");
  return c->pages.data() + page * page_numbers(c->model->parts);
}

bitnet_status copy_page(DeviceContext* c, int32_t from, int32_t to, bitnet_error* why) noexcept {
  if (fails(Call::kCopyPage)) return failure(why);
  std::copy_n(page_at(c, from), page_numbers(c->model->parts), page_at(c, to));
  return BITNET_OK;
}

bitnet_status read_page(DeviceContext* c, int32_t page, uint16_t* numbers,
                        bitnet_error* why) noexcept {
  if (fails(Call::kReadPage)) return failure(why);
  std::copy_n(page_at(c, page), page_numbers(c->model->parts), numbers);
  return BITNET_OK;
}

bitnet_status write_page(DeviceContext* c, int32_t page, const uint16_t* numbers,
                         bitnet_error* why) noexcept {
  if (fails(Call::kWritePage)) return failure(why);
  std::copy_n(numbers, page_numbers(c->model->parts), page_at(c, page));
  return BITNET_OK;
}

void counts(const DeviceContext* context, DeviceCounts* counts) noexcept {
  *counts = context->counts;
}

bitnet_status count(int32_t* devices, bitnet_error* why) noexcept {
  if (fails(Call::kCount)) return failure(why);
  if (double_controls().devices == 0) return say(why, BITNET_E_DEVICE, "there is no driver");
  *devices = double_controls().devices;
  return BITNET_OK;
}

bitnet_status info(int32_t device, DeviceInfo* info, bitnet_error* why) noexcept {
  if (fails(Call::kInfo)) return failure(why);
  *info = {};
  std::snprintf(info->title, sizeof info->title, "Double %d", device);
  info->memory_bytes = info->free = double_controls().memory;
  info->processors = 7;
  info->major = 9;
  return BITNET_OK;
}

}  // namespace

DoubleControls& double_controls() noexcept {
  static DoubleControls controls;
  return controls;
}

const DeviceTable& double_table() noexcept {
  static constexpr DeviceTable table = {
      kDeviceInterface,
      BITNET_VERSION_MAJOR << 16 | BITNET_VERSION_MINOR << 8 | BITNET_VERSION_PATCH,
      "cuda",
      count,
      info,
      model_bytes,
      context_bytes,
      model_open,
      model_close,
      context_open,
      context_close,
      reserve_rows,
      forward,
      read_hidden,
      read_logits,
      select,
      copy_page,
      read_page,
      write_page,
      counts};
  return table;
}

}  // namespace test
}  // namespace bitnet
