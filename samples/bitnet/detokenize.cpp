// bitnet detokenize: numbers of tokens to their text.
#include "commands.h"
#include "common.h"

namespace cli {
namespace {

std::vector<int32_t> read_ids(const std::vector<std::string>& words) {
  std::vector<int32_t> ids;
  if (!words.empty()) {
    std::string all;
    for (const std::string& word : words) all += word + " ";
    read_value(all, ids);
    return ids;
  }
  try {
    read_value(read_file(""), ids);
  } catch (const UsageError& error) {
    // The command line was right, its input was not.
    throw Failure(std::string("standard input: ") + error.what());
  }
  return ids;
}

}  // namespace

int detokenize(Arguments arguments) {
  Settings settings;
  bool special = false;

  Options options("detokenize", "[IDS...] [options]",
                  "Prints the text that tokens stand for, byte for byte. The ids are arguments or\n"
                  "standard input, separated by blanks or commas.",
                  "  bitnet detokenize 1,2,3\n"
                  "  bitnet tokenize letter.txt | bitnet detokenize\n");
  add_model_path(options, settings);
  options.flag("--special", &special, "show control tokens as their text");
  const auto words = options.parse(arguments);
  if (!words) return 0;

  const std::vector<int32_t> ids = read_ids(*words);
  const Model model = open_model(settings, BITNET_MODEL_DESCRIBE);
  const uint32_t flags = special ? BITNET_DETOKENIZE_SPECIAL : 0;
  print(query_then_fill<std::string>(
      [&](char* buffer, uint64_t capacity, uint64_t* bytes, bitnet_error* why) {
        return bitnet_detokenize(model.get(), ids.data(), ids.size(), flags, buffer, capacity,
                                 bytes, why);
      }));
  if (is_terminal(Stream::output)) print("\n");
  flush();
  return 0;
}

}  // namespace cli
