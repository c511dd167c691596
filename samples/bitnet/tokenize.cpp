// bitnet tokenize: text to the numbers of its tokens.
#include "commands.h"
#include "common.h"

namespace cli {
namespace {

// One token a line: its number, a tab, the text it stands for.
void print_pieces(const bitnet_model* model, const std::vector<int32_t>& tokens) {
  bitnet_error why = BITNET_ERROR_INIT;
  for (int32_t token : tokens) {
    const char* piece = nullptr;
    uint64_t bytes = 0;
    check(bitnet_token_piece(model, token, BITNET_DETOKENIZE_SPECIAL, &piece, &bytes, &why), why);
    print(std::to_string(token) + "\t" + printable({piece, bytes}) + "\n");
  }
}

}  // namespace

int tokenize(Arguments arguments) {
  Settings settings;
  bool bos = false, parse = false, pieces = false;

  Options options("tokenize", "[FILE] [options]",
                  "Prints the ids of a text's tokens, separated by blanks. The text is a file or\n"
                  "standard input, taken byte for byte, its last newline included.",
                  "  printf 'Hello, world' | bitnet tokenize\n"
                  "  bitnet tokenize -m model.gguf --bos --pieces letter.txt\n");
  add_model_path(options, settings);
  options.flag("--bos", &bos, "add what the model wants around a text (a begin token)");
  options.flag("--parse", &parse, "texts of control tokens (\"<|eot_id|>\") become those tokens");
  options.flag("--pieces", &pieces, "one token a line, with the text it stands for");
  const auto words = options.parse(arguments);
  if (!words) return 0;
  if (words->size() > 1) throw UsageError("give one FILE, or none for standard input");

  const std::string text = read_file(words->empty() ? "" : words->front());
  const Model model = open_model(settings, BITNET_MODEL_DESCRIBE);
  uint32_t flags = 0;
  if (bos) flags |= BITNET_TOKENIZE_SPECIAL;
  if (parse) flags |= BITNET_TOKENIZE_PARSE;
  const std::vector<int32_t> tokens = tokenize(model.get(), text, flags);
  if (pieces) {
    print_pieces(model.get(), tokens);
  } else {
    print(join(tokens, " ") + "\n");
  }
  flush();
  return 0;
}

}  // namespace cli
