#include "generate.h"

namespace cli {

void add_generation_options(Options& options, GenerationSettings& settings) {
  const std::string limit = settings.max_tokens == 0 ? "none" : std::to_string(settings.max_tokens);
  options.value("-n", "N", &settings.max_tokens,
                "stop after N tokens; 0: no limit (default: " + limit + ")");
  bitnet_sampler_options& sampling = settings.sampling;
  options.value("--temp", "T", &sampling.temperature, "temperature; 0 (default): greedy");
  options.value("--seed", "S", &sampling.seed,
                "the same seed gives the same text everywhere (default: 0)");
  options.value("--top-k", "K", &sampling.top_k, "draw from the K likeliest tokens; 0: from all");
  options.value("--top-p", "P", &sampling.top_p,
                "draw from the fewest tokens that reach probability P; 0 or 1: all");
  options.value("--min-p", "P", &sampling.min_p,
                "drop tokens below P times the largest probability; 0: none");
  options.value("--repeat-penalty", "X", &sampling.repeat_penalty,
                "weaken tokens seen by this factor; 0 or 1: off");
  options.value("--frequency-penalty", "X", &sampling.frequency_penalty,
                "subtract X for each time a token was seen");
  options.value("--presence-penalty", "X", &sampling.presence_penalty,
                "subtract X once from tokens seen");
  options.value("--penalty-window", "N", &sampling.penalty_window,
                "how many tokens back count as seen; 0: 64; -1: all");
  options.values("--stop", "TEXT", &settings.stops,
                 "end before this text; may be given more than once");
  options.value("--drafts", "N", &settings.drafts,
                "tokens tried ahead where the text repeats; 0 (default): as many as pay; -1: none");
  options.flag("--ignore-end", &settings.ignore_end, "go on when the model ends its text");
  options.flag("--special", &settings.special, "show control tokens");
  options.flag("--stats", &settings.stats, "tokens per second on stderr");
}

Generator open_generator(bitnet_ctx* ctx, const GenerationSettings& settings,
                         bitnet_generate_options prompt) {
  bitnet_error why = BITNET_ERROR_INIT;
  std::vector<const char*> stops;
  for (const std::string& stop : settings.stops) stops.push_back(stop.c_str());
  bitnet_generate_options options = prompt;
  options.sampling = &settings.sampling;
  options.max_tokens = settings.max_tokens;
  options.stop = stops.data();
  options.stop_count = stops.size();
  options.drafts = settings.drafts;
  if (settings.ignore_end) options.flags |= BITNET_GENERATE_IGNORE_END;
  if (settings.special) options.flags |= BITNET_GENERATE_SPECIAL;
  bitnet_generator* generator = nullptr;
  check(bitnet_generate_open(ctx, &options, &generator, &why), why);
  return Generator(generator);
}

bitnet_generate_info generator_info(const bitnet_generator* generator) {
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_generate_info info = BITNET_GENERATE_INFO_INIT;
  check(bitnet_generate_get_info(generator, &info, &why), why);
  return info;
}

void note_speed(const bitnet_generator* generator) {
  const bitnet_generate_info info = generator_info(generator);
  const auto speed = [](uint64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  const uint64_t computed = info.prompt_tokens - info.reused_tokens;
  note(
      format("[%llu tokens, %.1f tokens/s; prompt %llu tokens, %llu of them computed, %.1f "
             "tokens/s]\n",
             static_cast<unsigned long long>(info.token_count),
             speed(info.token_count, info.decode_seconds),
             static_cast<unsigned long long>(info.prompt_tokens),
             static_cast<unsigned long long>(computed), speed(computed, info.prompt_seconds)));
}

}  // namespace cli
