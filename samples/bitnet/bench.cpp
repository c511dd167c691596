// bitnet bench: tokens per second, held against what the machine can do at best.
//
// How it is measured, for each number of threads:
//   prefill  one bitnet_ctx_decode call with P tokens into an empty sequence, logits for the last.
//   decode   N tokens one at a time from an empty sequence, each with logits and a greedy pick.
//   machine  bitnet_machine_measure before and after the runs; the larger figure counts, since
//   other
//            work on the machine can only make it smaller. The machine's limit for the whole report
//            is the largest over all numbers of threads.
// The first run of each is a warm-up and not counted. The peak of resident memory is taken after
// the first warm-up, since measuring the machine takes half a gigabyte of its own.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "commands.h"
#include "common.h"
#include "json.h"

namespace cli {
namespace {

struct Plan {
  uint32_t prefill_tokens = 512, decode_tokens = 128, repetitions = 5;
  std::vector<int32_t> threads = {0};
  bool json = false;
};

// Of one test with one number of threads, in tokens per second.
struct Result {
  std::string test;
  int32_t threads;
  double median, min, max;
  // What the median needs of the machine, as a share of what it has: weight bytes per second of the
  // memory's for decode, ternary multiply-adds of the integer units' for prefill. Decoding a model
  // that fits the processor's caches can exceed 1.
  double share;
};

struct Report {
  std::vector<Result> results;
  double stream_gb_per_s = 0, int8_gmac_per_s = 0, peak_rss_mb = 0;
};

// A context that is measured, and tokens to feed it.
struct Subject {
  bitnet_ctx* ctx;
  bitnet_sampler* greedy;
  uint64_t vocab_size;
};

Sampler open_greedy() {
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_sampler* sampler = nullptr;
  check(bitnet_sampler_open(nullptr, &sampler, &why), why);
  return Sampler(sampler);
}

// Any tokens do: how long they take does not depend on which they are.
int32_t some_token(const Subject& subject, uint32_t position) {
  return static_cast<int32_t>((position * uint64_t{2654435761} + 1) % subject.vocab_size);
}

void empty(const Subject& subject) {
  bitnet_error why = BITNET_ERROR_INIT;
  check(bitnet_ctx_sequence_truncate(subject.ctx, 0, 0, &why), why);
}

void prefill(const Subject& subject, uint32_t tokens) {
  bitnet_error why = BITNET_ERROR_INIT;
  std::vector<bitnet_batch_entry> entries;
  for (uint32_t i = 0; i < tokens; ++i) {
    entries.push_back({some_token(subject, i), static_cast<int32_t>(i), 0, 0});
  }
  entries.back().want = BITNET_WANT_LOGITS;
  check(bitnet_ctx_decode(subject.ctx, entries.data(), entries.size(), &why), why);
}

void decode(const Subject& subject, uint32_t tokens) {
  bitnet_error why = BITNET_ERROR_INIT;
  int32_t token = some_token(subject, 0);
  for (uint32_t i = 0; i < tokens; ++i) {
    const bitnet_batch_entry entry = {token, static_cast<int32_t>(i), 0, BITNET_WANT_LOGITS};
    check(bitnet_ctx_decode(subject.ctx, &entry, 1, &why), why);
    const float* logits = nullptr;
    check(bitnet_ctx_logits(subject.ctx, 0, &logits, &why), why);
    check(bitnet_sample(subject.greedy, logits, subject.vocab_size, &token, &why), why);
  }
}

// Tokens per second of each repetition, smallest first. Each starts from an empty sequence.
std::vector<double> measure(const Subject& subject, uint32_t tokens, uint32_t repetitions,
                            void (*work)(const Subject&, uint32_t)) {
  std::vector<double> speeds;
  for (uint32_t i = 0; i < repetitions; ++i) {
    empty(subject);
    const auto start = std::chrono::steady_clock::now();
    work(subject, tokens);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    speeds.push_back(tokens / seconds.count());
  }
  std::sort(speeds.begin(), speeds.end());
  return speeds;
}

double median(const std::vector<double>& sorted) {
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

bitnet_machine_limits machine_limits(int32_t threads, const std::string& isa) {
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_machine_limits limits = BITNET_MACHINE_LIMITS_INIT;
  limits.threads = threads;
  limits.isa = isa.empty() ? nullptr : isa.c_str();
  check(bitnet_machine_measure(&limits, &why), why);
  return limits;
}

double peak_rss_mb() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
#if defined(__APPLE__)
  constexpr double unit = 1e-6;  // bytes
#else
  constexpr double unit = 1024e-6;  // KiB
#endif
  return static_cast<double>(usage.ru_maxrss) * unit;
}

// Multiply-adds of one token in the layers' projections, where nearly all the work of prefill is:
// the head is computed for the last token only, attention is left out.
double macs_per_token(const bitnet_model* model) {
  double macs = 0;
  for (uint64_t i = 0; i < bitnet_model_tensor_count(model); ++i) {
    bitnet_error why = BITNET_ERROR_INIT;
    bitnet_tensor_info tensor = BITNET_TENSOR_INFO_INIT;
    check(bitnet_model_tensor(model, i, &tensor, &why), why);
    if (tensor.dimensions == 2 && std::string_view(tensor.name).starts_with("blk.")) {
      macs += static_cast<double>(tensor.shape[0]) * static_cast<double>(tensor.shape[1]);
    }
  }
  return macs;
}

Result result_of(const char* kind, uint32_t tokens, int32_t threads,
                 const std::vector<double>& speeds, double needed_per_token, double limit) {
  const double middle = median(speeds);
  return {kind + std::to_string(tokens),
          threads,
          middle,
          speeds.front(),
          speeds.back(),
          needed_per_token * middle / (limit * 1e9)};
}

void bench_threads(const bitnet_model* model, Settings settings, const Plan& plan, int32_t threads,
                   Report& report) {
  settings.threads = threads;
  settings.positions = std::max(plan.prefill_tokens, plan.decode_tokens);
  const Context ctx = open_context(model, settings);
  const Sampler greedy = open_greedy();
  const bitnet_model_info info = model_info(model);
  const Subject subject = {ctx.get(), greedy.get(), static_cast<uint64_t>(info.vocab_size)};
  const int32_t threads_used = context_stats(ctx.get()).threads;

  if (plan.prefill_tokens > 0) measure(subject, plan.prefill_tokens, 1, prefill);
  if (plan.decode_tokens > 0) measure(subject, plan.decode_tokens, 1, decode);
  if (report.results.empty()) report.peak_rss_mb = peak_rss_mb();

  const bitnet_machine_limits before = machine_limits(threads_used, settings.isa);
  std::vector<double> prefills, decodes;
  if (plan.prefill_tokens > 0) {
    prefills = measure(subject, plan.prefill_tokens, plan.repetitions, prefill);
  }
  if (plan.decode_tokens > 0) {
    decodes = measure(subject, plan.decode_tokens, plan.repetitions, decode);
  }
  const bitnet_machine_limits after = machine_limits(threads_used, settings.isa);

  const double stream = std::max(before.stream_gb_per_s, after.stream_gb_per_s);
  const double int8 = std::max(before.int8_gmac_per_s, after.int8_gmac_per_s);
  report.stream_gb_per_s = std::max(report.stream_gb_per_s, stream);
  report.int8_gmac_per_s = std::max(report.int8_gmac_per_s, int8);
  if (!prefills.empty()) {
    report.results.push_back(
        result_of("pp", plan.prefill_tokens, threads_used, prefills, macs_per_token(model), int8));
  }
  if (!decodes.empty()) {
    report.results.push_back(result_of("tg", plan.decode_tokens, threads_used, decodes,
                                       static_cast<double>(info.bytes_per_token), stream));
  }
}

bool is_prefill(const Result& result) {
  return result.test.starts_with("pp");
}

void print_text(const Report& report, const bitnet_model_info& info) {
  print(format("%s (%s), %s: loaded in %.2f s, %.1f MB at most\n", printable(info.name).c_str(),
               info.family, info.isa, info.load_seconds, report.peak_rss_mb));
  print(format("%.3f MB of weights read per token\n",
               static_cast<double>(info.bytes_per_token) * 1e-6));
  print(format("the machine: %.1f GB/s from memory, %.1f G int8 multiply-adds/s\n\n",
               report.stream_gb_per_s, report.int8_gmac_per_s));
  print("test      threads   tokens/s        min        max   share of the machine\n");
  for (const Result& result : report.results) {
    print(format("%-9s %7d %10.1f %10.1f %10.1f   %3.0f %% of its %s\n", result.test.c_str(),
                 result.threads, result.median, result.min, result.max, 100 * result.share,
                 is_prefill(result) ? "multiply-adds" : "bandwidth"));
  }
}

void print_as_json(const Report& report, const bitnet_model_info& info) {
  const Json root(cJSON_CreateObject());
  put_text(root.get(), "version", bitnet_version_string());
  put_text(root.get(), "model", info.name);
  put_text(root.get(), "family", info.family);
  put_text(root.get(), "device", info.device);
  put_text(root.get(), "isa", info.isa);
  cJSON* results = cJSON_AddArrayToObject(root.get(), "results");
  for (const Result& result : report.results) {
    cJSON* item = cJSON_CreateObject();
    cJSON_AddItemToArray(results, item);
    put_text(item, "test", result.test);
    put(item, "threads", result.threads);
    put(item, "median", result.median);
    put(item, "min", result.min);
    put(item, "max", result.max);
    put(item, is_prefill(result) ? "int8_share" : "stream_share", result.share);
  }
  put(root.get(), "bytes_per_token", info.bytes_per_token);
  put(root.get(), "stream_gb_per_s", report.stream_gb_per_s);
  put(root.get(), "int8_gmac_per_s", report.int8_gmac_per_s);
  put(root.get(), "load_seconds", info.load_seconds);
  put(root.get(), "peak_rss_mb", report.peak_rss_mb);
  print_json(root.get());
}

}  // namespace

int bench(Arguments arguments) {
  Settings settings;
  Plan plan;

  Options options(
      "bench", "[options]",
      "Measures tokens per second: pp (prefill), a prompt read in one call; tg (decode),\n"
      "text made token by token. Median, smallest and largest of the repetitions, and\n"
      "the share of what the machine can do at best, measured in the same run.",
      "  bitnet bench -m model.gguf -t 1,2\n"
      "  bitnet bench -m model.gguf -p 0 -n 64 -r 10 --json\n");
  options.value("-p", "N", &plan.prefill_tokens, "tokens of prefill; 0: none (default: 512)");
  options.value("-n", "N", &plan.decode_tokens, "tokens of decode; 0: none (default: 128)");
  options.value("-r", "N", &plan.repetitions, "repetitions (default: 5)");
  options.value("-t, --threads", "LIST", &plan.threads,
                "numbers of threads, 1,2,...; 0 (default): one for each core");
  options.flag("--json", &plan.json, "one JSON object");
  add_model_options(options, settings);
  options.value("--batch", "N", &settings.batch, "tokens computed at once; 0 (default): 128");
  const auto words = options.parse(arguments);
  if (!words) return 0;
  refuse_words(*words);
  if (plan.repetitions == 0) throw UsageError("option -r: expected at least 1");
  if (plan.prefill_tokens == 0 && plan.decode_tokens == 0) {
    throw UsageError("with -p 0 and -n 0 there is nothing to measure");
  }

  const Model model = open_model(settings);
  Report report;
  for (int32_t threads : plan.threads) bench_threads(model.get(), settings, plan, threads, report);
  if (plan.json) {
    print_as_json(report, model_info(model.get()));
  } else {
    print_text(report, model_info(model.get()));
  }
  flush();
  return 0;
}

}  // namespace cli
