// Speed of the screened head on the shapes of BitNet-b1.58-2B-4T, by table of verbs and threads:
//   screen       one pass over the copy for 1..8 hidden states; of_stream = bytes a second as a
//                share of a plain read of as many bytes, taken in turns with it, best of each
//   full_pass    the same logits from the f16 head
//   prepare      making the copy
//   candidates   which tokens matter, 128,256 of them, by sampler, narrowing and settling included;
//                `few` counts them, and rescore_us is the time their rows take
// Random weights and hidden states: no token stands out, the hardest case for the screen.
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "forward/screened_head.h"
#include "sample/sampler.h"

namespace bitnet {
namespace {

constexpr int64_t kRows = 128256, kCols = 2560;

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Blocks of 64 numbers from a table of normal ones.
const DenseMatrix& head() {
  static Buffer data(static_cast<size_t>(kRows * kCols * 2));
  static const DenseMatrix matrix = [] {
    constexpr size_t kTable = 1 << 20;
    std::mt19937_64 random(1);
    std::normal_distribution<float> number(0.0f, 0.05f);
    std::vector<float> numbers(kTable);
    std::vector<uint16_t> halves(kTable);
    for (float& x : numbers) x = number(random);
    reference_ops().to_half(halves.data(), numbers.data(), kTable);
    for (int64_t i = 0; i < kRows * kCols; i += 64) {
      std::memcpy(data.data() + 2 * i, &halves[random() % (kTable - 64)], 128);
    }
    return DenseMatrix{data.data(), DenseType::kF16, kRows, kCols, 2 * kCols};
  }();
  return matrix;
}

std::vector<float> hidden_states(int64_t tokens) {
  std::mt19937 random(2);
  std::normal_distribution<float> number;
  std::vector<float> h(static_cast<size_t>(tokens * kCols));
  for (float& x : h) x = number(random);
  return h;
}

// A pool, the copy made with it, and room for the results of eight hidden states.
struct Bench {
  Bench(const Ops* table, int threads)
      : ops(*table),
        pool(std::move(ThreadPool::open(threads).value())),
        screen(std::move(ScreenedHead::prepare(head(), ops, *pool, {}).value())),
        h(hidden_states(8)),
        low(8 * kRows),
        high(8 * kRows) {
    scratch.reserve(8, kCols, threads);
  }
  double run(int64_t tokens) {
    return screen->screen(low.data(), high.data(), kRows, h.data(), kCols, tokens, kRows, scratch,
                          *pool);
  }
  const Ops& ops;
  Ptr<ThreadPool> pool;
  Ptr<const ScreenedHead> screen;
  ScreenScratch scratch;
  std::vector<float> h, low, high;
};

void screen(benchmark::State& state, const Ops* ops, int threads) {
  Bench bench(ops, threads);
  const int64_t tokens = state.range(0);
  const int64_t bytes = static_cast<int64_t>(bench.screen->screened_bytes());
  const uint8_t* weights = head().data;  // twice as many bytes
  double best = 1e9, best_read = 1e9;
  for (auto _ : state) {
    const double start = now();
    state.counters["bound_in_sd"] = bench.run(tokens);
    const double middle = now();
    bench.pool->run([&](int worker) {
      const Share share = share_of(bytes, 64, worker, bench.pool->size());
      benchmark::DoNotOptimize(
          bench.ops.read_stream(weights + share.first, share.last - share.first, Reading::kPairs));
    });
    best_read = std::min(best_read, now() - middle);
    best = std::min(best, middle - start);
    state.SetIterationTime(middle - start);
  }
  state.counters["GB/s"] = static_cast<double>(bytes) / best / 1e9;
  state.counters["of_stream"] = best_read / best;
}

void full_pass(benchmark::State& state, const Ops* ops, int threads) {
  Bench bench(ops, threads);
  for (auto _ : state) {
    bench.screen->full_pass(bench.low.data(), kRows, bench.h.data(), *bench.pool);
  }
}

void prepare(benchmark::State& state, const Ops* ops, int threads) {
  auto pool = ThreadPool::open(threads);
  for (auto _ : state) {
    auto made = ScreenedHead::prepare(head(), *ops, *pool.value(), {});
    benchmark::DoNotOptimize(made);
  }
}

void candidates(benchmark::State& state, const SamplerOptions& options) {
  static Bench bench(select_ops(nullptr), 1);
  const std::vector<float> h = hidden_states(1);
  std::vector<float> logits(kRows);
  bench.run(1);
  auto sampler = Sampler::open(options);
  std::span<const int32_t> tokens;
  const auto narrow = [](void*, std::span<const int32_t> some) {
    bench.screen->narrow(bench.low.data(), bench.high.data(), some, bench.h.data(), bench.scratch,
                         *bench.pool);
  };
  const auto settle = [](void*, std::span<const int32_t> some) {
    bench.screen->rescore(bench.low.data(), some, bench.h.data(), *bench.pool);
    for (int32_t token : some) bench.high[token] = bench.low[token];
  };
  for (auto _ : state) {
    state.PauseTiming();
    bench.run(1);
    state.ResumeTiming();
    tokens = sampler.value()->candidates(
        {bench.low.data(), bench.high.data(), narrow, settle, nullptr}, kRows);
    benchmark::DoNotOptimize(tokens);
  }
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    const double start = now();
    bench.screen->rescore(logits.data(), tokens, h.data(), *bench.pool);
    best = std::min(best, now() - start);
  }
  state.counters["few"] = static_cast<double>(tokens.size());
  state.counters["rescore_us"] = best * 1e6;
}

}  // namespace
}  // namespace bitnet

int main(int argc, char** argv) {
  using namespace bitnet;
  int count = 0;
  const char* const* names = usable_isas(&count);
  for (int i = count - 1; i >= 0; --i) {  // the best table first
    const Ops* ops = select_ops(names[i]);
    for (int threads : {1, 2}) {
      const auto add = [&](const char* what, const auto& body) {
        const std::string name =
            std::string(names[i]) + "/" + what + "/threads:" + std::to_string(threads);
        return benchmark::RegisterBenchmark(
                   name.c_str(), [=](benchmark::State& state) { body(state, ops, threads); })
            ->Unit(benchmark::kMillisecond);
      };
      auto* screens = add("screen", screen)->UseManualTime();
      for (int64_t tokens : {1, 2, 4, 8}) screens->Arg(tokens);
      add("full_pass", full_pass)->UseRealTime();
      add("prepare", prepare)->UseRealTime();
    }
  }
  const auto add = [](const char* what, float temperature, int32_t top_k, float min_p) {
    SamplerOptions o;
    o.temperature = temperature;
    o.top_k = top_k;
    o.min_p = min_p;
    benchmark::RegisterBenchmark((std::string("candidates/") + what).c_str(),
                                 [=](benchmark::State& state) { candidates(state, o); })
        ->Unit(benchmark::kMicrosecond)
        ->Iterations(300);
  };
  add("greedy", 0, 0, 0);
  add("top_k:40", 0.8f, 40, 0);
  add("top_k:1000", 0.8f, 1000, 0);
  add("min_p:0.05", 1, 0, 0.05f);
  add("temperature:0.1", 0.1f, 0, 0);
  add("temperature:1", 1, 0, 0);
  add("temperature:10", 10, 0, 0);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
