#include "forward/packed_weights.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <span>

#include "base/threads.h"
#include "compute/math.h"

namespace bitnet {
namespace {

using Role = std::pair<Projection Layer::*, Linear LayerWeights::*>;
constexpr std::array<Role, 7> kRoles = {{{&Layer::q, &LayerWeights::q},
                                         {&Layer::k, &LayerWeights::k},
                                         {&Layer::v, &LayerWeights::v},
                                         {&Layer::o, &LayerWeights::o},
                                         {&Layer::gate, &LayerWeights::gate},
                                         {&Layer::up, &LayerWeights::up},
                                         {&Layer::down, &LayerWeights::down}}};

// Only called for projections model/ has found to be dense.
DenseType dense_type(TensorType type) noexcept {
  switch (type) {
    case TensorType::kF16:
      return DenseType::kF16;
    case TensorType::kBF16:
      return DenseType::kBF16;
    case TensorType::kQ8_0:
      return DenseType::kQ8_0;
    case TensorType::kQ4_0:
      return DenseType::kQ4_0;
    case TensorType::kQ5_0:
      return DenseType::kQ5_0;
    case TensorType::kQ4_K:
      return DenseType::kQ4_K;
    case TensorType::kQ6_K:
      return DenseType::kQ6_K;
    default:
      return DenseType::kF32;
  }
}

uint64_t tile_bytes(const Projection& p, Packing packing) noexcept {
  return p.ternary ? static_cast<uint64_t>(packed_bytes(packing, p.rows, p.cols)) : 0;
}

// Calls body(layer, role) for every projection, in the order in which a forward pass reads them.
template <class Body>
void each_projection(const ModelDescription& model, Body&& body) {
  for (size_t i = 0; i < model.layers.size(); ++i) {
    for (const Role& role : kRoles) body(i, role);
  }
}

uint64_t tile_bytes(const ModelDescription& model, Packing packing) noexcept {
  uint64_t bytes = 0;
  each_projection(model, [&](size_t i, const Role& role) {
    bytes += tile_bytes(model.layers[i].*role.first, packing);
  });
  return bytes;
}

// Bytes of the ternary projections in the file, or of the others.
uint64_t projection_bytes(const ModelDescription& model, bool ternary) noexcept {
  uint64_t bytes = 0;
  each_projection(model, [&](size_t i, const Role& role) {
    const Projection& p = model.layers[i].*role.first;
    if (p.ternary == ternary) bytes += p.data.size();
  });
  return bytes;
}

uint64_t bytes_of(const DenseMatrix& m) noexcept {
  return static_cast<uint64_t>(m.rows * m.row_bytes);
}

// A head smaller than this stays in the processor's cache, where reading less saves nothing.
constexpr uint64_t kSmallHead = uint64_t{8} << 20;

Linear dense_linear(const Projection& p) noexcept {
  Linear l{};
  l.output_scale = p.output_scale;
  const DenseType type = dense_type(p.type);
  l.dense = {p.data.data(), type, p.rows, p.cols, dense_row_bytes(type, p.cols)};
  return l;
}

Linear ternary_linear(const Projection& p, const TernaryMatrix& matrix) noexcept {
  Linear l{};
  l.ternary = true;
  l.output_scale = p.output_scale;
  l.tiles = matrix;
  return l;
}

// Which of kRoles a forward pass multiplies together, their rows laid end to end: [first, last).
struct Phase {
  size_t first, last;
};
constexpr Phase kPhases[] = {{0, 3}, {3, 4}, {4, 6}, {6, 7}};  // q k v, o, gate up, down

int64_t tiles_of(const Projection& p) noexcept {
  return (p.rows + kTileRows - 1) / kTileRows;
}

// The tiles of projection `role` that a worker begins with in a forward pass.
Share begins_with(const Layer& layer, size_t role, int worker, int workers) noexcept {
  for (const Phase& phase : kPhases) {
    if (role >= phase.last) continue;
    int64_t all = 0, before = 0;
    for (size_t r = phase.first; r < phase.last; ++r) {
      if (r < role) before += tiles_of(layer.*kRoles[r].first);
      all += tiles_of(layer.*kRoles[r].first);
    }
    const int64_t count = tiles_of(layer.*kRoles[role].first);
    const Share share = share_of(all, 1, worker, workers);
    return {std::clamp(share.first - before, int64_t{0}, count),
            std::clamp(share.last - before, int64_t{0}, count)};
  }
  return {0, 0};
}

// Does something with every ternary projection, its rows cut among the threads as a forward pass
// cuts them: body(projection, layer, role, tiles). Of several failures the first in file order is
// reported, so that the message does not depend on timing. report() false ends it early.
template <class Body, class Report>
Status on_all_threads(const ModelDescription& model, ThreadPool& pool, const Report& report,
                      Body&& body) {
  struct Failure {
    size_t projection = SIZE_MAX;
    Status status;
  };
  Vec<Failure> failures(static_cast<size_t>(pool.size()));
  std::atomic<bool> cancelled{false}, no_memory{false};
  pool.run([&](int worker) {
    Failure& failure = failures[static_cast<size_t>(worker)];
    size_t number = 0;
    each_projection(model, [&](size_t i, const Role& role) {
      const Projection& p = model.layers[i].*role.first;
      const size_t here = number++;
      if (failure.projection != SIZE_MAX || cancelled.load(std::memory_order_relaxed)) return;
      if (worker == 0 && !report(here)) cancelled = true;
      if (!p.ternary) return;
      const size_t at = static_cast<size_t>(&role - kRoles.data());
      const Share tiles = begins_with(model.layers[i], at, worker, pool.size());
      if (tiles.first == tiles.last) return;
      try {
        Status s = body(p, i, role, tiles);
        if (!s.ok()) failure = {here, s};
      } catch (const std::bad_alloc&) {
        no_memory = true;
        failure.projection = here;
      }
    });
  });
  if (no_memory) throw std::bad_alloc();
  const Failure* first = &failures[0];
  for (const Failure& f : failures) {
    if (f.projection < first->projection) first = &f;
  }
  if (first->projection != SIZE_MAX) return first->status;
  if (cancelled) {
    return Status::error(BITNET_E_CANCELLED, "the progress callback cancelled the opening");
  }
  return {};
}

int64_t last_row_of(const Projection& p, int64_t tile) noexcept {
  return std::min((tile + 1) * kTileRows, p.rows);
}

// Packs those tiles of a projection; base is the start of the matrix.
Status pack_share(const Projection& p, const TernaryMatrix& matrix, uint8_t* base,
                  const Share& tiles) {
  const int64_t bytes = tile_bytes(matrix.packing, p.cols);
  if (matrix.packing == Packing::kTwoBit) {
    return pack_tiles(p, tiles.first * kTileRows, last_row_of(p, tiles.last - 1),
                      base + tiles.first * bytes);
  }
  const int64_t groups = padded_cols(p.cols) / kGroupCols;
  Buffer two_bits(static_cast<uint64_t>(groups * kGroupBytes));
  for (int64_t t = tiles.first; t < tiles.last; ++t) {
    BITNET_TRY(pack_tiles(p, t * kTileRows, last_row_of(p, t), two_bits.data()));
    pack_base3(base + t * bytes, two_bits.data(), groups);
  }
  return {};
}

// ---- Which packing and which reading are faster here --------------------------------------------

// What a trial computes on: enough weights that they do not fit the second-level caches.
constexpr uint64_t kTrialBytes = uint64_t{48} << 20;
// Base 3 and kSingles must be faster than two bits and kPairs by this much.
constexpr double kTrialMargin = 1.02;

uint64_t last_level_cache() noexcept {
#if defined(_SC_LEVEL3_CACHE_SIZE)
  const long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (bytes > 0) return static_cast<uint64_t>(bytes);
#endif
  return uint64_t{32} << 20;
}

// Some projections in one packing, and one token to multiply them with.
class Trial {
 public:
  Trial(const ModelDescription& model, const Ops& ops, Packing packing, ThreadPool& pool)
      : ops_(ops), pool_(pool), bytes_(0) {
    int64_t widest = 0, most_rows = 0;
    each_projection(model, [&](size_t i, const Role& role) {
      const Projection& p = model.layers[i].*role.first;
      if (!p.ternary || bytes_ >= kTrialBytes) return;
      projections_.push_back(&p);
      bytes_ += tile_bytes(p, Packing::kTwoBit);
      widest = std::max(widest, padded_cols(p.cols));
      most_rows = std::max(most_rows, p.rows);
    });
    uint64_t packed = 0;
    for (const Projection* p : projections_) packed += tile_bytes(*p, packing);
    tiles_ = Buffer(packed);
    uint8_t* at = tiles_.data();
    for (const Projection* p : projections_) {
      matrices_.push_back({at, p->rows, p->cols, p->scale, packing});
      at += tile_bytes(*p, packing);
    }
    scratch_bytes_ = ternary_scratch_bytes(widest);
    scratch_ = Buffer(static_cast<uint64_t>(scratch_bytes_ * pool.size()));
    q_ = Buffer(static_cast<uint64_t>(widest));
    most_rows_ = most_rows;
    y_ = Buffer(static_cast<uint64_t>(most_rows * pool.size()) * sizeof(float));
    std::fill_n(q_.data(), widest, uint8_t{1});
  }

  Status pack() {
    Vec<Status> failed(static_cast<size_t>(pool_.size()));
    std::atomic<bool> no_memory{false};
    each_share([&](int worker, size_t i, const Share& tiles) {
      Status& status = failed[static_cast<size_t>(worker)];
      if (!status.ok()) return;
      uint8_t* base = tiles_.data() + (matrices_[i].tiles - tiles_.data());
      try {
        status = pack_share(*projections_[i], matrices_[i], base, tiles);
      } catch (const std::bad_alloc&) {
        no_memory = true;
      }
    });
    if (no_memory) throw std::bad_alloc();
    for (const Status& status : failed) BITNET_TRY(Status(status));
    return {};
  }

  double seconds(Reading reading) noexcept {
    for (TernaryMatrix& m : matrices_) m.reading = reading;
    const auto start = std::chrono::steady_clock::now();
    const float scale = 1.0f;
    const int32_t sum = 0;
    const QuantizedRows x = {q_.as<int8_t>(), static_cast<int64_t>(q_.bytes()), &scale, &sum};
    each_share([&](int worker, size_t i, const Share& tiles) {
      const TernaryMatrix& m = matrices_[i];
      ops_.ternary_matmul(y_.as<float>() + worker * most_rows_, m.rows, m, tiles.first * kTileRows,
                          last_row_of(*projections_[i], tiles.last - 1), x, 1,
                          scratch_.data() + worker * scratch_bytes_);
    });
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  template <class Body>
  void each_share(Body&& body) noexcept {
    pool_.run([&](int worker) {
      for (size_t i = 0; i < matrices_.size(); ++i) {
        const int64_t tiles = (matrices_[i].rows + kTileRows - 1) / kTileRows;
        const Share share = share_of(tiles, 1, worker, pool_.size());
        if (share.first < share.last) body(worker, i, share);
      }
    });
  }

  const Ops& ops_;
  ThreadPool& pool_;
  uint64_t bytes_;
  Vec<const Projection*> projections_;
  Vec<TernaryMatrix> matrices_;
  Buffer tiles_, scratch_, q_, y_;
  int64_t scratch_bytes_, most_rows_;
};

// Reads so much of the model's file that nothing else is left in the processor's caches.
void flush_caches(const ModelDescription& model, const Ops& ops, uint64_t bytes,
                  ThreadPool& pool) noexcept {
  std::atomic<uint64_t> sum{0};  // that somebody wants to know
  pool.run([&](int worker) {
    uint64_t read = 0;
    for (size_t i = model.layers.size(); i-- > 0 && read < bytes;) {
      for (const Role& role : kRoles) {
        const Bytes data = (model.layers[i].*role.first).data;
        const Share part = share_of(static_cast<int64_t>(data.size()), 64, worker, pool.size());
        sum += ops.read_stream(data.data() + part.first, part.last - part.first, Reading::kPairs);
        read += data.size();
      }
    }
  });
}

}  // namespace

// A model that stays in the cache is computed there, whatever memory could do: no trial. Nor of a
// damaged one: packing all of it will say what is wrong.
Weights::Layout Weights::fastest_layout(const Options& options, ThreadPool& pool) const {
  Layout layout;
  if (options.weights == BITNET_WEIGHTS_BASE3) layout.packing = Packing::kBase3;
  const uint64_t cache = last_level_cache();
  const uint64_t from =
      options.trial_from != 0 ? options.trial_from : std::max(cache / 2, kTrialBytes);
  if (tile_bytes(model, Packing::kTwoBit) < from) return layout;

  double best = 0;  // 0: nothing was tried
  for (Packing packing : {Packing::kTwoBit, Packing::kBase3}) {
    if (options.weights != BITNET_WEIGHTS_AUTO && packing != layout.packing) continue;
    Trial trial(model, ops, packing, pool);
    if (!trial.pack().ok()) return layout;
    double pairs = 1e9, singles = 1e9;
    for (int round = 0; round < 2; ++round) {
      flush_caches(model, ops, cache, pool);
      pairs = std::min(pairs, trial.seconds(Reading::kPairs));
      flush_caches(model, ops, cache, pool);
      singles = std::min(singles, trial.seconds(Reading::kSingles));
    }
    const Reading reading = singles * kTrialMargin < pairs ? Reading::kSingles : Reading::kPairs;
    const double seconds = std::min(pairs, singles);
    if (best != 0 && seconds * kTrialMargin >= best) continue;
    best = seconds;
    layout = {packing, reading};
  }
  return layout;
}

// phi = position * base^(-2i/d) / f_i (formats.md 4.0), in double and with our own exp and log, so
// that every machine rotates by the same angles.
Vec<double> rope_frequencies(const ModelDescription& model) {
  const int64_t pairs = model.hyper.rope_dims / 2;
  Vec<double> frequency(static_cast<size_t>(pairs));
  const double log_base = exact_log(model.hyper.rope_base);
  for (int64_t i = 0; i < pairs; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(2 * pairs);
    const size_t at = static_cast<size_t>(i);
    frequency[at] = exact_exp(exponent * log_base) / static_cast<double>(model.rope_divisor[at]);
  }
  return frequency;
}

Vec<LayerWeights> describe_layers(const ModelDescription& model, Packing packing, Reading reading,
                                  const uint8_t* tiles) {
  Vec<LayerWeights> layers;
  layers.reserve(model.layers.size());
  for (const Layer& layer : model.layers) {
    LayerWeights described;
    for (const Role& role : kRoles) {
      const Projection& p = layer.*role.first;
      const TernaryMatrix matrix = {tiles, p.rows, p.cols, p.scale, packing, 0, reading};
      described.*role.second = p.ternary ? ternary_linear(p, matrix) : dense_linear(p);
      if (tiles) tiles += tile_bytes(p, packing);
    }
    layers.push_back(described);
  }
  return layers;
}

float attention_scale(const HyperParameters& hyper) noexcept {
  return 1.0f / std::sqrt(static_cast<float>(hyper.head_dim));
}

void Weights::rotation(int64_t position, float* cosine, float* sine) const noexcept {
  for (size_t i = 0; i < rope_frequency.size(); ++i) {
    const double angle = static_cast<double>(position) * rope_frequency[i];
    cosine[i] = static_cast<float>(exact_cos(angle));
    sine[i] = static_cast<float>(exact_sin(angle));
  }
}

bool Weights::screens(const ModelDescription& model, bitnet_head head) noexcept {
  if (head != BITNET_HEAD_AUTO) return head == BITNET_HEAD_SCREENED;
  return ::bitnet::bytes_of(model.head) >= kSmallHead;
}

bool Weights::screens_on(const Device& device, const ModelDescription& model, bitnet_head head) {
  return screens(model, head) &&
         (head != BITNET_HEAD_AUTO || UploadedModel::check_room(device, model, true).ok());
}

uint64_t Weights::bytes_of(const ModelDescription& model, const Options& options) noexcept {
  uint64_t bytes = 0;
  if (options.weights != BITNET_WEIGHTS_FILE) {
    const bool base3 = options.weights == BITNET_WEIGHTS_BASE3;
    bytes += tile_bytes(model, base3 ? Packing::kBase3 : Packing::kTwoBit);
  }
  if (screens(model, options.head))
    bytes += ScreenedHead::bytes_of(model.head.rows, model.head.cols);
  return bytes;
}

uint64_t Weights::file_bytes_of(const ModelDescription& model, const Options& options) noexcept {
  return projection_bytes(model, false) + ::bitnet::bytes_of(model.embeddings) +
         (model.tied_head ? 0 : ::bitnet::bytes_of(model.head)) +
         (options.weights == BITNET_WEIGHTS_FILE ? projection_bytes(model, true) : 0);
}

uint64_t Weights::packed_tile_bytes() const noexcept {
  return tile_bytes(model, kind_ == BITNET_WEIGHTS_BASE3 ? Packing::kBase3 : Packing::kTwoBit);
}

uint64_t Weights::head_bytes_per_token() const noexcept {
  if (screen) return screen->screened_bytes();
  return device && device->screened() ? device->screened_bytes() : ::bitnet::bytes_of(model.head);
}

uint64_t Weights::bytes_per_token() const noexcept {
  return (file_order ? projection_bytes(model, true) : packed_tile_bytes()) +
         projection_bytes(model, false) + head_bytes_per_token();
}

// All projections where they lie in the file, if that can be done.
Status Weights::take_from_file(ThreadPool& pool) {
  for (const Layer& layer : model.layers) {
    LayerWeights described;
    for (const Role& role : kRoles) {
      const Projection& p = layer.*role.first;
      if (!p.ternary) {
        described.*role.second = dense_linear(p);
        continue;
      }
      if (!has_file_rows(p) || (file_order && *file_order != bitnet::file_order(p))) {
        return Status::error(
            BITNET_E_UNSUPPORTED,
            "%.*s cannot be used as it lies in the file: all ternary tensors must be I2_S of "
            "layout 128 or all TQ2_0, with rows of a multiple of 128 numbers; open the model with "
            "other weights",
            static_cast<int>(p.name.size()), p.name.data());
      }
      file_order = bitnet::file_order(p);
      described.*role.second = ternary_linear(p, file_rows(p));
    }
    layers.push_back(described);
  }
  kind_ = BITNET_WEIGHTS_FILE;
  return on_all_threads(
      model, pool, [](size_t) { return true; },
      [](const Projection& p, size_t, const Role&, const Share& tiles) {
        return check_file_rows(p, tiles.first * kTileRows, last_row_of(p, tiles.last - 1));
      });
}

// Every thread packs the rows that its like begins with in a context of as many threads, so that
// they lie in the memory near to it.
Status Weights::pack(const Layout& layout, ThreadPool& pool, const Progress& progress) {
  const Packing packing = layout.packing;
  // Each matrix is a whole number of 64-byte groups, so all of them stay aligned in one block.
  tiles_ = Buffer(tile_bytes(model, packing));
  kind_ = packing == Packing::kBase3 ? BITNET_WEIGHTS_BASE3 : BITNET_WEIGHTS_2BIT;
  layers = describe_layers(model, packing, layout.reading, tiles_.data());
  const double all = static_cast<double>(model.layers.size() * kRoles.size());
  return on_all_threads(
      model, pool,
      [&](size_t number) {
        return number % kRoles.size() != 0 || progress.report(static_cast<double>(number) / all);
      },
      [&](const Projection& p, size_t layer, const Role& role, const Share& share) {
        const TernaryMatrix& matrix = (layers[layer].*role.second).tiles;
        uint8_t* base = tiles_.data() + (matrix.tiles - tiles_.data());
        return pack_share(p, matrix, base, share);
      });
}

// Packed here for the device, which copies it.
Status Weights::upload(const Options& options, ThreadPool& pool) {
  const bool with_screen = screens_on(*options.device, model, options.head);
  BITNET_TRY(UploadedModel::check_room(*options.device, model, with_screen));
  BITNET_TRY(pack({}, pool, options.progress.part(0, 0.7)));
  if (!options.progress.report(0.7)) {
    return Status::error(BITNET_E_CANCELLED, "the progress callback cancelled the opening");
  }
  BITNET_LET(device, UploadedModel::open(*options.device, model, layers, with_screen));
  layers = {};
  tiles_ = {};
  return {};
}

Result<Ptr<const Weights>> Weights::prepare(const ModelDescription& model, const Ops& ops,
                                            const Options& options) {
  BITNET_LET(Ptr<ThreadPool> pool, ThreadPool::open(options.threads));
  Ptr<Weights> weights = make<Weights>(model, ops);
  if (options.device) {
    BITNET_TRY(weights->upload(options, *pool));
  } else if (options.weights == BITNET_WEIGHTS_FILE) {
    BITNET_TRY(weights->take_from_file(*pool));
  } else {
    const Layout layout = weights->fastest_layout(options, *pool);
    BITNET_TRY(weights->pack(layout, *pool, options.progress.part(0, 0.7)));
  }
  if (!options.device && screens(model, options.head)) {
    BITNET_LET(weights->screen,
               ScreenedHead::prepare(model.head, ops, *pool, options.progress.part(0.7, 1)));
  }
  weights->rope_frequency = rope_frequencies(model);
  if (!options.progress.report(1.0)) {
    return Status::error(BITNET_E_CANCELLED, "the progress callback cancelled the opening");
  }
  return Ptr<const Weights>(weights.release());
}

}  // namespace bitnet
