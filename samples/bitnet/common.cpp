#include "common.h"

#include <optional>
#include <utility>

#include "embedded_model.h"

namespace cli {
namespace {

// A bitnet_progress_fn; user is a ProgressBar.
int show_progress(void* user, double done) {
  static_cast<ProgressBar*>(user)->draw(done);
  return 0;
}

// A bitnet_log_fn.
void show_log(void*, bitnet_log_level level, const char* text) {
  if (level > BITNET_LOG_WARNING) return;
  note(format("bitnet: %s: %s\n", level == BITNET_LOG_WARNING ? "warning" : "error", text));
}

// The library's number for a word of the command line; an empty word is the library's default, 0.
int32_t choose(const std::string& option, const std::string& word,
               std::initializer_list<std::pair<const char*, int32_t>> choices) {
  if (word.empty()) return 0;
  std::string known;
  for (const auto& [name, number] : choices) {
    if (word == name) return number;
    known += known.empty() ? name : std::string(", ") + name;
  }
  throw UsageError("option " + option + ": expected one of " + known + ", found '" + word + "'");
}

const char* null_if_empty(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

}  // namespace

ProgressBar::~ProgressBar() {
  if (drawn_) note("\r\x1b[K");
}

void ProgressBar::draw(double done) {
  // What is quick needs no bar.
  constexpr auto quick = std::chrono::milliseconds(500);
  if (!visible_ || std::chrono::steady_clock::now() - start_ < quick) return;
  constexpr int width = 40;
  const auto filled = static_cast<size_t>(done * width);
  const std::string bar = std::string(filled, '#') + std::string(width - filled, '.');
  note(format("\r%s [%s] %3.0f%%", label_, bar.c_str(), 100 * done));
  drawn_ = true;
}

void add_model_path(Options& options, Settings& settings) {
  options.value("-m, --model", "FILE", &settings.model,
                "the model: a GGUF file; without it, the small one built in");
}

void add_model_options(Options& options, Settings& settings) {
  add_model_path(options, settings);
  options.value("--isa", "NAME", &settings.isa,
                "instruction set: reference, baseline, avx2, ...; default: the best here");
  options.value("--device", "NAME", &settings.device,
                "auto (default), cpu, cuda, cuda:1, ...; see bitnet devices");
  options.flag("--strict", &settings.strict, "tolerated defects and fallbacks are errors");
  options.flag("--read", &settings.read, "read the file into memory instead of mapping it");
  options.value("--i2s-layout", "NAME", &settings.i2s_layout,
                "how I2_S codes lie: 128 (default), 64, 4row");
  options.value("--activation", "NAME", &settings.activation,
                "relu2 or silu, instead of what the file says");
  options.value("--weights", "NAME", &settings.weights,
                "how weights are kept: auto (default), 2bit, base3, file (as they lie there)");
  options.value("--head", "NAME", &settings.head,
                "how tokens are picked: auto (default), full, screened");
}

void add_threads(Options& options, Settings& settings) {
  options.value("-t, --threads", "N", &settings.threads, "threads; 0 (default): one for each core");
}

void add_context_options(Options& options, Settings& settings) {
  options.value("--ctx", "N", &settings.positions,
                "positions of the context; 0 (default): what the model was trained for");
  options.value("--batch", "N", &settings.batch,
                "tokens of the prompt computed at once; 0 (default): 256");
}

Model open_model(const Settings& settings, uint32_t flags) {
  bitnet_model_options options = BITNET_MODEL_OPTIONS_INIT;
  options.flags = flags;
  if (settings.strict) options.flags |= BITNET_MODEL_STRICT;
  if (settings.read) options.flags |= BITNET_MODEL_READ;
  options.device = null_if_empty(settings.device);
  options.isa = null_if_empty(settings.isa);
  options.threads = settings.threads;
  options.i2s_layout =
      choose("--i2s-layout", settings.i2s_layout,
             {{"128", BITNET_I2S_128}, {"64", BITNET_I2S_64}, {"4row", BITNET_I2S_4ROW}});
  options.activation =
      choose("--activation", settings.activation,
             {{"relu2", BITNET_ACTIVATION_RELU2}, {"silu", BITNET_ACTIVATION_SILU}});
  options.weights = choose("--weights", settings.weights,
                           {{"auto", BITNET_WEIGHTS_AUTO},
                            {"2bit", BITNET_WEIGHTS_2BIT},
                            {"base3", BITNET_WEIGHTS_BASE3},
                            {"file", BITNET_WEIGHTS_FILE}});
  options.head = choose(
      "--head", settings.head,
      {{"auto", BITNET_HEAD_AUTO}, {"full", BITNET_HEAD_FULL}, {"screened", BITNET_HEAD_SCREENED}});
  options.log = show_log;

  ProgressBar bar("loading");
  options.progress = show_progress;
  options.progress_user = &bar;

  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_model* model = nullptr;
  if (settings.model.empty()) {
    const auto bytes = embedded_model();
    check(bitnet_model_open_memory(bytes.data(), bytes.size(), &options, &model, &why), why);
  } else {
    check(bitnet_model_open(settings.model.c_str(), &options, &model, &why), why);
  }
  return Model(model);
}

bitnet_model_info model_info(const bitnet_model* model) {
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_model_info info = BITNET_MODEL_INFO_INIT;
  check(bitnet_model_get_info(model, &info, &why), why);
  return info;
}

Context open_context(const bitnet_model* model, const Settings& settings) {
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_ctx_options options = BITNET_CTX_OPTIONS_INIT;
  options.positions = settings.positions;
  options.batch = settings.batch;
  options.threads = settings.threads;
  options.sequences = settings.sequences;
  bitnet_ctx* ctx = nullptr;
  check(bitnet_ctx_open(model, &options, &ctx, &why), why);
  return Context(ctx);
}

bitnet_ctx_stats context_stats(const bitnet_ctx* ctx) {
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_ctx_stats stats = BITNET_CTX_STATS_INIT;
  check(bitnet_ctx_get_stats(ctx, &stats, &why), why);
  return stats;
}

std::vector<int32_t> tokenize(const bitnet_model* model, std::string_view text, uint32_t flags) {
  bitnet_error why = BITNET_ERROR_INIT;
  // The library promises no more tokens than this, which saves tokenizing twice.
  std::vector<int32_t> tokens(text.size() + 2);
  uint64_t count = 0;
  check(bitnet_tokenize(model, text.data(), text.size(), flags, tokens.data(), tokens.size(),
                        &count, &why),
        why);
  tokens.resize(count);
  return tokens;
}

}  // namespace cli
