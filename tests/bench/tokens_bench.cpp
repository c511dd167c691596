// Speed of the tokenizers: opening, encoding and decoding, in bytes of text a second.
#include <benchmark/benchmark.h>

#include "../tokens/support.h"

namespace bitnet::test {
namespace {

// English-like, mixed and hostile texts of 1 MiB, always the same.
std::string text_of_kind(int64_t kind) {
  constexpr size_t kBytes = 1 << 20;
  std::mt19937 random(7);
  std::string text;
  if (kind == 2) return std::string(kBytes, 'a');
  // Words of real text: the published cases, and frequent English.
  std::vector<std::string> words;
  for (const char* word :
       {"the",  "of",   "and",   "to",    "in",    "that",  "is",    "was",   "he",   "for",
        "it",   "with", "as",    "his",   "on",    "be",    "at",    "by",    "had",  "not",
        "are",  "but",  "from",  "or",    "have",  "an",    "they",  "which", "one",  "you",
        "were", "her",  "all",   "she",   "there", "would", "their", "we",    "him",  "been",
        "has",  "when", "who",   "will",  "more",  "no",    "if",    "out",   "so",   "said",
        "what", "up",   "its",   "about", "into",  "than",  "them",  "can",   "only", "other",
        "new",  "some", "could", "time",  "these", "two",   "may",   "then",  "do",   "first",
        "any",  "my",   "now",   "such",  "like"}) {
    words.emplace_back(word);
  }
  // A long tail of rarer words, so that no cache holds them all.
  static const char* const parts[] = {"con", "ver",  "sa",  "tion", "al", "re",
                                      "pre", "ment", "ing", "er",   "ly", "in",
                                      "ter", "na",   "bil", "ity",  "ex", "per"};
  for (int i = 0; i < 20000; ++i) {
    std::string word;
    for (size_t n = 2 + random() % 3; n > 0; --n) word += parts[random() % std::size(parts)];
    words.push_back(word);
  }
  while (text.size() < kBytes) {
    if (kind == 1 && random() % 3 == 0) {
      text += random_text(random, 8);
      continue;
    }
    const bool rare = random() % 4 == 0;
    text += words[rare ? random() % words.size() : random() % 75];
    text += random() % 12 == 0 ? (random() % 5 == 0 ? ".\n" : ", ") : " ";
  }
  text.resize(kBytes);
  return text;
}

const char* const kVocabularies[] = {"llama-bpe", "gpt-2", "falcon", "llama-spm"};
const char* const kTexts[] = {"english", "mixed", "one-letter"};

void encode(benchmark::State& state) {
  const auto opened = open_shared(kVocabularies[state.range(0)]);
  if (!opened) return state.SkipWithError("no shared data");
  const std::string text = text_of_kind(state.range(1));
  Vec<int32_t> out;
  for (auto _ : state) {
    out.clear();
    if (!opened->tokenizer->tokenize(text, false, false, out).ok()) state.SkipWithError("failed");
  }
  state.SetBytesProcessed(static_cast<int64_t>(text.size() * state.iterations()));
  state.SetLabel(std::string(kVocabularies[state.range(0)]) + " " + kTexts[state.range(1)]);
  state.counters["tokens"] = static_cast<double>(out.size());
}
BENCHMARK(encode)->ArgsProduct({{0, 1, 2, 3}, {0, 1, 2}})->Unit(benchmark::kMillisecond);

void decode(benchmark::State& state) {
  const auto opened = open_shared(kVocabularies[state.range(0)]);
  if (!opened) return state.SkipWithError("no shared data");
  const std::string text = text_of_kind(1);
  const std::vector<int32_t> tokens = tokens_of(*opened->tokenizer, text);
  String out;
  for (auto _ : state) {
    out.clear();
    StreamDecoder decoder(*opened->tokenizer, false, true);
    for (const int32_t token : tokens) {
      if (!decoder.push(token, out).ok()) state.SkipWithError("failed");
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(text.size() * state.iterations()));
  state.SetLabel(kVocabularies[state.range(0)]);
}
BENCHMARK(decode)->DenseRange(0, 3)->Unit(benchmark::kMillisecond);

void load(benchmark::State& state) {
  const auto opened = open_shared(kVocabularies[state.range(0)]);
  if (!opened) return state.SkipWithError("no shared data");
  for (auto _ : state) {
    const auto result =
        opened->made ? opened->made->open() : Tokenizer::open(*opened->gguf, {}, false);
    if (!result.ok()) state.SkipWithError("failed");
  }
  state.SetLabel(kVocabularies[state.range(0)]);
}
BENCHMARK(load)->DenseRange(0, 3)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace bitnet::test

BENCHMARK_MAIN();
