#include "compute/cuda/model.h"

#include <algorithm>
#include <cstring>

#include "compute/cuda/attention.h"

namespace bitnet::cuda {
namespace {

constexpr int64_t kStagingBytes = 16 << 20;

// Walks over everything a model keeps on the device, in one order: sizes are added up and weights
// are uploaded by the same walk. Visitor has
//   const uint8_t* ternary(const TernaryMatrix&), const uint8_t* dense(const DenseMatrix&),
//   const float* floats(const float*, int64_t count), const double* doubles(the same of doubles)
//   uint8_t* room(int64_t bytes)
// which return where that is on the device; room() is for what is made there.
template <class Visitor>
class Walk {
 public:
  Walk(Visitor& visitor, const DeviceModelParts& parts) : visitor_(visitor), parts_(parts) {}

  void run(DeviceModel* model) {
    const DeviceModelParts& p = parts_;
    for (int64_t i = 0; i < p.layers; ++i) {
      const LayerMaps maps = layer(p.layer[i]);
      if (model) model->layers.push_back(maps);
    }
    const DeviceDense embeddings = dense(p.embeddings);
    const DeviceDense head = p.tied_head ? embeddings : dense(p.head);
    const float* norm = visitor_.floats(p.output_norm, p.width);
    const double* frequency = visitor_.doubles(p.rope_frequency, p.rope_pairs);
    DeviceScreen screen = {};
    if (p.screened) {
      screen.rows = static_cast<int32_t>(p.head.rows);
      screen.cols = static_cast<int32_t>(p.head.cols);
      screen.tiles = visitor_.room(screen_bytes(screen.rows, screen.cols));
      screen.residual = reinterpret_cast<float*>(visitor_.room(p.head.rows * 4));
      screen.norm = reinterpret_cast<float*>(visitor_.room(p.head.rows * 4));
    }
    if (!model) return;
    model->embeddings = embeddings;
    model->head = head;
    model->output_norm = norm;
    model->rope_frequency = frequency;
    model->screen = screen;
  }

 private:
  LayerMaps layer(const DeviceLayer& l) {
    const DeviceModelParts& p = parts_;
    LayerMaps maps;
    maps.q = map(l.q);
    maps.k = map(l.k);
    maps.v = map(l.v);
    maps.o = map(l.o);
    maps.gate = map(l.gate);
    maps.up = map(l.up);
    maps.down = map(l.down);
    maps.attn_norm = visitor_.floats(l.attn_norm, p.width);
    maps.attn_sub_norm =
        l.attn_sub_norm ? visitor_.floats(l.attn_sub_norm, p.heads * p.head_dim) : nullptr;
    maps.ffn_norm = visitor_.floats(l.ffn_norm, p.width);
    maps.ffn_sub_norm = l.ffn_sub_norm ? visitor_.floats(l.ffn_sub_norm, p.ff_width) : nullptr;
    return maps;
  }
  DeviceMap map(const Linear& l) {
    DeviceMap m = {};
    m.ternary = l.ternary;
    m.rows = static_cast<int32_t>(l.rows());
    m.cols = static_cast<int32_t>(l.cols());
    m.output_scale = l.output_scale;
    if (l.ternary) {
      m.scale = l.tiles.scale;
      m.tiles = visitor_.ternary(l.tiles);
    } else {
      m.dense = dense(l.dense);
    }
    return m;
  }
  DeviceDense dense(const DenseMatrix& w) {
    return {visitor_.dense(w), stored_as(w.type), static_cast<int32_t>(w.rows),
            static_cast<int32_t>(w.cols)};
  }

  Visitor& visitor_;
  const DeviceModelParts& parts_;
};

class Sizes {
 public:
  const uint8_t* ternary(const TernaryMatrix& w) {
    layout_.add(device_ternary_bytes(w.rows, w.cols));
    return nullptr;
  }
  const uint8_t* dense(const DenseMatrix& w) {
    layout_.add(device_dense_bytes(w.type, w.rows, w.cols));
    return nullptr;
  }
  const float* floats(const float*, int64_t count) {
    layout_.add(count * 4);
    return nullptr;
  }
  const double* doubles(const double*, int64_t count) {
    layout_.add(count * 8);
    return nullptr;
  }
  uint8_t* room(int64_t bytes) {
    layout_.add(bytes);
    return nullptr;
  }
  size_t bytes() const noexcept { return layout_.bytes(); }

 private:
  Layout layout_;
};

class Upload {
 public:
  Upload(DeviceBytes& to, HostBytes& staging) : to_(to), staging_(staging) {}

  const uint8_t* ternary(const TernaryMatrix& w) {
    const int64_t tiles = parts_of(w.rows, kTileRows), bytes = device_tile_bytes(w.cols);
    uint8_t* at = to_.as<uint8_t>(layout_.add(tiles * bytes));
    in_pieces(at, tiles, bytes, [&](uint8_t* out, int64_t first, int64_t last) {
      arrange_tiles(out, w, first, last);
    });
    return at;
  }
  const uint8_t* dense(const DenseMatrix& w) {
    const int64_t row = device_dense_bytes(w.type, 1, w.cols);
    uint8_t* at = to_.as<uint8_t>(layout_.add(w.rows * row));
    floats_.resize(static_cast<size_t>(w.cols));
    in_pieces(at, w.rows, row, [&](uint8_t* out, int64_t first, int64_t last) {
      arrange_rows(out, w, first, last, floats_.data());
    });
    return at;
  }
  const float* floats(const float* from, int64_t count) { return numbers(from, count); }
  const double* doubles(const double* from, int64_t count) { return numbers(from, count); }
  uint8_t* room(int64_t bytes) { return to_.as<uint8_t>(layout_.add(bytes)); }
  cudaError_t error() const noexcept { return error_; }

 private:
  // items of so many bytes, as many at once as the staging memory holds.
  template <class Fill>
  void in_pieces(uint8_t* to, int64_t items, int64_t bytes, Fill&& fill) {
    const int64_t at_once = std::max<int64_t>(static_cast<int64_t>(staging_.bytes()) / bytes, 1);
    for (int64_t first = 0; first < items && error_ == cudaSuccess; first += at_once) {
      const int64_t last = std::min(first + at_once, items);
      fill(staging_.as<uint8_t>(), first, last);
      copy(to + first * bytes, staging_.as<uint8_t>(), static_cast<size_t>((last - first) * bytes));
    }
  }
  template <class T>
  const T* numbers(const T* from, int64_t count) {
    const size_t bytes = static_cast<size_t>(count) * sizeof(T);
    T* at = to_.as<T>(layout_.add(static_cast<int64_t>(bytes)));
    copy(at, from, bytes);
    return at;
  }
  void copy(void* to, const void* from, size_t bytes) {
    if (error_ == cudaSuccess) error_ = cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice);
  }

  DeviceBytes& to_;
  HostBytes& staging_;
  Layout layout_;
  Vec<float> floats_;
  cudaError_t error_ = cudaSuccess;
};

bool has_dense(const DeviceLayer& l) {
  return !(l.q.ternary && l.k.ternary && l.v.ternary && l.o.ternary && l.gate.ternary &&
           l.up.ternary && l.down.ternary);
}

int64_t widest_row_bytes(const DeviceModelParts& p) {
  const int64_t widest = std::max({p.width, p.heads * p.head_dim, p.ff_width});
  return std::max(device_tile_bytes(widest), dense_padded(widest) * 4);
}

// What the kernels cannot do here, in words.
Status check_shape(int device, const DeviceModelParts& p, bool dense, int shared_bytes) {
  if (p.head_dim % 2 != 0 || p.head_dim > kMostHeadDim) {
    return Status::error(BITNET_E_DEVICE,
                         "cuda:%d: the model's heads have %lld numbers; the device computes even "
                         "ones up to %d",
                         device, static_cast<long long>(p.head_dim), kMostHeadDim);
  }
  const int64_t widest = std::max({p.width, p.heads * p.head_dim, p.ff_width});
  const int64_t needed = std::max(attention_shared_bytes(p.heads, p.kv_heads, p.head_dim),
                                  dense_shared_bytes(dense ? widest : p.width));
  if (needed <= shared_bytes - kStaticShared) return {};
  return Status::error(BITNET_E_DEVICE,
                       "cuda:%d: the model's shapes take %lld bytes of shared memory, the device "
                       "gives a block %d",
                       device, static_cast<long long>(needed), shared_bytes);
}

}  // namespace

uint64_t model_bytes(const DeviceModelParts& parts) noexcept {
  Sizes sizes;
  Walk(sizes, parts).run(nullptr);
  return sizes.bytes();
}

Result<Ptr<DeviceModel>> open_model(int device, const DeviceModelParts& parts) {
  Ptr<DeviceModel> model = make<DeviceModel>();
  model->device = device;
  model->shape = parts;
  model->shape.layer = nullptr;
  model->shape.output_norm = nullptr;
  model->shape.rope_frequency = nullptr;
  for (int64_t i = 0; i < parts.layers; ++i) model->any_dense |= has_dense(parts.layer[i]);
  model->layers.reserve(static_cast<size_t>(parts.layers));

  const auto ask = [&](int* value, cudaDeviceAttr which) {
    return cudaDeviceGetAttribute(value, which, device);
  };
  cudaError_t error = ask(&model->processors, cudaDevAttrMultiProcessorCount);
  if (error == cudaSuccess)
    error = ask(&model->shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin);
  if (error != cudaSuccess) return failure(device, "the device cannot be asked", error);
  BITNET_TRY(check_shape(device, parts, model->any_dense, model->shared_bytes));
  for (const auto prepare :
       {prepare_ternary_kernels, prepare_dense_kernels, prepare_attention_kernels}) {
    if (error == cudaSuccess) error = prepare(model->shared_bytes);
  }
  if (error != cudaSuccess) return failure(device, "the kernels cannot be loaded", error);
  const uint64_t bytes = model_bytes(parts);
  error = model->memory.allocate(bytes);
  if (error != cudaSuccess) return no_memory(device, "the weights take", bytes);
  HostBytes staging;
  error = staging.allocate(static_cast<size_t>(std::max(kStagingBytes, widest_row_bytes(parts))));
  if (error != cudaSuccess) return failure(device, "no page-locked memory to upload from", error);
  Upload upload(model->memory, staging);
  Walk(upload, parts).run(model.get());
  error = upload.error();
  if (error == cudaSuccess && parts.screened) {
    Stream ordinary;
    make_screen(ordinary, model->head, model->screen);
    error = ordinary.error;
  }
  // A copy from ordinary memory may return before it has ended, and contexts' streams do not wait.
  if (error == cudaSuccess) error = cudaDeviceSynchronize();
  if (error != cudaSuccess) return failure(device, "uploading the weights", error);
  return Result<Ptr<DeviceModel>>(std::move(model));
}

}  // namespace bitnet::cuda
