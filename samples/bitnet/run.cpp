// bitnet run: continues a text.
#include "commands.h"
#include "generate.h"

namespace cli {
namespace {

struct Request {
  std::optional<std::string> prompt;
  std::vector<int32_t> tokens;
  bool ids = false;
  std::string receipt;
};

bitnet_generate_options prompt_of(const Request& request) {
  bitnet_generate_options options = BITNET_GENERATE_OPTIONS_INIT;
  if (request.prompt) {
    options.prompt = request.prompt->c_str();
  } else {
    options.tokens = request.tokens.data();
    options.token_count = request.tokens.size();
  }
  return options;
}

// Prints the text piece by piece, or with `ids` the numbers of its tokens at the end.
void print_reply(bitnet_generator* generator, bool ids) {
  bitnet_error why = BITNET_ERROR_INIT;
  const char* piece = nullptr;
  uint64_t bytes = 0;
  bitnet_status status;
  while ((status = bitnet_generate_next(generator, &piece, &bytes, &why)) == BITNET_OK) {
    if (ids) continue;
    print({piece, bytes});
    flush();
  }
  if (status != BITNET_DONE) check(status, why);
  if (ids) {
    const bitnet_generate_info info = generator_info(generator);
    print(join({info.tokens, info.tokens + info.token_count}, ","));
  }
  print("\n");
  flush();
}

void write_receipt(const bitnet_ctx* ctx, const std::string& path) {
  const auto receipt = query_then_fill<std::string>(
      [&](char* buffer, uint64_t capacity, uint64_t* bytes, bitnet_error* why) {
        return bitnet_ctx_receipt(ctx, buffer, capacity, bytes, why);
      });
  OutputFile file(path);
  file.write(receipt.data(), receipt.size());
  file.close();
}

}  // namespace

int run(Arguments arguments) {
  Settings settings;
  GenerationSettings generation;
  generation.max_tokens = 128;
  Request request;

  Options options("run", "(-p TEXT | --tokens IDS) [options]",
                  "Continues a text and prints the continuation.",
                  "  bitnet run -p 'The capital of France is' -n 16\n"
                  "  bitnet run -m model.gguf -p 'Once upon a time' --temp 0.8 --seed 7\n"
                  "  bitnet run --tokens 1,2,3 -n 8 --ids\n");
  options.value("-p, --prompt", "TEXT", &request.prompt,
                "the text; control tokens in it are parsed");
  options.value("--tokens", "IDS", &request.tokens, "the text as tokens: 1,2,3");
  options.flag("--ids", &request.ids, "print only the ids of the tokens: 4,5,6");
  add_model_options(options, settings);
  add_threads(options, settings);
  add_context_options(options, settings);
  add_generation_options(options, generation);
  options.value("--receipt", "FILE", &request.receipt, "write what was computed, and how, as JSON");
  const auto words = options.parse(arguments);
  if (!words) return 0;
  refuse_words(*words);
  if (request.prompt.has_value() != request.tokens.empty()) {
    throw UsageError("give either -p TEXT or --tokens IDS");
  }

  const Model model = open_model(settings);
  const Context ctx = open_context(model.get(), settings);
  const Generator generator = open_generator(ctx.get(), generation, prompt_of(request));
  print_reply(generator.get(), request.ids);
  if (generation.stats) note_speed(generator.get());
  if (!request.receipt.empty()) write_receipt(ctx.get(), request.receipt);
  return 0;
}

}  // namespace cli
