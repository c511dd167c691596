// Speed of every verb in every table of verbs this processor can run, next to what the machine
// could do: ternary weights from memory beside a plain read of the same bytes by as many threads,
// int8 products beside the peak of the integer units. Shapes are those of BitNet-b1.58-2B-4T.
//
// GB/s and GMAC/s are by the processor time of one thread (times the threads), so that other work
// on the machine disturbs little; the Time column is wall time. Counters: of_stream = share of
// the better read_stream's bytes a second with the same table and threads; of_peak = share of
// int8_multiply_adds' rate. Both are measured in the same run, just before.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "compute/ops.h"

namespace bitnet {
namespace {

constexpr int64_t kWidth = 2560, kInner = 6912;
constexpr int64_t kMatrixBytes = packed_bytes(Packing::kTwoBit, kInner, kWidth);
// More than any last-level cache in sight: a pass reads each byte from memory.
constexpr int64_t kMatrices = (int64_t{640} << 20) / kMatrixBytes + 1;

std::vector<float> normal_numbers(int64_t n) {
  std::mt19937 random(1);
  std::normal_distribution<float> number;
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = number(random);
  return x;
}

// Random codes 0..2, the same matrix again and again; in huge pages where the system has them, as
// the library's own buffers are.
const uint8_t* ternary_weights() {
  static const uint8_t* const weights = [] {
    constexpr size_t kHugePage = size_t{2} << 20;
    const size_t bytes = static_cast<size_t>(kMatrixBytes * kMatrices);
    void* memory = std::aligned_alloc(kHugePage, (bytes + kHugePage - 1) / kHugePage * kHugePage);
    if (!memory) std::exit(1);
    madvise(memory, bytes, MADV_HUGEPAGE);
    uint8_t* all = static_cast<uint8_t*>(memory);
    std::mt19937 random(2);
    for (int64_t i = 0; i < kMatrixBytes; ++i) {
      const uint32_t r = static_cast<uint32_t>(random());
      all[i] =
          static_cast<uint8_t>(r % 3 | (r >> 8) % 3 << 2 | (r >> 16) % 3 << 4 | (r >> 24) % 3 << 6);
    }
    for (int64_t m = 1; m < kMatrices; ++m) {
      std::memcpy(all + m * kMatrixBytes, all, static_cast<size_t>(kMatrixBytes));
    }
    return all;
  }();
  return weights;
}

// Quantized activations of some tokens, each [cols].
struct Activations {
  Activations(int64_t tokens, int64_t cols)
      : bytes(static_cast<size_t>(tokens * padded_cols(cols) + 64)),
        scale(static_cast<size_t>(tokens)),
        sum(static_cast<size_t>(tokens)) {
    const auto address = reinterpret_cast<uintptr_t>(bytes.data());
    int8_t* q = bytes.data() + ((address + 63) / 64 * 64 - address);
    const std::vector<float> x = normal_numbers(cols);
    for (int64_t t = 0; t < tokens; ++t) {
      reference_ops().quantize(q + t * padded_cols(cols), &scale[static_cast<size_t>(t)],
                               &sum[static_cast<size_t>(t)], x.data(), cols);
    }
    rows = {q, padded_cols(cols), scale.data(), sum.data()};
  }
  std::vector<int8_t> bytes;
  std::vector<float> scale;
  std::vector<int32_t> sum;
  QuantizedRows rows;
};

// The machine's own rates, by table and threads, for the shares printed beside the verbs.
std::map<std::pair<const Ops*, int>, double>& streams() {
  static std::map<std::pair<const Ops*, int>, double> bytes_a_second;
  return bytes_a_second;
}
std::map<const Ops*, double>& peaks() {
  static std::map<const Ops*, double> products_a_second;
  return products_a_second;
}

double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Runs body() for the benchmark; the processor seconds one call of it took on average.
template <class F>
double timed(benchmark::State& state, const F& body) {
  const double start = thread_seconds();
  int64_t runs = 0;
  for (auto _ : state) {
    body();
    benchmark::ClobberMemory();
    ++runs;
  }
  return (thread_seconds() - start) / static_cast<double>(runs);
}

// GB/s of all threads, from the bytes and seconds of one, and their share of a plain read.
void report_stream(benchmark::State& state, const Ops* ops, int64_t bytes, double seconds) {
  if (state.thread_index() != 0) return;
  const double rate = static_cast<double>(bytes) * state.threads() / seconds;
  state.counters["GB/s"] = rate / 1e9;
  state.counters["of_stream"] = rate / streams()[{ops, state.threads()}];
}

void read_stream(benchmark::State& state, const Ops* ops, Reading reading) {
  const uint8_t* weights = ternary_weights();
  const int64_t share = kMatrixBytes * kMatrices / state.threads() / 64 * 64;
  const uint8_t* mine = weights + share * state.thread_index();
  const double seconds =
      timed(state, [&] { benchmark::DoNotOptimize(ops->read_stream(mine, share, reading)); });
  if (state.thread_index() == 0) {
    double& best = streams()[{ops, state.threads()}];
    best = std::max(best, static_cast<double>(share) * state.threads() / seconds);
  }
  report_stream(state, ops, share, seconds);
}

// The same bytes as a matrix of any packing. What they mean does not matter: every byte has codes,
// if some of 3.
struct SomeMatrix {
  TernaryMatrix matrix;
  int64_t bytes;
};
SomeMatrix matrix_of(Packing packing, const uint8_t* bytes, int64_t rows,
                     Reading reading = Reading::kPairs) {
  const int64_t row_bytes = kWidth / 4;
  return {{bytes, rows, kWidth, 1.0f, packing, row_bytes, reading},
          packing == Packing::kFileRows ? rows * row_bytes : packed_bytes(packing, rows, kWidth)};
}

struct Scratch {
  Scratch() : data(static_cast<uint8_t*>(std::aligned_alloc(64, kBytes))) {
    if (!data) std::exit(1);
  }
  ~Scratch() { std::free(data); }
  Scratch(const Scratch&) = delete;
  static constexpr size_t kBytes = size_t{ternary_scratch_bytes(kWidth)};
  uint8_t* data;
};

// Each thread its share of the rows of every matrix, matrix after matrix, as a decoder does.
void ternary_from_memory(benchmark::State& state, const Ops* ops, Packing packing,
                         Reading reading) {
  const int64_t tokens = state.range(0);
  const uint8_t* weights = ternary_weights();
  const Activations x(tokens, kWidth);
  std::vector<float> y(static_cast<size_t>(kInner * tokens));
  const int64_t tiles = kInner / kTileRows;
  const int64_t matrix_bytes = matrix_of(packing, nullptr, kInner).bytes;
  const int64_t matrices = kMatrixBytes * kMatrices / matrix_bytes;
  Scratch scratch;
  const int64_t first = tiles * state.thread_index() / state.threads() * kTileRows;
  const int64_t last = tiles * (state.thread_index() + 1) / state.threads() * kTileRows;
  const int64_t share = matrices * matrix_bytes / tiles * (last - first) / kTileRows;
  const double seconds = timed(state, [&] {
    for (int64_t m = 0; m < matrices; ++m) {
      const TernaryMatrix w =
          matrix_of(packing, weights + m * matrix_bytes, kInner, reading).matrix;
      ops->ternary_matmul(y.data(), kInner, w, first, last, x.rows, tokens, scratch.data);
    }
  });
  report_stream(state, ops, share, seconds);
}

void head_from_memory(benchmark::State& state, const Ops* ops) {
  // The same bytes seen as an f16 head; what they mean does not matter, but for subnormal numbers.
  constexpr int64_t kRows = kMatrixBytes * kMatrices / (2 * kWidth);
  const DenseMatrix w{ternary_weights(), DenseType::kF16, kRows, kWidth, 2 * kWidth};
  const std::vector<float> x = normal_numbers(kWidth);
  std::vector<float> y(kRows);
  const int64_t first = kRows * state.thread_index() / state.threads();
  const int64_t last = kRows * (state.thread_index() + 1) / state.threads();
  const int64_t share = (last - first) * 2 * kWidth;
  const double seconds = timed(
      state, [&] { ops->dense_matmul(y.data(), kRows, w, first, last, x.data(), kWidth, 1); });
  report_stream(state, ops, share, seconds);
}

void int8_peak(benchmark::State& state, const Ops* ops) {
  uint64_t done = 0;
  const double seconds = timed(state, [&] { done = ops->int8_multiply_adds(1 << 24); });
  peaks()[ops] = static_cast<double>(done) / seconds;
  state.counters["GMAC/s"] = peaks()[ops] / 1e9;
}

// Weights of one matrix of 512 rows, which the second-level cache holds.
void ternary_products(benchmark::State& state, const Ops* ops, Packing packing) {
  constexpr int64_t kRows = 512;
  const int64_t tokens = state.range(0);
  const TernaryMatrix w = matrix_of(packing, ternary_weights(), kRows).matrix;
  Scratch scratch;
  const Activations x(tokens, kWidth);
  std::vector<float> y(static_cast<size_t>(kRows * tokens));
  const double seconds = timed(state, [&] {
    ops->ternary_matmul(y.data(), kRows, w, 0, kRows, x.rows, tokens, scratch.data);
  });
  const double rate = static_cast<double>(kRows * kWidth * tokens) / seconds;
  state.counters["us_a_token"] = 1e6 * seconds / static_cast<double>(tokens);
  state.counters["GMAC/s"] = rate / 1e9;
  state.counters["of_peak"] = rate / peaks()[ops];
}

// Some rows of a screened head; activations of 16 bits make two int8 multiply-adds of each.
void screen_products(benchmark::State& state, const Ops* ops) {
  constexpr int64_t kRows = 8192, kBlocks = kWidth / kScreenBlock;
  const int64_t tokens = state.range(0);
  const ScreenMatrix w{ternary_weights(), kRows, kWidth};  // the bytes may mean anything
  const Activations high(tokens, kWidth), low(tokens, kWidth);
  const std::vector<int16_t> pairs(static_cast<size_t>(tokens * kWidth));
  const std::vector<int32_t> sum(static_cast<size_t>(tokens * kBlocks));
  const std::vector<float> offsets(static_cast<size_t>(tokens * kBlocks));
  const std::vector<float> scale(static_cast<size_t>(tokens), 1.0f);
  const ScreenInput x{high.rows.q,    low.rows.q,   pairs.data(), sum.data(),
                      offsets.data(), scale.data(), kWidth};
  std::vector<float> y(static_cast<size_t>(kRows * tokens));
  const double seconds =
      timed(state, [&] { ops->screen_matmul(y.data(), kRows, w, 0, kRows, x, tokens); });
  const double rate = static_cast<double>(2 * kRows * kWidth * tokens) / seconds;
  state.counters["GMAC/s"] = rate / 1e9;
  state.counters["of_peak"] = rate / peaks()[ops];
}

void dense_products(benchmark::State& state, const Ops* ops, DenseType type) {
  constexpr int64_t kRows = 128;
  const int64_t tokens = state.range(0), row_bytes = dense_row_bytes(type, kWidth);
  // One small pattern, so that scales are ordinary numbers.
  std::vector<uint8_t> data(static_cast<size_t>(kRows * row_bytes));
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i % 61 + 16);
  const DenseMatrix w{data.data(), type, kRows, kWidth, row_bytes};
  const std::vector<float> x = normal_numbers(kWidth * tokens);
  std::vector<float> y(static_cast<size_t>(kRows * tokens));
  const double seconds = timed(
      state, [&] { ops->dense_matmul(y.data(), kRows, w, 0, kRows, x.data(), kWidth, tokens); });
  state.counters["GMAC/s"] = static_cast<double>(kRows * kWidth * tokens) / seconds / 1e9;
  state.counters["GB/s"] = static_cast<double>(kRows * row_bytes) / seconds / 1e9;
}

void small_verb(benchmark::State& state, const Ops* ops, const char* verb) {
  const std::string name = verb;
  std::vector<float> x = normal_numbers(kInner), y(kInner), gamma = normal_numbers(kInner);
  std::vector<float> cosine = normal_numbers(64), sine = normal_numbers(64);
  std::vector<int8_t> q(padded_cols(kInner));
  std::vector<uint16_t> k(kPagePositions * 128), v(kPagePositions * 128);
  ops->to_half(k.data(), x.data(), kInner);
  ops->to_half(v.data(), x.data(), kInner);
  float s[8] = {}, m[8] = {};
  int32_t sum = 0;
  const auto run = [&](const auto& body) { timed(state, body); };
  if (name == "rmsnorm/2560")
    run([&] { ops->rmsnorm(y.data(), x.data(), gamma.data(), kWidth, 1e-5f); });
  if (name == "rmsnorm/6912")
    run([&] { ops->rmsnorm(y.data(), x.data(), gamma.data(), kInner, 1e-5f); });
  if (name == "quantize/2560") run([&] { ops->quantize(q.data(), s, &sum, x.data(), kWidth); });
  if (name == "quantize/6912") run([&] { ops->quantize(q.data(), s, &sum, x.data(), kInner); });
  if (name == "rope_neox/20x128") {
    run([&] { ops->rope(y.data(), 20, 128, 64, RopeStyle::kNeox, cosine.data(), sine.data()); });
  }
  if (name == "rope_norm/20x128") {
    run([&] { ops->rope(y.data(), 20, 128, 64, RopeStyle::kNorm, cosine.data(), sine.data()); });
  }
  if (name == "to_half/640") run([&] { ops->to_half(k.data(), x.data(), 640); });
  if (name == "attend_page/4x128") {
    run([&] {
      ops->attend_page(m, s, y.data(), x.data(), k.data(), v.data(), 4, 128, kPagePositions, 0.1f,
                       nullptr);
    });
  }
  if (name == "attend_join/128") {
    s[0] = s[1] = 1.0f;
    run([&] { ops->attend_join(m, s, y.data(), m + 1, s + 1, x.data(), 128); });
  }
  if (name == "attend_finish/128") {
    s[0] = 2.0f;
    run([&] { ops->attend_finish(y.data(), s, x.data(), 128); });
  }
  if (name == "relu2_gate/6912")
    run([&] { ops->relu2_gate(y.data(), x.data(), gamma.data(), kInner); });
  if (name == "silu_gate/6912")
    run([&] { ops->silu_gate(y.data(), x.data(), gamma.data(), kInner); });
  if (name == "add/2560") run([&] { ops->add(y.data(), x.data(), kWidth); });
  if (name == "scale/2560") run([&] { ops->scale(y.data(), 1.0f, kWidth); });
}

void register_table(const Ops* ops) {
  const std::string name = ops->name;
  const auto add = [&](const std::string& what, const auto& body) {
    return benchmark::RegisterBenchmark((name + "/" + what).c_str(), body)->UseRealTime();
  };
  const std::pair<const char*, Packing> packings[] = {
      {"two_bit", Packing::kTwoBit}, {"base3", Packing::kBase3}, {"file_rows", Packing::kFileRows}};
  for (int threads : {1, 2}) {
    add("read_stream", [=](auto& state) {
      read_stream(state, ops, Reading::kPairs);
    })->Threads(threads);
    add("read_stream_unhinted", [=](auto& state) {
      read_stream(state, ops, Reading::kSingles);
    })->Threads(threads);
    for (const auto& [packing_name, packing] : packings) {
      const Packing p = packing;
      auto* from_memory = add(std::string("ternary_from_memory_") + packing_name, [=](auto& state) {
        ternary_from_memory(state, ops, p, Reading::kPairs);
      });
      for (int64_t tokens : {1, 2, 3, 4, 6, 8}) from_memory->Arg(tokens);
      from_memory->Threads(threads);
      if (packing == Packing::kFileRows) continue;
      add(std::string("ternary_from_memory_") + packing_name + "_singly",
          [=](auto& state) { ternary_from_memory(state, ops, p, Reading::kSingles); })
          ->Arg(1)
          ->Threads(threads);
    }
    add("f16_head_from_memory", [=](auto& state) {
      head_from_memory(state, ops);
    })->Threads(threads);
  }
  add("int8_peak", [=](auto& state) { int8_peak(state, ops); });
  for (const auto& [packing_name, packing] : packings) {
    const Packing p = packing;
    auto* products = add(std::string("ternary_products_") + packing_name,
                         [=](auto& state) { ternary_products(state, ops, p); });
    for (int64_t tokens : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128}) products->Arg(tokens);
  }
  auto* screened = add("screen_products", [=](auto& state) { screen_products(state, ops); });
  for (int64_t tokens : {1, 4, 8, 16, 64}) screened->Arg(tokens);
  const std::pair<const char*, DenseType> types[] = {
      {"f32", DenseType::kF32},   {"f16", DenseType::kF16},   {"bf16", DenseType::kBF16},
      {"q8_0", DenseType::kQ8_0}, {"q4_0", DenseType::kQ4_0}, {"q5_0", DenseType::kQ5_0},
      {"q4_k", DenseType::kQ4_K}, {"q6_k", DenseType::kQ6_K}};
  for (const auto& [type_name, type] : types) {
    const DenseType t = type;
    add(std::string("dense_") + type_name, [=](auto& state) { dense_products(state, ops, t); })
        ->Arg(1)
        ->Arg(4)
        ->Arg(8);
  }
  for (const char* verb :
       {"rmsnorm/2560", "rmsnorm/6912", "quantize/2560", "quantize/6912", "rope_neox/20x128",
        "rope_norm/20x128", "to_half/640", "attend_page/4x128", "attend_join/128",
        "attend_finish/128", "relu2_gate/6912", "silu_gate/6912", "add/2560", "scale/2560"}) {
    add(verb, [=](auto& state) { small_verb(state, ops, verb); });
  }
}

}  // namespace
}  // namespace bitnet

int main(int argc, char** argv) {
  int count = 0;
  const char* const* names = bitnet::usable_isas(&count);
  // The best table first: it is the one people wait for.
  for (int i = count - 1; i >= 0; --i) bitnet::register_table(bitnet::select_ops(names[i]));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
