// bitnet bench: tokens per second, held against what the machine can do at best.
//
// How it is measured, for each number of threads:
//   pp       prefill: one bitnet_ctx_decode call with P tokens into an empty sequence, whose last
//            token is to be sampled.
//   tg       decode: N tokens one at a time in each sequence, each picked greedily as a reply's
//            tokens are, behind a prompt of so many positions.
//   copy, loop, plain  replies of a generator, with and without tokens tried ahead.
//   machine  bitnet_machine_measure before and after, and between when it takes long; the largest
//            figure counts, since other work on the machine can only make it smaller. The limit for
//            the whole report is the largest over all numbers of threads.
// The first run of each is a warm-up and not counted. Then all tests take turns, one run each, so
// that what disturbs the machine disturbs all alike; a ratio of two tests is the median of those of
// their neighbouring runs. The peak of resident memory is taken after the first warm-up, since
// measuring the machine takes half a gigabyte of its own.
#include <sys/resource.h>

#include <algorithm>
#include <optional>

#include "bench_runs.h"
#include "commands.h"
#include "json.h"

namespace cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr ReplyKind reply_kinds[] = {
    {"copy", 0, true, 0, 200},   // tokens tried ahead are right if the model says the same again
    {"loop", 0, false, 4, 64},   // with any model they are mostly right
    {"plain", 1, false, 0, 16},  // and hardly ever
};

struct Plan {
  uint32_t prefill_tokens = 512, decode_tokens = 128, repetitions = 5;
  std::vector<int32_t> threads = {0}, sequences = {1}, depths = {0};
  bool drafts = false, logits = false, json = false;
};

// A test and its runs; ratios are to the runs of another test of the same turns.
struct Series {
  BenchTest test;
  std::vector<BenchRun> runs;
  std::optional<size_t> baseline;
};

// All tests with one number of threads.
struct Bench {
  Subject subject;
  int32_t threads;
  std::vector<Series> series;
  std::vector<bitnet_machine_limits> limits;
};

struct Report {
  bitnet_model_info info;
  double macs_per_token, peak_rss_mb = 0;
  uint32_t repetitions;
  std::vector<Bench> benches;

  // The machine's limits and the phases of a token are the CPU's.
  bool on_cpu() const { return std::string_view(info.device) == "cpu"; }
};

// ---- Tests --------------------------------------------------------------------------------------

std::string decode_name(uint32_t tokens, int32_t sequences, int32_t depth) {
  std::string name = format("tg%u", tokens);
  if (sequences > 1) name += format("x%d", sequences);
  if (depth > 0) name += format("@%d", depth);
  return name;
}

// Each depth has sequences of its own, so that its prompts are read only once.
void add_decode_tests(const Plan& plan, std::vector<Series>& series) {
  const int32_t most = *std::max_element(plan.sequences.begin(), plan.sequences.end());
  int32_t first_sequence = 1;
  for (int32_t depth : plan.depths) {
    for (int32_t sequences : plan.sequences) {
      BenchTest test = {};
      test.kind = BenchTest::decode;
      test.name = decode_name(plan.decode_tokens, sequences, depth);
      test.tokens = plan.decode_tokens;
      test.sequences = sequences;
      test.first_sequence = first_sequence;
      test.depth = static_cast<uint32_t>(depth);
      test.logits = plan.logits;
      series.push_back({test, {}, {}});
    }
    first_sequence += most;
  }
}

// Those behind a prompt are held against those without one.
void find_baselines(std::vector<Series>& series) {
  for (Series& s : series) {
    for (size_t i = 0; i < series.size() && s.test.depth > 0; ++i) {
      const BenchTest& other = series[i].test;
      if (other.kind == s.test.kind && other.depth == 0 && other.sequences == s.test.sequences) {
        s.baseline = i;
      }
    }
  }
}

void add_reply_tests(const Plan& plan, std::vector<Series>& series) {
  for (const ReplyKind& text : reply_kinds) {
    BenchTest test = {};
    test.kind = BenchTest::reply;
    test.name = text.name + std::to_string(plan.decode_tokens);
    test.tokens = plan.decode_tokens;
    test.text = &text;
    test.drafts = -1;
    series.push_back({test, {}, {}});
    test.drafts = 0;
    series.push_back({test, {}, series.size() - 1});
  }
}

std::vector<Series> series_of(const Plan& plan) {
  std::vector<Series> series;
  if (plan.prefill_tokens > 0) {
    BenchTest test = {};
    test.kind = BenchTest::prefill;
    test.name = format("pp%u", plan.prefill_tokens);
    test.tokens = plan.prefill_tokens;
    series.push_back({test, {}, {}});
  }
  if (plan.decode_tokens > 0) add_decode_tests(plan, series);
  find_baselines(series);
  if (plan.drafts) add_reply_tests(plan, series);
  return series;
}

uint32_t clamped(uint64_t number) {
  return static_cast<uint32_t>(std::min<uint64_t>(number, UINT32_MAX));
}

// Room for all tests at once: sequence 0 for prefill and replies, those of each depth for decode.
void make_room(const Plan& plan, Settings& settings) {
  constexpr uint64_t page = 64;  // positions of a sequence are rounded up to these
  const auto rounded = [](uint64_t positions) { return (positions + page - 1) / page * page; };
  const auto most =
      static_cast<uint64_t>(*std::max_element(plan.sequences.begin(), plan.sequences.end()));
  uint64_t first = plan.prefill_tokens;
  for (const ReplyKind& text : reply_kinds) {
    if (plan.drafts) first = std::max(first, reply_positions(text, plan.decode_tokens));
  }
  uint64_t positions = rounded(first);
  for (int32_t depth : plan.depths) {
    positions += most * rounded(static_cast<uint64_t>(depth) + plan.decode_tokens);
  }
  settings.positions = clamped(positions);
  settings.sequences = clamped(1 + most * plan.depths.size());
}

// Before long prompts are read in vain.
void check_depths(const Plan& plan, const bitnet_model_info& info) {
  for (int32_t depth : plan.depths) {
    const int64_t needed = int64_t{depth} + plan.decode_tokens;
    if (plan.decode_tokens == 0 || needed <= info.context_length) continue;
    throw Failure(format("%s needs %lld positions; the model's context length is %d",
                         decode_name(plan.decode_tokens, 1, depth).c_str(),
                         static_cast<long long>(needed), info.context_length));
  }
}

Bench open_bench(const bitnet_model* model, const Plan& plan, Settings settings, int32_t threads) {
  settings.threads = threads;
  make_room(plan, settings);
  Context ctx = open_context(model, settings);
  const int32_t threads_used = context_stats(ctx.get()).threads;
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_sampler* greedy = nullptr;
  check(bitnet_sampler_open(nullptr, &greedy, &why), why);
  const auto vocab_size = static_cast<uint64_t>(model_info(model).vocab_size);
  return {{model, std::move(ctx), Sampler(greedy), vocab_size}, threads_used, series_of(plan), {}};
}

// ---- Measuring ----------------------------------------------------------------------------------

bitnet_machine_limits machine_limits(int32_t threads, const std::string& isa) {
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_machine_limits limits = BITNET_MACHINE_LIMITS_INIT;
  limits.threads = threads;
  limits.isa = isa.empty() ? nullptr : isa.c_str();
  check(bitnet_machine_measure(&limits, &why), why);
  return limits;
}

void measure_machine(std::vector<Bench>& benches, const std::string& isa) {
  for (Bench& bench : benches) bench.limits.push_back(machine_limits(bench.threads, isa));
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

// Multiply-adds of one token in the layers' projections, where nearly all the work of a batch is:
// the head and attention are left out.
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

void check_same_text(const Series& with, const Series& without) {
  if (with.test.kind != BenchTest::reply ||
      with.runs.back().written == without.runs.back().written) {
    return;
  }
  throw Failure(with.test.name +
                ": tokens tried ahead have changed the text, which they never may");
}

// One run of every test.
void take_turns(Bench& bench, ProgressBar& progress, double& done, double step) {
  for (Series& series : bench.series) {
    series.runs.push_back(run_test(bench.subject, series.test));
    if (series.baseline) check_same_text(series, bench.series[*series.baseline]);
    progress.draw(done += step);
  }
}

Report measure(const bitnet_model* model, const Plan& plan, const Settings& settings) {
  Report report = {model_info(model), macs_per_token(model), 0, plan.repetitions, {}};
  check_depths(plan, report.info);
  ProgressBar progress("measuring");
  double done = 0;
  const double step = 1.0 / static_cast<double>(plan.threads.size() * series_of(plan).size() *
                                                (uint64_t{plan.repetitions} + 1));
  for (int32_t threads : plan.threads) {
    Bench& bench = report.benches.emplace_back(open_bench(model, plan, settings, threads));
    take_turns(bench, progress, done, step);
    for (Series& series : bench.series) series.runs.clear();
    if (report.benches.size() == 1) report.peak_rss_mb = peak_rss_mb();
  }
  if (report.on_cpu()) measure_machine(report.benches, settings.isa);
  Clock::time_point measured = Clock::now();
  for (uint32_t i = 0; i < plan.repetitions; ++i) {
    for (Bench& bench : report.benches) take_turns(bench, progress, done, step);
    const bool last = i + 1 == plan.repetitions;
    if (!report.on_cpu()) continue;
    if (!last && Clock::now() - measured < std::chrono::seconds(30)) continue;
    measure_machine(report.benches, settings.isa);
    measured = Clock::now();
  }
  return report;
}

// ---- Figures ------------------------------------------------------------------------------------

struct Spread {
  double min, median, max;
};

Spread spread_of(std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  const size_t middle = numbers.size() / 2;
  const double median =
      numbers.size() % 2 == 1 ? numbers[middle] : (numbers[middle - 1] + numbers[middle]) / 2;
  return {numbers.front(), median, numbers.back()};
}

Spread speeds(const Series& series) {
  std::vector<double> speeds;
  for (const BenchRun& run : series.runs) speeds.push_back(run.speed());
  return spread_of(speeds);
}

Spread limits(const std::vector<bitnet_machine_limits>& measured,
              double bitnet_machine_limits::*limit) {
  std::vector<double> numbers;
  for (const bitnet_machine_limits& each : measured) numbers.push_back(each.*limit);
  return spread_of(numbers);
}
Spread stream_of(const Bench& bench) {
  return limits(bench.limits, &bitnet_machine_limits::stream_gb_per_s);
}
Spread int8_of(const Bench& bench) {
  return limits(bench.limits, &bitnet_machine_limits::int8_gmac_per_s);
}

// What a median speed needs of the machine, and as a share of what it has, if that was measured.
// Decoding a model that fits the processor's caches can exceed 1.
struct Need {
  double per_second;  // 10^9 of its unit
  std::optional<double> share;
};

Need need_of(double rate, const Bench& bench, double bitnet_machine_limits::*limit) {
  if (bench.limits.empty()) return {rate, {}};
  return {rate, rate / limits(bench.limits, limit).max};
}

// Of a batch of several sequences: every weight is read at least once.
Need bandwidth_of(const Report& report, const Bench& bench, const Series& series) {
  const double passes = speeds(series).median / series.test.sequences;
  const double rate = static_cast<double>(report.info.bytes_per_token) * passes * 1e-9;
  return need_of(rate, bench, &bitnet_machine_limits::stream_gb_per_s);
}

Need multiply_adds_of(const Report& report, const Bench& bench, const Series& series) {
  const double rate = report.macs_per_token * speeds(series).median * 1e-9;
  return need_of(rate, bench, &bitnet_machine_limits::int8_gmac_per_s);
}

double ratio(const Series& series, const Series& baseline) {
  std::vector<double> ratios;
  for (size_t i = 0; i < series.runs.size(); ++i) {
    ratios.push_back(series.runs[i].speed() / baseline.runs[i].speed());
  }
  return spread_of(ratios).median;
}

// Where the time of a token goes, in the run of median speed (of an even number, the faster of the
// two in the middle).
struct Phases {
  double ms, weights_ms, attention_ms, rest_ms;  // the first is the sum of the others
  double weights_gb_per_s, weights_share;        // while they are read
};

// Contexts take these times only of batches with one entry, and not with a device.
bool has_phases(const Report& report, const Series& series) {
  return report.on_cpu() && series.test.kind == BenchTest::decode && series.test.sequences == 1;
}

Phases phases_of(const Report& report, const Bench& bench, const Series& series) {
  std::vector<const BenchRun*> runs;
  for (const BenchRun& run : series.runs) runs.push_back(&run);
  std::sort(runs.begin(), runs.end(),
            [](const BenchRun* a, const BenchRun* b) { return a->speed() < b->speed(); });
  const BenchRun& run = *runs[runs.size() / 2];
  const auto tokens = static_cast<double>(run.tokens);
  Phases p = {};
  p.ms = 1e3 * run.seconds / tokens;
  p.weights_ms = 1e3 * run.work.weight_seconds / tokens;
  p.attention_ms = 1e3 * run.work.attention_seconds / tokens;
  p.rest_ms = p.ms - p.weights_ms - p.attention_ms;
  p.weights_gb_per_s = static_cast<double>(report.info.bytes_per_token) / p.weights_ms * 1e-6;
  p.weights_share = p.weights_gb_per_s / stream_of(bench).max;
  return p;
}

uint64_t total(const Series& series, uint64_t BenchRun::*count) {
  uint64_t sum = 0;
  for (const BenchRun& run : series.runs) sum += run.*count;
  return sum;
}
uint64_t total(const Series& series, uint64_t bitnet_ctx_stats::*count) {
  uint64_t sum = 0;
  for (const BenchRun& run : series.runs) sum += run.work.*count;
  return sum;
}

// Rows of the head computed to pick a token: all, unless it is screened. Those screened tokens that
// needed every row after all have them counted among their rows.
double head_rows_per_token(const Report& report, const Series& series) {
  const uint64_t tokens = total(series, &bitnet_ctx_stats::screened_tokens);
  if (tokens == 0) return report.info.vocab_size;
  return static_cast<double>(total(series, &bitnet_ctx_stats::screened_rows)) /
         static_cast<double>(tokens);
}

const char* weights_name(const bitnet_model_info& info) {
  switch (info.weights) {
    case BITNET_WEIGHTS_2BIT:
      return "2bit";
    case BITNET_WEIGHTS_BASE3:
      return "base3";
    case BITNET_WEIGHTS_FILE:
      return "file";
    default:
      return "";
  }
}

const char* head_name(const bitnet_model_info& info) {
  return info.head == BITNET_HEAD_SCREENED ? "screened" : "full";
}

// The machine's limits over all numbers of threads.
std::vector<bitnet_machine_limits> all_limits(const Report& report) {
  std::vector<bitnet_machine_limits> all;
  for (const Bench& bench : report.benches) {
    all.insert(all.end(), bench.limits.begin(), bench.limits.end());
  }
  return all;
}

// ---- Text ---------------------------------------------------------------------------------------

std::string full_name(const Series& series) {
  const bool plain = series.test.kind == BenchTest::reply && series.test.drafts < 0;
  return series.test.name + (plain ? " no drafts" : "");
}

std::string bandwidth_text(const Need& need) {
  if (!need.share) return format("%.1f GB/s", need.per_second);
  return format("%.0f %% of its bandwidth (%.1f GB/s)", 100 * *need.share, need.per_second);
}
std::string multiply_adds_text(const Need& need) {
  if (!need.share) return format("%.1f G multiply-adds/s", need.per_second);
  return format("%.0f %% of its multiply-adds (%.1f G/s)", 100 * *need.share, need.per_second);
}

std::string remark(const Report& report, const Bench& bench, const Series& series) {
  std::string text;
  if (series.test.kind == BenchTest::prefill) {
    text = multiply_adds_text(multiply_adds_of(report, bench, series));
  } else if (series.test.kind == BenchTest::decode) {
    text = bandwidth_text(bandwidth_of(report, bench, series));
    if (series.test.sequences > 1) {
      text += ", " + multiply_adds_text(multiply_adds_of(report, bench, series));
    }
  }
  if (!series.baseline) return text;
  const Series& baseline = bench.series[*series.baseline];
  if (!text.empty()) text += "; ";
  text += format("%.2f of %s", ratio(series, baseline), full_name(baseline).c_str());
  if (series.test.kind == BenchTest::reply) {
    text += format(", %llu of %llu drafts right",
                   static_cast<unsigned long long>(total(series, &BenchRun::accepted)),
                   static_cast<unsigned long long>(total(series, &BenchRun::drafted)));
  }
  return text;
}

void print_machine(const Report& report) {
  if (!report.on_cpu()) return print(format("the device: %s\n", report.info.device));
  for (const Bench& bench : report.benches) {
    const Spread stream = stream_of(bench), int8 = int8_of(bench);
    print(
        format("the machine, %d threads: %.1f GB/s from memory, %.1f G int8 multiply-adds/s (the "
               "best of %zu; the worst %.1f and %.1f)\n",
               bench.threads, stream.max, int8.max, bench.limits.size(), stream.min, int8.min));
  }
}

void print_speeds(const Report& report) {
  print("\ntest                threads   tokens/s        min        max   share of the machine\n");
  for (const Bench& bench : report.benches) {
    for (const Series& series : bench.series) {
      const Spread speed = speeds(series);
      print(format("%-19s %7d %10.1f %10.1f %10.1f   %s\n", full_name(series).c_str(),
                   bench.threads, speed.median, speed.min, speed.max,
                   remark(report, bench, series).c_str()));
    }
  }
}

void print_phases(const Report& report, const Bench& bench) {
  for (const Series& series : bench.series) {
    if (!has_phases(report, series)) continue;
    const Phases p = phases_of(report, bench, series);
    print(format(
        "%-19s %7d %10.3f %10.3f %10.3f %10.3f   %.1f GB/s, %.0f %%; %.1f rows of the "
        "head\n",
        series.test.name.c_str(), bench.threads, p.ms, p.weights_ms, p.attention_ms, p.rest_ms,
        p.weights_gb_per_s, 100 * p.weights_share, head_rows_per_token(report, series)));
  }
}

void print_text(const Report& report) {
  const bitnet_model_info& info = report.info;
  print(format("%s (%s), %s: loaded in %.2f s, %.1f MB at most\n", printable(info.name).c_str(),
               info.family, info.isa, info.load_seconds, report.peak_rss_mb));
  print(format("weights %s, head %s: %.3f MB of weights read per token\n", weights_name(info),
               head_name(info), static_cast<double>(info.bytes_per_token) * 1e-6));
  print_machine(report);
  print_speeds(report);
  const auto& first = report.benches.front().series;
  const auto with_phases = [&](const Series& series) { return has_phases(report, series); };
  if (std::none_of(first.begin(), first.end(), with_phases)) return;
  print(
      "\nms of a token       threads        all    weights  attention       rest   weights "
      "alone\n");
  for (const Bench& bench : report.benches) print_phases(report, bench);
}

// ---- JSON ---------------------------------------------------------------------------------------

void put_phases(cJSON* item, const Report& report, const Bench& bench, const Series& series) {
  const Phases p = phases_of(report, bench, series);
  put(item, "ms_per_token", p.ms);
  put(item, "weights_ms", p.weights_ms);
  put(item, "attention_ms", p.attention_ms);
  put(item, "rest_ms", p.rest_ms);
  put(item, "weights_gb_per_s", p.weights_gb_per_s);
  put(item, "weights_stream_share", p.weights_share);
}

void put_head(cJSON* item, const Report& report, const Series& series) {
  put(item, "head_rows_per_token", head_rows_per_token(report, series));
  put(item, "screened_tokens", total(series, &bitnet_ctx_stats::screened_tokens));
  put(item, "screened_full_tokens", total(series, &bitnet_ctx_stats::full_tokens));
  put(item, "screened_bound", series.runs.back().work.screened_bound);
}

void put_decode(cJSON* item, const Report& report, const Bench& bench, const Series& series) {
  const Need bandwidth = bandwidth_of(report, bench, series);
  if (bandwidth.share) put(item, "stream_share", *bandwidth.share);
  put(item, "gb_per_s", bandwidth.per_second);
  put(item, "sequences", series.test.sequences);
  put(item, "depth", series.test.depth);
  put_head(item, report, series);
  if (has_phases(report, series)) put_phases(item, report, bench, series);
}

void put_reply(cJSON* item, const Series& series) {
  cJSON_AddBoolToObject(item, "drafts", series.test.drafts >= 0);
  put(item, "drafted", total(series, &BenchRun::drafted));
  put(item, "accepted", total(series, &BenchRun::accepted));
}

void put_result(cJSON* item, const Report& report, const Bench& bench, const Series& series) {
  const Spread speed = speeds(series);
  put_text(item, "test", series.test.name);
  put(item, "threads", bench.threads);
  put(item, "tokens", series.test.tokens);
  put(item, "median", speed.median);
  put(item, "min", speed.min);
  put(item, "max", speed.max);
  if (series.test.kind == BenchTest::decode) put_decode(item, report, bench, series);
  if (series.test.kind == BenchTest::reply) put_reply(item, series);
  if (series.test.kind != BenchTest::reply) {
    const Need need = multiply_adds_of(report, bench, series);
    if (need.share) put(item, "int8_share", *need.share);
    put(item, "gmac_per_s", need.per_second);
  }
  if (!series.baseline) return;
  put_text(item, "ratio_to", full_name(bench.series[*series.baseline]));
  put(item, "ratio", ratio(series, bench.series[*series.baseline]));
}

void put_machine(cJSON* item, const Bench& bench) {
  const Spread stream = stream_of(bench), int8 = int8_of(bench);
  put(item, "threads", bench.threads);
  put(item, "measured", bench.limits.size());
  put(item, "stream_gb_per_s", stream.max);
  put(item, "stream_gb_per_s_median", stream.median);
  put(item, "stream_gb_per_s_min", stream.min);
  put(item, "int8_gmac_per_s", int8.max);
  put(item, "int8_gmac_per_s_median", int8.median);
  put(item, "int8_gmac_per_s_min", int8.min);
}

cJSON* add_object(cJSON* array) {
  cJSON* item = cJSON_CreateObject();
  cJSON_AddItemToArray(array, item);
  return item;
}

void put_memory(cJSON* root, const Report& report) {
  const bitnet_ctx_stats context = context_stats(report.benches.front().subject.ctx.get());
  put(root, "peak_rss_mb", report.peak_rss_mb);
  put(root, "file_bytes", report.info.file_bytes);
  put(root, "weight_bytes", report.info.weight_bytes);
  put(root, "cache_bytes", context.cache_bytes);
  put(root, "work_bytes", context.work_bytes);
}

void print_as_json(const Report& report) {
  const bitnet_model_info& info = report.info;
  const Json root(cJSON_CreateObject());
  put_text(root.get(), "version", bitnet_version_string());
  put_text(root.get(), "model", info.name);
  put_text(root.get(), "family", info.family);
  put_text(root.get(), "device", info.device);
  put_text(root.get(), "isa", info.isa);
  put_text(root.get(), "weights", weights_name(info));
  put_text(root.get(), "head", head_name(info));
  put(root.get(), "repetitions", report.repetitions);
  cJSON* results = cJSON_AddArrayToObject(root.get(), "results");
  cJSON* machine = cJSON_AddArrayToObject(root.get(), "machine");
  for (const Bench& bench : report.benches) {
    for (const Series& series : bench.series) {
      put_result(add_object(results), report, bench, series);
    }
    if (report.on_cpu()) put_machine(add_object(machine), bench);
  }
  put(root.get(), "bytes_per_token", info.bytes_per_token);
  put(root.get(), "macs_per_token", report.macs_per_token);
  if (const auto all = all_limits(report); !all.empty()) {
    put(root.get(), "stream_gb_per_s", limits(all, &bitnet_machine_limits::stream_gb_per_s).max);
    put(root.get(), "int8_gmac_per_s", limits(all, &bitnet_machine_limits::int8_gmac_per_s).max);
  }
  put(root.get(), "load_seconds", info.load_seconds);
  put_memory(root.get(), report);
  print_json(root.get());
}

// ---- The command line ---------------------------------------------------------------------------

void check_list(const char* option, const std::vector<int32_t>& list, int32_t least) {
  if (!list.empty() && *std::min_element(list.begin(), list.end()) >= least) return;
  throw UsageError(format("option %s: expected numbers of at least %d, found '%s'", option, least,
                          join(list, ",").c_str()));
}

void check_plan(const Plan& plan, const Settings& settings) {
  if (plan.repetitions == 0) throw UsageError("option -r: expected at least 1");
  if (plan.prefill_tokens == 0 && plan.decode_tokens == 0) {
    throw UsageError("with -p 0 and -n 0 there is nothing to measure");
  }
  check_list("-t", plan.threads, 0);
  check_list("-s", plan.sequences, 1);
  check_list("-d", plan.depths, 0);
  if (plan.drafts && plan.decode_tokens < 2) {
    throw UsageError("option --drafts: expected -n 2 or more, found -n " +
                     std::to_string(plan.decode_tokens));
  }
  if (plan.logits && settings.head == "screened") {
    throw UsageError("option --logits: computes every row of the head, found --head screened");
  }
}

}  // namespace

int bench(Arguments arguments) {
  Settings settings;
  Plan plan;

  Options options(
      "bench", "[options]",
      "Measures tokens per second: pp (prefill), a prompt read in one call; tg (decode),\n"
      "text made token by token; with --drafts, replies with and without tokens tried\n"
      "ahead. Median, smallest and largest of the repetitions, in which all tests take\n"
      "turns, and the share of what the machine can do at best, measured in the same run.",
      "  bitnet bench -m model.gguf -t 1,2\n"
      "  bitnet bench -m model.gguf -p 0 -n 64 -d 0,3500 -r 10 --json\n"
      "  bitnet bench -m model.gguf -p 0 -s 1,4,16,64 --drafts\n");
  options.value("-p", "N", &plan.prefill_tokens, "tokens of prefill; 0: none (default: 512)");
  options.value("-n", "N", &plan.decode_tokens, "tokens of decode; 0: none (default: 128)");
  options.value("-s, --sequences", "LIST", &plan.sequences,
                "sequences decoded together, a token of each at a time (default: 1)");
  options.value("-d, --depth", "LIST", &plan.depths,
                "positions each sequence holds before decode begins (default: 0)");
  options.flag("--logits", &plan.logits, "decode computes all logits, not only what a pick needs");
  options.flag("--drafts", &plan.drafts,
               "also replies that copy their prompt, go in circles, and do neither");
  options.value("-r", "N", &plan.repetitions, "repetitions (default: 5)");
  options.value("-t, --threads", "LIST", &plan.threads,
                "numbers of threads, 1,2,...; 0 (default): one for each core");
  options.flag("--json", &plan.json, "one JSON object");
  add_model_options(options, settings);
  options.value("--batch", "N", &settings.batch, "tokens computed at once; 0 (default): 256");
  const auto words = options.parse(arguments);
  if (!words) return 0;
  refuse_words(*words);
  check_plan(plan, settings);
  // No copy of a head is made that nothing would read.
  if (plan.logits) settings.head = "full";

  const Model model = open_model(settings);
  const Report report = measure(model.get(), plan, settings);
  if (plan.json) {
    print_as_json(report);
  } else {
    print_text(report);
  }
  flush();
  return 0;
}

}  // namespace cli
