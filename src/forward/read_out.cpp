#include "forward/read_out.h"

#include <algorithm>
#include <limits>

namespace bitnet {
namespace {

// Rows of the head that a thread computes before it looks for more.
constexpr int64_t kChunkRows = 64;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

uint64_t floats(int64_t rows, int64_t columns) noexcept {
  return static_cast<uint64_t>(rows * columns) * sizeof(float);
}

// Room for `bytes`; what was there may be lost.
void enlarge(Buffer& buffer, uint64_t bytes) {
  if (buffer.bytes() < bytes) buffer = Buffer(bytes);
}

}  // namespace

// Room for one row, which most batches want, is there from the beginning.
uint64_t ReadOut::bytes_of(const ModelDescription& model, int64_t batch, bool screened,
                           int threads) noexcept {
  const uint64_t width = floats(1, model.hyper.width), vocab = floats(1, model.hyper.vocab);
  const uint64_t rows = floats(batch, model.hyper.width) + vocab;
  if (!screened) return rows;
  return rows + width + 3 * vocab + ScreenScratch::bytes_of(1, model.hyper.width, threads);
}

uint64_t ReadOut::bytes_of_device(const ModelDescription& model) noexcept {
  return floats(2, model.hyper.vocab);
}

ReadOut::ReadOut(const Weights& weights, ThreadPool& pool, int64_t batch, DeviceRun* device)
    : weights_(weights),
      hyper_(weights.model.hyper),
      pool_(pool),
      batch_(batch),
      device_(device),
      input_(device ? Buffer() : Buffer(floats(batch, hyper_.width))) {
  make_room({.logits = 1, .embedding = 0, .bounds = weights.screen ? 1 : 0});
  if (!device) return;
  enlarge(sparse_, floats(1, hyper_.vocab));
  sparse_tokens_.reserve(kDeviceSelected);
}

uint64_t ReadOut::bytes() const noexcept {
  uint64_t bytes = screen_.bytes();
  for (const Buffer* b : {&input_, &logits_, &embeddings_, &hidden_, &low_, &high_, &sparse_}) {
    bytes += b->bytes();
  }
  return bytes;
}

// The rows an entry gets when `used` are taken, which it counts on.
ReadOut::Rows ReadOut::next_rows(uint32_t want, Rows& used) const noexcept {
  const bool sample = (want & BITNET_WANT_SAMPLE) != 0;
  Rows rows;
  if ((want & BITNET_WANT_LOGITS) != 0 || (sample && !weights_.screen && !device_)) {
    rows.logits = used.logits++;
  } else if (sample && weights_.screen) {
    rows.bounds = used.bounds++;
  }
  if (want & BITNET_WANT_EMBEDDING) rows.embedding = used.embedding++;
  return rows;
}

Status ReadOut::assign(std::span<const bitnet_batch_entry> entries) {
  rows_.clear();
  rows_.reserve(entries.size());
  Rows used = {0, 0, 0};
  for (const bitnet_batch_entry& e : entries) rows_.push_back(next_rows(e.want, used));
  make_room(used);
  next_device_row_ = 0;
  return device_ ? device_->reserve_rows(device_rows_for(entries)) : Status();
}

ReadOut::SliceRows ReadOut::rows_of(std::span<const bitnet_batch_entry> slice) noexcept {
  SliceRows rows;
  for (const bitnet_batch_entry& e : slice) {
    rows.count += e.want != 0;
    rows.stay |= (e.want & BITNET_WANT_SAMPLE) != 0 && (e.want & BITNET_WANT_LOGITS) == 0;
  }
  return rows;
}

// Slices of which nothing stays use the same rows one after the other.
int64_t ReadOut::device_rows_for(std::span<const bitnet_batch_entry> entries) const noexcept {
  int64_t first = 0, most = 0;
  while (!entries.empty()) {
    const size_t count = std::min(static_cast<size_t>(batch_), entries.size());
    const SliceRows rows = rows_of(entries.first(count));
    most = std::max(most, first + rows.count);
    if (rows.stay) first += rows.count;
    entries = entries.subspan(count);
  }
  return most;
}

Status ReadOut::take_from_device(std::span<const bitnet_batch_entry> entries,
                                 uint64_t first_entry) {
  for (size_t t = 0; t < entries.size(); ++t) {
    const int64_t from = device_->rows()[t];
    Rows& rows = rows_[first_entry + t];
    if (rows.logits >= 0) {
      counts_.rows += 1;
      float* logits = logits_.as<float>() + rows.logits * hyper_.vocab;
      BITNET_TRY(device_->read_logits(from, logits));
    } else if (entries[t].want & BITNET_WANT_SAMPLE) {
      (weights_.screened() ? counts_.screened : counts_.rows) += 1;
      rows.device = from;
    }
    if (rows.embedding >= 0) {
      float* embedding = embeddings_.as<float>() + rows.embedding * hyper_.width;
      BITNET_TRY(device_->read_hidden(from, embedding));
    }
  }
  const SliceRows used = rows_of(entries);
  if (used.stay) next_device_row_ += used.count;
  return {};
}

// For so many rows of each kind.
void ReadOut::make_room(const Rows& rows) {
  enlarge(logits_, floats(rows.logits, hyper_.vocab));
  enlarge(embeddings_, floats(rows.embedding, hyper_.width));
  if (rows.bounds == 0) return;
  enlarge(hidden_, floats(rows.bounds, hyper_.width));
  enlarge(low_, floats(rows.bounds, hyper_.vocab));
  enlarge(high_, floats(rows.bounds, hyper_.vocab));
  enlarge(sparse_, floats(1, hyper_.vocab));
  screen_.reserve(rows.bounds, hyper_.width, pool_.size());
}

void ReadOut::run(std::span<const bitnet_batch_entry> entries, uint64_t first_entry,
                  const float* x) noexcept {
  const int64_t width = hyper_.width;
  // Rows are given out in entry order, so those of a run follow each other.
  Rows first, count = {0, 0, 0};
  for (size_t t = 0; t < entries.size(); ++t) {
    const Rows& rows = rows_[first_entry + t];
    if (rows.logits < 0 && rows.embedding < 0 && rows.bounds < 0) continue;
    float* normed = input_.as<float>() + count.logits * width;
    if (rows.bounds >= 0) {
      if (count.bounds++ == 0) first.bounds = rows.bounds;
      normed = hidden_.as<float>() + rows.bounds * width;
    }
    weights_.ops.rmsnorm(normed, x + static_cast<int64_t>(t) * width,
                         weights_.model.output_norm.data(), width, hyper_.norm_eps);
    counts_.norms += 1;
    if (rows.embedding >= 0) {
      std::copy_n(normed, width, embeddings_.as<float>() + rows.embedding * width);
    }
    if (rows.logits >= 0 && count.logits++ == 0) first.logits = rows.logits;
  }
  if (count.logits > 0) {
    float* logits = logits_.as<float>() + first.logits * hyper_.vocab;
    const DenseMatrix& head = weights_.model.head;
    const int64_t chunks = (head.rows + kChunkRows - 1) / kChunkRows;
    pool_.run_chunks(chunks, [&](int, int64_t chunk) {
      const int64_t from = chunk * kChunkRows, to = std::min(from + kChunkRows, head.rows);
      weights_.ops.dense_matmul(logits, hyper_.vocab, head, from, to, input_.as<float>(), width,
                                count.logits);
    });
    counts_.head_products += static_cast<uint64_t>(chunks);
    counts_.rows += static_cast<uint64_t>(count.logits);
  }
  if (count.bounds > 0) {
    const int64_t at = first.bounds * hyper_.vocab;
    const double widest =
        weights_.screen->screen(low_.as<float>() + at, high_.as<float>() + at, hyper_.vocab,
                                hidden_.as<float>() + first.bounds * width, width, count.bounds,
                                hyper_.vocab, screen_, pool_);
    counts_.screened += static_cast<uint64_t>(count.bounds);
    counts_.widest_bound = std::max(counts_.widest_bound, widest);
  }
}

const float* ReadOut::logits(uint64_t entry) const noexcept {
  const int64_t row = entry < rows_.size() ? rows_[entry].logits : -1;
  return row < 0 ? nullptr : logits_.as<float>() + row * hyper_.vocab;
}

const float* ReadOut::embedding(uint64_t entry) const noexcept {
  const int64_t row = entry < rows_.size() ? rows_[entry].embedding : -1;
  return row < 0 ? nullptr : embeddings_.as<float>() + row * hyper_.width;
}

std::optional<ReadOut::Bounds> ReadOut::bounds(uint64_t entry) noexcept {
  const int64_t row = entry < rows_.size() ? rows_[entry].bounds : -1;
  if (row < 0) return {};
  return Bounds{low_.as<float>() + row * hyper_.vocab, high_.as<float>() + row * hyper_.vocab};
}

void ReadOut::narrow(uint64_t entry, std::span<const int32_t> tokens) noexcept {
  const int64_t row = rows_[entry].bounds;
  const Bounds ends = *bounds(entry);
  weights_.screen->narrow(ends.low, ends.high, tokens, hidden_.as<float>() + row * hyper_.width,
                          screen_, pool_);
  counts_.narrowed += tokens.size();
}

void ReadOut::settle(uint64_t entry, std::span<const int32_t> tokens) noexcept {
  const int64_t row = rows_[entry].bounds;
  const auto [low, high] = *bounds(entry);
  weights_.screen->rescore(low, tokens, hidden_.as<float>() + row * hyper_.width, pool_);
  counts_.exact += tokens.size();
  for (int32_t token : tokens) {
    high[token] = low[token];
    if (low[token] == low[token]) continue;
    low[token] = -kInfinity;  // a NaN has no bounds
    high[token] = kInfinity;
  }
}

// sparse_ with -infinity everywhere. Counts as full until sparse_tokens_ lists what it then gets.
float* ReadOut::blank_sparse() noexcept {
  float* logits = sparse_.as<float>();
  if (sparse_is_full_) {
    std::fill_n(logits, hyper_.vocab, -kInfinity);
  } else {
    for (int32_t token : sparse_tokens_) logits[token] = -kInfinity;
  }
  sparse_is_full_ = true;
  return logits;
}

const float* ReadOut::some_logits(uint64_t entry, std::span<const int32_t> tokens) {
  float* logits = blank_sparse();
  sparse_tokens_.assign(tokens.begin(), tokens.end());
  sparse_is_full_ = false;
  const Bounds known = *bounds(entry);
  unsettled_.clear();
  for (int32_t token : tokens) {
    logits[token] = known.low[token];
    if (known.low[token] < known.high[token]) unsettled_.push_back(token);
  }
  const float* h = hidden_.as<float>() + rows_[entry].bounds * hyper_.width;
  weights_.screen->rescore(logits, unsettled_, h, pool_);
  counts_.exact += unsettled_.size();
  return logits;
}

const float* ReadOut::all_logits(uint64_t entry) noexcept {
  sparse_is_full_ = true;
  const float* h = hidden_.as<float>() + rows_[entry].bounds * hyper_.width;
  weights_.screen->full_pass(sparse_.as<float>(), hyper_.vocab, h, pool_);
  counts_.full += 1;
  return sparse_.as<float>();
}

Result<const float*> ReadOut::selected_logits(uint64_t entry,
                                              const DeviceSelection& selection) noexcept {
  DeviceSelected selected = {};
  BITNET_TRY(device_->select(rows_[entry].device, selection, &selected));
  if (weights_.screened()) counts_.exact += static_cast<uint64_t>(selected.count);
  if (selected.count == 0) return nullptr;
  float* logits = blank_sparse();
  sparse_tokens_.clear();
  for (const DeviceLogit& l : std::span(selected.logit, static_cast<size_t>(selected.count))) {
    logits[l.token] = l.logit;
    sparse_tokens_.push_back(l.token);  // there is room for as many as a device selects
  }
  sparse_is_full_ = false;
  return logits;
}

Result<const float*> ReadOut::device_logits(uint64_t entry) noexcept {
  sparse_is_full_ = true;
  if (weights_.screened()) counts_.full += 1;
  BITNET_TRY(device_->read_logits(rows_[entry].device, sparse_.as<float>()));
  return std::as_const(sparse_).as<float>();
}

}  // namespace bitnet
