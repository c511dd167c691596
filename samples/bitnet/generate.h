// Replies as `run` and `chat` make them: the options both have, and a line about the speed.
#pragma once

#include <string>
#include <vector>

#include "common.h"

namespace cli {

struct GenerationSettings {
  bitnet_sampler_options sampling = BITNET_SAMPLER_OPTIONS_INIT;
  std::vector<std::string> stops;
  uint64_t max_tokens = 0;
  int32_t drafts = 0;
  bool ignore_end = false, special = false, stats = false;
};
void add_generation_options(Options& options, GenerationSettings& settings);

// prompt says what to reply to; the rest of it comes from the settings.
Generator open_generator(bitnet_ctx* ctx, const GenerationSettings& settings,
                         bitnet_generate_options prompt);
bitnet_generate_info generator_info(const bitnet_generator* generator);

// After a reply, on stderr: counts and tokens per second.
void note_speed(const bitnet_generator* generator);

}  // namespace cli
