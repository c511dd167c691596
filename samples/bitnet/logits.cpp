// bitnet logits: what the model computes for each token, for other programs to compare.
#include <algorithm>
#include <bit>

#include "commands.h"
#include "common.h"

namespace cli {
namespace {

static_assert(std::endian::native == std::endian::little, "the file's numbers are little-endian");

constexpr size_t default_batch = 128;

// Decodes the tokens batch by batch, so that the memory for logits stays that of one batch, and
// writes [count][vocab_size] floats.
void write_logits(bitnet_ctx* ctx, const std::vector<int32_t>& tokens, size_t batch,
                  size_t vocab_size, OutputFile& file) {
  bitnet_error why = BITNET_ERROR_INIT;
  std::vector<bitnet_batch_entry> entries;
  for (size_t start = 0; start < tokens.size(); start += entries.size()) {
    entries.clear();
    for (size_t i = start; i < std::min(start + batch, tokens.size()); ++i) {
      entries.push_back({tokens[i], static_cast<int32_t>(i), 0, BITNET_WANT_LOGITS});
    }
    check(bitnet_ctx_decode(ctx, entries.data(), entries.size(), &why), why);
    for (size_t i = 0; i < entries.size(); ++i) {
      const float* row = nullptr;
      check(bitnet_ctx_logits(ctx, i, &row, &why), why);
      file.write(row, vocab_size * sizeof(float));
    }
  }
}

}  // namespace

int logits(Arguments arguments) {
  Settings settings;
  std::vector<int32_t> tokens;
  std::string output;

  Options options("logits", "--tokens IDS -o FILE [options]",
                  "Computes the logits that follow each of the tokens and writes them as raw\n"
                  "little-endian float32, [tokens][vocabulary].",
                  "  bitnet logits --tokens 1,2,3 -o logits.f32\n"
                  "  bitnet logits -m model.gguf --tokens 1,2,3 -o logits.f32 --isa reference\n");
  options.value("--tokens", "IDS", &tokens, "the tokens: 1,2,3");
  options.value("-o, --output", "FILE", &output, "the file to write");
  add_model_options(options, settings);
  add_threads(options, settings);
  options.value("--batch", "N", &settings.batch, "tokens computed at once (default: 256)");
  const auto words = options.parse(arguments);
  if (!words) return 0;
  refuse_words(*words);
  if (tokens.empty()) throw UsageError("give --tokens IDS");
  if (output.empty()) throw UsageError("give -o FILE");

  const Model model = open_model(settings);
  settings.positions = static_cast<uint32_t>(tokens.size());
  const Context ctx = open_context(model.get(), settings);
  OutputFile file(output);
  const size_t batch = settings.batch == 0 ? default_batch : settings.batch;
  write_logits(ctx.get(), tokens, batch, static_cast<size_t>(model_info(model.get()).vocab_size),
               file);
  file.close();
  return 0;
}

}  // namespace cli
