#include "forward/packed_weights.h"

#include <array>
#include <atomic>

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

uint64_t tile_bytes(const Projection& p) noexcept {
  return p.ternary ? static_cast<uint64_t>(packed_bytes(Packing::kTwoBit, p.rows, p.cols)) : 0;
}

uint64_t dense_projection_bytes(const ModelDescription& model) noexcept {
  uint64_t bytes = 0;
  for (const Layer& layer : model.layers) {
    for (const Role& role : kRoles) {
      const Projection& p = layer.*role.first;
      if (!p.ternary) bytes += p.data.size();
    }
  }
  return bytes;
}

Linear describe(const Projection& p, uint8_t* tiles) noexcept {
  Linear l{};
  l.ternary = p.ternary;
  l.output_scale = p.output_scale;
  if (p.ternary) {
    l.tiles = {tiles, p.rows, p.cols, p.scale, Packing::kTwoBit, 0};
  } else {
    const DenseType type = dense_type(p.type);
    l.dense = {p.data.data(), type, p.rows, p.cols, dense_row_bytes(type, p.cols)};
  }
  return l;
}

// Some rows of one projection: small enough that threads finish together.
struct Chunk {
  const Projection* projection;
  uint8_t* tiles;
  int64_t first_row, last_row;
};
constexpr int64_t kChunkWeights = 1 << 20;

Vec<Chunk> cut(const ModelDescription& model, const Vec<LayerWeights>& layers, uint8_t* base) {
  Vec<Chunk> chunks;
  for (size_t i = 0; i < model.layers.size(); ++i) {
    for (const Role& role : kRoles) {
      const Projection& p = model.layers[i].*role.first;
      if (!p.ternary) continue;
      const TernaryMatrix& matrix = (layers[i].*role.second).tiles;
      uint8_t* tiles = base + (matrix.tiles - base);  // the same place, writable
      const int64_t step = std::max<int64_t>(1, kChunkWeights / p.cols / kTileRows) * kTileRows;
      for (int64_t row = 0; row < p.rows; row += step) {
        chunks.push_back({&p, tiles, row, std::min(row + step, p.rows)});
      }
    }
  }
  return chunks;
}

// Packs all chunks on all threads. Of several failures the first in file order is reported, so that
// the message does not depend on timing.
Status pack_all(const Vec<Chunk>& chunks, int threads, const Progress& progress) {
  BITNET_LET(Ptr<ThreadPool> pool, ThreadPool::open(threads));
  struct Failure {
    size_t chunk = SIZE_MAX;
    Status status;
  };
  Vec<Failure> failures(static_cast<size_t>(pool->size()));
  std::atomic<size_t> next{0};
  std::atomic<bool> stop{false}, cancelled{false};
  pool->run([&](int worker) {
    Failure& failure = failures[static_cast<size_t>(worker)];
    size_t reported = 0;
    for (size_t i; !stop.load(std::memory_order_relaxed) &&
                   (i = next.fetch_add(1, std::memory_order_relaxed)) < chunks.size();) {
      const Chunk& c = chunks[i];
      Status s = pack_tiles(*c.projection, c.first_row, c.last_row, c.tiles);
      if (!s.ok()) {
        failure = {i, s};
        stop = true;
      }
      if (worker == 0 && (i - reported) * 100 >= chunks.size()) {
        reported = i;
        if (!progress.report(static_cast<double>(i) / static_cast<double>(chunks.size()))) {
          cancelled = true;
          stop = true;
        }
      }
    }
  });
  const Failure* first = &failures[0];
  for (const Failure& f : failures) {
    if (f.chunk < first->chunk) first = &f;
  }
  if (first->chunk != SIZE_MAX) return first->status;
  if (cancelled || !progress.report(1.0)) {
    return Status::error(BITNET_E_CANCELLED, "the progress callback cancelled the opening");
  }
  return {};
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

}  // namespace

uint64_t Weights::packed_bytes_of(const ModelDescription& model) noexcept {
  uint64_t bytes = 0;
  for (const Layer& layer : model.layers) {
    for (const Role& role : kRoles) bytes += tile_bytes(layer.*role.first);
  }
  return bytes;
}

uint64_t Weights::file_bytes_of(const ModelDescription& model) noexcept {
  const auto bytes_of = [](const DenseMatrix& m) {
    return static_cast<uint64_t>(m.rows * m.row_bytes);
  };
  return dense_projection_bytes(model) + bytes_of(model.embeddings) +
         (model.tied_head ? 0 : bytes_of(model.head));
}

uint64_t Weights::bytes_per_token_of(const ModelDescription& model) noexcept {
  return packed_bytes_of(model) + dense_projection_bytes(model) +
         static_cast<uint64_t>(model.head.rows * model.head.row_bytes);
}

Result<Ptr<const Weights>> Weights::prepare(const ModelDescription& model, const Ops& ops,
                                            int threads, const Progress& progress) {
  Ptr<Weights> weights = make<Weights>(model, ops);
  // Each matrix is a whole number of 64-byte groups, so all of them stay aligned in one block.
  weights->tiles_ = Buffer(packed_bytes_of(model));
  uint8_t* tiles = weights->tiles_.data();
  for (const Layer& layer : model.layers) {
    LayerWeights described;
    for (const Role& role : kRoles) {
      described.*role.second = describe(layer.*role.first, tiles);
      tiles += tile_bytes(layer.*role.first);
    }
    weights->layers.push_back(described);
  }
  BITNET_TRY(pack_all(cut(model, weights->layers, weights->tiles_.data()), threads, progress));
  weights->rope_frequency = rope_frequencies(model);
  return Ptr<const Weights>(weights.release());
}

}  // namespace bitnet
