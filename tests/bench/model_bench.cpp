// Speed of whole models through the public interface: opening, prefill, decode.
//
// usage: BITNET_MODEL=model.gguf model_bench [--benchmark_filter=...]      (default: the small one)
//
//   load/WEIGHTS    bitnet_model_open of a file in the page cache, all structures built anew, which
//                   is closed again off the clock
//   prefill/N       a prompt of N tokens in one call into an empty sequence
//   decode/depth:D  one token behind D others and its greedy pick; the sequence grows, and starts
//                   again at D after 64 tokens
// tokens/s, B/s: weight bytes read to make tokens, or bytes of the file opened; of_stream: these as
// a share of what memory gave in this process (bitnet_machine_measure, before the first benchmark).
#include <benchmark/benchmark.h>
#include <bitnet.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

struct Close {
  void operator()(bitnet_model* m) const { bitnet_model_close(m); }
  void operator()(bitnet_ctx* c) const { bitnet_ctx_close(c); }
  void operator()(bitnet_sampler* s) const { bitnet_sampler_close(s); }
};
using Model = std::unique_ptr<bitnet_model, Close>;
using Ctx = std::unique_ptr<bitnet_ctx, Close>;
using Sampler = std::unique_ptr<bitnet_sampler, Close>;

// Growing sequences start again after so many tokens.
constexpr int64_t kGrowth = 64;

const char* model_path() {
  const char* path = std::getenv("BITNET_MODEL");
  return path ? path : SMALL_MODEL;
}

// Null, with the reason in *why, if it cannot be opened.
Model open_model(int32_t weights, bitnet_error* why) {
  bitnet_model_options options = BITNET_MODEL_OPTIONS_INIT;
  options.weights = weights;
  bitnet_model* model = nullptr;
  bitnet_model_open(model_path(), &options, &model, why);
  return Model(model);
}

bitnet_model_info info_of(const bitnet_model* model) {
  bitnet_model_info info = BITNET_MODEL_INFO_INIT;
  bitnet_model_get_info(model, &info, nullptr);
  return info;
}

double stream_bytes_per_second() {
  static const double measured = [] {
    bitnet_machine_limits limits = BITNET_MACHINE_LIMITS_INIT;
    bitnet_machine_measure(&limits, nullptr);
    return limits.stream_gb_per_s * 1e9;
  }();
  return measured;
}

void count_bytes(benchmark::State& state, double bytes_per_iteration) {
  using benchmark::Counter;
  const double bytes = bytes_per_iteration * static_cast<double>(state.iterations());
  state.counters["B/s"] = Counter(bytes, Counter::kIsRate);
  state.counters["of_stream"] = Counter(bytes / stream_bytes_per_second(), Counter::kIsRate);
}

void count_tokens(benchmark::State& state, int64_t tokens_per_iteration) {
  using benchmark::Counter;
  state.counters["tokens/s"] =
      Counter(static_cast<double>(tokens_per_iteration * state.iterations()), Counter::kIsRate);
}

void load(benchmark::State& state, int32_t weights) {
  double file_bytes = 0;
  for (auto _ : state) {
    bitnet_error why = BITNET_ERROR_INIT;
    Model model = open_model(weights, &why);
    if (!model) return state.SkipWithError(why.message);
    state.PauseTiming();
    file_bytes = static_cast<double>(info_of(model.get()).file_bytes);
    model.reset();
    state.ResumeTiming();
  }
  count_bytes(state, file_bytes);
}

// A context of the model as it opens by default.
struct Subject {
  Ctx ctx;
  Sampler greedy;
  bitnet_model_info info;
};

Subject open_subject(const bitnet_model* model, int64_t positions) {
  bitnet_ctx_options options = BITNET_CTX_OPTIONS_INIT;
  options.positions = static_cast<uint32_t>(positions);
  options.sequences = 1;
  bitnet_ctx* ctx = nullptr;
  bitnet_sampler* greedy = nullptr;
  bitnet_ctx_open(model, &options, &ctx, nullptr);
  bitnet_sampler_open(nullptr, &greedy, nullptr);
  return {Ctx(ctx), Sampler(greedy), info_of(model)};
}

// Which tokens does not matter to the time.
bool read_prompt(Subject& subject, int64_t tokens, uint32_t want, bitnet_error* why) {
  if (tokens == 0) return true;
  std::vector<bitnet_batch_entry> entries;
  for (int64_t i = 0; i < tokens; ++i) {
    const auto token = static_cast<int32_t>((i * 7919 + 11) % subject.info.vocab_size);
    entries.push_back({token, static_cast<int32_t>(i), 0, 0});
  }
  entries.back().want = want;
  return bitnet_ctx_decode(subject.ctx.get(), entries.data(), entries.size(), why) == BITNET_OK;
}

void prefill(benchmark::State& state, const bitnet_model* model) {
  const int64_t tokens = state.range(0);
  Subject subject = open_subject(model, tokens);
  bitnet_error why = BITNET_ERROR_INIT;
  for (auto _ : state) {
    bitnet_ctx_sequence_truncate(subject.ctx.get(), 0, 0, nullptr);
    if (!read_prompt(subject, tokens, BITNET_WANT_SAMPLE, &why)) {
      return state.SkipWithError(why.message);
    }
  }
  count_tokens(state, tokens);
}

void decode(benchmark::State& state, const bitnet_model* model) {
  const int64_t depth = state.range(0);
  Subject subject = open_subject(model, depth + kGrowth);
  bitnet_error why = BITNET_ERROR_INIT;
  if (!read_prompt(subject, depth, 0, &why)) return state.SkipWithError(why.message);
  bitnet_batch_entry entry = {1, 0, 0, BITNET_WANT_SAMPLE};
  int64_t grown = 0;
  for (auto _ : state) {
    if (grown % kGrowth == 0) {
      bitnet_ctx_sequence_truncate(subject.ctx.get(), 0, static_cast<uint64_t>(depth), nullptr);
    }
    entry.position = static_cast<int32_t>(depth + grown++ % kGrowth);
    if (bitnet_ctx_decode(subject.ctx.get(), &entry, 1, &why) != BITNET_OK ||
        bitnet_ctx_sample(subject.ctx.get(), 0, 0, subject.greedy.get(), &entry.token, &why) !=
            BITNET_OK) {
      return state.SkipWithError(why.message);
    }
  }
  count_tokens(state, 1);
  count_bytes(state, static_cast<double>(subject.info.bytes_per_token));
}

template <class Body>
benchmark::internal::Benchmark* add(const char* name, Body body) {
  return benchmark::RegisterBenchmark(name, body)->Unit(benchmark::kMillisecond)->UseRealTime();
}

void register_loads() {
  for (const auto& [name, weights] : {std::pair{"load/2bit", BITNET_WEIGHTS_2BIT},
                                      {"load/base3", BITNET_WEIGHTS_BASE3},
                                      {"load/file", BITNET_WEIGHTS_FILE}}) {
    add(name, [weights = weights](benchmark::State& state) { load(state, weights); });
  }
}

// Prompts and depths that the model's context has room for.
void register_tokens(const bitnet_model* model) {
  const int64_t context_length = info_of(model).context_length;
  auto* prefills = add("prefill", [model](benchmark::State& state) { prefill(state, model); });
  for (const int64_t tokens : {16, 128, 512}) {
    if (tokens <= context_length) prefills->Arg(tokens);
  }
  auto* decodes = add("decode", [model](benchmark::State& state) { decode(state, model); });
  decodes->ArgName("depth")->Arg(0);
  const int64_t deepest = std::min<int64_t>(3500, context_length - kGrowth);
  if (deepest > 0) decodes->Arg(deepest);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  bitnet_error why = BITNET_ERROR_INIT;
  const Model model = open_model(BITNET_WEIGHTS_AUTO, &why);
  if (!model) return std::fprintf(stderr, "%s\n", why.message), 1;
  register_loads();
  register_tokens(model.get());
  benchmark::AddCustomContext("model", model_path());
  benchmark::AddCustomContext("stream GB/s", std::to_string(stream_bytes_per_second() * 1e-9));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
