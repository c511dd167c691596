// Finds wrong merges: both encoders against their definitions, written down naively, over random
// vocabularies; and time that grows faster than n log n.
#include <map>

#include "support.h"
#include "tokens/bpe.h"
#include "tokens/spm.h"
#include "tokens/symbols.h"

namespace bitnet::test {
namespace {

// ---- the definitions, without any shortcut

using Strings = std::vector<std::string>;

// Texts of the symbols that are left of a word: lowest rank first, then leftmost.
Strings merge_naively(Strings symbols,
                      const std::map<std::pair<std::string, std::string>, int>& ranks) {
  for (;;) {
    size_t best = symbols.size();
    int rank = INT32_MAX;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto it = ranks.find({symbols[i], symbols[i + 1]});
      if (it != ranks.end() && it->second < rank) rank = it->second, best = i;
    }
    if (best == symbols.size()) return symbols;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

std::map<std::string, int32_t> ids_of(const VocabularyMaker& v) {
  std::map<std::string, int32_t> ids;
  for (size_t i = 0; i < v.tokens.size(); ++i) ids.emplace(v.tokens[i], static_cast<int32_t>(i));
  return ids;
}

// A word without anything that a splitter would cut.
std::vector<int32_t> bpe_naively(const VocabularyMaker& v, const std::string& word) {
  std::map<std::pair<std::string, std::string>, int> ranks;
  for (size_t i = 0; i < v.merges.size(); ++i) {
    const size_t space = v.merges[i].find(' ');
    ranks.emplace(std::pair(v.merges[i].substr(0, space), v.merges[i].substr(space + 1)),
                  static_cast<int>(i));
  }
  Strings symbols;
  for (const char c : word) symbols.push_back(spell({&c, 1}));
  const auto ids = ids_of(v);
  std::vector<int32_t> out;
  for (const std::string& symbol : merge_naively(symbols, ranks)) {
    if (const auto it = ids.find(symbol); it != ids.end()) {
      out.push_back(it->second);
    } else {  // ASCII only here: a letter is a byte
      for (const char c : symbol) out.push_back(ids.at({c}));
    }
  }
  return out;
}

std::vector<int32_t> spm_naively(const VocabularyMaker& v, const std::string& text) {
  const auto ids = ids_of(v);
  Strings symbols = {"\xE2\x96\x81"};
  for (std::string_view rest = text; !rest.empty();) {
    const size_t length = char_length(rest);
    symbols.emplace_back(rest[0] == ' ' ? kSpmSpace : rest.substr(0, length));
    rest.remove_prefix(length);
  }
  for (;;) {
    size_t best = symbols.size();
    float score = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto it = ids.find(symbols[i] + symbols[i + 1]);
      if (it == ids.end()) continue;
      const float s = v.scores[static_cast<size_t>(it->second)];
      if (best == symbols.size() || s > score) score = s, best = i;
    }
    if (best == symbols.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
  std::vector<int32_t> out;
  for (const std::string& symbol : symbols) {
    if (const auto it = ids.find(symbol); it != ids.end()) {
      out.push_back(it->second);
    } else {
      char name[8];
      for (const char c : symbol) {
        std::snprintf(name, sizeof name, "<0x%02X>",
                      static_cast<unsigned>(static_cast<uint8_t>(c)));
        out.push_back(ids.at(name));
      }
    }
  }
  return out;
}

std::string random_word(std::mt19937& random, const Strings& alphabet, size_t length) {
  std::string word;
  for (size_t i = 0; i < length; ++i) word += alphabet[random() % alphabet.size()];
  return word;
}

// Lengths on both sides of the switch from short to long words, now and then a long one.
size_t random_length(std::mt19937& random) {
  return random() % 8 == 0 ? 100 + random() % 200 : 1 + random() % 45;
}

TEST(Bpe, MergesLikeTheDefinition) {
  std::mt19937 random(11);
  const Strings letters = {"a", "b", "c", "d"};
  for (int round = 0; round < 30; ++round) {
    VocabularyMaker v;
    v.pre = "gpt-2";
    v.add_bytes();
    Strings made = letters;
    for (int i = 0; i < 60; ++i) {
      const std::string left = made[random() % made.size()], right = made[random() % made.size()];
      if (left.size() + right.size() > 9) continue;
      v.merges.push_back(left + " " + right);      // also pairs that came before
      if (random() % 5 != 0) v.add(left + right);  // else a symbol that is no token
      made.push_back(left + right);
    }
    const auto opened = v.open();
    ASSERT_TRUE(opened.ok()) << opened.status().text();
    for (int i = 0; i < 60; ++i) {
      const std::string word = random_word(random, letters, random_length(random));
      ASSERT_EQ(tokens_of(*opened.value(), word), bpe_naively(v, word)) << word;
    }
  }
}

TEST(Spm, MergesLikeTheDefinition) {
  std::mt19937 random(12);
  // With tokens that span spaces in some vocabularies and not in others.
  const Strings letters = {"a", "b", "\xC3\xA9", " ", "c"};
  for (int round = 0; round < 40; ++round) {
    VocabularyMaker v;
    v.model = "llama";
    v.add_bytes();
    const bool inner_spaces = round % 2 == 0;
    for (int i = 0; i < 60; ++i) {
      std::string text;
      for (const char c : random_word(random, letters, 1 + random() % 5)) {
        if (c != ' ') {
          text += c;
        } else if (inner_spaces || text.empty()) {
          text += kSpmSpace;
        }
      }
      if (std::find(v.tokens.begin(), v.tokens.end(), text) != v.tokens.end()) continue;
      v.add(text, kNormalToken, static_cast<float>(random() % 20) - 10.0f);
    }
    const auto opened = v.open();
    ASSERT_TRUE(opened.ok()) << opened.status().text();
    for (int i = 0; i < 60; ++i) {
      const std::string text = random_word(random, letters, random_length(random));
      ASSERT_EQ(tokens_of(*opened.value(), text), spm_naively(v, text)) << text;
    }
  }
}

TEST(Spm, UnknownCharactersBecomeTheirBytesOrTheUnknownToken) {
  VocabularyMaker v;
  v.model = "llama";
  v.add_space_prefix = false;
  const int32_t unknown = v.add("<unk>", kUnknownToken);
  const int32_t a = v.add("a");
  EXPECT_EQ(tokens_of(*v.open().value(),
                      "a\xE2\x82\xAC"
                      "a"),
            (std::vector{a, unknown, a}));
  const int32_t byte = v.add("<0xE2>", kByteToken);
  v.add("<0x82>", kByteToken);
  EXPECT_EQ(tokens_of(*v.open().value(), "\xE2\x82\xAC"), std::vector{unknown});
  v.add("<0xAC>", kByteToken);
  EXPECT_EQ(tokens_of(*v.open().value(), "\xE2\x82\xAC"), (std::vector{byte, byte + 1, byte + 2}));
}

TEST(Spm, PrefixSpaceComesBeforeTextAndAfterSpecialTokens) {
  VocabularyMaker v;
  v.model = "llama";
  const int32_t user = v.add("<u>", kUserDefinedToken);
  const int32_t a = v.add("a"), spaced = v.add(
                                    "\xE2\x96\x81"
                                    "a");
  EXPECT_EQ(tokens_of(*v.open().value(), "aa<u>aa"), (std::vector{spaced, a, user, spaced, a}));
  EXPECT_TRUE(tokens_of(*v.open().value(), "").empty());
  v.add_space_prefix = false;
  EXPECT_EQ(tokens_of(*v.open().value(), "aa<u> a"), (std::vector{a, a, user, spaced}));
}

TEST(Bpe, WholeWordIsATokenOnlyForLlama3) {
  VocabularyMaker v;
  v.add_bytes();
  v.add("ab");
  const int32_t word = v.add("abc");  // no merge leads there
  v.merges = {"a b"};
  v.pre = "llama-bpe";
  EXPECT_EQ(tokens_of(*v.open().value(), "abc"), std::vector{word});
  v.pre = "qwen2";
  EXPECT_EQ(tokens_of(*v.open().value(), "abc"), (std::vector<int32_t>{word - 1, 'c'}));
}

TEST(Bpe, BytesWithoutTokenAreLeftOut) {
  VocabularyMaker v;
  v.pre = "gpt-2";
  const int32_t a = v.add("a");
  v.merges = {"a b"};
  EXPECT_EQ(tokens_of(*v.open().value(), "abba"), (std::vector{a, a}));
}

TEST(WordCache, ChangesNothing) {
  std::mt19937 random(13);
  VocabularyMaker v;
  v.pre = "gpt-2";
  v.add_bytes();
  for (int i = 0; i < 40; ++i) {
    v.add_merge(std::string(1, static_cast<char>('a' + random() % 6)),
                std::string(1, static_cast<char>('a' + random() % 6)));
  }
  Vocabulary view = v.view();
  ASSERT_TRUE(check_vocabulary(view).ok());
  TextArena arena;
  Vec<std::string_view> pieces;
  const auto bpe = Bpe::build(view, {Splitter::kGpt2, false}, arena, pieces);
  ASSERT_TRUE(bpe.ok());

  VocabularyMaker s;
  s.model = "llama";
  s.add_bytes();
  for (int i = 0; i < 40; ++i) {
    s.add(random_word(random, {"a", "b", "c", "d", "e", "f"}, 1 + random() % 3), kNormalToken,
          static_cast<float>(-i));
  }
  Vocabulary spm_view = s.view();
  ASSERT_TRUE(check_vocabulary(spm_view).ok());
  Vec<std::string_view> spm_pieces;
  const auto spm = Spm::build(spm_view, -1, arena, spm_pieces);
  ASSERT_TRUE(spm.ok());

  std::string text;
  for (int i = 0; i < 20000; ++i) {  // more words than the cache has places, many of them again
    text += random_word(random, {"a", "b", "c", "d", "e", "f"}, 1 + random() % 6) + " ";
  }
  Workspace with(text.size()), without(0), with_again(text.size()), without_again(0);
  Vec<int32_t> cached, plain;
  bpe.value().encode(text, with, cached);
  bpe.value().encode(text, without, plain);
  EXPECT_EQ(cached, plain);
  cached.clear();
  plain.clear();
  spm.value().encode(text, true, with_again, cached);
  spm.value().encode(text, true, without_again, plain);
  EXPECT_EQ(cached, plain);
}

// A megabyte that is one word: merging it pair by pair in a list would take hours.
TEST(Merger, LongWordsTakeTimeNLogN) {
  VocabularyMaker v;
  v.pre = "llama-bpe";
  v.add_bytes();
  for (size_t n = 1; n < 256; n *= 2) v.add_merge(std::string(n, 'a'), std::string(n, 'a'));
  v.add_merge("a", "b");
  VocabularyMaker s;
  s.model = "llama";
  s.add_bytes();
  for (size_t n = 1; n <= 256; n *= 2) {
    s.add(std::string(n, 'a'), kNormalToken, -static_cast<float>(n));
  }
  s.add("ab", kNormalToken, -1);
  s.add("\xE2\x96\x81", kNormalToken, -1000);
  const auto bpe = v.open(), spm = s.open();
  ASSERT_TRUE(bpe.ok() && spm.ok());
  for (const char* unit : {"a", "ab", "aaab", "b", "\xE4\xB8\xAD", "a\xCC\x81"}) {
    std::string text;
    while (text.size() < (1 << 20)) text += unit;
    for (const auto* opened : {&bpe, &spm}) {
      EXPECT_TRUE(text_of(*opened->value(), tokens_of(*opened->value(), text)) == text) << unit;
    }
  }
  EXPECT_EQ(tokens_of(*bpe.value(), std::string(1 << 20, 'a')).size(), 4096u);
}

TEST(SymbolTable, FindsWhatWasEntered) {
  SymbolTable table(0);
  std::deque<std::string> texts;
  for (int i = 0; i < 100000; ++i) {
    texts.push_back("word " + std::to_string(i * 7919));
    ASSERT_EQ(table.intern(texts.back()).value(), static_cast<uint32_t>(i));
  }
  for (uint32_t i = 0; i < texts.size(); ++i) ASSERT_EQ(table.find(texts[i]), i);
  EXPECT_EQ(table.find("word"), kNoSymbol);
  EXPECT_EQ(table.find(""), kNoSymbol);
}

TEST(SymbolTable, FirstTokenOfATextIsTheOneFound) {
  SymbolTable table(3);
  ASSERT_TRUE(table.enter(2, "x").ok());
  ASSERT_TRUE(table.enter(1, "x").ok());
  EXPECT_EQ(table.find("x"), 2u);
  EXPECT_EQ(table.intern("y").value(), 3u);
}

TEST(SymbolTable, RefusesTextsMadeToCollide) {
  // Texts whose hashes agree in the low bits that choose the place.
  SymbolTable table(0);
  std::deque<std::string> texts;
  Status status;
  for (uint64_t i = 0; status.ok() && i < 40'000'000; ++i) {
    std::string text(reinterpret_cast<const char*>(&i), sizeof i);
    if ((hash_text(text) & 0x7FFF) != 0) continue;
    texts.push_back(std::move(text));
    const auto symbol = table.intern(texts.back());
    if (!symbol.ok()) status = symbol.status();
  }
  EXPECT_EQ(status.code(), BITNET_E_FORMAT);
  EXPECT_LT(texts.size(), 2000u);
}

TEST(MergeTable, FirstEntryOfAPairStands) {
  MergeTable table;
  for (uint32_t i = 0; i < 1000; ++i) ASSERT_TRUE(table.enter(i, i * i, {i, i + 1}).ok());
  ASSERT_TRUE(table.enter(3, 9, {77, 78}).ok());
  for (uint32_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(table.find(i, i * i).rank, i);
    ASSERT_EQ(table.find(i, i * i).symbol, i + 1);
  }
  EXPECT_EQ(table.find(3, 10).rank, kNoMerge.rank);
  EXPECT_EQ(table.find(kNoSymbol, 9).rank, kNoMerge.rank);
  EXPECT_EQ(table.find(3, kNoSymbol).rank, kNoMerge.rank);
  EXPECT_EQ(MergeTable().find(1, 2).rank, kNoMerge.rank);
}

}  // namespace
}  // namespace bitnet::test
