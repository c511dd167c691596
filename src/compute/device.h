// What libbitnet.so and the plugin of a kind of device (libbitnet-cuda.so) say to each other.
//
// The library keeps all bookkeeping: files, tokens, which page belongs to which sequence, sampling.
// The plugin holds the weights, the pages' numbers and the activations of one batch in the device's
// memory, and computes a batch. Its logits have the bits of the numeric contract (compute/ops.h).
//
// Library and plugin are built from one source: the plugin exports bitnet_device_plugin(), and the
// library uses the table it returns only if `interface` and `library_version` are its own. Only
// plain structs and functions cross; no exception does. Memory is freed by whoever allocated it.
//
// Every call that can fail returns a status and, unless why is null, a sentence in *why:
// BITNET_E_DEVICE (the driver's reason), BITNET_E_MEMORY (of the device). After a failure the
// object can only be closed, or, where the sentence says that nothing was done, be used on. A
// device that has failed for good fails all later calls alike; closing always works.
//
// Threads: contexts of one model may be used side by side, one call at a time each.
#pragma once

#include <atomic>
#include <cstdint>

#include "bitnet.h"
#include "compute/linear.h"

namespace bitnet {

// Counted up with every change of this file that an older counterpart would misread.
constexpr uint32_t kDeviceInterface = 3;

struct DeviceInfo {
  char title[128];              // the maker's name of it, terminated
  uint64_t memory_bytes, free;  // of the device
  int32_t processors;           // streaming multiprocessors
  int32_t major, minor;         // compute capability
};

struct DeviceLayer {
  Linear q, k, v, o, gate, up, down;  // ternary ones as Packing::kTwoBit
  // [width], [heads * head_dim], [width], [ff_width]; those inside a block may be null: no norm.
  const float *attn_norm, *attn_sub_norm, *ffn_norm, *ffn_sub_norm;
};

// A model in the host's memory. Everything is read during model_open() and not kept. For
// model_bytes() and context_bytes() data pointers may be null: shapes and types count, and the
// embeddings' and the head's pointer being the same.
struct DeviceModelParts {
  int64_t layers, width, ff_width, heads, kv_heads, head_dim, vocab;
  int64_t rope_pairs;
  const double* rope_frequency;  // [rope_pairs] radians per position (compute/angles.h)
  RopeStyle rope;
  float norm_eps;
  float attention_scale;  // onto scores: 1 / sqrt(head_dim)
  bool relu2;             // at the gate; else SiLU
  bool tied_head;         // embeddings and head are one matrix
  bool screened;          // a smaller copy of the head is made, to sample by (DeviceWant::kSample)
  const DeviceLayer* layer;  // [layers]
  DenseMatrix embeddings, head;
  const float* output_norm;  // [width]
};

struct DeviceContextOptions {
  int64_t pages;  // of the cache, kPagePositions each
  int64_t batch;  // tokens computed at once, at most
};

// What of a token a row of results is to hold: its normed hidden state, and
enum class DeviceWant : uint8_t {
  kHidden,  // nothing else
  kLogits,  // all logits, to be read
  kSample,  // what select() needs; all logits can be had, too, but may have to be computed then
};

// Some tokens to compute. Each has its keys and values written to its place in the cache and
// attends to positions 0..position of its sequence; tokens of one sequence follow each other in the
// batch in the order of their positions, without others between.
struct DeviceBatch {
  int64_t tokens;            // 1..DeviceContextOptions::batch
  const int32_t* token;      // [tokens]
  const int32_t* position;   // [tokens]
  const int32_t* page_list;  // [tokens] where in `pages` the token's sequence begins
  const int32_t* pages;  // [page_count] pages of the cache in order of positions, sequence after
  int64_t page_count;    //   sequence
  // Tokens of which something is wanted, ascending: the i-th fills row first_row + i.
  const int32_t* wanted;   // [wanted_count]
  const DeviceWant* want;  // [wanted_count]
  int64_t wanted_count;
  int64_t first_row;
  const std::atomic<bool>* cancelled;  // looked at between layers
};

// Which logits of a row a pick can depend on, of its first `vocabulary`:
//   first > 0   those that can be among the `first` largest
//   first == 0  those that can win a draw (stage 6 of sample/sampler.h) at this temperature, or be
//               the largest where min_p cuts off: largest + log_min_p is the least that can win
// Every logit that is not listed can be taken for -infinity, and the pick is the same. More may be
// listed.
struct DeviceSelection {
  int64_t vocabulary;
  int32_t first;
  float temperature;    // 1e-4 .. 1e4; with first > 0 this and all below are not looked at
  double log_min_p;     // < 0; -infinity: no cut-off
  uint64_t seed, draw;  // of the noise, whose high words are those of sample/gumbel.h
  bool operator==(const DeviceSelection&) const = default;
};
struct DeviceLogit {
  int32_t token;
  float logit;
};
// In any order. NaN among the first `vocabulary` logits are listed.
struct DeviceSelected {
  const DeviceLogit* logit;  // [count] until the context's next forward(), reserve_rows(), select()
  int32_t count;             // 0: too many, or none; all logits are to be read
};
constexpr int32_t kDeviceSelected = 512;  // at most

// How often what was computed.
struct DeviceCounts {
  uint64_t rmsnorm, quantize, ternary_matmul, dense_matmul, rope, attend_page, gate;  // per token
  uint64_t launches;                                                                  // of kernels
};

struct DeviceModel;    // the plugin's
struct DeviceContext;  //

struct DeviceTable {
  uint32_t interface;        // kDeviceInterface
  uint32_t library_version;  // bitnet_version() of the library it was built with
  const char* kind;          // "cuda"

  // Devices there are; BITNET_E_DEVICE when there is no driver or it finds none.
  bitnet_status (*count)(int32_t* devices, bitnet_error* why) noexcept;
  bitnet_status (*info)(int32_t device, DeviceInfo* info, bitnet_error* why) noexcept;

  // Bytes of the device's memory that the two below will allocate. Pure arithmetic.
  uint64_t (*model_bytes)(const DeviceModelParts* parts) noexcept;
  uint64_t (*context_bytes)(const DeviceModelParts* parts,
                            const DeviceContextOptions* options) noexcept;

  bitnet_status (*model_open)(int32_t device, const DeviceModelParts* parts, DeviceModel** model,
                              bitnet_error* why) noexcept;
  void (*model_close)(DeviceModel* model) noexcept;

  // The model must outlive the context. Room for one row of results is there from the beginning.
  bitnet_status (*context_open)(DeviceModel* model, const DeviceContextOptions* options,
                                DeviceContext** context, bitnet_error* why) noexcept;
  void (*context_close)(DeviceContext* context) noexcept;

  // Room for rows 0..rows-1 of results; what rows held may be lost. BITNET_E_MEMORY: nothing was
  // done.
  bitnet_status (*reserve_rows)(DeviceContext* context, int64_t rows, bitnet_error* why) noexcept;
  // Returns when the batch is computed. BITNET_E_CANCELLED: *cancelled was seen (and left as it
  // is).
  bitnet_status (*forward)(DeviceContext* context, const DeviceBatch* batch,
                           bitnet_error* why) noexcept;
  // Of a row that forward() filled: [width]; and [vocab], unless nothing but its hidden state was
  // wanted.
  bitnet_status (*read_hidden)(DeviceContext* context, int64_t row, float* hidden,
                               bitnet_error* why) noexcept;
  bitnet_status (*read_logits)(DeviceContext* context, int64_t row, float* logits,
                               bitnet_error* why) noexcept;
  // Of a row that was wanted to be sampled. Fastest if asked for the same `first` and vocabulary as
  // the last time: passes then bring the answer along.
  bitnet_status (*select)(DeviceContext* context, int64_t row, const DeviceSelection* selection,
                          DeviceSelected* selected, bitnet_error* why) noexcept;

  // Pages of the cache: [layers][kv_heads] blocks of keys, placed by key_place(), then values,
  // [kPagePositions][head_dim] each.
  bitnet_status (*copy_page)(DeviceContext* context, int32_t from, int32_t to,
                             bitnet_error* why) noexcept;
  bitnet_status (*read_page)(DeviceContext* context, int32_t page, uint16_t* numbers,
                             bitnet_error* why) noexcept;
  bitnet_status (*write_page)(DeviceContext* context, int32_t page, const uint16_t* numbers,
                              bitnet_error* why) noexcept;

  void (*counts)(const DeviceContext* context, DeviceCounts* counts) noexcept;
};

// What the plugin exports, by this name: static, never null.
using DevicePlugin = const DeviceTable* (*)() noexcept;
constexpr char kDevicePluginSymbol[] = "bitnet_device_plugin";

}  // namespace bitnet
