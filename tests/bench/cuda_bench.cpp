// Each phase of a pass on a CUDA device, and whole passes, on the shapes of BitNet-b1.58-2B-4T with
// weights of no meaning: time, bytes read a second, and the share of a device-to-device copy
// measured in the same run. (A copy's rate counts what it reads and what it writes.)
//
// Weights of all layers are there and used in turn, so that few are found in a cache (those of o,
// 49 MB, fit that of an H200). Built with tests/cuda/emulator/ it only shows that it runs: on small
// shapes, and its times mean nothing.
#include <benchmark/benchmark.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "compute/cuda/context.h"

namespace bitnet::cuda {
namespace {

#ifdef BITNET_EMULATED
constexpr int64_t kLayers = 2, kWidth = 256, kFf = 384, kHeads = 4, kKvHeads = 2, kHeadDim = 32,
                  kVocab = 300, kPages = 8, kBatch = 128, kCopyBytes = 1 << 16;
#else
constexpr int64_t kLayers = 30, kWidth = 2560, kFf = 6912, kHeads = 20, kKvHeads = 5,
                  kHeadDim = 128, kVocab = 128256, kPages = 64 * 4096 / 64, kBatch = 512,
                  kCopyBytes = int64_t{2} << 30;
#endif

[[noreturn]] void give_up(const char* what, const char* why) {
  std::fprintf(stderr, "%s: %s\n", what, why);
  std::exit(1);
}
void must(cudaError_t error, const char* what) {
  if (error != cudaSuccess) give_up(what, cudaGetErrorString(error));
}

class Events {
 public:
  Events() {
    must(cudaEventCreate(&begin_), "an event");
    must(cudaEventCreate(&end_), "an event");
  }
  ~Events() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  // Seconds on the device for what body() puts on the stream.
  template <class Body>
  double time(cudaStream_t stream, Body&& body) {
    must(cudaEventRecord(begin_, stream), "recording");
    body();
    must(cudaEventRecord(end_, stream), "recording");
    must(cudaEventSynchronize(end_), "waiting");
    float milliseconds = 0;
    must(cudaEventElapsedTime(&milliseconds, begin_, end_), "timing");
    return milliseconds * 1e-3;
  }

 private:
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

// Bytes a second that a copy reads and writes, the best of some.
double copy_rate() {
  static const double rate = [] {
    DeviceBytes from, to;
    must(from.allocate(kCopyBytes), "memory to copy");
    must(to.allocate(kCopyBytes), "memory to copy");
    Events events;
    double best = 0;
    for (int run = 0; run < 5; ++run) {
      const double seconds = events.time(nullptr, [&] {
        must(cudaMemcpyAsync(to.as<void>(), from.as<void>(), kCopyBytes, cudaMemcpyDeviceToDevice,
                             nullptr),
             "copying");
      });
      if (seconds > 0) best = std::max(best, 2.0 * kCopyBytes / seconds);
    }
    std::printf("device-to-device copy: %.0f GB/s, read and written\n", best / 1e9);
    return best;
  }();
  return rate;
}

// A model of random trits in the host's memory: one layer's weights serve all, since each is
// uploaded anew.
struct Parts {
  std::vector<std::vector<uint8_t>> tiles;
  std::vector<float> ones = std::vector<float>(size_t(std::max(kFf, kHeads* kHeadDim)), 1.0f);
  std::vector<uint16_t> table;
  std::vector<double> frequency = std::vector<double>(size_t(kHeadDim / 2), 0.01);
  std::vector<DeviceLayer> layers;
  DeviceModelParts parts = {};

  Parts() {
    std::mt19937 random(1);
    DeviceLayer layer = {};
    const auto map = [&](Linear& to, int64_t rows, int64_t cols) {
      std::vector<uint8_t> codes(size_t(packed_bytes(Packing::kTwoBit, rows, cols)));
      for (uint8_t& byte : codes) {
        byte = 0;
        for (int i = 0; i < 4; ++i) byte = uint8_t(byte << 2 | random() % 3);
      }
      tiles.push_back(std::move(codes));
      to.ternary = true;
      to.output_scale = 1.0f;
      to.tiles.tiles = tiles.back().data();
      to.tiles.rows = rows;
      to.tiles.cols = cols;
      to.tiles.scale = 0.02f;
    };
    map(layer.q, kHeads * kHeadDim, kWidth);
    map(layer.k, kKvHeads * kHeadDim, kWidth);
    map(layer.v, kKvHeads * kHeadDim, kWidth);
    map(layer.o, kWidth, kHeads * kHeadDim);
    map(layer.gate, kFf, kWidth);
    map(layer.up, kFf, kWidth);
    map(layer.down, kWidth, kFf);
    layer.attn_norm = layer.attn_sub_norm = layer.ffn_norm = layer.ffn_sub_norm = ones.data();
    layers.assign(size_t(kLayers), layer);
    table.resize(size_t(kVocab * kWidth));
    for (uint16_t& half : table) half = uint16_t(0x2000 | (random() & 0x8fff));
    parts.layers = kLayers;
    parts.width = kWidth;
    parts.ff_width = kFf;
    parts.heads = kHeads;
    parts.kv_heads = kKvHeads;
    parts.head_dim = kHeadDim;
    parts.vocab = kVocab;
    parts.rope_pairs = kHeadDim / 2;
    parts.rope_frequency = frequency.data();
    parts.rope = RopeStyle::kNeox;
    parts.norm_eps = 1e-5f;
    parts.attention_scale = 1.0f / std::sqrt(float(kHeadDim));
    parts.relu2 = true;
    parts.tied_head = true;
    parts.screened = true;
    parts.layer = layers.data();
    parts.embeddings = {reinterpret_cast<const uint8_t*>(table.data()), DenseType::kF16, kVocab,
                        kWidth, kWidth * 2};
    parts.head = parts.embeddings;
    parts.output_norm = ones.data();
  }
};

// The device's side, opened once for all benchmarks.
struct Device {
  Parts parts;
  Ptr<DeviceModel> model;
  Ptr<DeviceContext> context;
  Stream stream;
  DeviceBytes numbers;  // room for any phase's input and output
  DeviceBytes screen_input, screen_tokens, select_room, selected;
  Events events;

  Device() {
    Result<Ptr<DeviceModel>> opened = open_model(0, parts.parts);
    if (!opened.ok()) give_up("the model", opened.status().text());
    model = std::move(opened.value());
    Result<Ptr<DeviceContext>> with_context = DeviceContext::open(*model, {kPages, kBatch});
    if (!with_context.ok()) give_up("the context", with_context.status().text());
    context = std::move(with_context.value());
    must(cudaStreamCreateWithFlags(&stream.handle, cudaStreamNonBlocking), "a stream");
    stream.overlapping = true;
    stream.shared_bytes = model->shared_bytes - kStaticShared;
    stream.processors = model->processors;
    const size_t bytes = size_t(kBatch * (4 * kFf + 4 * kWidth + kVocab)) * 4;
    must(numbers.allocate(bytes), "memory for activations");
    must(screen_input.allocate(size_t(screen_input_bytes(kWidth))), "memory for the screen");
    must(screen_tokens.allocate(kScreenTokens * sizeof(ScreenToken)), "memory for the screen");
    must(select_room.allocate(kScreenTokens * sizeof(SelectRoom)), "memory for selections");
    must(selected.allocate(kScreenTokens * sizeof(Selected)), "memory for selections");
    std::mt19937 random(2);
    std::vector<float> values(bytes / 4);
    for (float& v : values) v = 0.5f + float(random() % 1024) / 1024;
    must(cudaMemcpy(numbers.as<void>(), values.data(), bytes, cudaMemcpyHostToDevice),
         "activations");
  }
  ~Device() { cudaStreamDestroy(stream.handle); }
};
std::unique_ptr<Device> device;

void report(benchmark::State& state, double bytes) {
  const auto runs = static_cast<double>(state.iterations());
  state.counters["GB"] = benchmark::Counter(bytes * runs / 1e9, benchmark::Counter::kIsRate);
  state.counters["copy"] =
      benchmark::Counter(bytes * runs / copy_rate(), benchmark::Counter::kIsRate);
}

// A phase of all layers, one after the other: body(layer). Time is of one layer.
template <class Body>
void each_layer(benchmark::State& state, double bytes, Body&& body) {
  // Recorded, as passes of few tokens are: launched one by one they would take as long as a launch.
  cudaGraph_t recorded = nullptr;
  cudaGraphExec_t graph = nullptr;
  must(cudaStreamBeginCapture(device->stream.handle, cudaStreamCaptureModeThreadLocal),
       "recording");
  for (const LayerMaps& layer : device->model->layers) body(layer);
  must(device->stream.error, "a launch");
  must(cudaStreamEndCapture(device->stream.handle, &recorded), "recording");
  must(cudaGraphInstantiate(&graph, recorded, 0), "recording");
  for (auto _ : state) {
    const double seconds = device->events.time(device->stream.handle, [&] {
      must(cudaGraphLaunch(graph, device->stream.handle), "a graph");
    });
    state.SetIterationTime(seconds / double(kLayers));
  }
  cudaGraphExecDestroy(graph);
  cudaGraphDestroy(recorded);
  report(state, bytes);
}

TernaryPart part_of(const DeviceMap& map, float* y) {
  return {map.tiles, map.rows, map.scale, map.output_scale, y, map.rows};
}

TernaryJob job_of(int64_t tokens, int64_t cols, Then then, const float* gamma) {
  TernaryJob job = {};
  auto* numbers = device->numbers.as<float>();
  job.cols = int32_t(cols);
  job.tokens = int32_t(tokens);
  job.then = then;
  job.relu2 = true;
  job.norm = {nullptr, gamma, int32_t(cols), 1e-5f};
  if (tokens == 1) job.norm.x = numbers;
  job.q = reinterpret_cast<const int8_t*>(numbers);
  job.q_scale = numbers;
  job.q_sum = reinterpret_cast<const int32_t*>(numbers);
  return job;
}

float* output(int64_t which) {
  return device->numbers.as<float>() + kBatch * kFf * (1 + which);
}

void qkv(benchmark::State& state) {
  each_layer(state, double(device_ternary_bytes((kHeads + 2 * kKvHeads) * kHeadDim, kWidth)),
             [&](const LayerMaps& l) {
               TernaryJob job = job_of(state.range(0), kWidth, Then::kStore, l.attn_norm);
               job.parts = 3;
               job.part[0] = part_of(l.q, output(0));
               job.part[1] = part_of(l.k, output(1));
               job.part[2] = part_of(l.v, output(2));
               ternary_products(device->stream, job);
             });
}
void gate_and_up(benchmark::State& state) {
  each_layer(state, double(2 * device_ternary_bytes(kFf, kWidth)), [&](const LayerMaps& l) {
    TernaryJob job = job_of(state.range(0), kWidth, Then::kGate, l.ffn_norm);
    job.parts = 2;
    job.part[0] = part_of(l.gate, output(0));
    job.part[1] = part_of(l.up, output(1));
    ternary_products(device->stream, job);
  });
}
void one_map(benchmark::State& state, DeviceMap LayerMaps::*which, int64_t cols) {
  each_layer(state, double(device_ternary_bytes(kWidth, cols)), [&](const LayerMaps& l) {
    TernaryJob job =
        job_of(state.range(0), cols, Then::kAdd, cols == kFf ? l.ffn_sub_norm : l.attn_sub_norm);
    job.parts = 1;
    job.part[0] = part_of(l.*which, output(0));
    ternary_products(device->stream, job);
  });
}
void o(benchmark::State& state) {
  one_map(state, &LayerMaps::o, kHeads * kHeadDim);
}
void down(benchmark::State& state) {
  one_map(state, &LayerMaps::down, kFf);
}

void head(benchmark::State& state) {
  const int64_t tokens = state.range(0);
  for (auto _ : state) {
    const double seconds = device->events.time(device->stream.handle, [&] {
      dense_product(device->stream, {device->model->head, device->numbers.as<float>(), kWidth,
                                     output(0), kVocab, int32_t(tokens), 1.0f, false});
    });
    must(device->stream.error, "a launch");
    state.SetIterationTime(seconds);
  }
  report(state, double(device_dense_bytes(DenseType::kF16, kVocab, kWidth)));
}

// The head's screened copy, what enters it included.
void screened_head(benchmark::State& state) {
  const int64_t tokens = state.range(0);
  float* low = output(0);
  for (auto _ : state) {
    const double seconds = device->events.time(device->stream.handle, [&] {
      screen(device->stream, device->model->screen, device->numbers.as<float>(), tokens,
             {device->screen_input.as<uint8_t>(), device->screen_tokens.as<ScreenToken>()}, low,
             low + tokens * kVocab, kVocab);
    });
    must(device->stream.error, "a launch");
    state.SetIterationTime(seconds);
  }
  report(state, double(screen_bytes(kVocab, kWidth)));
}

// What a pick depends on, of what screened_head left: of the `first` largest, or of a draw (0).
void selection(benchmark::State& state) {
  const int64_t tokens = state.range(0);
  float* low = output(0);
  const DeviceSelection what = {kVocab, int32_t(state.range(1)), 0.8f, -3.0, 1, 2};
  for (auto _ : state) {
    const double seconds = device->events.time(device->stream.handle, [&] {
      select_rows(device->stream,
                  {what, low, low + tokens * kVocab, kVocab, device->model->head,
                   device->numbers.as<float>(), device->select_room.as<SelectRoom>(),
                   device->selected.as<Selected>()},
                  tokens);
    });
    must(device->stream.error, "a launch");
    state.SetIterationTime(seconds);
  }
  Selected found;
  must(cudaMemcpy(&found, device->selected.as<Selected>(), sizeof found, cudaMemcpyDeviceToHost),
       "what was selected");
  state.counters["listed"] = double(found.count);
}

// Passes of one token for each of so many sequences behind `before` positions, or of one sequence's
// so many tokens: time as a caller sees it, on the host's clock.
struct Batch {
  std::vector<int32_t> token, position, page_list, pages, wanted;
  std::vector<DeviceWant> want;
  DeviceBatch batch = {};

  Batch(int64_t sequences, int64_t tokens, int64_t before, bool every) {
    const int64_t each = (before + tokens + kPagePositions - 1) / kPagePositions;
    for (int64_t s = 0; s < sequences; ++s) {
      const auto first = int32_t(pages.size());
      for (int64_t p = 0; p < each; ++p) pages.push_back(int32_t((s * each + p) % kPages));
      for (int64_t t = 0; t < tokens; ++t) {
        if (every || t + 1 == tokens) {
          wanted.push_back(int32_t(token.size()));
          want.push_back(DeviceWant::kSample);
        }
        token.push_back(int32_t((s * 977 + t * 31) % kVocab));
        position.push_back(int32_t(before + t));
        page_list.push_back(first);
      }
    }
    batch.tokens = int64_t(token.size());
    batch.token = token.data();
    batch.position = position.data();
    batch.page_list = page_list.data();
    batch.pages = pages.data();
    batch.page_count = int64_t(pages.size());
    batch.wanted = wanted.data();
    batch.want = want.data();
    batch.wanted_count = int64_t(wanted.size());
  }
};

void pass(benchmark::State& state, const Batch& batch) {
  const Status room = device->context->reserve_rows(batch.batch.wanted_count);
  if (!room.ok()) give_up("rows", room.text());
  const DeviceSelection greedy = {kVocab, 1, 0, 0, 0, 0};
  DeviceSelected found = {};
  for (auto _ : state) {
    const Status done = device->context->forward(batch.batch);
    if (!done.ok()) give_up("a pass", done.text());
    const Status picked = device->context->select(0, greedy, &found);
    if (!picked.ok()) give_up("a pick", picked.text());
  }
  state.SetItemsProcessed(state.iterations() * batch.batch.tokens);
  // Weights once a pass, of the head its copy.
  report(state, double(device->model->memory.bytes()) -
                    double(device_dense_bytes(DenseType::kF16, kVocab, kWidth)));
}
void decode(benchmark::State& state) {
  pass(state, Batch(state.range(0), 1, state.range(1), true));
}
void prefill(benchmark::State& state) {
  pass(state, Batch(1, state.range(0), 0, false));
}

void add_benchmarks() {
#ifdef BITNET_EMULATED
  const std::vector<int64_t> token_counts = {1, 8, 100}, sequence_counts = {1, 3},
                             before = {0, 100}, prompts = {100};
#else
  const std::vector<int64_t> token_counts = {1, 8, 64, 512}, sequence_counts = {1, 4, 8, 16, 64},
                             before = {0, 256, 2048, 4000}, prompts = {128, 512};
#endif
  struct Phase {
    const char* name;
    void (*body)(benchmark::State&);
  };
  for (const Phase& phase :
       {Phase{"qkv", qkv}, {"o", o}, {"gate_and_up", gate_and_up}, {"down", down}}) {
    auto* added = benchmark::RegisterBenchmark(phase.name, phase.body)->UseManualTime();
    for (int64_t tokens : token_counts) added->Arg(tokens);
  }
  benchmark::RegisterBenchmark("head", head)->UseManualTime()->Arg(1)->Arg(4);
  auto* screens =
      benchmark::RegisterBenchmark("screened_head", screened_head)->UseManualTime()->Arg(1);
  auto* selections = benchmark::RegisterBenchmark("selection/tokens/first", selection)
                         ->UseManualTime()
                         ->Args({1, 1})
                         ->Args({1, 40})
                         ->Args({1, 0});
#ifndef BITNET_EMULATED
  screens->Arg(8)->Arg(64);
  selections->Args({64, 1});
#else
  (void)screens, (void)selections;
#endif
  auto* decodes = benchmark::RegisterBenchmark("decode/sequences/before", decode)->UseRealTime();
  for (int64_t sequences : sequence_counts) {
    for (int64_t positions : before) {
      if (sequences * (positions + 64) / 64 <= kPages) decodes->Args({sequences, positions});
    }
  }
  auto* prompt = benchmark::RegisterBenchmark("prefill", prefill)->UseRealTime();
  for (int64_t tokens : prompts) prompt->Arg(tokens);
}

int run(int argc, char** argv) {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::printf("no CUDA device: %s\n", cudaGetErrorString(error));
    return 0;
  }
  cudaDeviceProp properties = {};
  must(cudaGetDeviceProperties(&properties, 0), "the device");
  std::printf("%s, %d multiprocessors\n", properties.name, properties.multiProcessorCount);
  copy_rate();
  device = std::make_unique<Device>();
  add_benchmarks();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  device.reset();
  return 0;
}

}  // namespace
}  // namespace bitnet::cuda

int main(int argc, char** argv) {
  return bitnet::cuda::run(argc, argv);
}
