// Time of one pick from the logits of a 128,256 token vocabulary.
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <vector>

#include "sample/sampler.h"

namespace bitnet {
namespace {

// spread: standard deviation of the logits; a few words stand out as they do in a model's output.
std::vector<float> model_like_logits(float spread, float lead) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(128256);
  for (float& l : logits) l = normal(random);
  for (int i = 0; i < 20; ++i) logits[static_cast<size_t>(i) * 6007] += lead;
  return logits;
}

void pick(benchmark::State& state, const SamplerOptions& options, float spread, float lead) {
  auto sampler = Sampler::open(options);
  const auto logits = model_like_logits(spread, lead);
  int32_t token = 0;
  for (auto _ : state) {
    if (!sampler.value()->pick(logits.data(), static_cast<int64_t>(logits.size()), &token).ok() ||
        !sampler.value()->accept(token).ok()) {
      state.SkipWithError("pick failed");
    }
  }
}

SamplerOptions options(float temperature, int32_t top_k, float top_p, float min_p) {
  SamplerOptions o;
  o.temperature = temperature;
  o.top_k = top_k;
  o.top_p = top_p;
  o.min_p = min_p;
  o.seed = 1;
  return o;
}
SamplerOptions penalized(SamplerOptions o) {
  o.repeat_penalty = 1.1f;
  return o;
}

void flat(benchmark::State& s, SamplerOptions o) {
  pick(s, o, 0.5f, 0);
}
void peaked(benchmark::State& s, SamplerOptions o) {
  pick(s, o, 2.5f, 14);
}

BENCHMARK_CAPTURE(peaked, greedy, options(0, 0, 1, 0));
BENCHMARK_CAPTURE(peaked, greedy_penalties, penalized(options(0, 0, 1, 0)));
BENCHMARK_CAPTURE(peaked, top_k_40, options(0.8f, 40, 1, 0));
BENCHMARK_CAPTURE(flat, top_k_40, options(0.8f, 40, 1, 0));
BENCHMARK_CAPTURE(peaked, usual_chain, options(0.8f, 40, 0.95f, 0.05f));
BENCHMARK_CAPTURE(peaked, temperature, options(0.8f, 0, 1, 0));
BENCHMARK_CAPTURE(flat, temperature, options(0.8f, 0, 1, 0));
BENCHMARK_CAPTURE(peaked, min_p, options(0.8f, 0, 1, 0.05f));
BENCHMARK_CAPTURE(peaked, top_p, options(0.8f, 0, 0.9f, 0));
BENCHMARK_CAPTURE(flat, top_p, options(0.8f, 0, 0.9f, 0));

}  // namespace
}  // namespace bitnet

BENCHMARK_MAIN();
