// Finds differences between the hand-written splitters and the regular expressions they stand for:
// cases worked out with a regex engine, and a small backtracking matcher over random texts.
#include "tokens/split.h"

#include <utf8proc.h>

#include <functional>

#include "support.h"

namespace bitnet::test {
namespace {

std::vector<std::string> split_text(Splitter splitter, std::string_view text) {
  static const CharClasses classes;
  Words words;
  split(splitter, classes, text, words);
  std::vector<std::string> pieces;
  uint32_t start = 0;
  for (const uint32_t end : words.ends) {
    pieces.emplace_back(text.substr(start, end - start));
    start = end;
  }
  return pieces;
}

// ---- A matcher that reads the expressions literally

constexpr uint32_t kNotUtf8 = 0x110000;  // and the byte: no class of its own

std::vector<uint32_t> code_points(std::string_view text) {
  std::vector<uint32_t> out;
  while (!text.empty()) {
    const size_t length = char_length(text);
    const Utf8Char c = first_char(text);
    out.push_back(c.kind == Utf8Char::kWhole ? c.code_point
                                             : kNotUtf8 + static_cast<uint8_t>(text[0]));
    text.remove_prefix(length);
  }
  return out;
}

std::string text_of_points(const std::vector<uint32_t>& points, size_t from, size_t to) {
  std::string out;
  for (size_t i = from; i < to; ++i) {
    out += points[i] >= kNotUtf8 ? std::string(1, static_cast<char>(points[i] - kNotUtf8))
                                 : utf8_of(points[i]);
  }
  return out;
}

char general_category(uint32_t c) {
  return c >= kNotUtf8 ? 'C' : utf8proc_category_string(static_cast<utf8proc_int32_t>(c))[0];
}
using Set = std::function<bool(uint32_t)>;
bool letter(uint32_t c) {
  return general_category(c) == 'L';
}
bool number(uint32_t c) {
  return general_category(c) == 'N';
}
bool space(uint32_t c) {
  return (c >= 9 && c <= 13) || c == 0x85 || (c < kNotUtf8 && general_category(c) == 'Z');
}
bool line_break(uint32_t c) {
  return c == '\r' || c == '\n';
}
bool other(uint32_t c) {
  return !letter(c) && !number(c) && !space(c);
}
Set any_of(std::string set) {
  return [set](uint32_t c) { return c < 128 && set.find(static_cast<char>(c)) != set.npos; };
}
Set punctuation_and(std::string set) {
  return [set](uint32_t c) { return general_category(c) == 'P' || any_of(set)(c); };
}

struct Item {
  Set set;
  size_t least = 1, most = 1;  // greedy
};
struct Alternative {
  std::vector<Item> items;
  bool not_before_text = false;  // (?!\S)
};
using Expression = std::vector<Alternative>;
constexpr size_t kMany = SIZE_MAX, kNoMatch = SIZE_MAX;

size_t match(const Alternative& a, size_t item, const std::vector<uint32_t>& text, size_t at,
             size_t end) {
  if (item == a.items.size()) {
    return a.not_before_text && at < end && !space(text[at]) ? kNoMatch : at;
  }
  const Item& i = a.items[item];
  size_t taken = 0;
  while (taken < i.most && at + taken < end && i.set(text[at + taken])) ++taken;
  for (; taken >= i.least && taken != kNoMatch; --taken) {
    const size_t found = match(a, item + 1, text, at + taken, end);
    if (found != kNoMatch) return found;
  }
  return kNoMatch;
}

// Ends of the matches and of what lies between them.
std::vector<size_t> apply(const Expression& e, const std::vector<uint32_t>& text,
                          const std::vector<size_t>& ends) {
  std::vector<size_t> out;
  size_t start = 0;
  for (const size_t end : ends) {
    size_t gap = start;
    for (size_t at = start; at < end;) {
      size_t found = kNoMatch;
      for (const Alternative& a : e) {
        found = match(a, 0, text, at, end);
        if (found != kNoMatch) break;
      }
      if (found == kNoMatch) {
        ++at;
        continue;
      }
      if (gap < at) out.push_back(at);
      out.push_back(found);
      at = gap = found;
    }
    if (gap < end) out.push_back(end);
    start = end;
  }
  return out;
}

Expression contractions(bool any_case) {
  Expression e;
  for (const std::string text : {"s", "t", "re", "ve", "m", "ll", "d"}) {
    Alternative a{{{any_of("'")}}};
    for (const char c : text) {
      a.items.push_back({[c, any_case](uint32_t x) {
        return x == static_cast<uint32_t>(c) ||
               (any_case && (x == static_cast<uint32_t>(c - 32) || (c == 's' && x == 0x17F)));
      }});
    }
    e.push_back(a);
  }
  return e;
}

Expression llama3(size_t digits) {
  Expression e = contractions(true);
  const Set before_word = [](uint32_t c) { return !line_break(c) && !letter(c) && !number(c); };
  e.push_back({{{before_word, 0, 1}, {letter, 1, kMany}}});
  e.push_back({{{number, 1, digits}}});
  e.push_back({{{any_of(" "), 0, 1}, {other, 1, kMany}, {line_break, 0, kMany}}});
  e.push_back({{{space, 0, kMany}, {line_break, 1, kMany}}});
  e.push_back({{{space, 1, kMany}}, true});
  e.push_back({{{space, 1, kMany}}});
  return e;
}

Expression gpt2() {
  Expression e = contractions(false);
  for (bool (*const set)(uint32_t) : {letter, number, other}) {
    e.push_back({{{any_of(" "), 0, 1}, {set, 1, kMany}}});
  }
  e.push_back({{{space, 1, kMany}}, true});
  return e;
}

std::vector<std::string> split_literally(Splitter splitter, std::string_view text) {
  const Expression digits3 = {{{{any_of("0123456789"), 3, 3}}}};
  const Expression falcon = {{{{punctuation_and("$+<=>^~|`"), 1, kMany}}}};
  const Expression defaults = {{{{punctuation_and("$+<=>^~|"), 1, kMany}}}};
  const Expression numbers = {{{{number, 1, kMany}}}};
  std::vector<Expression> sequence;
  switch (splitter) {
    case Splitter::kLlama3:
      sequence = {llama3(3)};
      break;
    case Splitter::kQwen2:
      sequence = {llama3(1)};
      break;
    case Splitter::kGpt2:
      sequence = {gpt2()};
      break;
    case Splitter::kFalcon:
      sequence = {falcon, gpt2(), digits3};
      break;
    case Splitter::kDefault:
      sequence = {defaults, gpt2(), numbers, digits3};
      break;
  }
  const auto points = code_points(text);
  std::vector<size_t> ends;
  if (!points.empty()) ends.push_back(points.size());
  for (const Expression& e : sequence) ends = apply(e, points, ends);
  std::vector<std::string> pieces;
  size_t start = 0;
  for (const size_t end : ends) {
    pieces.push_back(text_of_points(points, start, end));
    start = end;
  }
  return pieces;
}

class Splitters : public testing::TestWithParam<Splitter> {};

TEST_P(Splitters, CutRandomTextAsTheirExpressionsDo) {
  std::mt19937 random(3);
  for (int i = 0; i < 4000; ++i) {
    std::string text = random_text(random, random() % 24);
    if (i % 4 == 0) text += random_bytes(random, random() % 4) + random_text(random, random() % 8);
    ASSERT_EQ(split_text(GetParam(), text), split_literally(GetParam(), text)) << text;
  }
}

TEST_P(Splitters, TakeTimeLinearInTheText) {
  // A megabyte of what each rule looks ahead over; a quadratic splitter would not come back.
  for (const char* unit : {" ", "\n", " \n", "\t", "a", "7", ".", "'", "'s", " .", "\n.",
                           "\xE3\x80\x80", "\xF0\x9F\x98\x80", "\x80"}) {
    std::string text;
    while (text.size() < (1 << 20)) text += unit;
    size_t bytes = 0;
    for (const std::string& piece : split_text(GetParam(), text)) bytes += piece.size();
    EXPECT_EQ(bytes, text.size());
  }
}

INSTANTIATE_TEST_SUITE_P(All, Splitters,
                         testing::Values(Splitter::kLlama3, Splitter::kQwen2, Splitter::kGpt2,
                                         Splitter::kFalcon, Splitter::kDefault));

struct Case {
  Splitter splitter;
  std::vector<std::string> words;
};

// Results of a regex engine with full Unicode tables.
TEST(Split, AgreesWithARegexEngine) {
  const std::vector<Case> cases = {
      {Splitter::kLlama3,
       {"I", "'m", " sure", " YOU", "'LL", " see", " ", "123", "456", "7", " things", ",", " don",
        "'t", " you", "?!\n\n"}},
      {Splitter::kLlama3, {" ", " leading", "  ", " and", " trailing", "  "}},
      {Splitter::kLlama3, {"a", "\t", "\tb", " \t\n\r\n", " ", " c"}},
      {Splitter::kLlama3, {"x", "='", "\xC5\xBF", "'", " '", "reality", "'", " '", "Dog"}},
      {Splitter::kLlama3,
       {"na\xC3\xAFve", " caf\xC3\xA9", " e", "\xCC\x81", " \xCC\x81", "x",
        " \xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xE3\x83\x86\xE3\x82\xAD\xE3\x82\xB9\xE3\x83\x88",
        "\xEF\xBC\x93\xEF\xBC\x94"}},
      {Splitter::kLlama3,
       {"$", "100", ".", "50", "/\xE2\x82\xAC", "5", "\xE2\x80\x94ok", "...\r\n\r\n", "next"}},
      {Splitter::kLlama3,
       {"tab", "\t", "1", "\t", " ", "2", " ", " ", "3", "\xC2\xA0", "\xC2\xA0", "4",
        "\xE3\x80\x80\xE4\xBA\x94"}},
      {Splitter::kLlama3, {"'ve", " '", "ve", "'S", "'T"}},
      {Splitter::kLlama3, {}},
      {Splitter::kQwen2,
       {"I", "'m", " sure", " YOU", "'LL",     " see", " ",    "1",  "2",    "3",
        "4", "5",  "6",     "7",    " things", ",",    " don", "'t", " you", "?!\n\n"}},
      {Splitter::kQwen2, {" ", " leading", "  ", " and", " trailing", "  "}},
      {Splitter::kQwen2, {"a", "\t", "\tb", " \t\n\r\n", " ", " c"}},
      {Splitter::kQwen2, {"x", "='", "\xC5\xBF", "'", " '", "reality", "'", " '", "Dog"}},
      {Splitter::kQwen2,
       {"na\xC3\xAFve", " caf\xC3\xA9", " e", "\xCC\x81", " \xCC\x81", "x",
        " \xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xE3\x83\x86\xE3\x82\xAD\xE3\x82\xB9\xE3\x83\x88",
        "\xEF\xBC\x93", "\xEF\xBC\x94"}},
      {Splitter::kQwen2,
       {"$", "1", "0", "0", ".", "5", "0", "/\xE2\x82\xAC", "5", "\xE2\x80\x94ok", "...\r\n\r\n",
        "next"}},
      {Splitter::kQwen2,
       {"tab", "\t", "1", "\t", " ", "2", " ", " ", "3", "\xC2\xA0", "\xC2\xA0", "4",
        "\xE3\x80\x80\xE4\xBA\x94"}},
      {Splitter::kQwen2, {"'ve", " '", "ve", "'S", "'T"}},
      {Splitter::kQwen2, {}},
      {Splitter::kGpt2,
       {"I", "'m", " sure", " YOU", "'", "LL", " see", " 1234567", " things", ",", " don", "'t",
        " you", "?!", "\n\n"}},
      {Splitter::kGpt2, {" ", " leading", "  ", " and", " trailing", "  "}},
      {Splitter::kGpt2, {"a", "\t", "\t", "b", " \t\n\r\n ", " c"}},
      {Splitter::kGpt2, {"x", "='", "\xC5\xBF", "'", " '", "reality", "'", " '", "Dog"}},
      {Splitter::kGpt2,
       {"na\xC3\xAFve", " caf\xC3\xA9", " e", "\xCC\x81", " \xCC\x81", "x",
        " \xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xE3\x83\x86\xE3\x82\xAD\xE3\x82\xB9\xE3\x83\x88",
        "\xEF\xBC\x93\xEF\xBC\x94"}},
      {Splitter::kGpt2,
       {"$", "100", ".", "50", "/\xE2\x82\xAC", "5", "\xE2\x80\x94", "ok", "...", "\r\n\r", "\n",
        "next"}},
      {Splitter::kGpt2,
       {"tab", "\t", "1", "\t", " 2", " ", " 3", "\xC2\xA0", "\xC2\xA0", "4", "\xE3\x80\x80",
        "\xE4\xBA\x94"}},
      {Splitter::kGpt2, {"'ve", " '", "ve", "'", "S", "'", "T"}},
      {Splitter::kGpt2, {}},
  };
  for (const Case& c : cases) {
    std::string text;
    for (const std::string& word : c.words) text += word;
    EXPECT_EQ(split_text(c.splitter, text), c.words) << text;
  }
}

using Pieces = std::vector<std::string>;

TEST(Split, FalconCutsPunctuationFirstAndDigitsLast) {
  EXPECT_EQ(split_text(Splitter::kFalcon, "it's 12345 <b>"),
            (Pieces{"it", "'", "s", " ", "123", "45", " ", "<", "b", ">"}));
  EXPECT_EQ(split_text(Splitter::kFalcon, "x`y"), (Pieces{"x", "`", "y"}));
  // U+0660..: numbers to GPT-2's rule, not digits to the last one.
  EXPECT_EQ(split_text(Splitter::kFalcon, "\xD9\xA0\xD9\xA1\xD9\xA2\xD9\xA3").size(), 1u);
}

TEST(Split, DefaultCutsNumbersFromTheirSpace) {
  EXPECT_EQ(split_text(Splitter::kDefault, "a 12345b"), (Pieces{"a", " ", "123", "45", "b"}));
  EXPECT_EQ(split_text(Splitter::kDefault, " `x"), (Pieces{" `", "x"}));
}

TEST(Split, ByteThatIsNotUtf8IsLikeASymbol) {
  EXPECT_EQ(split_text(Splitter::kLlama3,
                       "a \xFF\xFE"
                       "b"),
            (Pieces{"a", " \xFF\xFE", "b"}));
}

}  // namespace
}  // namespace bitnet::test
